//! I2P for applications.
//!
//! [I2P](https://i2p.net) is a network inside the Internet in which nobody needs to know where
//! anybody is: a *destination* (a set of keys) takes the place of an address, and *tunnels* of
//! other routers carry the messages. This crate puts destinations online and gives them streams
//! that read and write like TCP streams of tokio.
//!
//! A client:
//!
//! ```no_run
//! use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
//!
//! # async fn client() -> Result<(), eepkit::Error> {
//! let router = eepkit::Router::attach("i2cp://127.0.0.1:7654")?;
//! let session = router.session().open().await?;
//!
//! let mut stream = session.connect("i2p-projekt.i2p:80").await?;
//! stream.write_all(b"GET / HTTP/1.0\r\nHost: i2p-projekt.i2p\r\n\r\n").await?;
//! let mut answer = String::new();
//! stream.read_to_string(&mut answer).await?;
//! # Ok(())
//! # }
//! ```
//!
//! A server, whose destination is the same each time:
//!
//! ```no_run
//! # async fn server() -> Result<(), eepkit::Error> {
//! let router = eepkit::Router::attach("i2cp://127.0.0.1:7654")?;
//! let session = router.session().key_file("echo.dat").open().await?;
//! println!("{}", session.destination().to_b32());
//!
//! let listener = session.listen(0)?;
//! loop {
//!     let stream = listener.accept().await?;
//!     tokio::spawn(async move {
//!         let (mut reader, mut writer) = stream.into_split();
//!         tokio::io::copy(&mut reader, &mut writer).await
//!     });
//! }
//! # }
//! ```
//!
//! Both on a simulated network, in one process and without any router; this is also how to test a
//! program:
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
//! // A stream is there for both once it is accepted, so the two go side by side.
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
//! A [`Router`] is where sessions are opened. [`Router::attach`] uses one that runs already.
//! With the feature `embedded` (on by default) the program brings its own
//! (`Router::embedded`), and `Devnet` makes private networks of real routers on this machine.
//! [`sim`] is a network without routers, with delay, loss and failures to order.
//!
//! # Sessions
//!
//! A [`Session`] is a destination that is online. [`SessionBuilder`] says with which keys and
//! options; a [`Preset`] stands for many of them. A session is supervised: it comes back by itself
//! when its router does. Its [`Status`] can be watched, so that nobody has to guess what it waits
//! for.
//!
//! # Streams
//!
//! [`Session::connect`] takes a destination in base64, a `.b32.i2p` address, a host name, or a
//! [`Destination`], each with a port if wanted. [`Session::listen`] takes a port, or 0 for all.
//! A [`Stream`] says what closing, flushing and dropping do.
//!
//! # Datagrams
//!
//! [`Session::datagrams`] binds a [`DatagramSocket`] to a port, for one of the four [`Format`]s of
//! I2P. What it receives says what is known of the sender: a [`Datagram`] is [`Authenticated`],
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
//! Each operation has an error of its own; [`Error`] collects them. [`ErrorKind`] says coarsely
//! what is wrong, [`Error::hint`] what to do about it.
//!
//! Nothing here waits without a limit except for what the program itself waits for: the next
//! incoming stream, the next byte of a peer that is alive.
//!
//! # Cancel safety
//!
//! Futures that are dropped give up what they were at and leave nothing behind; each says what
//! that means.
//!
//! # What is logged
//!
//! Logs go to [`tracing`]. At the level `info` and above they hold no IP address and no full
//! destination; at `debug` and `trace` they may.

mod address;
#[cfg(feature = "axum")]
mod axum;
mod builder;
mod connect;
mod credits;
mod datagram;
mod driver;
#[cfg(feature = "embedded")]
mod embedded;
mod error;
#[cfg(feature = "hyper")]
mod http_connector;
mod listener;
mod lookup;
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

pub use address::{Address, Host, IntoAddress};
pub use builder::SessionBuilder;
pub use connect::ConnectOptions;
pub use datagram::{
    BindError, DatagramBuilder, DatagramOptions, DatagramSocket, DatagramStats, ReceiveError,
    ReceivedDatagram, SendError,
};
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
    Connector, LinkError, LostReason, RouterActivity, RouterFailure, RouterNotReady, RouterStage,
    RouterStatus, RouterWatch, clock,
    status::{NotReady, Stage, Status, StatusStream, StatusWatch, Step},
};
#[doc(no_inline)]
pub use eepkit_naming::{HostBook, HostError};
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
    AcceptError, AddressError, AttachError, ConnectError, Error, ErrorKind, ListenError,
    LookupError, OpenError, PingError, StreamError, TunnelQuantityError,
};
#[cfg(feature = "hyper")]
pub use http_connector::HttpConnector;
pub use listener::Listener;
pub use ping::PingOptions;
pub use presets::{Preset, UnknownPreset};
pub use router::Router;
pub use serve::{Drained, Handler, Serve, Server, ServerStats, serve};
pub use session::Session;
pub use socket_addr::I2pSocketAddr;
pub use stage::SessionStage;
pub use status::{SessionNotReady, SessionProblem, SessionStatus, SessionWatch};
pub use stream::{ReadHalf, ReuniteError, Stream, WriteHalf};

/// Simulated networks; from `eepkit-router`.
pub mod sim {
    #[doc(no_inline)]
    pub use eepkit_sim::*;
}

/// Compiles the example of the repository's front page.
#[cfg(all(doctest, feature = "embedded"))]
#[doc = include_str!("../../../README.md")]
struct Readme;
