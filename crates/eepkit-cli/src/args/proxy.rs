//! The command lines of the proxies and of the bridges.

use clap::Args;
use eepkit_services::{
    bob::BobConfig, http_proxy::HttpProxyConfig, sam::SamConfig, socks::SocksConfig,
};

use super::{RouterArgs, ServiceArgs};

/// Run a SAM bridge, through which programs in any language use I2P
///
/// Runs a SAM bridge, versions 3.0 to 3.3, on the router that --router names, until Ctrl-C.
/// It listens on the ports that programs expect: TCP port 7656, and UDP port 7655 for datagrams.
/// With --older-versions, old programs use SAM 1.0 and 2.0 on the same port (docs/sam-1-2.md).
/// `eepkit run` does the same with a configuration file.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  eepkit sam                                     on the router at i2cp://127.0.0.1:7654
  eepkit sam --router embedded                   with a router in this process
  eepkit sam -l 127.0.0.1:0 --udp 127.0.0.1:0 --json   on ports that the system chooses
  eepkit sam --unix /run/user/1000/sam.sock      for programs of this user only

With --json one object on one line tells where it listens, once it does:
  {\"version\":1,\"router\":\"..\",\"sam\":[{\"tcp\":[\"127.0.0.1:7656\"],\"udp\":[..],\"unix\":[]}]}
Stops with exit code 0 on SIGINT (Ctrl-C), SIGTERM and SIGHUP.")]
pub(crate) struct SamArgs {
    #[command(flatten)]
    pub(crate) sam: ServiceArgs<SamConfig>,

    /// Print where it listens as one JSON object on one line
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) router: RouterArgs,
}

/// Run a BOB bridge, for old programs
///
/// Runs a BOB bridge on the router that --router names, until Ctrl-C. It listens on the port that
/// programs expect, 2827. New programs use SAM: see `eepkit sam`.
/// `eepkit run` does the same with a configuration file.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  eepkit bob                                     on the router at i2cp://127.0.0.1:7654
  eepkit bob --router embedded                   with a router in this process
  eepkit bob --state bob.state                   tunnels run again after a restart

  Then, in another terminal:
  nc 127.0.0.1 2827

With --json one object on one line has the addresses, once it listens:
  {\"version\":1,\"router\":\"..\",\"bob\":[{\"tcp\":[\"127.0.0.1:2827\"],\"unix\":[]}]}
Stops with exit code 0 on SIGINT (Ctrl-C), SIGTERM and SIGHUP. docs/bob.md has the details.")]
pub(crate) struct BobArgs {
    #[command(flatten)]
    pub(crate) bob: ServiceArgs<BobConfig>,

    /// Print where it listens as one JSON object on one line
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) router: RouterArgs,
}

/// Run an HTTP proxy, through which browsers and other programs use I2P
///
/// Runs an HTTP proxy on the router that --router names, until Ctrl-C. It listens on the port that
/// programs expect, 4444. Hosts that are not on I2P are refused, unless there is an outproxy.
/// `eepkit run` does the same with a configuration file.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  eepkit http-proxy                              on the router at i2cp://127.0.0.1:7654
  eepkit http-proxy --router embedded            with a router in this process
  eepkit http-proxy -l 127.0.0.1:0 --json        on a port that the system chooses

  Then, in another terminal:
  curl -x http://127.0.0.1:4444 http://i2p-projekt.i2p/

With --json one object on one line has the addresses, once it listens:
  {\"version\":1,\"router\":\"..\",\"http-proxy\":[{\"tcp\":[\"127.0.0.1:4444\"],\"unix\":[]}]}
Stops with exit code 0 on SIGINT (Ctrl-C), SIGTERM and SIGHUP. docs/http-proxy.md has the details.")]
pub(crate) struct HttpProxyArgs {
    #[command(flatten)]
    pub(crate) proxy: ServiceArgs<HttpProxyConfig>,

    /// Print where it listens as one JSON object on one line
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) router: RouterArgs,
}

/// Run a SOCKS proxy, through which programs use I2P
///
/// Runs a SOCKS proxy, versions 4, 4a and 5, on the router that --router names, until Ctrl-C. It
/// listens on the port that programs expect, 4447. Hosts that are not on I2P are refused, unless
/// there is an outproxy. `eepkit run` does the same with a configuration file.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  eepkit socks-proxy                             on the router at i2cp://127.0.0.1:7654
  eepkit socks-proxy --router embedded           with a router in this process
  eepkit socks-proxy --unix /run/user/1000/socks.sock   for programs of this user only

  Then, in another terminal:
  curl -x socks5h://127.0.0.1:4447 http://i2p-projekt.i2p/

With --json one object on one line has the addresses, once it listens:
  {\"version\":1,\"router\":\"..\",\"socks\":[{\"tcp\":[\"127.0.0.1:4447\"],\"unix\":[]}]}
Stops with exit code 0 on SIGINT (Ctrl-C), SIGTERM and SIGHUP. docs/socks.md has the details.")]
pub(crate) struct SocksProxyArgs {
    #[command(flatten)]
    pub(crate) proxy: ServiceArgs<SocksConfig>,

    /// Print where it listens as one JSON object on one line
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) router: RouterArgs,
}
