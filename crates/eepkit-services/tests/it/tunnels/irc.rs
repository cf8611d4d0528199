//! Tunnels between IRC clients and IRC servers.

use eepkit_services::{
    socks::SocksConfig,
    tunnel::{IrcClientConfig, IrcServerConfig, Target},
};
use tokio::{net::TcpListener, time::sleep};

use super::*;

fn client(destination: &str) -> IrcClientConfig {
    IrcClientConfig::new()
        .listen(loopback())
        .destination(destination.parse().expect("an address"))
        .option("inbound.length", 1)
        .option("outbound.length", 1)
}

fn server(target: SocketAddr) -> IrcServerConfig {
    IrcServerConfig::new()
        .target(Target::Tcp(target))
        .option("inbound.length", 1)
        .option("outbound.length", 1)
}

#[tokio::test(start_paused = true)]
async fn a_server_sees_the_address_of_a_client_and_nothing_of_its_host() {
    let lab = Lab::new();
    let ircd = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let server = lab
        .start(server(ircd.local_addr().expect("bound")).webirc_password("secret"))
        .await;
    let address = server.destination().to_b32();
    let client = lab.start(client(&address)).await;
    let host = client.destination().to_b32();
    let mut program = dial(client.tcp_addrs()[0]).await;
    program
        .write_all(b"NICK me\r\nUSER jane desktop.lan irc.lan :Jane\r\n")
        .await
        .expect("writes");
    let (mut accepted, _) = ircd.accept().await.expect("a peer");
    let expected = format!(
        "WEBIRC secret cgiirc {host} 127.0.0.1\r\nNICK me\r\nUSER jane {host} localhost :Jane\r\n"
    );
    assert_eq!(exactly(&mut accepted, expected.len()).await, expected);

    // Requests of CTCP pass in no direction, and the server's token is answered.
    accepted
        .write_all(
            b"PING :cookie\r\n:x!y@z PRIVMSG me :\x01VERSION\x01\r\n:x!y@z PRIVMSG me :hi\r\n",
        )
        .await
        .expect("writes");
    let expected = "PING :cookie\r\n:x!y@z PRIVMSG me :hi\r\n";
    assert_eq!(exactly(&mut program, expected.len()).await, expected);
    program
        .write_all(
            b"PONG 192.168.1.2\r\nNOTICE x :\x01VERSION irssi\x01\r\nQUIT :irssi on Debian\r\n",
        )
        .await
        .expect("writes");
    program.shutdown().await.expect("shuts down");
    let rest_of_it = rest(&mut accepted).await.expect("ends");
    assert_eq!(rest_of_it, "PONG :cookie\r\nQUIT :leaving\r\n");
    accepted.shutdown().await.expect("shuts down");
    assert_eq!(rest(&mut program).await.expect("ends"), "");
    client.stop().await;
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_learns_why_it_is_not_served() {
    let lab = Lab::new();
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        listener.local_addr().expect("bound")
    };
    let server_tunnel = lab.start(server(closed)).await;
    let peer = lab.host("peer.i2p").await;
    let mut stream = peer
        .connect(server_tunnel.destination())
        .await
        .expect("connects");
    stream.write_all(b"NICK me\r\n").await.expect("writes");
    let said = rest(&mut stream).await.expect("ends");
    assert!(
        said.starts_with(":ircserver.i2p 499 * :this IRC server"),
        "{said}"
    );

    let ircd = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let silent = lab.start(server(ircd.local_addr().expect("bound"))).await;
    let mut stream = peer.connect(silent.destination()).await.expect("connects");
    stream.write_all(b"NICK me\r\n").await.expect("writes");
    let _accepted = ircd.accept().await.expect("a peer");
    sleep(Duration::from_secs(31)).await;
    let said = rest(&mut stream).await.expect("ends");
    assert!(
        said.contains("no registration within the time limit"),
        "{said}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_socks_proxy_can_filter_too() {
    let lab = Lab::new();
    let host = lab.host("irc.i2p").await;
    let listener = host.listen(6667).expect("free");
    let config = SocksConfig::new().listen(loopback()).irc_filter(true);
    let proxy = lab.start(config).await;
    let mut program = dial(proxy.tcp_addrs()[0]).await;
    let request = b"\x05\x01\x00\x05\x01\x00\x03\x07irc.i2p\x1a\x0bUSER me desktop irc :R\r\n";
    program.write_all(request).await.expect("writes");
    let mut stream = accept(&listener).await;
    let expected = "USER me hostname localhost :R\r\n";
    assert_eq!(exactly(&mut stream, expected.len()).await, expected);
    stream
        .write_all(b":x PRIVMSG me :\x01VERSION\x01\r\nERROR :bye\r\n")
        .await
        .expect("writes");
    let answer = exactly(&mut program, 12 + 12).await;
    assert!(answer.ends_with("ERROR :bye\r\n"), "{answer:?}");
}
