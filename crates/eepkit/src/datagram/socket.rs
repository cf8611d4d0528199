//! The datagram socket: sending, receiving, and verifying received datagrams.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use eepkit_datagram::{Datagram, Dialect, Format, Receiver, Sender, UnsealError};
use eepkit_link::{Layer, Payload, SendOptions, clock, streams};
use eepkit_wire::Destination;
use tokio::time::{Instant, timeout_at};
use tracing::trace;

use super::{options::DatagramOptions, received::ReceivedDatagram};
use crate::{
    address::{Address, Host, IntoAddress},
    error::{LookupError, OpenError, ReceiveError, SendError},
    lookup,
    shared::{DatagramStats, Ending, Handle, Mailbox, Outgoing, Packet, Taken, router_format},
    supervisor,
};

/// Sends and receives datagrams of one format on one port of a session. Built by
/// [`Session::datagrams`](crate::Session::datagrams).
///
/// As with UDP, a datagram arrives completely or not at all. It may arrive more than once, and
/// datagrams may be reordered. Received datagrams wait in a queue. When the queue is full, the
/// oldest is dropped, and [`DatagramSocket::stats`] counts it.
///
/// A socket is a cheap handle; clones refer to the same socket, and several tasks may use it. It
/// survives a reconnect of its session: while the session is being restored, sending and receiving
/// wait. The port is released when the last clone is dropped.
///
/// ```no_run
/// # async fn example(session: eepkit::Session) -> Result<(), eepkit::Error> {
/// use eepkit::{Datagram, Format};
///
/// let socket = session.datagrams(Format::Datagram2).bind(7)?;
/// loop {
///     let received = socket.recv_from().await?;
///     if let Datagram::Authenticated(datagram) = received.datagram() {
///         println!("{} bytes from {}", datagram.payload().len(), datagram.sender());
///         socket.reply(&received, b"thank you").await?;
///     }
/// }
/// # }
/// ```
#[derive(Clone)]
pub struct DatagramSocket {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) handle: Arc<Handle>,
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) format: Format,
    pub(super) receiver: Receiver,
    pub(super) defaults: DatagramOptions,
    /// Whether payloads are deflated, unless the options of a datagram override it.
    pub(super) compress: bool,
}

impl DatagramSocket {
    /// The port; 0 stands for all ports without another socket.
    pub fn port(&self) -> u16 {
        self.inner.mailbox.port()
    }

    /// The protocol number; 0 stands for all protocols without another socket. It is that of the
    /// format unless the builder set another one.
    pub fn protocol(&self) -> u8 {
        self.inner.mailbox.protocol()
    }

    /// The format of sent and received datagrams.
    pub fn format(&self) -> Format {
        self.inner.format
    }

    /// The longest payload that can be sent without options, in bytes. Payloads shorter than
    /// [`RECOMMENDED_PACKET_LEN`](crate::RECOMMENDED_PACKET_LEN) are lost less often.
    pub fn max_payload_len(&self) -> usize {
        let shared = &self.inner.handle.shared;
        let limit = self.inner.format.max_payload_len(&shared.keys);
        match shared.layer {
            Layer::Streams => limit.min(MAX_SAM_PAYLOAD),
            _ => limit,
        }
    }

    /// Counters of this socket's datagrams since it was bound.
    pub fn stats(&self) -> DatagramStats {
        self.inner.mailbox.stats()
    }

    /// Sends a datagram to `to`: text, a destination or a hash, each with or without a port.
    ///
    /// Waits until the session is ready, the address has been looked up and the send queue has
    /// room. Returns when the datagram is queued for the router; its arrival is not reported.
    ///
    /// # Errors
    ///
    /// [`SendError`], within the time of [`DatagramOptions::timeout`].
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: if the future is dropped before it completes, nothing is sent.
    pub async fn send_to(&self, payload: &[u8], to: impl IntoAddress) -> Result<(), SendError> {
        self.send_with(payload, to, &self.inner.defaults).await
    }

