//! Opens the router's ports in a home gateway over UPnP.
//!
//! A router that other routers can reach is more useful to them, and builds its own tunnels faster.
//! Behind a home gateway this requires a port mapping, which is requested over UPnP's Internet
//! Gateway Device protocol. The mapping is renewed while the router runs and removed when it stops.
//! Without a gateway that supports the protocol, the router works as it does behind a firewall.

use std::{
    fmt,
    future::Future,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use eepkit_wire::is_public_ip;
use igd_next::{
    AddPortError, PortMappingProtocol, SearchOptions,
    aio::{Gateway, tokio::Tokio, tokio::search_gateway},
};
use tokio::{
    net::UdpSocket,
    sync::mpsc,
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// The description of the mapping in the gateway's user interface.
const DESCRIPTION: &str = "I2P (eepkit)";

/// The lifetime of a mapping. Chosen so that a mapping that remains after a crash expires within an
/// hour.
const LEASE: Duration = Duration::from_secs(3600);

/// How often mappings are renewed and the external address is queried. Chosen so that a lease
/// survives one failed renewal.
const RENEWAL: Duration = Duration::from_secs(20 * 60);

/// How long the search for a gateway and each request may take. Chosen because gateways answer
/// within a second, if at all.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// A port that other routers are to reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MappedPort {
    Tcp(u16),
    Udp(u16),
}

/// Maintains mappings until it is stopped.
#[derive(Debug)]
pub(crate) struct PortMapper {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl PortMapper {
    /// Maps `ports` in the background, and sends the external address whenever it changes.
    pub(crate) fn start(ports: Vec<MappedPort>, external: mpsc::Sender<Ipv4Addr>) -> Self {
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            match stopped.run_until_cancelled(Upnp::search()).await {
                Some(Ok(gateway)) => keep(gateway, &ports, external, stopped).await,
                Some(Err(error)) => {
                    tracing::info!(%error, "the router's ports cannot be opened automatically");
                }
                None => {}
            }
        });
        Self { stop, task }
    }

    /// Removes the mappings. Returns when they are removed.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        // Each removal has a deadline.
        let _ = (&mut self.task).await;
    }
}

impl Drop for PortMapper {
    /// Removes the mappings in the background.
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A device that maps ports.
trait PortGateway {
    fn map(&self, port: MappedPort) -> impl Future<Output = Result<(), GatewayError>> + Send;
    fn unmap(&self, port: MappedPort) -> impl Future<Output = Result<(), GatewayError>> + Send;
    fn external_address(&self) -> impl Future<Output = Result<IpAddr, GatewayError>> + Send;
}

/// The error that a gateway reported, or that it did not answer.
#[derive(Debug)]
struct GatewayError(String);

impl fmt::Display for GatewayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

async fn keep(
    gateway: impl PortGateway,
    ports: &[MappedPort],
    external: mpsc::Sender<Ipv4Addr>,
    stop: CancellationToken,
) {
    let mut known = None;
    loop {
        let mut mapped = false;
        for port in ports {
            match gateway.map(*port).await {
                Ok(()) => mapped = true,
                Err(error) => tracing::info!(?port, %error, "the gateway does not open a port"),
            }
        }
        // An address must not be published if no port is mapped on it.
        if mapped {
            match gateway.external_address().await {
                // Behind two gateways, the outer one hides the inner one.
                Ok(IpAddr::V4(address))
                    if is_public_ip(address.into()) && known != Some(address) =>
                {
                    known = Some(address);
                    if external.send(address).await.is_err() {
                        break;
                    }
                }
                Ok(_) => {}
                Err(error) => tracing::debug!(%error, "the gateway does not report its address"),
            }
        }
        if stop.run_until_cancelled(sleep(RENEWAL)).await.is_none() {
            break;
        }
    }
    for port in ports {
        if let Err(error) = gateway.unmap(*port).await {
            tracing::debug!(?port, %error, "the gateway does not close a port; its lease expires");
        }
    }
}

struct Upnp {
    gateway: Gateway<Tokio>,
    local: IpAddr,
}

impl Upnp {
    async fn search() -> Result<Self, GatewayError> {
        let gateway = within(search_gateway(SearchOptions::default())).await?;
        // Selects the local address from which this machine reaches the gateway. Connecting a UDP
        // socket sends nothing.
        let local = async {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
            socket.connect(gateway.addr).await?;
            socket.local_addr()
        };
        let local = local
            .await
            .map_err(|error| GatewayError(error.to_string()))?
            .ip();
        Ok(Self { gateway, local })
    }
}

fn split(port: MappedPort) -> (PortMappingProtocol, u16) {
    match port {
        MappedPort::Tcp(port) => (PortMappingProtocol::TCP, port),
        MappedPort::Udp(port) => (PortMappingProtocol::UDP, port),
    }
}

async fn within<T, E: fmt::Display>(
    request: impl Future<Output = Result<T, E>>,
) -> Result<T, GatewayError> {
    match timeout(REQUEST_TIMEOUT, request).await {
        Ok(result) => result.map_err(|error| GatewayError(error.to_string())),
        Err(_) => Err(GatewayError(format!(
            "no answer within {REQUEST_TIMEOUT:?}"
        ))),
    }
}

impl PortGateway for Upnp {
    async fn map(&self, port: MappedPort) -> Result<(), GatewayError> {
        let (protocol, number) = split(port);
        let local = SocketAddr::new(self.local, number);
        let add = |lease: u32| async move {
            // The router publishes the port at which it listens, so the external port must be the
            // same.
            self.gateway
                .add_port(protocol, number, local, lease, DESCRIPTION)
                .await
        };
        within(async {
            match add(u32::try_from(LEASE.as_secs()).unwrap_or(u32::MAX)).await {
                // Old gateways do not support leases.
                Err(AddPortError::OnlyPermanentLeasesSupported) => add(0).await,
                result => result,
            }
        })
        .await
    }

