//! The lease set of a session: the router's requests, the answers, and the expiry.

use std::time::{Duration, Instant};

use eepkit_wire::Lease;

use super::{
    core::Core,
    types::{Event, Handle, SessionCloseReason, UnreachableReason},
};
use crate::lease_set::SignedLeaseSet;

/// The lease set of one session.
#[derive(Default)]
pub(super) struct LeaseSets {
    /// The leases of the last request, until they are reported to the application.
    wanted: Option<Vec<Lease>>,
    /// The earliest time at which the next request is reported.
    report_from: Option<Instant>,
    /// The end of the leases that were reported last, on the router's clock in milliseconds.
    reported_end: u64,
    /// The earliest time at which the last request may be answered.
    answer_from: Option<Instant>,
    /// The lease set that is held until that time.
    held: Option<SignedLeaseSet>,
    /// The end of the lease set that was sent last, on the router's clock in milliseconds.
    expires: Option<u64>,
    /// Why and since when peers cannot reach the session, as the application was told.
    unreachable: Option<(UnreachableReason, Instant)>,
}

impl LeaseSets {
    /// Handles a request of the router. Only the last one is answered, because each replaces the
    /// requests before it.
    pub(super) fn request(&mut self, now: Instant, answer_after: Duration, leases: Vec<Lease>) {
        self.answer_from = Some(now + answer_after);
        self.wanted = Some(leases);
    }

    /// Stores the answer of the application.
    pub(super) fn hold(&mut self, lease_set: SignedLeaseSet) {
        self.held = Some(lease_set);
    }

    /// The lease set to send now, if there is one.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<SignedLeaseSet> {
        if self.answer_from.is_some_and(|from| from > now) {
            return None;
        }
        let lease_set = self.held.take()?;
        self.expires = Some(self.reported_end);
        self.unreachable = None;
        Some(lease_set)
    }

    /// Whether a lease set was sent to the router.
    pub(super) const fn was_sent(&self) -> bool {
        self.expires.is_some()
    }

    /// Reports the last request, or that peers cannot reach the session. Returns the reason to
    /// replace the session, once peers could not reach it for [`GRACE`].
    pub(super) fn check(
        &mut self,
        core: &mut Core,
        now: Instant,
        session: Handle,
    ) -> Result<Option<UnreachableReason>, SessionCloseReason> {
        self.report_wanted(core, now, session)?;
        let may_be_unread = core.stalled_until().is_some_and(|until| now < until);
        if self.has_expired(core, now) && self.unreachable.is_none() && !may_be_unread {
            if core.knows_clock(now) {
                self.fail(core, now, session, UnreachableReason::LeaseSetExpired);
            } else {
                ask(core, now)?;
            }
        }
        let failed = self
            .unreachable
            .filter(|(_, since)| now.saturating_duration_since(*since) >= GRACE);
        Ok(failed.map(|(reason, _)| reason))
    }

    fn report_wanted(
        &mut self,
        core: &mut Core,
        now: Instant,
        session: Handle,
    ) -> Result<(), SessionCloseReason> {
        if self.report_from.is_some_and(|from| from > now) {
            return Ok(());
        }
        let Some(leases) = self.wanted.take() else {
            return Ok(());
        };
        let end = leases.iter().map(|lease| lease.end).max().unwrap_or(0);
        let router_ms = core.router_ms(now);
        // A lease set has a resolution of seconds.
        let ago = (router_ms / 1000).checked_sub(end / 1000);
        match ago {
            Some(_) if !core.knows_clock(now) => {
                self.wanted = Some(leases);
                return ask(core, now);
            }
            Some(ago_s) if self.has_expired(core, now) || !self.was_sent() => {
                self.fail(
                    core,
                    now,
                    session,
                    UnreachableReason::TunnelsEnded { ago_s },
                );
            }
            // The lease set that was sent is still valid.
            Some(_) => {}
            None => {
                self.reported_end = end;
                core.event(Event::LeaseSetWanted {
                    session,
                    leases,
                    router_time: Duration::from_millis(router_ms),
                });
            }
        }
        self.report_from = Some(now + MIN_INTERVAL);
        Ok(())
    }

    fn has_expired(&self, core: &Core, now: Instant) -> bool {
        self.expires
            .is_some_and(|expires| core.instant_of(expires) <= now)
    }

    fn fail(&mut self, core: &mut Core, now: Instant, session: Handle, reason: UnreachableReason) {
        let overdue = self
            .expires
            .map_or(0, |expires| core.router_ms(now).saturating_sub(expires));
        let expired = now.checked_sub(Duration::from_millis(overdue));
        let since = self.unreachable.map(|(_, since)| since).or(expired);
        let since = Some(since.unwrap_or(now)).max(core.stalled).unwrap_or(now);
        self.unreachable = Some((reason, since));
        core.event(Event::Unreachable { session, reason });
    }

    /// When [`LeaseSets::check`] and [`LeaseSets::take_due`] have to be called.
    pub(super) fn next_timeout(&self, core: &Core) -> Option<Instant> {
        let awaited = core.clock_awaited_until();
        let held = self.answer_from.filter(|_| self.held.is_some());
        let wanted = self
            .report_from
            .max(awaited)
            .filter(|_| self.wanted.is_some());
        let expiry = match self.unreachable {
            Some((_, since)) => Some(since + GRACE),
            None => self
                .expires
                .map(|expires| core.instant_of(expires))
                .map(|at| {
                    Some(at)
                        .max(awaited)
                        .max(core.stalled_until())
                        .unwrap_or(at)
                }),
        };
        [held, wanted, expiry].into_iter().flatten().min()
    }
}

/// Requests the router's clock, unless a request is pending.
fn ask(core: &mut Core, now: Instant) -> Result<(), SessionCloseReason> {
    match core.date_asked {
        Some(_) => Ok(()),
        None => core.ask_date(now),
    }
}

/// The shortest time between two requests that are reported. The publication times of two lease sets
/// differ by at least a second, so that a burst of requests would move them ahead of the clock.
const MIN_INTERVAL: Duration = Duration::from_secs(1);

/// How long peers may be unable to reach a session before it is replaced. Chosen because routers
/// request a new lease set a minute or more before the last one expires.
const GRACE: Duration = Duration::from_secs(30);
