use std::time::{Duration, Instant};

use bytes::Bytes;
use eepkit_wire::{OfflineSignature, PrivateKeys, SignatureType};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};

use super::*;
use crate::{Failure, ResultCode, SendOptions, Sender, Style, Version};

const LIMIT: Duration = Duration::from_secs(10);

fn keys() -> PrivateKeys {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    PrivateKeys::generate(SignatureType::ED25519, &mut rng).expect("can be made")
}

/// A client and its outputs.
struct Dialogue {
    client: Client,
    now: Instant,
    events: Vec<Event>,
    sent: String,
    wake: Option<Instant>,
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test needs some instant to begin with"
)]
fn now() -> Instant {
    Instant::now()
}

impl Dialogue {
    /// A client that has sent HELLO.
    fn new(config: Config) -> Self {
        let now = now();
        let mut this = Self {
            client: Client::new(config, now),
            now,
            events: Vec::new(),
            sent: String::new(),
            wake: None,
        };
        this.drain();
        this
    }

    /// A client that has negotiated this version.
    fn with_version(version: &str) -> Self {
        let mut this = Self::new(Config::default());
        this.receive(&format!("HELLO REPLY RESULT=OK VERSION={version}\n"));
        this.sent.clear();
        this.events.clear();
        this
    }

    fn drain(&mut self) {
        loop {
            match self.client.poll_output() {
                Output::Transmit(bytes) => self.sent += &String::from_utf8_lossy(&bytes),
                Output::Event(event) => self.events.push(event),
                Output::Timeout(at) => {
                    self.wake = at;
                    return;
                }
            }
        }
    }

    fn receive(&mut self, text: &str) {
        self.client.handle_input(self.now, text.as_bytes());
        self.drain();
    }

    fn advance(&mut self, time: Duration) {
        self.now += time;
        self.client.handle_timeout(self.now);
        self.drain();
    }

    /// Sends a request, and returns its line.
    fn send_request(&mut self, request: Request) -> String {
        self.sent.clear();
        self.client.request(request, LIMIT);
        self.drain();
        std::mem::take(&mut self.sent)
    }

    /// The result of the last request.
    fn result(&mut self) -> Result<Answer, RequestError> {
        let answer = self.events.drain(..).rev().find_map(|event| match event {
            Event::Answered { result, .. } => Some(result),
            _ => None,
        });
        answer.expect("an answer")
    }
}

fn create(style: Style) -> Create {
    Create::new("x", style, Keys::Transient(SignatureType::ED25519))
}

fn refused(result: ResultCode, message: &'static str) -> RequestError {
    RequestError::Refused(Failure::new(result, message))
}

#[test]
fn hello_offers_all_versions_but_3_0() {
    let dialogue = Dialogue::new(Config::default());
    assert_eq!(dialogue.sent, "HELLO VERSION MIN=3.1 MAX=3.3\n");
}

#[test]
fn hello_names_the_user_and_the_password_is_quoted() {
    let config = Config {
        login: Some(Login::new("me", "open \"sesame\"")),
        ..Config::default()
    };
    let dialogue = Dialogue::new(config);
    assert_eq!(
        dialogue.sent,
        "HELLO VERSION MIN=3.1 MAX=3.3 USER=me PASSWORD=\"open \\\"sesame\\\"\"\n"
    );
}

#[test]
fn the_version_of_the_bridge_is_used() {
    for (text, version) in
        ["3.1", "3.2", "3.3"]
            .into_iter()
            .zip([Version::V3_1, Version::V3_2, Version::V3_3])
    {
        let mut dialogue = Dialogue::new(Config::default());
        dialogue.receive(&format!("HELLO REPLY RESULT=OK VERSION={text}\n"));
        assert_eq!(dialogue.events, [Event::Ready(version)]);
    }
}

