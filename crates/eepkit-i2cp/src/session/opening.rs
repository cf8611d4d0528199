//! The states before the session is open: waiting for SetDate, BandwidthLimits and SessionStatus.

use std::time::{Duration, Instant};

use eepkit_wire::Mapping;

use super::{
    core::Core,
    open::{Open, refusal},
    types::{Config, Event, Handle, SessionCloseReason},
};
use crate::{
    message::{Message, SessionConfig, SessionId, SessionStatus},
    options::Options,
    quirks::{self, RouterKind},
    version::ApiVersion,
};

/// A connection whose session is not open yet.
pub(super) enum Opening {
    Date(AwaitDate),
    Limits(AwaitLimits),
    Status(AwaitStatus),
}

/// The state after a message.
pub(super) enum Progress {
    Opening(Opening),
    Open(Box<Open>),
}

impl Opening {
    pub(super) fn new(config: Config, deadline: Instant) -> Self {
        Self::Date(AwaitDate { config, deadline })
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Date(_) => "AwaitDate",
            Self::Limits(_) => "AwaitLimits",
            Self::Status(_) => "AwaitStatus",
        }
    }

    pub(super) fn next_timeout(&self) -> Instant {
        match self {
            Self::Date(state) => state.deadline,
            Self::Limits(state) => state.give_up_at,
            Self::Status(state) => state.next_timeout(),
        }
    }

    pub(super) fn handle_timeout(
        self,
        core: &mut Core,
        now: Instant,
    ) -> Result<Self, SessionCloseReason> {
        match self {
            Self::Date(state) => state.handle_timeout(now).map(Self::Date),
            Self::Limits(state) => match state.handle_timeout(core, now)? {
                // The time limit of the session may end at the same time.
                Self::Status(state) => state.handle_timeout(core, now).map(Self::Status),
                state => Ok(state),
            },
            Self::Status(state) => state.handle_timeout(core, now).map(Self::Status),
        }
    }

    pub(super) fn handle(
        self,
        core: &mut Core,
        now: Instant,
        message: Message,
    ) -> Result<Progress, SessionCloseReason> {
        match self {
            Self::Date(state) => state.handle(core, now, message).map(Progress::Opening),
            Self::Limits(state) => state.handle(core, now, &message).map(Progress::Opening),
            Self::Status(state) => state.handle(core, now, &message),
        }
    }
}

/// The user name and password among the options.
pub(super) fn login(options: &Options) -> Mapping {
    let mut login = Mapping::new();
    for key in ["i2cp.username", "i2cp.password"] {
        if let Some(value) = options.get(key)
            && login.insert(key, value).is_err()
        {
            // A value this long is not valid with any router. The router refuses the login.
            continue;
        }
    }
    login
}

/// GetDate was sent. SetDate is the expected answer.
pub(super) struct AwaitDate {
    config: Config,
    deadline: Instant,
}

impl AwaitDate {
    fn handle_timeout(self, now: Instant) -> Result<Self, SessionCloseReason> {
        if now < self.deadline {
            return Ok(self);
        }
        Err(SessionCloseReason::Timeout(
            "the router did not answer the first message",
        ))
    }

    fn handle(
        self,
        core: &mut Core,
        now: Instant,
        message: Message,
    ) -> Result<Opening, SessionCloseReason> {
        let Message::SetDate(date) = message else {
            let why = format!("a first message of type {}", message.kind().0);
            return Err(SessionCloseReason::NotI2cp(why));
        };
        core.router.version = match &date.version {
            None => ApiVersion::UNREPORTED,
            Some(text) => text
                .as_str()
                .parse()
                .map_err(|_| SessionCloseReason::NotI2cp("no API version".to_owned()))?,
        };
        core.set_clock(now, date.date);
        if let Some(kind) = core.told_router {
            return create(self.config, self.deadline, kind, core, now);
        }
        core.send(&Message::GetBandwidthLimits)?;
        Ok(Opening::Limits(AwaitLimits {
            config: self.config,
            deadline: self.deadline,
            give_up_at: (now + LIMITS_TIMEOUT).min(self.deadline),
        }))
    }
}

