//! A SAM client with a low cost compared with what it measures.

use std::{
    net::{Ipv4Addr, SocketAddr},
    process,
    sync::atomic::{AtomicU32, Ordering},
};

use eepkit_bench_common::{Failed, LIMIT, Outcome, RETRY};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpStream, UdpSocket},
    time::{Instant, sleep},
};

use crate::bridge::Place;

/// A SAM socket, and data that was read and not yet used.
pub(crate) type Socket = BufReader<TcpStream>;

/// A session. Dropping it ends it.
pub(crate) struct SamSession {
    at: Place,
    id: String,
    destination: String,
    _control: Socket,
}

/// The longest line in bytes. A SESSION STATUS with private keys is below 2 KiB.
const MAX_LINE: u64 = 8 * 1024;

impl SamSession {
    /// Creates a session of style STREAM with these options.
    pub(crate) async fn streams(at: Place, options: &str) -> Outcome<Self> {
        Self::create(at, "STREAM", options).await
    }

    /// Creates a session of style DATAGRAM whose datagrams are forwarded to a socket.
    pub(crate) async fn datagrams(at: Place, options: &str) -> Outcome<(Self, UdpSocket)> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = socket.local_addr()?.port();
        let options = format!("HOST=127.0.0.1 PORT={port} {options}");
        Ok((Self::create(at, "DATAGRAM", &options).await?, socket))
    }

    async fn create(at: Place, style: &str, options: &str) -> Outcome<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let id = format!("bench-{}-{number}", process::id());
        let mut control = hello(at.tcp).await?;
        let create = format!(
            "SESSION CREATE STYLE={style} ID={id} DESTINATION=TRANSIENT SIGNATURE_TYPE=7 {options}"
        );
        ok(&ask(&mut control, &create).await?)?;
        let reply = ask(&mut control, "NAMING LOOKUP NAME=ME").await?;
        let destination = value(&reply, "VALUE").ok_or(reply.as_str())?.to_owned();
        Ok(Self {
            at,
            id,
            destination,
            _control: control,
        })
    }

    pub(crate) fn destination(&self) -> &str {
        &self.destination
    }

    /// Opens a stream. Retries while the network has no lease set of the peer.
    pub(crate) async fn connect(&self, to: &str) -> Outcome<Socket> {
        let connect = format!(
            "STREAM CONNECT ID={} DESTINATION={to} SILENT=false",
            self.id
        );
        let deadline = Instant::now() + LIMIT;
        loop {
            let mut socket = hello(self.at.tcp).await?;
            let reply = ask(&mut socket, &connect).await?;
            match ok(&reply) {
                Ok(()) => return Ok(socket),
                Err(_) if reply.contains("CANT_REACH_PEER") && Instant::now() < deadline => {
                    sleep(RETRY).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Starts to wait for a stream. The accept is pending in the bridge when this returns.
    pub(crate) async fn accept(&self) -> Outcome<Accepting> {
        let mut socket = hello(self.at.tcp).await?;
        let accept = format!("STREAM ACCEPT ID={} SILENT=false", self.id);
        ok(&ask(&mut socket, &accept).await?)?;
        Ok(Accepting(socket))
    }

    /// Makes the bridge connect to a local port for each inbound stream, until the value is
    /// dropped.
    pub(crate) async fn forward(&self, port: u16) -> Outcome<Socket> {
        let mut socket = hello(self.at.tcp).await?;
        let forward = format!("STREAM FORWARD ID={} PORT={port} SILENT=true", self.id);
        ok(&ask(&mut socket, &forward).await?)?;
        Ok(socket)
    }

    /// Sends a datagram.
    pub(crate) async fn send(&self, from: &UdpSocket, to: &str, payload: &[u8]) -> Outcome<()> {
        let mut packet = format!("3.0 {} {to}\n", self.id).into_bytes();
        packet.extend_from_slice(payload);
        from.send_to(&packet, self.at.udp).await?;
        Ok(())
    }
}

/// A pending accept.
pub(crate) struct Accepting(Socket);

impl Accepting {
    pub(crate) async fn accepted(mut self) -> Outcome<Socket> {
        // The destination of the peer is not used.
        line(&mut self.0).await?;
        Ok(self.0)
    }
}

/// The payload of a datagram that a bridge forwarded.
pub(crate) fn payload(packet: &[u8]) -> Option<&[u8]> {
    let end = packet.iter().position(|byte| *byte == b'\n')?;
    packet.get(end + 1..)
}

async fn hello(at: SocketAddr) -> Outcome<Socket> {
    let socket = TcpStream::connect(at).await?;
    socket.set_nodelay(true)?;
    let mut socket = BufReader::new(socket);
    ok(&ask(&mut socket, "HELLO VERSION MIN=3.1 MAX=3.1").await?)?;
    Ok(socket)
}

async fn ask(socket: &mut Socket, command: &str) -> Outcome<String> {
    socket.write_all(format!("{command}\n").as_bytes()).await?;
    line(socket).await
}

async fn line(socket: &mut Socket) -> Outcome<String> {
    let mut line = String::new();
    socket.take(MAX_LINE).read_line(&mut line).await?;
    if !line.ends_with('\n') {
        return Err(format!("the bridge closed after {line:?}").into());
    }
    Ok(line)
}

fn ok(reply: &str) -> Result<(), Failed> {
    match value(reply, "RESULT") {
        Some("OK") => Ok(()),
        _ => Err(format!("the bridge answered {:?}", reply.trim_end()).into()),
    }
}

fn value<'a>(reply: &'a str, key: &str) -> Option<&'a str> {
    reply
        .split_ascii_whitespace()
        .find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
}
