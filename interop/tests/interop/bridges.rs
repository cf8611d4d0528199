//! A network of real routers with our SAM bridges, for SAM clients of others.

use std::net::{Ipv4Addr, SocketAddr};

use eepkit::{Devnet, Router};
use eepkit_services::sam::{SamBridge, SamConfig};
use libtest_mimic::Failed;

/// Two bridges, each to a router of its own in one network.
#[derive(Debug)]
pub(crate) struct Bridges {
    bridges: Vec<SamBridge>,
    // The bridges' sessions end before their routers do.
    _net: Devnet,
}

/// Routers of the network: enough for tunnels of three hops, which clients ask for that ask for
/// nothing.
const ROUTERS: usize = 6;

impl Bridges {
    /// Starts routers and bridges.
    pub(crate) async fn start() -> Result<Self, Failed> {
        let net = Devnet::builder()
            .routers(ROUTERS)
            .sam(false)
            .start()
            .await?;
        let mut bridges = Vec::new();
        for index in 0..2 {
            let i2cp = net
                .router(index)
                .i2cp_addr()
                .ok_or("the router offers no I2CP")?;
            let router = Router::attach(&format!("i2cp://{i2cp}"))?;
            let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            let config = SamConfig::new().listen(any).udp(any);
            bridges.push(SamBridge::start(router, config).await?);
        }
        Ok(Self { bridges, _net: net })
    }

    /// Where the first bridge is.
    pub(crate) fn first(&self) -> Place {
        Place::of(&self.bridges[0])
    }

    /// Where the second one is.
    pub(crate) fn second(&self) -> Place {
        Place::of(&self.bridges[1])
    }
}

/// Where a bridge is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// For sockets of clients.
    pub(crate) tcp: SocketAddr,
    /// For datagrams.
    pub(crate) udp: SocketAddr,
}

impl Place {
    fn of(bridge: &SamBridge) -> Self {
        Self {
            tcp: bridge.tcp_addrs()[0],
            udp: bridge.udp_addrs()[0],
        }
    }
}
