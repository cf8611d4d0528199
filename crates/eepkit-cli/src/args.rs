//! The command line and its help.

mod addressbook;
mod config;
mod control;
mod import;
mod proxy;
mod router;
mod serve;
mod service;
mod session;
mod table;
mod tunnel;
mod users;
mod values;

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
pub(crate) use eepkit_services::options::Span;

pub(crate) use self::{
    addressbook::{
        AddressBookArgs, AddressBookCommand, NAMES, NamesConfig, ResolveArgs, StoreArgs,
    },
    config::{CheckArgs, ConfigArgs, ConfigCommand},
    control::{CONTROL, ControlArgs, ControlConfig},
    import::{ImportArgs, ImportCommand, ImportSamArgs, ImportTunnelsArgs},
    proxy::{BobArgs, HttpProxyArgs, SamArgs, SocksProxyArgs},
    router::{ROUTER, RouterArgs},
    serve::ServeArgs,
    service::ServiceArgs,
    session::SessionArgs,
    tunnel::{TunnelArgs, TunnelCommand},
    users::{UsersArgs, UsersCommand},
    values::{DatagramFormat, InOut, KeyValue, RouterChoice},
};
use crate::exit;

/// I2P in one program: demos, private networks, and netcat-like streams.
///
/// Programs on I2P communicate between destinations: cryptographic addresses that contain no IP
/// address. A router carries their messages through tunnels of other routers. eepkit uses a router
/// that is already running (i2pd, Java I2P, or one of `eepkit devnet`), or runs one itself.
#[derive(Debug, Parser)]
#[command(
    name = "eepkit",
    version,
    max_term_width = 100,
    after_help = "Start with `eepkit demo`; `eepkit COMMAND --help` explains each command with examples.",
    after_long_help = after_long_help(),
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// Log to standard error; -vv and -vvv log more
    ///
    /// -v logs decisions, -vv the events of the protocols, -vvv everything. RUST_LOG, if set,
    /// takes precedence, in the form of the crate tracing-subscriber
    /// (`RUST_LOG=eepkit=debug,emissary=info`). Logs at the default level and at -v contain no IP
    /// address and no full destination.
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = "Global options")]
    pub(crate) verbose: u8,

    /// Print only errors on standard error
    #[arg(
        short,
        long,
        global = true,
        conflicts_with = "verbose",
        help_heading = "Global options"
    )]
    pub(crate) quiet: bool,

    /// When to use colours; auto respects NO_COLOR
    #[arg(
        long,
        global = true,
        value_name = "auto|always|never",
        default_value = "auto",
        hide_possible_values = true,
        hide_default_value = true,
        help_heading = "Global options"
    )]
    pub(crate) color: ColorWhen,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorWhen {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Demo(DemoArgs),
    Devnet(DevnetArgs),
    Listen(ListenArgs),
    Connect(ConnectArgs),
    Ping(PingArgs),
    Lookup(LookupArgs),
    Resolve(ResolveArgs),
    #[command(name = "addressbook")]
    AddressBook(AddressBookArgs),
    Serve(ServeArgs),
    HttpProxy(HttpProxyArgs),
    SocksProxy(SocksProxyArgs),
    Tunnel(TunnelArgs),
    Sam(SamArgs),
    Bob(BobArgs),
    Run(RunArgs),
    Status(StatusArgs),
    WaitReady(WaitReadyArgs),
    Reload(ReloadArgs),
    Stop(StopArgs),
    Doctor(DoctorArgs),
    Config(ConfigArgs),
    Import(ImportArgs),
    Keys(KeysArgs),
    Users(UsersArgs),
    /// Print a completion script for a shell
    #[command(
        hide = true,
        after_help = "Example: eepkit completions bash > ~/.local/share/bash-completion/completions/eepkit"
    )]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write one page per command into a directory
    #[command(hide = true)]
    Man {
        /// Where to write eepkit.1, eepkit-demo.1, ...; without it eepkit.1 is printed
        directory: Option<PathBuf>,
    },
}