#[test]
fn failures_of_hello_are_distinguished() {
    let cases = [
        ("HELLO REPLY RESULT=NOVERSION\n", Closed::NoVersion),
        ("HELLO REPLY RESULT=OK VERSION=4.0\n", Closed::NoVersion),
        (
            "HELLO REPLY RESULT=I2P_ERROR MESSAGE=\"who are you\"\n",
            Closed::Refused(Failure::error("who are you")),
        ),
        (
            "HTTP/1.1 400 Bad Request\r\n",
            Closed::NotSam("the first line is not HELLO REPLY"),
        ),
    ];
    for (line, why) in cases {
        let mut dialogue = Dialogue::new(Config::default());
        dialogue.receive(line);
        assert_eq!(dialogue.events, [Event::Closed(why)], "{line}");
    }
}

#[test]
fn the_connection_closes_if_hello_is_not_answered() {
    let mut dialogue = Dialogue::new(Config::default());
    dialogue.advance(Duration::from_secs(19));
    assert_eq!(dialogue.events, []);
    dialogue.advance(Duration::from_secs(1));
    assert_eq!(dialogue.events, [Event::Closed(Closed::Timeout)]);
}

#[test]
fn sessions_of_every_style_are_created() {
    for style in Style::ALL {
        let mut dialogue = Dialogue::with_version("3.3");
        let line = dialogue.send_request(Request::Create(create(style)));
        assert_eq!(
            line,
            format!("SESSION CREATE STYLE={style} ID=x DESTINATION=TRANSIENT SIGNATURE_TYPE=7\n")
        );
        let keys = keys();
        dialogue.receive(&format!(
            "SESSION STATUS RESULT=OK DESTINATION={}\n",
            keys.to_base64().as_str()
        ));
        let keys = Some(Box::new(keys));
        assert_eq!(dialogue.result(), Ok(Answer::Created { keys }));
    }
}

#[test]
fn a_session_with_given_keys_sends_the_keys_and_no_signature_type() {
    let mut dialogue = Dialogue::with_version("3.1");
    let keys = Keys::Given(Box::new(keys()));
    let text = match &keys {
        Keys::Given(keys) => keys.to_base64(),
        Keys::Transient(_) => unreachable!("they were given"),
    };
    let line = dialogue.send_request(Request::Create(Create::new("x", Style::Stream, keys)));
    assert_eq!(
        line,
        format!(
            "SESSION CREATE STYLE=STREAM ID=x DESTINATION={}\n",
            text.as_str()
        )
    );
    // The destination in the answer is not needed.
    dialogue.receive("SESSION STATUS RESULT=OK\n");
    assert_eq!(dialogue.result(), Ok(Answer::Created { keys: None }));
}

#[test]
fn every_parameter_of_a_session_is_sent() {
    let mut raw = create(Style::Raw);
    raw.from_port = 1;
    raw.to_port = 2;
    raw.protocol = Some(42);
    raw.header = true;
    raw.forward_port = Some(3);
    raw.forward_host = Some("127.0.0.1".to_owned());
    raw.options.set("inbound.length", "2").expect("an option");
    raw.options
        .set("inbound.nickname", "a b")
        .expect("an option");
    let line = Dialogue::with_version("3.3").send_request(Request::Create(raw));
    assert_eq!(
        line,
        "SESSION CREATE STYLE=RAW ID=x DESTINATION=TRANSIENT SIGNATURE_TYPE=7 PORT=3 \
         HOST=127.0.0.1 FROM_PORT=1 TO_PORT=2 PROTOCOL=42 HEADER=true inbound.length=2 \
         inbound.nickname=\"a b\"\n"
    );
    let mut add = Subsession::new("y", Style::Raw);
    add.forward_port = Some(3);
    add.listen_port = Some(0);
    add.listen_protocol = Some(0);
    add.from_port = 9;
    let line = Dialogue::with_version("3.3").send_request(Request::Add(add));
    assert_eq!(
        line,
        "SESSION ADD STYLE=RAW ID=y PORT=3 FROM_PORT=9 LISTEN_PORT=0 LISTEN_PROTOCOL=0\n"
    );
}

