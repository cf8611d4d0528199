//! Congestion control: how many packets may be in flight on a path, and how fast they are sent.
//!
//! The unit is the packet, because the work of a hop and the capacity of a tunnel are counted in messages.
//! Each path has its own state, which all streams over the path share.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

mod cubic;
mod delay_target;
mod reno;

pub use cubic::CubicConfig;
pub use delay_target::DelayTargetConfig;
pub use reno::RenoConfig;

/// The effect of one incoming packet on the packets in flight.
#[derive(Debug, Clone, Copy)]
pub struct AckSample {
    /// When it arrived.
    pub now: Instant,
    /// Packets newly acknowledged.
    pub acked: u32,
    /// Packets newly declared lost.
    pub lost: u32,
    /// Packets that had been declared lost and have arrived nevertheless.
    pub spurious: u32,
    /// Packets in flight before it.
    pub prior_in_flight: u32,
    /// Packets in flight after it.
    pub in_flight: u32,
    /// RTT of the newest acknowledged packet, if Karn's rule allows a sample.
    pub rtt: Option<Duration>,
    /// Smoothed RTT.
    pub smoothed_rtt: Duration,
    /// Min RTT of the last half minute.
    pub min_rtt: Duration,
    /// Packets acknowledged since the path is used.
    pub delivered: u64,
    /// The delivery rate, if it was measured.
    pub delivery_rate: Option<RateSample>,
    /// Send order of the newest acknowledged transmission, 0 if it is uncertain which one arrived. It separates
    /// rounds.
    pub newest_order: u64,
    /// Send order of the next packet.
    pub next_order: u64,
    /// Whether the cwnd limits sending, and not the application.
    pub cwnd_limited: bool,
}

/// A sample of the delivery rate.
#[derive(Debug, Clone, Copy)]
pub struct RateSample {
    /// Packets per second.
    pub packets_per_second: f64,
    /// Packets that had been delivered when the measured packet was sent.
    pub prior_delivered: u64,
    /// The application limited the rate, so it is a lower bound of that of the path.
    pub app_limited: bool,
}

/// A loss, reported at most once per acknowledgement.
#[derive(Debug, Clone, Copy)]
pub struct LossEvent {
    /// When the packets were declared lost.
    pub now: Instant,
    /// Send order of the newest lost packet.
    pub newest_lost: u64,
    /// Send order of the next packet.
    pub next_order: u64,
    /// Packets in flight, without the lost ones.
    pub in_flight: u32,
}

/// Decides cwnd and pacing rate of one path.
///
/// The methods with `&mut self` report events; the default implementations ignore them.
pub trait Controller: fmt::Debug + Send {
    /// A packet was sent at `now`; `in_flight` includes it.
    fn on_sent(&mut self, now: Instant, in_flight: u32) {
        let _ = (now, in_flight);
    }

    /// Packets were acknowledged.
    fn on_ack(&mut self, sample: &AckSample);

    /// Packets were lost.
    fn on_loss(&mut self, loss: &LossEvent) {
        let _ = loss;
    }

    /// The last loss that was reported was spurious: the packets had only been reordered.
    fn on_spurious_loss(&mut self, now: Instant) {
        let _ = now;
    }

    /// Several retransmission timeouts expired in a row. All packets in flight were declared lost.
    fn on_timeout(&mut self, now: Instant) {
        let _ = now;
    }

    /// Sending starts again after an idle time. `keep` is the share of the earlier cwnd and rate that may
    /// still be used, 0 to 1.
    fn on_idle_restart(&mut self, now: Instant, keep: f64) {
        let _ = (now, keep);
    }

    /// Packets take another path from now on. `rtt` is the min RTT of that path, if it is known.
    fn on_path_change(&mut self, now: Instant, rtt: Option<Duration>) {
        let _ = (now, rtt);
    }

    /// Packets have another size from now on: `ratio` packets take as many tunnel messages as one took
    /// before. The work of a hop is proportional to the messages.
    fn on_packet_size(&mut self, ratio: f64) {
        let _ = ratio;
    }

    /// The congestion window: how many packets may be in flight, at least 1.
    fn cwnd(&self) -> u32;

