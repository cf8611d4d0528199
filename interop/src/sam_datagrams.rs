//! Minimal SAM sessions for the datagrams of another router.
//!
//! Like [`SamSession`](crate::SamSession), this shares no code with eepkit.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    time::{Instant, timeout_at},
};

use crate::sam::{expect_ok, next_id, read_line, refused, sam_command, value};

/// The longest datagram that a router delivers, including its header, in bytes.
const MAX_DATAGRAM: usize = 64 * 1024;

/// A SAM session of one of the datagram styles, with a new destination.
#[derive(Debug)]
pub struct SamDatagrams {
    id: String,
    style: String,
    destination: String,
    control: TcpStream,
    /// Our socket and the router's address, for datagrams over UDP.
    udp: Option<(UdpSocket, SocketAddr)>,
}

/// A datagram that a SAM bridge delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SamDatagram {
    /// The sender in base64. `None` in raw datagrams.
    pub from: Option<String>,
    /// The payload.
    pub payload: Vec<u8>,
}

impl SamDatagrams {
    /// Creates a session of `style` (`RAW`, `DATAGRAM`, ...). `options` are the rest of the
    /// command.
    ///
    /// Datagrams are sent over UDP if the router's UDP address is given. Otherwise they are sent
    /// over the socket of the session, which not every router supports.
    ///
    /// # Errors
    ///
    /// The router's answer, and `TimedOut` when there is none before `limit`.
    pub async fn create(
        at: SocketAddr,
        udp: Option<SocketAddr>,
        style: &str,
        options: &str,
        limit: Duration,
    ) -> io::Result<Self> {
        let id = next_id();
        let (udp, forward) = match udp {
            None => (None, String::new()),
            Some(router) => {
                let socket = UdpSocket::bind("127.0.0.1:0").await?;
                let port = socket.local_addr()?.port();
                let forward = format!("HOST=127.0.0.1 PORT={port}");
                (Some((socket, router)), forward)
            }
        };
        let create = format!(
            "SESSION CREATE STYLE={style} ID={id} DESTINATION=TRANSIENT {options} {forward}"
        );
        let open = async {
            let (mut control, reply) = sam_command(at, &create).await?;
            expect_ok(&reply)?;
            control.write_all(b"NAMING LOOKUP NAME=ME\n").await?;
            let reply = read_line(&mut control).await?;
            let destination = value(&reply, "VALUE").ok_or_else(|| refused(&reply))?;
            Ok(Self {
                id,
                style: style.to_owned(),
                destination: destination.to_owned(),
                control,
                udp,
            })
        };
        timeout_at(Instant::now() + limit, open)
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// The destination in I2P's base64.
    pub fn destination(&self) -> &str {
        &self.destination
    }

    /// Sends a datagram to a destination in base64.
    ///
    /// # Errors
    ///
    /// The error of the socket.
    pub async fn send(&mut self, to: &str, payload: &[u8]) -> io::Result<()> {
        if let Some((socket, router)) = &self.udp {
            let mut packet = format!("3.0 {} {to}\n", self.id).into_bytes();
            packet.extend_from_slice(payload);
            socket.send_to(&packet, router).await?;
            return Ok(());
        }
        let verb = if self.style == "RAW" {
            "RAW"
        } else {
            "DATAGRAM"
        };
        let (id, len) = (&self.id, payload.len());
        let mut command = format!("{verb} SEND ID={id} DESTINATION={to} SIZE={len}\n").into_bytes();
        command.extend_from_slice(payload);
        self.control.write_all(&command).await
    }

    /// Waits for a datagram.
    ///
    /// # Errors
    ///
    /// `TimedOut` when no datagram arrives before `limit`, or the error of the socket.
    pub async fn receive(&mut self, limit: Duration) -> io::Result<SamDatagram> {
        timeout_at(Instant::now() + limit, self.next())
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    async fn next(&mut self) -> io::Result<SamDatagram> {
        let raw = self.style == "RAW";
        if let Some((socket, _)) = &self.udp {
            let mut packet = vec![0; MAX_DATAGRAM];
            let len = socket.recv(&mut packet).await?;
            packet.truncate(len);
            if raw {
                return Ok(SamDatagram {
                    from: None,
                    payload: packet,
                });
            }
            let end = packet.iter().position(|byte| *byte == b'\n');
            let end = end.ok_or_else(|| io::Error::other("a datagram without a header"))?;
            let header = String::from_utf8_lossy(&packet[..end]).into_owned();
            // The line contains the ports after the destination.
            let from = header.split(' ').next().unwrap_or_default().to_owned();
            return Ok(SamDatagram {
                from: Some(from),
                payload: packet[end + 1..].to_vec(),
            });
        }
        let header = read_line(&mut self.control).await?;
        let len = value(&header, "SIZE")
            .and_then(|len| len.parse().ok())
            .filter(|len| *len <= MAX_DATAGRAM)
            .ok_or_else(|| refused(&header))?;
        let mut payload = vec![0; len];
        self.control.read_exact(&mut payload).await?;
        let from = value(&header, "DESTINATION").map(str::to_owned);
        Ok(SamDatagram { from, payload })
    }
}