    /// Sends a datagram as [`DatagramSocket::send_to`] does, with its own options.
    ///
    /// # Errors
    ///
    /// As [`DatagramSocket::send_to`].
    ///
    /// # Cancel safety
    ///
    /// As [`DatagramSocket::send_to`].
    pub async fn send_with(
        &self,
        payload: &[u8],
        to: impl IntoAddress,
        options: &DatagramOptions,
    ) -> Result<(), SendError> {
        let to = to.into_address()?;
        let shared = &self.inner.handle.shared;
        let limit = options.timeout.unwrap_or(shared.config.lookup_timeout);
        let deadline = Instant::now() + limit;
        let left = || deadline.saturating_duration_since(Instant::now());
        self.check(payload, options)?;

        supervisor::wait_ready(shared, left())
            .await
            .map_err(|error| match error {
                OpenError::Timeout { .. } | OpenError::NoTunnels(_) => {
                    SendError::NoTunnels(shared.timed_out(limit))
                }
                OpenError::Closed => SendError::Closed,
                error => SendError::Offline(error),
            })?;
        let peer =
            lookup::resolve(shared, &to.host, left())
                .await
                .map_err(|error| match error {
                    LookupError::LeaseSetNotFound => SendError::LeaseSetNotFound,
                    LookupError::Closed => SendError::Closed,
                    other => SendError::Lookup(other),
                })?;
        let mut outgoing = self.seal(payload, &peer, to.port, options)?;
        loop {
            let room = shared.lock("datagram").datagrams.room();
            let mut notified = std::pin::pin!(room.notified());
            // Registered before looking, so that room that comes in between is not missed.
            notified.as_mut().enable();
            outgoing = match self.enqueue(outgoing, false)? {
                None => return Ok(()),
                Some(refused) => refused,
            };
            if timeout_at(deadline, notified).await.is_err() {
                return Err(SendError::Full(shared.timed_out(limit)));
            }
        }
    }

    /// Sends a reply to the sender and the source port of a received datagram.
    ///
    /// The sender of a Datagram3 is not authenticated, nor is any sender over SAM on emissary. The
    /// reply goes to the claimed destination, which may not be the actual sender.
    ///
    /// # Errors
    ///
    /// As [`DatagramSocket::send_to`], and [`SendError::NoSender`] for raw datagrams.
    ///
    /// # Cancel safety
    ///
    /// As [`DatagramSocket::send_to`].
    pub async fn reply(&self, to: &ReceivedDatagram, payload: &[u8]) -> Result<(), SendError> {
        let host = match to.datagram() {
            Datagram::Anonymous(_) => return Err(SendError::NoSender),
            Datagram::Authenticated(datagram) => Host::from(datagram.sender()),
            Datagram::Claimed(datagram) => Host::from(datagram.claimed_sender().hash()),
        };
        let to = Address::new(host).with_port(to.from_port());
        self.send_to(payload, to).await
    }

    /// Queues a datagram to a destination without waiting. If the send queue is full, the oldest
    /// datagrams in it are dropped, and [`DatagramSocket::stats`] counts them.
    ///
    /// While the session has no tunnels, datagrams stay in the queue until they expire.
    ///
    /// # Errors
    ///
    /// [`SendError`] if the datagram cannot be sent at all, or if the session has ended.
    pub fn send_now(
        &self,
        payload: &[u8],
        to: &Destination,
        port: u16,
        options: &DatagramOptions,
    ) -> Result<(), SendError> {
        self.check(payload, options)?;
        let outgoing = self.seal(payload, to, port, options)?;
        self.enqueue(outgoing, true).map(drop)
    }

