//! Tunnels for datagrams.

use eepkit::{DatagramOptions, Format};
use eepkit_services::tunnel::{
    StreamrClientConfig, StreamrServerConfig, UdpClientConfig, UdpServerConfig,
};
use tokio::{net::UdpSocket, time::sleep};

use super::*;

/// A UDP server that answers each datagram in upper case.
async fn shouting() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let address = socket.local_addr().expect("bound");
    tokio::spawn(async move {
        let mut buffer = vec![0; 65_535];
        while let Ok((count, from)) = socket.recv_from(&mut buffer).await {
            let answer = buffer[..count].to_ascii_uppercase();
            let _ = socket.send_to(&answer, from).await;
        }
    });
    address
}

fn server(target: SocketAddr) -> UdpServerConfig {
    UdpServerConfig::new()
        .target(target)
        .port(53)
        .option("inbound.length", 1)
        .option("outbound.length", 1)
}

fn client(destination: &str) -> UdpClientConfig {
    UdpClientConfig::new()
        .listen(loopback()[0])
        .destination(destination.parse().expect("an address"))
        .option("inbound.length", 1)
        .option("outbound.length", 1)
}

async fn program(tunnel: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    socket.connect(tunnel).await.expect("connects");
    socket
}

async fn received(socket: &UdpSocket) -> String {
    let mut buffer = vec![0; 65_535];
    let receiving = timeout(Duration::from_secs(60), socket.recv(&mut buffer)).await;
    let count = receiving.expect("arrives in time").expect("arrives");
    String::from_utf8_lossy(&buffer[..count]).into_owned()
}

fn value(statistics: &[eepkit_services::service::Statistic], name: &str) -> u64 {
    let found = statistics.iter().find(|one| one.name == name);
    found.expect(name).value
}