#[test]
fn invalid_sessions_are_refused_before_sending() {
    let wrong: [fn(&mut Create); 6] = [
        |c| c.id = "a b".to_owned(),
        |c| c.header = true,
        |c| c.protocol = Some(5),
        |c| c.forward_port = Some(1),
        |c| {
            c.style = Style::Primary;
            c.from_port = 1;
        },
        |c| {
            c.style = Style::Raw;
            c.protocol = Some(17);
        },
    ];
    for (number, change) in wrong.into_iter().enumerate() {
        let mut dialogue = Dialogue::with_version("3.3");
        let mut create = create(Style::Stream);
        change(&mut create);
        assert_eq!(
            dialogue.send_request(Request::Create(create)),
            "",
            "{number}"
        );
        let result = dialogue.result();
        assert!(matches!(result, Err(RequestError::Invalid(_))), "{number}");
    }
}

#[test]
fn offline_keys_are_refused_for_datagrams_of_the_old_format() {
    let mut rng = ChaCha20Rng::seed_from_u64(2);
    let offline = keys()
        .with_transient(u32::MAX, SignatureType::ED25519, &mut rng)
        .expect("can be made");
    assert!(
        offline
            .offline()
            .is_some_and(|one: &OfflineSignature| one.expires() == u32::MAX)
    );
    for (style, fits) in [(Style::Datagram, false), (Style::Datagram2, true)] {
        let mut dialogue = Dialogue::with_version("3.3");
        let keys = Keys::Given(Box::new(offline.clone()));
        let line = dialogue.send_request(Request::Create(Create::new("x", style, keys)));
        assert_eq!(!line.is_empty(), fits, "{style}");
    }
}

#[test]
fn invalid_options_are_refused() {
    let mut options = SessionOptions::new();
    assert_eq!(options.set("PORT", "1"), Err(InvalidOption::Own));
    assert_eq!(options.set("a b", "1"), Err(InvalidOption::Key));
    assert_eq!(options.set("a=b", "1"), Err(InvalidOption::Key));
    assert_eq!(options.set("", "1"), Err(InvalidOption::Key));
    assert_eq!(options.set("a", "1\n2"), Err(InvalidOption::Value));
    for number in 0..SessionOptions::MAX {
        assert_eq!(options.set(&format!("k{number}"), "v"), Ok(()));
    }
    assert_eq!(options.set("one.more", "v"), Err(InvalidOption::TooMany));
    assert_eq!(options.set("k0", "later"), Ok(()));
    assert_eq!(options.iter().next(), Some(("k0", "later")));
}

#[test]
fn a_line_that_is_too_long_is_not_sent() {
    let mut create = create(Style::Stream);
    create
        .options
        .set("long", &"x".repeat(8192))
        .expect("an option");
    let mut dialogue = Dialogue::with_version("3.3");
    assert_eq!(dialogue.send_request(Request::Create(create)), "");
    assert!(matches!(dialogue.result(), Err(RequestError::Invalid(_))));
}

#[test]
fn requests_that_need_a_newer_version_are_not_sent() {
    let ports = |from_port, to_port| {
        Request::Connect(Connect {
            id: "x".to_owned(),
            to: "a.i2p".to_owned(),
            from_port,
            to_port,
            silent: false,
        })
    };
    for request in [
        ports(0, 1),
        ports(1, 0),
        Request::Ping("a".to_owned()),
        Request::Quit,
        Request::Add(Subsession::new("y", Style::Stream)),
        Request::Remove { id: "y".to_owned() },
    ] {
        let mut dialogue = Dialogue::with_version("3.1");
        assert_eq!(dialogue.send_request(request.clone()), "", "{request:?}");
        let result = dialogue.result();
        assert!(
            matches!(result, Err(RequestError::TooOld { .. })),
            "{request:?}"
        );
    }
    let line = Dialogue::with_version("3.1").send_request(ports(0, 0));
    assert_eq!(line, "STREAM CONNECT ID=x DESTINATION=a.i2p SILENT=false\n");
    let line = Dialogue::with_version("3.2").send_request(ports(1, 2));
    assert_eq!(
        line,
        "STREAM CONNECT ID=x DESTINATION=a.i2p SILENT=false FROM_PORT=1 TO_PORT=2\n"
    );
}

