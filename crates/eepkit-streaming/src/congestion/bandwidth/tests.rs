use super::{
    super::{
        RateSample,
        tests::{LIMITS, ack, keeps_to_its_bounds},
    },
    *,
};

const RTT: Duration = Duration::from_millis(500);

/// A controller on a path with a capacity in packets per second.
struct Course {
    controller: Box<dyn Controller>,
    now: Instant,
    order: u64,
    capacity: f64,
}

impl Course {
    fn new() -> Self {
        let now = Instant::now();
        let limits = CwndLimits {
            max: 4096,
            ..LIMITS
        };
        Self {
            controller: Arc::new(BandwidthConfig::default()).build(now, limits),
            now,
            order: 0,
            capacity: 400.0,
        }
    }

    fn cwnd(&self) -> u32 {
        self.controller.cwnd()
    }

    /// Runs rounds with round-trip times and a share of loss that depend on the packets offered per
    /// second.
    fn run(&mut self, rounds: u32, rtt: impl Fn(f64) -> Duration, lost: impl Fn(f64) -> f64) {
        for _ in 0..rounds {
            let offered = f64::from(self.controller.cwnd()) / RTT.as_secs_f64();
            let rate = offered
                .min(self.capacity)
                .min(self.controller.pacing_rate().unwrap_or(f64::INFINITY));
            let acked = (rate * RTT.as_secs_f64()).max(1.0);
            let share = lost(offered);
            for _ in 0..4 {
                self.order += (acked / 4.0).ceil() as u64;
                self.now += RTT / 4;
                let mut sample = ack(
                    self.now,
                    self.order,
                    (acked / 4.0).ceil() as u32,
                    rtt(offered),
                );
                sample.lost = (acked / 4.0 * share / (1.0 - share)).round() as u32;
                sample.next_order = self.order + acked as u64;
                sample.in_flight = acked as u32;
                sample.prior_in_flight = acked as u32;
                sample.delivery_rate = Some(RateSample {
                    packets_per_second: rate,
                    prior_delivered: 0,
                    app_limited: false,
                });
                self.controller.on_ack(&sample);
            }
        }
    }
}

fn none(_: f64) -> f64 {
    0.0
}

#[test]
fn converges_near_the_capacity_of_the_path() {
    let mut course = Course::new();
    course.run(40, |_| RTT, none);
    // Without a queue the cwnd is bounded by the delivery rate: 200 packets per round trip.
    let cwnd = course.cwnd();
    assert!((200..=260).contains(&cwnd), "{cwnd}");
}

#[test]
fn a_standing_queue_shrinks_the_cwnd_and_its_absence_lets_it_grow() {
    let mut course = Course::new();
    course.run(40, |offered| RTT.mul_f64((offered / 400.0).max(1.0)), none);
    let cwnd = course.cwnd();
    assert!((195..=225).contains(&cwnd), "{cwnd}");
}

#[test]
fn startup_ends_when_a_queue_builds() {
    let mut course = Course::new();
    let queue = |offered| match offered > 400.0 {
        true => RTT + Duration::from_millis(120),
        false => RTT,
    };
    course.run(20, queue, none);
    assert!(course.cwnd() < 600, "{}", course.cwnd());
}

#[test]
fn random_loss_alone_changes_nothing() {
    let mut course = Course::new();
    course.run(20, |_| RTT, none);
    let before = course.cwnd();
    for _ in 0..20 {
        course.run(1, |_| RTT, |_| 0.05);
        assert!(course.cwnd() >= before * 9 / 10, "{}", course.cwnd());
    }
}

#[test]
fn a_queue_that_is_always_full_is_detected_by_its_loss() {
    let mut course = Course::new();
    // The RTT does not depend on what is sent: others keep the queue full.
    course.run(20, |_| RTT, |_| 0.02);
    let before = course.cwnd();
    course.run(2, |_| RTT, |_| 0.2);
    assert!(
        course.cwnd() < before * 3 / 4,
        "{} of {before}",
        course.cwnd()
    );
}

#[test]
fn losses_that_remain_with_a_smaller_cwnd_are_tolerated() {
    let mut course = Course::new();
    course.run(20, |_| RTT, none);
    let before = course.cwnd();
    let mut low = 0;
    for _ in 0..96 {
        course.run(1, |_| RTT, |_| 0.2);
        low += u32::from(course.cwnd() < before * 3 / 4);
    }
    assert!((1..=24).contains(&low), "{low} rounds of 96");
}

#[test]
fn a_timeout_halves_the_estimate() {
    let mut course = Course::new();
    course.run(20, |_| RTT, none);
    let before = course.controller.pacing_rate().unwrap();
    course.controller.on_timeout(course.now);
    assert_eq!(course.cwnd(), LIMITS.initial);
    assert!(course.controller.pacing_rate().unwrap() <= before / 2.0 + 1.0);
}

#[test]
fn the_loss_of_the_first_packet_does_not_end_startup() {
    let mut course = Course::new();
    course.controller.on_timeout(course.now);
    course.run(4, |_| RTT, none);
    assert!(course.cwnd() > LIMITS.initial * 4, "{}", course.cwnd());
}

#[test]
fn the_maximum_is_taken_over_ten_rounds() {
    let mut filter = MaxFilter::default();
    filter.insert(1, 50.0);
    filter.insert(2, 40.0);
    assert!((filter.get() - 50.0).abs() < 1e-9);
    filter.insert(12, 30.0);
    assert!((filter.get() - 40.0).abs() < 1e-9);
    filter.insert(30, 10.0);
    assert!((filter.get() - 10.0).abs() < 1e-9);
}

#[test]
fn stays_within_its_bounds() {
    keeps_to_its_bounds(Arc::new(BandwidthConfig::default()), Instant::now());
}
