//! Our bridges, in this process or in a separate one. The memory and processor time of a separate
//! process can be measured.

use std::{
    env, io,
    net::{Ipv4Addr, SocketAddr},
    process::Stdio,
};

use eepkit::Router;
use eepkit_bench_common::Outcome;
use eepkit_services::sam::{SamBridge, SamConfig};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    process::{Child, Command},
};

/// The addresses of a bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// For sockets of clients.
    pub(crate) tcp: SocketAddr,
    /// For datagrams.
    pub(crate) udp: SocketAddr,
}

/// A bridge to a router in this process.
pub(crate) async fn start(router: Router) -> Outcome<(SamBridge, Place)> {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let config = SamConfig::new().listen(any).udp(any);
    let bridge = SamBridge::start(router, config).await?;
    let place = Place {
        tcp: bridge.tcp_addrs()[0],
        udp: bridge.udp_addrs()[0],
    };
    Ok((bridge, place))
}

/// Bridges in a separate process. Dropping this ends the process.
pub(crate) struct BridgeProcess {
    child: Child,
    pub(crate) places: Vec<Place>,
}

impl BridgeProcess {
    /// Starts one with a bridge to each router.
    pub(crate) async fn start(routers: &[String]) -> Outcome<Self> {
        let mut child = Command::new(env::current_exe()?)
            .arg("bridge")
            .args(routers)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdout = child.stdout.take().ok_or("its output is piped")?;
        let mut lines = BufReader::new(stdout).lines();
        let mut places = Vec::new();
        for _ in routers {
            let line = lines.next_line().await?.ok_or("the bridge ended")?;
            let (tcp, udp) = line
                .split_once(' ')
                .ok_or("the bridge did not report two addresses")?;
            places.push(Place {
                tcp: tcp.parse()?,
                udp: udp.parse()?,
            });
        }
        Ok(Self { child, places })
    }

    pub(crate) fn id(&self) -> Option<u32> {
        self.child.id()
    }
}

/// The main function of [`BridgeProcess`]. Prints the addresses of its bridges, and ends at the end
/// of standard input.
pub(crate) async fn serve(routers: &[String]) -> Outcome<()> {
    let mut bridges = Vec::new();
    for router in routers {
        let (bridge, place) = start(Router::attach(router)?).await?;
        bridges.push(bridge);
        let line = format!("{} {}\n", place.tcp, place.udp);
        io::Write::write_all(&mut io::stdout(), line.as_bytes())?;
    }
    io::Write::flush(&mut io::stdout())?;
    tokio::io::stdin().read_to_end(&mut Vec::new()).await?;
    for bridge in bridges {
        bridge.stop().await;
    }
    Ok(())
}