#[test]
fn subsessions_are_requested_from_3_2_on_because_of_emissary() {
    let mut dialogue = Dialogue::with_version("3.2");
    let line = dialogue.send_request(Request::Add(Subsession::new("y", Style::Stream)));
    assert_eq!(line, "SESSION ADD STYLE=STREAM ID=y\n");
    dialogue.receive("SESSION STATUS RESULT=OK ID=\"y\" MESSAGE=\"ADD y\"\n");
    assert_eq!(dialogue.result(), Ok(Answer::Added));
    dialogue.send_request(Request::Remove { id: "y".to_owned() });
    dialogue.receive("SESSION STATUS RESULT=OK DESTINATION=AAAA\n");
    assert_eq!(dialogue.result(), Ok(Answer::Removed));
}

#[test]
fn refusals_are_reported_with_their_reason() {
    let cases = [
        ("DUPLICATED_ID", ResultCode::DuplicatedId),
        ("DUPLICATE_DEST", ResultCode::DuplicatedDest),
        ("INVALID_KEY", ResultCode::InvalidKey),
        ("I2P_ERROR", ResultCode::I2pError),
        ("NEWS", ResultCode::Other("NEWS".into())),
    ];
    for (word, code) in cases {
        let mut dialogue = Dialogue::with_version("3.3");
        dialogue.send_request(Request::Create(create(Style::Stream)));
        dialogue.receive(&format!(
            "SESSION STATUS RESULT={word} MESSAGE=\"why not\"\n"
        ));
        assert_eq!(dialogue.result(), Err(refused(code, "why not")));
    }
}

#[test]
fn a_refusal_without_a_newline_is_read_when_the_bridge_closes() {
    let mut dialogue = Dialogue::with_version("3.2");
    dialogue.send_request(Request::Create(create(Style::Stream)));
    dialogue.receive("SESSION STATUS RESULT=DUPLICATE_ID");
    dialogue.client.handle_end(dialogue.now);
    dialogue.drain();
    assert_eq!(dialogue.events.pop(), Some(Event::Closed(Closed::ByBridge)));
    assert_eq!(
        dialogue.result(),
        Err(refused(ResultCode::DuplicatedId, ""))
    );
}

#[test]
fn a_stream_begins_after_its_status_line() {
    let mut dialogue = Dialogue::with_version("3.3");
    dialogue.send_request(Request::Connect(Connect {
        id: "x".to_owned(),
        to: "a.i2p".to_owned(),
        from_port: 0,
        to_port: 0,
        silent: false,
    }));
    dialogue.receive("STREAM STATUS RESULT=OK\nPING 1\nHello");
    assert_eq!(dialogue.result(), Ok(Answer::Connected));
    assert!(dialogue.client.is_stream());
    // After the status line, the bytes belong to the stream, even if they look like a command.
    assert_eq!(dialogue.sent, "");
    assert_eq!(dialogue.client.take_rest(), &b"PING 1\nHello"[..]);
}

