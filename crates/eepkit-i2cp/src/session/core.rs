//! The data that every phase of a connection uses.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use eepkit_wire::{Mapping, PrivateKeys};

use super::{
    lookups::{Effects, Lookups, Router},
    types::{Event, LookupFailure, SessionCloseReason},
};
use crate::{
    message::{GetDate, Message, SessionConfig, Text},
    options::Options,
    output::OutputBuffer,
    quirks::{self, RouterKind},
    version::ApiVersion,
};

/// The part of a session machine that all states share.
pub(super) struct Core {
    pub(super) router: Router,
    /// The router's program, if the caller named it.
    pub(super) told_router: Option<RouterKind>,
    /// The router's clock, as its last SetDate reported it: an instant, and the time in milliseconds
    /// since 1970. Until the first SetDate, a guess that nothing uses.
    pub(super) clock: (Instant, u64),
    /// When the router was last asked for its date, until it answers.
    pub(super) date_asked: Option<Instant>,
    /// When the router last sent anything.
    pub(super) heard: Instant,
    /// When the driver last did not read, because its application accepted no events.
    pub(super) stalled: Option<Instant>,
    /// When the router was last asked for a sign of life, until it sends anything.
    pub(super) probed: Option<Instant>,
    /// The login for GetDate.
    pub(super) login: Mapping,
    pub(super) lookups: Lookups,
    /// Bounded by the driver, which passes no input while too many bytes are unsent.
    pub(super) output: OutputBuffer,
    /// Bounded by the number of events of one input, because the driver drains it after each.
    pub(super) events: VecDeque<Event>,
}

impl Core {
    pub(super) fn send(&mut self, message: &Message) -> Result<(), SessionCloseReason> {
        message
            .encode_frame(self.output.append())
            .map_err(|error| SessionCloseReason::BadOption {
                key: "session".to_owned(),
                why: error.to_string(),
            })
    }

    pub(super) fn event(&mut self, event: Event) {
        self.events.push_back(event);
    }

    pub(super) fn apply(&mut self, effects: Effects) -> Result<(), SessionCloseReason> {
        self.events.extend(effects.events);
        for message in &effects.messages {
            self.send(message)?;
        }
        Ok(())
    }

    /// Fails all look-ups, and reports the end of the connection.
    pub(super) fn close(&mut self, reason: SessionCloseReason) {
        self.events
            .extend(self.lookups.fail_all(LookupFailure::Closed).events);
        self.event(Event::Closed(reason));
    }

    /// Stores the router's time. The router checks dates and deadlines against its own clock, and
    /// the leases of its tunnels end on it. Returns whether the answer may have been read long after
    /// it was sent, because this process was stopped, so that the time is not exact.
    pub(super) fn set_clock(&mut self, now: Instant, router_ms: u64) -> bool {
        let asked = self.date_asked.take();
        self.clock = (now, router_ms);
        self.event(Event::RouterClock(Duration::from_millis(router_ms)));
        asked.is_some_and(|asked| now.saturating_duration_since(asked) > FRESH_CLOCK)
    }

    /// Asks the router for its date. The answer also proves that the router still reads.
    pub(super) fn ask_date(&mut self, now: Instant) -> Result<(), SessionCloseReason> {
        self.date_asked = Some(now);
        self.probed = self.probed.or(Some(now));
        self.send(&Message::GetDate(GetDate {
            version: Text::new(&ApiVersion::OURS.to_string()),
            login: self.login.clone(),
        }))
    }

    /// Whether the router's clock was read recently, or the router does not answer.
    pub(super) fn knows_clock(&self, now: Instant) -> bool {
        let (read, _) = self.clock;
        now.saturating_duration_since(read) <= FRESH_CLOCK
            || self
                .date_asked
                .is_some_and(|asked| now.saturating_duration_since(asked) >= DATE_TIMEOUT)
    }

    /// When [`Core::knows_clock`] becomes true without an answer; `None` if no answer is awaited.
    pub(super) fn clock_awaited_until(&self) -> Option<Instant> {
        self.date_asked.map(|asked| asked + DATE_TIMEOUT)
    }

