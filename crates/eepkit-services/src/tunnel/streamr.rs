//! Streamr: a stream of UDP datagrams of one program for many peers, as in Java I2P.
//!
//! A subscriber sends a datagram with its sender and one byte: 0 subscribes, 1 unsubscribes. The
//! server sends each datagram of its program to all subscribers, as a raw datagram.

use std::{collections::HashMap, net::SocketAddr, path::PathBuf, time::Duration};

use bytes::Bytes;
use eepkit::{Address, DatagramOptions, Destination, Format, Hash, Preset, ReceivedDatagram};
use tokio::{
    net::UdpSocket,
    time::{Instant, sleep, timeout},
};

use super::{
    datagrams::{
        DatagramTunnel, MAX_DATAGRAM, Opening, SEND_LIMIT, Shared, Sockets, datagram_options,
        source_for,
    },
    session::SessionConfig,
    setters::{tunnel_definition, tunnel_setters},
    udp_client::{NEEDS_LISTEN, bind_udp, listen},
};
use crate::{
    options::{Flag, Opt, Table},
    serve::Addresses,
    service::{Context, Definition, Running, ServiceError, Statistic},
};

/// The configuration of a tunnel that sends the datagrams of a local program to all subscribers.
///
/// The default has no address. One must be set.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamrServerConfig {
    name: Option<String>,
    enabled: bool,
    listen: Option<SocketAddr>,
    port: Option<u16>,
    max_subscribers: usize,
    session: SessionConfig,
}

/// The configuration of a tunnel that subscribes to a [`StreamrServerConfig`], and passes its
/// datagrams to a local program.
///
/// The default has no target and no destination. Both must be set.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamrClientConfig {
    name: Option<String>,
    enabled: bool,
    target: Option<SocketAddr>,
    destination: Option<Address>,
    session: SessionConfig,
}

impl StreamrServerConfig {
    /// Creates the default configuration.
    pub fn new() -> Self {
        Self {
            name: None,
            enabled: true,
            listen: None,
            port: None,
            max_subscribers: MAX_SUBSCRIBERS,
            session: SessionConfig::new(Preset::Server),
        }
    }

    tunnel_setters!();

    /// Receives the datagrams of the program at this address. With port 0 the system selects a port;
    /// see [`DatagramTunnel::udp_addrs`].
    #[must_use]
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = Some(address);
        self
    }

    /// Limits the subscribers; 10 by default, as in Java I2P.
    #[must_use]
    pub fn max_subscribers(mut self, count: usize) -> Self {
        self.max_subscribers = count;
        self
    }
}

impl StreamrClientConfig {
    /// Creates the default configuration.
    pub fn new() -> Self {
        Self {
            name: None,
            enabled: true,
            target: None,
            destination: None,
            session: SessionConfig::new(Preset::Interactive),
        }
    }

    tunnel_setters!();

    /// Passes datagrams to the program at this address.
    #[must_use]
    pub fn target(mut self, address: SocketAddr) -> Self {
        self.target = Some(address);
        self
    }

    /// Subscribes to this destination.
    #[must_use]
    pub fn destination(mut self, address: Address) -> Self {
        self.destination = Some(address);
        self
    }
}

impl Default for StreamrServerConfig {
    fn default() -> Self {
        Self::new()
    }
}

impl Default for StreamrClientConfig {
    fn default() -> Self {
        Self::new()
    }
}

impl Definition for StreamrServerConfig {
    type Running = DatagramTunnel;

    tunnel_definition!("streamr-server", "streamr server", SERVER);

    fn validate(&self) -> Result<(), String> {
        if self.listen.is_none() {
            return Err(NEEDS_LISTEN.to_owned());
        }
        self.session.validate()
    }

    fn check(&self) -> Result<(), ServiceError> {
        self.session.check()
    }

    async fn launch(&self, context: &Context) -> Result<DatagramTunnel, ServiceError> {
        self.validate().map_err(ServiceError::Invalid)?;
        let Some(listen) = self.listen else {
            return Err(ServiceError::NoAddress);
        };
        let name = self.name.as_deref().unwrap_or(Self::KIND);
        let (udp, address) = bind_udp(listen).await?;
        let opening = DatagramTunnel::open(context, name, &self.session)?;
        let port = self.port.unwrap_or(0);
        let sockets = bind(&opening, port)?;
        let b32 = opening.shared.session.destination().to_b32();
        let addresses = Addresses {
            udp: vec![address],
            i2p: vec![match port {
                0 => b32,
                port => format!("{b32}:{port}"),
            }],
            ..Addresses::default()
        };
        let source = Source {
            shared: opening.shared.clone(),
            sockets,
            udp,
            subscribers: HashMap::new(),
            max: self.max_subscribers,
        };
        Ok(opening.start(addresses, source.run()))
    }
}

