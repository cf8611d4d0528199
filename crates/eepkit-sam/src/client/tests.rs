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

/// A client and what came out of it.
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
    /// One that has begun with HELLO.
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

    /// One where this version was agreed on.
    fn speaking(version: &str) -> Self {
        let mut this = Self::new(Config::default());
        this.hears(&format!("HELLO REPLY RESULT=OK VERSION={version}\n"));
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

    fn hears(&mut self, text: &str) {
        self.client.handle_input(self.now, text.as_bytes());
        self.drain();
    }

    fn waits(&mut self, time: Duration) {
        self.now += time;
        self.client.handle_timeout(self.now);
        self.drain();
    }

    /// Asks, and gives the line for it.
    fn asks(&mut self, request: Request) -> String {
        self.sent.clear();
        self.client.request(request, LIMIT);
        self.drain();
        std::mem::take(&mut self.sent)
    }

    /// What became of the last request.
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
fn the_version_of_the_bridge_is_taken() {
    for (text, version) in
        ["3.1", "3.2", "3.3"]
            .into_iter()
            .zip([Version::V3_1, Version::V3_2, Version::V3_3])
    {
        let mut dialogue = Dialogue::new(Config::default());
        dialogue.hears(&format!("HELLO REPLY RESULT=OK VERSION={text}\n"));
        assert_eq!(dialogue.events, [Event::Ready(version)]);
    }
}

#[test]
fn a_bridge_that_refuses_hello_or_is_none_is_told_apart() {
    let cases = [
        ("HELLO REPLY RESULT=NOVERSION\n", Closed::NoVersion),
        ("HELLO REPLY RESULT=OK VERSION=4.0\n", Closed::NoVersion),
        (
            "HELLO REPLY RESULT=I2P_ERROR MESSAGE=\"who are you\"\n",
            Closed::Refused(Failure::error("who are you")),
        ),
        (
            "HTTP/1.1 400 Bad Request\r\n",
            Closed::NotSam("the first line is no HELLO REPLY"),
        ),
    ];
    for (line, why) in cases {
        let mut dialogue = Dialogue::new(Config::default());
        dialogue.hears(line);
        assert_eq!(dialogue.events, [Event::Closed(why)], "{line}");
    }
}

#[test]
fn a_bridge_that_says_nothing_is_given_up() {
    let mut dialogue = Dialogue::new(Config::default());
    dialogue.waits(Duration::from_secs(19));
    assert_eq!(dialogue.events, []);
    dialogue.waits(Duration::from_secs(1));
    assert_eq!(dialogue.events, [Event::Closed(Closed::Timeout)]);
}

#[test]
fn sessions_of_every_style_are_created() {
    for style in Style::ALL {
        let mut dialogue = Dialogue::speaking("3.3");
        let line = dialogue.asks(Request::Create(create(style)));
        assert_eq!(
            line,
            format!("SESSION CREATE STYLE={style} ID=x DESTINATION=TRANSIENT SIGNATURE_TYPE=7\n")
        );
        let keys = keys();
        dialogue.hears(&format!(
            "SESSION STATUS RESULT=OK DESTINATION={}\n",
            keys.to_base64().as_str()
        ));
        let keys = Some(Box::new(keys));
        assert_eq!(dialogue.result(), Ok(Answer::Created { keys }));
    }
}

#[test]
fn a_session_of_given_keys_says_them_and_no_type() {
    let mut dialogue = Dialogue::speaking("3.1");
    let keys = Keys::Given(Box::new(keys()));
    let text = match &keys {
        Keys::Given(keys) => keys.to_base64(),
        Keys::Transient(_) => unreachable!("they were given"),
    };
    let line = dialogue.asks(Request::Create(Create::new("x", Style::Stream, keys)));
    assert_eq!(
        line,
        format!(
            "SESSION CREATE STYLE=STREAM ID=x DESTINATION={}\n",
            text.as_str()
        )
    );
    // What the bridge writes there is not needed.
    dialogue.hears("SESSION STATUS RESULT=OK\n");
    assert_eq!(dialogue.result(), Ok(Answer::Created { keys: None }));
}

#[test]
fn every_parameter_of_a_session_reaches_the_line() {
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
    let line = Dialogue::speaking("3.3").asks(Request::Create(raw));
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
    let line = Dialogue::speaking("3.3").asks(Request::Add(add));
    assert_eq!(
        line,
        "SESSION ADD STYLE=RAW ID=y PORT=3 FROM_PORT=9 LISTEN_PORT=0 LISTEN_PROTOCOL=0\n"
    );
}

#[test]
fn what_no_bridge_would_take_is_not_sent() {
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
        let mut dialogue = Dialogue::speaking("3.3");
        let mut create = create(Style::Stream);
        change(&mut create);
        assert_eq!(dialogue.asks(Request::Create(create)), "", "{number}");
        let result = dialogue.result();
        assert!(matches!(result, Err(RequestError::Invalid(_))), "{number}");
    }
}

