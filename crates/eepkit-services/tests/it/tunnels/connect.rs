//! Proxies that accept only CONNECT, and the session that they share with tunnels.

use eepkit_services::{
    http_proxy::HttpProxyConfig, socks::SocksConfig, tunnel::ClientTunnelConfig,
};

use super::*;

#[tokio::test(start_paused = true)]
async fn a_proxy_that_accepts_only_connect_refuses_web_pages() {
    let lab = Lab::new();
    let host = lab.host("host.i2p").await;
    echo(host.listen(22).expect("free"));
    let proxy = HttpProxyConfig::new().listen(loopback()).connect_only(true);
    let proxy = lab.start(proxy).await;
    let mut socket = dial(proxy.tcp_addrs()[0]).await;
    let request = "CONNECT host.i2p:22 HTTP/1.1\r\nHost: host.i2p:22\r\n\r\nhello";
    socket.write_all(request.as_bytes()).await.expect("writes");
    let granted = "HTTP/1.1 200 Connection Established\r\n\r\nhello";
    assert_eq!(exactly(&mut socket, granted.len()).await, granted);

    let mut socket = dial(proxy.tcp_addrs()[0]).await;
    let request = "GET http://host.i2p/ HTTP/1.1\r\nHost: host.i2p\r\nConnection: close\r\n\r\n";
    socket.write_all(request.as_bytes()).await.expect("writes");
    let answer = rest(&mut socket).await.expect("ends");
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
    assert!(answer.contains("connect_only"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn proxies_and_tunnels_of_a_group_share_a_destination() {
    let lab = Lab::new();
    let host = lab.host("host.i2p").await;
    let listener = host.listen(22).expect("free");
    let tunnel = ClientTunnelConfig::new()
        .listen(loopback())
        .destination("host.i2p:22".parse().expect("an address"))
        .shared("clients");
    let tunnel = lab.start(tunnel).await;
    let proxy = HttpProxyConfig::new().listen(loopback()).shared("clients");
    let proxy = lab.start(proxy).await;
    let socks = SocksConfig::new().listen(loopback()).shared("clients");
    let socks = lab.start(socks).await;
    let _tunnelled = dial(tunnel.tcp_addrs()[0]).await;
    let first = accept(&listener).await.peer().clone();
    let mut proxied = dial(proxy.tcp_addrs()[0]).await;
    let request = "CONNECT host.i2p:22 HTTP/1.1\r\nHost: host.i2p:22\r\n\r\n";
    proxied.write_all(request.as_bytes()).await.expect("writes");
    assert_eq!(accept(&listener).await.peer(), &first);
    let mut over_socks = dial(socks.tcp_addrs()[0]).await;
    let request = b"\x05\x01\x00\x05\x01\x00\x03\x08host.i2p\x00\x16";
    over_socks.write_all(request).await.expect("writes");
    assert_eq!(accept(&listener).await.peer(), &first);
    assert_eq!(lab.online(), 1);
    tunnel.stop().await;
    proxy.stop().await;
    assert_eq!(lab.online(), 1);
    socks.stop().await;
    assert_eq!(lab.online(), 0);
}
