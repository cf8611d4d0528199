//! What no client should do, and what is left of it.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::lab::{Client, Lab};

/// A session that works, from beginning to end.
async fn a_session_works(lab: &Lab) {
    let (control, destination) = lab.session("works", "STYLE=STREAM").await;
    let mut accepting = lab.client("3.1").await;
    accepting.ask("STREAM ACCEPT ID=works").await;
    let mut connecting = lab.client("3.1").await;
    let connect = format!("STREAM CONNECT ID=works DESTINATION={destination}");
    assert_eq!(connecting.ask(&connect).await, "STREAM STATUS RESULT=OK");
    accepting.line().await;
    connecting.write(b"x").await;
    assert_eq!(accepting.exactly(1).await, b"x");
    drop((control, accepting, connecting));
    lab.empties().await;
}

#[tokio::test(start_paused = true)]
async fn junk_is_answered_or_ended_and_leaves_nothing_behind() {
    let lab = Lab::new().await;
    let oversized = [b'x'; 40_000];
    let junk: [&[u8]; 9] = [
        b"\0\0\0\0\n",
        b"\xff\xfe\xfd\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n",
        b"SESSION CREATE STYLE=STREAM ID=x DESTINATION=TRANSIENT\n",
        b"HELLO VERSION MIN=x\n",
        b"HELLO VERSION\nNAMING LOOKUP NAME=\"\n",
        b"HELLO VERSION\n\0\n",
        &oversized,
    ];
    for bytes in junk {
        let mut client = lab.raw().await;
        client.write(bytes).await;
        let said = client.rest().await;
        let said = String::from_utf8(said).expect("text");
        assert!(
            said.ends_with('\n') && said.contains("I2P_ERROR"),
            "{bytes:?}: {said}"
        );
    }
    lab.empties().await;
    a_session_works(&lab).await;
}

#[tokio::test(start_paused = true)]
async fn slow_and_silent_sockets_are_borne_and_ended() {
    let lab = Lab::new().await;
    let mut silent = lab.raw().await;
    let mut slow = lab.raw().await;
    for byte in b"HELLO VERSION MAX=3.1" {
        slow.write(&[*byte]).await;
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(slow.ask("").await, "HELLO REPLY RESULT=OK VERSION=3.1");
    assert_eq!(
        silent.line().await,
        "HELLO REPLY RESULT=I2P_ERROR MESSAGE=\"nothing was said for too long\""
    );
    assert_eq!(silent.rest().await, b"");
    // After HELLO a socket may be kept at hand.
    sleep(Duration::from_secs(3600)).await;
    assert!(
        slow.ask("DEST GENERATE")
            .await
            .starts_with("DEST REPLY PUB=")
    );
}

#[tokio::test(start_paused = true)]
async fn five_hundred_sockets_at_once_are_served() {
    let lab = Lab::new().await;
    let (control, _) = lab.session("a", "STYLE=STREAM").await;
    let mut clients = Vec::new();
    for number in 0..500 {
        let mut client = match number % 3 {
            0 => lab.raw().await,
            _ => lab.client("3.2").await,
        };
        if number % 3 == 2 {
            assert_eq!(
                client.ask("STREAM ACCEPT ID=a").await,
                "STREAM STATUS RESULT=OK"
            );
        }
        clients.push(client);
    }
    assert_eq!(lab.bridge.stats().connections, 501);
    assert!(clients[1].ask("PING").await == "PONG");
    drop((clients, control));
    lab.empties().await;
    a_session_works(&lab).await;
}

#[tokio::test(start_paused = true)]
async fn sockets_beyond_the_limit_are_told_so() {
    let lab = Lab::with(|builder| builder.max_connections(3)).await;
    let held = [lab.raw().await, lab.raw().await, lab.raw().await];
    lab.settles(|stats| stats.connections == 3).await;
    let mut refused = lab.raw().await;
    assert_eq!(
        refused.line().await,
        "HELLO REPLY RESULT=I2P_ERROR MESSAGE=\"the bridge has too many connections\""
    );
    drop((held, refused));
    lab.settles(|stats| stats.connections == 0 && stats.refused == 1)
        .await;
    a_session_works(&lab).await;
}

#[tokio::test(start_paused = true)]
async fn clients_killed_at_every_step_leave_nothing_behind() {
    let lab = Lab::new().await;
    let (peer, destination) = lab.session("peer", "STYLE=STREAM").await;
    let steps = [
        "HELLO VERSION".to_owned(),
        "DEST GENERATE".to_owned(),
        "NAMING LOOKUP NAME=nobody.i2p".to_owned(),
        "SESSION CREATE STYLE=PRIMARY ID=killed DESTINATION=TRANSIENT".to_owned(),
        "SESSION ADD STYLE=STREAM ID=sub".to_owned(),
        "SESSION ADD STYLE=RAW ID=raw PORT=9".to_owned(),
        "SESSION REMOVE ID=raw".to_owned(),
    ];
    for end in 0..=steps.len() {
        for answered in [false, true] {
            let mut client = lab.raw().await;
            for (number, step) in steps.iter().take(end).enumerate() {
                client.say(step).await;
                if answered || number + 1 < end {
                    client.line().await;
                }
            }
            kill(client);
        }
    }
    for last in [
        format!("STREAM CONNECT ID=peer DESTINATION={destination}"),
        "STREAM CONNECT ID=peer DESTINATION=nobody.i2p".to_owned(),
        "STREAM ACCEPT ID=peer".to_owned(),
        "STREAM ACCEPT ID=peer SILENT=true".to_owned(),
        "STREAM FORWARD ID=peer PORT=9".to_owned(),
    ] {
        let mut client = lab.client("3.1").await;
        client.say(&last).await;
        sleep(Duration::from_millis(20)).await;
        kill(client);
    }
    lab.settles(|stats| stats.connections == 1 && stats.sessions == 1 && stats.subsessions == 0)
        .await;
    // A stream whose client died before it was there is not handed to anybody.
    drop(peer);
    sleep(Duration::from_secs(700)).await;
    lab.empties().await;
    a_session_works(&lab).await;
}

/// Ends a socket as the end of a process that has unread data does.
fn kill(client: Client) {
    socket2::SockRef::from(&client.socket)
        .set_linger(Some(Duration::ZERO))
        .expect("can be set");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_nothing_is_given_up() {
    let lab = Lab::new().await;
    let mut client = lab.client("3.1").await;
    let line = format!("NAMING LOOKUP NAME={}\n", "x".repeat(10_000));
    let flood = async {
        loop {
            if tokio::io::AsyncWriteExt::write_all(&mut client.socket, line.as_bytes())
                .await
                .is_err()
            {
                break;
            }
        }
    };
    timeout(Duration::from_secs(600), flood)
        .await
        .expect("the bridge ends the socket");
    lab.empties().await;
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_datagrams_is_dropped_and_counted() {
    let lab = Lab::new().await;
    let (control, _) = lab.session("a", "STYLE=RAW").await;
    let socket = tokio::net::UdpSocket::bind(crate::lab::LOOPBACK)
        .await
        .expect("a port");
    for number in 0..500 {
        let packet = format!("3.0 a nobody{number}.i2p\nhello");
        socket
            .send_to(packet.as_bytes(), lab.udp())
            .await
            .expect("sent");
        tokio::task::yield_now().await;
    }
    lab.settles(|stats| stats.datagrams_dropped >= 400).await;
    drop(control);
    a_session_works(&lab).await;
}