#[test]
fn the_peer_of_an_accepted_stream_is_reported_before_its_data() {
    let peer = keys().destination().clone();
    let mut dialogue = Dialogue::with_version("3.3");
    let accept = Accept {
        id: "x".to_owned(),
        silent: false,
    };
    let line = dialogue.send_request(Request::Accept(accept.clone()));
    assert_eq!(line, "STREAM ACCEPT ID=x SILENT=false\n");
    dialogue.receive("STREAM STATUS RESULT=OK\n");
    assert_eq!(dialogue.result(), Ok(Answer::Accepting));
    dialogue.receive("PING 5\n");
    assert_eq!(dialogue.sent, "PONG 5\n");
    dialogue.receive(&format!("{} FROM_PORT=1 TO_PORT=2\nHi", peer.to_base64()));
    let Some(Event::Peer(Some(line))) = dialogue.events.pop() else {
        panic!("a peer");
    };
    assert_eq!(line.destination, peer);
    assert_eq!((line.from_port, line.to_port), (Some(1), Some(2)));
    assert_eq!(dialogue.client.take_rest(), &b"Hi"[..]);

    // The bridge may report a failure while it waits for a stream.
    let mut dialogue = Dialogue::with_version("3.3");
    dialogue.send_request(Request::Accept(accept));
    dialogue.receive("STREAM STATUS RESULT=OK\nSTREAM STATUS RESULT=I2P_ERROR MESSAGE=over\n");
    let why = Closed::Refused(Failure::error("over"));
    assert_eq!(dialogue.events.pop(), Some(Event::Closed(why)));
}

#[test]
fn silent_streams_begin_immediately() {
    let mut dialogue = Dialogue::with_version("3.3");
    dialogue.send_request(Request::Accept(Accept {
        id: "x".to_owned(),
        silent: true,
    }));
    assert_eq!(dialogue.events.pop(), Some(Event::Peer(None)));
    dialogue.receive("data\n");
    assert_eq!(dialogue.client.take_rest(), &b"data\n"[..]);
}

#[test]
fn streams_are_forwarded() {
    let mut dialogue = Dialogue::with_version("3.3");
    let line = dialogue.send_request(Request::Forward(Forward {
        id: "x".to_owned(),
        port: 80,
        host: Some("::1".to_owned()),
        silent: true,
        tls: true,
    }));
    assert_eq!(
        line,
        "STREAM FORWARD ID=x PORT=80 HOST=::1 SILENT=true SSL=true\n"
    );
    dialogue.receive("STREAM STATUS RESULT=OK\n");
    assert_eq!(dialogue.result(), Ok(Answer::Forwarding));
}

#[test]
fn answers_to_look_ups_of_other_names_are_ignored() {
    let found = keys().destination().clone();
    let mut dialogue = Dialogue::with_version("3.3");
    let lookup = Lookup {
        name: "a.i2p".to_owned(),
        options: true,
    };
    let line = dialogue.send_request(Request::Lookup(lookup));
    assert_eq!(line, "NAMING LOOKUP NAME=a.i2p OPTIONS=true\n");
    dialogue.receive("NAMING REPLY RESULT=KEY_NOT_FOUND NAME=b.i2p\n");
    assert_eq!(dialogue.events, []);
    dialogue.receive(&format!(
        "NAMING REPLY RESULT=OK NAME=a.i2p VALUE={} OPTION:_smtp._tcp=\"1 2\"\n",
        found.to_base64()
    ));
    let options = vec![("_smtp._tcp".to_owned(), "1 2".to_owned())];
    let answer = Answer::Found {
        destination: found,
        options,
    };
    assert_eq!(dialogue.result(), Ok(answer));
    for word in ["KEY_NOT_FOUND", "INVALID_KEY"] {
        dialogue.send_request(Request::lookup("c.i2p"));
        dialogue.receive(&format!("NAMING REPLY RESULT={word} NAME=c.i2p\n"));
        let result = dialogue.result();
        assert!(matches!(result, Err(RequestError::Refused(f)) if quirks::is_name_unknown(&f)));
    }
}

#[test]
fn generated_keys_are_parsed() {
    let keys = keys();
    let mut dialogue = Dialogue::with_version("3.1");
    let line = dialogue.send_request(Request::Generate(SignatureType::ED25519));
    assert_eq!(line, "DEST GENERATE SIGNATURE_TYPE=7\n");
    dialogue.receive(&format!(
        "DEST REPLY PUB={} PRIV={}\n",
        keys.destination().to_base64(),
        keys.to_base64().as_str()
    ));
    assert_eq!(dialogue.result(), Ok(Answer::Generated(Box::new(keys))));
    dialogue.send_request(Request::Generate(SignatureType::ED25519));
    dialogue.receive("DEST REPLY RESULT=I2P_ERROR MESSAGE=\"no such type\"\n");
    let error = refused(ResultCode::I2pError, "no such type");
    assert_eq!(dialogue.result(), Err(error));
}

