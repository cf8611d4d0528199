//! Tests of the older bridges: SAM 1 and 2 with a program that uses sockets only, BOB with txi2p, and
//! our client of BOB with i2pd's bridge.
//!
//! Our bridges are on a simulated network, which opens sessions at once. So the tests take seconds.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use eepkit::{PrivateKeys, Router, SignatureType, sim::SimNet};
use eepkit_bob::client::{Keys, Setup, SetupEvent, Wanted};
use eepkit_interop::{I2pdNet, Peer, Txi2p, free_port, python3};
use eepkit_services::{
    bob::{BobBridge, BobConfig},
    sam::{SamBridge, SamConfig},
};
use libtest_mimic::{Failed, Trial};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    net::{TcpListener, TcpStream},
    process::{Child, ChildStdout, Command},
    time::{Instant, sleep_until, timeout},
};

use crate::{
    lab::{Lab, Outcome, STEP_LIMIT, noise, same, say},
    net::{Net, OURS, THEIRS},
};

pub(crate) fn add(lab: &Arc<Lab>, trials: &mut Vec<Trial>) {
    let no_python = Txi2p::python().err();
    lab.add_client(
        trials,
        "older::a_program_of_sam_1_and_2_chats_and_fetches_a_file",
        no_python,
        |_| a_program_of_sam_1_and_2_chats_and_fetches_a_file(),
    );
    let no_pip = Txi2p::prerequisites().err();
    lab.add_client(
        trials,
        "older::txi2p_reaches_itself_over_bob",
        no_pip,
        txi2p_reaches_itself_over_bob,
    );
    let no_i2pd = I2pdNet::prerequisites()
        .err()
        .map(|error| error.to_string());
    lab.add_client(
        trials,
        "older::our_client_sets_up_tunnels_at_i2pd",
        no_i2pd,
        |_| our_client_sets_up_tunnels_at_i2pd(),
    );
    lab.add(
        trials,
        &[Peer::I2pd],
        "tunnels_of_our_bob_client_carry_bytes",
        |lab, _| tunnels_of_our_bob_client_carry_bytes(lab),
    );
}

/// A running program.
struct Running {
    /// Killed when this value is dropped.
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    fn start(command: std::process::Command) -> Result<Self, Failed> {
        let mut child = Command::from(command)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdout = child.stdout.take().ok_or("its output is piped")?;
        let lines = BufReader::new(stdout).lines();
        Ok(Self { child, lines })
    }

    /// Returns the next line of its output.
    async fn line(&mut self) -> Result<String, Failed> {
        let line = timeout(STEP_LIMIT, self.lines.next_line()).await??;
        Ok(line.ok_or("the program ended")?)
    }