    /// The router sent something, or the driver has not read.
    pub(super) fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.probed = None;
    }

    /// The driver is not reading. Requests of the router may wait.
    pub(super) fn stall(&mut self, now: Instant) {
        self.heard(now);
        self.stalled = Some(now);
    }

    /// Until when requests of the router may wait to be read.
    pub(super) fn stalled_until(&self) -> Option<Instant> {
        self.stalled.map(|at| at + CATCH_UP)
    }

    /// When the silence of the router has to be handled.
    pub(super) fn silence_timeout(&self) -> Instant {
        match self.probed {
            Some(probed) => probed + ANSWER_TIMEOUT,
            None => self.heard + KEEP_ALIVE,
        }
    }

    /// Asks a silent router for a sign of life, and ends the connection if there is none.
    pub(super) fn check_silence(&mut self, now: Instant) -> Result<(), SessionCloseReason> {
        let due = self.silence_timeout();
        if now < due {
            return Ok(());
        }
        // A call that is late means that this process was stopped, perhaps with an answer unread.
        let late = now.saturating_duration_since(due) > LATE;
        if self.probed.is_some() && !late {
            let silent = now.saturating_duration_since(self.heard);
            return Err(SessionCloseReason::Silent(Duration::from_secs(
                silent.as_secs(),
            )));
        }
        self.probed = Some(now);
        self.ask_date(now)
    }

    /// The router's time in milliseconds since 1970.
    pub(super) fn router_ms(&self, now: Instant) -> u64 {
        let (read, ms) = self.clock;
        let passed = now.saturating_duration_since(read).as_millis();
        ms.saturating_add(u64::try_from(passed).unwrap_or(u64::MAX))
    }

    /// The instant of a time on the router's clock, in milliseconds since 1970.
    pub(super) fn instant_of(&self, ms: u64) -> Instant {
        let (read, then) = self.clock;
        match ms.checked_sub(then) {
            Some(ahead) => read + Duration::from_millis(ahead).min(MAX_AHEAD),
            None => read,
        }
    }

    /// Signs the configuration of a session for this router.
    pub(super) fn session_config(
        &self,
        now: Instant,
        keys: &PrivateKeys,
        options: &Options,
    ) -> Result<SessionConfig, SessionCloseReason> {
        let mut told = options.for_router();
        let key = "i2cp.dontPublishLeaseSet";
        told.remove(key);
        let dont_publish = options.dont_publish_lease_set();
        let Router { kind, version } = self.router;
        if let Some(value) = quirks::dont_publish_value(kind, version, dont_publish) {
            told.insert(key.to_owned(), value.to_owned());
        }
        SessionConfig::sign(keys, told, self.router_ms(now)).map_err(|error| {
            SessionCloseReason::BadOption {
                key: "session".to_owned(),
                why: error.to_string(),
            }
        })
    }
}

/// The idle time after which the router is asked for a sign of life. Chosen because it costs a
/// message a minute, and because a dead session should be replaced before its lease set expires.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// How long the router may take to send anything after that. Chosen because routers answer at once,
/// but stall for some seconds under load.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// How long after a time without reading the requests of the router count as unread. Chosen as many
/// times what reading them takes.
const CATCH_UP: Duration = Duration::from_secs(10);

/// How late a timeout may be handled before the process counts as having been stopped.
const LATE: Duration = Duration::from_secs(5);

/// The age up to which the router's date is used to decide that leases have ended. Chosen because a
/// clock that is set changes by seconds or more.
const FRESH_CLOCK: Duration = Duration::from_secs(5);

/// How long to wait for the router's date before the last known one is used.
const DATE_TIMEOUT: Duration = Duration::from_secs(10);

/// The furthest time on the router's clock that is converted to an instant. Chosen so that adding it
/// to an instant never overflows, and above the lifetime of every lease set (18 hours).
const MAX_AHEAD: Duration = Duration::from_secs(24 * 3600);