#[test]
fn both_sides_can_ping() {
    let mut dialogue = Dialogue::with_version("3.2");
    dialogue.receive("PING 12 34\nPING\n");
    assert_eq!(dialogue.sent, "PONG 12 34\nPONG\n");
    let line = dialogue.send_request(Request::Ping("are you there".to_owned()));
    assert_eq!(line, "PING are you there\n");
    dialogue.receive("PONG somebody else\n");
    assert_eq!(dialogue.events, []);
    dialogue.receive("PONG are you there\n");
    assert_eq!(dialogue.result(), Ok(Answer::Pong));
    assert_eq!(dialogue.send_request(Request::Quit), "QUIT\n");
    assert_eq!(dialogue.events.pop(), Some(Event::Closed(Closed::Quit)));
}

#[test]
fn keep_alive_detects_a_dead_connection() {
    let minute = Duration::from_secs(60);
    let mut dialogue = Dialogue::with_version("3.2");
    dialogue.client.set_keep_alive(Some(minute));
    dialogue.drain();
    assert_eq!(dialogue.wake, Some(dialogue.now + minute));
    dialogue.advance(minute);
    assert_eq!(dialogue.sent, "PING eepkit\n");
    dialogue.receive("PONG eepkit\n");
    dialogue.advance(minute);
    assert_eq!(dialogue.events, []);
    dialogue.advance(minute);
    assert_eq!(dialogue.events, [Event::Closed(Closed::Timeout)]);
}

#[test]
fn one_request_is_sent_at_a_time_and_waiting_requests_are_limited() {
    let mut dialogue = Dialogue::new(Config::default());
    dialogue.sent.clear();
    for number in 0..Client::MAX_WAITING {
        let name = format!("{number}.i2p");
        assert_eq!(dialogue.send_request(Request::lookup(name)), "");
    }
    dialogue.send_request(Request::lookup("more.i2p"));
    assert_eq!(dialogue.result(), Err(RequestError::Busy));
    dialogue.receive("HELLO REPLY RESULT=OK VERSION=3.3\n");
    assert_eq!(dialogue.sent, "NAMING LOOKUP NAME=0.i2p\n");
    dialogue.sent.clear();
    dialogue.receive("NAMING REPLY RESULT=KEY_NOT_FOUND NAME=0.i2p\n");
    assert_eq!(dialogue.sent, "NAMING LOOKUP NAME=1.i2p\n");
}

#[test]
fn a_missing_answer_ends_the_connection() {
    let mut dialogue = Dialogue::with_version("3.2");
    dialogue.send_request(Request::lookup("a.i2p"));
    dialogue.send_request(Request::lookup("b.i2p"));
    assert_eq!(dialogue.wake, Some(dialogue.now + LIMIT));
    dialogue.advance(LIMIT);
    assert_eq!(dialogue.events.pop(), Some(Event::Closed(Closed::Timeout)));
    let answers = dialogue.events.len();
    assert_eq!(answers, 2, "both requests end");
    assert_eq!(dialogue.result(), Err(RequestError::Timeout));
    dialogue.send_request(Request::lookup("c.i2p"));
    assert_eq!(dialogue.result(), Err(RequestError::Over));
}

