//! The common parts of the tests: a network, a bridge, and a client that reads as strictly as any.

use std::{net::SocketAddr, time::Duration};

use eepkit::{
    Preset, Router, Session,
    sim::{Builder, SimNet},
};
use eepkit_services::sam::{SamBridge, SamConfig, SamStats};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{sleep, timeout},
};

/// A network and a bridge.
pub(crate) struct Lab {
    pub(crate) net: SimNet,
    pub(crate) bridge: SamBridge,
}

impl Lab {
    pub(crate) async fn new() -> Self {
        Self::with(|config| config).await
    }

    pub(crate) async fn with(change: impl FnOnce(SamConfig) -> SamConfig) -> Self {
        Self::over(SimNet::builder().delay(Duration::from_millis(50)), change).await
    }

    pub(crate) async fn over(net: Builder, change: impl FnOnce(SamConfig) -> SamConfig) -> Self {
        let net = net.start();
        let router = Router::new(net.i2cp_router());
        let config = SamConfig::new()
            .listen(LOOPBACK.parse().expect("an address"))
            .udp(LOOPBACK.parse().expect("an address"))
            .default_option("inbound.length", 1)
            .default_option("outbound.length", 1)
            .default_option("inbound.quantity", 1)
            .default_option("outbound.quantity", 1);
        let bridge = SamBridge::start(router, change(config)).await;
        let bridge = bridge.expect("a bridge starts");
        Self { net, bridge }
    }

    /// A session beside the bridge.
    pub(crate) async fn peer(&self) -> Session {
        let router = Router::new(self.net.router());
        let session = router.session().preset(Preset::Test).open().await;
        session.expect("a session opens")
    }

    pub(crate) fn tcp(&self) -> SocketAddr {
        self.bridge.tcp_addrs()[0]
    }

    pub(crate) fn udp(&self) -> SocketAddr {
        self.bridge.udp_addrs()[0]
    }

    /// A socket without HELLO.
    pub(crate) async fn raw(&self) -> Client {
        let socket = TcpStream::connect(self.tcp()).await.expect("it listens");
        // Delayed small writes would arrive late in paused time.
        socket.set_nodelay(true).expect("can be set");
        Client { socket }
    }

    /// A socket that has completed HELLO.
    pub(crate) async fn client(&self, version: &str) -> Client {
        let mut client = self.raw().await;
        let reply = client
            .ask(&format!("HELLO VERSION MIN={version} MAX={version}"))
            .await;
        assert_eq!(reply, format!("HELLO REPLY RESULT=OK VERSION={version}"));
        client
    }

    /// A control socket with a session, and the session's destination.
    pub(crate) async fn session(&self, id: &str, rest: &str) -> (Client, String) {
        let mut client = self.client("3.3").await;
        let reply = client
            .ask(&format!(
                "SESSION CREATE ID={id} DESTINATION=TRANSIENT {rest}"
            ))
            .await;
        assert!(
            reply.starts_with("SESSION STATUS RESULT=OK DESTINATION="),
            "{reply}"
        );
        let destination = client.me().await;
        (client, destination)
    }

    /// Waits until the statistics of the bridge satisfy `wanted`.
    pub(crate) async fn settles(&self, wanted: impl Fn(&SamStats) -> bool) {
        let settled = timeout(Duration::from_secs(60), async {
            while !wanted(&self.bridge.stats()) {
                sleep(Duration::from_millis(10)).await;
            }
        });
        if settled.await.is_err() {
            panic!("the bridge still holds {:?}", self.bridge.stats());
        }
    }

    /// Waits until only the listening tasks remain.
    pub(crate) async fn empties(&self) {
        self.settles(|stats| {
            stats.connections == 0
                && stats.sessions == 0
                && stats.subsessions == 0
                && stats.streams == 0
                && stats.tasks <= LISTENING
        })
        .await;
    }
}

/// A client that reads a line byte by byte, and reads nothing after it.
pub(crate) struct Client {
    pub(crate) socket: TcpStream,
}

impl Client {
    pub(crate) async fn say(&mut self, line: &str) {
        let line = format!("{line}\n");
        self.socket
            .write_all(line.as_bytes())
            .await
            .expect("the bridge reads");
    }

    pub(crate) async fn ask(&mut self, line: &str) -> String {
        self.say(line).await;
        self.line().await
    }

    pub(crate) async fn line(&mut self) -> String {
        self.try_line().await.expect("the bridge says a line")
    }

    /// Returns the next line, or `None` if the socket ends.
    pub(crate) async fn try_line(&mut self) -> Option<String> {
        let mut line = Vec::new();
        let read = async {
            loop {
                match self.socket.read_u8().await {
                    Ok(b'\n') => return Some(()),
                    Ok(byte) => line.push(byte),
                    Err(_) => return None,
                }
            }
        };
        timeout(Duration::from_secs(300), read)
            .await
            .expect("an answer in time")?;
        Some(String::from_utf8(line).expect("text"))
    }

    /// Waits until the bridge closes the socket, and returns the bytes before the end.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        let read = self.socket.read_to_end(&mut rest);
        let read = timeout(Duration::from_secs(300), read).await;
        read.expect("the end in time").ok();
        rest
    }

    pub(crate) async fn me(&mut self) -> String {
        let reply = self.ask("NAMING LOOKUP NAME=ME").await;
        let value = reply.strip_prefix("NAMING REPLY RESULT=OK NAME=ME VALUE=");
        value.expect(&reply).to_owned()
    }

    pub(crate) async fn exactly(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        let read = self.socket.read_exact(&mut bytes);
        let read = timeout(Duration::from_secs(300), read).await;
        read.expect("the bytes in time").expect("the bytes");
        bytes
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        self.socket
            .write_all(bytes)
            .await
            .expect("the bridge reads");
    }
}

/// Bytes that differ at each position.
pub(crate) fn pattern(count: usize) -> Vec<u8> {
    (0..count).map(|at| (at * 31 + at / 251) as u8).collect()
}

pub(crate) const LOOPBACK: &str = "127.0.0.1:0";

/// The tasks of an idle bridge: one for TCP, one for UDP, and one that closes the session for
/// look-ups.
const LISTENING: usize = 3;
