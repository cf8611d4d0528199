//! The cost of the SAM bridge: the same transfers with and without it over a simulated network in
//! this process, and the rates of sessions, streams and datagrams through the bridge.
//!
//! Each figure is the best of several runs, because other programs disturb single runs. CPU time is
//! that of the whole process: both ends, the bridge twice, and the network.

#![expect(
    clippy::disallowed_methods,
    reason = "a benchmark measures how long things take"
)]
#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

use std::{
    fs, io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use eepkit::{Router, sim::SimNet};
use eepkit_services::sam::{SamBridge, SamConfig};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UdpSocket},
    runtime::Builder,
};

fn main() -> io::Result<()> {
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run())
}

async fn run() -> io::Result<()> {
    let net = SimNet::builder().start();
    let config = SamConfig::new()
        .listen(SocketAddr::from(([127, 0, 0, 1], 0)))
        .udp(SocketAddr::from(([127, 0, 0, 1], 0)))
        .configure(|config| config.max_sessions = 10_000);
    let bridge = SamBridge::start(Router::new(net.router()), config)
        .await
        .map_err(io::Error::other)?;
    let tcp = bridge.tcp_addrs()[0];
    let udp = bridge.udp_addrs()[0];

    let mut direct = Cost::WORST;
    let mut bridged = Cost::WORST;
    for _ in 0..RUNS {
        direct = direct.best(transfer_directly(&net).await?);
        bridged = bridged.best(transfer_through(tcp).await?);
    }
    direct.print("the library alone");
    bridged.print("through the bridge, at both ends");
    println!(
        "bridge / library: {:.0} percent of the rate",
        100.0 * bridged.rate() / direct.rate()
    );
    sessions(tcp).await?;
    streams(tcp).await?;
    accepts(tcp).await?;
    datagrams(tcp, udp).await?;
    bridge.stop().await;
    Ok(())
}

/// The cost of a transfer.
#[derive(Clone, Copy)]
struct Cost {
    wall: Duration,
    cpu: Duration,
}

impl Cost {
    const WORST: Self = Self {
        wall: Duration::MAX,
        cpu: Duration::MAX,
    };

    fn best(self, other: Self) -> Self {
        Self {
            wall: self.wall.min(other.wall),
            cpu: self.cpu.min(other.cpu),
        }
    }

    /// MiB per second.
    fn rate(self) -> f64 {
        MIB as f64 / self.wall.as_secs_f64()
    }

    fn print(self, what: &str) {
        println!(
            "{what}: {:.0} MiB/s, {:.2} ms of CPU time per MiB",
            self.rate(),
            self.cpu.as_secs_f64() * 1000.0 / MIB as f64
        );
    }
}

async fn transfer_directly(net: &SimNet) -> io::Result<Cost> {
    let router = Router::new(net.router());
    let server = router.session().open().await.map_err(io::Error::other)?;
    let client = router.session().open().await.map_err(io::Error::other)?;
    let listener = server.listen(0).map_err(io::Error::other)?;
    let (outgoing, incoming) =
        tokio::join!(client.connect(server.destination()), listener.accept());
    let outgoing = outgoing.map_err(io::Error::other)?;
    let incoming = incoming.map_err(io::Error::other)?;
    let cost = transfer(outgoing, incoming).await?;
    Ok(cost)
}

async fn transfer_through(tcp: SocketAddr) -> io::Result<Cost> {
    let (_server, destination) = session(tcp, "server", "STYLE=STREAM").await?;
    let (_client, _) = session(tcp, "client", "STYLE=STREAM").await?;
    let (outgoing, incoming) = stream(tcp, &destination).await?;
    transfer(outgoing, incoming).await
}

async fn transfer<W, R>(mut writer: W, mut reader: R) -> io::Result<Cost>
where
    W: tokio::io::AsyncWrite + Send + Unpin + 'static,
    R: tokio::io::AsyncRead + Unpin,
{
    let (began, cpu) = (Instant::now(), cpu_time());
    let writing = tokio::spawn(async move {
        let block = vec![7; 64 * 1024];
        for _ in 0..MIB * 16 {
            writer.write_all(&block).await?;
        }
        writer.shutdown().await?;
        // Keeps the stream open until the other side has received everything.
        io::Result::Ok(writer)
    });
    let mut buffer = vec![0; 64 * 1024];
    let mut left = MIB << 20;
    while left > 0 {
        let count = reader.read(&mut buffer).await?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        left = left.saturating_sub(count);
    }
    let cost = Cost {
        wall: began.elapsed(),
        cpu: cpu_time().saturating_sub(cpu),
    };
    drop(writing.await.map_err(io::Error::other)??);
    Ok(cost)
}

async fn sessions(tcp: SocketAddr) -> io::Result<()> {
    let began = Instant::now();
    let mut held = Vec::new();
    for number in 0..200 {
        held.push(session(tcp, &format!("s{number}"), "STYLE=STREAM").await?);
    }
    per_second("sessions opened", held.len(), began);
    Ok(())
}

