//! The networks, and the compared implementations on them.

use std::{any::Any, fmt, net::Ipv4Addr, process, time::Duration};

use eepkit::{PrivateKeys, Router, sim::SimNet};
use eepkit_bench_common::{Outcome, Tunnels, processes, say};
use eepkit_interop::{I2pdNet, I2pdRouter};
use eepkit_services::service::Context;
use eepkit_wire::SignatureType;
use tokio::net::TcpListener;

use crate::{
    args::Options,
    bytes::Pair,
    route::Route,
    services::{Addresses, Services, ServicesProcess},
    site::Site,
};

/// The measured implementation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Column {
    Library,
    Ours,
    I2pd,
}

/// The names of the columns.
pub(crate) const COLUMNS: &[&str] = &["the library", "ours", "i2pd's"];

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(COLUMNS[*self as usize])
    }
}

/// A compared implementation.
pub(crate) struct Subject {
    pub(crate) column: Column,
    /// The way of requests to the site.
    pub(crate) route: Route,
    /// The ends of connections through tunnels.
    pub(crate) pair: Pair,
    /// The processes of the proxy and the tunnels.
    pub(crate) pids: Vec<u32>,
}

impl Subject {
    /// Processor time so far of this process and the one of our services.
    pub(crate) fn own_cpu(&self) -> Outcome<Duration> {
        let me = process::id();
        let mut total = processes::cpu(me)?;
        if self.column == Column::Ours {
            for pid in self.pids.iter().filter(|pid| **pid != me) {
                total += processes::cpu(*pid)?;
            }
        }
        Ok(total)
    }

    /// Resident memory of the processes of the proxy and the tunnels.
    pub(crate) fn memory(&self) -> Outcome<u64> {
        self.pids.iter().map(|pid| processes::memory(*pid)).sum()
    }
}

/// A network with a site and all implementations.
pub(crate) struct Setup {
    pub(crate) title: String,
    pub(crate) subjects: Vec<Subject>,
    pub(crate) site: Site,
    /// The network and the services. They end with the measurements.
    _parts: Box<dyn Any>,
}

/// Routers of the i2pd network: four floodfills, one for each end, and some for hops.
const ROUTERS: usize = 8;

impl Setup {
    /// A network of i2pd routers. The library and our services use two of them over I2CP, and i2pd's
    /// proxy and tunnels are in the same two.
    pub(crate) async fn i2pd(options: &Options) -> Outcome<Self> {
        say("starting a network of i2pd routers");
        let tunnels = Tunnels { hops: options.hops };
        let net = I2pdNet::start(ROUTERS).await?;
        let ends = &net.routers()[ROUTERS - 2..];
        let (theirs, their_server) = i2pd_tunnels(&ends[0], &ends[1], tunnels).await?;
        let addresses = [0, 1].map(|end| format!("i2cp://{}", ends[end].i2cp()));

        say("opening sessions");
        let routers = [
            Router::attach(&addresses[0])?,
            Router::attach(&addresses[1])?,
        ];
        let (from, to) = tokio::try_join!(tunnels.open(&routers[0]), tunnels.open(&routers[1]))?;
        let our_server = server().await?;
        let target = our_server.local_addr()?;
        let services = ServicesProcess::start(&addresses, target, options.hops).await?;
        let ours = services.addresses;
        let of_routers = ends.iter().filter_map(I2pdRouter::id).collect();
        let subjects = vec![
            Subject {
                column: Column::Library,
                route: Route::Streams(from.clone()),
                pair: Pair::streams(from, &to)?,
                pids: vec![process::id()],
            },
            ours.subject(
                Column::Ours,
                our_server,
                services.id().into_iter().collect(),
            ),
            theirs.subject(Column::I2pd, their_server, of_routers),
        ];
        Ok(Self {
            title: "Over i2pd's routers".to_owned(),
            subjects,
            site: Site::start(to, options.response)?,
            _parts: Box::new((services, net)),
        })
    }

    /// A simulated network with little cost of its own, and everything in this process.
    pub(crate) async fn sim(options: &Options) -> Outcome<Self> {
        let tunnels = Tunnels { hops: options.hops };
        let net = SimNet::builder().delay(Duration::ZERO).start();
        let routers = [0, 1].map(|_| Router::new(net.i2cp_router()));
        let (from, to) = tokio::try_join!(tunnels.open(&routers[0]), tunnels.open(&routers[1]))?;
        let server = server().await?;
        let contexts = [0, 1].map(|_| Context::new(Router::new(net.i2cp_router())));
        let services = Services::start(&contexts, server.local_addr()?, tunnels).await?;
        let ours = services.addresses();
        let subjects = vec![
            Subject {
                column: Column::Library,
                route: Route::Streams(from.clone()),
                pair: Pair::streams(from, &to)?,
                pids: vec![process::id()],
            },
            ours.subject(Column::Ours, server, vec![process::id()]),
        ];
        Ok(Self {
            title: "Over the simulated network".to_owned(),
            subjects,
            site: Site::start(to, options.response)?,
            _parts: Box::new((services, net)),
        })
    }
}

impl Addresses {
    fn subject(self, column: Column, server: TcpListener, pids: Vec<u32>) -> Subject {
        Subject {
            column,
            route: Route::Proxy(self.proxy),
            pair: Pair::Tunnels(self.tunnel, server),
            pids,
        }
    }
}

/// A local server.
async fn server() -> Outcome<TcpListener> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?)
}

/// Adds a proxy and a client tunnel to one router, and a server tunnel to the other. Returns the
/// addresses of the first two, and the local server of the third.
async fn i2pd_tunnels(
    client: &I2pdRouter,
    server_router: &I2pdRouter,
    tunnels: Tunnels,
) -> Outcome<(Addresses, TcpListener)> {
    let keys = PrivateKeys::generate(SignatureType::ED25519, &mut rand::rng())?;
    keys.save(server_router.dir().join("server.dat"))?;
    let target = server().await?;
    let options = tunnels.to_text("\n");
    let port = target.local_addr()?.port();
    let text = format!(
        "[server]\ntype = server\nhost = 127.0.0.1\nport = {port}\nkeys = server.dat\n{options}"
    );
    server_router.set_tunnels(&text).await?;

    // Both are bound until both are chosen, so that they differ.
    let (one, other) = tokio::try_join!(server(), server())?;
    let free = [one.local_addr()?, other.local_addr()?];
    drop((one, other));
    let [proxy, tunnel] = free;
    let text = format!(
        "[proxy]\ntype = httpproxy\naddress = 127.0.0.1\nport = {}\nkeys = proxy.dat\n{options}\
         [client]\ntype = client\naddress = 127.0.0.1\nport = {}\ndestination = {}\n\
         keys = client.dat\n{options}",
        proxy.port(),
        tunnel.port(),
        keys.destination().to_b32(),
    );
    client.set_tunnels(&text).await?;
    Ok((Addresses { proxy, tunnel }, target))
}