#[test]
fn offline_keys_are_not_for_datagrams_of_the_old_format() {
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
        let mut dialogue = Dialogue::speaking("3.3");
        let keys = Keys::Given(Box::new(offline.clone()));
        let line = dialogue.asks(Request::Create(Create::new("x", style, keys)));
        assert_eq!(!line.is_empty(), fits, "{style}");
    }
}

#[test]
fn options_that_mean_something_else_or_cannot_be_written_are_refused() {
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
fn a_line_that_bridges_do_not_read_is_not_sent() {
    let mut create = create(Style::Stream);
    create
        .options
        .set("long", &"x".repeat(8192))
        .expect("an option");
    let mut dialogue = Dialogue::speaking("3.3");
    assert_eq!(dialogue.asks(Request::Create(create)), "");
    assert!(matches!(dialogue.result(), Err(RequestError::Invalid(_))));
}

#[test]
fn what_a_version_does_not_have_is_not_asked() {
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
        let mut dialogue = Dialogue::speaking("3.1");
        assert_eq!(dialogue.asks(request.clone()), "", "{request:?}");
        let result = dialogue.result();
        assert!(
            matches!(result, Err(RequestError::TooOld { .. })),
            "{request:?}"
        );
    }
    let line = Dialogue::speaking("3.1").asks(ports(0, 0));
    assert_eq!(line, "STREAM CONNECT ID=x DESTINATION=a.i2p SILENT=false\n");
    let line = Dialogue::speaking("3.2").asks(ports(1, 2));
    assert_eq!(
        line,
        "STREAM CONNECT ID=x DESTINATION=a.i2p SILENT=false FROM_PORT=1 TO_PORT=2\n"
    );
}

#[test]
fn emissary_is_asked_for_primary_although_it_says_3_2() {
    let mut dialogue = Dialogue::speaking("3.2");
    let line = dialogue.asks(Request::Add(Subsession::new("y", Style::Stream)));
    assert_eq!(line, "SESSION ADD STYLE=STREAM ID=y\n");
    dialogue.hears("SESSION STATUS RESULT=OK ID=\"y\" MESSAGE=\"ADD y\"\n");
    assert_eq!(dialogue.result(), Ok(Answer::Added));
    dialogue.asks(Request::Remove { id: "y".to_owned() });
    dialogue.hears("SESSION STATUS RESULT=OK DESTINATION=AAAA\n");
    assert_eq!(dialogue.result(), Ok(Answer::Removed));
}

#[test]
fn refusals_are_told_with_their_reason() {
    let cases = [
        ("DUPLICATED_ID", ResultCode::DuplicatedId),
        ("DUPLICATE_DEST", ResultCode::DuplicatedDest),
        ("INVALID_KEY", ResultCode::InvalidKey),
        ("I2P_ERROR", ResultCode::I2pError),
        ("NEWS", ResultCode::Other("NEWS".into())),
    ];
    for (word, code) in cases {
        let mut dialogue = Dialogue::speaking("3.3");
        dialogue.asks(Request::Create(create(Style::Stream)));
        dialogue.hears(&format!(
            "SESSION STATUS RESULT={word} MESSAGE=\"why not\"\n"
        ));
        assert_eq!(dialogue.result(), Err(refused(code, "why not")));
    }
}

#[test]
fn a_refusal_without_an_end_counts_when_the_bridge_closes() {
    let mut dialogue = Dialogue::speaking("3.2");
    dialogue.asks(Request::Create(create(Style::Stream)));
    dialogue.hears("SESSION STATUS RESULT=DUPLICATE_ID");
    dialogue.client.handle_end(dialogue.now);
    dialogue.drain();
    assert_eq!(dialogue.events.pop(), Some(Event::Closed(Closed::ByBridge)));
    assert_eq!(
        dialogue.result(),
        Err(refused(ResultCode::DuplicatedId, ""))
    );
}

#[test]
fn a_stream_begins_behind_its_status() {
    let mut dialogue = Dialogue::speaking("3.3");
    dialogue.asks(Request::Connect(Connect {
        id: "x".to_owned(),
        to: "a.i2p".to_owned(),
        from_port: 0,
        to_port: 0,
        silent: false,
    }));
    dialogue.hears("STREAM STATUS RESULT=OK\nPING 1\nHello");
    assert_eq!(dialogue.result(), Ok(Answer::Connected));
    assert!(dialogue.client.is_stream());
    // A line that looks like a command is the peer's.
    assert_eq!(dialogue.sent, "");
    assert_eq!(dialogue.client.take_rest(), &b"PING 1\nHello"[..]);
}

