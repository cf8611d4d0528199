//! Congestion control: how many packets may be on their way to one peer, and how fast they leave.
//!
//! The unit is the packet, because a hop's work and a tunnel's capacity are counted in messages.
//! State belongs to a pair of destinations and is shared by all their streams.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

mod bandwidth;
mod cubic;
mod reno;

pub use bandwidth::BandwidthConfig;
pub use cubic::CubicConfig;
pub use reno::RenoConfig;

/// What one incoming packet told about the packets on their way.
#[derive(Debug, Clone, Copy)]
pub struct AckSample {
    /// When it came.
    pub now: Instant,
    /// Packets newly acknowledged.
    pub acked: u32,
    /// Packets newly found lost.
    pub lost: u32,
    /// Packets on their way before this.
    pub prior_in_flight: u32,
    /// Packets on their way now.
    pub in_flight: u32,
    /// Round-trip time of the newest packet among the acknowledged, where Karn's rule allows one.
    pub rtt: Option<Duration>,
    /// Smoothed round-trip time.
    pub smoothed_rtt: Duration,
    /// Least round-trip time of the last half minute.
    pub min_rtt: Duration,
    /// Packets acknowledged since the peer became known.
    pub delivered: u64,
    /// How fast packets arrive at the peer.
    pub rate: Option<RateSample>,
    /// Send order of the newest acknowledged packet, to tell rounds apart.
    pub newest_order: u64,
    /// Send order of the next packet.
    pub next_order: u64,
    /// Whether the window, not the application, limits sending.
    pub window_limited: bool,
}

/// A measurement of the rate at which packets arrive at the peer.
#[derive(Debug, Clone, Copy)]
pub struct RateSample {
    /// Packets per second.
    pub packets_per_second: f64,
    /// Packets that had been delivered when the measured packet left.
    pub prior_delivered: u64,
    /// The application did not offer enough to measure the network by.
    pub app_limited: bool,
}

/// A loss, told at most once per acknowledgement.
#[derive(Debug, Clone, Copy)]
pub struct LossEvent {
    /// When it was found.
    pub now: Instant,
    /// Send order of the newest lost packet.
    pub newest_lost: u64,
    /// Send order of the next packet.
    pub next_order: u64,
    /// Packets on their way, the lost ones not counted.
    pub in_flight: u32,
}

/// Decides window and rate for one peer.
///
/// Every method but the getters is a report; the default bodies ignore it.
pub trait Controller: fmt::Debug + Send {
    /// A packet left at `now`; `in_flight` counts it.
    fn on_sent(&mut self, now: Instant, in_flight: u32) {
        let _ = (now, in_flight);
    }

    /// Packets were acknowledged.
    fn on_ack(&mut self, sample: &AckSample);

    /// Packets were lost.
    fn on_loss(&mut self, loss: &LossEvent) {
        let _ = loss;
    }

    /// The last loss reported had been reordering only.
    fn on_spurious_loss(&mut self, now: Instant) {
        let _ = now;
    }

    /// Nothing was heard for several timeouts; everything in flight was given up for lost.
    fn on_timeout(&mut self, now: Instant) {
        let _ = now;
    }

    /// Sending starts again after an idle time. `keep` is the share of what was learned before that
    /// may still be trusted, 0 to 1.
    fn on_idle_restart(&mut self, now: Instant, keep: f64) {
        let _ = (now, keep);
    }

    /// Packets take another way from now on. `rtt` is the least round-trip time seen there, if any.
    fn on_path_change(&mut self, now: Instant, rtt: Option<Duration>) {
        let _ = (now, rtt);
    }

    /// How many packets may be on their way, at least 1.
    fn window(&self) -> u32;

    /// How many packets per second may leave. `None` while nothing is known.
    fn pacing_rate(&self) -> Option<f64>;
}

/// Makes a [`Controller`] for a peer. A configuration is its own factory.
pub trait ControllerFactory: fmt::Debug + Send + Sync {
    /// A controller for a peer first sent to at `now`.
    fn build(self: Arc<Self>, now: Instant, limits: WindowLimits) -> Box<dyn Controller>;
}

/// Bounds that hold for every algorithm, in packets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WindowLimits {
    /// Before anything is known (`i2p.streaming.initialWindowSize`).
    pub initial: u32,
    /// Never more than this (`i2p.streaming.maxWindowSize`).
    pub max: u32,
    /// Slows exponential growth (`i2p.streaming.slowStartGrowthRateFactor`), at least 1.
    pub slow_start_factor: f64,
    /// Slows linear growth (`i2p.streaming.congestionAvoidanceGrowthRateFactor`), at least 1.
    pub avoidance_factor: f64,
}

/// Streaming documentation, "Other Parameters": MIN_WINDOW_SIZE is 1. Two, because with one every
/// round trip waits for the peer's acknowledgement delay.
pub(crate) const MIN_WINDOW: u32 = 2;

/// Window as a float, bounded, to the whole packets that may be sent.
fn whole_packets(window: f64, limits: &WindowLimits) -> u32 {
    let max = f64::from(limits.max.max(1));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to a positive range of u32"
    )]
    let packets = window.clamp(f64::from(MIN_WINDOW).min(max), max) as u32;
    packets
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const LIMITS: WindowLimits = WindowLimits {
        initial: 6,
        max: 128,
        slow_start_factor: 1.0,
        avoidance_factor: 1.0,
    };

    /// A report of `acked` packets a round trip of `rtt` after they left, window-limited.
    pub(crate) fn ack(now: Instant, order: u64, acked: u32, rtt: Duration) -> AckSample {
        AckSample {
            now,
            acked,
            lost: 0,
            prior_in_flight: acked,
            in_flight: 0,
            rtt: Some(rtt),
            smoothed_rtt: rtt,
            min_rtt: rtt,
            delivered: order,
            rate: None,
            newest_order: order,
            next_order: order + 1,
            window_limited: true,
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

    /// What every algorithm must keep to, whatever is reported to it.
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
                _ => {
                    let mut sample = ack(
                        now,
                        order,
                        step % 4,
                        Duration::from_millis(1 + u64::from(step % 900)),
                    );
                    sample.rate = Some(RateSample {
                        packets_per_second: f64::from(step % 1000) * 3.0,
                        prior_delivered: order.saturating_sub(5),
                        app_limited: step % 13 == 0,
                    });
                    controller.on_ack(&sample);
                }
            }
            let window = controller.window();
            assert!((1..=LIMITS.max).contains(&window), "window {window}");
            if let Some(rate) = controller.pacing_rate() {
                assert!(rate.is_finite() && rate > 0.0, "rate {rate}");
            }
        }
    }
}