async fn streams(tcp: SocketAddr) -> io::Result<()> {
    let (_server, destination) = session(tcp, "server", "STYLE=STREAM").await?;
    let (_client, _) = session(tcp, "client", "STYLE=STREAM").await?;
    let began = Instant::now();
    let mut workers = Vec::new();
    for _ in 0..16 {
        let destination = destination.clone();
        workers.push(tokio::spawn(async move {
            for _ in 0..50 {
                stream(tcp, &destination).await?;
            }
            io::Result::Ok(())
        }));
    }
    let count = workers.len() * 50;
    for worker in workers {
        worker.await.map_err(io::Error::other)??;
    }
    per_second("streams opened, 16 at a time", count, began);
    Ok(())
}

async fn accepts(tcp: SocketAddr) -> io::Result<()> {
    let (_server, _) = session(tcp, "server", "STYLE=STREAM").await?;
    let before = resident();
    let mut held = Vec::new();
    for _ in 0..1000 {
        let mut socket = greeted(tcp).await?;
        ask(&mut socket, "STREAM ACCEPT ID=server").await?;
        held.push(socket);
    }
    let grown = resident().saturating_sub(before);
    println!(
        "{} idle accepts: {:.1} KiB each, with the client's end",
        held.len(),
        grown as f64 / held.len() as f64
    );
    Ok(())
}

async fn datagrams(tcp: SocketAddr, udp: SocketAddr) -> io::Result<()> {
    let receiver = UdpSocket::bind("127.0.0.1:0").await?;
    let port = receiver.local_addr()?.port();
    let (_a, _) = session(tcp, "from", "STYLE=RAW").await?;
    let (_b, destination) = session(tcp, "to", &format!("STYLE=RAW PORT={port}")).await?;
    let packet = format!("3.0 from {destination}\n{}", "x".repeat(1024)).into_bytes();
    let began = Instant::now();
    let mut count = 0;
    let mut buffer = vec![0; 2048];
    while began.elapsed() < Duration::from_secs(2) {
        // In small groups, so that no queue overflows.
        for _ in 0..8 {
            receiver.send_to(&packet, udp).await?;
        }
        for _ in 0..8 {
            let received = receiver.recv_from(&mut buffer);
            if tokio::time::timeout(Duration::from_millis(200), received)
                .await
                .is_ok()
            {
                count += 1;
            }
        }
    }
    per_second("raw datagrams of 1 KiB, there and forwarded", count, began);
    Ok(())
}

async fn session(tcp: SocketAddr, id: &str, rest: &str) -> io::Result<(TcpStream, String)> {
    let mut socket = greeted(tcp).await?;
    // The session of the previous run may still be closing.
    loop {
        let create = format!("SESSION CREATE {rest} ID={id} DESTINATION=TRANSIENT");
        let reply = ask(&mut socket, &create).await?;
        if reply.starts_with("SESSION STATUS RESULT=OK") {
            break;
        }
        if !reply.contains("DUPLICATED_ID") {
            return Err(io::Error::other(reply));
        }
    }
    let reply = ask(&mut socket, "NAMING LOOKUP NAME=ME").await?;
    let destination = reply
        .split_once("VALUE=")
        .map(|(_, value)| value.to_owned());
    Ok((socket, destination.ok_or_else(|| io::Error::other(reply))?))
}

/// Opens a stream from the session `client` to the session `server`, whose destination is given.
async fn stream(tcp: SocketAddr, destination: &str) -> io::Result<(TcpStream, TcpStream)> {
    let mut accepting = greeted(tcp).await?;
    ask(&mut accepting, "STREAM ACCEPT ID=server").await?;
    let mut connecting = greeted(tcp).await?;
    let connect = format!("STREAM CONNECT ID=client DESTINATION={destination}");
    let reply = ask(&mut connecting, &connect).await?;
    if reply != "STREAM STATUS RESULT=OK" {
        return Err(io::Error::other(reply));
    }
    line(&mut accepting).await?;
    Ok((connecting, accepting))
}

async fn greeted(tcp: SocketAddr) -> io::Result<TcpStream> {
    let mut socket = TcpStream::connect(tcp).await?;
    socket.set_nodelay(true)?;
    ask(&mut socket, "HELLO VERSION MIN=3.1 MAX=3.1").await?;
    Ok(socket)
}

async fn ask(socket: &mut TcpStream, command: &str) -> io::Result<String> {
    socket.write_all(format!("{command}\n").as_bytes()).await?;
    line(socket).await
}

async fn line(socket: &mut TcpStream) -> io::Result<String> {
    let mut line = Vec::new();
    loop {
        match socket.read_u8().await? {
            b'\n' => return String::from_utf8(line).map_err(io::Error::other),
            byte => line.push(byte),
        }
    }
}

fn per_second(what: &str, count: usize, began: Instant) {
    let rate = count as f64 / began.elapsed().as_secs_f64();
    println!("{what}: {rate:.0} per second");
}

/// CPU time of this process, if the system reports it.
fn cpu_time() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The program name may contain spaces. It ends with the last parenthesis.
    let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
    let ticks: u64 = fields
        .split(' ')
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    Duration::from_millis(ticks * 10)
}

/// Memory of this process in KiB, if the system reports it.
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

/// The size of a transfer, in MiB.
const MIB: usize = 64;

const RUNS: usize = 3;
