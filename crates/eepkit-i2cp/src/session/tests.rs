//! Transcripts: the machine against routers that say what real ones were seen to say.

use std::sync::Arc;

use bytes::Bytes;
use eepkit_wire::{Destination, Hash, SignatureType};
use proptest::prelude::*;

use super::*;
use crate::{
    BandwidthLimits, DeliveryStatus, HostReply, HostResult, LeaseSetMaker, LookupKey, SendFlags,
    SessionId, SessionStatus, SetDate, SignedLeaseSet,
    message::{DestReply, HostLookup, MessagePayload, MessageStatus, SendMessageExpires},
    testing::{UNIX_NOW, keys, keys_of, lease, offline_keys, rng, some_instant},
};

/// A machine, a clock, and what the other side of the wire has seen.
pub(super) struct Bench {
    session: Session,
    now: Instant,
    wire: FrameReader,
    timeout: Option<Instant>,
    events: Vec<Event>,
    sent: Vec<Message>,
}

const ID: SessionId = SessionId(0x1234);

/// What is waited before a lease set goes to a router that may be i2pd.
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
            session: Session::new(config, now, UNIX_NOW),
            now,
            wire: FrameReader::for_router(),
            timeout: None,
            events: Vec::new(),
            sent: Vec::new(),
        };
        bench.drain();
        bench
    }

    /// Up to the open session with a lease set, on a router of this version.
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
        self.input(Input::Receive(&frame));
    }

    fn command(&mut self, command: Command) {
        self.input(Input::Command(command));
    }

    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(at) = self.timeout.filter(|at| *at <= until) {
            assert!(at >= self.now, "time goes forward");
            self.now = at;
            self.input(Input::Timeout);
            assert_ne!(
                self.timeout,
                Some(at),
                "a timeout that was handled is not wanted again"
            );
        }
        self.now = until;
    }

    fn drain(&mut self) {
        loop {
            match self.session.poll_output() {
                Output::Transmit(bytes) => self.wire.push(&bytes),
                Output::Event(event) => self.events.push(event),
                Output::Timeout(at) => {
                    self.timeout = at;
                    break;
                }
            }
        }
        while let Some(frame) = self.wire.next_frame().expect("framed") {
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

    fn closed(&mut self) -> CloseReason {
        assert!(self.session.is_closed());
        assert_eq!(self.timeout, None, "a closed machine wants nothing");
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
        payload: Bytes::from_static(b"payload"),
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

// Opening.

#[test]
fn opens_a_session_step_by_step() {
    let mut bench = Bench::new(&[("inbound.length", "1")]);
    match bench.sent().as_slice() {
        [Message::GetDate(greeting)] => {
            assert_eq!(greeting.version, Text::new("0.9.66"));
            assert!(greeting.login.is_empty());
        }
        other => panic!("{other:?}"),
    }

    bench.router(&set_date("0.9.57"));
    assert_eq!(bench.sent(), [Message::GetBandwidthLimits]);

    bench.router(&Message::BandwidthLimits(BandwidthLimits::default()));
    match bench.sent().as_slice() {
        [Message::CreateSession(config)] => {
            config
                .verify(u32::try_from(UNIX_NOW.as_secs()).expect("fits"))
                .expect("signed");
            assert_eq!(config.options.get("inbound.length"), Some("1"));
            assert_eq!(config.options.get("i2cp.fastReceive"), Some("true"));
            assert_eq!(u128::from(config.date), UNIX_NOW.as_millis());
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(
        bench.events().as_slice(),
        [
            Event::ClockOffset(0),
            Event::Connected {
                router: RouterKind::Unknown,
                ..
            }
        ]
    ));

    bench.router(&Message::SessionStatus {
        session: ID,
        status: SessionStatus::CREATED,
    });
    assert!(matches!(
        bench.events().as_slice(),
        [Event::Opened(Handle::PRIMARY)]
    ));

    bench.router(&lease_set_request(ID));
    match bench.events().as_slice() {
        [
            Event::LeaseSetWanted {
                session: Handle::PRIMARY,
                leases,
            },
        ] => assert_eq!(leases.len(), 2),
        other => panic!("{other:?}"),
    }

    bench.command(publish(Handle::PRIMARY));
    assert_eq!(bench.sent(), [], "i2pd would not notice so fast an answer");
    bench.pass(LEASE_SET_DELAY);
    match bench.sent().as_slice() {
        [Message::CreateLeaseSet2(message)] => {
            assert_eq!(message.session, ID);
            assert_eq!(message.lease_set, signed_lease_set());
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(
        bench.events().as_slice(),
        [Event::LeaseSetSent(Handle::PRIMARY)]
    ));
    assert_eq!(bench.timeout, None, "nothing is waited for");
}

#[test]
fn a_lease_set_that_took_its_time_is_not_held_back_and_the_last_one_counts() {
    let mut bench = Bench::ready("0.9.57");
    bench.router(&lease_set_request(ID));
    bench.pass(LEASE_SET_DELAY);
    bench.command(publish(Handle::PRIMARY));
    assert_eq!(bench.sent().len(), 1);

    bench.router(&lease_set_request(ID));
    bench.command(publish(Handle::PRIMARY));
    bench.command(publish(Handle::PRIMARY));
    bench.pass(LEASE_SET_DELAY);
    assert_eq!(bench.sent().len(), 1);

    let mut bench = Bench::new(&[]);
    bench.greet("0.9.63", emissary_limits());
    bench.router(&Message::SessionStatus {
        session: ID,
        status: SessionStatus::CREATED,
    });
    bench.router(&lease_set_request(ID));
    bench.sent();
    bench.command(publish(Handle::PRIMARY));
    assert_eq!(bench.sent().len(), 1, "emissary needs no delay");
}

#[test]
fn opens_the_same_session_when_every_byte_comes_alone() {
    let mut bench = Bench::new(&[]);
    let mut answers = Vec::new();
    for message in [
        set_date("0.9.63"),
        Message::BandwidthLimits(emissary_limits()),
        Message::SessionStatus {
            session: ID,
            status: SessionStatus::CREATED,
        },
        lease_set_request(ID),
    ] {
        message.encode_frame(&mut answers).expect("fits");
    }
    for byte in answers {
        bench.input(Input::Receive(&[byte]));
    }
    assert!(matches!(
        bench.events().last(),
        Some(Event::LeaseSetWanted { .. })
    ));
}

#[test]
fn a_known_router_is_not_asked_what_it_is() {
    let mut bench = Bench::with_keys(keys(), &[], Some(RouterKind::Emissary));
    bench.sent();
    bench.router(&set_date("0.9.63"));
    let sent = bench.sent();
    assert_eq!(sent.len(), 1);
    assert_eq!(
        created_options(&sent).get("i2cp.dontPublishLeaseSet"),
        Some("false")
    );
}

#[test]
fn emissary_is_told_to_publish_and_others_are_not() {
    let told = |limits, options: &[(&str, &str)], version: &str| {
        let mut bench = Bench::new(options);
        bench.greet(version, limits);
        let options = created_options(&bench.sent());
        options.get("i2cp.dontPublishLeaseSet").map(str::to_owned)
    };
    let hidden = [("i2cp.dontPublishLeaseSet", "true")];
    let shown = [("i2cp.dontPublishLeaseSet", "false")];
    let other = BandwidthLimits::default();
    assert_eq!(
        told(emissary_limits(), &[], "0.9.63").as_deref(),
        Some("false")
    );
    assert_eq!(
        told(emissary_limits(), &hidden, "0.9.63").as_deref(),
        Some("true")
    );
    assert_eq!(told(other, &[], "0.9.67"), None);
    assert_eq!(told(other, &shown, "0.9.67"), None, "i2pd would hide it");
    assert_eq!(told(other, &hidden, "0.9.66").as_deref(), Some("true"));
    assert_eq!(
        told(other, &hidden, "0.9.67").as_deref(),
        Some("TRUE"),
        "i2pd would show it"
    );
}

#[test]
fn login_goes_into_the_greeting_and_not_into_the_session() {
    let mut bench = Bench::new(&[("i2cp.username", "me"), ("i2cp.password", "sesame")]);
    match bench.sent().as_slice() {
        [Message::GetDate(greeting)] => {
            assert_eq!(greeting.login.get("i2cp.username"), Some("me"));
            assert_eq!(greeting.login.get("i2cp.password"), Some("sesame"));
        }
        other => panic!("{other:?}"),
    }
    bench.greet("0.9.66", BandwidthLimits::default());
    let options = created_options(&bench.sent());
    assert!(!options.contains_key("i2cp.username"));
    assert!(!options.contains_key("i2cp.password"));
}

#[test]
fn a_router_that_does_not_tell_its_limits_costs_three_seconds() {
    let mut bench = Bench::new(&[]);
    bench.router(&set_date("0.9.66"));
    bench.sent();
    bench.pass(Duration::from_millis(2_999));
    assert_eq!(bench.sent(), []);
    bench.pass(Duration::from_millis(1));
    created_options(&bench.sent());
}

#[test]
fn each_step_of_opening_has_the_common_deadline() {
    let mut bench = Bench::new(&[]);
    bench.pass(Duration::from_secs(30));
    assert_eq!(
        bench.closed(),
        CloseReason::Timeout("the router did not answer the greeting")
    );

    let mut bench = Bench::new(&[]);
    bench.pass(Duration::from_secs(10));
    bench.greet("0.9.66", BandwidthLimits::default());
    bench.pass(Duration::from_secs(19));
    assert!(!bench.session.is_closed());
    bench.pass(Duration::from_secs(1));
    assert_eq!(
        bench.closed(),
        CloseReason::Timeout("the router did not accept the session")
    );
}

#[test]
fn tunnels_have_a_deadline_of_their_own() {
    let mut bench = Bench::new(&[]);
    bench.greet("0.9.66", BandwidthLimits::default());
    bench.router(&Message::SessionStatus {
        session: ID,
        status: SessionStatus::CREATED,
    });
    bench.pass(Duration::from_secs(599));
    assert!(!bench.session.is_closed());
    bench.pass(Duration::from_secs(1));
    assert_eq!(
        bench.closed(),
        CloseReason::Timeout("the router built no tunnels")
    );
}

#[test]
fn create_session_is_repeated_to_emissary_alone() {
    let mut bench = Bench::new(&[]);
    bench.greet("0.9.63", emissary_limits());
    bench.sent();
    bench.pass(Duration::from_secs(7));
    assert_eq!(bench.sent().len(), 2);

    let mut bench = Bench::new(&[]);
    bench.greet("0.9.63", BandwidthLimits::default());
    bench.sent();
    bench.pass(Duration::from_secs(7));
    assert_eq!(bench.sent(), []);
}

#[test]
fn what_is_no_router_is_said_to_be_none() {
    let not_i2cp = |bytes: &[u8]| {
        let mut bench = Bench::new(&[]);
        bench.input(Input::Receive(bytes));
        matches!(bench.closed(), CloseReason::NotI2cp(_))
    };
    assert!(not_i2cp(b"HTTP/1.1 400 Bad Request\r\n"));
    assert!(not_i2cp(b"SSH-2.0-OpenSSH_9\r\n"));
    assert!(not_i2cp(&[0, 0, 0, 0, 99]), "an unknown type");
    assert!(not_i2cp(&[0, 0, 0, 1, 33, 0]), "a broken SetDate");
    assert!(
        not_i2cp(&[0, 0, 0, 3, 20, 0, 1, 1]),
        "something before SetDate"
    );
    assert!(
        not_i2cp(&[0, 0, 0, 10, 33, 0, 0, 0, 0, 0, 0, 0, 0, 1, b'x']),
        "no version"
    );
}

#[test]
fn refusals_say_what_was_refused() {
    let refused = |keys, status| {
        let mut bench = Bench::with_keys(keys, &[], None);
        bench.greet("0.9.57", BandwidthLimits::default());
        bench.router(&Message::SessionStatus {
            session: SessionId::NONE,
            status,
        });
        bench.closed()
    };
    assert_eq!(
        refused(keys(), SessionStatus::INVALID),
        CloseReason::Duplicate
    );
    assert!(matches!(
        refused(offline_keys(), SessionStatus::INVALID),
        CloseReason::Refused(_)
    ));
    assert!(matches!(
        refused(keys(), SessionStatus::REFUSED),
        CloseReason::Refused(_)
    ));
    assert!(matches!(
        refused(keys(), SessionStatus(99)),
        CloseReason::Refused(_)
    ));
}

#[test]
fn java_says_goodbye_instead_of_refusing() {
    let goodbye = |words: &str, steps: usize| {
        let mut bench = Bench::new(&[]);
        if steps > 0 {
            bench.greet("0.9.65", BandwidthLimits::default());
        }
        bench.router(&Message::Disconnect(Text::truncated(words)));
        bench.closed()
    };
    assert!(matches!(
        goodbye("Authorization required", 0),
        CloseReason::LoginRefused(_)
    ));
    assert!(matches!(
        goodbye("Authorization failed", 1),
        CloseReason::LoginRefused(_)
    ));
    assert_eq!(
        goodbye("Duplicate destination x", 1),
        CloseReason::Duplicate
    );
    assert_eq!(
        goodbye("Too many client sessions", 1),
        CloseReason::Refused("Too many client sessions".to_owned())
    );
}

#[test]
fn a_router_that_is_too_old_is_not_given_a_session() {
    let mut bench = Bench::new(&[]);
    bench.greet("0.9.38", BandwidthLimits::default());
    match bench.closed() {
        CloseReason::BadOption { key, why } => {
            assert_eq!(key, "i2cp.leaseSetType");
            assert_eq!(why, "the router speaks 0.9.38, this needs 0.9.39 or later");
        }
        other => panic!("{other:?}"),
    }
    let mut bench = Bench::new(&[]);
    bench.router(&Message::SetDate(SetDate {
        date: 0,
        version: None,
    }));
    bench.router(&Message::BandwidthLimits(BandwidthLimits::default()));
    assert!(matches!(bench.closed(), CloseReason::BadOption { .. }));
}

#[test]
fn what_emissary_cannot_do_is_said_before_the_session_is_opened() {
    let mut bench = Bench::new(&[("i2cp.leaseSetEncType", "4,0")]);
    bench.sent();
    bench.greet("0.9.63", emissary_limits());
    assert_eq!(bench.sent(), [Message::GetBandwidthLimits]);
    assert!(matches!(bench.closed(), CloseReason::BadOption { .. }));
}

#[test]
fn the_clock_of_the_router_is_adopted() {
    let mut bench = Bench::new(&[]);
    let hour = 3_600_000;
    let theirs = u64::try_from(UNIX_NOW.as_millis()).expect("fits") - hour;
    let version = Text::new("0.9.66");
    bench.router(&Message::SetDate(SetDate {
        date: theirs,
        version: version.clone(),
    }));
    bench.router(&Message::BandwidthLimits(BandwidthLimits::default()));
    assert!(matches!(
        bench.events().first(),
        Some(Event::ClockOffset(-3_600_000))
    ));
    match bench.sent().last() {
        Some(Message::CreateSession(config)) => assert_eq!(config.date, theirs),
        other => panic!("{other:?}"),
    }
    bench.accept();

    // Later it corrects itself.
    bench.router(&Message::SetDate(SetDate {
        date: theirs + hour,
        version,
    }));
    bench.command(send(&bench, 0));
    match bench.sent().as_slice() {
        [Message::SendMessageExpires(message)] => {
            assert_eq!(message.expires, theirs + hour + 20_000);
        }
        other => panic!("{other:?}"),
    }
}

// Messages.

#[test]
fn messages_go_out_with_flags_and_deadline() {
    let mut bench = Bench::ready("0.9.66");
    bench.pass(Duration::from_secs(5).saturating_sub(LEASE_SET_DELAY));
    bench.command(send(&bench, 42));
    match bench.sent().as_slice() {
        [
            Message::SendMessageExpires(SendMessageExpires {
                message,
                flags,
                expires,
            }),
        ] => {
            assert_eq!(message.session, ID);
            assert_eq!(message.to, peer());
            assert_eq!(&message.payload[..], b"payload");
            assert_eq!(message.nonce, 42);
            assert!(flags.omit_lease_set());
            assert_eq!(u128::from(*expires), UNIX_NOW.as_millis() + 25_000);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_router_gets_no_nonce_where_no_report_is_wanted() {
    let mut bench = Bench::ready("0.9.66");
    let Command::Send(mut outgoing) = send(&bench, 42) else {
        unreachable!()
    };
    outgoing.report = false;
    bench.command(Command::Send(outgoing));
    match bench.sent().as_slice() {
        [Message::SendMessageExpires(sent)] => assert_eq!(sent.message.nonce, 0),
        other => panic!("{other:?}"),
    }
}

#[test]
fn messages_come_in() {
    let mut bench = Bench::ready("0.9.66");
    let payload = Bytes::from_static(b"hello");
    bench.router(&Message::MessagePayload(MessagePayload {
        session: ID,
        message: 9,
        payload: payload.clone(),
    }));
    match bench.events().as_slice() {
        [
            Event::Received {
                session: Handle::PRIMARY,
                payload: got,
            },
        ] => assert_eq!(*got, payload),
        other => panic!("{other:?}"),
    }
    assert_eq!(bench.sent(), [], "fast receive needs no confirmation");
}

#[test]
fn without_fast_receive_messages_are_fetched_and_confirmed() {
    let mut bench = Bench::new(&[("i2cp.fastReceive", "false")]);
    bench.greet("0.9.66", BandwidthLimits::default());
    bench.accept();
    bench.router(&Message::MessageStatus(MessageStatus {
        session: ID,
        message: 9,
        status: DeliveryStatus::AVAILABLE,
        size: 5,
        nonce: 0,
    }));
    assert_eq!(
        bench.sent(),
        [Message::ReceiveMessageBegin {
            session: ID,
            message: 9
        }]
    );
    bench.router(&Message::MessagePayload(MessagePayload {
        session: ID,
        message: 9,
        payload: Bytes::from_static(b"hello"),
    }));
    assert_eq!(
        bench.sent(),
        [Message::ReceiveMessageEnd {
            session: ID,
            message: 9
        }]
    );
    assert!(matches!(
        bench.events().as_slice(),
        [Event::Received { .. }]
    ));
}

#[test]
fn the_fate_of_a_message_is_told_if_it_was_asked_for() {
    let mut bench = Bench::ready("0.9.66");
    let report = |nonce| {
        Message::MessageStatus(MessageStatus {
            session: ID,
            message: 1,
            status: DeliveryStatus::NO_LEASE_SET,
            size: 0,
            nonce,
        })
    };
    bench.router(&report(0));
    assert!(bench.events().is_empty());
    bench.router(&report(42));
    assert!(matches!(
        bench.events().as_slice(),
        [Event::MessageStatus {
            nonce: 42,
            status: DeliveryStatus::NO_LEASE_SET,
            ..
        }]
    ));
}

#[test]
fn sending_before_there_are_tunnels_fails_at_once() {
    let mut bench = Bench::new(&[]);
    bench.greet("0.9.66", BandwidthLimits::default());
    bench.router(&Message::SessionStatus {
        session: ID,
        status: SessionStatus::CREATED,
    });
    bench.sent();
    bench.events();
    bench.command(send(&bench, 7));
    assert_eq!(bench.sent(), []);
    assert!(matches!(
        bench.events().as_slice(),
        [Event::MessageStatus {
            nonce: 7,
            status: DeliveryStatus::NO_LOCAL_TUNNELS,
            ..
        }]
    ));
}

#[test]
fn a_message_that_is_too_long_fails_alone() {
    let mut bench = Bench::ready("0.9.66");
    let Command::Send(mut outgoing) = send(&bench, 7) else {
        unreachable!()
    };
    outgoing.payload = vec![0; 70_000].into();
    bench.command(Command::Send(outgoing));
    assert!(matches!(
        bench.events().as_slice(),
        [Event::MessageStatus {
            nonce: 7,
            status: DeliveryStatus::BAD_MESSAGE,
            ..
        }]
    ));
    assert!(!bench.session.is_closed());
}

#[test]
fn messages_for_another_session_are_ignored() {
    let mut bench = Bench::ready("0.9.66");
    let session = SessionId(999);
    bench.router(&lease_set_request(session));
    bench.router(&Message::MessagePayload(MessagePayload {
        session,
        message: 9,
        payload: Bytes::new(),
    }));
    assert!(bench.events().is_empty());
}

#[test]
fn unknown_messages_and_those_of_a_client_are_ignored() {
    let mut bench = Bench::ready("0.9.66");
    bench.input(Input::Receive(&[0, 0, 0, 1, 99, 0]));
    bench.router(&Message::GetBandwidthLimits);
    bench.router(&Message::DestroySession(ID));
    assert!(!bench.session.is_closed());
    assert!(bench.events().is_empty());
}

#[test]
fn a_broken_message_ends_the_connection() {
    let mut bench = Bench::ready("0.9.66");
    bench.input(Input::Receive(&[0, 0, 0, 1, 31, 0]));
    match bench.closed() {
        CloseReason::Protocol(why) => {
            assert_eq!(why, "message of type 31: input ended inside session id");
        }
        other => panic!("{other:?}"),
    }
}

// Look-ups.

#[test]
fn looks_up_hashes_and_names() {
    let mut bench = Bench::ready("0.9.57");
    bench.command(lookup(1, LookupTarget::Hash(peer().hash())));
    let asked = bench.only_lookup();
    assert_eq!(asked.session, ID);
    assert_eq!(asked.timeout, 15_000);
    assert_eq!(asked.key, LookupKey::Hash(peer().hash()));
    bench.router(&Message::HostReply(HostReply::found(
        ID,
        asked.request,
        peer(),
    )));
    assert_eq!(bench.answers(), [(1, Ok(peer()))]);

    bench.command(lookup(2, LookupTarget::Name("Example.I2P".to_owned())));
    let asked = bench.only_lookup();
    assert_eq!(asked.key, LookupKey::Name(Text::truncated("example.i2p")));
    let failed = HostReply::failed(ID, asked.request, HostResult::FAILURE);
    bench.router(&Message::HostReply(failed));
    assert_eq!(bench.answers(), [(2, Err(LookupFailure::NameNotFound))]);
    assert_eq!(bench.timeout, None);
}

#[test]
fn b32_names_are_looked_up_by_their_hash() {
    let mut bench = Bench::ready("0.9.57");
    let name = peer().to_b32().to_ascii_uppercase();
    bench.command(lookup(1, LookupTarget::Name(name)));
    assert_eq!(bench.only_lookup().key, LookupKey::Hash(peer().hash()));
}

#[test]
fn names_that_cannot_be_are_not_found() {
    let mut bench = Bench::ready("0.9.57");
    bench.command(lookup(1, LookupTarget::Name(String::new())));
    bench.command(lookup(2, LookupTarget::Name("x".repeat(256))));
    let missing = Err(LookupFailure::NameNotFound);
    assert_eq!(bench.answers(), [(1, missing.clone()), (2, missing)]);
    assert_eq!(bench.sent(), []);
}

#[test]
fn a_destination_with_another_hash_is_not_what_was_looked_up() {
    let mut bench = Bench::ready("0.9.57");
    bench.command(lookup(1, LookupTarget::Hash(Hash::new([1; 32]))));
    let asked = bench.only_lookup();
    bench.router(&Message::HostReply(HostReply::found(
        ID,
        asked.request,
        peer(),
    )));
    assert_eq!(bench.answers(), [(1, Err(LookupFailure::LeaseSetNotFound))]);
}

#[test]
fn every_result_code_has_its_meaning() {
    for (code, expected) in [
        (1, LookupFailure::LeaseSetNotFound),
        (2, LookupFailure::Locked),
        (3, LookupFailure::Locked),
        (4, LookupFailure::Locked),
        (5, LookupFailure::Locked),
        (6, LookupFailure::LeaseSetNotFound),
        (7, LookupFailure::Unsupported),
        (99, LookupFailure::LeaseSetNotFound),
    ] {
        let mut bench = Bench::ready("0.9.57");
        bench.command(lookup(1, LookupTarget::Hash(peer().hash())));
        let request = bench.only_lookup().request;
        bench.router(&Message::HostReply(HostReply::failed(
            ID,
            request,
            HostResult(code),
        )));
        assert_eq!(bench.answers(), [(1, Err(expected))], "code {code}");
    }
}

#[test]
fn lease_sets_are_fetched_where_the_router_can() {
    let mut bench = Bench::ready("0.9.66");
    bench.command(lookup(1, LookupTarget::LeaseSet(peer())));
    let asked = bench.only_lookup();
    assert_eq!(asked.key, LookupKey::DestinationWithOptions(peer()));
    let mut reply = HostReply::found(ID, asked.request, peer());
    let mut options = eepkit_wire::Mapping::new();
    options
        .insert("_smtp._tcp", "1 86400 0 0 25 x.b32.i2p")
        .expect("fits");
    reply.options = Some(options.clone());
    bench.router(&Message::HostReply(reply));
    match bench.events().as_slice() {
        [
            Event::LookupDone {
                id: 1,
                result: Ok(found),
            },
        ] => assert_eq!(found.options, options),
        other => panic!("{other:?}"),
    }
}

#[test]
fn i2pd_is_asked_again_in_the_way_that_it_knows() {
    for code in [HostResult::FAILURE, HostResult::TYPE_UNSUPPORTED] {
        let mut bench = Bench::ready("0.9.67");
        bench.command(lookup(1, LookupTarget::LeaseSet(peer())));
        let request = bench.only_lookup().request;
        bench.router(&Message::HostReply(HostReply::failed(ID, request, code)));
        assert!(bench.answers().is_empty());
        let again = bench.only_lookup();
        assert_eq!(again.key, LookupKey::Hash(peer().hash()));
        bench.router(&Message::HostReply(HostReply::failed(
            ID,
            again.request,
            code,
        )));
        assert_eq!(bench.answers().len(), 1);
    }
}

#[test]
fn a_router_before_0_9_11_is_asked_in_the_old_way() {
    // No session opens on so old a router, so the table of look-ups is asked directly.
    let router = Router {
        kind: RouterKind::Unknown,
        version: ApiVersion::new(0, 9, 10),
    };
    let mut lookups = Lookups::default();
    let now = some_instant();
    lookups.release(now, router, ID);
    let timeout = Duration::from_secs(10);
    let hash = peer().hash();
    let effects = lookups.start(now, router, 1, LookupTarget::Hash(hash), timeout);
    assert_eq!(effects.messages, [Message::DestLookup(hash)]);
    let other = Hash::new([1; 32]);
    let effects = lookups.start(now, router, 2, LookupTarget::Hash(other), timeout);
    assert_eq!(effects.messages, [Message::DestLookup(other)]);
    let name = LookupTarget::Name("a.i2p".to_owned());
    let effects = lookups.start(now, router, 3, name, timeout);
    assert!(matches!(
        effects.events.as_slice(),
        [Event::LookupDone {
            id: 3,
            result: Err(LookupFailure::Unsupported)
        }]
    ));

    let effects = lookups.dest_reply(DestReply::NotFound(other));
    assert!(matches!(
        effects.events.as_slice(),
        [Event::LookupDone {
            id: 2,
            result: Err(LookupFailure::LeaseSetNotFound)
        }]
    ));
    let effects = lookups.dest_reply(DestReply::Found(peer()));
    assert!(matches!(
        effects.events.as_slice(),
        [Event::LookupDone {
            id: 1,
            result: Ok(_)
        }]
    ));
    assert_eq!(lookups.next_timeout(), None);
}

#[test]
fn equal_lookups_share_one_request() {
    let mut bench = Bench::ready("0.9.57");
    for id in 1..=3 {
        bench.command(lookup(id, LookupTarget::Hash(peer().hash())));
    }
    let asked = bench.only_lookup();
    bench.router(&Message::HostReply(HostReply::found(
        ID,
        asked.request,
        peer(),
    )));
    assert_eq!(
        bench.answers(),
        [(1, Ok(peer())), (2, Ok(peer())), (3, Ok(peer()))]
    );
}

#[test]
fn each_lookup_has_its_own_deadline() {
    let mut bench = Bench::ready("0.9.57");
    let target = LookupTarget::Hash(peer().hash());
    let with_timeout = |id, seconds| Command::Lookup {
        id,
        target: target.clone(),
        timeout: Duration::from_secs(seconds),
    };
    bench.command(with_timeout(1, 5));
    bench.command(with_timeout(2, 8));
    bench.pass(Duration::from_secs(5));
    assert_eq!(bench.answers(), [(1, Err(LookupFailure::Timeout))]);
    bench.pass(Duration::from_secs(3));
    assert_eq!(bench.answers(), [(2, Err(LookupFailure::Timeout))]);

    // What comes too late is for nobody.
    let request = bench.only_lookup().request;
    bench.router(&Message::HostReply(HostReply::found(ID, request, peer())));
    assert!(bench.answers().is_empty());
}

#[test]
fn lookups_wait_for_the_first_lease_set_while_their_time_runs() {
    let mut bench = Bench::new(&[]);
    bench.sent();
    bench.command(lookup(1, LookupTarget::Hash(peer().hash())));
    bench.command(Command::Lookup {
        id: 2,
        target: LookupTarget::Name("a.i2p".to_owned()),
        timeout: Duration::from_secs(1),
    });
    assert_eq!(bench.sent(), []);
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.answers(), [(2, Err(LookupFailure::Timeout))]);
    bench.greet("0.9.66", BandwidthLimits::default());
    bench.router(&Message::SessionStatus {
        session: ID,
        status: SessionStatus::CREATED,
    });
    bench.router(&lease_set_request(ID));
    bench.sent();
    bench.command(publish(Handle::PRIMARY));
    bench.pass(LEASE_SET_DELAY);
    match bench.sent().as_slice() {
        [Message::CreateLeaseSet2(_), Message::HostLookup(lookup)] => {
            assert_eq!(lookup.timeout, 13_800, "what is left");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn emissary_is_reminded_of_lookups_and_asked_for_hashes_only() {
    let mut bench = Bench::new(&[]);
    bench.greet("0.9.66", emissary_limits());
    bench.accept();
    bench.command(lookup(1, LookupTarget::LeaseSet(peer())));
    assert_eq!(bench.only_lookup().key, LookupKey::Hash(peer().hash()));
    bench.pass(Duration::from_secs(2));
    let reminder = bench.only_lookup();
    bench.router(&Message::HostReply(HostReply::found(
        ID,
        reminder.request,
        peer(),
    )));
    assert_eq!(bench.answers(), [(1, Ok(peer()))]);
    bench.router(&Message::HostReply(HostReply::found(
        ID,
        reminder.request,
        peer(),
    )));
    assert!(
        bench.answers().is_empty(),
        "the second answer is for nobody"
    );
    bench.pass(Duration::from_secs(60));
    assert_eq!(bench.sent(), []);
}

#[test]
fn the_number_of_waiting_lookups_is_bounded() {
    let mut bench = Bench::ready("0.9.57");
    let target = |n: u32| {
        let mut hash = [0; 32];
        hash[..4].copy_from_slice(&n.to_be_bytes());
        LookupTarget::Hash(Hash::new(hash))
    };
    for id in 0..1024 {
        bench.command(lookup(id, target(id)));
    }
    assert!(bench.answers().is_empty());
    bench.command(lookup(9999, target(9999)));
    assert_eq!(bench.answers(), [(9999, Err(LookupFailure::Busy))]);
}

// The end.

#[test]
fn every_end_answers_the_lookups_that_wait() {
    for end in 0..3 {
        let mut bench = Bench::ready("0.9.57");
        bench.command(lookup(1, LookupTarget::Hash(peer().hash())));
        match end {
            0 => bench.input(Input::Eof),
            1 => bench.router(&Message::Disconnect(Text::truncated("shutting down"))),
            _ => bench.command(Command::Close(Handle::PRIMARY)),
        }
        let reason = bench.closed();
        assert_eq!(
            reason,
            match end {
                0 => CloseReason::Eof,
                1 => CloseReason::Disconnected("shutting down".to_owned()),
                _ => CloseReason::Local,
            }
        );
        assert_eq!(bench.answers(), [(1, Err(LookupFailure::Closed))]);
        bench.command(lookup(2, LookupTarget::Hash(peer().hash())));
        assert_eq!(bench.answers(), [(2, Err(LookupFailure::Closed))]);
    }
}

#[test]
fn closing_says_goodbye_and_waits_for_nothing() {
    let mut bench = Bench::ready("0.9.66");
    bench.command(Command::Close(Handle::PRIMARY));
    assert_eq!(bench.sent(), [Message::DestroySession(ID)]);
    assert_eq!(bench.closed(), CloseReason::Local);
    bench.router(&Message::SessionStatus {
        session: ID,
        status: SessionStatus::DESTROYED,
    });
    assert!(bench.events().is_empty());
}

#[test]
fn a_destroyed_session_is_over() {
    let mut bench = Bench::ready("0.9.66");
    bench.router(&Message::SessionStatus {
        session: ID,
        status: SessionStatus::DESTROYED,
    });
    assert_eq!(bench.closed(), CloseReason::Destroyed);
}

// Reconfiguring, limits, blinding.

#[test]
fn tunnel_options_can_be_changed() {
    let mut bench = Bench::new(&[("inbound.length", "1")]);
    bench.greet("0.9.66", BandwidthLimits::default());
    bench.accept();
    let mut options = Options::new();
    options.set_inbound_quantity(4).expect("valid");
    for (status, expected) in [
        (SessionStatus::UPDATED, true),
        (SessionStatus::INVALID, false),
    ] {
        let options = options.clone();
        bench.command(Command::Reconfigure {
            session: Handle::PRIMARY,
            options,
        });
        match bench.sent().as_slice() {
            [
                Message::ReconfigureSession {
                    session: ID,
                    config,
                },
            ] => {
                assert_eq!(config.options.get("inbound.quantity"), Some("4"));
                assert_eq!(config.options.get("inbound.length"), Some("1"), "as before");
            }
            other => panic!("{other:?}"),
        }
        bench.router(&Message::SessionStatus {
            session: ID,
            status,
        });
        match bench.events().as_slice() {
            [
                Event::Reconfigured {
                    session: Handle::PRIMARY,
                    accepted,
                },
            ] => {
                assert_eq!(*accepted, expected);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn emissary_is_not_asked_to_reconfigure() {
    let mut bench = Bench::new(&[]);
    bench.greet("0.9.63", emissary_limits());
    bench.accept();
    let options = Options::new();
    bench.command(Command::Reconfigure {
        session: Handle::PRIMARY,
        options,
    });
    assert_eq!(bench.sent(), []);
    assert!(matches!(
        bench.events().as_slice(),
        [Event::Reconfigured {
            session: Handle::PRIMARY,
            accepted: false
        }]
    ));
}

#[test]
fn limits_can_be_asked_for() {
    let mut bench = Bench::ready("0.9.66");
    bench.command(Command::GetBandwidthLimits);
    assert_eq!(bench.sent(), [Message::GetBandwidthLimits]);
    bench.router(&Message::BandwidthLimits(emissary_limits()));
    assert!(matches!(
        bench.events().as_slice(),
        [Event::BandwidthLimits(_)]
    ));
}

#[test]
fn blinding_is_told_to_routers_that_know_it() {
    for (version, expected) in [("0.9.42", 0), ("0.9.43", 1)] {
        let mut bench = Bench::ready(version);
        bench.command(Command::Blinding {
            endpoint: crate::Endpoint::Destination(peer()),
            expires: 1,
            client: None,
            password: Text::new("secret"),
        });
        assert_eq!(bench.sent().len(), expected, "{version}");
    }
}

// Subsessions.

const SUB: Handle = Handle(5);

fn open_subsession(handle: Handle) -> Command {
    Command::OpenSubsession {
        session: handle,
        keys: keys_of(SignatureType::DSA_SHA1, 3),
        options: Options::new(),
    }
}

#[test]
fn a_subsession_lives_on_the_same_connection() {
    let mut bench = Bench::ready("0.9.66");
    let id = SessionId(0x4321);
    bench.command(open_subsession(SUB));
    assert!(matches!(
        bench.sent().as_slice(),
        [Message::CreateSession(_)]
    ));
    bench.router(&Message::SessionStatus {
        session: id,
        status: SessionStatus::CREATED,
    });
    assert!(matches!(bench.events().as_slice(), [Event::Opened(SUB)]));
    bench.router(&lease_set_request(id));
    assert!(matches!(
        bench.events().as_slice(),
        [Event::LeaseSetWanted { session: SUB, .. }]
    ));
    bench.command(publish(SUB));
    bench.pass(LEASE_SET_DELAY);
    assert!(matches!(
        bench.sent().as_slice(),
        [Message::CreateLeaseSet2(message)] if message.session == id
    ));
    bench.events();
    bench.router(&Message::MessagePayload(MessagePayload {
        session: id,
        message: 1,
        payload: Bytes::new(),
    }));
    assert!(matches!(
        bench.events().as_slice(),
        [Event::Received { session: SUB, .. }]
    ));

    bench.command(Command::Close(SUB));
    assert_eq!(bench.sent(), [Message::DestroySession(id)]);
    assert!(matches!(
        bench.events().as_slice(),
        [Event::SubsessionClosed {
            session: SUB,
            reason: CloseReason::Local
        }]
    ));
    assert!(!bench.session.is_closed());
}

#[test]
fn subsessions_are_opened_one_at_a_time_and_only_where_they_can() {
    let refused = |bench: &mut Bench, handle| {
        bench.command(open_subsession(handle));
        assert_eq!(bench.sent(), []);
        matches!(
            bench.events().as_slice(),
            [Event::SubsessionClosed { session, reason: CloseReason::Refused(_) }]
                if *session == handle
        )
    };
    let mut bench = Bench::new(&[]);
    bench.sent();
    assert!(refused(&mut bench, SUB), "the primary session is not open");

    let mut bench = Bench::ready("0.9.66");
    assert!(refused(&mut bench, Handle::PRIMARY), "the name is taken");
    bench.command(open_subsession(SUB));
    bench.sent();
    assert!(refused(&mut bench, Handle(6)), "another is being opened");
    bench.router(&Message::SessionStatus {
        session: ID,
        status: SessionStatus::REFUSED,
    });
    assert!(matches!(
        bench.events().as_slice(),
        [Event::SubsessionClosed { session: SUB, .. }]
    ));
    bench.command(open_subsession(SUB));
    assert_eq!(bench.sent().len(), 1, "it can be tried again");

    let mut bench = Bench::new(&[]);
    bench.greet("0.9.63", emissary_limits());
    bench.accept();
    assert!(
        refused(&mut bench, SUB),
        "emissary has one session per connection"
    );
}

#[test]
fn a_destroyed_subsession_leaves_the_primary_session() {
    let mut bench = Bench::ready("0.9.66");
    let id = SessionId(0x4321);
    bench.command(open_subsession(SUB));
    bench.router(&Message::SessionStatus {
        session: id,
        status: SessionStatus::CREATED,
    });
    bench.events();
    bench.router(&Message::SessionStatus {
        session: id,
        status: SessionStatus::DESTROYED,
    });
    assert!(matches!(
        bench.events().as_slice(),
        [Event::SubsessionClosed {
            session: SUB,
            reason: CloseReason::Destroyed
        }]
    ));
    assert!(!bench.session.is_closed());
}

// Whatever comes.

#[derive(Debug, Clone)]
enum Step {
    Router(Vec<u8>),
    Frame(u8, Vec<u8>),
    Known(usize),
    Command(usize),
    Pass(u16),
    Eof,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => any::<Vec<u8>>().prop_map(Step::Router),
        3 => (any::<u8>(), any::<Vec<u8>>()).prop_map(|(kind, body)| Step::Frame(kind, body)),
        6 => (0_usize..10).prop_map(Step::Known),
        4 => (0_usize..6).prop_map(Step::Command),
        2 => any::<u16>().prop_map(Step::Pass),
        1 => Just(Step::Eof),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_course_of_events_panics_or_spins(steps in prop::collection::vec(step(), 0..40)) {
        let mut bench = Bench::new(&[]);
        let known = [
            set_date("0.9.66"),
            Message::BandwidthLimits(emissary_limits()),
            Message::BandwidthLimits(BandwidthLimits::default()),
            Message::SessionStatus { session: ID, status: SessionStatus::CREATED },
            Message::SessionStatus { session: SessionId(7), status: SessionStatus::CREATED },
            Message::SessionStatus { session: ID, status: SessionStatus::INVALID },
            lease_set_request(ID),
            Message::HostReply(HostReply::found(ID, 0, peer())),
            Message::HostReply(HostReply::failed(ID, 1, HostResult::FAILURE)),
            Message::MessagePayload(MessagePayload {
                session: ID,
                message: 1,
                payload: Bytes::new(),
            }),
        ];
        for step in steps {
            match step {
                Step::Router(bytes) => bench.input(Input::Receive(&bytes)),
                Step::Frame(kind, body) => {
                    let mut frame = u32::try_from(body.len()).expect("short").to_be_bytes().to_vec();
                    frame.push(kind);
                    frame.extend(body);
                    bench.input(Input::Receive(&frame));
                }
                Step::Known(index) => bench.router(&known[index]),
                Step::Command(index) => {
                    let command = match index {
                        0 => publish(Handle::PRIMARY),
                        1 => send(&bench, 1),
                        2 => lookup(1, LookupTarget::Hash(peer().hash())),
                        3 => open_subsession(SUB),
                        4 => Command::Reconfigure {
                            session: Handle::PRIMARY,
                            options: Options::new(),
                        },
                        _ => Command::Close(SUB),
                    };
                    bench.command(command);
                }
                Step::Pass(milliseconds) => bench.pass(Duration::from_millis(milliseconds.into())),
                Step::Eof => bench.input(Input::Eof),
            }
        }
        let closed = bench.events.iter().filter(|event| matches!(event, Event::Closed(_))).count();
        prop_assert!(closed <= 1);
        prop_assert_eq!(closed == 1, bench.session.is_closed());
    }
}