impl Definition for StreamrClientConfig {
    type Running = DatagramTunnel;

    tunnel_definition!("streamr-client", "streamr client", CLIENT);

    fn validate(&self) -> Result<(), String> {
        match self.target {
            None => return Err("needs a local program: target = \"127.0.0.1:PORT\"".to_owned()),
            Some(target) if target.port() == 0 => {
                return Err("target: port 0 is no port of a program".to_owned());
            }
            Some(_) => {}
        }
        if self.destination.is_none() {
            return Err("needs a destination: destination = \"HOST.i2p\"".to_owned());
        }
        self.session.validate()
    }

    fn check(&self) -> Result<(), ServiceError> {
        self.session.check()
    }

    async fn launch(&self, context: &Context) -> Result<DatagramTunnel, ServiceError> {
        self.validate().map_err(ServiceError::Invalid)?;
        let (Some(target), Some(destination)) = (self.target, self.destination.clone()) else {
            return Err(ServiceError::NoAddress);
        };
        let name = self.name.as_deref().unwrap_or(Self::KIND);
        let (udp, _) = bind_udp(source_for(target.ip())).await?;
        let opening = DatagramTunnel::open(context, name, &self.session)?;
        // Servers of Java I2P send to port 0.
        let sockets = bind(&opening, 0)?;
        let subscriber = Subscriber {
            shared: opening.shared.clone(),
            sockets,
            udp,
            target,
            destination,
        };
        Ok(opening.start(Addresses::default(), subscriber.run()))
    }
}

impl Running<StreamrServerConfig> for DatagramTunnel {
    fn addresses(&self) -> Addresses {
        self.addresses()
    }

    fn statistics(&self) -> Vec<Statistic> {
        self.statistics()
    }

    fn reload(&self, config: &StreamrServerConfig) -> Result<(), ServiceError> {
        config.check()
    }

    async fn stop(&self) {
        Self::stop(self).await;
    }
}

impl Running<StreamrClientConfig> for DatagramTunnel {
    fn addresses(&self) -> Addresses {
        self.addresses()
    }

    fn statistics(&self) -> Vec<Statistic> {
        self.statistics()
    }

    fn reload(&self, config: &StreamrClientConfig) -> Result<(), ServiceError> {
        config.check()
    }

    async fn stop(&self) {
        Self::stop(self).await;
    }
}

fn bind(opening: &Opening, port: u16) -> Result<Sockets, ServiceError> {
    let session = opening.shared.session.session();
    let sockets = Sockets::bind(&session, port, &[Format::Datagram1, Format::Raw], &[]);
    Ok(sockets.map_err(eepkit::Error::from)?)
}

/// The server of a stream.
struct Source {
    shared: std::sync::Arc<Shared>,
    sockets: Sockets,
    udp: UdpSocket,
    subscribers: HashMap<Hash, Subscription>,
    max: usize,
}

struct Subscription {
    to: Destination,
    port: u16,
    until: Instant,
    _open: super::datagrams::Open,
}

impl Source {
    async fn run(mut self) {
        let closing = self.shared.server.closing().clone();
        let mut buffer = vec![0; MAX_DATAGRAM];
        let control = self.sockets.without_raw();
        loop {
            tokio::select! {
                received = self.udp.recv_from(&mut buffer) => {
                    // An ICMP error of an earlier datagram is reported here.
                    if let Ok((count, _)) = received {
                        self.send(buffer.get(..count).unwrap_or_default());
                    }
                }
                received = control.recv() => match received {
                    Ok((_, received)) => self.control(&received),
                    Err(_) => return,
                },
                () = closing.cancelled() => return,
            }
        }
    }

    /// Sends a datagram of the program to all subscribers, without waiting. When the queue is full,
    /// the oldest are dropped, as they are of the least use.
    fn send(&mut self, payload: &[u8]) {
        if payload.len() > MAX_STREAMR {
            return self.shared.dropped(&"it is longer than 15,360 bytes");
        }
        let now = Instant::now();
        self.subscribers
            .retain(|_, subscription| subscription.until > now);
        let Some(raw) = self.sockets.of(Format::Raw) else {
            return;
        };
        let options = DatagramOptions::new();
        for subscription in self.subscribers.values() {
            let sent = raw.send_now(payload, &subscription.to, subscription.port, &options);
            self.shared.sent(sent);
        }
    }

