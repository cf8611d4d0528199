use super::{
    super::{
        RateSample,
        tests::{LIMITS, ack, keeps_to_its_bounds},
    },
    *,
};

const RTT: Duration = Duration::from_millis(500);

fn controller(now: Instant) -> Box<dyn Controller> {
    Arc::new(BandwidthConfig::default()).build(
        now,
        WindowLimits {
            max: 4096,
            ..LIMITS
        },
    )
}

/// Runs rounds over a path of `capacity` packets per second; returns the window at the end.
fn rounds(
    controller: &mut dyn Controller,
    start: Instant,
    count: u32,
    capacity: f64,
    rtt: impl Fn(f64) -> Duration,
) -> f64 {
    let (mut now, mut order) = (start, 0);
    for _ in 0..count {
        let window = f64::from(controller.window());
        let offered = window / RTT.as_secs_f64();
        let rate = offered
            .min(capacity)
            .min(controller.pacing_rate().unwrap_or(f64::INFINITY));
        let acked = (rate * RTT.as_secs_f64()).max(1.0);
        let measured = rtt(offered);
        for _ in 0..4 {
            order += (acked / 4.0).ceil() as u64;
            now += RTT / 4;
            let mut sample = ack(now, order, (acked / 4.0).ceil() as u32, measured);
            sample.next_order = order + acked as u64;
            sample.in_flight = acked as u32;
            sample.prior_in_flight = acked as u32;
            sample.rate = Some(RateSample {
                packets_per_second: rate,
                prior_delivered: 0,
                app_limited: false,
            });
            controller.on_ack(&sample);
        }
    }
    controller.pacing_rate().unwrap_or(0.0)
}

#[test]
fn settles_near_the_capacity_of_the_path() {
    let now = Instant::now();
    let mut controller = controller(now);
    rounds(&mut *controller, now, 40, 400.0, |_| RTT);
    // Without any queue the window is bounded by what is delivered: 200 packets in a round trip.
    assert!(
        (200..=260).contains(&controller.window()),
        "{}",
        controller.window()
    );
}

#[test]
fn a_standing_queue_shrinks_the_window_and_its_absence_lets_it_grow() {
    let now = Instant::now();
    let mut controller = controller(now);
    let queue = |offered: f64| RTT.mul_f64((offered / 400.0).max(1.0));
    rounds(&mut *controller, now, 40, 400.0, queue);
    let window = controller.window();
    assert!((195..=225).contains(&window), "{window}");
}

#[test]
fn start_up_ends_when_a_queue_builds() {
    let now = Instant::now();
    let mut controller = controller(now);
    rounds(&mut *controller, now, 20, 400.0, |offered| {
        if offered > 400.0 {
            RTT + Duration::from_millis(120)
        } else {
            RTT
        }
    });
    assert!(controller.window() < 600, "{}", controller.window());
}

#[test]
fn random_loss_alone_changes_nothing() {
    let now = Instant::now();
    let mut controller = controller(now);
    rounds(&mut *controller, now, 20, 400.0, |_| RTT);
    let before = controller.window();
    let mut sample = ack(now + RTT * 21, 100_000, 10, RTT);
    sample.lost = 5;
    controller.on_ack(&sample);
    assert!(controller.window() >= before);
}

#[test]
fn a_timeout_halves_the_estimate() {
    let now = Instant::now();
    let mut controller = controller(now);
    let before = rounds(&mut *controller, now, 20, 400.0, |_| RTT);
    controller.on_timeout(now);
    assert_eq!(controller.window(), LIMITS.initial);
    assert!(controller.pacing_rate().unwrap() <= before / 2.0 + 1.0);
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
