//! The look-ups that wait for an answer.
//!
//! Look-ups of the same target share one request on the wire. This saves traffic, and emissary
//! answers only one of several equal requests. Requests are not sent before the session's first
//! lease set, because routers fail or ignore look-ups before there are tunnels. The timeouts of
//! look-ups run meanwhile.

use std::time::{Duration, Instant};

use eepkit_wire::{Destination, Hash, Mapping};

use super::types::{Event, Found, LookupFailure, LookupTarget};
use crate::{
    message::{DestReply, HostLookup, HostReply, HostResult, LookupKey, Message, SessionId, Text},
    quirks::{self, RouterKind},
    version::ApiVersion,
};

#[derive(Debug, Default)]
pub(super) struct Lookups {
    requests: Vec<Request>,
    next_request: u32,
    /// Set once requests can be sent.
    session: Option<SessionId>,
}

#[derive(Debug)]
struct Request {
    number: u32,
    target: Target,
    form: Form,
    waiting: Vec<Waiting>,
    repeat_at: Option<Instant>,
}

#[derive(Debug)]
struct Waiting {
    id: u32,
    deadline: Instant,
}

/// The normalized target of a look-up, so that equal targets compare equal.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Target {
    Hash(Hash),
    Name(Text),
    LeaseSet(Destination),
}

/// The message type with which a request was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Not sent yet.
    Held,
    /// HostLookup of a type that fetches the lease set.
    Fetching,
    /// HostLookup of type 0 or 1.
    Plain,
    /// DestLookup, for routers before 0.9.11.
    Old,
}

/// The properties of the router that its quirks depend on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Router {
    pub(super) kind: RouterKind,
    pub(super) version: ApiVersion,
}

/// The results of an operation: messages to send to the router, and events for the application.
#[derive(Debug, Default)]
pub(super) struct Effects {
    pub(super) messages: Vec<Message>,
    pub(super) events: Vec<Event>,
}

impl Effects {
    fn done(&mut self, id: u32, result: Result<Found, LookupFailure>) {
        self.events.push(Event::LookupDone { id, result });
    }
}

impl Lookups {
    /// Starts a look-up, or adds it to the request for the same target.
    pub(super) fn start(
        &mut self,
        now: Instant,
        router: Router,
        id: u32,
        target: LookupTarget,
        timeout: Duration,
    ) -> Effects {
        let mut effects = Effects::default();
        let target = match Target::new(target) {
            Ok(target) => target,
            Err(failure) => {
                effects.done(id, Err(failure));
                return effects;
            }
        };
        if self
            .requests
            .iter()
            .map(|request| request.waiting.len())
            .sum::<usize>()
            >= MAX_WAITING
        {
            effects.done(id, Err(LookupFailure::Busy));
            return effects;
        }
        let waiting = Waiting {
            id,
            deadline: now + timeout.min(MAX_TIMEOUT),
        };
        if let Some(request) = self
            .requests
            .iter_mut()
            .find(|request| request.target == target)
        {
            request.waiting.push(waiting);
            return effects;
        }
        let number = self.next_request;
        self.next_request = number.wrapping_add(1);
        let mut request = Request {
            number,
            target,
            form: Form::Held,
            waiting: vec![waiting],
            repeat_at: None,
        };
        if let Some(session) = self.session {
            match request.send(now, router, session) {
                Ok(message) => effects.messages.push(message),
                Err(failure) => {
                    effects.done(id, Err(failure));
                    return effects;
                }
            }
        }
        self.requests.push(request);
        effects
    }

    /// Sends the held requests. From now on, requests are sent at once.
    pub(super) fn release(&mut self, now: Instant, router: Router, session: SessionId) -> Effects {
        let mut effects = Effects::default();
        if self.session.replace(session).is_some() {
            return effects;
        }
        self.requests
            .retain_mut(|request| match request.send(now, router, session) {
                Ok(message) => {
                    effects.messages.push(message);
                    true
                }
                Err(failure) => {
                    for waiting in &request.waiting {
                        effects.done(waiting.id, Err(failure));
                    }
                    false
                }
            });
        effects
    }

