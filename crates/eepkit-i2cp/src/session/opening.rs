//! The states before the session is open: date, limits, status.

use std::time::{Duration, Instant};

use eepkit_wire::Mapping;

use super::{
    Core, State,
    open::Open,
    types::{CloseReason, Config, Event, Handle},
};
use crate::{
    ApiVersion, Options, RouterKind,
    message::{Message, SessionConfig, SessionId, SessionStatus},
    quirks,
};

/// User name and password, where they are given.
pub(super) fn login(options: &Options) -> Mapping {
    let mut login = Mapping::new();
    for key in ["i2cp.username", "i2cp.password"] {
        if let Some(value) = options.get(key)
            && login.insert(key, value).is_err()
        {
            // Too long for any router to have; the router will say that the login is wrong.
            continue;
        }
    }
    login
}

/// GetDate was sent; SetDate comes next.
pub(super) struct AwaitDate {
    config: Config,
    deadline: Instant,
}

impl AwaitDate {
    pub(super) fn new(config: Config, deadline: Instant) -> Self {
        Self { config, deadline }
    }

    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    pub(super) fn handle_timeout(self, core: &mut Core, now: Instant) -> State {
        if now < self.deadline {
            return State::AwaitDate(self);
        }
        core.close(CloseReason::Timeout(
            "the router did not answer the greeting",
        ))
    }

    pub(super) fn handle(self, core: &mut Core, now: Instant, message: Message) -> State {
        let Message::SetDate(date) = message else {
            let why = format!("a first message of type {}", message.kind().0);
            return core.close(CloseReason::NotI2cp(why));
        };
        core.router.version = match &date.version {
            None => ApiVersion::UNTOLD,
            Some(text) => match text.as_str().parse() {
                Ok(version) => version,
                Err(_) => return core.close(CloseReason::NotI2cp("no API version".to_owned())),
            },
        };
        core.set_clock(now, date.date);
        if let Some(kind) = core.told_router {
            return create(self.config, self.deadline, kind, core, now);
        }
        match core.send(&Message::GetBandwidthLimits) {
            Ok(()) => State::AwaitLimits(AwaitLimits {
                config: self.config,
                deadline: self.deadline,
                give_up_at: (now + LIMITS_TIMEOUT).min(self.deadline),
            }),
            Err(reason) => core.close(reason),
        }
    }
}

/// The router was asked for its limits, which tell which program it is.
pub(super) struct AwaitLimits {
    config: Config,
    deadline: Instant,
    give_up_at: Instant,
}

impl AwaitLimits {
    pub(super) fn next_timeout(&self) -> Instant {
        self.give_up_at
    }

    pub(super) fn handle_timeout(self, core: &mut Core, now: Instant) -> State {
        if now < self.give_up_at {
            return State::AwaitLimits(self);
        }
        create(self.config, self.deadline, RouterKind::Unknown, core, now)
    }

    pub(super) fn handle(self, core: &mut Core, now: Instant, message: &Message) -> State {
        match message {
            Message::BandwidthLimits(limits) => create(
                self.config,
                self.deadline,
                quirks::detect(limits),
                core,
                now,
            ),
            _ => State::AwaitLimits(self),
        }
    }
}

/// Sends CreateSession, unless this router cannot open such a session.
fn create(
    config: Config,
    deadline: Instant,
    kind: RouterKind,
    core: &mut Core,
    now: Instant,
) -> State {
    core.router.kind = kind;
    let version = core.router.version;
    core.event(Event::Connected {
        version,
        router: kind,
    });
    if let Some((key, why)) = quirks::unsupported(kind, &config.keys, &config.options) {
        return core.close(CloseReason::BadOption {
            key: key.to_owned(),
            why: why.to_owned(),
        });
    }
    if version < ApiVersion::LEASE_SET_2 && config.options.lease_set_type() != 1 {
        let needed = ApiVersion::LEASE_SET_2;
        return core.close(CloseReason::BadOption {
            key: "i2cp.leaseSetType".to_owned(),
            why: format!("the router speaks {version}, this needs {needed} or later"),
        });
    }
    let sent = core
        .session_config(now, &config.keys, &config.options)
        .map(Message::CreateSession)
        .and_then(|message| core.send(&message).map(|()| message));
    match sent {
        Ok(Message::CreateSession(created)) => State::AwaitStatus(AwaitStatus {
            config,
            deadline,
            created,
            repeat_at: quirks::create_repeats_after(kind).map(|after| now + after),
        }),
        Ok(_) => State::Closed,
        Err(reason) => core.close(reason),
    }
}

/// CreateSession was sent.
pub(super) struct AwaitStatus {
    config: Config,
    deadline: Instant,
    created: SessionConfig,
    repeat_at: Option<Instant>,
}

impl AwaitStatus {
    pub(super) fn next_timeout(&self) -> Instant {
        self.repeat_at
            .map_or(self.deadline, |at| at.min(self.deadline))
    }

    pub(super) fn handle_timeout(mut self, core: &mut Core, now: Instant) -> State {
        if now >= self.deadline {
            return core.close(CloseReason::Timeout(
                "the router did not accept the session",
            ));
        }
        if self.repeat_at.is_some_and(|at| at <= now) {
            self.repeat_at = quirks::create_repeats_after(core.router.kind).map(|d| now + d);
            if let Err(reason) = core.send(&Message::CreateSession(self.created.clone())) {
                return core.close(reason);
            }
        }
        State::AwaitStatus(self)
    }

    pub(super) fn handle(self, core: &mut Core, now: Instant, message: Message) -> State {
        let Message::SessionStatus { session, status } = message else {
            return State::AwaitStatus(self);
        };
        match status {
            SessionStatus::CREATED if session == SessionId::NONE => core.close(
                CloseReason::Protocol("a session without a number".to_owned()),
            ),
            SessionStatus::CREATED => {
                core.event(Event::Opened(Handle::PRIMARY));
                State::Open(Box::new(Open::new(self.config, session, now)))
            }
            other => {
                let offline = self.config.keys.offline().is_some();
                core.close(refusal(other, offline))
            }
        }
    }
}

/// What it means that the router did not open a session.
///
/// i2pd says "invalid" to a destination that is there already. What we send is well-formed and
/// signed, so nothing else is left for it to mean, but for offline keys, which i2pd cannot check.
pub(super) fn refusal(status: SessionStatus, offline: bool) -> CloseReason {
    match status {
        SessionStatus::INVALID if offline => {
            CloseReason::Refused("it does not take offline keys".to_owned())
        }
        SessionStatus::INVALID => CloseReason::Duplicate,
        SessionStatus::REFUSED => CloseReason::Refused("it cannot open another session".to_owned()),
        other => CloseReason::Refused(format!("status {}", other.0)),
    }
}

/// How long the router may take to tell its limits before the session is opened without knowing
/// them. All known routers answer at once; chosen so that one that does not costs little.
const LIMITS_TIMEOUT: Duration = Duration::from_secs(3);
