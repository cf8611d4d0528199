//! SAM 1.0 and 2.0: programs of their time, with one socket for everything.

use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::{sleep, timeout},
};

use crate::lab::{Client, Lab, pattern};

async fn lab() -> Lab {
    Lab::with(eepkit_services::sam::SamConfig::older_versions).await
}

/// A socket with a session of this version.
async fn session(lab: &Lab, version: &str, rest: &str) -> Client {
    let mut client = lab.client(version).await;
    let reply = client.ask(&format!("SESSION CREATE {rest}")).await;
    let expected = "SESSION STATUS RESULT=OK DESTINATION=";
    assert!(reply.starts_with(expected), "{reply}");
    client
}

async fn streams(lab: &Lab, version: &str) -> Client {
    session(lab, version, "STYLE=STREAM DESTINATION=TRANSIENT").await
}

/// A stream with ID 1 at the first client and -1 at the second.
async fn connect(from: &mut Client, to: &mut Client) {
    let destination = to.me().await;
    let own = from.me().await;
    let line = format!("STREAM CONNECT ID=1 DESTINATION={destination}");
    assert_eq!(from.ask(&line).await, "STREAM STATUS RESULT=OK ID=1");
    let line = format!("STREAM CONNECTED DESTINATION={own} ID=-1");
    assert_eq!(to.line().await, line);
}

/// Receives this many bytes of a stream.
async fn receive(client: &mut Client, id: i32, count: usize) -> Vec<u8> {
    let mut all = Vec::new();
    while all.len() < count {
        let line = client.line().await;
        let start = format!("STREAM RECEIVED ID={id} SIZE=");
        let size = line.strip_prefix(&start).expect(&line);
        all.extend(client.exactly(size.parse().expect("a size")).await);
    }
    assert_eq!(all.len(), count);
    all
}

async fn send(client: &mut Client, id: i32, data: &[u8]) {
    let line = format!("STREAM SEND ID={id} SIZE={}\n", data.len());
    client.write(&[line.as_bytes(), data].concat()).await;
}

#[tokio::test(start_paused = true)]
async fn two_programs_of_version_1_chat() {
    let lab = lab().await;
    let mut ann = streams(&lab, "1.0").await;
    let mut bob = streams(&lab, "1.0").await;
    connect(&mut ann, &mut bob).await;
    send(&mut ann, 1, b"hello\n").await;
    assert_eq!(receive(&mut bob, -1, 6).await, b"hello\n");
    send(&mut bob, -1, b"hello Ann\n").await;
    assert_eq!(receive(&mut ann, 1, 10).await, b"hello Ann\n");
    send(&mut ann, 1, b"bye").await;
    ann.say("STREAM CLOSE ID=1").await;
    assert_eq!(receive(&mut bob, -1, 3).await, b"bye");
    assert_eq!(bob.line().await, "STREAM CLOSED RESULT=OK ID=-1");
    // The sockets remain, and so do the sessions.
    connect(&mut bob, &mut ann).await;
    drop((ann, bob));
    lab.empties().await;
}

#[tokio::test(start_paused = true)]
async fn a_program_of_version_2_receives_as_much_as_it_wants() {
    let lab = lab().await;
    let mut server = streams(&lab, "2.0").await;
    let mut client = streams(&lab, "2.0").await;
    connect(&mut client, &mut server).await;
    let file = pattern(1 << 20);
    // The server sends a block at a time, and waits while the buffer is full.
    let expected = file.clone();
    let serving = tokio::spawn(async move {
        let mut failed = 0;
        for block in file.chunks(32_768) {
            loop {
                send(&mut server, -1, block).await;
                match &*server.line().await {
                    "STREAM SEND ID=-1 RESULT=OK STATE=READY" => break,
                    "STREAM SEND ID=-1 RESULT=OK STATE=BUFFER_FULL" => {
                        assert_eq!(server.line().await, "STREAM READY_TO_SEND ID=-1");
                        break;
                    }
                    "STREAM SEND ID=-1 RESULT=FAILED STATE=BUFFER_FULL" => {
                        failed += 1;
                        assert_eq!(server.line().await, "STREAM READY_TO_SEND ID=-1");
                    }
                    other => panic!("{other}"),
                }
            }
        }
        server.say("STREAM CLOSE ID=-1").await;
        (server, failed)
    });
    // Nothing arrives before the client sends a limit.
    let mut byte = [0];
    let silent = timeout(Duration::from_secs(30), client.socket.peek(&mut byte)).await;
    assert!(silent.is_err(), "the client wants nothing yet");
    let mut received = Vec::new();
    while received.len() < expected.len() {
        let limit = (received.len() + 100_000).min(expected.len());
        client
            .say(&format!("STREAM RECEIVE ID=1 LIMIT={limit}"))
            .await;
        let count = limit - received.len();
        received.extend(receive(&mut client, 1, count).await);
    }
    assert!(received == expected);
    client.say("STREAM RECEIVE ID=1 LIMIT=NONE").await;
    assert_eq!(client.line().await, "STREAM CLOSED RESULT=OK ID=1");
    let (server, failed) = serving.await.expect("no panic");
    assert_eq!(failed, 0, "the server waited each time");
    drop((server, client));
    lab.empties().await;
}

