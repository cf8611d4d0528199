//! I2P for applications: streams and datagrams between destinations, on tokio.
//!
//! [I2P](https://i2p.net) is an anonymous network on top of the Internet. Programs are addressed by
//! a *destination*, a set of public keys, instead of an IP address. Their messages go through
//! *tunnels* of several routers, so that neither end learns the location of the other. This crate
//! publishes destinations and opens streams between them. Its streams read and write like TCP
//! streams of tokio.
//!
//! # Quick start
//!
//! A client, with a router inside the program:
//!
//! ```no_run
//! # #[cfg(feature = "embedded")]
//! # async fn client() -> Result<(), eepkit::Error> {
//! use eepkit::Router;
//! use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
//!
//! let router = Router::start("/var/lib/my-program/router").await?;
//! let session = router.session().open().await?;
//!
//! let mut stream = session.connect("i2p-projekt.i2p:80").await?;
//! stream.write_all(b"GET / HTTP/1.0\r\nHost: i2p-projekt.i2p\r\n\r\n").await?;
//! let mut answer = String::new();
//! stream.read_to_string(&mut answer).await?;
//! router.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! A server on a router that runs already. The key file keeps its destination the same:
//!
//! ```no_run
//! # async fn server() -> Result<(), eepkit::Error> {
//! use eepkit::{Router, Stream, serve};
//!
//! async fn echo(stream: Stream) -> std::io::Result<()> {
//!     let (mut reader, mut writer) = stream.into_split();
//!     tokio::io::copy(&mut reader, &mut writer).await?;
//!     Ok(())
//! }
//!
//! let router = Router::attach("i2cp://127.0.0.1:7654")?;
//! let session = router.session().key_file("echo.dat").open().await?;
//! println!("{}", session.destination().to_b32());
//! serve(session.listen(0)?, echo).start().finished().await;
//! # Ok(())
//! # }
//! ```
//!
//! Both ends on a simulated network, in one process and in virtual time. A program can be tested
//! this way without a router and without a network:
//!
//! ```
//! use eepkit::{Preset, Router, sim::SimNet};
//! use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), eepkit::Error> {
//! let net = SimNet::builder().start();
//! let server = Router::new(net.router()).session().preset(Preset::Test).open().await?;
//! let client = Router::new(net.i2cp_router()).session().preset(Preset::Test).open().await?;
//!
//! let listener = server.listen(80)?;
//! // `connect` returns after the peer has answered, so both calls run concurrently.
//! let connecting = client.connect((server.destination(), 80));
//! let (outgoing, incoming) = tokio::join!(connecting, listener.accept());
//! let (mut outgoing, mut incoming) = (outgoing?, incoming?);
//!
//! outgoing.write_all(b"Hello I2P!").await?;
//! outgoing.shutdown().await?;
//! assert_eq!(incoming.peer(), client.destination());
//! let mut text = String::new();
//! incoming.read_to_string(&mut text).await?;
//! assert_eq!(text, "Hello I2P!");
//! # Ok(())
//! # }
//! ```
//!
//! # Routers
//!
//! A [`Router`] opens sessions. The interface of a session is the same for every kind of router:
//!
//! | call | router |
//! |---|---|
//! | `Router::start(dir)` | one inside this process (feature `embedded`, on by default) |
//! | [`Router::attach`]`(url)` | one that runs already, over I2CP or SAM |
//! | `Router::attach_or_start(url, dir)` | the one at `url`, else one inside this process |
//! | [`Router::from_env`]`()` | the one in `EEPKIT_ROUTER`, by default I2CP on this machine |
//! | [`Router::new`]`(connector)` | one of a `Devnet`, a [`sim::SimNet`] or another [`Connector`] |
//!
//! A `Devnet` is a private network of real routers.
//! [`Router::shutdown`] closes the sessions and stops a router inside this process.
//!
//! # Status and readiness
//!
//! Routers and sessions need time to become ready. A new router downloads a list of other routers,
//! connects to some of them, and builds tunnels. A session needs tunnels and a published lease set.
//! Both report their [`Status`]: the current stage, the time it was reached, the earlier stages,
//! and the problem that prevents the next stage, if there is one. A [`StatusWatch`] receives each
//! change:
//!
//! ```no_run
//! # async fn example(router: eepkit::Router) -> Result<(), eepkit::Error> {
//! use std::time::Duration;
//!
//! let session = router.session().start()?;
//! let mut watch = session.watch();
//! tokio::spawn(async move {
//!     while let Some(status) = watch.changed().await {
//!         println!("{status}");
//!     }
//! });
//! session.watch().ready(Duration::from_secs(120)).await?;
//! # Ok(())
//! # }
//! ```
//!
//! [`SessionBuilder::open`] does both: it starts the session and waits until it is ready.
//!
//! # Sessions
//!
//! A [`Session`] is a destination that is online. [`SessionBuilder`] sets its keys and options. A
//! [`Preset`] sets several options at once. A session is supervised: when its router has stopped
//! and is reachable again, the session is restored with the same destination, listeners and
//! datagram sockets.
//!
//! # Streams
//!
//! [`Session::connect`] takes a destination in base64, a `.b32.i2p` address, a host name, or a
//! [`Destination`], each with or without a port. [`Session::listen`] takes a port, or 0 for all.
//! [`Stream`] documents what closing, flushing and dropping do.
//!
//! A program calls [`Listener::accept`] in a loop, or uses the listener as a
//! [`futures_core::Stream`] of streams. [`serve()`] runs the loop, calls a [`Handler`] for each
//! stream, limits the number of concurrent handlers, and waits for running handlers at shutdown.
//!
//! # Settings of streaming
//!
//! [`SessionBuilder::streaming`] changes the settings of a session's streams, and
//! [`ConnectOptions::streaming`] those of one stream; both start from the [`Preset`].
//! [`SessionBuilder::option`] accepts options as text, for example from a file or a user, under the
//! names of the I2P documentation (`i2p.streaming...`). Opening a session fails if the router does
//! not support one of its options.
//!
//! # HTTP
//!
//! With the feature `axum` a [`Listener`] is a listener of `axum::serve`. With the feature `hyper`,
//! `HttpConnector` opens the connections of HTTP clients. It makes no look-up outside of I2P.
//!
//! # Datagrams
//!
//! [`Session::datagrams`] binds a [`DatagramSocket`] to a port, for one of the four [`Format`]s of
//! I2P. The type of a [`Datagram`] states how far its sender is verified: [`Authenticated`],
//! [`Claimed`] or [`Anonymous`].
//!
//! ```
//! use eepkit::{Format, Preset, Router, sim::SimNet};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), eepkit::Error> {
//! let net = SimNet::builder().start();
//! let server = Router::new(net.router()).session().preset(Preset::Test).open().await?;
//! let client = Router::new(net.i2cp_router()).session().preset(Preset::Test).open().await?;
//!
//! let here = server.datagrams(Format::Datagram2).bind(7)?;
//! let there = client.datagrams(Format::Datagram2).bind(0)?;
//! there.send_to(b"Hello I2P!", (server.destination(), 7)).await?;
//!
//! let datagram = here.recv_from().await?;
//! assert_eq!(datagram.sender(), Some(client.destination()));
//! here.reply(&datagram, b"Hello!").await?;
//! assert_eq!(there.recv_from().await?.payload().as_ref(), b"Hello!");
//! # Ok(())
//! # }
//! ```
//!
//! # Errors
//!
//! Each operation has its own error enum. [`Error`] collects them. [`ErrorKind`] is a coarse
//! classification, and [`Error::hint`] suggests what a user can do.
//!
//! Every wait has a time limit, except for the next incoming stream or datagram, and for the next
//! byte from a peer that is alive.
//!
//! # Cancel safety
//!
//! Dropping a future cancels its operation and releases its resources. The documentation of each
//! function states the details.
//!
//! # Logging
//!
//! Logs go to [`tracing`]. At level `info` and above they contain no IP address and no full
//! destination. At `debug` and `trace` they may contain both.

