//! The command line of `eepkit tunnel`.

use clap::{Args, Subcommand};
use eepkit_services::{
    service::Definition,
    tunnel::{
        ClientTunnelConfig, HttpServerTunnelConfig, IrcClientConfig, IrcServerConfig,
        ServerTunnelConfig, StreamrClientConfig, StreamrServerConfig, UdpClientConfig,
        UdpServerConfig,
    },
};

use super::{HttpProxyArgs, RouterArgs, ServiceArgs, SocksProxyArgs};

/// Run one tunnel between a local port and a destination
///
/// Runs a tunnel on the router that --router names, until Ctrl-C. `eepkit run` runs any number of
/// tunnels from a configuration file. docs/tunnels.md explains the kinds and their options.
#[derive(Debug, Args)]
pub(crate) struct TunnelArgs {
    #[command(subcommand)]
    pub(crate) command: TunnelCommand,
}

/// The kinds of tunnels.
#[derive(Debug, Subcommand)]
pub(crate) enum TunnelCommand {
    /// From a local port to a destination
    ///
    /// Listens for local programs, and connects each of them with the destination.
    #[command(after_long_help = "\
Examples:
  eepkit tunnel client -l 127.0.0.1:6668 -d irc.postman.i2p:6667
  eepkit tunnel client -l 127.0.0.1:2222 -d ADDRESS.b32.i2p:22 --preset interactive
  eepkit tunnel client --unix /run/user/1000/chat.sock -d one.i2p -d two.i2p")]
    Client(TunnelOf<ClientTunnelConfig>),
    /// From a destination to a local server
    ///
    /// Puts a destination online, and connects peers with the local server.
    #[command(after_long_help = "\
Examples:
  eepkit tunnel server -t 127.0.0.1:22 -K ssh.dat --port 22
  eepkit tunnel server -t unix:/run/chat.sock -K chat.dat
  eepkit tunnel server -K host.dat --target-for-port 22=127.0.0.1:22 --target-for-port 25=127.0.0.1:25

The address is printed on standard error, and with --json on standard output.")]
    Server(TunnelOf<ServerTunnelConfig>),
    /// From a destination to a local web server
    ///
    /// Puts a web server online. Headers with which peers could pretend to be someone else, and
    /// those that name the software and the clock of the server, are dropped.
    #[command(after_long_help = "\
Examples:
  eepkit tunnel http-server -t 127.0.0.1:8080 -K site.dat
  eepkit tunnel http-server -t unix:/run/web.sock -K site.dat --host www.example.i2p

The address is printed on standard error, and with --json on standard output. `eepkit serve` publishes
a folder without a web server.")]
    HttpServer(TunnelOf<HttpServerTunnelConfig>),
    /// An HTTP proxy, as eepkit http-proxy
    Http(HttpProxyArgs),
    /// An HTTP proxy that accepts only CONNECT
    Connect(HttpProxyArgs),
    /// A SOCKS proxy, as eepkit socks-proxy
    Socks(SocksProxyArgs),
    /// From local IRC clients to an IRC server
    ///
    /// As `client`, and removes what reveals the host of an IRC client.
    #[command(after_long_help = "\
Examples:
  eepkit tunnel irc -l 127.0.0.1:6668 -d irc.postman.i2p:6667
  eepkit tunnel irc -l 127.0.0.1:6668 -d ADDRESS.b32.i2p --hide-user

  Then, in an IRC client without TLS:
  /server 127.0.0.1 6668")]
    Irc(TunnelOf<IrcClientConfig>),
    /// From a destination to a local IRC server
    ///
    /// As `server`, and gives the IRC server the address of each peer as its host name. A password of
    /// WEBIRC is a key of the configuration file, because other users see arguments.
    #[command(after_long_help = "\
Examples:
  eepkit tunnel irc-server -t 127.0.0.1:6667 -K irc.dat")]
    IrcServer(TunnelOf<IrcServerConfig>),
    /// From a local UDP port to a destination
    ///
    /// Receives datagrams of local programs, and sends them to the destination, as the UDP tunnels of
    /// i2pd do.
    #[command(after_long_help = "\
Examples:
  eepkit tunnel udp -l 127.0.0.1:5353 -d dns.i2p:53")]
    Udp(TunnelOf<UdpClientConfig>),
    /// From a destination to a local UDP server
    ///
    /// Receives datagrams of peers, and sends them to the local server, as the UDP tunnels of i2pd
    /// do.
    #[command(after_long_help = "\
Examples:
  eepkit tunnel udp-server -t 127.0.0.1:53 --port 53 -K dns.dat")]
    UdpServer(TunnelOf<UdpServerConfig>),
    /// From a streamr server to a local program
    ///
    /// Subscribes to a stream of datagrams, and sends them to a local program.
    #[command(after_long_help = "\
Examples:
  eepkit tunnel streamr -d radio.i2p -t 127.0.0.1:1234")]
    Streamr(TunnelOf<StreamrClientConfig>),
    /// From a local program to all subscribers (streamr)
    ///
    /// Receives datagrams of a local program, and sends each to all subscribers.
    #[command(after_long_help = "\
Examples:
  eepkit tunnel streamr-server -l 127.0.0.1:5000 -K radio.dat")]
    StreamrServer(TunnelOf<StreamrServerConfig>),
}

/// One tunnel, from flags.
#[derive(Debug, Args)]
pub(crate) struct TunnelOf<D: Definition> {
    #[command(flatten)]
    pub(crate) tunnel: ServiceArgs<D>,

    /// Print the addresses as one JSON object on one line
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) router: RouterArgs,
}
