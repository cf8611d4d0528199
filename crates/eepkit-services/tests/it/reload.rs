//! Reloads of a configuration while tunnels carry traffic.

use std::{net::SocketAddr, path::Path, time::Duration};

use eepkit::{Router, sim::SimNet};
use eepkit_services::{
    Action, Services,
    options::File,
    read_plans,
    service::{Context, State},
};
use eepkit_wire::Hash;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UdpSocket},
    time::{sleep, timeout},
};

/// A program with services on a simulated network.
struct Program {
    _net: SimNet,
    services: Services,
    directory: tempfile::TempDir,
}

impl Program {
    fn new() -> Self {
        let net = SimNet::builder().delay(Duration::from_millis(20)).start();
        let services = Services::new(Context::new(Router::new(net.i2cp_router())));
        Self {
            _net: net,
            services,
            directory: tempfile::tempdir().expect("a directory"),
        }
    }

    /// Applies a configuration file as a reload does. The error has the line.
    async fn reload(&self, text: &str) -> Result<Vec<(String, Action)>, String> {
        let plans = File::parse(text, self.directory.path())
            .and_then(|file| read_plans(&file))
            .map_err(|error| error.to_string())?;
        let applied = self.services.try_apply(plans).await;
        let applied = applied.map_err(|error| {
            let line = error.line.expect("a line");
            format!("line {line}: {}", error.cause.in_full())
        })?;
        Ok(applied
            .iter()
            .map(|one| {
                assert!(one.result.is_ok(), "{one:?}");
                (one.service.name().to_owned(), one.action)
            })
            .collect())
    }

    /// The address on I2P of a service.
    fn i2p(&self, kind: &str, name: &str) -> String {
        let service = self.services.find(kind, name).expect(name);
        service.addresses().i2p[0].clone()
    }

    fn is_running(&self, kind: &str, name: &str) -> bool {
        let service = self.services.find(kind, name);
        service.is_some_and(|service| service.state() == State::Running)
    }
}

/// A free port of 127.0.0.1.
fn port(is_udp: bool) -> SocketAddr {
    match is_udp {
        true => std::net::UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()),
        false => std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()),
    }
    .expect("a port")
}

/// A server that sends back what it receives.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut reader, mut writer) = socket.split();
                let _ = tokio::io::copy(&mut reader, &mut writer).await;
                let _ = writer.shutdown().await;
            });
        }
    });
    address
}

async fn udp_echo() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let address = socket.local_addr().expect("bound");
    tokio::spawn(async move {
        let mut buffer = vec![0; 65_535];
        while let Ok((count, from)) = socket.recv_from(&mut buffer).await {
            let _ = socket.send_to(&buffer[..count], from).await;
        }
    });
    address
}

/// Sends a line over TCP until it comes back.
async fn tcp_works(address: SocketAddr) {
    let asking = async {
        loop {
            let answer = async {
                let mut socket = TcpStream::connect(address).await?;
                socket.write_all(b"NICK me\r\n").await?;
                let mut answer = [0; 9];
                socket.read_exact(&mut answer).await?;
                Ok::<_, std::io::Error>(answer)
            };
            match answer.await {
                Ok(answer) => return assert_eq!(&answer, b"NICK me\r\n"),
                // The other end may not be online yet.
                Err(_) => sleep(Duration::from_secs(1)).await,
            }
        }
    };
    timeout(Duration::from_secs(300), asking)
        .await
        .expect("it works");
}

async fn udp_works(address: SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    socket.connect(address).await.expect("connects");
    let mut buffer = [0; 16];
    for _ in 0..60 {
        // The tunnel may not be there yet.
        let _ = socket.send(b"hello").await;
        let received = timeout(Duration::from_secs(2), socket.recv(&mut buffer)).await;
        if let Ok(Ok(count)) = received {
            return assert_eq!(&buffer[..count], b"hello");
        }
        sleep(Duration::from_millis(200)).await;
    }
    panic!("no answer");
}

/// A section of a file, and the kind and the name of its service.
struct Section {
    text: String,
    kind: &'static str,
    name: &'static str,
}

fn section(kind: &'static str, name: &'static str, keys: &str) -> Section {
    let hops = "options = { \"inbound.length\" = 1, \"outbound.length\" = 1 }";
    Section {
        text: format!("[[{kind}]]\nname = \"{name}\"\n{keys}\n{hops}\n"),
        kind,
        name,
    }
}

const NO_SAM: &str = "[sam]\nenabled = false\n";

