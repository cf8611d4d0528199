//! The configuration of one router.

use std::{fs, io, net::Ipv4Addr, path::PathBuf};

/// The network number. Chosen because it is neither the live network's (2) nor a devnet's, so that
/// other networks refuse a router of this one.
const NETWORK: u8 = 77;

/// The configuration of one router.
#[derive(Debug)]
pub(super) struct RouterConfig {
    /// The index in the network, which determines the address.
    pub(super) index: usize,
    /// The directory for all files of the router.
    pub(super) dir: PathBuf,
    /// Whether the router is a floodfill.
    pub(super) floodfill: bool,
    /// The ports at which the router listens.
    pub(super) ports: Ports,
    /// Whether this i2pd is newer than 2.45.
    pub(super) newer: bool,
}

/// The ports of one router: `ntcp2` at the router's own address, the others at 127.0.0.1.
#[derive(Debug)]
pub(super) struct Ports {
    pub(super) ntcp2: u16,
    pub(super) console: u16,
    pub(super) sam: u16,
    pub(super) sam_udp: u16,
    pub(super) i2cp: u16,
    pub(super) bob: u16,
}

/// The address at which a router listens for other routers.
pub(super) fn real_address(index: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 18, host_part(index), 1)
}

/// The address of a router in the network database. `loopback.c` maps the two onto each other.
fn shown_address(index: usize) -> Ipv4Addr {
    Ipv4Addr::new(198, 18, host_part(index), 1)
}

fn host_part(index: usize) -> u8 {
    u8::try_from(index + 1).expect("a test network has fewer than 255 routers")
}

impl RouterConfig {
    /// The configuration file.
    pub(super) fn path(&self) -> PathBuf {
        self.dir.join("router.conf")
    }

    /// The file of tunnels.
    pub(super) fn tunnels(&self) -> PathBuf {
        self.dir.join("tunnels.conf")
    }

    /// The log file.
    pub(super) fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    /// The file with the standard error of the process.
    pub(super) fn errors(&self) -> PathBuf {
        self.dir.join("stderr")
    }

    /// Writes the configuration file, and creates the directory for it.
    ///
    /// The address book is enabled because i2pd 2.45 crashes at STREAM CONNECT without one. I2CP
    /// uses one thread, as it does by default: with a thread for each session, i2pd 2.45 writes to
    /// the socket from two of them without a lock. Exploratory tunnels are short inbound and long
    /// outbound, so that the first outbound tunnels of a session are up before its inbound ones. In
    /// the other order, i2pd does not publish the lease set before the next inbound tunnel is up.
    ///
    /// The option `sam.portudp` was added after 2.45, with a fixed default. Before, the UDP port
    /// follows the TCP port. Newer routers without NAT publish the address that they are bound to
    /// instead of `host`. Other routers then refuse their connections, which arrive from another
    /// address.
    pub(super) fn write(&self) -> io::Result<()> {
        fs::create_dir_all(&self.dir)?;
        let Ports {
            ntcp2,
            console,
            sam,
            sam_udp,
            i2cp,
            bob,
        } = self.ports;
        let portudp = if self.newer {
            format!("portudp = {sam_udp}\n")
        } else {
            String::new()
        };
        let text = format!(
            "netid = {NETWORK}\n\
             host = {shown}\n\
             address4 = {real}\n\
             port = {ntcp2}\n\
             ipv4 = true\n\
             ipv6 = false\n\
             nat = {newer}\n\
             reservedrange = false\n\
             floodfill = {floodfill}\n\
             bandwidth = X\n\
             share = 100\n\
             log = file\n\
             logfile = {log}\n\
             loglevel = warn\n\
             [http]\nenabled = true\naddress = 127.0.0.1\nport = {console}\n\
             [httpproxy]\nenabled = false\n\
             [socksproxy]\nenabled = false\n\
             [sam]\nenabled = true\naddress = 127.0.0.1\nport = {sam}\n{portudp}\
             [i2cp]\nenabled = true\naddress = 127.0.0.1\nport = {i2cp}\nsinglethread = true\n\
             [bob]\nenabled = true\naddress = 127.0.0.1\nport = {bob}\n\
             [reseed]\nurls =\nyggurls =\nthreshold = 0\n\
             [ntcp2]\nenabled = true\npublished = true\n\
             [ssu2]\nenabled = false\npublished = false\n\
             [limits]\ntransittunnels = 5000\n\
             [addressbook]\nenabled = true\n\
             [exploratory]\ninbound.length = 1\noutbound.length = 3\n",
            shown = shown_address(self.index),
            real = real_address(self.index),
            newer = self.newer,
            floodfill = self.floodfill,
            log = self.log().display(),
        );
        fs::write(self.tunnels(), "")?;
        fs::write(self.path(), text)
    }
}