/// Show two programs talking over a private I2P network in this process
///
/// Starts real I2P routers in this process, which form a private network over loopback, and builds
/// tunnels. An echo client and an echo server exchange a greeting over them. Then the round trip
/// and the throughput are measured. It needs no running router and no internet, sends nothing
/// beyond loopback, and ends within a minute.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  eepkit demo                   the whole show
  eepkit demo -n 6 --length 1   fewer routers, shorter tunnels
  eepkit demo --json            the measurements as one JSON object

What is shown goes to standard output. With --json that is one JSON object (docs/cli.md), and the
steps go to standard error.")]
pub(crate) struct DemoArgs {
    /// Routers of the private network
    #[arg(short = 'n', long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u8).range(3..=32))]
    pub(crate) routers: u8,

    /// Hops of each tunnel
    #[arg(short, long, value_name = "HOPS", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=7))]
    pub(crate) length: u8,

    /// MiB to send each way for the throughput measurement; 0 leaves it out
    #[arg(long, value_name = "MIB", default_value_t = 4, value_parser = clap::value_parser!(u16).range(0..=1024))]
    pub(crate) size: u16,

    /// Print the results as one JSON object on one line
    #[arg(long)]
    pub(crate) json: bool,
}

/// Run a private I2P network in this process until Ctrl-C
///
/// Starts real I2P routers in this process, which form a private network over loopback. Each offers
/// I2CP (and SAM) on a port of 127.0.0.1 that the system chooses. Programs that are attached to
/// different routers communicate through tunnels, as on the live network. Nothing leaves the
/// machine. For development and tests: it gives no anonymity.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  eepkit devnet                          eight routers; their addresses as a table
  eepkit devnet -n 6 --json > net.json   the addresses as one JSON object, once all are ready
  eepkit devnet --sam-base 7700          programs use SAM at 127.0.0.1:7700, :7701, ...

  Then, in two other terminals, with two of the addresses:
  eepkit listen  --router i2cp://127.0.0.1:PORT1
  eepkit connect --router i2cp://127.0.0.1:PORT2 DESTINATION

With --json the line is written when the network is ready, so a program may wait for it:
  {\"version\":1,\"routers\":[{\"index\":0,\"i2cp\":\"127.0.0.1:40001\",\"sam\":\"127.0.0.1:40002\",..},..],..}
Stops with exit code 0 on SIGINT (Ctrl-C), SIGTERM and SIGHUP.")]
pub(crate) struct DevnetArgs {
    /// How many routers
    #[arg(short = 'n', long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u8).range(3..=32))]
    pub(crate) routers: u8,

    /// How many of them are floodfills, which store lease sets [default: chosen by size]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=32))]
    pub(crate) floodfills: Option<u8>,

    /// Hops of the routers' own tunnels; clients choose theirs [default: 2]
    #[arg(short, long, value_name = "HOPS", value_parser = clap::value_parser!(u8).range(1..=7))]
    pub(crate) length: Option<u8>,

    /// Put eepkit's SAM bridge in front of each router, instead of the routers' own
    #[arg(long)]
    pub(crate) sam: bool,

    /// As --sam, for router K on TCP port PORT+K and UDP port PORT+1000+K
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) sam_base: Option<u16>,

    /// Print the addresses as one JSON object on one line
    #[arg(long)]
    pub(crate) json: bool,

    /// Limit for the routers to become ready
    #[arg(long, value_name = "TIME", default_value = "60s")]
    pub(crate) timeout: Span,
}

/// Run a router and the services of a configuration file
///
/// Without a file: a router in this process, a SAM bridge, an HTTP proxy and a SOCKS proxy on the
/// usual ports. With a file: the services that it names, and a SAM bridge. The file is
/// eepkit/eepkit.toml in the user's configuration directory, if it is there, or that of --config.
/// Unknown keys are errors, which name the line and the most similar key.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  eepkit run                                run with the defaults, or the user's file
  eepkit run --print-config > eepkit.toml   a file with every key, explained
  eepkit run --config eepkit.toml --check   see whether a file can be used
  eepkit run --config eepkit.toml

