//! Hostile programs: what they cost, and what other programs notice.
//!
//! While sockets misbehave, an honest program exchanges small messages over a stream of the SAM
//! bridge and connects through the SOCKS proxy. The test compares its 99th percentile with that of
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

use std::{net::SocketAddr, sync::Arc, time::Duration};

use eepkit::{Preset, Router};
use eepkit_services::{
    socks::{SocksConfig, SocksProxy},
    users::Users,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, sleep, timeout},
};
use tokio_rustls::rustls::{ServerConfig, pki_types::PrivateKeyDer};

use cost::{Cost, MEMORY};
use lab::{Client, Lab};

struct World {
    lab: Lab,
    proxy: SocksProxy,
    _control: Client,
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
            config.users(users)
        })
        .await;
        let router = Router::new(lab.net.i2cp_router());
        let config = SocksConfig::new().listen([loopback()]);
        let proxy = SocksProxy::start(router.clone(), config).await;

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
        let control = lab.session("honest", "STYLE=STREAM").await.0;
        let mut client = lab.client("3.2").await;
        let connect = format!("STREAM CONNECT ID=honest DESTINATION={host} TO_PORT=80");
        assert_eq!(client.ask(&connect).await, "STREAM STATUS RESULT=OK");
        Self {
            lab,
            proxy: proxy.expect("a proxy starts"),
            _control: control,
            stream: client.socket,
            host,
        }
    }

    /// The 99th percentile of what an honest program waits for.
    async fn honest_percentile(&mut self) -> Duration {
        let began = Instant::now();
        let mut times = Vec::new();
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
            sleep(Duration::from_millis(10)).await;
        }
        times.sort_unstable();
        times[times.len() * 99 / 100]
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

    fn sam(&self) -> SocketAddr {
        self.lab.bridge.tcp_addrs()[0]
    }

    fn tls(&self) -> SocketAddr {
        self.lab.bridge.tcp_addrs()[1]
    }

    fn socks(&self) -> SocketAddr {
        self.proxy.tcp_addrs()[0]
    }
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
}

const ATTACKS: [(At, Attack); 12] = [
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
    (At::Tls, Attack::Silence(200)),
    (At::Tls, Attack::Endless(20, &[0x16; 4096])),
    (At::Socks, Attack::Half(200, b"\x05\xff\x00")),
    (At::Socks, Attack::Endless(20, b"\x04\x01\x00\x50")),
    (
        At::Socks,
        Attack::Repeated(100, b"\x05\x01\x00\x05\x01\x00\x03\x0anobody.i2p\x00\x50"),
    ),
];

async fn attack(at: SocketAddr, attack: Attack) {
    let (Attack::Silence(count)
    | Attack::Half(count, _)
    | Attack::Endless(count, _)
    | Attack::Repeated(count, _)) = attack;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..count {
        tasks.spawn(async move {
            let mut socket = TcpStream::connect(at).await.expect("it listens");
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
                    socket = TcpStream::connect(at).await.expect("it listens");
                },
            }
            std::future::pending::<()>().await;
        });
    }
    sleep(DURATION).await;
    tasks.shutdown().await;
}

#[tokio::test]
async fn hostile_programs_cost_little_and_others_do_not_notice() {
    let mut world = World::new().await;
    let quiet = world.honest_percentile().await;
    for (at, how) in ATTACKS {
        let name = format!("{at:?} {:.60}", format!("{how:?}"));
        let address = match at {
            At::Sam => world.sam(),
            At::Tls => world.tls(),
            At::Socks => world.socks(),
        };
        let cost = Cost::begin();
        let (during, ()) = tokio::join!(world.honest_percentile(), attack(address, how));
        println!("{name}: {during:?}, quiet {quiet:?}");
        assert!(
            during <= quiet * 4 + NOISE,
            "{name}: {during:?}, not {quiet:?}"
        );
        // Of the honest program, one control socket and one stream remain.
        let gone = async {
            while world.lab.bridge.stats().connections > 2 {
                sleep(Duration::from_millis(10)).await;
            }
        };
        let gone = timeout(Duration::from_secs(30), gone).await;
        assert!(gone.is_ok(), "{name}: {:?}", world.lab.bridge.stats());
        sleep(Duration::from_millis(200)).await;
        cost.check(&name, MEMORY);
    }
}

/// The time of one attack.
const DURATION: Duration = Duration::from_millis(1500);
/// What a busy machine may add.
const NOISE: Duration = Duration::from_millis(200);