#[tokio::test(start_paused = true)]
async fn megabytes_to_a_slow_program_of_version_1_are_complete() {
    let lab = lab().await;
    let mut fast = streams(&lab, "1.0").await;
    let mut slow = streams(&lab, "1.0").await;
    connect(&mut fast, &mut slow).await;
    let file = pattern(16 << 20);
    let expected = file.clone();
    let sending = tokio::spawn(async move {
        for block in file.chunks(20_000) {
            send(&mut fast, 1, block).await;
        }
        fast.say("STREAM CLOSE ID=1").await;
        fast
    });
    sleep(Duration::from_secs(20)).await;
    assert!(!sending.is_finished(), "the socket is the flow control");
    let received = receive(&mut slow, -1, expected.len()).await;
    assert!(received == expected);
    assert_eq!(slow.line().await, "STREAM CLOSED RESULT=OK ID=-1");
    drop((sending.await.expect("no panic"), slow));
    lab.empties().await;
}

#[tokio::test(start_paused = true)]
async fn old_and_new_programs_reach_each_other() {
    let lab = lab().await;
    let mut old = streams(&lab, "1.0").await;
    let peer = lab.peer().await;
    let listener = peer.listen(0).expect("it is free");
    let to = peer.destination().to_base64();
    let line = format!("STREAM CONNECT ID=7 DESTINATION={to}");
    let (reply, stream) = tokio::join!(old.ask(&line), listener.accept());
    assert_eq!(reply, "STREAM STATUS RESULT=OK ID=7");
    let mut stream = stream.expect("it comes");
    send(&mut old, 7, b"question").await;
    let mut bytes = [0; 8];
    stream.read_exact(&mut bytes).await.expect("it comes");
    assert_eq!(&bytes, b"question");
    stream.write_all(b"answer").await.expect("it leaves");
    assert_eq!(receive(&mut old, 7, 6).await, b"answer");
    // What fails is not reported as an end.
    stream.reset();
    let line = old.line().await;
    let expected = "STREAM CLOSED RESULT=CANT_REACH_PEER ID=7 MESSAGE=";
    assert!(line.starts_with(expected), "{line}");
    let line = "STREAM CONNECT ID=8 DESTINATION=nobody.i2p";
    let reply = old.ask(line).await;
    assert!(
        reply.starts_with("STREAM STATUS RESULT=INVALID_KEY ID=8"),
        "{reply}"
    );
}