Paths in the file are relative to it. On SIGHUP or `eepkit reload` the file is read again: services
whose section has changed are restarted, the others go on and read their certificates and users
again. If the file has an error, or a service cannot be started, the old configuration stays in use.
Stops with exit code 0 on SIGINT (Ctrl-C), SIGTERM and `eepkit stop`. `eepkit status` shows what it
does.")]
pub(crate) struct RunArgs {
    /// The configuration file
    #[arg(
        short,
        long,
        value_name = "FILE",
        env = "EEPKIT_CONFIG",
        hide_env_values = true
    )]
    pub(crate) config: Option<PathBuf>,

    /// Check the file without running anything
    #[arg(long, conflicts_with = "print_config")]
    pub(crate) check: bool,

    /// Print a file with every key, its default and what it does
    #[arg(long)]
    pub(crate) print_config: bool,

    /// Print where the services listen as one JSON object on one line
    #[arg(long)]
    pub(crate) json: bool,

    /// Unix socket for `eepkit status`, `reload` and `stop` [default: control.sock in eepkit/ of
    /// $XDG_RUNTIME_DIR]
    #[arg(
        long,
        value_name = "PATH",
        env = "EEPKIT_CONTROL",
        hide_env_values = true
    )]
    pub(crate) control: Option<PathBuf>,

    /// Run without a control socket
    #[arg(long, conflicts_with = "control")]
    pub(crate) no_control: bool,
}

/// Show what a running `eepkit run` does
///
/// Shows the router with its stages, the services with their addresses, and the sessions, each with
/// the time since its stage was reached and what it waits for.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  eepkit status
  eepkit status --watch            again after each change, until the program ends or Ctrl-C
  eepkit status --json | jq .ready
  eepkit status --json --watch     one JSON object per change

Exit code 0 if it runs, ready or not; 3 if no `eepkit run` answers. docs/control.md describes the
JSON object.")]
pub(crate) struct StatusArgs {
    /// Continue, and show each change
    #[arg(short, long)]
    pub(crate) watch: bool,

    /// Print the status as one JSON object on one line
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) control: ControlArgs,
}

/// Wait until a running `eepkit run` is ready
///
/// Ready means that the router has tunnels (or answers, if it is another process) and that all
/// services run. Waits for the program to start, too.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  eepkit run & eepkit wait-ready && ./client
  eepkit wait-ready --timeout 5m
  eepkit wait-ready --verified     until peers can find every session

Exit codes: 0 ready; 6 not ready within the timeout, with the stage that it got to and the reason
for waiting; 1 a service or the router failed, so that waiting is of no use; 3 no `eepkit run`
answered within the timeout.")]
pub(crate) struct WaitReadyArgs {
    /// Give up after this
    #[arg(short, long, value_name = "TIME", default_value = "3m")]
    pub(crate) timeout: Span,

    /// Wait for at least one session, and for all sessions to be ready
    #[arg(long)]
    pub(crate) sessions: bool,

    /// As --sessions, and until a look-up has found the lease set of each session
    #[arg(long)]
    pub(crate) verified: bool,

    /// Print the status as one JSON object on one line when ready
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) control: ControlArgs,
}

/// Let a running `eepkit run` read its configuration again
///
/// Does what SIGHUP does, and reports what was done: exit code 7 if the file cannot be used, and 1
/// if a service cannot be started.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  eepkit reload
  eepkit reload --json | jq '.services[] | select(.error)'")]
pub(crate) struct ReloadArgs {
    /// Print what was done as one JSON object on one line
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) control: ControlArgs,
}

/// Stop a running `eepkit run`
///
/// Does what SIGTERM does, and returns when the services and the router have stopped.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  eepkit stop
  eepkit stop --control /run/eepkit/control.sock")]
pub(crate) struct StopArgs {
    /// Give up waiting after this; the program continues to stop
    #[arg(short, long, value_name = "TIME", default_value = "60s")]
    pub(crate) timeout: Span,

    #[command(flatten)]
    pub(crate) control: ControlArgs,
}

