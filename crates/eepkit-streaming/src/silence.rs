//! Detection of peers with which the encryption session is lost.
//!
//! A router that restarts loses the keys of its encryption sessions. The router of the other side
//! may continue to encrypt with them, and nothing reports that the messages cannot be decrypted.
//! Two observations suggest this:
//!
//! * The peer answers neither SYN nor ping, or neither data nor ping. The ping is necessary because
//!   a SYN waits for the application of the peer to accept it, whereas streaming implementations
//!   answer pings themselves.
//! * The peer repeats a packet that was acknowledged, or a ping that was answered.
//!
//! Several repetitions in a row are stronger evidence that our packets do not arrive. A path that
//! has failed is then likelier than a lost encryption session.
//!
//! A peer of which nothing has arrived yet is not tested. There is no encryption session with it
//! that could be lost.

use std::time::{Duration, Instant};

/// What suggests that the encryption session with one peer is lost.
#[derive(Debug, Default)]
pub(crate) struct Silence {
    /// The first of the consecutive timeouts of SYN or data.
    since: Option<Instant>,
    /// The last of them.
    last: Option<Instant>,
    /// When the peer last pinged.
    pinged: Option<Instant>,
    /// When the last test was requested.
    tested: Option<Instant>,
    wants_test: bool,
    report: Option<Duration>,
    reported: Option<Instant>,
    /// When packets were last repeated several times without an effect.
    unheard: Option<Instant>,
}

impl Silence {
    /// Handles a SYN, or repeated data, that was not answered in time. `heard` is when the last
    /// packet of the peer arrived.
    pub(crate) fn on_unanswered(&mut self, now: Instant, heard: Option<Instant>) {
        let Some(heard) = heard else {
            return;
        };
        let since = |at| now.saturating_duration_since(at);
        if since(heard) < MIN_SILENCE {
            return;
        }
        if self.tested.is_none_or(|at| since(at) >= MIN_SILENCE) {
            self.tested = Some(now);
            self.wants_test = true;
        }
        let continues = self
            .last
            .is_some_and(|last| now.saturating_duration_since(last) < MAX_GAP);
        let since = match self.since {
            Some(since) if continues && heard <= since => since,
            _ => now,
        };
        self.since = Some(since);
        self.last = Some(now);
        let silence = now.saturating_duration_since(since);
        if silence >= MIN_SILENCE {
            self.report(now, silence);
        }
    }

    /// Handles a packet that the peer repeats although it was acknowledged.
    pub(crate) fn on_repeat(&mut self, now: Instant) {
        self.report(now, Duration::ZERO);
    }

    /// Handles a ping of the peer that was answered.
    pub(crate) fn on_ping(&mut self, now: Instant) {
        let before = self.pinged.replace(now);
        if before.is_some_and(|before| now.saturating_duration_since(before) < REPEATED_PING) {
            self.on_repeat(now);
        }
    }

    /// Handles several repetitions in a row: of data of the peer that was acknowledged, or of our data
    /// that is not acknowledged. The peer does not seem to receive what we send.
    pub(crate) fn on_unheard(&mut self, now: Instant) {
        self.unheard = Some(now);
        self.on_repeat(now);
    }

    /// Whether the peer does not seem to receive what we send.
    pub(crate) fn is_unheard(&self, now: Instant) -> bool {
        self.unheard
            .is_some_and(|at| now.saturating_duration_since(at) <= UNHEARD_LIFETIME)
    }

    /// Whether the peer is to be pinged. Resets the request.
    pub(crate) fn take_test(&mut self) -> bool {
        std::mem::take(&mut self.wants_test)
    }

    /// The duration of the silence that is to be reported. Resets the request.
    pub(crate) fn take_report(&mut self) -> Option<Duration> {
        self.report.take()
    }

    fn report(&mut self, now: Instant, silence: Duration) {
        if self
            .reported
            .is_none_or(|reported| now.saturating_duration_since(reported) >= SPACING)
        {
            self.reported = Some(now);
            self.report = Some(silence);
        }
    }
}

