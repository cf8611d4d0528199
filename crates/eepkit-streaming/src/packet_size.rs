//! The decision whether packets take one tunnel message. All streams to a peer share it.
//!
//! A packet is lost with any of its tunnel messages. i2pd also loses packets of several messages if
//! these are reordered, but none of one. Packets of one message carry a tenth less per message. They
//! are therefore tried where many of the longer ones are lost, and kept unless they are lost half as
//! often, and often.
//!
//! The path changes from time to time. Trials of a few long packets find out whether they are still
//! lost. Two in a row must succeed. They cost little, so the first one comes soon, and each that
//! fails doubles the time until the next.

use std::time::{Duration, Instant};

/// How many packets were acknowledged or declared lost.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Fates {
    known: u32,
    /// Those declared lost, less those of which the loss proved spurious.
    lost: i32,
}

impl Fates {
    pub(crate) const fn acked(&mut self, spurious: bool) {
        self.known += 1;
        if spurious {
            self.lost -= 1;
        }
    }

    pub(crate) const fn lost(&mut self) {
        self.known += 1;
        self.lost += 1;
    }

    fn add(&mut self, other: Self) {
        self.known = self.known.saturating_add(other.known);
        self.lost = self.lost.saturating_add(other.lost);
    }

    /// The share of lost packets.
    fn share(self) -> f64 {
        f64::from(self.lost.max(0)) / f64::from(self.known.max(1))
    }
}

/// The size of packets to a peer.
#[derive(Debug, Default)]
pub(crate) struct PacketSize {
    /// Packets of one tunnel message are used.
    short: Option<Short>,
    /// The loss of long packets.
    loss: Loss,
    /// Long packets until short ones may be tried again.
    pause: u32,
    /// Trials of either size without success. Each doubles the time until the next one.
    failures: u32,
}

/// The use of short packets.
#[derive(Debug, Default)]
struct Short {
    /// The share of long packets that were lost before.
    loss_before: f64,
    /// The loss of short packets.
    loss: Loss,
    /// Short packets since the beginning, or since the last trial of long ones.
    packets: u32,
    trial: Trial,
    /// Trials in a row in which long packets arrived.
    successes: u32,
}

/// A trial of long packets.
#[derive(Debug, Default)]
enum Trial {
    #[default]
    None,
    /// It is due, and no stream has begun it.
    Due,
    /// A stream sends long packets, with these fates.
    Running(Fates),
}

/// A change of the size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Change {
    Shorter,
    Longer,
}

impl Change {
    /// The number of packets that replace one packet.
    pub(crate) const fn ratio(self) -> f64 {
        match self {
            Self::Shorter => 2.0,
            Self::Longer => 0.5,
        }
    }
}

impl PacketSize {
    /// Packets of one tunnel message.
    #[cfg(test)]
    pub(crate) fn short() -> Self {
        Self {
            short: Some(Short::default()),
            ..Self::default()
        }
    }

    /// Whether packets take one tunnel message.
    pub(crate) const fn is_short(&self) -> bool {
        self.short.is_some()
    }

    /// Whether a trial is due. The caller has to send [`TRIAL_PACKETS`] long packets. True once for
    /// each trial.
    pub(crate) fn take_trial(&mut self) -> bool {
        match &mut self.short {
            Some(Short { trial, .. }) if matches!(trial, Trial::Due) => {
                *trial = Trial::Running(Fates::default());
                true
            }
            _ => false,
        }
    }

    /// Takes what became known about packets of more than one tunnel message, and of one.
    pub(crate) fn on_fates(
        &mut self,
        now: Instant,
        rtt: Duration,
        long: Fates,
        short: Fates,
    ) -> Option<Change> {
        let change = match &mut self.short {
            None => self.long_packets_are_lost(now, rtt, long),
            Some(state) => {
                let kept = KEPT << self.failures.min(MAX_DOUBLINGS);
                match state.on_fates(now, rtt, (long, short), kept) {
                    Verdict::Keep => None,
                    Verdict::LongFailed => {
                        self.failures += 1;
                        None
                    }
                    Verdict::LongWorks => {
                        self.failures = 0;
                        Some(Change::Longer)
                    }
                    Verdict::ShortFailed => {
                        self.failures += 1;
                        self.pause = kept;
                        Some(Change::Longer)
                    }
                }
            }
        }?;
        self.loss = Loss::default();
        if change == Change::Longer {
            self.short = None;
        }
        Some(change)
    }

    fn long_packets_are_lost(
        &mut self,
        now: Instant,
        rtt: Duration,
        fates: Fates,
    ) -> Option<Change> {
        self.pause = self.pause.saturating_sub(fates.known);
        if self.pause > 0 {
            return None;
        }
        let loss_before = self.loss.on_fates(now, rtt, fates, MUCH_LOSS)?;
        self.short = Some(Short {
            loss_before,
            ..Short::default()
        });
        Some(Change::Shorter)
    }
}