    async fn unmap(&self, port: MappedPort) -> Result<(), GatewayError> {
        let (protocol, number) = split(port);
        within(self.gateway.remove_port(protocol, number)).await
    }

    async fn external_address(&self) -> Result<IpAddr, GatewayError> {
        within(self.gateway.get_external_ip()).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Fake {
        calls: Arc<Mutex<Vec<String>>>,
        address: Arc<Mutex<Option<Ipv4Addr>>>,
        refuses: bool,
    }

    impl Fake {
        fn note(&self, call: String) -> Result<(), GatewayError> {
            self.calls.lock().unwrap().push(call);
            if self.refuses {
                Err(GatewayError("no".to_owned()))
            } else {
                Ok(())
            }
        }
    }

    impl PortGateway for Fake {
        async fn map(&self, port: MappedPort) -> Result<(), GatewayError> {
            self.note(format!("map {port:?}"))
        }

        async fn unmap(&self, port: MappedPort) -> Result<(), GatewayError> {
            self.note(format!("unmap {port:?}"))
        }

        async fn external_address(&self) -> Result<IpAddr, GatewayError> {
            let address = *self.address.lock().unwrap();
            address
                .map(IpAddr::V4)
                .ok_or_else(|| GatewayError("no".to_owned()))
        }
    }

    fn run(fake: &Fake) -> (mpsc::Receiver<Ipv4Addr>, CancellationToken, JoinHandle<()>) {
        let (sender, receiver) = mpsc::channel(4);
        let (stop, fake) = (CancellationToken::new(), fake.clone());
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            keep(
                fake,
                &[MappedPort::Tcp(1), MappedPort::Udp(2)],
                sender,
                stopped,
            )
            .await;
        });
        (receiver, stop, task)
    }

    #[tokio::test(start_paused = true)]
    async fn mappings_are_renewed_and_removed_and_each_new_address_is_sent_once() {
        let fake = Fake::default();
        let first = Ipv4Addr::new(5, 5, 5, 5);
        *fake.address.lock().unwrap() = Some(first);
        let (mut addresses, stop, task) = run(&fake);
        assert_eq!(addresses.recv().await, Some(first));

        sleep(RENEWAL * 5 / 2).await;
        let second = Ipv4Addr::new(6, 6, 6, 6);
        *fake.address.lock().unwrap() = Some(second);
        assert_eq!(addresses.recv().await, Some(second));
        stop.cancel();
        task.await.unwrap();

        assert!(addresses.recv().await.is_none());
        let calls = fake.calls.lock().unwrap();
        let count = |call: &str| calls.iter().filter(|made| *made == call).count();
        assert_eq!(count("map Tcp(1)"), 4);
        assert_eq!(count("map Udp(2)"), 4);
        assert_eq!(calls[calls.len() - 2..], ["unmap Tcp(1)", "unmap Udp(2)"]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_without_a_mapping_is_not_sent() {
        let fake = Fake {
            refuses: true,
            ..Fake::default()
        };
        *fake.address.lock().unwrap() = Some(Ipv4Addr::new(5, 5, 5, 5));
        let (mut addresses, stop, task) = run(&fake);

        sleep(RENEWAL * 2).await;
        stop.cancel();
        task.await.unwrap();

        assert!(addresses.recv().await.is_none());
    }
}
