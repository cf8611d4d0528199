//! The BOB bridge: programs that set up tunnels, and use them.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    time::Duration,
};

use eepkit::{Preset, PrivateKeys, Router, Session, SignatureType, sim::SimNet};
use eepkit_bob::client::{Keys, Setup, SetupError, SetupEvent, Wanted};
use eepkit_services::bob::{BobBridge, BobConfig, BobStats};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::{Instant, sleep, sleep_until, timeout},
};

use crate::lab::{Client, LOOPBACK, pattern};

struct Lab {
    net: SimNet,
    bridge: BobBridge,
}

impl Lab {
    async fn new() -> Self {
        Self::with(|config| config).await
    }

    async fn with(change: impl FnOnce(BobConfig) -> BobConfig) -> Self {
        let net = SimNet::builder().delay(Duration::from_millis(50)).start();
        let bridge = bridge(&net, change).await;
        Self { net, bridge }
    }

    /// A connection that has read the greeting.
    async fn client(&self) -> Client {
        let at = self.bridge.tcp_addrs()[0];
        let socket = TcpStream::connect(at).await.expect("it listens");
        socket.set_nodelay(true).expect("can be set");
        let mut client = Client { socket };
        assert_eq!(client.line().await, "BOB 00.00.10");
        assert_eq!(client.line().await, "OK");
        client
    }

    /// A session beside the bridge.
    async fn peer(&self) -> Session {
        let router = Router::new(self.net.router());
        let session = router.session().preset(Preset::Test).open().await;
        session.expect("a session opens")
    }

    async fn settles(&self, wanted: impl Fn(&BobStats) -> bool) {
        let settled = timeout(Duration::from_secs(60), async {
            while !wanted(&self.bridge.stats()) {
                sleep(Duration::from_millis(10)).await;
            }
        });
        if settled.await.is_err() {
            panic!("the bridge still holds {:?}", self.bridge.stats());
        }
    }
}

async fn bridge(net: &SimNet, change: impl FnOnce(BobConfig) -> BobConfig) -> BobBridge {
    let router = Router::new(net.i2cp_router());
    let config = BobConfig::new()
        .listen([LOOPBACK.parse().expect("an address")])
        .option("inbound.length", 1)
        .option("outbound.length", 1);
    let bridge = BobBridge::start(router, change(config)).await;
    bridge.expect("a bridge starts")
}