    /// Receives the next valid datagram. Datagrams of another format or with an invalid signature
    /// are dropped and counted.
    ///
    /// There is no time limit: the call waits until the session ends.
    ///
    /// # Errors
    ///
    /// [`ReceiveError`] if the session has ended and the queue is empty.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a datagram that was not returned stays in the queue.
    pub async fn recv_from(&self) -> Result<ReceivedDatagram, ReceiveError> {
        let mut refused = 0_usize;
        loop {
            let mut notified = std::pin::pin!(self.inner.mailbox.arrived().notified());
            notified.as_mut().enable();
            match self.take() {
                Some(Ok(datagram)) => return Ok(datagram),
                Some(Err(error)) => return Err(error),
                None if self.inner.mailbox.is_empty() => notified.await,
                // The datagram was invalid. The check may have verified a signature, which is slow.
                None => {
                    refused += 1;
                    if refused.is_multiple_of(CHECKS_PER_TURN) {
                        tokio::task::yield_now().await;
                    }
                }
            }
        }
    }

    /// Receives the next valid datagram in the queue without waiting. `None` if there is none.
    ///
    /// # Errors
    ///
    /// As [`DatagramSocket::recv_from`].
    pub fn try_recv_from(&self) -> Result<Option<ReceivedDatagram>, ReceiveError> {
        loop {
            if let Some(taken) = self.take() {
                return taken.map(Some);
            }
            if self.inner.mailbox.is_empty() {
                return Ok(None);
            }
        }
    }

    /// Takes one datagram from the queue and verifies it. `None` if the queue is empty or the
    /// datagram is invalid.
    fn take(&self) -> Option<Result<ReceivedDatagram, ReceiveError>> {
        let inner = &self.inner;
        let Packet { payload, sender } = match inner.mailbox.pop() {
            Taken::Packet(packet) => packet,
            Taken::Nothing => return None,
            Taken::Over(error) => return Some(Err(error)),
        };
        if let Some(sender) = sender {
            let datagram = vouched(inner.format, sender, payload.body.clone())?;
            return Some(Ok(ReceivedDatagram::new(datagram, &payload)));
        }
        // The time is 32 bits long; from 2106 on, all offline keys count as expired.
        let now = u32::try_from(clock::unix_now().as_secs()).unwrap_or(u32::MAX);
        match inner.receiver.open(inner.format, &payload.body, now) {
            Ok(datagram) => Some(Ok(ReceivedDatagram::new(datagram, &payload))),
            Err(error) => {
                trace!(%error, port = payload.to_port, "dropped a datagram");
                let dialect = matches!(error, UnsealError::Dialect(_));
                inner.mailbox.count_refused(dialect);
                None
            }
        }
    }

    /// Checks that such a datagram can be sent at all.
    fn check(&self, payload: &[u8], options: &DatagramOptions) -> Result<(), SendError> {
        let protocol = options.protocol.unwrap_or_else(|| self.protocol());
        if !may_send(protocol) {
            return Err(SendError::Protocol(protocol));
        }
        if self.inner.handle.shared.layer == Layer::Streams {
            self.check_for_router(payload, protocol, options)?;
        }
        let limit = self.max_payload_len();
        if payload.len() > limit {
            return Err(SendError::TooLong {
                len: payload.len(),
                limit,
            });
        }
        Ok(())
    }

    /// Checks that a router that makes the datagrams can send such a datagram.
    fn check_for_router(
        &self,
        payload: &[u8],
        protocol: u8,
        options: &DatagramOptions,
    ) -> Result<(), SendError> {
        let unsupported = |why: &str| Err(SendError::Unsupported(why.to_owned()));
        if let Some(why) = self.inner.mailbox.unsupported() {
            return Err(SendError::Unsupported(why));
        }
        if options.options.iter().next().is_some() {
            return unsupported("SAM has no place for options in a datagram");
        }
        if options.dialect != Dialect::default() {
            return unsupported("over SAM the router signs, in its own way");
        }
        if self.inner.format == Format::Raw
            && Format::from_protocol(protocol).is_some_and(|own| own != Format::Raw)
        {
            return unsupported("raw datagrams cannot have the protocols 17, 19 and 20");
        }
        if self.inner.format != Format::Raw && protocol != self.inner.format.protocol() {
            return unsupported("only raw datagrams choose their protocol");
        }
        if payload.is_empty() {
            return unsupported("SAM has no empty datagrams");
        }
        Ok(())
    }

