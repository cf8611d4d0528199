//! Tests of the session machine against simulated routers that answer as real ones were observed
//! to.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use eepkit_wire::{Destination, Hash, PrivateKeys, SignatureType, gzip};
use proptest::prelude::*;

use super::*;
use crate::{
    BandwidthLimits, DeliveryStatus, HostReply, HostResult, LeaseSetMaker, LookupKey, Options,
    SendFlags, SessionId, SessionStatus, SetDate, SignedLeaseSet,
    message::{DestReply, HostLookup, MessagePayload, MessageStatus, SendMessageExpires, Text},
    testing::{UNIX_NOW, keys, keys_of, lease, offline_keys, rng, some_instant},
};

mod anything;
mod ending;
mod lookups;
mod messages;
mod opening;
mod reachable;
mod requests;
mod subsessions;

/// A machine, a clock, and the events and messages that the machine has emitted.
pub(super) struct Bench {
    session: Session,
    now: Instant,
    frames: FrameReader,
    /// Bytes from the router that are not a complete frame yet.
    received: BytesMut,
    timeout: Option<Instant>,
    /// The start of the clock of the router, which is [`UNIX_NOW`].
    start: Instant,
    /// How far the router's clock was set ahead since the start, in seconds.
    clock_set: i64,
    /// Whether the router answers GetDate in [`Bench::pass`].
    answers_date: bool,
    events: Vec<Event>,
    sent: Vec<Message>,
}

const HEADER: gzip::Header = gzip::Header {
    protocol: 6,
    from_port: 1,
    to_port: 2,
};

const ID: SessionId = SessionId(0x1234);

/// The delay before a lease set is sent to a router that may be i2pd.
const LEASE_SET_DELAY: Duration = Duration::from_millis(200);

impl Bench {
    fn new(options: &[(&str, &str)]) -> Self {
        Self::with_keys(keys(), options, None)
    }

    fn with_keys(
        keys: Arc<PrivateKeys>,
        pairs: &[(&str, &str)],
        router: Option<RouterKind>,
    ) -> Self {
        let mut options = Options::new();
        for (key, value) in pairs {
            options.set(key, value).expect("valid");
        }
        let open_timeout = Duration::from_secs(30);
        let now = some_instant();
        let config = Config {
            keys,
            options,
            router,
            open_timeout,
        };
        let mut bench = Self {
            session: Session::new(config, now),
            now,
            frames: FrameReader::for_router(),
            received: BytesMut::new(),
            timeout: None,
            start: now,
            clock_set: 0,
            answers_date: false,
            events: Vec::new(),
            sent: Vec::new(),
        };
        bench.drain();
        bench
    }

    /// Advances to an open session with a lease set, on a router with this API version.
    fn ready(version: &str) -> Self {
        let mut bench = Self::new(&[]);
        bench.greet(version, BandwidthLimits::default());
        bench.accept();
        bench
    }

    fn greet(&mut self, version: &str, limits: BandwidthLimits) {
        self.router(&set_date(version));
        if matches!(self.sent.last(), Some(Message::GetBandwidthLimits)) {
            self.router(&Message::BandwidthLimits(limits));
        }
    }

    fn accept(&mut self) {
        self.router(&Message::SessionStatus {
            session: ID,
            status: SessionStatus::CREATED,
        });
        self.router(&lease_set_request(ID));
        self.command(publish(Handle::PRIMARY));
        self.pass(LEASE_SET_DELAY);
        self.sent.clear();
        self.events.clear();
    }

    fn input(&mut self, input: Input<'_>) {
        self.session.handle_input(self.now, input);
        self.drain();
    }

    fn router(&mut self, message: &Message) {
        let frame = message.to_frame().expect("fits");
        self.receive(&frame);
    }

    fn receive(&mut self, bytes: &[u8]) {
        let mut received = mem::take(&mut self.received);
        received.extend_from_slice(bytes);
        self.input(Input::Receive(&mut received));
        self.received = received;
    }