mod address;
#[cfg(feature = "axum")]
mod axum;
mod builder;
mod config;
mod connect;
mod credits;
mod datagram;
mod driver;
#[cfg(feature = "embedded")]
mod embedded;
mod error;
#[cfg(any(test, feature = "_fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(feature = "hyper")]
mod http_connector;
mod idle;
mod idling;
mod listener;
#[cfg(feature = "lock_tracking")]
pub mod lock_tracking;
mod lookup;
mod name_source;
mod names;
mod ping;
mod presets;
mod router;
mod serve;
mod session;
mod shared;
mod socket;
mod socket_addr;
mod stage;
mod status;
mod stream;
mod subsession;
mod supervisor;
mod sync;
mod uses;
mod verify;

pub use address::{Address, Host, IntoAddress};
pub use builder::SessionBuilder;
pub use connect::ConnectOptions;
pub use datagram::{DatagramBuilder, DatagramOptions, DatagramSocket, ReceivedDatagram};
#[doc(no_inline)]
pub use eepkit_attach::{RouterAddressError, i2cp::I2cpRouter, sam::SamRouter};
#[doc(no_inline)]
pub use eepkit_datagram::{
    Anonymous, Authenticated, Claimed, ClaimedSender, Datagram, Dialect, Format, MAX_PACKET_LEN,
    RECOMMENDED_PACKET_LEN, SealError,
};
#[doc(no_inline)]
pub use eepkit_i2cp::{Options, RouterKind, SessionOptionError};
#[doc(no_inline)]
pub use eepkit_link::{
    Connector, LinkError, LostReason, RouterActivity, RouterFailure, RouterIdentity,
    RouterNotReady, RouterStage, RouterStatus, RouterWatch, clock,
    status::{NotReady, Stage, Status, StatusStream, StatusWatch, Step},
};
#[doc(no_inline)]
pub use eepkit_naming::{AddressBook, HostBook, HostError};
#[cfg(feature = "embedded")]
#[doc(no_inline)]
pub use eepkit_router::{
    QUIET_FILTER, StartError, StateError,
    devnet::{Devnet, DevnetBuilder, DevnetRouter},
    embedded::{EmbeddedBuilder, EmbeddedRouter},
    reseed::{Reseed, ReseedError},
};
#[doc(no_inline)]
pub use eepkit_streaming::{
    Access, EndpointConfig, InactivityAction, LimitAction, PeerKind, Profile, RateLimits,
    StreamConfig, StreamInfo, StreamOptionError,
};
#[doc(no_inline)]
pub use eepkit_wire::{
    Destination, Hash, KeyFileError, Mapping, OfflineSignature, PrivateKeys, SignatureType,
};
pub use error::{
    AcceptError, AddressError, AttachError, BindError, ConnectError, Error, ErrorKind, ListenError,
    LookupError, OpenError, PingError, ReceiveError, SendError, StreamError, TimedOut,
    TunnelQuantityError,
};
#[cfg(feature = "hyper")]
pub use http_connector::HttpConnector;
pub use listener::Listener;
pub use name_source::{NameSource, ResolveFuture};
pub use ping::PingOptions;
pub use presets::{Preset, UnknownPreset};
pub use router::{Router, SessionSummary};
pub use serve::{Drained, Handler, Serve, Server, ServerStats, serve};
pub use session::Session;
pub use shared::DatagramStats;
pub use socket_addr::I2pSocketAddr;
pub use stage::SessionStage;
pub use status::{
    SessionActivity, SessionNotReady, SessionProblem, SessionStatus, SessionWatch, Verification,
};
pub use stream::{ReadHalf, ReuniteError, Stream, WriteHalf};

/// Simulated networks: a re-export of `eepkit-sim`.
pub mod sim {
    #[doc(no_inline)]
    pub use eepkit_sim::*;
}

/// Compiles the example in the README of the repository.
#[cfg(all(doctest, feature = "embedded"))]
#[doc = include_str!("../../../README.md")]
struct Readme;