/// Find out why I2P does not work
///
/// Goes through the stages of getting online one by one: the clock, the router's address, the
/// connection, the protocol, a session, its tunnels, its lease set, a look-up of its destination,
/// and a stream to it from a second destination. Names the first that fails, and what to do.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  eepkit doctor                                  the router at i2cp://127.0.0.1:7654
  eepkit doctor --router sam://127.0.0.1
  eepkit doctor --router embedded --json

The exit code is that of the first stage that failed; 0 if none did. With --json, standard output
has one object per stage and one with the result.")]
pub(crate) struct DoctorArgs {
    /// Limit for each stage that waits for the network
    #[arg(short, long, value_name = "TIME", default_value = "60s")]
    pub(crate) timeout: Span,

    /// Print JSON objects, one per line
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) router: RouterArgs,

    #[command(flatten)]
    pub(crate) session: SessionArgs,
}

/// Wait for a stream and connect it to standard input and output
///
/// Puts a destination online, prints its address on standard error, and waits. The first stream
/// that arrives is connected to standard input and output, as by netcat. When both sides have
/// closed it, the program ends. With --exec, a command serves each stream instead.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  eepkit listen > received.bin                        receive one file
  eepkit listen --keys server.dat                     under an address that stays the same
  eepkit listen --keys server.dat -k --exec cat       an echo server
  eepkit listen --router embedded --keys server.dat   on the live network, with a router of its own
  eepkit listen --datagram -k                         print datagrams; answer with what is typed

Half close: the end of standard input closes our direction only; what the peer still sends is
received until it closes its direction. When the peer has closed its direction, what comes on
standard input is still sent to it, unless standard input is a terminal: then the program ends.

--exec runs `sh -c COMMAND` for each stream, with the stream as its standard input and output. Its
environment tells who called: EEPKIT_PEER (.b32.i2p address), EEPKIT_PEER_PORT, EEPKIT_PORT.")]
pub(crate) struct ListenArgs {
    /// Port of the destination to listen on; 0 accepts streams to any port
    #[arg(short, long, default_value_t = 0)]
    pub(crate) port: u16,

    /// Serve each stream with a shell command instead of standard input and output
    #[arg(short, long, value_name = "COMMAND")]
    pub(crate) exec: Option<String>,

    /// Receive datagrams instead of streams: 1 (the default), 2, 3 or raw
    ///
    /// Each is printed on a line of its own, with the sender and the payload. With --keep-open, each
    /// line of standard input is sent to the sender of the last datagram. The formats are described at `eepkit
    /// connect --help`.
    #[arg(
        short,
        long,
        value_name = "FORMAT",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "1",
        conflicts_with = "exec",
        hide_possible_values = true
    )]
    pub(crate) datagram: Option<DatagramFormat>,

    /// Continue to listen after the first stream or datagram, until Ctrl-C
    ///
    /// With --exec, streams are served concurrently; without it, one after the other.
    #[arg(short, long)]
    pub(crate) keep_open: bool,

    /// Streams served concurrently with --exec; further ones wait
    #[arg(long, value_name = "N", default_value_t = 64, requires = "exec", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) max_streams: u16,

    /// Give up when no stream or datagram has arrived after this [default: wait for ever]
    #[arg(short, long, value_name = "TIME")]
    pub(crate) timeout: Option<Span>,

    /// Private key file of the destination; created if it does not exist
    ///
    /// Without it, a new destination is created for this run and discarded afterwards.
    #[arg(short = 'K', long, value_name = "FILE")]
    pub(crate) keys: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) router: RouterArgs,

    #[command(flatten)]
    pub(crate) session: SessionArgs,
}

/// Open a stream to a destination and connect it to standard input and output
///
/// DEST is a destination in base64, a .b32.i2p address, or a host name of the router's address
/// book.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  eepkit connect echo.i2p                        type, and see what comes back
  eepkit connect abc...xyz.b32.i2p:80 < request  to port 80
  eepkit connect DEST < file > answer            both ways, as fast as the tunnels are
  printf 'GET / HTTP/1.0\\r\\nHost: i2p-projekt.i2p\\r\\n\\r\\n' | eepkit connect i2p-projekt.i2p
  eepkit connect --datagram DEST:7               a datagram for each line