    /// Handles a HostReply. An answer to an unknown request is ignored.
    pub(super) fn host_reply(&mut self, now: Instant, router: Router, reply: HostReply) -> Effects {
        let mut effects = Effects::default();
        let Some(index) = self
            .requests
            .iter()
            .position(|request| request.number == reply.request)
        else {
            return effects;
        };
        let request = &mut self.requests[index];
        let result = request.classify(router, &reply);
        // i2pd reports a failure if it does not support the type of the look-up, so the look-up is
        // repeated with a plain type.
        let inconclusive = matches!(
            reply.result,
            HostResult::FAILURE | HostResult::TYPE_UNSUPPORTED
        );
        if request.form == Form::Fetching && inconclusive {
            request.form = Form::Plain;
            if let Some(session) = self.session {
                effects.messages.push(request.message(now, session));
            }
            return effects;
        }
        self.finish(index, result, &mut effects);
        effects
    }

    /// Handles a DestReply, which routers before 0.9.11 send.
    pub(super) fn dest_reply(&mut self, reply: DestReply) -> Effects {
        let mut effects = Effects::default();
        let (hash, result) = match reply {
            DestReply::Found(destination) => {
                let hash = destination.hash();
                (
                    Some(hash),
                    Ok(Found {
                        destination,
                        options: Mapping::default(),
                    }),
                )
            }
            DestReply::NotFound(hash) => (Some(hash), Err(LookupFailure::LeaseSetNotFound)),
            DestReply::Failed => (None, Err(LookupFailure::LeaseSetNotFound)),
        };
        let found = self.requests.iter().position(|request| {
            request.form == Form::Old && hash.is_none_or(|hash| request.target.hash() == Some(hash))
        });
        if let Some(index) = found {
            self.finish(index, result, &mut effects);
        }
        effects
    }

    /// Fails look-ups whose deadline has passed, and repeats requests that are due.
    pub(super) fn handle_timeout(&mut self, now: Instant, router: Router) -> Effects {
        let mut effects = Effects::default();
        for request in &mut self.requests {
            request.waiting.retain(|waiting| {
                let overdue = waiting.deadline <= now;
                if overdue {
                    effects.done(waiting.id, Err(LookupFailure::Timeout));
                }
                !overdue
            });
        }
        self.requests.retain(|request| !request.waiting.is_empty());
        let Some(session) = self.session else {
            return effects;
        };
        for request in &mut self.requests {
            if request.repeat_at.is_some_and(|at| at <= now) {
                request.repeat_at = quirks::lookup_repeats_after(router.kind).map(|d| now + d);
                effects.messages.push(request.message(now, session));
            }
        }
        effects
    }

    /// The time of the next call of [`Lookups::handle_timeout`].
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let deadlines = self
            .requests
            .iter()
            .flat_map(|request| request.waiting.iter().map(|w| w.deadline));
        let repeats = self.requests.iter().filter_map(|request| request.repeat_at);
        deadlines.chain(repeats).min()
    }

    /// Fails all look-ups.
    pub(super) fn fail_all(&mut self, failure: LookupFailure) -> Effects {
        let mut effects = Effects::default();
        for request in self.requests.drain(..) {
            for waiting in request.waiting {
                effects.done(waiting.id, Err(failure));
            }
        }
        effects
    }

    fn finish(
        &mut self,
        index: usize,
        result: Result<Found, LookupFailure>,
        effects: &mut Effects,
    ) {
        let request = self.requests.swap_remove(index);
        for waiting in request.waiting {
            effects.done(waiting.id, result.clone());
        }
    }
}

impl Request {
    /// The message that sends the request for the first time.
    fn send(
        &mut self,
        now: Instant,
        router: Router,
        session: SessionId,
    ) -> Result<Message, LookupFailure> {
        self.form = match &self.target {
            Target::Name(_) if router.version < ApiVersion::HOST_LOOKUP => {
                return Err(LookupFailure::Unsupported);
            }
            _ if router.version < ApiVersion::HOST_LOOKUP => Form::Old,
            Target::LeaseSet(_) if quirks::looks_up_lease_sets(router.kind, router.version) => {
                Form::Fetching
            }
            _ => Form::Plain,
        };
        self.repeat_at = quirks::lookup_repeats_after(router.kind).map(|after| now + after);
        Ok(self.message(now, session))
    }

