//! Streams: connecting, accepting, forwarding, and transfers.

use std::{io::ErrorKind, time::Duration};

#[cfg(target_os = "linux")]
use eepkit::sim::SimNet;
use eepkit::{Session, Stream};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    time::{Instant, sleep, timeout},
};

use crate::lab::{Client, LOOPBACK, Lab, pattern};

/// Two sockets with a stream between them: the one that connected, and the one that accepted.
async fn stream(lab: &Lab, from: &str, to: &str, destination: &str) -> (Client, Client) {
    let mut accepting = lab.client("3.1").await;
    assert_eq!(
        accepting.ask(&format!("STREAM ACCEPT ID={to}")).await,
        "STREAM STATUS RESULT=OK"
    );
    let mut connecting = lab.client("3.1").await;
    assert_eq!(
        connecting
            .ask(&format!(
                "STREAM CONNECT ID={from} DESTINATION={destination}"
            ))
            .await,
        "STREAM STATUS RESULT=OK"
    );
    let peer = accepting.line().await;
    assert!(peer.len() >= 516 && !peer.contains(' '), "{peer}");
    (connecting, accepting)
}

#[tokio::test(start_paused = true)]
async fn both_directions_carry_bytes_and_an_end() {
    let lab = Lab::new().await;
    let (_a, _) = lab.session("a", "STYLE=STREAM").await;
    let (_b, destination) = lab.session("b", "STYLE=STREAM").await;
    let (mut connecting, mut accepting) = stream(&lab, "a", "b", &destination).await;

    connecting.write(b"hello").await;
    assert_eq!(accepting.exactly(5).await, b"hello");
    accepting.write(b"and you").await;
    assert_eq!(connecting.exactly(7).await, b"and you");

    // After a half close, the answer still arrives.
    connecting.socket.shutdown().await.expect("half closed");
    assert_eq!(accepting.rest().await, b"");
    accepting.write(b"late answer").await;
    drop(accepting);
    assert_eq!(connecting.rest().await, b"late answer");
    lab.settles(|stats| stats.streams == 0).await;
}

#[tokio::test(start_paused = true)]
async fn data_written_before_all_sockets_close_arrives() {
    let lab = Lab::new().await;
    let (_a, _) = lab.session("a", "STYLE=STREAM").await;
    let (b, destination) = lab.session("b", "STYLE=STREAM").await;
    let (mut connecting, mut accepting) = stream(&lab, "a", "b", &destination).await;
    accepting.write(b"goodbye").await;
    drop(accepting);
    drop(b);
    assert_eq!(connecting.rest().await, b"goodbye");
}

#[tokio::test(start_paused = true)]
async fn megabytes_arrive_complete_at_a_slow_reader() {
    let lab = Lab::new().await;
    let (_a, _) = lab.session("a", "STYLE=STREAM").await;
    let (_b, destination) = lab.session("b", "STYLE=STREAM").await;
    let (mut connecting, mut accepting) = stream(&lab, "a", "b", &destination).await;
    // More than the buffers of two system sockets and of the stream hold.
    let sent = pattern(40 << 20);
    let expected = sent.clone();
    let writing = tokio::spawn(async move {
        connecting.write(&sent).await;
        connecting.socket.shutdown().await.expect("closed");
        connecting
    });
    sleep(Duration::from_secs(20)).await;
    assert!(!writing.is_finished(), "unread data causes backpressure");
    assert!(
        accepting.rest().await == expected,
        "the received data differs"
    );
    drop(accepting);
    writing.await.expect("written").rest().await;
}

#[tokio::test(start_paused = true)]
async fn early_data_of_a_client_is_sent_first() {
    let lab = Lab::new().await;
    let (_a, _) = lab.session("a", "STYLE=STREAM").await;
    let (_b, destination) = lab.session("b", "STYLE=STREAM").await;
    let mut accepting = lab.client("3.1").await;
    accepting.ask("STREAM ACCEPT ID=b SILENT=false").await;
    accepting.write(b"welcome").await;
    let mut connecting = lab.client("3.1").await;
    connecting
        .write(
            format!("STREAM CONNECT ID=a DESTINATION={destination} SILENT=true\nearly ").as_bytes(),
        )
        .await;
    connecting.write(b"bird").await;
    assert_eq!(connecting.exactly(7).await, b"welcome");
    accepting.line().await;
    assert_eq!(accepting.exactly(10).await, b"early bird");
}