#[test]
fn an_accepted_stream_tells_the_peer_before_its_data() {
    let peer = keys().destination().clone();
    let mut dialogue = Dialogue::speaking("3.3");
    let accept = Accept {
        id: "x".to_owned(),
        silent: false,
    };
    let line = dialogue.asks(Request::Accept(accept.clone()));
    assert_eq!(line, "STREAM ACCEPT ID=x SILENT=false\n");
    dialogue.hears("STREAM STATUS RESULT=OK\n");
    assert_eq!(dialogue.result(), Ok(Answer::Accepting));
    dialogue.hears("PING 5\n");
    assert_eq!(dialogue.sent, "PONG 5\n");
    dialogue.hears(&format!("{} FROM_PORT=1 TO_PORT=2\nHi", peer.to_base64()));
    let Some(Event::Peer(Some(line))) = dialogue.events.pop() else {
        panic!("a peer");
    };
    assert_eq!(line.destination, peer);
    assert_eq!((line.from_port, line.to_port), (Some(1), Some(2)));
    assert_eq!(dialogue.client.take_rest(), &b"Hi"[..]);

    // The bridge may give up while it waits.
    let mut dialogue = Dialogue::speaking("3.3");
    dialogue.asks(Request::Accept(accept));
    dialogue.hears("STREAM STATUS RESULT=OK\nSTREAM STATUS RESULT=I2P_ERROR MESSAGE=over\n");
    let why = Closed::Refused(Failure::error("over"));
    assert_eq!(dialogue.events.pop(), Some(Event::Closed(why)));
}

#[test]
fn silent_streams_say_nothing_and_begin_at_once() {
    let mut dialogue = Dialogue::speaking("3.3");
    dialogue.asks(Request::Accept(Accept {
        id: "x".to_owned(),
        silent: true,
    }));
    assert_eq!(dialogue.events.pop(), Some(Event::Peer(None)));
    dialogue.hears("data\n");
    assert_eq!(dialogue.client.take_rest(), &b"data\n"[..]);
}