/// A peer that sent something within this time is not silent. A silence is reported this time after
/// the first test, and tests have this distance. Chosen as the time in which most answers to pings
/// arrive. The next SYN that is not answered follows later than that.
const MIN_SILENCE: Duration = Duration::from_secs(1);
/// Timeouts with a longer pause between them do not belong to one silence. Chosen above the longest
/// time between two transmissions of a SYN.
const MAX_GAP: Duration = Duration::from_secs(60);
/// Two pings of a peer within this time count as a repetition. Chosen above most intervals between
/// the transmissions of a SYN, with each of which a silent peer is pinged. Programs that ping at
/// intervals are reported as well, and the router then has no other evidence and ignores the report.
const REPEATED_PING: Duration = Duration::from_secs(60);
/// The least time between two reports. Chosen above the usual time of a round trip and a look-up,
/// because beginning a new encryption session discards the one before.
const SPACING: Duration = Duration::from_secs(3);
/// How long several repetitions count. Chosen above [`SPACING`], so that a report that was made
/// shortly before them does not hide them.
const UNHEARD_LIFETIME: Duration = Duration::from_secs(4);

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "a test needs some instant to count from"
)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_silence_is_tested_first_and_reported_later() {
        let start = Instant::now();
        let mut silence = Silence::default();
        silence.on_unanswered(start + seconds(1), Some(start));
        assert!(silence.take_test());
        assert_eq!(silence.take_report(), None);

        silence.on_unanswered(start + seconds(3), Some(start));
        assert!(silence.take_test());
        assert_eq!(silence.take_report(), Some(seconds(2)));
    }

    #[test]
    fn a_peer_that_was_heard_meanwhile_is_not_silent() {
        let start = Instant::now();
        let mut silence = Silence::default();
        silence.on_unanswered(start + seconds(1), Some(start));
        let answered = Some(start + seconds(2));
        silence.on_unanswered(start + seconds(3), answered);
        assert_eq!(silence.take_report(), None);
        silence.on_unanswered(start + seconds(7), answered);
        assert_eq!(silence.take_report(), Some(seconds(4)));
    }

    #[test]
    fn syn_of_several_streams_that_fail_at_the_same_time_are_not_a_silence() {
        let start = Instant::now();
        let mut silence = Silence::default();
        for _ in 0..5 {
            silence.on_unanswered(start + seconds(1), Some(start));
        }
        assert_eq!(silence.take_report(), None);
    }

    #[test]
    fn a_peer_of_which_nothing_has_arrived_is_neither_tested_nor_reported() {
        let start = Instant::now();
        let mut silence = Silence::default();
        for at in 0..60 {
            silence.on_unanswered(start + seconds(at), None);
        }
        assert!(!silence.take_test());
        assert_eq!(silence.take_report(), None);
    }

    #[test]
    fn an_attempt_after_a_long_pause_begins_another_silence() {
        let start = Instant::now();
        let mut silence = Silence::default();
        silence.on_unanswered(start + seconds(1), Some(start));
        silence.on_unanswered(start + seconds(1000), Some(start));
        assert_eq!(silence.take_report(), None);
    }

    #[test]
    fn a_peer_that_does_not_seem_to_receive_is_reported_and_this_is_forgotten() {
        let start = Instant::now();
        let mut silence = Silence::default();
        silence.on_repeat(start);
        assert!(!silence.is_unheard(start));

        silence.on_unheard(start + seconds(4));
        assert_eq!(silence.take_report(), Some(Duration::ZERO));
        assert!(silence.is_unheard(start + seconds(7)));
        assert!(!silence.is_unheard(start + seconds(9)));
    }

    #[test]
    fn repeated_pings_are_reported_at_most_once_per_spacing() {
        let start = Instant::now();
        let mut silence = Silence::default();
        silence.on_ping(start);
        assert_eq!(silence.take_report(), None);
        silence.on_ping(start + seconds(1));
        assert_eq!(silence.take_report(), Some(Duration::ZERO));
        silence.on_ping(start + seconds(2));
        assert_eq!(silence.take_report(), None);
        silence.on_ping(start + seconds(5));
        assert_eq!(silence.take_report(), Some(Duration::ZERO));
        silence.on_ping(start + seconds(65));
        assert_eq!(silence.take_report(), None);
    }
}