    fn message(&self, now: Instant, session: SessionId) -> Message {
        let key = match (&self.target, self.form) {
            (Target::LeaseSet(destination), Form::Fetching) => {
                LookupKey::DestinationWithOptions(destination.clone())
            }
            (Target::LeaseSet(destination), Form::Old) => {
                return Message::DestLookup(destination.hash());
            }
            (Target::Hash(hash), Form::Old) => return Message::DestLookup(*hash),
            (Target::LeaseSet(destination), _) => LookupKey::Hash(destination.hash()),
            (Target::Hash(hash), _) => LookupKey::Hash(*hash),
            (Target::Name(name), _) => LookupKey::Name(name.clone()),
        };
        let left = self
            .waiting
            .iter()
            .map(|waiting| waiting.deadline.saturating_duration_since(now))
            .max()
            .unwrap_or_default();
        let timeout = u32::try_from(left.as_millis()).unwrap_or(u32::MAX);
        Message::HostLookup(HostLookup {
            session,
            request: self.number,
            timeout,
            key,
        })
    }

    fn classify(&self, router: Router, reply: &HostReply) -> Result<Found, LookupFailure> {
        let not_found = match &self.target {
            Target::Name(name) if is_blinded_address(name.as_str()) => match router.kind {
                RouterKind::Emissary | RouterKind::I2pd => LookupFailure::Unsupported,
                _ => LookupFailure::LeaseSetNotFound,
            },
            Target::Name(_) => LookupFailure::NameNotFound,
            Target::Hash(_) | Target::LeaseSet(_) => LookupFailure::LeaseSetNotFound,
        };
        match (reply.result, &reply.destination) {
            (HostResult::SUCCESS, Some(destination)) => match self.target.hash() {
                Some(hash) if hash != destination.hash() => Err(not_found),
                _ => Ok(Found {
                    destination: destination.clone(),
                    options: reply.options.clone().unwrap_or_default(),
                }),
            },
            (
                HostResult::PASSWORD_REQUIRED
                | HostResult::PRIVATE_KEY_REQUIRED
                | HostResult::PASSWORD_AND_KEY_REQUIRED
                | HostResult::DECRYPTION_FAILURE,
                _,
            ) => Err(LookupFailure::Locked),
            (HostResult::LEASE_SET_NOT_FOUND, _) => Err(LookupFailure::LeaseSetNotFound),
            (HostResult::TYPE_UNSUPPORTED, _) => Err(LookupFailure::Unsupported),
            _ => Err(not_found),
        }
    }
}

impl Target {
    fn new(target: LookupTarget) -> Result<Self, LookupFailure> {
        match target {
            LookupTarget::Hash(hash) => Ok(Self::Hash(hash)),
            LookupTarget::LeaseSet(destination) => Ok(Self::LeaseSet(destination)),
            // Address books store names in lower case. A b32 name is converted to its hash, because
            // the I2CP specification recommends a look-up by hash.
            LookupTarget::Name(name) => {
                let name = name.to_ascii_lowercase();
                if name.ends_with(B32_SUFFIX)
                    && let Ok(hash) = Hash::from_b32(&name)
                {
                    return Ok(Self::Hash(hash));
                }
                match Text::new(&name) {
                    Some(text) if !name.is_empty() => Ok(Self::Name(text)),
                    _ => Err(LookupFailure::NameNotFound),
                }
            }
        }
    }

    fn hash(&self) -> Option<Hash> {
        match self {
            Self::Hash(hash) => Some(*hash),
            Self::LeaseSet(destination) => Some(destination.hash()),
            Self::Name(_) => None,
        }
    }
}

/// Whether the name is a b32 address with 56 or more characters, which is the address of a blinded
/// destination.
fn is_blinded_address(name: &str) -> bool {
    name.strip_suffix(B32_SUFFIX)
        .is_some_and(|label| label.len() >= 56)
}

const B32_SUFFIX: &str = ".b32.i2p";

/// The largest number of look-ups that wait at a time. Chosen as more than an application needs.
/// Each costs about 100 bytes here, and a search in the router.
const MAX_WAITING: usize = 1024;

/// The upper limit of the timeout of a look-up. Chosen so that adding it to a time never overflows.
const MAX_TIMEOUT: Duration = Duration::from_secs(24 * 3600);
