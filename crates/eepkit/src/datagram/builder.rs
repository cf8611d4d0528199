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

/// Makes a [`DatagramSocket`]; from [`Session::datagrams`](crate::Session::datagrams).
#[derive(Clone)]
#[must_use = "a socket is there once `bind` is called"]
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

    /// Uses another I2CP protocol number than that of the format: 1 to 254 but not 6, which is
    /// streaming's.
    ///
    /// With 0, a raw socket receives datagrams of every protocol number that has no socket of its
    /// own, and each datagram that it sends needs an explicit number
    /// ([`DatagramOptions::protocol`]).
    pub fn protocol(mut self, protocol: u8) -> Self {
        self.protocol = Some(protocol);
        self
    }

    /// Length of the receive queue in datagrams, 1 to 65,536; 256 by default. When the queue is
    /// full, or holds more than 1 MiB, the oldest datagrams are dropped.
    pub fn queue(mut self, datagrams: usize) -> Self {
        self.queue = datagrams;
        self
    }

    /// The default options of each datagram that is sent.
    pub fn options(mut self, options: DatagramOptions) -> Self {
        self.defaults = options;
        self
    }

    /// Also accepts Datagram2 in the signature dialect of other software; no dialect by default.
    /// With [`Dialect::I2pd`], a datagram that was meant for another destination can be replayed to
    /// this socket, as is always possible with Datagram1.
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

    /// Binds the socket. It receives datagrams to `port`, or for 0 those to every port that has no
    /// socket of its own with the same protocol number. Its datagrams are sent from this port.
    ///
    /// # Errors
    ///
    /// [`BindError`] when the port is taken, or the session is over or cannot send this format.
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
        // The destination of those who say who they are deflates to less than a tenth.
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

/// Whether a router that makes the datagrams can serve such a socket.
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

/// Chosen as some seconds of what a tunnel carries, in datagrams of a kilobyte.
const QUEUE: usize = 256;

/// Longest queue. Chosen because the bytes in it are limited, too: empty datagrams alone take 4 MiB.
const MAX_QUEUE: usize = 65_536;
