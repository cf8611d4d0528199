//! A network of real routers with our SAM bridges, for third-party SAM clients.

use std::net::{Ipv4Addr, SocketAddr};

use eepkit::{Devnet, Router};
use eepkit_services::sam::{SamBridge, SamConfig};
use libtest_mimic::Failed;

/// Two bridges, each to a different router of one network.
#[derive(Debug)]
pub(crate) struct Bridges {
    bridges: Vec<SamBridge>,
    // Dropped after the bridges, so that their sessions end before the routers.
    _net: Devnet,
}

/// The number of routers. Chosen as enough for tunnels of three hops, which clients get by default.
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

    /// The addresses of the first bridge.
    pub(crate) fn first(&self) -> Place {
        Place::of(&self.bridges[0])
    }

    /// The addresses of the second bridge.
    pub(crate) fn second(&self) -> Place {
        Place::of(&self.bridges[1])
    }
}

/// The addresses of a bridge.
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