#[tokio::test(start_paused = true)]
async fn many_streams_share_a_socket() {
    let lab = lab().await;
    let mut server = streams(&lab, "1.0").await;
    let mut client = streams(&lab, "2.0").await;
    let to = server.me().await;
    const COUNT: i32 = 40;
    for id in 1..=COUNT {
        client
            .say(&format!("STREAM CONNECT ID={id} DESTINATION={to}"))
            .await;
    }
    let mut opened: Vec<String> = Vec::new();
    for _ in 1..=COUNT {
        opened.push(client.line().await);
        let line = server.line().await;
        assert!(line.starts_with("STREAM CONNECTED DESTINATION="), "{line}");
    }
    assert!(
        opened
            .iter()
            .all(|line| line.starts_with("STREAM STATUS RESULT=OK"))
    );
    for id in 1..=COUNT {
        send(&mut client, id, &id.to_be_bytes()).await;
        let answer = format!("STREAM SEND ID={id} RESULT=OK STATE=READY");
        assert_eq!(client.line().await, answer);
    }
    let mut arrived: Vec<i32> = Vec::new();
    for _ in 1..=COUNT {
        let line = server.line().await;
        assert!(line.ends_with(" SIZE=4"), "{line}");
        let bytes = server.exactly(4).await;
        arrived.push(i32::from_be_bytes(bytes.try_into().expect("four")));
    }
    arrived.sort_unstable();
    assert!(arrived.into_iter().eq(1..=COUNT));
}