    /// Waits until the program ends.
    async fn end(mut self) -> Outcome {
        let status = timeout(STEP_LIMIT, self.child.wait()).await??;
        same("the program ended well", status.success(), true)
    }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// The program `clients/older/sam.py` on both sides, in every combination of versions.
async fn a_program_of_sam_1_and_2_chats_and_fetches_a_file() -> Outcome {
    let net = SimNet::builder().delay(Duration::from_millis(5)).start();
    let config = SamConfig::new()
        .listen(loopback(0))
        .without_udp()
        .older_versions();
    let bridge = SamBridge::start(Router::new(net.i2cp_router()), config).await?;
    let sam = bridge.tcp_addrs()[0];
    let dir = tempfile::tempdir()?;
    let content = noise(1, 700_000);
    let file = dir.path().join("file");
    std::fs::write(&file, &content)?;
    let program = |version: &str, role: &str, peer: &str, path: &Path| {
        let mut command = python3();
        command
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/clients/older/sam.py"))
            .args([&sam.ip().to_string(), &sam.port().to_string()])
            .args([version, role, peer])
            .arg(path);
        Running::start(command)
    };
    for server in ["1.0", "2.0"] {
        let mut serving = program(server, "serve", "chat", &file)?;
        let destination = serving.line().await?;
        for client in ["1.0", "2.0"] {
            let fetched = dir.path().join(format!("{server}-{client}"));
            let mut fetching = program(client, "fetch", &destination, &fetched)?;
            same("the answer", fetching.line().await?.as_str(), "HELLO")?;
            same("the end", fetching.line().await?.as_str(), "done")?;
            fetching.end().await?;
            let is_same = std::fs::read(&fetched)? == content;
            same(&format!("the file, {server} to {client}"), is_same, true)?;
        }
    }
    bridge.stop().await;
    same("sessions", bridge.stats().sessions, 0)
}

/// A server and a client of txi2p, with one tunnel each.
async fn txi2p_reaches_itself_over_bob(lab: Arc<Lab>) -> Outcome {
    let fetch = || Txi2p::fetch(Path::new(env!("CARGO_TARGET_TMPDIR")));
    let txi2p = match tokio::task::spawn_blocking(fetch).await? {
        Ok(txi2p) => txi2p,
        Err(why) if lab.is_required() => return Err(why.into()),
        Err(why) => {
            say(&format!(
                "SKIP: older::txi2p_reaches_itself_over_bob: {why}"
            ));
            return Ok(());
        }
    };
    let net = SimNet::builder().delay(Duration::from_millis(5)).start();
    let mut config = BobConfig::new().listen([loopback(0)]);
    // txi2p reads only keys whose base64 has no padding.
    config = config.signature_type(SignatureType::DSA_SHA1);
    let bridge = BobBridge::start(Router::new(net.i2cp_router()), config).await?;
    let bob = bridge.tcp_addrs()[0].port();
    let dir = tempfile::tempdir()?;
    let keys = dir.path().join("keys");
    let program = async |role: &str, what: &str| -> Result<(Running, String), Failed> {
        let local = free_port(Ipv4Addr::LOCALHOST)?;
        let mut command = txi2p.program("pingpong.py");
        command.args([&bob.to_string(), role, what, &local.to_string()]);
        let mut running = Running::start(command)?;
        let line = timeout(STEP_LIMIT, running.line()).await??;
        match line.strip_prefix("failed ") {
            None => Ok((running, line)),
            Some(why) => Err(format!("the {role} failed: {why}").into()),
        }
    };
    let key_file = keys.to_str().ok_or("a path")?;
    let mut destinations = Vec::new();
    // The second server uses the keys of the first, and finds its tunnel.
    for _ in 0..2 {
        let (mut server, destination) = program("server", key_file).await?;
        for _ in 0..2 {
            let (mut client, me) = program("client", &destination).await?;
            let from = server.line().await?;
            let me = me.strip_prefix("me ").ok_or("the client is connected")?;
            same("the peer", from.strip_prefix("from "), Some(me))?;
            same("the answer", client.line().await?.as_str(), "PONG PING")?;
            client.end().await?;
        }
        destinations.push(destination);
    }
    destinations.dedup();
    same("destinations", destinations.len(), 1)?;
    bridge.stop().await;
    same("sessions", bridge.stats().active, 0)
}

/// Drives a procedure of the client until it returns an event.
async fn drive(setup: &mut Setup, socket: &mut TcpStream) -> Result<SetupEvent, Failed> {
    let mut buffer = [0; 4096];
    loop {
        let wake = match setup.poll_output() {
            SetupEvent::Transmit(text) => {
                socket.write_all(text.as_bytes()).await?;
                continue;
            }
            SetupEvent::Timeout(wake) => wake,
            event => return Ok(event),
        };
        let wake = wake.map_or_else(|| Instant::now() + STEP_LIMIT, Instant::from);
        tokio::select! {
            read = socket.read(&mut buffer) => match read? {
                0 => setup.handle_end(Instant::now().into_std()),
                count => setup.handle_bytes(
                    Instant::now().into_std(),
                    buffer.get(..count).unwrap_or_default(),
                ),
            },
            () = sleep_until(wake) => setup.handle_timeout(Instant::now().into_std()),
        }
    }
}

/// Sets up, finds again and removes tunnels at the BOB of one i2pd, which needs no network for it.
async fn our_client_sets_up_tunnels_at_i2pd() -> Outcome {
    let net = I2pdNet::start(1).await.map_err(|error| error.to_string())?;
    let router = &net.routers()[0];
    let generate = |kind| PrivateKeys::generate(kind, &mut rand::rng());
    for keys in [
        Keys::New(None),
        Keys::New(Some(SignatureType::ECDSA_SHA256_P256)),
        Keys::Given(Box::new(generate(SignatureType::ED25519)?)),
        Keys::Given(Box::new(generate(SignatureType::ECDSA_SHA256_P256)?)),
    ] {
        let mut wanted = Wanted::new("eepkit")?;
        wanted.keys = keys.clone();
        wanted.inbound = Some(("127.0.0.1".to_owned(), free_port(Ipv4Addr::LOCALHOST)?));
        wanted.outbound = Some(("127.0.0.1".to_owned(), free_port(Ipv4Addr::LOCALHOST)?));
        wanted.quiet = true;
        wanted.options = vec![("inbound.length".to_owned(), "1".to_owned())];
        let mut setups = Vec::new();
        // With given keys, the second run finds the tunnel of the first.
        let runs = if let Keys::Given(_) = &keys { 2 } else { 1 };
        for _ in 0..runs {
            let mut socket = TcpStream::connect(router.bob()).await?;
            let now = Instant::now().into_std();
            let mut setup = Setup::new(wanted.clone(), rand::random(), now);
            match timeout(STEP_LIMIT, drive(&mut setup, &mut socket)).await?? {
                SetupEvent::Running(destination) => {
                    let own = setup.keys().ok_or("it has keys")?;
                    same("the destination", &destination, own.destination())?;
                }
                other => return Err(format!("{keys:?}: {other:?}").into()),
            }
            same("the nickname", setup.nickname().as_str(), "eepkit")?;
            setups.push((setup, socket));
        }
        let (mut setup, mut socket) = setups.pop().ok_or("a run")?;
        setup.remove();
        let event = timeout(STEP_LIMIT, drive(&mut setup, &mut socket)).await??;
        same("the end", event, SetupEvent::Removed)?;
    }
    Ok(())
}

/// Sets up a tunnel with new keys at a router's BOB, and returns its destination.
async fn set_up(bob: SocketAddr, mut wanted: Wanted) -> Result<String, Failed> {
    wanted.quiet = true;
    let length = |direction: &str| (format!("{direction}.length"), "1".to_owned());
    wanted.options = vec![length("inbound"), length("outbound")];
    let mut socket = TcpStream::connect(bob).await?;
    let mut setup = Setup::new(wanted, rand::random(), Instant::now().into_std());
    match timeout(STEP_LIMIT, drive(&mut setup, &mut socket)).await?? {
        SetupEvent::Running(destination) => Ok(destination.to_base64()),
        other => Err(format!("{other:?}").into()),
    }
}

/// A program connects through a tunnel of one router to a server behind a tunnel of another.
async fn tunnels_of_our_bob_client_carry_bytes(lab: Arc<Lab>) -> Outcome {
    let Net::I2pd(net) = lab.net(Peer::I2pd).await? else {
        return Err("it is a network of i2pd".into());
    };
    let server = TcpListener::bind(loopback(0)).await?;
    let local = |port: u16| Some((Ipv4Addr::LOCALHOST.to_string(), port));
    let mut wanted = Wanted::new("server")?;
    wanted.outbound = local(server.local_addr()?.port());
    let destination = set_up(net.routers()[THEIRS].bob(), wanted).await?;
    let port = free_port(Ipv4Addr::LOCALHOST)?;
    let mut wanted = Wanted::new("client")?;
    wanted.inbound = local(port);
    set_up(net.routers()[OURS].bob(), wanted).await?;
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = server.accept().await {
            tokio::spawn(async move {
                let (mut reader, mut writer) = socket.split();
                let _ = tokio::io::copy(&mut reader, &mut writer).await;
            });
        }
    });

    let data = noise(3, 100_000);
    let until = Instant::now() + STEP_LIMIT;
    // i2pd closes the connection if it does not find the destination, which is new.
    loop {
        let exchange = async {
            let mut socket = TcpStream::connect(loopback(port)).await?;
            socket
                .write_all(format!("{destination}\n").as_bytes())
                .await?;
            let (mut reader, mut writer) = socket.split();
            let mut answer = vec![0; data.len()];
            tokio::try_join!(writer.write_all(&data), reader.read_exact(&mut answer))?;
            Ok::<_, std::io::Error>(answer)
        };
        match timeout(STEP_LIMIT, exchange).await? {
            Ok(answer) => return same("the answer", answer == data, true),
            Err(error) if Instant::now() > until => return Err(error.into()),
            Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
        }
    }
}