/// GetBandwidthLimits was sent. The answer identifies the router's program.
pub(super) struct AwaitLimits {
    config: Config,
    deadline: Instant,
    give_up_at: Instant,
}

impl AwaitLimits {
    fn handle_timeout(self, core: &mut Core, now: Instant) -> Result<Opening, SessionCloseReason> {
        if now < self.give_up_at {
            return Ok(Opening::Limits(self));
        }
        create(self.config, self.deadline, RouterKind::Unknown, core, now)
    }

    fn handle(
        self,
        core: &mut Core,
        now: Instant,
        message: &Message,
    ) -> Result<Opening, SessionCloseReason> {
        let Message::BandwidthLimits(limits) = message else {
            return Ok(Opening::Limits(self));
        };
        let kind = quirks::detect(limits);
        create(self.config, self.deadline, kind, core, now)
    }
}

/// Sends CreateSession, or returns an error if the router does not support this session.
fn create(
    config: Config,
    deadline: Instant,
    kind: RouterKind,
    core: &mut Core,
    now: Instant,
) -> Result<Opening, SessionCloseReason> {
    core.router.kind = kind;
    let version = core.router.version;
    core.event(Event::Connected {
        version,
        router: kind,
    });
    if let Some((key, why)) = quirks::unsupported(kind, &config.keys, &config.options) {
        return Err(SessionCloseReason::BadOption {
            key: key.to_owned(),
            why: why.to_owned(),
        });
    }
    if version < ApiVersion::LEASE_SET_2 && config.options.lease_set_type() != 1 {
        let needed = ApiVersion::LEASE_SET_2;
        return Err(SessionCloseReason::BadOption {
            key: "i2cp.leaseSetType".to_owned(),
            why: format!("the router has API version {version}, this needs {needed} or later"),
        });
    }
    let created = core.session_config(now, &config.keys, &config.options)?;
    core.send(&Message::CreateSession(created.clone()))?;
    Ok(Opening::Status(AwaitStatus {
        config,
        deadline,
        created,
        repeat_at: quirks::create_repeats_after(kind).map(|after| now + after),
    }))
}

/// CreateSession was sent. SessionStatus is the expected answer.
pub(super) struct AwaitStatus {
    config: Config,
    deadline: Instant,
    created: SessionConfig,
    repeat_at: Option<Instant>,
}

impl AwaitStatus {
    fn next_timeout(&self) -> Instant {
        self.repeat_at
            .map_or(self.deadline, |at| at.min(self.deadline))
    }

    fn handle_timeout(mut self, core: &mut Core, now: Instant) -> Result<Self, SessionCloseReason> {
        if now >= self.deadline {
            return Err(SessionCloseReason::Timeout(
                "the router did not accept the session",
            ));
        }
        if self.repeat_at.is_some_and(|at| at <= now) {
            self.repeat_at = quirks::create_repeats_after(core.router.kind).map(|d| now + d);
            core.send(&Message::CreateSession(self.created.clone()))?;
        }
        Ok(self)
    }

    fn handle(
        self,
        core: &mut Core,
        now: Instant,
        message: &Message,
    ) -> Result<Progress, SessionCloseReason> {
        let &Message::SessionStatus { session, status } = message else {
            return Ok(Progress::Opening(Opening::Status(self)));
        };
        match status {
            SessionStatus::CREATED if session == SessionId::NONE => Err(
                SessionCloseReason::Protocol("a session without an id".to_owned()),
            ),
            SessionStatus::CREATED => {
                core.event(Event::Opened(Handle::PRIMARY));
                let open = Open::new(self.config, session, now);
                Ok(Progress::Open(Box::new(open)))
            }
            other => Err(refusal(other, self.config.keys.offline().is_some())),
        }
    }
}

/// The time to wait for the router's limits before the session is opened without them. Chosen as a
/// short delay for a router that does not answer; all known routers answer at once.
const LIMITS_TIMEOUT: Duration = Duration::from_secs(3);