#[test]
fn streams_are_forwarded() {
    let mut dialogue = Dialogue::speaking("3.3");
    let line = dialogue.asks(Request::Forward(Forward {
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
    dialogue.hears("STREAM STATUS RESULT=OK\n");
    assert_eq!(dialogue.result(), Ok(Answer::Forwarding));
}

#[test]
fn names_are_looked_up_and_answers_to_other_names_are_not_taken() {
    let found = keys().destination().clone();
    let mut dialogue = Dialogue::speaking("3.3");
    let lookup = Lookup {
        name: "a.i2p".to_owned(),
        options: true,
    };
    let line = dialogue.asks(Request::Lookup(lookup));
    assert_eq!(line, "NAMING LOOKUP NAME=a.i2p OPTIONS=true\n");
    dialogue.hears("NAMING REPLY RESULT=KEY_NOT_FOUND NAME=b.i2p\n");
    assert_eq!(dialogue.events, []);
    dialogue.hears(&format!(
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
        dialogue.asks(Request::lookup("c.i2p"));
        dialogue.hears(&format!("NAMING REPLY RESULT={word} NAME=c.i2p\n"));
        let result = dialogue.result();
        assert!(matches!(result, Err(RequestError::Refused(f)) if quirks::is_name_unknown(&f)));
    }
}

#[test]
fn new_keys_are_read() {
    let keys = keys();
    let mut dialogue = Dialogue::speaking("3.1");
    let line = dialogue.asks(Request::Generate(SignatureType::ED25519));
    assert_eq!(line, "DEST GENERATE SIGNATURE_TYPE=7\n");
    dialogue.hears(&format!(
        "DEST REPLY PUB={} PRIV={}\n",
        keys.destination().to_base64(),
        keys.to_base64().as_str()
    ));
    assert_eq!(dialogue.result(), Ok(Answer::Generated(Box::new(keys))));
    dialogue.asks(Request::Generate(SignatureType::ED25519));
    dialogue.hears("DEST REPLY RESULT=I2P_ERROR MESSAGE=\"no such type\"\n");
    let error = refused(ResultCode::I2pError, "no such type");
    assert_eq!(dialogue.result(), Err(error));
}

#[test]
fn pings_go_both_ways() {
    let mut dialogue = Dialogue::speaking("3.2");
    dialogue.hears("PING 12 34\nPING\n");
    assert_eq!(dialogue.sent, "PONG 12 34\nPONG\n");
    let line = dialogue.asks(Request::Ping("are you there".to_owned()));
    assert_eq!(line, "PING are you there\n");
    dialogue.hears("PONG somebody else\n");
    assert_eq!(dialogue.events, []);
    dialogue.hears("PONG are you there\n");
    assert_eq!(dialogue.result(), Ok(Answer::Pong));
    assert_eq!(dialogue.asks(Request::Quit), "QUIT\n");
    assert_eq!(dialogue.events.pop(), Some(Event::Closed(Closed::Quit)));
}

#[test]
fn a_connection_is_kept_alive_and_one_that_is_dead_is_noticed() {
    let minute = Duration::from_secs(60);
    let mut dialogue = Dialogue::speaking("3.2");
    dialogue.client.set_keep_alive(Some(minute));
    dialogue.drain();
    assert_eq!(dialogue.wake, Some(dialogue.now + minute));
    dialogue.waits(minute);
    assert_eq!(dialogue.sent, "PING eepkit\n");
    dialogue.hears("PONG eepkit\n");
    dialogue.waits(minute);
    assert_eq!(dialogue.events, []);
    dialogue.waits(minute);
    assert_eq!(dialogue.events, [Event::Closed(Closed::Timeout)]);
}

#[test]
fn one_question_is_asked_at_a_time_and_not_too_many_wait() {
    let mut dialogue = Dialogue::new(Config::default());
    dialogue.sent.clear();
    for number in 0..Client::MAX_WAITING {
        let name = format!("{number}.i2p");
        assert_eq!(dialogue.asks(Request::lookup(name)), "");
    }
    dialogue.asks(Request::lookup("more.i2p"));
    assert_eq!(dialogue.result(), Err(RequestError::Busy));
    dialogue.hears("HELLO REPLY RESULT=OK VERSION=3.3\n");
    assert_eq!(dialogue.sent, "NAMING LOOKUP NAME=0.i2p\n");
    dialogue.sent.clear();
    dialogue.hears("NAMING REPLY RESULT=KEY_NOT_FOUND NAME=0.i2p\n");
    assert_eq!(dialogue.sent, "NAMING LOOKUP NAME=1.i2p\n");
}

#[test]
fn an_answer_that_does_not_come_ends_the_connection() {
    let mut dialogue = Dialogue::speaking("3.2");
    dialogue.asks(Request::lookup("a.i2p"));
    dialogue.asks(Request::lookup("b.i2p"));
    assert_eq!(dialogue.wake, Some(dialogue.now + LIMIT));
    dialogue.waits(LIMIT);
    assert_eq!(dialogue.events.pop(), Some(Event::Closed(Closed::Timeout)));
    let answers = dialogue.events.len();
    assert_eq!(answers, 2, "both are told");
    assert_eq!(dialogue.result(), Err(RequestError::Timeout));
    dialogue.asks(Request::lookup("c.i2p"));
    assert_eq!(dialogue.result(), Err(RequestError::Over));
}

#[test]
fn datagrams_come_between_the_lines() {
    let peer = keys().destination().clone();
    let mut dialogue = Dialogue::speaking("3.2");
    dialogue.asks(Request::lookup("a.i2p"));
    dialogue.hears(&format!(
        "DATAGRAM RECEIVED DESTINATION={} SIZE=4 FROM_PORT=1 TO_PORT=2\nPI",
        peer.to_base64()
    ));
    dialogue.hears("N\nNAMING REPLY RESULT=KEY_NOT_FOUND NAME=a.i2p\nRAW RECEIVED SIZE=1\nx");
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
fn datagrams_are_sent_with_what_the_version_knows() {
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
        let mut dialogue = Dialogue::speaking(version);
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
fn a_session_that_the_bridge_ends_is_over() {
    let mut dialogue = Dialogue::speaking("3.3");
    dialogue.hears("SESSION STATUS RESULT=I2P_ERROR MESSAGE=\"tunnels are gone\"\n");
    let why = Closed::Refused(Failure::error("tunnels are gone"));
    assert_eq!(dialogue.events, [Event::Closed(why)]);
}

#[test]
fn junk_ends_the_connection() {
    for junk in ["\0\n", "SESSION X=\"\n", "DATAGRAM RECEIVED SIZE=x\n"] {
        let mut dialogue = Dialogue::speaking("3.3");
        dialogue.hears(junk);
        let closed = matches!(
            dialogue.events.as_slice(),
            [Event::Closed(Closed::NotSam(_))]
        );
        assert!(closed, "{junk:?}: {:?}", dialogue.events);
    }
    let mut dialogue = Dialogue::speaking("3.3");
    dialogue.hears(&"x".repeat(17 * 1024));
    assert!(matches!(dialogue.events.as_slice(), [Event::Closed(_)]));
}

#[test]
fn secrets_are_not_shown() {
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
