//! The data that every phase of a connection uses.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use eepkit_wire::PrivateKeys;

use super::{
    lookups::{Effects, Lookups, Router},
    types::{Event, LookupFailure, SessionCloseReason},
};
use crate::{
    message::{Message, SessionConfig},
    options::Options,
    output::OutputBuffer,
    quirks::{self, RouterKind},
};

/// The part of a session machine that all states share.
pub(super) struct Core {
    pub(super) router: Router,
    /// The router's program, if the caller named it.
    pub(super) told_router: Option<RouterKind>,
    pub(super) start: Instant,
    pub(super) start_unix: Duration,
    /// The router's clock minus ours, in milliseconds.
    pub(super) offset_ms: i64,
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

    /// Stores the offset of the router's clock, because the router checks dates and deadlines
    /// against that clock.
    pub(super) fn set_clock(&mut self, now: Instant, router_ms: u64) {
        let ours = i64::try_from(self.unix_ms(now)).unwrap_or(i64::MAX);
        let theirs = i64::try_from(router_ms).unwrap_or(i64::MAX);
        self.offset_ms = theirs.saturating_sub(ours);
        self.event(Event::ClockOffset(self.offset_ms));
    }

    /// The local time in milliseconds since 1970.
    fn unix_ms(&self, now: Instant) -> u64 {
        let unix = self
            .start_unix
            .saturating_add(now.saturating_duration_since(self.start));
        u64::try_from(unix.as_millis()).unwrap_or(u64::MAX)
    }

    /// The router's time in milliseconds since 1970.
    pub(super) fn router_ms(&self, now: Instant) -> u64 {
        self.unix_ms(now).saturating_add_signed(self.offset_ms)
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