/// The loss of packets of one size, in spans. A span has at least [`SPAN`] packets, and takes at least a round
/// trip, because it takes as long until a loss proves spurious.
#[derive(Debug, Default)]
struct Loss {
    span: Fates,
    began: Option<Instant>,
    /// The spans before it that lost many.
    lossy: Fates,
    lossy_spans: u32,
}

impl Loss {
    /// Returns the share of lost packets once it has exceeded `limit` for [`LOSSY_SPANS`] spans in a row.
    fn on_fates(&mut self, now: Instant, rtt: Duration, fates: Fates, limit: f64) -> Option<f64> {
        self.span.add(fates);
        let began = *self.began.get_or_insert(now);
        if self.span.known < SPAN || now.saturating_duration_since(began) < rtt {
            return None;
        }
        let span = std::mem::take(&mut self.span);
        self.began = Some(now);
        if span.share() < limit {
            (self.lossy, self.lossy_spans) = (Fates::default(), 0);
            return None;
        }
        self.lossy.add(span);
        self.lossy_spans += 1;
        (self.lossy_spans >= LOSSY_SPANS).then(|| self.lossy.share())
    }
}

/// What the fates of packets say about the sizes.
enum Verdict {
    Keep,
    /// Long packets are still lost.
    LongFailed,
    /// Long packets are no longer lost.
    LongWorks,
    /// Short packets are lost, too.
    ShortFailed,
}

impl Short {
    /// `kept` is the number of packets before the next trial of long ones.
    fn on_fates(
        &mut self,
        now: Instant,
        rtt: Duration,
        (long, short): (Fates, Fates),
        kept: u32,
    ) -> Verdict {
        self.packets = self.packets.saturating_add(short.known);
        let limit = (self.loss_before * LESS_LOSS).max(MUCH_LOSS);
        if self.loss.on_fates(now, rtt, short, limit).is_some() {
            return Verdict::ShortFailed;
        }
        if let Trial::Running(fates) = &mut self.trial {
            fates.add(long);
            let fates = *fates;
            if fates.known >= TRIAL_PACKETS * 3 / 4 {
                (self.trial, self.packets) = (Trial::None, 0);
                if fates.share() >= MUCH_LOSS / 2.0 {
                    self.successes = 0;
                    return Verdict::LongFailed;
                }
                self.successes += 1;
                if self.successes == SUCCESSES {
                    return Verdict::LongWorks;
                }
            }
        }
        let pause = if self.successes > 0 { SPAN } else { kept };
        if self.packets >= pause {
            // A stream that ended has not finished its trial.
            (self.trial, self.packets) = (Trial::Due, 0);
        }
        Verdict::Keep
    }
}

/// The number of packets of a trial, and of trials that must succeed. Derived: a path that loses a tenth
/// of the packets loses less than half as many by chance in one of eight trials, and in one of sixty
/// pairs. Long packets that are lost cost much more than short ones that are not needed.
pub(crate) const TRIAL_PACKETS: u32 = 64;
const SUCCESSES: u32 = 2;
/// The share of lost packets from which short ones are tried. Chosen because their smaller payload
/// costs as much.
const MUCH_LOSS: f64 = 0.09;
/// The size changes after this many spans with such a loss. Chosen because a burst of losses, as at the end of
/// Startup or when a tunnel fails, ends sooner.
const SPAN: u32 = 128;
const LOSSY_SPANS: u32 = 3;
/// Short packets are kept unless they lose more than this share of what long ones lost, and much. Chosen because
/// short packets that are not needed cost little.
const LESS_LOSS: f64 = 0.5;
/// The number of packets before another trial, doubled each time. Chosen because a trial then costs 3 %
/// at first, and because i2pd keeps a path for 30 to 120 seconds.
const KEPT: u32 = 2048;
const MAX_DOUBLINGS: u32 = 4;

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "a test needs some instant to count from"
)]
mod tests {
    use super::*;

    const RTT: Duration = Duration::from_millis(500);

    /// The size of packets, and the time. Sixteen packets take an eighth of a round trip.
    struct Machine {
        size: PacketSize,
        now: Instant,
    }

    impl Machine {
        fn new() -> Self {
            Self {
                size: PacketSize::default(),
                now: Instant::now(),
            }
        }

        /// One for which long packets have been lost.
        fn shortened() -> Self {
            let mut machine = Self::new();
            assert_eq!(machine.long(800, 0.25), Some(Change::Shorter));
            assert!(machine.size.is_short());
            machine
        }