    /// The pacing rate in packets per second. `None` before the first RTT sample.
    fn pacing_rate(&self) -> Option<f64>;
}

/// Makes a [`Controller`] for a path. A configuration is its own factory.
pub trait ControllerFactory: fmt::Debug + Send + Sync {
    /// A controller for a path that is used from `now` on.
    fn build(self: Arc<Self>, now: Instant, limits: CwndLimits) -> Box<dyn Controller>;
}

/// Bounds that hold for every algorithm, in packets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CwndLimits {
    /// The initial cwnd (`i2p.streaming.initialWindowSize`).
    pub initial: u32,
    /// The largest cwnd (`i2p.streaming.maxWindowSize`).
    pub max: u32,
    /// Slows exponential growth (`i2p.streaming.slowStartGrowthRateFactor`), at least 1.
    pub slow_start_factor: f64,
    /// Slows linear growth (`i2p.streaming.congestionAvoidanceGrowthRateFactor`), at least 1.
    pub avoidance_factor: f64,
}

/// The smallest cwnd. MIN_WINDOW_SIZE is 1 in the streaming documentation ("Other Parameters"). Here it
/// is 2, because with 1 every round trip includes the peer's acknowledgement delay.
pub(crate) const MIN_CWND: u32 = 2;

/// Rounds a cwnd down to whole packets within the limits.
fn whole_packets(cwnd: f64, limits: &CwndLimits) -> u32 {
    let max = f64::from(limits.max.max(1));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to a positive range of u32"
    )]
    let packets = cwnd.clamp(f64::from(MIN_CWND).min(max), max) as u32;
    packets
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const LIMITS: CwndLimits = CwndLimits {
        initial: 6,
        max: 128,
        slow_start_factor: 1.0,
        avoidance_factor: 1.0,
    };

    /// A sample for `acked` packets with this RTT, limited by the cwnd.
    pub(crate) fn ack(now: Instant, order: u64, acked: u32, rtt: Duration) -> AckSample {
        AckSample {
            now,
            acked,
            lost: 0,
            spurious: 0,
            prior_in_flight: acked,
            in_flight: 0,
            rtt: Some(rtt),
            smoothed_rtt: rtt,
            min_rtt: rtt,
            delivered: order,
            delivery_rate: None,
            newest_order: order,
            next_order: order + 1,
            cwnd_limited: true,
        }
    }

    pub(crate) fn loss(now: Instant, newest_lost: u64, next_order: u64) -> LossEvent {
        LossEvent {
            now,
            newest_lost,
            next_order,
            in_flight: 10,
        }
    }

    /// The bounds that every algorithm respects, whatever is reported to it.
    pub(crate) fn keeps_to_its_bounds(factory: Arc<dyn ControllerFactory>, start: Instant) {
        let mut controller = factory.build(start, LIMITS);
        let mut now = start;
        let mut order = 0;
        for step in 0..2000_u32 {
            now += Duration::from_millis(u64::from(step % 37));
            order += u64::from(step % 5);
            match step % 11 {
                0 => controller.on_loss(&loss(now, order, order + 3)),
                1 if step % 3 == 0 => controller.on_timeout(now),
                2 => controller.on_spurious_loss(now),
                3 if step % 7 == 0 => controller.on_idle_restart(now, 0.75),
                4 if step % 5 == 0 => controller.on_packet_size(0.5),
                4 if step % 3 == 0 => controller.on_packet_size(2.0),
                _ => {
                    let mut sample = ack(
                        now,
                        order,
                        step % 4,
                        Duration::from_millis(1 + u64::from(step % 900)),
                    );
                    sample.delivery_rate = Some(RateSample {
                        packets_per_second: f64::from(step % 1000) * 3.0,
                        prior_delivered: order.saturating_sub(5),
                        app_limited: step % 13 == 0,
                    });
                    controller.on_ack(&sample);
                }
            }
            let cwnd = controller.cwnd();
            assert!((1..=LIMITS.max).contains(&cwnd), "cwnd {cwnd}");
            if let Some(rate) = controller.pacing_rate() {
                assert!(rate.is_finite() && rate > 0.0, "rate {rate}");
            }
        }
    }
}