Datagram formats: 1 carries the sender's destination and signature, and is what every router and
program understands; 2 also says who it is for, so that nobody can send it on to others; 3 says who
sent it and proves nothing; raw says nothing. Both sides must use the same.

Half close: the end of standard input closes our direction only; the answer is received until the
peer closes its direction. When the peer has closed its direction, what comes on standard input is
still sent to it, unless standard input is a terminal: then the program ends.

A destination may start with a hyphen; write `eepkit connect -- DEST` should it be taken for an
option.")]
pub(crate) struct ConnectArgs {
    /// The destination: base64, NAME.b32.i2p or a host name, optionally with a port
    #[arg(value_name = "DEST[:PORT]", allow_hyphen_values = true)]
    pub(crate) peer: String,

    /// Send each line as a datagram: 1 (the default), 2, 3 or raw
    ///
    /// Answers of the peer are printed, one line for each datagram.
    #[arg(
        short,
        long,
        value_name = "FORMAT",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "1",
        hide_possible_values = true
    )]
    pub(crate) datagram: Option<DatagramFormat>,

    /// How long to wait for answers after the last datagram
    #[arg(
        short,
        long,
        value_name = "TIME",
        default_value = "5s",
        requires = "datagram"
    )]
    pub(crate) wait: Span,

    /// Limit for finding the peer and for its answer
    #[arg(short, long, value_name = "TIME", default_value = "60s")]
    pub(crate) timeout: Span,

    /// Private key file to connect with (see `eepkit keys new`)
    ///
    /// Without it, a new destination is created for this stream and discarded afterwards.
    #[arg(short = 'K', long, value_name = "FILE")]
    pub(crate) keys: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) router: RouterArgs,

    #[command(flatten)]
    pub(crate) session: SessionArgs,
}

/// Measure the round trip to a destination
///
/// Sends pings of the streaming protocol. A destination answers them if its program uses streaming
/// and has not disabled the answers.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  eepkit ping echo.i2p                until Ctrl-C, then a summary
  eepkit ping -c 3 DEST               three times; exit code 0 if any was answered, else 5
  eepkit ping -c 3 --json DEST        one JSON object per ping, then one with the summary")]
pub(crate) struct PingArgs {
    /// The destination: base64, NAME.b32.i2p or a host name, optionally with a port
    #[arg(value_name = "DEST[:PORT]", allow_hyphen_values = true)]
    pub(crate) peer: String,

    /// Stop after this many pings [default: continue until Ctrl-C]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,

    /// Time from one ping to the next
    #[arg(short, long, value_name = "TIME", default_value = "1s")]
    pub(crate) interval: Span,

    /// How long to wait for each answer
    #[arg(short, long, value_name = "TIME", default_value = "10s")]
    pub(crate) timeout: Span,

    /// Print JSON objects, one per line
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) router: RouterArgs,

    #[command(flatten)]
    pub(crate) session: SessionArgs,
}

/// Find the destination behind a host name or a .b32.i2p address
///
/// The router looks up host names in its address book, and .b32.i2p addresses in the network, which
/// finds them only while they are online.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  eepkit lookup i2p-projekt.i2p
  eepkit lookup --json NAME.b32.i2p | jq -r .base64

A full destination in base64 is answered without a router.")]
pub(crate) struct LookupArgs {
    /// Host name, .b32.i2p address or base64 destination
    #[arg(allow_hyphen_values = true)]
    pub(crate) name: String,

    /// Limit for the answer
    #[arg(short, long, value_name = "TIME", default_value = "30s")]
    pub(crate) timeout: Span,

    /// Print the answer as one JSON object on one line
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) router: RouterArgs,

    #[command(flatten)]
    pub(crate) session: SessionArgs,
}

/// Create and show private key files
///
/// Whoever has the private key file of a destination can act as that destination. The format is that
/// of SAM, i2pd and Java I2P. Files are written atomically and are readable by their owner only.
#[derive(Debug, Args)]
pub(crate) struct KeysArgs {
    #[command(subcommand)]
    pub(crate) command: KeysCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    New(KeysNewArgs),
    Transient(KeysTransientArgs),
    Show(KeysShowArgs),
}