#[tokio::test(start_paused = true)]
async fn data_of_the_peer_never_arrives_together_with_a_line() {
    let lab = Lab::new().await;
    let (_a, _) = lab.session("a", "STYLE=STREAM").await;
    let (_b, destination) = lab.session("b", "STYLE=STREAM").await;
    let mut connecting = lab.client("3.2").await;
    connecting
        .write(format!("STREAM CONNECT ID=a DESTINATION={destination}\nat once").as_bytes())
        .await;
    sleep(Duration::from_secs(1)).await;
    // The peer and its data already wait. The line and the data still arrive separately.
    let mut accepting = lab.client("3.2").await;
    accepting.say("STREAM ACCEPT ID=b").await;
    let mut pieces = Vec::new();
    let mut buffer = [0; 4096];
    while pieces.len() < 3 {
        let count = accepting.socket.read(&mut buffer).await.expect("readable");
        assert!(count > 0, "{pieces:?}");
        pieces.push(String::from_utf8_lossy(&buffer[..count]).into_owned());
    }
    assert_eq!(pieces[0], "STREAM STATUS RESULT=OK\n");
    assert!(
        pieces[1].ends_with(" FROM_PORT=0 TO_PORT=0\n"),
        "{}",
        pieces[1]
    );
    assert_eq!(pieces[2], "at once");
}

#[cfg(target_os = "linux")]
#[tokio::test(start_paused = true)]
async fn a_local_client_gets_each_line_separately_even_if_it_reads_late() {
    let lab = Lab::new().await;
    let (_a, _) = lab.session("a", "STYLE=STREAM").await;
    let (_b, destination) = lab.session("b", "STYLE=STREAM").await;
    let mut connecting = lab.client("3.2").await;
    connecting
        .write(format!("STREAM CONNECT ID=a DESTINATION={destination}\nat once").as_bytes())
        .await;
    sleep(Duration::from_secs(1)).await;
    let mut accepting = lab.client("3.2").await;
    accepting.say("STREAM ACCEPT ID=b").await;
    let mut buffer = [0; 4096];
    for end in ["RESULT=OK\n", " TO_PORT=0\n", "at once"] {
        // Ten times the pause for clients whose reads cannot be observed.
        sleep(Duration::from_millis(200)).await;
        let count = accepting.socket.read(&mut buffer).await.expect("readable");
        let piece = String::from_utf8_lossy(&buffer[..count]);
        assert!(
            piece.ends_with(end) && piece.matches(end).count() == 1,
            "{piece}"
        );
    }
}