#[test]
fn datagrams_are_received_between_lines() {
    let peer = keys().destination().clone();
    let mut dialogue = Dialogue::with_version("3.2");
    dialogue.send_request(Request::lookup("a.i2p"));
    dialogue.receive(&format!(
        "DATAGRAM RECEIVED DESTINATION={} SIZE=4 FROM_PORT=1 TO_PORT=2\nPI",
        peer.to_base64()
    ));
    dialogue.receive("N\nNAMING REPLY RESULT=KEY_NOT_FOUND NAME=a.i2p\nRAW RECEIVED SIZE=1\nx");
    let datagrams: Vec<_> = dialogue
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Datagram(datagram) => Some(datagram),
            _ => None,
        })
        .collect();
    assert_eq!(datagrams.len(), 2);
    assert_eq!(datagrams[0].payload, &b"PIN\n"[..]);
    assert_eq!(datagrams[0].sender, Sender::Verified(peer));
    assert_eq!(datagrams[1].payload, &b"x"[..]);
    assert!(dialogue.result().is_err());
}

#[test]
fn datagrams_are_sent_with_the_options_that_the_version_supports() {
    let mut datagram = SendDatagram {
        style: Style::Raw,
        to: "a.i2p".to_owned(),
        options: SendOptions {
            from_port: Some(1),
            to_port: Some(2),
            protocol: Some(42),
            expires: Some(LIMIT),
            ..SendOptions::default()
        },
        payload: Bytes::from_static(b"hi"),
    };
    let send = |version: &str, datagram: &SendDatagram| {
        let mut dialogue = Dialogue::with_version(version);
        let result = dialogue.client.send_datagram(datagram);
        dialogue.drain();
        result.map(|()| dialogue.sent)
    };
    let expected = "RAW SEND DESTINATION=a.i2p SIZE=2 FROM_PORT=1 TO_PORT=2 PROTOCOL=42\nhi";
    assert_eq!(send("3.2", &datagram).as_deref(), Ok(expected));
    let expected = "RAW SEND DESTINATION=a.i2p SIZE=2\nhi";
    assert_eq!(send("3.1", &datagram).as_deref(), Ok(expected));
    datagram.style = Style::Datagram2;
    let expected = "DATAGRAM SEND DESTINATION=a.i2p SIZE=2 FROM_PORT=1 TO_PORT=2\nhi";
    assert_eq!(send("3.3", &datagram).as_deref(), Ok(expected));
    datagram.payload = Bytes::new();
    assert!(send("3.3", &datagram).is_err());
    datagram.payload = vec![0; 31_745].into();
    assert!(send("3.3", &datagram).is_err());
}

#[test]
fn the_connection_closes_if_the_bridge_ends_the_session() {
    let mut dialogue = Dialogue::with_version("3.3");
    dialogue.receive("SESSION STATUS RESULT=I2P_ERROR MESSAGE=\"tunnels are gone\"\n");
    let why = Closed::Refused(Failure::error("tunnels are gone"));
    assert_eq!(dialogue.events, [Event::Closed(why)]);
}

#[test]
fn invalid_input_ends_the_connection() {
    for junk in ["\0\n", "SESSION X=\"\n", "DATAGRAM RECEIVED SIZE=x\n"] {
        let mut dialogue = Dialogue::with_version("3.3");
        dialogue.receive(junk);
        let closed = matches!(
            dialogue.events.as_slice(),
            [Event::Closed(Closed::NotSam(_))]
        );
        assert!(closed, "{junk:?}: {:?}", dialogue.events);
    }
    let mut dialogue = Dialogue::with_version("3.3");
    dialogue.receive(&"x".repeat(17 * 1024));
    assert!(matches!(dialogue.events.as_slice(), [Event::Closed(_)]));
}

#[test]
fn debug_output_omits_secrets() {
    let keys = keys();
    let text = keys.to_base64();
    let request = Request::Create(Create::new("x", Style::Stream, Keys::Given(Box::new(keys))));
    let mut options = SessionOptions::new();
    options
        .set("i2cp.leaseSetPrivKey", "sesame")
        .expect("an option");
    let shown = format!("{request:?} {options:?} {:?}", Login::new("me", "sesame"));
    assert!(!shown.contains("sesame") && !shown.contains(text.as_str()));
}
