//! Tests of the link with scripted bridges, in memory and paused time: behaviour of particular
//! bridges.

use std::{
    future::poll_fn,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use eepkit_i2cp::Options;
use eepkit_link::{
    Command, Connector as _, Event, Link, LinkError, LinkLookupError, LinkStage, LookupTarget,
    LostReason, SendOptions, Setup,
    streams::{DatagramFormat, OutgoingDatagram, Sender, StreamOpenError, Target},
};
use eepkit_wire::{Destination, PrivateKeys, SignatureType};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream},
    net::UdpSocket,
    time::{Instant, timeout},
};

use super::SamRouter;

const LIMIT: Duration = Duration::from_secs(600);

fn keys(seed: u64) -> PrivateKeys {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    PrivateKeys::generate(SignatureType::ED25519, &mut rng).expect("can be made")
}

fn peer() -> Destination {
    keys(2).destination().clone()
}

fn setup() -> Setup {
    Setup {
        keys: Arc::new(keys(1)),
        options: Options::new(),
        timeout: Duration::from_secs(30),
        progress: eepkit_link::Progress::default(),
    }
}

/// The answer of a bridge to a line: its text, and whether the bridge then closes. `None`: no
/// answer.
type Reply = Option<(String, bool)>;

fn replies(text: impl Into<String>) -> Reply {
    Some((text.into(), false))
}

fn closes(text: impl Into<String>) -> Reply {
    Some((text.into(), true))
}

/// A bridge that gives scripted answers and records the lines that it receives.
#[derive(Clone)]
struct Bridge {
    asked: Arc<Mutex<Vec<String>>>,
    replies: Arc<dyn Fn(&str) -> Reply + Send + Sync>,
}

impl Bridge {
    fn new(replies: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        Self {
            asked: Arc::default(),
            replies: Arc::new(replies),
        }
    }

    fn router(&self) -> SamRouter {
        let bridge = self.clone();
        SamRouter::in_process("a bridge", move || {
            let (ours, theirs) = tokio::io::duplex(64 * 1024);
            tokio::spawn(bridge.clone().serve(theirs));
            async move { Ok(ours) }
        })
    }

    async fn serve(self, socket: DuplexStream) {
        let (reader, mut writer) = tokio::io::split(socket);
        let mut lines = BufReader::new(reader).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            self.asked.lock().expect("no panic").push(line.clone());
            if let Some((text, close)) = (self.replies)(&line)
                && (writer.write_all(text.as_bytes()).await.is_err() || close)
            {
                return;
            }
        }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("no panic").clone()
    }

    fn count(&self, words: &str) -> usize {
        self.asked()
            .iter()
            .filter(|line| line.starts_with(words))
            .count()
    }
}

/// The session commands of i2pd 2.58. It answers nothing else.
fn i2pd(line: &str) -> Reply {
    let words: Vec<&str> = line.splitn(3, ' ').collect();
    match (words[0], words.get(1).copied()) {
        ("HELLO", _) => replies("HELLO REPLY RESULT=OK VERSION=3.3\n"),
        ("PING", _) => closes(format!("PONG{}\n", &line[4..])),
        ("SESSION", Some("CREATE")) if line.contains("STYLE=PRIMARY") => {
            closes("SESSION STATUS RESULT=I2P_ERROR MESSAGE=\"Unknown STYLE\"\n")
        }
        ("SESSION", Some("CREATE")) => replies("SESSION STATUS RESULT=OK DESTINATION=AAAA\n"),
        ("NAMING", Some("LOOKUP")) if line.ends_with("NAME=ME") => own_name(keys(1).destination()),
        _ => None,
    }
}

/// The answer to a look-up of the session's own destination.
fn own_name(destination: &Destination) -> Reply {
    let value = destination.to_base64();
    replies(format!("NAMING REPLY RESULT=OK NAME=ME VALUE={value}\n"))
}