/// Waits until the tunnel has this state, such as `RUNNING`.
async fn is(client: &mut Client, nick: &str, state: &str) {
    let wanted = format!(" {state}: true");
    for _ in 0..600 {
        let status = client.ask(&format!("status {nick}")).await;
        let is_idle = !["STARTING", "RUNNING", "STOPPING"]
            .iter()
            .any(|state| status.contains(&format!(" {state}: true")));
        if status.contains(&wanted) && !status.contains("STARTING: true")
            || (state == "IDLE" && is_idle)
        {
            return;
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("{nick} does not become {state}");
}

/// A port that is free, and that no outgoing connection takes: Linux begins those at 32,768.
async fn free_port() -> u16 {
    loop {
        let port = rand::random_range(12_000..32_000);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.is_ok() {
            return port;
        }
    }
}

async fn asks(client: &mut Client, dialogue: &[(&str, &str)]) {
    for (line, answer) in dialogue {
        assert_eq!(client.ask(line).await, *answer, "{line}");
    }
}

/// Creates and starts a tunnel to a local server. Returns its destination.
async fn serve(client: &mut Client, nick: &str, port: u16, quiet: bool) -> String {
    let set = format!("OK Nickname set to {nick}");
    assert_eq!(client.ask(&format!("setnick {nick}")).await, set);
    let keys = client.ask("newkeys").await;
    let destination = keys.strip_prefix("OK ").expect("keys").to_owned();
    if quiet {
        assert_eq!(client.ask("quiet True").await, "OK Quiet set");
    }
    let outport = format!("outport {port}");
    assert_eq!(client.ask(&outport).await, "OK outbound port set");
    assert_eq!(client.ask("start").await, "OK tunnel starting");
    is(client, nick, "RUNNING").await;
    destination
}

/// Creates and starts a tunnel for local programs. Returns its port.
async fn listen(client: &mut Client, nick: &str) -> u16 {
    let set = format!("OK Nickname set to {nick}");
    assert_eq!(client.ask(&format!("setnick {nick}")).await, set);
    assert!(client.ask("newkeys").await.starts_with("OK "));
    let port = free_port().await;
    let inport = format!("inport {port}");
    assert_eq!(client.ask(&inport).await, "OK inbound port set");
    assert_eq!(client.ask("start").await, "OK tunnel starting");
    is(client, nick, "RUNNING").await;
    port
}

async fn connect(port: u16, first_line: &str) -> Client {
    let at = SocketAddr::from(([127, 0, 0, 1], port));
    let socket = TcpStream::connect(at).await.expect("it listens");
    socket.set_nodelay(true).expect("can be set");
    let mut client = Client { socket };
    client.say(first_line).await;
    client
}

#[tokio::test(start_paused = true)]
async fn the_session_of_the_specification_works() {
    let lab = Lab::new().await;
    let server = TcpListener::bind(LOOPBACK).await.expect("a port");
    let port = server.local_addr().expect("bound").port();
    let mut control = lab.client().await;
    let mouth = serve(&mut control, "mouth", port, false).await;
    let in_port = listen(&mut control, "ear").await;
    let ear = control.ask("getdest").await;
    assert_eq!(control.ask("quit").await, "OK Bye!");
    assert_eq!(control.rest().await, b"");
    // The tunnels outlive the connection.
    let mut program = connect(in_port, &mouth).await;
    program.write(b"hello").await;
    let (socket, _) = server.accept().await.expect("it comes");
    let mut served = Client { socket };
    assert_eq!(format!("OK {}", served.line().await), ear);
    assert_eq!(served.exactly(5).await, b"hello");
    served.write(b"and you").await;
    assert_eq!(program.exactly(7).await, b"and you");
    served.socket.shutdown().await.expect("half closed");
    assert_eq!(program.rest().await, b"");
    drop((program, served));
    // Cleaning up.
    let mut control = lab.client().await;
    for nick in ["mouth", "ear"] {
        let get = format!("getnick {nick}");
        let set = format!("OK Nickname set to {nick}");
        asks(
            &mut control,
            &[(&get, &set), ("stop", "OK tunnel stopping")],
        )
        .await;
        is(&mut control, nick, "IDLE").await;
        assert_eq!(control.ask("clear").await, "OK cleared");
    }
    assert_eq!(control.ask("list").await, "OK Listing done");
    lab.settles(|stats| stats.active == 0 && stats.tunnels == 0)
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_quiet_tunnel_sends_no_line() {
    let lab = Lab::new().await;
    let server = TcpListener::bind(LOOPBACK).await.expect("a port");
    let port = server.local_addr().expect("bound").port();
    let mut control = lab.client().await;
    let destination = serve(&mut control, "web", port, true).await;
    let peer = lab.peer().await;
    let destination: eepkit::Destination = destination.parse().expect("a destination");
    let (stream, accepted) = tokio::join!(peer.connect(&destination), server.accept());
    let mut stream = stream.expect("it is reached");
    let (mut socket, _) = accepted.expect("it comes");
    let data = pattern(300_000);
    let writing = async {
        stream.write_all(&data).await.expect("it leaves");
        stream.shutdown().await.expect("it ends");
    };
    let mut read = Vec::new();
    let (_, all) = tokio::join!(writing, socket.read_to_end(&mut read));
    all.expect("it arrives");
    assert!(read == data);
}

#[tokio::test(start_paused = true)]
async fn failures_are_told_to_the_program() {
    let lab = Lab::new().await;
    let mut control = lab.client().await;
    let port = listen(&mut control, "ear").await;
    for (line, start) in [
        (
            "GET / HTTP/1.0",
            "ERROR the first line must be a destination",
        ),
        ("nobody.i2p", "ERROR "),
    ] {
        let mut program = connect(port, line).await;
        let answer = String::from_utf8(program.rest().await).expect("text");
        assert!(answer.starts_with(start), "{answer}");
        assert!(answer.ends_with("\r\n"), "{answer}");
    }
    // One that sends nothing is closed, and so is one that sends too much.
    let mut silent = connect(port, &"x".repeat(20_000)).await;
    let answer = String::from_utf8(silent.rest().await).expect("text");
    assert!(
        answer.starts_with("ERROR the first line is longer"),
        "{answer}"
    );
    let mut silent = TcpStream::connect(("127.0.0.1", port))
        .await
        .expect("it listens");
    let mut rest = Vec::new();
    silent.read_to_end(&mut rest).await.expect("the end");
    assert_eq!(rest, b"");
}

#[tokio::test(start_paused = true)]
async fn names_are_looked_up() {
    let lab = Lab::new().await;
    let mut control = lab.client().await;
    let peer = lab.peer().await;
    let destination = peer.destination().to_base64();
    let by_address = format!("lookup {}", peer.destination().to_b32());
    assert_eq!(control.ask(&by_address).await, format!("OK {destination}"));
    asks(
        &mut control,
        &[
            ("lookup nobody.i2p", "ERROR Address Not found."),
            ("verify AAAA", "ERROR not in BASE64 format"),
            (&format!("verify {destination}"), "OK"),
        ],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_port_in_use_is_reported_at_once() {
    let lab = Lab::new().await;
    let taken = TcpListener::bind(LOOPBACK).await.expect("a port");
    let port = taken.local_addr().expect("bound").port();
    let mut control = lab.client().await;
    control.ask("setnick a").await;
    control.ask("newkeys").await;
    control.ask(&format!("inport {port}")).await;
    let answer = control.ask("start").await;
    assert!(answer.starts_with("ERROR starting tunnel: "), "{answer}");
    is(&mut control, "a", "IDLE").await;
    // An invalid option, too.
    control.ask(&format!("inport {}", free_port().await)).await;
    assert_eq!(
        control.ask("option inbound.length=many").await,
        "OK inbound.length set to many"
    );
    let answer = control.ask("start").await;
    assert!(answer.starts_with("ERROR starting tunnel: "), "{answer}");
    assert!(answer.contains("inbound.length"), "{answer}");
    assert_eq!(lab.bridge.stats().active, 0);
}

#[tokio::test(start_paused = true)]
async fn tunnels_are_saved_and_run_again() {
    let dir = tempfile::tempdir().expect("can be created");
    let file = dir.path().join("bob.state");
    let with_state = |file: &Path| {
        let file = file.to_owned();
        move |config: BobConfig| config.state(file)
    };
    let lab = Lab::with(with_state(&file)).await;
    let mut control = lab.client().await;
    let server = TcpListener::bind(LOOPBACK).await.expect("a port");
    let port = server.local_addr().expect("bound").port();
    let destination = serve(&mut control, "web", port, true).await;
    let in_port = listen(&mut control, "ear").await;
    asks(&mut control, &[("setnick idle", "OK Nickname set to idle")]).await;
    sleep(Duration::from_secs(1)).await;
    assert!(
        eepkit_files_mode(&file).is_none(),
        "only the owner can read it"
    );
    lab.bridge.stop().await;
    // Another bridge has the same tunnels.
    let lab = Lab {
        bridge: bridge(&lab.net, with_state(&file)).await,
        net: lab.net,
    };
    let mut control = lab.client().await;
    for nick in ["web", "ear"] {
        is(&mut control, nick, "RUNNING").await;
    }
    is(&mut control, "idle", "IDLE").await;
    control.ask("getnick web").await;
    assert_eq!(control.ask("getdest").await, format!("OK {destination}"));
    let mut program = connect(in_port, &destination).await;
    program.write(b"hello").await;
    let (socket, _) = server.accept().await.expect("it comes");
    assert_eq!(Client { socket }.exactly(5).await, b"hello");
    // A stopped tunnel stays stopped.
    assert_eq!(control.ask("stop").await, "OK tunnel stopping");
    is(&mut control, "web", "IDLE").await;
    lab.bridge.stop().await;
    let lab = Lab {
        bridge: bridge(&lab.net, with_state(&file)).await,
        net: lab.net,
    };
    let mut control = lab.client().await;
    is(&mut control, "ear", "RUNNING").await;
    is(&mut control, "web", "IDLE").await;
    // A damaged file is refused.
    lab.bridge.stop().await;
    std::fs::write(&file, "tunnel.0.nickname=a\ntunnel.0.keys=x\n").expect("can be written");
    let router = Router::new(lab.net.i2cp_router());
    let config = BobConfig::new().listen([LOOPBACK.parse().expect("an address")]);
    let error = BobBridge::start(router, config.state(&file)).await;
    let error = error.expect_err("it is damaged").to_string();
    assert!(error.ends_with("tunnel.0.keys is invalid"), "{error}");
}

/// The mode of a file that users other than the owner can read.
fn eepkit_files_mode(file: &Path) -> Option<u32> {
    eepkit_files::mode_open_to_others(file)
}

#[tokio::test(start_paused = true)]
async fn keys_of_every_type_work() {
    let lab = Lab::new().await;
    let mut control = lab.client().await;
    let peer = lab.peer().await;
    for kind in [
        SignatureType::DSA_SHA1,
        SignatureType::ECDSA_SHA256_P256,
        SignatureType::ECDSA_SHA512_P521,
        SignatureType::ED25519,
        SignatureType::REDDSA,
    ] {
        let server = TcpListener::bind(LOOPBACK).await.expect("a port");
        let port = server.local_addr().expect("bound").port();
        let keys = PrivateKeys::generate(kind, &mut rand::rng()).expect("can be made");
        let nick = format!("k{}", kind.0);
        control.ask(&format!("setnick {nick}")).await;
        let set = format!("setkeys {}", keys.to_base64().as_str());
        let destination = format!("OK {}", keys.destination().to_base64());
        assert_eq!(control.ask(&set).await, destination, "{kind}");
        control.ask(&format!("outport {port}")).await;
        assert_eq!(control.ask("start").await, "OK tunnel starting");
        is(&mut control, &nick, "RUNNING").await;
        let connecting = peer.connect(keys.destination());
        let (stream, accepted) = tokio::join!(connecting, server.accept());
        let _stream = stream.expect("it is reached");
        let (socket, _) = accepted.expect("it comes");
        let line = Client { socket }.line().await;
        assert_eq!(line, peer.destination().to_base64());
    }
}

#[tokio::test(start_paused = true)]
async fn zap_stops_the_tunnels_and_the_bridge() {
    let lab = Lab::new().await;
    let mut control = lab.client().await;
    let port = listen(&mut control, "ear").await;
    assert_eq!(control.ask("zap").await, "OK Bye!");
    let limit = Duration::from_secs(30);
    timeout(limit, lab.bridge.zapped()).await.expect("zapped");
    lab.settles(|stats| stats.active == 0 && stats.tasks == 0)
        .await;
    assert!(TcpStream::connect(("127.0.0.1", port)).await.is_err());
    assert!(TcpStream::connect(lab.bridge.tcp_addrs()[0]).await.is_err());
    // It can be turned off.
    let lab = Lab::with(BobConfig::without_zap).await;
    let mut control = lab.client().await;
    assert_eq!(control.ask("zap").await, "OK Bye!");
    lab.client().await;
}

#[tokio::test(start_paused = true)]
async fn limits_are_errors_and_others_stay() {
    let lab = Lab::with(|config| config.max(2, 2)).await;
    let mut first = lab.client().await;
    for nick in ["a", "b"] {
        first.ask(&format!("setnick {nick}")).await;
        first.ask("newkeys").await;
    }
    let answer = first.ask("setnick c").await;
    let expected = "ERROR the bridge has 2 tunnels, the most that its option max_tunnels allows";
    assert_eq!(answer, expected);
    let _second = lab.client().await;
    let at = lab.bridge.tcp_addrs()[0];
    let socket = TcpStream::connect(at).await.expect("it listens");
    let line = Client { socket }.line().await;
    assert!(
        line.starts_with("ERROR the bridge has the most connections"),
        "{line}"
    );
    assert_eq!(first.ask("list").await.split(' ').next(), Some("DATA"));
}

#[tokio::test(start_paused = true)]
async fn clients_that_are_killed_leave_only_their_tunnels() {
    let lab = Lab::new().await;
    let steps = [
        "setnick killed",
        "newkeys",
        "inport 0",
        "lookup nobody.i2p",
        "option a=b",
        "getkeys",
        "start",
    ];
    for end in 0..=steps.len() {
        for pause in [0, 50] {
            let mut client = lab.client().await;
            for step in steps.iter().take(end) {
                client.say(step).await;
                sleep(Duration::from_millis(pause)).await;
            }
            client.socket.set_zero_linger().expect("can be set");
            drop(client);
        }
    }
    lab.settles(|stats| stats.connections == 0 && stats.active == 0 && stats.tunnels <= 1)
        .await;
    // Connections of programs end with the tunnel.
    let mut control = lab.client().await;
    let port = listen(&mut control, "ear").await;
    let mut program = connect(port, "nobody").await;
    program.rest().await;
    let peer = lab.peer().await;
    let listener = peer.listen(0).expect("it is free");
    let mut program = connect(port, &peer.destination().to_base64()).await;
    let mut stream = listener.accept().await.expect("it comes");
    stream.write_all(b"hello").await.expect("it leaves");
    assert_eq!(program.exactly(5).await, b"hello");
    assert_eq!(control.ask("stop").await, "OK tunnel stopping");
    program.rest().await;
    is(&mut control, "ear", "IDLE").await;
    lab.bridge.stop().await;
    assert_eq!(lab.bridge.stats().tasks, 0);
}

/// Drives a procedure of the client until it returns an event.
async fn drive(setup: &mut Setup, socket: &mut TcpStream) -> SetupEvent {
    let mut buffer = [0; 4096];
    loop {
        let wake = match setup.poll_output() {
            SetupEvent::Transmit(text) => {
                socket.write_all(text.as_bytes()).await.expect("it reads");
                continue;
            }
            SetupEvent::Timeout(wake) => wake,
            event => return event,
        };
        let wake = wake.map_or_else(|| Instant::now() + Duration::from_secs(600), Instant::from);
        tokio::select! {
            read = socket.read(&mut buffer) => {
                let now = Instant::now().into_std();
                match read.expect("it is open") {
                    0 => setup.handle_end(now),
                    count => setup.handle_bytes(now, &buffer[..count]),
                }
            }
            () = sleep_until(wake) => setup.handle_timeout(Instant::now().into_std()),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_client_brings_a_tunnel_online_finds_it_again_and_removes_it() {
    let lab = Lab::new().await;
    let server = TcpListener::bind(LOOPBACK).await.expect("a port");
    let port = server.local_addr().expect("bound").port();
    let keys = PrivateKeys::generate(SignatureType::ED25519, &mut rand::rng());
    let keys = keys.expect("can be made");
    let mut wanted = Wanted::new("chat").expect("a nickname");
    wanted.keys = Keys::Given(Box::new(keys.clone()));
    wanted.outbound = Some(("127.0.0.1".to_owned(), port));
    wanted.options = vec![("inbound.length".to_owned(), "1".to_owned())];
    let at = lab.bridge.tcp_addrs()[0];
    let mut sockets = Vec::new();
    for _ in 0..2 {
        let mut socket = TcpStream::connect(at).await.expect("it listens");
        let now = Instant::now().into_std();
        let mut setup = Setup::new(wanted.clone(), rand::random(), now);
        let event = drive(&mut setup, &mut socket).await;
        assert_eq!(event, SetupEvent::Running(keys.destination().clone()));
        sockets.push((setup, socket));
    }
    assert_eq!(lab.bridge.stats().tunnels, 1);
    let (mut setup, mut socket) = sockets.pop().expect("two");
    setup.remove();
    assert_eq!(drive(&mut setup, &mut socket).await, SetupEvent::Removed);
    assert_eq!(lab.bridge.stats().tunnels, 0);
    // A program gets the reason of a failure.
    let mut wanted = Wanted::new("chat").expect("a nickname");
    wanted.outbound = Some(("192.0.2.1".to_owned(), port));
    let mut socket = TcpStream::connect(at).await.expect("it listens");
    let mut setup = Setup::new(wanted, rand::random(), Instant::now().into_std());
    let SetupEvent::Failed(SetupError::Refused { why, .. }) = drive(&mut setup, &mut socket).await
    else {
        panic!("it is refused");
    };
    assert_eq!(why, "the host must be a loopback address here");
}
