//! The builder of datagram sockets.

use std::sync::Arc;

use eepkit_datagram::{Dialect, Dialects, Format, Receiver};
use eepkit_link::Layer;

use super::{
    options::DatagramOptions,
    socket::{DatagramSocket, Inner, may_send},
};
use crate::{
    error::BindError,
    shared::{Handle, Mailbox},
};

/// Builds a [`DatagramSocket`]. Returned by [`Session::datagrams`](crate::Session::datagrams).
#[derive(Clone)]
#[must_use = "a socket is bound when `bind` is called"]
pub struct DatagramBuilder {
    handle: Arc<Handle>,
    format: Format,
    protocol: Option<u8>,
    queue: usize,
    dialects: Dialects,
    defaults: DatagramOptions,
}

impl DatagramBuilder {
    pub(crate) fn new(handle: Arc<Handle>, format: Format) -> Self {
        Self {
            handle,
            format,
            protocol: None,
            queue: QUEUE,
            dialects: Dialects::NONE,
            defaults: DatagramOptions::default(),
        }
    }

    /// Sets an I2CP protocol number other than that of the format: 1 to 254, except 6, which is the
    /// number of streaming.
    ///
    /// With 0, a raw socket receives datagrams of every protocol number without another socket.
    /// Each datagram that it sends needs an explicit number ([`DatagramOptions::protocol`]).
    pub fn protocol(mut self, protocol: u8) -> Self {
        self.protocol = Some(protocol);
        self
    }

    /// Length of the receive queue in datagrams, 1 to 65,536; 256 by default. When the queue is
    /// full, or contains more than 1 MiB, the oldest datagrams are dropped.
    pub fn queue(mut self, datagrams: usize) -> Self {
        self.queue = datagrams;
        self
    }

    /// The default options of sent datagrams.
    pub fn options(mut self, options: DatagramOptions) -> Self {
        self.defaults = options;
        self
    }

    /// Also accepts Datagram2 in the signature dialect of other software; no dialect by default.
    /// With [`Dialect::I2pd`], an attacker can replay to this socket a datagram that was sent to
    /// another destination. With Datagram1, this is always possible.
    ///
    /// [`DatagramOptions::dialect`] sets the dialect for sending.
    pub fn accept_dialect(mut self, dialect: Dialect) -> Self {
        match dialect {
            Dialect::I2pd => self.dialects.i2pd = true,
            Dialect::Emissary => self.dialects.emissary = true,
            // The specified form is always accepted.
            _ => {}
        }
        self
    }

    /// Binds the socket. It receives datagrams to `port`. With port 0 it receives those to every
    /// port without another socket of the same protocol number. Datagrams are sent from `port`.
    ///
    /// # Errors
    ///
    /// [`BindError`] if the port is in use, if the session has ended, or if it cannot send this
    /// format.
    pub fn bind(self, port: u16) -> Result<DatagramSocket, BindError> {
        let protocol = self.protocol.unwrap_or_else(|| self.format.protocol());
        let any_raw = protocol == 0 && self.format == Format::Raw;
        if !any_raw && !may_send(protocol) {
            return Err(BindError::Protocol(protocol));
        }
        if !(1..=MAX_QUEUE).contains(&self.queue) {
            return Err(BindError::Queue(self.queue));
        }
        let shared = &self.handle.shared;
        if shared.keys.offline().is_some() && !self.format.takes_offline_keys() {
            return Err(BindError::OfflineKeys(self.format));
        }
        if shared.layer == Layer::Streams {
            check_for_router(self.format, protocol)?;
        }
        let mailbox = {
            let mut core = shared.lock("bind");
            let bytes = core.datagrams.bytes();
            let mailbox = Arc::new(Mailbox::new(
                self.format,
                (protocol, port),
                self.queue,
                bytes,
            ));
            core.bind(&mailbox)?;
            mailbox
        };
        // Authenticated formats contain the sender's destination, which deflates to less than a
        // tenth.
        let compress = self.format.is_authenticated()
            || shared.config.options.get("i2cp.gzip") != Some("false");
        Ok(DatagramSocket {
            inner: Arc::new(Inner {
                receiver: Receiver::new(shared.own_hash()).with_dialects(self.dialects),
                mailbox,
                format: self.format,
                defaults: self.defaults,
                compress,
                handle: self.handle,
            }),
        })
    }
}

impl std::fmt::Debug for DatagramBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DatagramBuilder")
            .field("format", &self.format)
            .field("protocol", &self.protocol)
            .field("queue", &self.queue)
            .finish_non_exhaustive()
    }
}

/// Checks that a router that makes the datagrams supports such a socket.
fn check_for_router(format: Format, protocol: u8) -> Result<(), BindError> {
    let own = Format::from_protocol(protocol);
    match format {
        Format::Raw if own.is_none_or(|own| own == Format::Raw) => Ok(()),
        Format::Raw => Err(BindError::Unsupported(
            "raw datagrams cannot have the protocols 17, 19 and 20",
        )),
        format if own == Some(format) => Ok(()),
        _ => Err(BindError::Unsupported(
            "only raw datagrams choose their protocol",
        )),
    }
}

/// The default length of the receive queue. Chosen as the traffic of a tunnel in some seconds, in
/// datagrams of a kilobyte.
const QUEUE: usize = 256;

/// The longest receive queue. Chosen because the payload in it is limited separately: 65,536 empty
/// datagrams use 4 MiB.
const MAX_QUEUE: usize = 65_536;