/// The session commands of emissary 0.4. It answers nothing else.
fn emissary(line: &str) -> Reply {
    let words: Vec<&str> = line.splitn(3, ' ').collect();
    match (words[0], words.get(1).copied()) {
        ("HELLO", _) => replies("HELLO REPLY RESULT=OK VERSION=3.2\n"),
        ("SESSION", Some("CREATE")) => replies("SESSION STATUS RESULT=OK DESTINATION=AAAA\n"),
        ("SESSION", Some("ADD")) => {
            replies("SESSION STATUS RESULT=OK ID=\"its\" MESSAGE=\"ADD its\"\n")
        }
        _ => None,
    }
}

async fn open(bridge: &Bridge) -> Box<dyn Link> {
    bridge.router().open(setup()).await.expect("it opens")
}

async fn event(link: &mut Box<dyn Link>) -> Event {
    let next = poll_fn(|cx| link.poll_event(cx));
    timeout(LIMIT, next).await.expect("an event")
}

async fn submit(link: &mut Box<dyn Link>, command: Command) {
    poll_fn(|cx| link.poll_ready(cx)).await;
    link.submit(command);
}

/// Waits until the session is open.
async fn ready(link: &mut Box<dyn Link>) {
    for stage in [LinkStage::BuildingTunnels, LinkStage::Ready] {
        let event = event(link).await;
        assert!(
            matches!(event, Event::Stage(at) if at == stage),
            "{event:?}"
        );
    }
}

fn datagram(format: DatagramFormat) -> Command {
    Command::SendDatagram(OutgoingDatagram {
        token: 7,
        format,
        to: peer(),
        protocol: 18,
        from_port: 0,
        to_port: 0,
        payload: Bytes::from_static(b"hi"),
        deadline: Instant::now() + LIMIT,
        options: SendOptions::default(),
    })
}

#[tokio::test(start_paused = true)]
async fn a_bridge_without_primary_gets_a_session_of_streams() {
    let bridge = Bridge::new(i2pd);
    let mut link = open(&bridge).await;
    ready(&mut link).await;
    let creates: Vec<String> = bridge
        .asked()
        .into_iter()
        .filter(|line| line.starts_with("SESSION CREATE"))
        .collect();
    assert_eq!(creates.len(), 2);
    assert!(creates[0].contains("STYLE=PRIMARY") && creates[1].contains("STYLE=STREAM"));
    assert!(creates[1].contains(" inbound.length=3 inbound.quantity=2 "));
    assert!(creates[1].ends_with(" i2cp.leaseSetEncType=4"));
}

#[tokio::test(start_paused = true)]
async fn datagrams_of_i2pd_are_sessions_with_the_same_keys() {
    let from = peer().to_base64();
    let bridge = Bridge::new(move |line| match line {
        line if line.starts_with("DATAGRAM SEND") => {
            replies(format!("DATAGRAM RECEIVED DESTINATION={from} SIZE=2\nok"))
        }
        line => i2pd(line),
    });
    let mut link = open(&bridge).await;
    ready(&mut link).await;
    let format = DatagramFormat::Datagram1;
    submit(&mut link, Command::OpenDatagrams(format)).await;
    submit(&mut link, datagram(format)).await;
    let Event::Datagram(datagram) = event(&mut link).await else {
        panic!("a datagram");
    };
    assert_eq!(datagram.payload, &b"ok"[..]);
    assert_eq!(datagram.sender, Sender::Verified(peer()));
    let same = keys(1).to_base64();
    let own = bridge
        .asked()
        .into_iter()
        .find(|line| line.contains("STYLE=DATAGRAM "))
        .expect("a session");
    assert!(own.contains(&format!("DESTINATION={}", same.as_str())));
}

#[tokio::test(start_paused = true)]
async fn a_format_that_the_bridge_lacks_is_reported() {
    let bridge = Bridge::new(|line| match line {
        line if line.contains("STYLE=DATAGRAM3") => {
            closes("SESSION STATUS RESULT=I2P_ERROR MESSAGE=\"Unknown STYLE\"\n")
        }
        line => i2pd(line),
    });
    let mut link = open(&bridge).await;
    ready(&mut link).await;
    let format = DatagramFormat::Datagram3;
    submit(&mut link, Command::OpenDatagrams(format)).await;
    let event = event(&mut link).await;
    let reported = matches!(&event, Event::NoDatagrams { format: DatagramFormat::Datagram3, why }
        if why.contains("Unknown STYLE"));
    assert!(reported, "{event:?}");
}