#[tokio::test(start_paused = true)]
async fn a_name_keeps_its_destination() {
    let dir = tempfile::tempdir().expect("can be created");
    let file = dir.path().join("sam.keys");
    let config =
        |config: eepkit_services::sam::SamConfig| config.older_versions().older_keys(&file);
    let mut destinations = Vec::new();
    for _ in 0..2 {
        let lab = Lab::with(config).await;
        for version in ["1.0", "2.0"] {
            let mut client = session(&lab, version, "STYLE=STREAM DESTINATION=mouse").await;
            destinations.push(client.me().await);
            let mut other = lab.client("1.0").await;
            let reply = other
                .ask("SESSION CREATE STYLE=RAW DESTINATION=mouse")
                .await;
            let expected = "SESSION STATUS RESULT=DUPLICATED_DEST DESTINATION=mouse";
            assert_eq!(reply, expected);
        }
        lab.bridge.stop().await;
    }
    destinations.dedup();
    assert_eq!(destinations.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn datagrams_of_both_styles_arrive() {
    let lab = lab().await;
    for (style, word) in [("DATAGRAM", "DATAGRAM"), ("RAW", "RAW")] {
        let rest = format!("STYLE={style} DESTINATION=TRANSIENT");
        let mut ann = session(&lab, "1.0", &rest).await;
        let mut bob = session(&lab, "2.0", &rest).await;
        let (from, to) = (ann.me().await, bob.me().await);
        let line = format!("{word} SEND DESTINATION={to} SIZE=6\na\nb\0c\n");
        ann.write(line.as_bytes()).await;
        let expected = match word {
            "RAW" => "RAW RECEIVED SIZE=6".to_owned(),
            _ => format!("DATAGRAM RECEIVED DESTINATION={from} SIZE=6"),
        };
        assert_eq!(bob.line().await, expected);
        assert_eq!(bob.exactly(6).await, b"a\nb\0c\n");
    }
    lab.empties().await;
}

#[tokio::test(start_paused = true)]
async fn streams_of_peers_are_refused_with_direction_create() {
    let lab = lab().await;
    let rest = "STYLE=STREAM DESTINATION=TRANSIENT DIRECTION=CREATE";
    let mut closed = session(&lab, "1.0", rest).await;
    let to = closed.me().await;
    let peer = lab.peer().await;
    let to: eepkit::Destination = to.parse().expect("a destination");
    let connecting = peer.connect(&to);
    let refused = match timeout(Duration::from_secs(60), connecting).await {
        Ok(Ok(mut stream)) => stream.read_u8().await.is_err(),
        Ok(Err(_)) => true,
        Err(_) => false,
    };
    assert!(refused);
    // The session itself can connect.
    let mut open = streams(&lab, "1.0").await;
    connect(&mut closed, &mut open).await;
}

#[tokio::test(start_paused = true)]
async fn data_sent_before_the_socket_closes_arrives() {
    let lab = lab().await;
    let mut ann = streams(&lab, "1.0").await;
    let mut bob = streams(&lab, "1.0").await;
    connect(&mut ann, &mut bob).await;
    send(&mut ann, 1, &[7; 30_000]).await;
    send(&mut ann, 1, b"goodbye").await;
    drop(ann);
    let received = receive(&mut bob, -1, 30_007).await;
    assert!(received.ends_with(b"goodbye"));
    let line = bob.line().await;
    assert!(line.starts_with("STREAM CLOSED RESULT="), "{line}");
}

#[tokio::test(start_paused = true)]
async fn programs_that_are_killed_leave_no_state() {
    let lab = lab().await;
    let mut peer = streams(&lab, "2.0").await;
    let to = peer.me().await;
    let steps = [
        "SESSION CREATE STYLE=STREAM DESTINATION=mouse".to_owned(),
        format!("STREAM CONNECT ID=1 DESTINATION={to}"),
        "NAMING LOOKUP NAME=nobody.i2p".to_owned(),
        "STREAM SEND ID=1 SIZE=30000".to_owned(),
    ];
    for version in ["1.0", "2.0"] {
        for end in 0..=steps.len() {
            for pause in [0, 20, 5_000] {
                let mut client = lab.client(version).await;
                for step in steps.iter().take(end) {
                    client.say(step).await;
                    sleep(Duration::from_millis(pause)).await;
                }
                // An abortive close, as of a process that is killed.
                client.socket.set_zero_linger().expect("can be set");
                drop(client);
            }
        }
    }
    drop(peer);
    lab.empties().await;
    let mut ann = streams(&lab, "1.0").await;
    let mut bob = streams(&lab, "1.0").await;
    connect(&mut ann, &mut bob).await;
}

#[tokio::test(start_paused = true)]
async fn arbitrary_bytes_are_answered_or_end_the_connection() {
    let lab = lab().await;
    let mut rng = StdRng::seed_from_u64(1);
    let words = [
        "STREAM ",
        "SEND ",
        "ID=1 ",
        "ID=-1 ",
        "SIZE=5",
        "\n",
        "CLOSE ",
        "LIMIT=3 ",
        "RECEIVE ",
        "CONNECT ",
        "DESTINATION=a.i2p ",
        "NAMING LOOKUP NAME=ME\n",
        "\0",
        "SIZE=99999 ",
        "\"",
    ];
    for round in 0..60 {
        let version = ["1.0", "2.0"][round % 2];
        let mut client = streams(&lab, version).await;
        let text: String = (0..30)
            .map(|_| words[rng.random_range(0..words.len())])
            .collect();
        // The bridge may have closed the socket.
        let _ = client.socket.write_all(text.as_bytes()).await;
        let _ = client.socket.shutdown().await;
        client.rest().await;
    }
    lab.empties().await;
}

#[tokio::test(start_paused = true)]
async fn a_program_that_reads_nothing_is_closed() {
    let lab = lab().await;
    let deaf = {
        let mut deaf = streams(&lab, "1.0").await;
        let mut fast = streams(&lab, "1.0").await;
        connect(&mut fast, &mut deaf).await;
        tokio::spawn(async move {
            for _ in 0..2_000 {
                let line = "STREAM SEND ID=1 SIZE=30000\n";
                let data = [line.as_bytes(), &[7; 30_000]].concat();
                if fast.socket.write_all(&data).await.is_err() {
                    break;
                }
            }
            sleep(Duration::from_secs(3600)).await;
        });
        deaf
    };
    sleep(Duration::from_secs(700)).await;
    lab.settles(|stats| stats.sessions == 1).await;
    drop(deaf);
}

#[tokio::test(start_paused = true)]
async fn they_are_refused_unless_they_are_enabled() {
    let lab = Lab::new().await;
    let mut client = lab.raw().await;
    let reply = client.ask("HELLO VERSION MIN=1.0 MAX=1.0").await;
    assert_eq!(reply, "HELLO REPLY RESULT=NOVERSION");
}

#[tokio::test(start_paused = true)]
async fn the_limits_of_sessions_are_those_of_version_3() {
    let lab = Lab::with(|config| config.older_versions().max_sessions(2)).await;
    let _new = lab.session("new", "STYLE=STREAM").await;
    let _old = streams(&lab, "1.0").await;
    let mut more = lab.client("1.0").await;
    let reply = more
        .ask("SESSION CREATE STYLE=RAW DESTINATION=TRANSIENT")
        .await;
    let expected = "SESSION STATUS RESULT=I2P_ERROR DESTINATION=TRANSIENT MESSAGE=\"the bridge has \
                    2 sessions";
    assert!(reply.starts_with(expected), "{reply}");
}
