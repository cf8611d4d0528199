//! Datagrams: a subsession or a session for each format.

use std::{collections::VecDeque, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use eepkit_link::{
    Event, LinkError,
    streams::{DatagramFormat, IncomingDatagram, OutgoingDatagram, Sender},
};
use eepkit_sam::{
    DEFAULT_RAW_PROTOCOL, Received, SendHeader, SendOptions, Sender as SamSender, Style, Version,
    client::{
        Answer, Create, Event as SamEvent, Keys, Request, RequestError, SendDatagram,
        SessionOptions,
    },
};
use eepkit_wire::PrivateKeys;
use tokio::{net::UdpSocket, sync::mpsc, time::Instant};
use tracing::trace;

use super::{
    connection::{Conn, Dialer},
    streams::ANSWER_TIMEOUT,
};

/// The channel to the bridge for datagrams of one format.
#[derive(Debug)]
pub(super) enum Port {
    /// The session is being opened. Datagrams wait, and the oldest is dropped when the queue is
    /// full.
    Opening(VecDeque<OutgoingDatagram>),
    /// A subsession, over UDP.
    Udp {
        id: String,
        socket: Arc<UdpSocket>,
        bridge: SocketAddr,
        version: Version,
    },
    /// A separate session, over its own connection.
    Own(mpsc::Sender<OutgoingDatagram>),
    /// The bridge refused the session.
    Refused,
}

impl Port {
    pub(super) fn opening() -> Self {
        Self::Opening(VecDeque::new())
    }

    /// Sends or queues a datagram. Returns whether it will be sent.
    pub(super) fn send(&mut self, datagram: OutgoingDatagram) -> bool {
        if datagram.deadline <= Instant::now() {
            return false;
        }
        match self {
            Self::Opening(waiting) => {
                if waiting.len() == MAX_WAITING {
                    waiting.pop_front();
                }
                waiting.push_back(datagram);
                true
            }
            Self::Udp {
                id,
                socket,
                bridge,
                version,
            } => {
                let header = SendHeader {
                    version: *version,
                    id: id.clone(),
                    to: datagram.to.to_base64(),
                    options: send_options(&datagram, *version),
                };
                let packet = header.to_packet(&datagram.payload);
                socket.try_send_to(&packet, *bridge).is_ok()
            }
            Self::Own(session) => session.try_send(datagram).is_ok(),
            Self::Refused => false,
        }
    }
}

/// The options of one datagram that differ from those of its session.
fn send_options(datagram: &OutgoingDatagram, version: Version) -> SendOptions {
    if !version.has_ports() {
        return SendOptions::default();
    }
    let mut options = SendOptions {
        from_port: Some(datagram.from_port),
        to_port: Some(datagram.to_port),
        protocol: (datagram.format == DatagramFormat::Raw).then_some(datagram.protocol),
        ..SendOptions::default()
    };
    if version >= Version::V3_3 {
        let left = datagram
            .deadline
            .saturating_duration_since(Instant::now())
            .as_secs()
            .max(1);
        options.expires = Some(Duration::from_secs(left));
        options.send_tags = datagram.options.tags_to_send.map(Into::into);
        options.tag_threshold = datagram.options.tag_threshold.map(Into::into);
        options.send_lease_set = datagram.options.omit_lease_set.then_some(false);
    }
    options
}

/// Reports the datagrams that the bridge forwards to a socket, for one format, or on emissary for
/// all formats.
pub(super) async fn receive(
    socket: Arc<UdpSocket>,
    bridge: SocketAddr,
    format: Option<DatagramFormat>,
    events: mpsc::Sender<Event>,
) {
    let mut buffer = vec![0; MAX_PACKET];
    loop {
        let Ok((len, from)) = socket.recv_from(&mut buffer).await else {
            // The error belongs to an earlier packet that was not accepted. The next packet may be
            // valid.
            tokio::task::yield_now().await;
            continue;
        };
        if from.ip() != bridge.ip() {
            trace!("a packet that is not from the bridge");
            continue;
        }
        let packet = Bytes::copy_from_slice(buffer.get(..len).unwrap_or_default());
        let datagram = match format {
            Some(format) => match Received::from_packet(style(format), true, &packet) {
                Ok(received) => incoming(format, received),
                Err(error) => {
                    trace!(%error, "a packet that is no datagram");
                    None
                }
            },
            None => Some(of_emissary(packet)),
        };
        let Some(datagram) = datagram else {
            continue;
        };
        if events.send(Event::Datagram(datagram)).await.is_err() {
            return;
        }
    }
}

/// A session for one format, with the keys of the STREAM session.
pub(super) struct OwnSession {
    pub(super) dialer: Dialer,
    pub(super) id: String,
    pub(super) format: DatagramFormat,
    pub(super) keys: Arc<PrivateKeys>,
    pub(super) options: SessionOptions,
    pub(super) events: mpsc::Sender<Event>,
    pub(super) outgoing: mpsc::Receiver<OutgoingDatagram>,
}

/// The reason for the end of a session for one format.
pub(super) enum OwnEnd {
    /// The bridge refused to open the session.
    Refused(String),
    /// The open session ended, or the bridge could not be reached.
    Lost(String),
}

impl OwnSession {
    /// Runs the session until it ends, and returns the reason.
    pub(super) async fn run(mut self) -> OwnEnd {
        let mut conn = match self.create().await {
            Ok(conn) => conn,
            Err(LinkError::Refused(why)) => return OwnEnd::Refused(why),
            Err(error) => return OwnEnd::Lost(error.to_string()),
        };
        loop {
            let event = tokio::select! {
                event = conn.next() => event,
                datagram = self.outgoing.recv() => match datagram {
                    Some(datagram) => {
                        self.send(&mut conn, &datagram);
                        continue;
                    }
                    None => return OwnEnd::Lost("it was closed".to_owned()),
                },
            };
            match event {
                SamEvent::Datagram(received) => {
                    let Some(datagram) = incoming(self.format, received) else {
                        continue;
                    };
                    if self.events.send(Event::Datagram(datagram)).await.is_err() {
                        return OwnEnd::Lost("it was closed".to_owned());
                    }
                }
                SamEvent::Closed(why) => return OwnEnd::Lost(why.to_string()),
                _ => {}
            }
        }
    }

    async fn create(&self) -> Result<Conn, LinkError> {
        let mut conn = self.dialer.dial().await?;
        let mut create = Create::new(
            self.id.clone(),
            style(self.format),
            Keys::Given(Box::new((*self.keys).clone())),
        );
        create.options.clone_from(&self.options);
        match conn.ask(Request::Create(create), CREATE_TIMEOUT).await {
            Ok(Answer::Created { .. }) => Ok(conn),
            Ok(_) => Err(LinkError::Refused("an unexpected answer".to_owned())),
            Err(error) => Err(LinkError::Refused(error.to_string())),
        }
    }

    fn send(&self, conn: &mut Conn, datagram: &OutgoingDatagram) {
        let sent = conn.send_datagram(&SendDatagram {
            style: style(self.format),
            to: datagram.to.to_base64(),
            options: send_options(datagram, conn.version),
            payload: datagram.payload.clone(),
        });
        if let Err(error) = sent {
            trace!(%error, "a datagram was not sent");
        }
    }
}

fn incoming(format: DatagramFormat, received: Received) -> Option<IncomingDatagram> {
    let sender = match (format, received.sender) {
        (DatagramFormat::Raw, _) => Sender::Unknown,
        (DatagramFormat::Datagram3, SamSender::Claimed(hash)) => Sender::Claimed(hash),
        // The format does not prove the sender, even if the bridge reports it as verified.
        (DatagramFormat::Datagram3, SamSender::Verified(destination)) => {
            Sender::Claimed(destination.hash())
        }
        (_, SamSender::Verified(destination)) => Sender::Verified(destination),
        _ => return None,
    };
    let protocol = style(format).protocol().unwrap_or(received.protocol);
    Some(IncomingDatagram {
        format,
        sender,
        protocol,
        from_port: received.from_port,
        to_port: received.to_port,
        payload: received.payload,
    })
}

/// Decodes a packet of emissary. A signed datagram is a line with the sender, followed by the
/// payload. A raw datagram is only the payload. A raw datagram that begins with such a line is
/// indistinguishable from a signed one, so the sender is not proven.
fn of_emissary(packet: Bytes) -> IncomingDatagram {
    let line = packet.split(|byte| *byte == b'\n').next();
    // The line always has both ports, which a destination that is sent as text lacks.
    let has_ports = line
        .and_then(|line| std::str::from_utf8(line).ok())
        .is_some_and(|line| line.contains(" FROM_PORT=") && line.contains(" TO_PORT="));
    let signed = Received::from_packet(Style::Datagram, true, &packet);
    match signed {
        Ok(Received {
            sender: SamSender::Verified(sender),
            from_port,
            to_port,
            payload,
            ..
        }) if has_ports => IncomingDatagram {
            format: DatagramFormat::Datagram1,
            sender: Sender::Claimed(sender.hash()),
            protocol: Style::Datagram.protocol().unwrap_or_default(),
            from_port,
            to_port,
            payload,
        },
        _ => IncomingDatagram {
            format: DatagramFormat::Raw,
            sender: Sender::Unknown,
            protocol: DEFAULT_RAW_PROTOCOL,
            from_port: 0,
            to_port: 0,
            payload: packet,
        },
    }
}

pub(super) fn style(format: DatagramFormat) -> Style {
    match format {
        DatagramFormat::Raw => Style::Raw,
        DatagramFormat::Datagram1 => Style::Datagram,
        DatagramFormat::Datagram2 => Style::Datagram2,
        DatagramFormat::Datagram3 => Style::Datagram3,
    }
}

/// Returns the reason why a request failed.
pub(super) fn why(error: &RequestError) -> String {
    match error {
        RequestError::Timeout => format!("no answer within {ANSWER_TIMEOUT:?}"),
        other => other.to_string(),
    }
}

/// The maximum number of datagrams that wait for their session. Chosen as what an application sends
/// in the second that opening a session takes.
const MAX_WAITING: usize = 64;

/// The maximum number of datagrams that are queued for the connection of a separate session.
pub(super) const OUTGOING: usize = 64;

/// The size of the receive buffer in bytes. No UDP packet is longer.
const MAX_PACKET: usize = 65_536;

/// How long a bridge may take to build tunnels. Chosen because a router that has just started needs
/// a minute or two.
pub(super) const CREATE_TIMEOUT: Duration = Duration::from_secs(300);