#[tokio::test(start_paused = true)]
async fn i2pd_is_not_kept_alive_with_pings_and_others_are() {
    for (closing, pings, own) in [(true, 1, 10), (false, 12, 0)] {
        let bridge = Bridge::new(move |line| match line {
            line if line.starts_with("PING") && !closing => {
                replies(format!("PONG{}\n", &line[4..]))
            }
            line => i2pd(line),
        });
        let mut link = open(&bridge).await;
        ready(&mut link).await;
        tokio::time::sleep(Duration::from_secs(610)).await;
        assert_eq!(bridge.count("PING"), pings);
        assert_eq!(bridge.count("NAMING LOOKUP NAME=ME"), own);
        assert!(
            timeout(Duration::from_secs(1), event(&mut link))
                .await
                .is_err()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_bridge_that_falls_silent_or_forgets_the_session_loses_it() {
    // The answer to the look-up of the session's own destination, and the time until it is lost.
    type Answer = fn() -> Reply;
    let cases: [(Answer, u64); 3] = [
        (|| None, 90),
        (|| own_name(&peer()), 60),
        (|| closes("NAMING REPLY RESULT=INVALID_KEY NAME=ME\n"), 60),
    ];
    for (answer, seconds) in cases {
        let bridge = Bridge::new(move |line| match line {
            line if line.ends_with("NAME=ME") => answer(),
            line => i2pd(line),
        });
        let mut link = open(&bridge).await;
        ready(&mut link).await;
        let began = Instant::now();
        let lost = event(&mut link).await;
        assert!(matches!(lost, Event::Lost(_)), "{lost:?}");
        assert_eq!(began.elapsed().as_secs(), seconds, "{lost:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn old_i2pd_gets_one_accept_at_a_time() {
    let waiting = Arc::new(Mutex::new(0));
    let bridge = Bridge::new(move |line| match line {
        line if line.starts_with("STREAM ACCEPT") => {
            let mut waiting = waiting.lock().expect("no panic");
            *waiting += 1;
            match *waiting {
                1 => replies("STREAM STATUS RESULT=OK\n"),
                _ => closes("STREAM STATUS RESULT=I2P_ERROR MESSAGE=\"Already accepting\"\n"),
            }
        }
        line => i2pd(line),
    });
    let mut link = open(&bridge).await;
    ready(&mut link).await;
    submit(&mut link, Command::Listen(true)).await;
    tokio::time::sleep(LIMIT).await;
    assert_eq!(bridge.count("STREAM ACCEPT"), 4, "each asks once");
}

#[tokio::test(start_paused = true)]
async fn streams_arrive_with_the_first_bytes_of_the_peer() {
    let line = format!("{} FROM_PORT=1 TO_PORT=2\nHello", peer().to_base64());
    let bridge = Bridge::new(move |asked| match asked {
        asked if asked.starts_with("STREAM ACCEPT") => {
            replies(format!("STREAM STATUS RESULT=OK\n{line}"))
        }
        asked => i2pd(asked),
    });
    let mut link = open(&bridge).await;
    ready(&mut link).await;
    submit(&mut link, Command::Listen(true)).await;
    let Event::Incoming(stream) = event(&mut link).await else {
        panic!("a stream");
    };
    assert_eq!((stream.peer_port, stream.local_port), (1, 2));
    assert_eq!(
        (stream.peer, stream.begun),
        (peer(), Bytes::from_static(b"Hello"))
    );
}

#[tokio::test(start_paused = true)]
async fn refusals_of_streams_have_their_own_errors() {
    let cases = [
        (
            "CANT_REACH_PEER MESSAGE=\"LeaseSet not found\"",
            StreamOpenError::NotFound,
        ),
        ("PEER_NOT_FOUND", StreamOpenError::NotFound),
        (
            "CANT_REACH_PEER MESSAGE=\"Incompatible crypto\"",
            StreamOpenError::Unreachable("Incompatible crypto".to_owned()),
        ),
        ("TIMEOUT", StreamOpenError::Timeout),
        ("INVALID_ID", StreamOpenError::SessionLost),
    ];
    for (word, expected) in cases {
        let bridge = Bridge::new(move |line| match line {
            line if line.starts_with("STREAM CONNECT") => {
                closes(format!("STREAM STATUS RESULT={word}\n"))
            }
            line => i2pd(line),
        });
        let mut link = open(&bridge).await;
        ready(&mut link).await;
        let target = Target {
            peer: peer(),
            peer_port: 0,
            local_port: 0,
        };
        let streams = link.streams().expect("it has streams");
        let opened = timeout(LIMIT, streams.open(target)).await.expect("in time");
        assert_eq!(opened.err(), Some(expected), "{word}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_the_socket_behind_its_status() {
    let bridge = Bridge::new(|line| match line {
        line if line.starts_with("STREAM CONNECT") => replies("STREAM STATUS RESULT=OK\nWel"),
        "PING not for the bridge" => replies("come"),
        line => i2pd(line),
    });
    let mut link = open(&bridge).await;
    ready(&mut link).await;
    let target = Target {
        peer: peer(),
        peer_port: 80,
        local_port: 0,
    };
    let streams = link.streams().expect("it has streams");
    let mut stream = streams.open(target).await.expect("it opens");
    stream
        .socket
        .write_all(b"PING not for the bridge\n")
        .await
        .expect("it leaves");
    let mut rest = [0; 4];
    stream.socket.read_exact(&mut rest).await.expect("it comes");
    assert_eq!((&stream.begun[..], &rest), (&b"Wel"[..], b"come"));
    let connect = bridge
        .asked()
        .into_iter()
        .find(|line| line.starts_with("STREAM CONNECT"));
    assert!(connect.is_some_and(|line| line.ends_with(" SILENT=false TO_PORT=80")));
}

#[tokio::test(start_paused = true)]
async fn look_ups_have_connections_of_their_own_and_end_in_time() {
    let found = format!("VALUE={}", peer().to_base64());
    let bridge = Bridge::new(move |line| match line.strip_prefix("NAMING LOOKUP NAME=") {
        Some("slow.i2p") => None,
        Some("no.i2p") => replies("NAMING REPLY RESULT=INVALID_KEY NAME=no.i2p\n"),
        Some(name) => replies(format!("NAMING REPLY RESULT=OK NAME={name} {found}\n")),
        None => i2pd(line),
    });
    let mut link = open(&bridge).await;
    ready(&mut link).await;
    let names = ["slow.i2p", "no.i2p", "yes.i2p"];
    for (id, name) in names.into_iter().enumerate() {
        let command = Command::Lookup {
            id: id as u32,
            target: LookupTarget::Name(name.to_owned()),
            timeout: Duration::from_secs(10),
        };
        submit(&mut link, command).await;
    }
    let mut results = Vec::new();
    for _ in names {
        match event(&mut link).await {
            Event::LookupDone { id, result } => {
                results.push((id, result.map(|answer| answer.destination)));
            }
            other => panic!("{other:?}"),
        }
    }
    results.sort_by_key(|(id, _)| *id);
    let expected = [
        Err(LinkLookupError::Timeout),
        Err(LinkLookupError::NameNotFound),
        Ok(peer()),
    ];
    let results: Vec<_> = results.into_iter().map(|(_, result)| result).collect();
    assert_eq!(results, expected);
}

#[tokio::test(start_paused = true)]
async fn a_destination_in_use_is_reported() {
    let bridge = Bridge::new(|line| match line {
        line if line.starts_with("SESSION CREATE") => {
            // emissary sends this line without a newline.
            closes("SESSION STATUS RESULT=DUPLICATE_DEST")
        }
        line => i2pd(line),
    });
    let mut link = open(&bridge).await;
    assert!(matches!(event(&mut link).await, Event::Stage(_)));
    let refused = event(&mut link).await;
    assert!(
        matches!(refused, Event::Refused(LinkError::Duplicate)),
        "{refused:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_bridge_that_builds_no_tunnels_times_out() {
    let bridge = Bridge::new(|line| match line {
        line if line.starts_with("SESSION CREATE") => None,
        line => i2pd(line),
    });
    let mut link = open(&bridge).await;
    assert!(matches!(event(&mut link).await, Event::Stage(_)));
    let refused = event(&mut link).await;
    assert!(
        matches!(refused, Event::Refused(LinkError::Timeout(_))),
        "{refused:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_bridge_of_the_oldest_version_is_greeted_again() {
    let bridge = Bridge::new(|line| match line {
        "HELLO VERSION MIN=3.0 MAX=3.0" => replies("HELLO REPLY RESULT=OK VERSION=3.0\n"),
        line if line.starts_with("HELLO") => closes("HELLO REPLY RESULT=NOVERSION\n"),
        line => i2pd(line),
    });
    let mut link = open(&bridge).await;
    ready(&mut link).await;
    assert_eq!(bridge.count("SESSION CREATE STYLE=STREAM"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_password_for_a_bridge_without_users_is_an_error() {
    let bridge = Bridge::new(|line| match line {
        line if line.starts_with("HELLO") => replies("HELLO REPLY RESULT=OK VERSION=3.1\n"),
        line => i2pd(line),
    });
    let opened = bridge.router().login("me", "sesame").open(setup()).await;
    assert!(matches!(opened.err(), Some(LinkError::Unsupported(_))));
    assert_eq!(
        bridge.count("HELLO VERSION MIN=3.1 MAX=3.3 USER=me PASSWORD=sesame"),
        1
    );
}

#[tokio::test(start_paused = true)]
async fn a_session_ends_with_its_connection() {
    let bridge = Bridge::new(|line| match line {
        line if line.contains("STYLE=STREAM") => {
            closes("SESSION STATUS RESULT=OK DESTINATION=AAAA\n")
        }
        line => i2pd(line),
    });
    let mut link = open(&bridge).await;
    ready(&mut link).await;
    let lost = event(&mut link).await;
    assert!(
        matches!(lost, Event::Lost(LostReason::Connection(_))),
        "{lost:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn look_ups_of_emissary_fall_back_to_the_connection_of_the_session() {
    let times = Arc::new(Mutex::new(0));
    let found = peer().to_base64();
    let bridge = Bridge::new(move |line| match line.strip_prefix("NAMING LOOKUP NAME=") {
        Some("no.i2p") => replies("NAMING REPLY RESULT=KEY_NOT_FOUND NAME=no.i2p\n"),
        Some(name) => {
            let mut times = times.lock().expect("no panic");
            *times += 1;
            // The first request arrives without a session.
            replies(match *times {
                1 => format!("NAMING REPLY RESULT=KEY_NOT_FOUND NAME={name}\n"),
                _ => format!("NAMING REPLY RESULT=OK NAME={name} VALUE={found}\n"),
            })
        }
        None => emissary(line),
    });
    let mut link = open(&bridge).await;
    ready(&mut link).await;
    let targets = [
        LookupTarget::Hash(peer().hash()),
        LookupTarget::Name("no.i2p".to_owned()),
    ];
    let mut results = Vec::new();
    for target in targets {
        let command = Command::Lookup {
            id: 1,
            target,
            timeout: Duration::from_secs(10),
        };
        submit(&mut link, command).await;
        let Event::LookupDone { result, .. } = event(&mut link).await else {
            panic!("a look-up");
        };
        results.push(result.map(|answer| answer.destination));
    }
    assert_eq!(results, [Ok(peer()), Err(LinkLookupError::NameNotFound)]);
    assert_eq!(bridge.count("NAMING LOOKUP"), 4, "each was asked twice");
}

#[tokio::test(start_paused = true)]
async fn formats_share_a_socket_on_emissary_and_no_sender_is_trusted() {
    let bridge = Bridge::new(emissary);
    let udp = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let at = udp.local_addr().expect("bound");
    let opened = bridge.router().udp(at).open(setup()).await;
    let mut link = opened.expect("it opens");
    ready(&mut link).await;
    for format in [DatagramFormat::Raw, DatagramFormat::Datagram1] {
        submit(&mut link, Command::OpenDatagrams(format)).await;
        submit(&mut link, datagram(format)).await;
        let mut packet = [0; 2048];
        let received = timeout(LIMIT, udp.recv(&mut packet)).await;
        let len = received.expect("in time").expect("it comes");
        assert!(packet[..len].starts_with(b"3.2 ") && packet[..len].ends_with(b"\nhi"));
    }
    let added: Vec<String> = bridge
        .asked()
        .into_iter()
        .filter(|line| line.starts_with("SESSION ADD") && line.contains(" PORT="))
        .collect();
    let word = |line: &str, key: &str| {
        let value = line.split(' ').find_map(|word| word.strip_prefix(key))?;
        value.parse::<u16>().ok()
    };
    let port = word(&added[0], "PORT=").expect("a port");
    assert_eq!(word(&added[1], "PORT="), Some(port));
    assert_eq!(word(&added[0], "FROM_PORT="), None);
    assert_eq!(word(&added[1], "FROM_PORT="), Some(1));

    let signed = format!("{} FROM_PORT=0 TO_PORT=0\nhi", peer().to_base64());
    // Another destination, sent as text.
    let text = format!("{}\nis mine", peer().to_base64());
    for (packet, format, sender, payload) in [
        ("hi", DatagramFormat::Raw, Sender::Unknown, "hi"),
        (&text, DatagramFormat::Raw, Sender::Unknown, &text),
        (
            &signed,
            DatagramFormat::Datagram1,
            Sender::Claimed(peer().hash()),
            "hi",
        ),
    ] {
        udp.send_to(packet.as_bytes(), ("127.0.0.1", port))
            .await
            .expect("it goes out");
        let Event::Datagram(datagram) = event(&mut link).await else {
            panic!("a datagram");
        };
        assert_eq!((datagram.format, datagram.sender), (format, sender));
        assert_eq!(datagram.payload, payload.as_bytes());
    }
}

#[tokio::test(start_paused = true)]
async fn emissary_gets_no_request_for_formats_that_break_it() {
    let bridge = Bridge::new(emissary);
    let router = bridge
        .router()
        .udp("127.0.0.1:7".parse().expect("an address"));
    let mut link = router.open(setup()).await.expect("it opens");
    ready(&mut link).await;
    for format in [DatagramFormat::Datagram2, DatagramFormat::Datagram3] {
        submit(&mut link, Command::OpenDatagrams(format)).await;
        let event = event(&mut link).await;
        let reported = matches!(&event, Event::NoDatagrams { why, .. } if why.contains("emissary"));
        assert!(reported, "{event:?}");
    }
    assert_eq!(bridge.count("SESSION ADD"), 1, "that of streams");
}

/// A bridge that opens a session, sends PINGs and reads nothing after that.
#[tokio::test(start_paused = true)]
async fn a_bridge_that_floods_and_does_not_read_the_answers_is_not_read_from() {
    let written = Arc::new(Mutex::new(0_usize));
    let count = written.clone();
    let router = SamRouter::in_process("a flood", move || {
        let (ours, theirs) = tokio::io::duplex(4096);
        let count = count.clone();
        tokio::spawn(async move {
            let (reader, mut writer) = tokio::io::split(theirs);
            let mut lines = BufReader::new(reader).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let Some((text, _)) = i2pd(&line) else {
                    return;
                };
                if writer.write_all(text.as_bytes()).await.is_err() {
                    return;
                }
                if line.starts_with("SESSION CREATE") {
                    break;
                }
            }
            while writer.write_all(b"PING 0123456789\n").await.is_ok() {
                *count.lock().expect("no panic") += 16;
            }
        });
        async move { Ok(ours) }
    });
    let _link = router.open(setup()).await.expect("opens");

    // Less than a keepalive, after which the bridge counts as gone.
    tokio::time::sleep(Duration::from_secs(5)).await;

    let before = *written.lock().expect("no panic");
    tokio::time::sleep(Duration::from_secs(5)).await;
    let after = *written.lock().expect("no panic");
    assert_eq!(before, after, "the link stopped reading");
    // 320 KiB of answers, and what is in the buffers.
    assert!((100_000..600_000).contains(&after), "{after}");
}