    fn command(&mut self, command: Command) {
        self.input(Input::Command(command));
    }

    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(at) = self.timeout.filter(|at| *at <= until) {
            assert!(at >= self.now, "time does not decrease");
            self.now = at;
            let sent = self.sent.len();
            self.input(Input::Timeout);
            if self.answers_date && matches!(self.sent.get(sent), Some(Message::GetDate(_))) {
                self.tell_date();
            }
            assert_ne!(
                self.timeout,
                Some(at),
                "a handled timeout is not requested again"
            );
        }
        self.now = until;
    }

    /// The router's time since 1970.
    fn router_time(&self) -> Duration {
        let time = UNIX_NOW + (self.now - self.start);
        let seconds = time.as_secs().saturating_add_signed(self.clock_set);
        Duration::new(seconds, time.subsec_nanos())
    }

    /// The router sends SetDate.
    fn tell_date(&mut self) {
        let date = u64::try_from(self.router_time().as_millis()).expect("fits");
        let version = Text::new("0.9.66");
        self.router(&Message::SetDate(SetDate { date, version }));
    }

    /// The router requests a lease set for a tunnel that ends `seconds` from now on its clock.
    fn request(&mut self, seconds: i64) {
        let mut lease = lease(1, 0);
        let now = u64::try_from(self.router_time().as_millis()).expect("fits");
        lease.end = now.saturating_add_signed(seconds * 1000);
        let leases = vec![lease];
        let session = ID;
        self.router(&Message::RequestVariableLeaseSet { session, leases });
    }

    fn drain(&mut self) {
        loop {
            match self.session.poll_output() {
                Output::Event(event) => self.events.push(event),
                Output::Timeout(at) => {
                    self.timeout = at;
                    break;
                }
            }
        }
        let mut output = BytesMut::from(self.session.output());
        self.session.consume_output(output.len());
        while let Some(frame) = self.frames.next_frame(&mut output).expect("framed") {
            let message = Message::decode(MessageType(frame.kind), &frame.body);
            self.sent.push(message.expect("valid").expect("known"));
        }
    }

    fn sent(&mut self) -> Vec<Message> {
        mem::take(&mut self.sent)
    }

    fn events(&mut self) -> Vec<Event> {
        mem::take(&mut self.events)
    }

    fn closed(&mut self) -> SessionCloseReason {
        assert!(self.session.is_closed());
        assert_eq!(self.timeout, None, "a closed machine has no timeout");
        match self.events.pop() {
            Some(Event::Closed(reason)) => reason,
            other => panic!("the last event was {other:?}"),
        }
    }

    fn only_lookup(&mut self) -> HostLookup {
        match self.sent().as_slice() {
            [Message::HostLookup(lookup)] => lookup.clone(),
            other => panic!("{other:?}"),
        }
    }

    fn answers(&mut self) -> Vec<(u32, Result<Destination, LookupFailure>)> {
        self.events()
            .into_iter()
            .filter_map(|event| match event {
                Event::LookupDone { id, result } => {
                    Some((id, result.map(|found| found.destination)))
                }
                _ => None,
            })
            .collect()
    }
}

fn set_date(version: &str) -> Message {
    let date = u64::try_from(UNIX_NOW.as_millis()).expect("fits");
    Message::SetDate(SetDate {
        date,
        version: Text::new(version),
    })
}

fn lease_set_request(session: SessionId) -> Message {
    Message::RequestVariableLeaseSet {
        session,
        leases: vec![lease(1, 600), lease(2, 600)],
    }
}

fn signed_lease_set() -> SignedLeaseSet {
    let mut maker = LeaseSetMaker::new(keys(), &Options::new(), &mut rng()).expect("valid");
    maker.make(&[lease(1, 600)], UNIX_NOW).expect("made")
}

fn publish(session: Handle) -> Command {
    Command::PublishLeaseSet {
        session,
        lease_set: signed_lease_set(),
    }
}

fn send(bench: &Bench, nonce: u32) -> Command {
    Command::Send(Outgoing {
        session: Handle::PRIMARY,
        to: peer(),
        header: HEADER,
        body: Bytes::from_static(b"payload"),
        compress: false,
        nonce,
        report: true,
        flags: SendFlags::default().with_omit_lease_set(true),
        deadline: bench.now + Duration::from_secs(20),
    })
}

fn peer() -> Destination {
    keys_of(SignatureType::ED25519, 77).destination().clone()
}

fn lookup(id: u32, target: LookupTarget) -> Command {
    Command::Lookup {
        id,
        target,
        timeout: Duration::from_secs(15),
    }
}

fn emissary_limits() -> BandwidthLimits {
    BandwidthLimits {
        client_inbound: 50,
        client_outbound: 50,
        router_inbound: 20,
        router_inbound_burst: 20,
        router_outbound: 20,
        router_outbound_burst: 20,
        ..BandwidthLimits::default()
    }
}

fn created_options(sent: &[Message]) -> eepkit_wire::Mapping {
    match sent.last() {
        Some(Message::CreateSession(config)) => config.options.clone(),
        other => panic!("{other:?}"),
    }
}
