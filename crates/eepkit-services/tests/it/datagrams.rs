//! Datagrams of every style.

use std::time::Duration;

use tokio::{
    net::UdpSocket,
    time::{sleep, timeout},
};

use crate::lab::{LOOPBACK, Lab};

async fn udp() -> (UdpSocket, u16) {
    let socket = UdpSocket::bind(LOOPBACK).await.expect("a port");
    let port = socket.local_addr().expect("bound").port();
    (socket, port)
}

async fn receive(socket: &UdpSocket) -> String {
    let mut buffer = vec![0; 65_536];
    let received = timeout(Duration::from_secs(60), socket.recv_from(&mut buffer)).await;
    let (count, _) = received.expect("a datagram in time").expect("a datagram");
    String::from_utf8_lossy(&buffer[..count]).into_owned()
}

#[tokio::test(start_paused = true)]
async fn datagrams_of_each_style_are_sent_over_udp() {
    let lab = Lab::new().await;
    let (socket, port) = udp().await;
    for style in ["DATAGRAM", "DATAGRAM2", "DATAGRAM3"] {
        let (_a, sender) = lab
            .session(&format!("a-{style}"), &format!("STYLE={style} FROM_PORT=3"))
            .await;
        let (_b, destination) = lab
            .session(&format!("b-{style}"), &format!("STYLE={style} PORT={port}"))
            .await;
        let packet = format!("3.3 a-{style} {destination} TO_PORT=4\nhello\n{style}");
        socket
            .send_to(packet.as_bytes(), lab.udp())
            .await
            .expect("sent");
        let from = match style {
            "DATAGRAM3" => eepkit::Destination::from_base64(&sender)
                .expect("a destination")
                .hash()
                .to_base64(),
            _ => sender,
        };
        assert_eq!(
            receive(&socket).await,
            format!("{from} FROM_PORT=3 TO_PORT=4\nhello\n{style}")
        );
    }
}

#[tokio::test(start_paused = true)]
async fn raw_datagrams_are_forwarded_with_and_without_a_header() {
    let lab = Lab::new().await;
    let (socket, port) = udp().await;
    let (_a, _) = lab.session("a", "STYLE=RAW PROTOCOL=77").await;
    let (_b, plain) = lab.session("b", &format!("STYLE=RAW PORT={port}")).await;
    let (_c, header) = lab
        .session(
            "c",
            &format!("STYLE=RAW PORT={port} HOST=127.0.0.1 HEADER=true"),
        )
        .await;
    let packet = format!("3.0 a {plain}\nhello");
    socket
        .send_to(packet.as_bytes(), lab.udp())
        .await
        .expect("sent");
    assert_eq!(receive(&socket).await, "hello");
    let packet = format!("3.2 a {header} FROM_PORT=5 TO_PORT=6 PROTOCOL=18\nhello");
    socket
        .send_to(packet.as_bytes(), lab.udp())
        .await
        .expect("sent");
    assert_eq!(
        receive(&socket).await,
        "FROM_PORT=5 TO_PORT=6 PROTOCOL=18\nhello"
    );
    let packet = format!("3.2 a {header}\nhello");
    socket
        .send_to(packet.as_bytes(), lab.udp())
        .await
        .expect("sent");
    assert_eq!(
        receive(&socket).await,
        "FROM_PORT=0 TO_PORT=0 PROTOCOL=77\nhello"
    );
}

#[tokio::test(start_paused = true)]
async fn datagrams_are_sent_over_the_control_socket() {
    let lab = Lab::new().await;
    let (mut a, sender) = lab.session("a", "STYLE=DATAGRAM").await;
    let (mut b, destination) = lab.session("b", "STYLE=DATAGRAM").await;
    a.write(format!("DATAGRAM SEND DESTINATION={destination} SIZE=5\nhello").as_bytes())
        .await;
    assert_eq!(
        b.line().await,
        format!("DATAGRAM RECEIVED DESTINATION={sender} SIZE=5 FROM_PORT=0 TO_PORT=0")
    );
    assert_eq!(b.exactly(5).await, b"hello");
    // Commands continue to work between datagrams.
    assert_eq!(b.ask("PING").await, "PONG");
    let (mut c, _) = lab.session("c", "STYLE=RAW").await;
    let (mut d, destination) = lab.session("d", "STYLE=RAW").await;
    c.write(format!("RAW SEND DESTINATION={destination} SIZE=3 TO_PORT=9\nraw").as_bytes())
        .await;
    assert_eq!(
        d.line().await,
        "RAW RECEIVED SIZE=3 FROM_PORT=0 TO_PORT=9 PROTOCOL=18"
    );
    assert_eq!(d.exactly(3).await, b"raw");
}

#[tokio::test(start_paused = true)]
async fn a_datagram_can_be_sent_to_an_address() {
    let lab = Lab::new().await;
    let (socket, port) = udp().await;
    let (_a, _) = lab.session("a", "STYLE=RAW").await;
    let (_b, destination) = lab.session("b", &format!("STYLE=RAW PORT={port}")).await;
    let b32 = eepkit::Destination::from_base64(&destination)
        .expect("a destination")
        .to_b32();
    let packet = format!("3.0 a {b32}\nhello");
    socket
        .send_to(packet.as_bytes(), lab.udp())
        .await
        .expect("sent");
    assert_eq!(receive(&socket).await, "hello");
}