#[tokio::test(start_paused = true)]
async fn each_program_gets_the_answers_to_its_own_datagrams() {
    let lab = Lab::new();
    for format in [Format::Datagram1, Format::Datagram2, Format::Datagram3] {
        let server = lab.start(server(shouting().await)).await;
        let address = format!("{}:53", server.destination().to_b32());
        let client = lab.start(client(&address).format(format)).await;
        let programs = [
            program(client.udp_addrs()[0]).await,
            program(client.udp_addrs()[0]).await,
        ];
        for round in 0..20 {
            for (number, program) in programs.iter().enumerate() {
                let text = format!("question {round} of {number}");
                program.send(text.as_bytes()).await.expect("sends");
            }
            for (number, program) in programs.iter().enumerate() {
                let expected = format!("QUESTION {round} OF {number}");
                assert_eq!(received(program).await, expected, "{format}");
            }
        }
        let statistics = client.statistics();
        assert_eq!(value(&statistics, "conversations"), 2);
        assert_eq!(value(&statistics, "datagrams_sent_total"), 40);
        assert_eq!(value(&statistics, "datagrams_received_total"), 40);
        assert_eq!(value(&server.statistics(), "conversations"), 2);
        // Both sides forget what is silent, and begin again.
        sleep(Duration::from_secs(300)).await;
        assert_eq!(value(&client.statistics(), "conversations"), 0);
        assert_eq!(value(&server.statistics(), "conversations"), 0);
        programs[0].send(b"again").await.expect("sends");
        assert_eq!(received(&programs[0]).await, "AGAIN");
        client.stop().await;
        server.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn raw_datagrams_belong_to_the_last_sender_with_the_same_ports() {
    let lab = Lab::new();
    let server = lab.start(server(shouting().await)).await;
    let peer = lab.host("peer.i2p").await;
    let to = format!("{}:53", server.destination().to_b32());
    let stated = peer.datagrams(Format::Datagram1).bind(4000).expect("free");
    let raw = peer.datagrams(Format::Raw).bind(4000).expect("free");
    // As i2pd does: the first states its sender, those that follow at once do not.
    raw.send_to(b"too early", to.as_str()).await.expect("sends");
    sleep(Duration::from_secs(5)).await;
    stated.send_to(b"one", to.as_str()).await.expect("sends");
    let answer = stated.recv_from().await.expect("an answer");
    assert_eq!(&answer.payload()[..], b"ONE");
    assert_eq!((answer.from_port(), answer.to_port()), (53, 4000));
    assert_eq!(answer.sender(), Some(&server.destination()));
    raw.send_to(b"two", to.as_str()).await.expect("sends");
    let answer = tokio::select! {
        answer = raw.recv_from() => answer,
        answer = stated.recv_from() => answer,
    };
    assert_eq!(&answer.expect("an answer").payload()[..], b"TWO");
    let options = DatagramOptions::new().from_port(4001);
    raw.send_with(b"three", to.as_str(), &options)
        .await
        .expect("sends");
    sleep(Duration::from_secs(5)).await;
    let statistics = server.statistics();
    assert_eq!(value(&statistics, "datagrams_received_total"), 2);
    assert_eq!(value(&statistics, "datagrams_dropped_total"), 2);
}

#[tokio::test(start_paused = true)]
async fn peers_can_be_denied_and_are_limited() {
    let lab = Lab::new();
    let peer = lab.host("peer.i2p").await;
    let socket = peer.datagrams(Format::Datagram1).bind(1).expect("free");
    let denying = lab
        .start(
            server(shouting().await).deny([peer
                .destination()
                .to_b32()
                .parse()
                .expect("an address")]),
        )
        .await;
    let limited = lab
        .start(server(shouting().await).max_conversations(10, 2))
        .await;
    let to = format!("{}:53", denying.destination().to_b32());
    socket.send_to(b"x", to.as_str()).await.expect("sends");
    let to = format!("{}:53", limited.destination().to_b32());
    for port in 1..=5 {
        let options = DatagramOptions::new().from_port(port);
        socket
            .send_with(b"x", to.as_str(), &options)
            .await
            .expect("sends");
    }
    sleep(Duration::from_secs(10)).await;
    let statistics = denying.statistics();
    assert_eq!(value(&statistics, "datagrams_received_total"), 0);
    assert_eq!(value(&statistics, "datagrams_dropped_total"), 1);
    assert_eq!(value(&limited.statistics(), "conversations"), 2);
}

#[tokio::test(start_paused = true)]
async fn the_destination_is_the_only_peer_of_a_client_tunnel() {
    let lab = Lab::new();
    let server = lab.start(server(shouting().await)).await;
    let to = format!("{}:53", server.destination().to_b32());
    let client = lab.start(client(&to)).await;
    let program = program(client.udp_addrs()[0]).await;
    program.send(b"one").await.expect("sends");
    assert_eq!(received(&program).await, "ONE");
    let port = program.local_addr().expect("bound").port();
    let other = lab.host("other.i2p").await;
    let socket = other.datagrams(Format::Datagram1).bind(53).expect("free");
    let to = format!("{}:{port}", client.destination().to_b32());
    socket.send_to(b"forged", to.as_str()).await.expect("sends");
    sleep(Duration::from_secs(5)).await;
    assert_eq!(value(&client.statistics(), "datagrams_dropped_total"), 1);
    program.send(b"two").await.expect("sends");
    assert_eq!(received(&program).await, "TWO");
}

#[tokio::test(start_paused = true)]
async fn subscribers_get_the_stream_until_they_stop() {
    let lab = Lab::new();
    let sender = |config: StreamrServerConfig| {
        config
            .listen(loopback()[0])
            .option("inbound.length", 1)
            .option("outbound.length", 1)
    };
    let server = lab
        .start(sender(StreamrServerConfig::new()).max_subscribers(2))
        .await;
    let radio = program(server.udp_addrs()[0]).await;
    let mut listeners = Vec::new();
    for _ in 0..2 {
        let target = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        let client = StreamrClientConfig::new()
            .target(target.local_addr().expect("bound"))
            .destination(server.destination().to_b32().parse().expect("an address"))
            .option("inbound.length", 1)
            .option("outbound.length", 1);
        listeners.push((lab.start(client).await, target));
    }
    sleep(Duration::from_secs(20)).await;
    assert_eq!(value(&server.statistics(), "conversations"), 2);
    radio.send(b"music").await.expect("sends");
    for (_, target) in &listeners {
        assert_eq!(received(target).await, "music");
    }
    // A third one is too many.
    let third = lab.host("third.i2p").await;
    let socket = third.datagrams(Format::Datagram1).bind(0).expect("free");
    socket
        .send_to(&[0], &server.destination())
        .await
        .expect("sends");
    sleep(Duration::from_secs(120)).await;
    assert_eq!(value(&server.statistics(), "conversations"), 2);
    let (stopped, _) = listeners.pop().expect("two");
    stopped.stop().await;
    sleep(Duration::from_secs(5)).await;
    assert_eq!(value(&server.statistics(), "conversations"), 1);
    // Who stops without a word is forgotten after a minute.
    socket
        .send_to(&[0], &server.destination())
        .await
        .expect("sends");
    sleep(Duration::from_secs(5)).await;
    assert_eq!(value(&server.statistics(), "conversations"), 2);
    sleep(Duration::from_secs(70)).await;
    radio.send(b"more").await.expect("sends");
    sleep(Duration::from_secs(1)).await;
    assert_eq!(value(&server.statistics(), "conversations"), 1);
}