    fn control(&mut self, received: &ReceivedDatagram) {
        let Some(sender) = received.sender() else {
            return self.shared.dropped(&"a subscription without a sender");
        };
        let hash = sender.hash();
        match received.payload().first() {
            Some(&SUBSCRIBE) => {
                let now = Instant::now();
                self.subscribers
                    .retain(|_, subscription| subscription.until > now);
                if self.subscribers.len() >= self.max && !self.subscribers.contains_key(&hash) {
                    return self.shared.dropped(&"there are too many subscribers");
                }
                let subscription = Subscription {
                    to: sender.clone(),
                    port: received.from_port(),
                    until: now + SUBSCRIBED,
                    _open: self.shared.open(),
                };
                self.subscribers.insert(hash, subscription);
            }
            Some(&UNSUBSCRIBE) => {
                self.subscribers.remove(&hash);
            }
            _ => self.shared.dropped(&"it is no subscription"),
        }
    }
}

/// A subscriber of a stream.
struct Subscriber {
    shared: std::sync::Arc<Shared>,
    sockets: Sockets,
    udp: UdpSocket,
    target: SocketAddr,
    destination: Address,
}

impl Subscriber {
    async fn run(self) {
        let subscribing = async {
            for pause in [FIRST_PAUSE; FIRST_TIMES]
                .into_iter()
                .chain(std::iter::repeat(PAUSE))
            {
                self.say(SUBSCRIBE).await;
                sleep(pause).await;
            }
        };
        let receiving = async {
            while let Ok((format, received)) = self.sockets.recv().await {
                match format {
                    Format::Raw => {
                        let payload: &Bytes = received.payload();
                        self.shared
                            .passed(self.udp.send_to(payload, self.target).await);
                    }
                    _ => self.shared.dropped(&"it is not of the stream"),
                }
            }
        };
        tokio::select! {
            () = subscribing => {}
            () = receiving => {}
            () = self.shared.server.closing().cancelled() => {}
        }
        // Otherwise the server sends for another minute.
        let _ = timeout(GOODBYE, self.say(UNSUBSCRIBE)).await;
    }

    async fn say(&self, word: u8) {
        let Some(socket) = self.sockets.of(Format::Datagram1) else {
            return;
        };
        let options = DatagramOptions::new().timeout(SEND_LIMIT);
        if let Err(error) = socket.send_with(&[word], &self.destination, &options).await {
            self.shared.dropped(&error);
        }
    }
}

static SERVER: Table<StreamrServerConfig> = Table {
    section: "streamr-server",
    doc: "Sends UDP datagrams of a local program to all subscribers (streamr).",
    defaults: StreamrServerConfig::new,
    options: datagram_options!(
        StreamrServerConfig,
        [
            listen(access!(StreamrServerConfig, Option<SocketAddr>, listen)),
            Opt::new(
                "port",
                access!(StreamrServerConfig, Option<u16>, port),
                "Port of the destination.\n\
                 Default: subscriptions to all ports, as in Java I2P.",
            )
            .example("7000")
            .flag(Flag::new("port", "PORT").short('p')),
            Opt::new(
                "max_subscribers",
                access!(StreamrServerConfig, usize, max_subscribers),
                "Maximum number of subscribers. Each gets every datagram.",
            )
            .flag(Flag::new("max-subscribers", "COUNT")),
        ]
    ),
};

static CLIENT: Table<StreamrClientConfig> = Table {
    section: "streamr-client",
    doc: "Subscribes to a streamr server, and sends its datagrams to a local program.",
    defaults: StreamrClientConfig::new,
    options: datagram_options!(
        StreamrClientConfig,
        [
            Opt::new(
                "target",
                access!(StreamrClientConfig, Option<SocketAddr>, target),
                "UDP address of the local program that receives the datagrams.",
            )
            .example("\"127.0.0.1:1234\"")
            .flag(Flag::new("target", "IP:PORT").short('t')),
            Opt::new(
                "destination",
                access!(StreamrClientConfig, Option<Address>, destination),
                "The destination of the streamr server.",
            )
            .example("\"radio.i2p\"")
            .flag(Flag::new("destination", "HOST[:PORT]").short('d').hyphen()),
        ]
    ),
};

/// Source: the documentation of Java I2P's streamr tunnels.
const SUBSCRIBE: u8 = 0;
const UNSUBSCRIBE: u8 = 1;
/// How long a subscription lasts. A subscriber repeats it every ten seconds.
const SUBSCRIBED: Duration = Duration::from_secs(60);
/// A subscriber repeats its subscription five times after two seconds, because the first ones may be
/// lost, and then every ten seconds.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const FIRST_TIMES: usize = 5;
const PAUSE: Duration = Duration::from_secs(10);
/// The longest datagram, in bytes. Source: Java I2P's limit.
const MAX_STREAMR: usize = 15_360;
/// The default of Java I2P.
const MAX_SUBSCRIBERS: usize = 10;
/// Chosen below the time limit for stopping.
const GOODBYE: Duration = Duration::from_secs(2);