        /// One in which long packets have arrived once, and are sent again.
        fn in_second_trial() -> Self {
            let mut machine = Self::shortened();
            machine.short(KEPT, 0.0);
            assert!(machine.size.take_trial());
            assert_eq!(machine.long(TRIAL_PACKETS, 0.0), None);
            machine.short(SPAN, 0.0);
            assert!(machine.size.take_trial());
            machine
        }

        /// Takes the fates of long packets, and returns the first change.
        fn long(&mut self, known: u32, share: f64) -> Option<Change> {
            self.take(known, share, |all| (all, Fates::default()))
        }

        fn short(&mut self, known: u32, share: f64) -> Option<Change> {
            self.take(known, share, |all| (Fates::default(), all))
        }

        fn take(
            &mut self,
            known: u32,
            share: f64,
            kinds: impl Fn(Fates) -> (Fates, Fates),
        ) -> Option<Change> {
            (0..known / 16).find_map(|_| {
                self.now += RTT / 8;
                let (long, short) = kinds(fates(16, share));
                self.size.on_fates(self.now, RTT, long, short)
            })
        }
    }

    /// `known` packets, of which this share was lost.
    fn fates(known: u32, share: f64) -> Fates {
        let mut fates = Fates::default();
        for number in 1..=known {
            let lost = |number: u32| (f64::from(number) * share).floor();
            if lost(number) > lost(number - 1) {
                fates.lost();
            } else {
                fates.acked(false);
            }
        }
        fates
    }

    #[test]
    fn a_path_that_loses_a_fifth_gets_short_packets_after_three_round_trips() {
        let mut machine = Machine::new();
        assert_eq!(machine.long(3 * SPAN, 0.1875), None);
        assert_eq!(machine.long(SPAN / 2, 0.1875), Some(Change::Shorter));
    }

    #[test]
    fn a_path_that_loses_a_twentieth_keeps_long_packets() {
        let mut machine = Machine::new();
        assert_eq!(machine.long(100_000, 0.0625), None);
    }

    #[test]
    fn a_burst_of_losses_keeps_long_packets() {
        let mut machine = Machine::new();
        assert_eq!(machine.long(128, 0.75), None);
        assert_eq!(machine.long(10_000, 0.0), None);
    }

    #[test]
    fn short_packets_are_left_if_they_are_lost_as_well_and_not_tried_again_for_a_while() {
        let mut machine = Machine::shortened();
        assert_eq!(machine.short(4 * SPAN, 0.25), Some(Change::Longer));
        assert_eq!(machine.long(KEPT, 0.25), None);
        assert_eq!(machine.long(512, 0.25), Some(Change::Shorter));
    }

    #[test]
    fn short_packets_of_which_a_few_are_lost_are_kept() {
        let mut machine = Machine::shortened();
        assert_eq!(machine.short(KEPT, 0.0625), None);
    }

    #[test]
    fn a_burst_of_losses_keeps_short_packets() {
        let mut machine = Machine::shortened();
        assert_eq!(machine.short(128, 0.75), None);
        assert_eq!(machine.short(1024, 0.0), None);
    }

    #[test]
    fn a_trial_of_long_packets_that_are_lost_keeps_short_ones_for_twice_as_long() {
        let mut machine = Machine::shortened();
        for kept in [KEPT, 2 * KEPT, 4 * KEPT] {
            assert_eq!(machine.short(kept - 16, 0.0), None);
            assert!(!machine.size.take_trial());
            assert_eq!(machine.short(16, 0.0), None);
            assert!(machine.size.take_trial());
            assert!(!machine.size.take_trial(), "once for each trial");
            assert_eq!(machine.long(TRIAL_PACKETS, 0.25), None);
        }
    }

    #[test]
    fn two_trials_of_long_packets_that_arrive_end_the_use_of_short_ones() {
        let mut machine = Machine::in_second_trial();
        assert_eq!(machine.long(TRIAL_PACKETS, 0.0), Some(Change::Longer));
        assert!(!machine.size.is_short());
    }

    #[test]
    fn a_trial_that_succeeds_by_chance_keeps_short_packets() {
        let mut machine = Machine::in_second_trial();
        assert_eq!(machine.long(TRIAL_PACKETS, 0.25), None);
        machine.short(SPAN, 0.0);
        assert!(!machine.size.take_trial());
    }

    #[test]
    fn a_trial_that_its_stream_does_not_finish_is_repeated() {
        let mut machine = Machine::shortened();
        machine.short(KEPT, 0.0);
        assert!(machine.size.take_trial());
        machine.long(TRIAL_PACKETS / 4, 0.0);
        machine.short(KEPT, 0.0);
        assert!(machine.size.take_trial());
    }

    #[test]
    fn losses_that_proved_spurious_do_not_count() {
        let mut all = Fates::default();
        all.lost();
        all.acked(true);
        assert!(all.share() < 0.01);
        all.acked(true);
        assert!(all.share() >= 0.0);
    }
}