/// Create a destination and write its private keys to a file
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  eepkit keys new server.dat
  eepkit keys new --type ecdsa-p256 old-style.dat
  eepkit keys new --json server.dat | jq -r .b32

Keep a copy of the file: it is the address, and nobody can make it again.")]
pub(crate) struct KeysNewArgs {
    /// The file to write
    pub(crate) file: PathBuf,

    /// Type of the signing key
    #[arg(
        short = 't',
        long = "type",
        value_name = "TYPE",
        default_value = "ed25519"
    )]
    pub(crate) signature: SignatureChoice,

    /// Overwrite an existing file; the destination in it is lost
    #[arg(short, long)]
    pub(crate) force: bool,

    /// Print the result as one JSON object on one line
    #[arg(long)]
    pub(crate) json: bool,
}

/// Create a file with a transient signing key for a destination
///
/// The new file is for the same destination. Instead of the destination's signing key it contains a
/// transient one, which the destination's key certifies until a date. Keep the original offline and
/// run the service with the transient file: whoever steals it can use the address only until that
/// date.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  eepkit keys new offline.dat
  eepkit keys transient offline.dat server.dat --expires 90d
  eepkit listen --keys server.dat -k --exec ./service")]
pub(crate) struct KeysTransientArgs {
    /// The private key file of the destination
    pub(crate) from: PathBuf,

    /// The file to write
    pub(crate) file: PathBuf,

    /// How long the transient key is valid
    #[arg(short, long, value_name = "TIME", default_value = "90d")]
    pub(crate) expires: Span,

    /// Type of the transient signing key
    #[arg(
        short = 't',
        long = "type",
        value_name = "TYPE",
        default_value = "ed25519"
    )]
    pub(crate) signature: SignatureChoice,

    /// Overwrite an existing file
    #[arg(short, long)]
    pub(crate) force: bool,

    /// Print the result as one JSON object on one line
    #[arg(long)]
    pub(crate) json: bool,
}

/// Show the contents of a private key file
///
/// The private keys themselves are shown only with --private.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  eepkit keys show server.dat
  eepkit keys show --json server.dat | jq -r .b32")]
pub(crate) struct KeysShowArgs {
    /// The file to read
    pub(crate) file: PathBuf,

    /// Show the private keys too, in base64, as used by SAM
    #[arg(long)]
    pub(crate) private: bool,

    /// Print one JSON object on one line
    #[arg(long)]
    pub(crate) json: bool,
}

/// Signature types that keys can be made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SignatureChoice {
    /// The default of all routers (type 7).
    #[value(alias = "7")]
    Ed25519,
    /// ECDSA with SHA-256 on P-256 (type 1).
    #[value(name = "ecdsa-p256", alias = "1")]
    EcdsaP256,
    /// ECDSA with SHA-384 on P-384 (type 2).
    #[value(name = "ecdsa-p384", alias = "2")]
    EcdsaP384,
    /// ECDSA with SHA-512 on P-521 (type 3).
    #[value(name = "ecdsa-p521", alias = "3")]
    EcdsaP521,
    /// RedDSA on Ed25519, for encrypted lease sets (type 11).
    #[value(name = "reddsa", alias = "11")]
    RedDsa,
}

fn after_long_help() -> String {
    format!(
        "\
First steps:
  eepkit demo                    see it work; needs nothing else
  eepkit devnet                  a private network to try the other commands on
  eepkit listen                  wait for a stream; prints the address to connect to
  eepkit connect DEST            from another terminal

Data goes to standard output, everything else to standard error.

{}

Environment:
  EEPKIT_ROUTER   default of --router
  EEPKIT_STATE    default of --state-dir
  EEPKIT_CONFIG   default of --config
  EEPKIT_CONTROL  default of --control
  RUST_LOG        what to log, instead of -v
  NO_COLOR        no colours",
        exit::table()
    )
}

#[cfg(test)]
mod tests;