#[tokio::test(start_paused = true)]
async fn datagrams_that_cannot_be_sent_are_counted() {
    let lab = Lab::new().await;
    let (socket, _) = udp().await;
    let (_a, destination) = lab.session("a", "STYLE=DATAGRAM").await;
    for packet in [
        "",
        "junk",
        "3.0 nobody x\nhello",
        &format!("3.0 a {destination}\n"),
        "3.0 a nobody.i2p\nhello",
    ] {
        socket
            .send_to(packet.as_bytes(), lab.udp())
            .await
            .expect("sent");
    }
    lab.settles(|stats| stats.datagrams_dropped == 5).await;
}

#[tokio::test(start_paused = true)]
async fn subsessions_get_the_datagrams_of_their_protocol_and_port() {
    let lab = Lab::new().await;
    let (mut primary, destination) = lab.session("p", "STYLE=PRIMARY").await;
    let (any, any_port) = udp().await;
    let (seven, seven_port) = udp().await;
    let (raw, raw_port) = udp().await;
    for add in [
        format!("STYLE=DATAGRAM ID=any PORT={any_port}"),
        format!("STYLE=DATAGRAM ID=seven PORT={seven_port} LISTEN_PORT=7"),
        format!("STYLE=RAW ID=raw PORT={raw_port} LISTEN_PROTOCOL=0 HEADER=true"),
        "STYLE=STREAM ID=streams".to_owned(),
    ] {
        let reply = primary.ask(&format!("SESSION ADD {add}")).await;
        assert!(reply.starts_with("SESSION STATUS RESULT=OK "), "{reply}");
    }
    let (_a, _) = lab.session("a", "STYLE=DATAGRAM").await;
    let (_b, _) = lab.session("b", "STYLE=RAW").await;
    let send = async |header: String, body: &str| {
        let packet = format!("{header}\n{body}");
        any.send_to(packet.as_bytes(), lab.udp())
            .await
            .expect("sent");
    };
    send(format!("3.3 a {destination} TO_PORT=7"), "to seven").await;
    assert!(receive(&seven).await.ends_with(" TO_PORT=7\nto seven"));
    send(format!("3.3 a {destination} TO_PORT=8"), "to eight").await;
    assert!(receive(&any).await.ends_with(" TO_PORT=8\nto eight"));
    send(format!("3.3 b {destination} PROTOCOL=99"), "raw").await;
    assert_eq!(
        receive(&raw).await,
        "FROM_PORT=0 TO_PORT=0 PROTOCOL=99\nraw"
    );
    // Each subsession sends from the same destination.
    send(format!("3.3 seven {destination} TO_PORT=8"), "to myself").await;
    assert!(receive(&any).await.starts_with(&destination));
}

#[tokio::test(start_paused = true)]
async fn the_longest_datagrams_arrive_and_longer_ones_are_not_sent() {
    let lab = Lab::new().await;
    let (socket, port) = udp().await;
    for (style, longest) in [
        ("DATAGRAM", 31_744),
        ("DATAGRAM2", 31_744),
        ("DATAGRAM3", 31_744),
        ("RAW", 32_768),
    ] {
        let (mut a, _) = lab.session("a", &format!("STYLE={style}")).await;
        let rest = format!("STYLE={style} PORT={port}");
        let (_b, destination) = lab.session("b", &rest).await;
        let before = lab.bridge.stats().datagrams_dropped;
        let send = async |count: usize| {
            let packet = format!("3.0 a {destination}\n{}", "x".repeat(count));
            socket
                .send_to(packet.as_bytes(), lab.udp())
                .await
                .expect("sent");
        };
        send(longest + 1).await;
        lab.settles(|stats| stats.datagrams_dropped == before + 1)
            .await;
        for count in [longest, 1] {
            send(count).await;
            let received = receive(&socket).await;
            let body = match style {
                "RAW" => &received,
                _ => received.split_once('\n').expect("a line").1,
            };
            assert_eq!(body.len(), count, "{style}");
        }
        if matches!(style, "DATAGRAM" | "RAW") {
            let mut say = format!("{style} SEND DESTINATION={destination} SIZE={longest}\n");
            say.push_str(&"y".repeat(longest));
            a.write(say.as_bytes()).await;
            assert!(receive(&socket).await.ends_with("yyyy"), "{style}");
            let size = longest + 1;
            let mut say = format!("{style} SEND DESTINATION={destination} SIZE={size}\n");
            say.push_str(&"y".repeat(size));
            a.write(say.as_bytes()).await;
            assert_eq!(
                a.line().await,
                format!(
                    "{style} STATUS RESULT=I2P_ERROR \
                     MESSAGE=\"a datagram carries 1 to {longest} bytes, not {size}\""
                )
            );
            assert_eq!(a.ask("PING").await, "PONG");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_with_port_0_only_sends() {
    let lab = Lab::new().await;
    let (socket, port) = udp().await;
    let (mut a, sender) = lab
        .session("a", "STYLE=DATAGRAM PORT=0 HOST=127.0.0.1")
        .await;
    let (_b, destination) = lab
        .session("b", &format!("STYLE=DATAGRAM PORT={port}"))
        .await;
    for (id, to) in [("b", &sender), ("a", &destination)] {
        let packet = format!("3.0 {id} {to}\nhello");
        socket
            .send_to(packet.as_bytes(), lab.udp())
            .await
            .expect("sent");
    }
    let received = receive(&socket).await;
    assert_eq!(received, format!("{sender} FROM_PORT=0 TO_PORT=0\nhello"));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(
        a.ask("PING").await,
        "PONG",
        "no datagram arrived on its socket"
    );
}