    fn seal(
        &self,
        payload: &[u8],
        to: &Destination,
        port: u16,
        options: &DatagramOptions,
    ) -> Result<Outgoing, SendError> {
        let inner = &self.inner;
        let body: Bytes = if inner.handle.shared.layer == Layer::Streams {
            Bytes::copy_from_slice(payload)
        } else {
            Sender::new(&inner.handle.shared.keys)
                .with_options(&options.options)
                .with_dialect(options.dialect)
                .seal(inner.format, &to.hash(), payload)?
        };
        Ok(Outgoing {
            to: to.clone(),
            format: router_format(inner.format),
            payload: Payload {
                protocol: options.protocol.unwrap_or_else(|| self.protocol()),
                from_port: options.from_port.unwrap_or_else(|| self.port()),
                to_port: port,
                body,
            },
            compress: options.compress.unwrap_or(inner.compress),
            deadline: Instant::now() + options.expiry.unwrap_or(EXPIRY),
            options: SendOptions {
                omit_lease_set: options.omit_lease_set,
                tag_threshold: options.tag_threshold,
                tags_to_send: options.tags_to_send,
            },
            mailbox: inner.mailbox.clone(),
        })
    }

    /// Queues a datagram. Returns it if the queue is full and `make_room` is false.
    fn enqueue(&self, outgoing: Outgoing, make_room: bool) -> Result<Option<Outgoing>, SendError> {
        let shared = &self.inner.handle.shared;
        shared.idle.touch();
        // If the router builds the datagrams, it must build this one as well.
        let own = shared.layer == Layer::Messages && outgoing.to.hash() == shared.own_hash();
        let mut core = shared.lock("datagram");
        match core.lifecycle.ending() {
            Ending::No => {}
            Ending::Flushing(_) | Ending::Over(None) => return Err(SendError::Closed),
            Ending::Over(Some(failure)) => {
                return Err(SendError::Offline(OpenError::clone(failure)));
            }
        }
        if own {
            // Delivered locally, without the router.
            outgoing.mailbox.count_sent();
            core.datagrams.deliver(outgoing.payload);
            return Ok(None);
        }
        let refused = core.datagrams.enqueue(outgoing, make_room);
        core.wake_driver();
        Ok(refused)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.handle
            .shared
            .lock("datagram")
            .datagrams
            .unbind(&self.mailbox);
    }
}

impl fmt::Debug for DatagramSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatagramSocket")
            .field("format", &self.inner.format)
            .field("protocol", &self.protocol())
            .field("port", &self.port())
            .finish_non_exhaustive()
    }
}

/// Whether datagrams may be sent with this protocol number: 0 stands for any, 6 is the number of
/// streaming, and 255 is reserved (I2CP specification, "Payload").
pub(super) fn may_send(protocol: u8) -> bool {
    !matches!(protocol, 0 | 6 | 255)
}

/// A datagram whose sender the router reports; `None` if that does not match the format.
fn vouched(format: Format, sender: streams::Sender, payload: Bytes) -> Option<Datagram> {
    match (format, sender) {
        (Format::Raw, _) => Some(Datagram::anonymous(payload)),
        (Format::Datagram1 | Format::Datagram2, streams::Sender::Verified(sender)) => {
            Some(Datagram::vouched(format, sender, payload))
        }
        // Some routers, such as emissary, do not report whether a datagram is signed.
        (_, streams::Sender::Claimed(hash)) => Some(Datagram::claimed(hash, payload)),
        _ => None,
    }
}

/// The longest payload that a client can send over SAM in every format (SAM V3, "Sending Repliable
/// or Raw Datagrams").
const MAX_SAM_PAYLOAD: usize = 31_744;

/// The default lifetime of a datagram, as for messages without an expiration (I2CP,
/// `clientMessageTimeout`).
const EXPIRY: Duration = Duration::from_secs(60);

/// Invalid signatures that are checked before the task yields. Chosen as about a millisecond of
/// work.
const CHECKS_PER_TURN: usize = 16;