fn file<'a>(sections: impl IntoIterator<Item = &'a Section>) -> String {
    let texts = sections.into_iter().map(|section| section.text.as_str());
    format!("{NO_SAM}{}", texts.collect::<String>())
}

#[tokio::test(start_paused = true)]
async fn two_hundred_reloads_do_not_disturb_the_tunnels_that_stay() {
    let program = Program::new();
    let (sink, stays) = (
        TcpListener::bind("127.0.0.1:0").await.expect("a port"),
        port(false),
    );
    let target = sink.local_addr().expect("bound");
    let server = section(
        "server-tunnel",
        "stays",
        &format!("target = \"{target}\"\nkeys = \"stays.dat\""),
    );
    program.reload(&file([&server])).await.expect("starts");
    let address = program.i2p("server-tunnel", "stays");
    let client = section(
        "client-tunnel",
        "stays-too",
        &format!("listen = \"{stays}\"\ndestination = \"{address}\""),
    );
    // One tunnel of each kind comes and goes.
    let (tcp, udp) = (echo().await, udp_echo().await);
    let servers = [
        section(
            "server-tunnel",
            "server",
            &format!("target = \"{tcp}\"\nkeys = \"server.dat\""),
        ),
        section(
            "irc-server",
            "ircd",
            &format!("target = \"{tcp}\"\nkeys = \"ircd.dat\""),
        ),
        section(
            "udp-server",
            "udpd",
            &format!("target = \"{udp}\"\nport = 53\nkeys = \"udpd.dat\""),
        ),
        section(
            "streamr-server",
            "radio",
            &format!("listen = \"{}\"\nkeys = \"radio.dat\"", port(true)),
        ),
    ];
    program
        .reload(&file([&server, &client].into_iter().chain(&servers)))
        .await
        .expect("starts");
    let of = |kind, name| program.i2p(kind, name);
    let ports = [port(false), port(false), port(true), port(true)];
    let clients = [
        section(
            "client-tunnel",
            "client",
            &format!(
                "listen = \"{}\"\ndestination = \"{}\"",
                ports[0],
                of("server-tunnel", "server")
            ),
        ),
        section(
            "irc-client",
            "irc",
            &format!(
                "listen = \"{}\"\ndestination = \"{}\"",
                ports[1],
                of("irc-server", "ircd")
            ),
        ),
        section(
            "udp-client",
            "udp",
            &format!(
                "listen = \"{}\"\ndestination = \"{}\"",
                ports[2],
                of("udp-server", "udpd")
            ),
        ),
        section(
            "streamr-client",
            "listener",
            &format!(
                "target = \"{}\"\ndestination = \"{}\"",
                ports[3],
                of("streamr-server", "radio")
            ),
        ),
        section("socks", "proxy", &format!("listen = \"{}\"", port(false))),
        section(
            "http-proxy",
            "web",
            &format!("listen = \"{}\"", port(false)),
        ),
    ];
    let moving: Vec<&Section> = servers.iter().chain(&clients).collect();
    let all = || [&server, &client].into_iter().chain(moving.iter().copied());
    program.reload(&file(all())).await.expect("starts");

    // The transfer runs for as long as the reloads.
    let (stop, mut stopped) = tokio::sync::watch::channel(false);
    let sending = tokio::spawn(async move {
        let mut socket = TcpStream::connect(stays).await.expect("it listens");
        let mut sent = Vec::new();
        for number in 0_u32.. {
            let block: Vec<u8> = (0..4096_u32)
                .map(|at| (at * 31 + number * 17) as u8)
                .collect();
            socket.write_all(&block).await.expect("no reset");
            sent.extend(block);
            if *stopped.borrow_and_update() {
                break;
            }
            sleep(Duration::from_millis(20)).await;
        }
        socket.shutdown().await.expect("no reset");
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).await.expect("no reset");
        assert_eq!(answer, b"thank you");
        (sent.len(), Hash::of(&sent))
    });
    let receiving = tokio::spawn(async move {
        let (mut socket, _) = sink.accept().await.expect("a peer");
        let mut received = Vec::new();
        socket.read_to_end(&mut received).await.expect("no reset");
        socket.write_all(b"thank you").await.expect("no reset");
        socket.shutdown().await.expect("no reset");
        (received.len(), Hash::of(&received))
    });

    for number in 0..200 {
        // So that the transfer goes on between reloads, too.
        sleep(Duration::from_millis(100)).await;
        let gone = moving[number / 2 % moving.len()];
        let text = match number % 2 {
            0 => file(all().filter(|one| one.name != gone.name)),
            _ => file(all()),
        };
        let applied = program.reload(&text).await.expect("is applied");
        let changed: Vec<_> = applied
            .iter()
            .filter(|(_, action)| *action != Action::Kept)
            .collect();
        let action = match number % 2 {
            0 => Action::Stopped,
            _ => Action::Started,
        };
        assert_eq!(
            changed,
            [&(gone.name.to_owned(), action)],
            "reload {number}"
        );
        assert_eq!(program.is_running(gone.kind, gone.name), number % 2 == 1);
        if number % 20 == 10 {
            // An error of the text, one of a check, and one of the start: nothing changes.
            let before = program.services.list().len();
            let broken = format!("{text}[[client-tunnel]]\nlisten = 3\n");
            let line = broken.lines().count();
            let error = program.reload(&broken).await.expect_err("is broken");
            assert!(
                error.starts_with(&format!("line {line}: listen takes")),
                "{error}"
            );
            let key = program.directory.path().join("broken.dat");
            std::fs::write(&key, "no key").expect("written");
            let broken = format!(
                "{text}[[server-tunnel]]\nname = \"x\"\ntarget = \"{tcp}\"\nkeys = \"broken.dat\"\n"
            );
            let error = program.reload(&broken).await.expect_err("is broken");
            let line = text.lines().count() + 1;
            assert!(error.starts_with(&format!("line {line}: ")), "{error}");
            let broken = format!(
                "{text}[[client-tunnel]]\nname = \"x\"\nlisten = \"{tcp}\"\ndestination = \"{address}\"\n"
            );
            let error = program
                .reload(&broken)
                .await
                .expect_err("the port is taken");
            assert!(
                error.starts_with(&format!("line {line}: cannot listen on ")),
                "{error}"
            );
            assert_eq!(program.services.list().len(), before);
            assert!(program.is_running("client-tunnel", "stays-too"));
        }
    }

    stop.send(true).expect("it still runs");
    let limit = Duration::from_secs(600);
    let sent = timeout(limit, sending)
        .await
        .expect("ends")
        .expect("no reset");
    let received = timeout(limit, receiving)
        .await
        .expect("ends")
        .expect("no reset");
    assert_eq!(sent, received);
    assert!(sent.0 > 4096 * 100, "{} bytes", sent.0);
    // Every kind works after it was removed and added ten times.
    tcp_works(ports[0]).await;
    irc_works(ports[1]).await;
    udp_works(ports[2]).await;
    radio_works(&program, ports[3]).await;
    program.services.stop().await;
}

