//! Hostile programs: what they cost, and what other programs notice.
//!
//! While sockets misbehave, an honest program exchanges small messages over a stream of the SAM
//! bridge, connects through the SOCKS proxy and asks the control socket. The test compares its 99th percentile with that of
//! a quiet bridge, and limits memory, processor time and file descriptors. It runs in real time,
//! because sockets of the system do not follow a paused clock.
//!
//! A separate test program, because it measures the whole process.
#![cfg(target_os = "linux")]
#![expect(
    clippy::print_stdout,
    reason = "the figures of a run, with --nocapture"
)]

#[path = "../../eepkit/tests/hostile/cost.rs"]
mod cost;
#[path = "it/lab.rs"]
#[expect(dead_code, reason = "this test needs a part of it")]
mod lab;

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use eepkit::{Preset, Router};
use eepkit_services::{
    bob::{BobBridge, BobConfig},
    control::{Client as ControlClient, Control, Daemon, Phase, Setup},
    socks::{SocksConfig, SocksProxy},
    users::Users,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpStream, UnixStream},
    time::{Instant, sleep, timeout},
};
use tokio_rustls::rustls::{ServerConfig, pki_types::PrivateKeyDer};

use cost::{Cost, MEMORY};
use lab::{Client, Lab};

struct World {
    lab: Lab,
    proxy: SocksProxy,
    bob: BobBridge,
    control_socket: PathBuf,
    _dir: tempfile::TempDir,
    _control: Control,
    _session: Client,
    stream: TcpStream,
    /// The host that the honest program connects to through SOCKS.
    host: String,
}

impl World {
    async fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("made");
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
        let tls = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .expect("they fit");
        let mut users = Users::new();
        users.add("me", "right").expect("added");
        let net = eepkit::sim::SimNet::builder().delay(Duration::from_millis(2));
        let lab = Lab::over(net, |config| {
            let config = config.listen_tls(loopback(), Arc::new(tls));
            config.users(users).older_versions()
        })
        .await;
        let router = Router::new(lab.net.i2cp_router());
        let config = SocksConfig::new().listen([loopback()]);
        let proxy = SocksProxy::start(router.clone(), config).await;
        let config = BobConfig::new().listen([loopback()]);
        let bob = BobBridge::start(router.clone(), config).await;

        let dir = tempfile::tempdir().expect("a directory");
        let control_socket = dir.path().join("control.sock");
        let (daemon, _orders) = Daemon::new(Setup {
            version: "1".to_owned(),
            config: None,
            router: "sim".to_owned(),
            embedded: false,
        });
        daemon.enter(Phase::Running);
        let control = Control::bind(control_socket.clone(), Arc::new(daemon)).await;

        let peer = router.session().preset(Preset::Test).open().await;
        let peer = peer.expect("opens");
        let listener = peer.listen(80).expect("free");
        let host = peer.destination().to_b32();
        tokio::spawn(async move {
            while let Ok(stream) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut reader, mut writer) = stream.into_split();
                    let _ = tokio::io::copy(&mut reader, &mut writer).await;
                });
            }
        });
        let session = lab.session("honest", "STYLE=STREAM").await.0;
        let mut client = lab.client("3.2").await;
        let connect = format!("STREAM CONNECT ID=honest DESTINATION={host} TO_PORT=80");
        assert_eq!(client.ask(&connect).await, "STREAM STATUS RESULT=OK");
        Self {
            lab,
            proxy: proxy.expect("a proxy starts"),
            bob: bob.expect("a bridge starts"),
            control_socket,
            _dir: dir,
            _control: control.expect("free"),
            _session: session,
            stream: client.socket,
            host,
        }
    }

    /// The 99th percentile of what an honest program waits for, and of its requests to the control
    /// socket.
    async fn honest_percentiles(&mut self) -> (Duration, Duration) {
        let began = Instant::now();
        let (mut times, mut requests) = (Vec::new(), Vec::new());
        while began.elapsed() < DURATION {
            let sent = Instant::now();
            self.stream.write_all(&[7; 100]).await.expect("is open");
            self.stream
                .read_exact(&mut [0; 100])
                .await
                .expect("is open");
            times.push(sent.elapsed());
            let sent = Instant::now();
            let mut client = self.lab.client("3.2").await;
            assert_eq!(client.ask("PING 1").await, "PONG 1");
            times.push(sent.elapsed());
            let sent = Instant::now();
            self.connect().await;
            times.push(sent.elapsed());
            let sent = Instant::now();
            self.ask_for_status().await;
            requests.push(sent.elapsed());
            sleep(Duration::from_millis(10)).await;
        }
        (percentile(times), percentile(requests))
    }

    /// Opens a stream through the SOCKS proxy.
    async fn connect(&self) {
        let mut socket = TcpStream::connect(self.proxy.tcp_addrs()[0]).await;
        let socket = socket.as_mut().expect("it listens");
        let length = u8::try_from(self.host.len()).expect("fits");
        let request = [
            &[5, 1, 0, 5, 1, 0, 3, length],
            self.host.as_bytes(),
            &[0, 80],
        ]
        .concat();
        socket.write_all(&request).await.expect("is open");
        let mut answer = [0; 12];
        socket.read_exact(&mut answer).await.expect("is open");
        assert_eq!(answer[3], 0);
    }

    async fn ask_for_status(&self) {
        let limit = Duration::from_secs(20);
        let connecting = async {
            loop {
                match ControlClient::connect(&self.control_socket).await {
                    Ok(client) => return client,
                    // The system refuses while its queue of connections is full.
                    Err(_) => sleep(Duration::from_millis(1)).await,
                }
            }
        };
        let mut client = timeout(limit, connecting).await.expect("it listens");
        let answer = client.call("status", serde_json::Value::Null, limit).await;
        assert_eq!(answer.expect("an answer")["program"]["phase"], "running");
    }

    fn place(&self, at: At) -> Place {
        match at {
            At::Sam => Place::Tcp(self.lab.bridge.tcp_addrs()[0]),
            At::Tls => Place::Tcp(self.lab.bridge.tcp_addrs()[1]),
            At::Socks => Place::Tcp(self.proxy.tcp_addrs()[0]),
            At::Bob => Place::Tcp(self.bob.tcp_addrs()[0]),
            At::Control => Place::Unix(self.control_socket.clone()),
        }
    }
}

