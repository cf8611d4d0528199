//! One running router.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use eepkit_link::{BoxFuture, RouterStage, status::Reporter};
use emissary_core::router::{Router, RouterBuilder};
use tokio::{sync::mpsc, time::timeout};

use super::{config::emissary_config, hosts::Hosts, runtime::Runtime, scope::Scope};
use crate::{
    backend::{
        clients::{self, Clients},
        config::RouterConfig,
        interface::{self, Addresses},
    },
    error::StartError,
};

/// How long the backup of router infos and profiles may take when a router stops. Chosen because it
/// takes milliseconds.
const BACKUP_DEADLINE: Duration = Duration::from_secs(2);

/// How long the tasks of a router may take to end. Chosen because it takes milliseconds, and a task
/// is late only if the executor is blocked.
const STOP_DEADLINE: Duration = Duration::from_secs(10);

/// The maximum number of external addresses that the router has not read yet. Chosen because the
/// router reads them immediately, and port mapping waits if a router that hangs leaves the queue
/// full.
const EXTERNAL_ADDRESSES: usize = 4;

/// A running router.
#[derive(Debug)]
pub(crate) struct Instance {
    scope: Arc<Scope>,
    addresses: Addresses,
    router_info: Vec<u8>,
    clients: Clients,
    external: mpsc::Sender<Ipv4Addr>,
    reporter: Arc<Reporter<RouterStage>>,
}

impl Instance {
    /// Starts a router.
    pub(crate) async fn start(
        config: RouterConfig,
        reporter: Arc<Reporter<RouterStage>>,
    ) -> Result<Self, StartError> {
        let scope = Scope::new(config.reach.clone());
        // Until the instance exists, dropping this future stops everything that was started.
        let stop = StopOnDrop(Some(Arc::clone(&scope)));
        scope.allow_tunnels(config.build_tunnels);
        let (clients, listener) = clients::channel();
        scope.offer_clients(listener, config.i2cp_port);
        let (router, router_info) = build(&scope, config).await?;

        let info = router.protocol_address_info();
        let addresses = Addresses {
            ntcp2_port: info.ntcp2_port,
            ssu2_port: info.ssu2_port,
            i2cp: info.i2cp,
            sam_tcp: info.sam_tcp,
            sam_udp: info.sam_udp,
        };
        let (external, external_addresses) = mpsc::channel(EXTERNAL_ADDRESSES);
        scope.spawn(run(router, external_addresses, Arc::clone(&reporter)));
        scope.spawn(follow(Arc::clone(&scope), Arc::clone(&reporter)));
        stop.defuse();
        Ok(Self {
            scope,
            addresses,
            router_info,
            clients,
            external,
            reporter,
        })
    }
}

impl interface::Instance for Instance {
    fn addresses(&self) -> Addresses {
        self.addresses
    }

    fn router_info(&self) -> &[u8] {
        &self.router_info
    }

    fn clients(&self) -> Clients {
        self.clients.clone()
    }

    fn external_addresses(&self) -> mpsc::Sender<Ipv4Addr> {
        self.external.clone()
    }

    fn allow_tunnels(&self) {
        self.scope.allow_tunnels(true);
    }

    fn stop(&self) -> BoxFuture<()> {
        let scope = Arc::clone(&self.scope);
        let reporter = Arc::clone(&self.reporter);
        let stop = StopOnDrop(Some(Arc::clone(&scope)));
        Box::pin(async move {
            scope.back_up(BACKUP_DEADLINE).await;
            reporter.enter(RouterStage::Stopped);
            drop(stop);
            if timeout(STOP_DEADLINE, scope.finished()).await.is_err() {
                tracing::warn!("tasks of a stopped router are still running");
            }
        })
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.reporter.enter(RouterStage::Stopped);
        self.scope.cancel();
    }
}

/// Ends the tasks of a router when it is dropped, unless it was defused.
struct StopOnDrop(Option<Arc<Scope>>);

impl StopOnDrop {
    fn defuse(mut self) {
        self.0 = None;
    }
}

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        if let Some(scope) = &self.0 {
            scope.cancel();
        }
    }
}

/// Builds a router whose tasks run in `scope`. Returns it with its router info.
async fn build(
    scope: &Arc<Scope>,
    config: RouterConfig,
) -> Result<(Router<Runtime>, Vec<u8>), StartError> {
    let mut emissary = emissary_config(&config);
    let RouterConfig {
        routers,
        profiles,
        hosts,
        keeper,
        listener,
        ..
    } = config;
    emissary.routers = routers;
    emissary.profiles = profiles
        .into_iter()
        .map(|(name, profile)| (name, profile.into()))
        .collect();
    if let Some(socket) = listener {
        let bound = socket.local_addr().ok();
        if let Some(address) = bound.and_then(|address| address.as_socket()) {
            scope.reserve(address, socket);
        }
    }
    let mut builder =
        RouterBuilder::<Runtime>::new(emissary).with_address_book(Arc::new(Hosts(hosts)));
    if let Some(keeper) = keeper {
        builder = builder.with_storage(Arc::new(keeper));
    }
    // The event stream reports once a second what the meters report immediately. Without a reader
    // it fills up, and the router ignores that.
    match scope.enter(builder.build()).await {
        Ok((router, _, router_info)) => Ok((router, router_info)),
        Err(error) => Err(match scope.take_bind_error() {
            Some((address, source)) => StartError::Bind { address, source },
            None => StartError::Router(error.to_string()),
        }),
    }
}

/// Polls the router until it ends.
async fn run(
    mut router: Router<Runtime>,
    mut external_addresses: mpsc::Receiver<Ipv4Addr>,
    reporter: Arc<Reporter<RouterStage>>,
) {
    loop {
        tokio::select! {
            () = &mut router => break,
            Some(address) = external_addresses.recv() => router.add_external_address(address),
        }
    }
    reporter.fail(&"the router ended by itself");
}

/// Derives the router's stage from its meters.
async fn follow(scope: Arc<Scope>, reporter: Arc<Reporter<RouterStage>>) {
    let mut activity = scope.activity();
    drop(scope);
    loop {
        let counted = *activity.borrow_and_update();
        reporter.count(counted, counted.stage());
        if activity.changed().await.is_err() {
            return;
        }
    }
}