/// The IRC server is one that sends back what it receives, so only a registration passes both ways.
async fn irc_works(address: SocketAddr) {
    let asking = async {
        loop {
            let answer = async {
                let mut socket = TcpStream::connect(address).await?;
                socket
                    .write_all(b"NICK me\r\nUSER a b c :d\r\nNICK you\r\n")
                    .await?;
                let mut answer = [0; 9];
                socket.read_exact(&mut answer).await?;
                Ok::<_, std::io::Error>(answer)
            };
            match answer.await {
                Ok(answer) => return assert_eq!(&answer, b"NICK me\r\n"),
                Err(_) => sleep(Duration::from_secs(1)).await,
            }
        }
    };
    timeout(Duration::from_secs(300), asking)
        .await
        .expect("it works");
}

async fn radio_works(program: &Program, target: SocketAddr) {
    let listener = UdpSocket::bind(target).await.expect("free");
    let radio = program
        .services
        .find("streamr-server", "radio")
        .expect("it runs");
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    socket
        .connect(radio.addresses().udp[0])
        .await
        .expect("connects");
    let mut buffer = [0; 16];
    for _ in 0..60 {
        socket.send(b"music").await.expect("sends");
        let received = timeout(Duration::from_secs(2), listener.recv(&mut buffer)).await;
        if let Ok(Ok(count)) = received {
            return assert_eq!(&buffer[..count], b"music");
        }
    }
    panic!("no datagram of the stream");
}

#[test]
fn the_directory_of_a_configuration_is_that_of_its_files() {
    let plans = File::parse(
        "[[udp-server]]\ntarget = \"127.0.0.1:1\"\nkeys = \"a.dat\"\n",
        Path::new("/x"),
    )
    .and_then(|file| read_plans(&file))
    .expect("valid");
    assert!(format!("{plans:?}").contains("/x/a.dat"));
}