/// The 99th percentile.
fn percentile(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() * 99 / 100]
}

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// What a hostile socket sends.
#[derive(Debug, Clone, Copy)]
enum Attack {
    /// Nothing.
    Silence(usize),
    /// A part of a request.
    Half(usize, &'static [u8]),
    /// The same bytes without end, and reads nothing.
    Endless(usize, &'static [u8]),
    /// A whole request, again and again on new sockets.
    Repeated(usize, &'static [u8]),
}

#[derive(Debug, Clone, Copy)]
enum At {
    Sam,
    Tls,
    Socks,
    Bob,
    Control,
}

/// Where a hostile socket connects to.
#[derive(Debug, Clone)]
enum Place {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Socket for S {}

impl Place {
    async fn connect(&self) -> Box<dyn Socket> {
        match self {
            Self::Tcp(address) => Box::new(TcpStream::connect(address).await.expect("it listens")),
            Self::Unix(path) => Box::new(connect_unix(path).await),
        }
    }
}

/// Connects, also while the queue of the system is full.
async fn connect_unix(path: &Path) -> UnixStream {
    loop {
        match UnixStream::connect(path).await {
            Ok(socket) => return socket,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                sleep(Duration::from_millis(1)).await;
            }
            Err(error) => panic!("it listens: {error}"),
        }
    }
}

const ATTACKS: [(At, Attack); 28] = [
    (At::Sam, Attack::Silence(500)),
    (At::Sam, Attack::Half(200, b"HELLO VERSION MI")),
    (At::Sam, Attack::Endless(20, &[b'x'; 8192])),
    (
        At::Sam,
        Attack::Endless(20, b"HELLO VERSION\nNAMING LOOKUP NAME=nobody.i2p\n"),
    ),
    (
        At::Sam,
        Attack::Endless(20, b"HELLO VERSION\nDEST GENERATE\n"),
    ),
    (
        At::Sam,
        Attack::Repeated(40, b"HELLO VERSION USER=me PASSWORD=wrong\n"),
    ),
    (
        At::Sam,
        Attack::Half(
            100,
            b"HELLO VERSION\nRAW SEND DESTINATION=x SIZE=60000\nhalf",
        ),
    ),
    (
        At::Sam,
        Attack::Endless(
            20,
            b"HELLO VERSION MIN=1.0 MAX=2.0\nNAMING LOOKUP NAME=nobody.i2p\n",
        ),
    ),
    (
        At::Sam,
        Attack::Repeated(
            40,
            b"HELLO VERSION MIN=1.0 MAX=1.0\nSESSION CREATE STYLE=STREAM DESTINATION=TRANSIENT\n",
        ),
    ),
    (
        At::Sam,
        Attack::Half(
            40,
            b"HELLO VERSION MIN=2.0 MAX=2.0\nSESSION CREATE STYLE=RAW DESTINATION=TRANSIENT\n\
              RAW SEND DESTINATION=x SIZE=30000\nhalf",
        ),
    ),
    (
        At::Sam,
        Attack::Endless(
            20,
            b"HELLO VERSION MIN=2.0 MAX=2.0\nSESSION CREATE STYLE=STREAM DESTINATION=TRANSIENT\n\
              STREAM SEND ID=1 SIZE=4\nabcd",
        ),
    ),
    (At::Bob, Attack::Silence(500)),
    (At::Bob, Attack::Half(200, b"setnick a")),
    (At::Bob, Attack::Endless(20, &[b'x'; 8192])),
    (At::Bob, Attack::Endless(20, b"help\nlist\nshow\n")),
    (At::Bob, Attack::Endless(20, b"setnick a\nnewkeys\n")),
    (
        At::Bob,
        Attack::Repeated(100, b"setnick b\nnewkeys\nlookup nobody.i2p\nvisit\n"),
    ),
    (At::Tls, Attack::Silence(200)),
    (At::Tls, Attack::Endless(20, &[0x16; 4096])),
    (At::Socks, Attack::Half(200, b"\x05\xff\x00")),
    (At::Socks, Attack::Endless(20, b"\x04\x01\x00\x50")),
    (
        At::Socks,
        Attack::Repeated(100, b"\x05\x01\x00\x05\x01\x00\x03\x0anobody.i2p\x00\x50"),
    ),
    (At::Control, Attack::Silence(10_000)),
    (At::Control, Attack::Half(1_000, b"{\"id\":1,\"method\":\"")),
    (At::Control, Attack::Half(1_000, &[b'x'; 60_000])),
    (
        At::Control,
        Attack::Half(300, b"{\"id\":1,\"method\":\"watch\"}\n"),
    ),
    (
        At::Control,
        Attack::Endless(50, b"{\"id\":1,\"method\":\"status\"}\n"),
    ),
    (At::Control, Attack::Repeated(100, b"nonsense\n")),
];

/// Attacks from a thread of its own, because hostile programs do not run in the one of the bridge.
async fn attack(at: Place, attack: Attack) {
    let attacking = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime
            .expect("a runtime")
            .block_on(attack_here(at, attack));
    });
    attacking.await.expect("no panic");
}

async fn attack_here(at: Place, attack: Attack) {
    let (Attack::Silence(count)
    | Attack::Half(count, _)
    | Attack::Endless(count, _)
    | Attack::Repeated(count, _)) = attack;
    let mut tasks = tokio::task::JoinSet::new();
    // Both ends of each socket are in this process.
    for _ in 0..count.min(descriptors() / 2 - 1_000) {
        let at = at.clone();
        tasks.spawn(async move {
            let mut socket = at.connect().await;
            match attack {
                Attack::Silence(_) => {}
                Attack::Half(_, bytes) => {
                    let _ = socket.write_all(bytes).await;
                }
                Attack::Endless(_, bytes) => while socket.write_all(bytes).await.is_ok() {},
                Attack::Repeated(_, bytes) => loop {
                    let _ = socket.write_all(bytes).await;
                    let _ = socket.read(&mut [0; 1000]).await;
                    sleep(Duration::from_millis(50)).await;
                    socket = at.connect().await;
                },
            }
            std::future::pending::<()>().await;
        });
    }
    sleep(DURATION).await;
    tasks.shutdown().await;
}

/// Allows this process as many descriptors as it may have, and returns the number.
fn descriptors() -> usize {
    let allowed = getrlimit(Resource::Nofile);
    let limits = Rlimit {
        current: allowed.maximum,
        ..allowed
    };
    setrlimit(Resource::Nofile, limits).expect("up to the maximum");
    allowed.maximum.map_or(usize::MAX, |most| most as usize)
}

#[tokio::test]
async fn hostile_programs_cost_little_and_others_do_not_notice() {
    let mut world = World::new().await;
    let quiet = world.honest_percentiles().await;
    for (at, how) in ATTACKS {
        let name = format!("{at:?} {:.60}", format!("{how:?}"));
        let place = world.place(at);
        let cost = Cost::begin();
        let (during, ()) = tokio::join!(world.honest_percentiles(), attack(place, how));
        println!("{name}: {during:?}, quiet {quiet:?}");
        // Connections to the control socket wait in the queue of the system behind thousands of
        // hostile ones.
        let queue = match at {
            At::Control => QUEUE,
            _ => Duration::ZERO,
        };
        assert!(
            during.0 <= quiet.0 * 4 + NOISE && during.1 <= quiet.1 * 4 + NOISE + queue,
            "{name}: {during:?}, not {quiet:?}"
        );
        // Of the honest program, one control socket and one stream remain.
        let gone = async {
            while world.lab.bridge.stats().connections > 2
                || world.lab.bridge.stats().sessions > 1
                || world.bob.stats().connections > 0
            {
                sleep(Duration::from_millis(10)).await;
            }
        };
        let gone = timeout(Duration::from_secs(30), gone).await;
        let left = (world.lab.bridge.stats(), world.bob.stats());
        assert!(gone.is_ok(), "{name}: {left:?}");
        sleep(Duration::from_millis(200)).await;
        cost.check(&name, MEMORY);
    }
}

/// The time of one attack.
const DURATION: Duration = Duration::from_millis(1500);
/// The time in which the accept loop takes a full queue of the system, which has 4,096 connections.
const QUEUE: Duration = Duration::from_secs(3);
/// What a busy machine may add.
const NOISE: Duration = Duration::from_millis(600);