#[cfg(target_os = "linux")]
#[tokio::test(start_paused = true)]
async fn a_local_client_that_reads_immediately_has_no_delay() {
    let lab = Lab::over(SimNet::builder().delay(Duration::ZERO), |builder| {
        // A pause that would be visible if it were applied.
        let pause = Duration::from_secs(60);
        builder.configure(|config| (config.line_pause, config.max_line_pause) = (pause, pause))
    });
    let lab = lab.await;
    let (_a, _) = lab.session("a", "STYLE=STREAM").await;
    let (_b, destination) = lab.session("b", "STYLE=STREAM").await;
    let began = Instant::now();
    let (mut connecting, mut accepting) = stream(&lab, "a", "b", &destination).await;
    accepting.write(b"welcome").await;
    assert_eq!(connecting.exactly(7).await, b"welcome");
    connecting.write(b"thanks").await;
    assert_eq!(accepting.exactly(6).await, b"thanks");
    assert!(
        began.elapsed() < Duration::from_secs(1),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn ports_are_passed_on_and_reported() {
    let lab = Lab::new().await;
    let (_a, _) = lab.session("a", "STYLE=STREAM FROM_PORT=7").await;
    let (_b, destination) = lab.session("b", "STYLE=STREAM").await;
    let mut accepting = lab.client("3.2").await;
    accepting.ask("STREAM ACCEPT ID=b").await;
    let mut connecting = lab.client("3.2").await;
    let connect = format!("STREAM CONNECT ID=a DESTINATION={destination} TO_PORT=8");
    assert_eq!(connecting.ask(&connect).await, "STREAM STATUS RESULT=OK");
    let peer = accepting.line().await;
    assert!(peer.ends_with(" FROM_PORT=7 TO_PORT=8"), "{peer}");
}

#[tokio::test(start_paused = true)]
async fn several_sockets_accept_in_turn() {
    let lab = Lab::new().await;
    let (_a, _) = lab.session("a", "STYLE=STREAM").await;
    let (_b, destination) = lab.session("b", "STYLE=STREAM").await;
    let mut accepting = Vec::new();
    for _ in 0..8 {
        let mut client = lab.client("3.2").await;
        assert_eq!(
            client.ask("STREAM ACCEPT ID=b").await,
            "STREAM STATUS RESULT=OK"
        );
        accepting.push(client);
    }
    let mut connecting = Vec::new();
    for number in 0..8_u8 {
        let mut client = lab.client("3.2").await;
        let connect = format!("STREAM CONNECT ID=a DESTINATION={destination}");
        assert_eq!(client.ask(&connect).await, "STREAM STATUS RESULT=OK");
        client.write(&[number]).await;
        connecting.push(client);
    }
    let mut seen = Vec::new();
    for client in &mut accepting {
        client.line().await;
        seen.push(client.exactly(1).await[0]);
    }
    seen.sort_unstable();
    assert_eq!(seen, [0, 1, 2, 3, 4, 5, 6, 7]);
}

#[tokio::test(start_paused = true)]
async fn streams_wait_until_they_are_accepted() {
    let lab = Lab::new().await;
    let (_a, _) = lab.session("a", "STYLE=STREAM").await;
    let (_b, destination) = lab.session("b", "STYLE=STREAM").await;
    let mut connecting = lab.client("3.1").await;
    let connect = format!("STREAM CONNECT ID=a DESTINATION={destination}");
    connecting.say(&connect).await;
    sleep(Duration::from_secs(20)).await;
    let mut accepting = lab.client("3.1").await;
    accepting.ask("STREAM ACCEPT ID=b").await;
    accepting.line().await;
    assert_eq!(connecting.line().await, "STREAM STATUS RESULT=OK");
    // A stream that is not accepted is refused.
    let mut connecting = lab.client("3.1").await;
    let reply = connecting.ask(&connect).await;
    assert!(
        reply.starts_with("STREAM STATUS RESULT=CANT_REACH_PEER"),
        "{reply}"
    );
    assert_eq!(connecting.rest().await, b"");
}

#[tokio::test(start_paused = true)]
async fn a_session_connects_to_itself() {
    let lab = Lab::new().await;
    let (_a, destination) = lab.session("a", "STYLE=STREAM").await;
    let (mut connecting, mut accepting) = stream(&lab, "a", "a", &destination).await;
    connecting.write(b"me").await;
    assert_eq!(accepting.exactly(2).await, b"me");
}

#[tokio::test(start_paused = true)]
async fn a_destination_that_does_not_exist_cannot_be_reached() {
    let lab = Lab::new().await;
    let (_a, _) = lab.session("a", "STYLE=STREAM").await;
    let (b, destination) = lab.session("b", "STYLE=STREAM").await;
    drop(b);
    sleep(Duration::from_secs(700)).await;
    let mut client = lab.client("3.1").await;
    let began = Instant::now();
    let reply = client
        .ask(&format!("STREAM CONNECT ID=a DESTINATION={destination}"))
        .await;
    assert!(
        reply.starts_with("STREAM STATUS RESULT=CANT_REACH_PEER"),
        "{reply}"
    );
    assert!(began.elapsed() < Duration::from_secs(60));
    let mut client = lab.client("3.1").await;
    let reply = client
        .ask("STREAM CONNECT ID=a DESTINATION=nobody.i2p")
        .await;
    assert!(
        reply.starts_with("STREAM STATUS RESULT=INVALID_KEY"),
        "{reply}"
    );
}

#[tokio::test(start_paused = true)]
async fn streams_are_forwarded_with_the_line_of_their_peer() {
    let lab = Lab::new().await;
    let (_a, _) = lab.session("a", "STYLE=STREAM").await;
    let (_b, destination) = lab.session("b", "STYLE=STREAM").await;
    let server = TcpListener::bind(LOOPBACK).await.expect("a port");
    let port = server.local_addr().expect("bound").port();
    for (silent, version) in [(false, "3.2"), (false, "3.0"), (true, "3.2")] {
        let mut forwarding = lab.client(version).await;
        assert_eq!(
            forwarding
                .ask(&format!("STREAM FORWARD ID=b PORT={port} SILENT={silent}"))
                .await,
            "STREAM STATUS RESULT=OK"
        );
        let mut connecting = lab.client("3.1").await;
        let connect = format!("STREAM CONNECT ID=a DESTINATION={destination}");
        assert_eq!(connecting.ask(&connect).await, "STREAM STATUS RESULT=OK");
        connecting.write(b"hi").await;
        let (socket, _) = server.accept().await.expect("a stream");
        let mut served = Client { socket };
        if !silent {
            let peer = served.line().await;
            assert_eq!(peer.ends_with(" FROM_PORT=0 TO_PORT=0"), version == "3.2");
        }
        assert_eq!(served.exactly(2).await, b"hi");
        served.write(b"ho").await;
        assert_eq!(connecting.exactly(2).await, b"ho");
        // Forwarding ends with its socket. Open streams continue.
        drop(forwarding);
        sleep(Duration::from_secs(1)).await;
        connecting.write(b"still").await;
        assert_eq!(served.exactly(5).await, b"still");
    }
    let mut accepting = lab.client("3.1").await;
    assert_eq!(
        accepting.ask("STREAM ACCEPT ID=b").await,
        "STREAM STATUS RESULT=OK"
    );
}

#[tokio::test(start_paused = true)]
async fn a_forwarded_stream_that_is_not_accepted_is_reset() {
    let lab = Lab::new().await;
    let (_a, _) = lab.session("a", "STYLE=STREAM").await;
    let (_b, destination) = lab.session("b", "STYLE=STREAM").await;
    let closed = TcpListener::bind(LOOPBACK).await.expect("a port");
    let port = closed.local_addr().expect("bound").port();
    drop(closed);
    let mut forwarding = lab.client("3.2").await;
    forwarding
        .ask(&format!("STREAM FORWARD ID=b PORT={port}"))
        .await;
    let mut connecting = lab.client("3.1").await;
    connecting
        .say(&format!(
            "STREAM CONNECT ID=a DESTINATION={destination} SILENT=true"
        ))
        .await;
    assert_eq!(connecting.rest().await, b"");
}

/// Closes a socket with a reset.
fn abort(client: Client) {
    socket2::SockRef::from(&client.socket)
        .set_linger(Some(Duration::ZERO))
        .expect("can be set");
}

/// The error with which reading from a socket ends.
async fn read_error(mut client: Client) -> ErrorKind {
    let mut buffer = [0; 64];
    let read = client.socket.read(&mut buffer);
    let read = timeout(Duration::from_secs(300), read).await;
    read.expect("in time").expect_err("not a clean end").kind()
}

#[tokio::test(start_paused = true)]
async fn a_client_that_aborts_resets_the_socket_of_the_other_client() {
    let lab = Lab::new().await;
    let (_a, _) = lab.session("a", "STYLE=STREAM").await;
    let (_b, destination) = lab.session("b", "STYLE=STREAM").await;
    let (connecting, accepting) = stream(&lab, "a", "b", &destination).await;
    abort(connecting);
    assert_eq!(read_error(accepting).await, ErrorKind::ConnectionReset);
    lab.settles(|stats| stats.streams == 0).await;
}

/// A stream from the session `a` to a session of the library: the client's socket, and the stream.
async fn stream_to(lab: &Lab, peer: &Session) -> (Client, Stream) {
    let listener = peer.listen(80).expect("free");
    let mut connecting = lab.client("3.2").await;
    let destination = peer.destination().to_base64();
    let command = format!("STREAM CONNECT ID=a DESTINATION={destination} TO_PORT=80");
    // At the same time: the paused clock advances while the client waits for the answer.
    let (status, accepted) = tokio::join!(connecting.ask(&command), listener.accept());
    assert_eq!(status, "STREAM STATUS RESULT=OK");
    (connecting, accepted.expect("a stream"))
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_its_peer_resets_resets_the_socket() {
    let lab = Lab::new().await;
    let (_a, _) = lab.session("a", "STYLE=STREAM").await;
    let peer = lab.peer().await;
    for data in ["", "hello"] {
        let (mut connecting, mut accepted) = stream_to(&lab, &peer).await;
        accepted.write_all(data.as_bytes()).await.expect("open");
        assert_eq!(connecting.exactly(data.len()).await, data.as_bytes());
        accepted.reset();
        assert_eq!(read_error(connecting).await, ErrorKind::ConnectionReset);
    }
    lab.settles(|stats| stats.streams == 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_aborts_resets_the_stream_of_its_peer() {
    let lab = Lab::new().await;
    let (_a, _) = lab.session("a", "STYLE=STREAM").await;
    let peer = lab.peer().await;
    let (connecting, mut accepted) = stream_to(&lab, &peer).await;
    abort(connecting);
    let error = accepted.read(&mut [0; 64]).await.expect_err("a reset");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[tokio::test(start_paused = true)]
async fn each_answer_arrives_in_one_piece() {
    let lab = Lab::new().await;
    let (_a, destination) = lab.session("a", "STYLE=STREAM").await;
    let mut client = lab.client("3.3").await;
    for command in [
        "DEST GENERATE",
        "SESSION CREATE STYLE=PRIMARY ID=b DESTINATION=TRANSIENT",
        "NAMING LOOKUP NAME=ME",
        "SESSION ADD STYLE=STREAM ID=c",
        "HELP",
        "WHAT",
        &format!("NAMING LOOKUP NAME={destination}"),
        "QUIT",
    ] {
        client.say(command).await;
        let mut buffer = [0; 4096];
        let count = client.socket.read(&mut buffer).await.expect("an answer");
        let answer = String::from_utf8_lossy(&buffer[..count]);
        assert!(answer.ends_with('\n'), "{command}: {answer}");
        assert_eq!(answer.matches('\n').count(), 1, "{command}: {answer}");
        assert!(!answer.ends_with(" \n"), "{command}: {answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn streams_beyond_the_limit_of_waiting_streams_are_refused() {
    let lab = Lab::new().await;
    let (_a, _) = lab.session("a", "STYLE=STREAM").await;
    let (_b, destination) = lab.session("b", "STYLE=STREAM").await;
    let connect = format!("STREAM CONNECT ID=a DESTINATION={destination}");
    let mut connecting = Vec::new();
    for _ in 0..80 {
        let mut client = lab.client("3.1").await;
        client.say(&connect).await;
        connecting.push(client);
    }
    sleep(Duration::from_secs(5)).await;
    // Sixty-four streams wait for later ACCEPTs.
    for _ in 0..64 {
        let mut accepting = lab.client("3.1").await;
        accepting.ask("STREAM ACCEPT ID=b").await;
        accepting.line().await;
    }
    let mut accepted = 0;
    for client in &mut connecting {
        let reply = client.line().await;
        if reply == "STREAM STATUS RESULT=OK" {
            accepted += 1;
        } else {
            assert!(
                reply.starts_with("STREAM STATUS RESULT=CANT_REACH_PEER MESSAGE="),
                "{reply}"
            );
        }
    }
    assert_eq!(accepted, 64);
}

/// Sends a line over a connection inside the process, and returns the answer.
#[cfg(unix)]
async fn ask_inside(socket: &mut tokio::net::UnixStream, line: &str) -> String {
    let line = format!("{line}\n");
    socket.write_all(line.as_bytes()).await.expect("it reads");
    let mut answer = String::new();
    while !answer.ends_with('\n') {
        let byte = socket.read_u8().await.expect("it answers");
        answer.push(byte.into());
    }
    answer
}

#[cfg(unix)]
#[tokio::test(start_paused = true)]
async fn a_bridge_without_addresses_serves_clients_in_its_process() {
    let lab = Lab::with(|config| config.max_connections(2)).await;
    let router = eepkit::Router::new(lab.net.i2cp_router());
    let config = eepkit_services::sam::SamConfig::new()
        .in_process()
        .max_connections(2)
        .default_option("inbound.length", 1)
        .default_option("outbound.length", 1);
    let bridge = eepkit_services::sam::SamBridge::start(router, config).await;
    let bridge = bridge.expect("no address is needed");
    assert!(bridge.tcp_addrs().is_empty() && bridge.udp_addrs().is_empty());

    let connect = || {
        let socket = bridge.connect()?;
        socket.set_nonblocking(true)?;
        tokio::net::UnixStream::from_std(socket)
    };
    let mut control = connect().expect("the first");
    let answer = ask_inside(&mut control, "HELLO VERSION").await;
    assert_eq!(answer, "HELLO REPLY RESULT=OK VERSION=3.3\n");
    let create = "SESSION CREATE ID=a STYLE=STREAM DESTINATION=TRANSIENT";
    let answer = ask_inside(&mut control, create).await;
    assert!(answer.starts_with("SESSION STATUS RESULT=OK"), "{answer}");

    let second = connect().expect("the second");
    let error = connect().expect_err("one too many");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    drop(second);
    drop(control);
    timeout(Duration::from_secs(60), async {
        while bridge.stats().connections > 0 || bridge.stats().sessions > 0 {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("closing the sockets ends the session");
    bridge.stop().await;
    let error = bridge.connect().expect_err("it was stopped");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}
