//! Tunnels over real sockets and a simulated network, in paused time.

mod client;
mod connect;
mod http_server;
mod irc;
mod server;
mod site;
mod udp;

use std::{net::SocketAddr, time::Duration};

use eepkit::{
    Listener, Preset, Router, Session, Stream, StreamError,
    sim::{Builder, SimNet},
};
use eepkit_services::{
    service::{Context, Definition},
    tunnel::{ServerTunnel, Target},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};

/// A network, and what tunnels in it need.
struct Lab {
    net: SimNet,
    context: Context,
}

impl Lab {
    fn new() -> Self {
        Self::over(SimNet::builder())
    }

    fn over(net: Builder) -> Self {
        let net = net.delay(Duration::from_millis(50)).start();
        let context = Context::new(Router::new(net.i2cp_router()));
        Self { net, context }
    }

    /// A session beside the tunnels, with a name.
    async fn host(&self, name: &str) -> Session {
        let router = Router::new(self.net.router());
        let session = router.session().preset(Preset::Test).open().await;
        let session = session.expect("a session opens");
        self.net.add_name(name, session.destination());
        session
    }

    /// The number of sessions of tunnels that have a link to the router.
    fn online(&self) -> usize {
        let sessions = self.context.router.sessions();
        sessions
            .iter()
            .filter(|session| session.watch.stage().has_link())
            .count()
    }

    async fn start<D: Definition>(&self, config: D) -> D::Running {
        let started = config.launch(&self.context).await;
        started.unwrap_or_else(|error| panic!("{}", error.in_full()))
    }
}

/// Some port of 127.0.0.1.
fn loopback() -> [SocketAddr; 1] {
    [SocketAddr::from(([127, 0, 0, 1], 0))]
}

async fn dial(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).await.expect("it listens");
    socket.set_nodelay(true).expect("can be set");
    socket
}

/// Accepts streams without end, and sends back what they send.
fn echo(listener: Listener) {
    tokio::spawn(async move {
        while let Ok(stream) = listener.accept().await {
            tokio::spawn(async move {
                let (mut reader, mut writer) = stream.into_split();
                let _ = tokio::io::copy(&mut reader, &mut writer).await;
                let _ = writer.shutdown().await;
            });
        }
    });
}

/// Reads until the end.
async fn rest(socket: &mut (impl tokio::io::AsyncRead + Unpin)) -> std::io::Result<String> {
    let mut text = Vec::new();
    let reading = timeout(Duration::from_secs(900), socket.read_to_end(&mut text)).await;
    reading.expect("ends in time")?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Reads this many bytes.
async fn exactly(socket: &mut (impl tokio::io::AsyncRead + Unpin), count: usize) -> String {
    let mut text = vec![0; count];
    let reading = timeout(Duration::from_secs(900), socket.read_exact(&mut text)).await;
    reading.expect("arrives in time").expect("arrives");
    String::from_utf8_lossy(&text).into_owned()
}

/// Accepts a stream within some minutes.
async fn accept(listener: &Listener) -> Stream {
    let accepting = timeout(Duration::from_secs(300), listener.accept()).await;
    accepting.expect("a stream comes").expect("accepts")
}

/// A local server that has one connection at a time.
async fn backend() -> (TcpListener, Target) {
    let listener = TcpListener::bind(loopback()[0]).await.expect("binds");
    let address = listener.local_addr().expect("it has one");
    (listener, Target::Tcp(address))
}

/// Accepts a connection at a local server.
async fn accept_local(listener: &TcpListener) -> TcpStream {
    let accepting = timeout(Duration::from_secs(300), listener.accept()).await;
    let (socket, _) = accepting.expect("a connection comes").expect("accepts");
    socket.set_nodelay(true).expect("can be set");
    socket
}

async fn connect(peer: &Session, tunnel: &ServerTunnel, port: u16) -> Stream {
    let connecting = peer.connect((tunnel.destination(), port));
    connecting.await.expect("connects")
}

/// Waits until a stream is reset.
async fn is_reset(stream: &mut Stream) {
    let error = rest(stream).await.expect_err("is reset");
    assert_eq!(
        StreamError::of(&error),
        Some(&StreamError::Reset),
        "{error}"
    );
}
