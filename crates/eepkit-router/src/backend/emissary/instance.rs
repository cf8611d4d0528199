//! One running router.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use eepkit_link::{RouterNotReady, RouterStage, status::Reporter};
use eepkit_wire::Hash;
use emissary_core::{
    Config,
    primitives::RouterInfo,
    router::{Router, RouterBuilder},
    runtime::{AddressBook, Storage},
};
use tokio::{sync::mpsc, time::timeout};

use super::{runtime::Runtime, scope::Scope};

/// How long a router that stops may take to hand over what it knows of other routers. Chosen
/// because it takes milliseconds.
const BACKUP_DEADLINE: Duration = Duration::from_secs(2);

/// How long the tasks of a router may take to end. Chosen because it takes milliseconds; a task
/// can only be late when the executor is blocked.
const STOP_DEADLINE: Duration = Duration::from_secs(10);

/// How often the router reports what it carries, seconds.
///
/// Two minutes after a tunnel of another router began to lead through it, emissary-core shuts the
/// tunnel down unless it carried something since the last report, which by default was less than a
/// second ago: tunnels that are merely idle die, without a word to their owners. Nobody reads the
/// reports here, so they come too rarely to do harm: as long apart as a tunnel lives.
const REPORT_INTERVAL_S: usize = 10 * 60;

/// External addresses that port mapping found and the router has not taken yet. It takes them
/// at once; more than a few would mean that it hangs, and then a newer one replaces nothing.
const EXTERNAL_ADDRESSES: usize = 4;

/// Why a router did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// An address to listen on is not to be had.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// An option has a value that cannot work.
    #[error("router option {option}: {why}")]
    BadOption {
        /// The option.
        option: &'static str,
        /// What is wrong with its value.
        why: String,
    },
    /// The state directory cannot be used.
    #[error(transparent)]
    State(#[from] crate::storage::StateError),
    /// No list of routers could be downloaded, and none is stored.
    #[error(transparent)]
    Reseed(#[from] crate::reseed::ReseedError),
    /// The routers did not become ready in time.
    #[error(transparent)]
    NotReady(#[from] RouterNotReady),
    /// The router refused to start for a reason of its own.
    #[error("the router did not start: {0}")]
    Router(String),
    /// It was stopped before it had started.
    #[error("the router was stopped while it started")]
    Stopped,
}

/// Where a running router listens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Addresses {
    pub(crate) ntcp2_port: Option<u16>,
    pub(crate) ssu2_port: Option<u16>,
    pub(crate) i2cp: Option<SocketAddr>,
    pub(crate) sam_tcp: Option<SocketAddr>,
    pub(crate) sam_udp: Option<SocketAddr>,
}

/// A running router. Dropping it stops the router without waiting.
#[derive(Debug)]
pub(crate) struct Instance {
    scope: Arc<Scope>,
    addresses: Addresses,
    id: Hash,
    router_info: Vec<u8>,
    external: mpsc::Sender<std::net::Ipv4Addr>,
    reporter: Arc<Reporter<RouterStage>>,
}

/// What a router is started with.
pub(crate) struct Parts {
    pub(crate) config: Config,
    pub(crate) address_book: Arc<dyn AddressBook>,
    pub(crate) storage: Option<Arc<dyn Storage>>,
}

impl Instance {
    /// Starts a router in `scope`. Cancelling it leaves nothing behind but the scope's tasks,
    /// which end with [`Scope::cancel`].
    pub(crate) async fn start(
        scope: Arc<Scope>,
        parts: Parts,
        reporter: Arc<Reporter<RouterStage>>,
    ) -> Result<Self, StartError> {
        let Parts {
            mut config,
            address_book,
            storage,
        } = parts;
        config.refresh_interval = Some(REPORT_INTERVAL_S);
        let mut builder = RouterBuilder::<Runtime>::new(config).with_address_book(address_book);
        if let Some(storage) = storage {
            builder = builder.with_storage(storage);
        }
        let built = scope.enter(builder.build()).await;
        // The event stream reports once a second what the meters tell at once; without a reader
        // it fills up and is ignored.
        let (router, _, router_info) = match built {
            Ok(built) => built,
            Err(error) => {
                scope.cancel();
                return Err(match scope.take_bind_error() {
                    Some((address, source)) => StartError::Bind { address, source },
                    None => StartError::Router(error.to_string()),
                });
            }
        };
        let info = router.protocol_address_info();
        let addresses = Addresses {
            ntcp2_port: info.ntcp2_port,
            ssu2_port: info.ssu2_port,
            i2cp: info.i2cp,
            sam_tcp: info.sam_tcp,
            sam_udp: info.sam_udp,
        };
        let id = id_of(&router_info)?;

        let (external, external_addresses) = mpsc::channel(EXTERNAL_ADDRESSES);
        scope.spawn(run(router, external_addresses, Arc::clone(&reporter)));
        scope.spawn(follow(Arc::clone(&scope), Arc::clone(&reporter)));
        Ok(Self {
            scope,
            addresses,
            id,
            router_info,
            external,
            reporter,
        })
    }

    /// Where the router listens.
    pub(crate) fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// The hash of the router's identity.
    pub(crate) fn id(&self) -> Hash {
        self.id
    }

    /// The router's own router info, as it was when it started.
    pub(crate) fn router_info(&self) -> &[u8] {
        &self.router_info
    }

    /// The scope, for tasks that end with the router.
    pub(crate) fn scope(&self) -> &Arc<Scope> {
        &self.scope
    }

    /// Tells the router under which address the world sees it.
    pub(crate) fn external_addresses(&self) -> mpsc::Sender<std::net::Ipv4Addr> {
        self.external.clone()
    }

    /// Stops the router: when this returns, its sockets are closed and its tasks have ended.
    pub(crate) async fn stop(&self) {
        self.scope.back_up(BACKUP_DEADLINE).await;
        self.reporter.enter(RouterStage::Stopped);
        self.scope.cancel();
        if timeout(STOP_DEADLINE, self.scope.finished()).await.is_err() {
            tracing::warn!("tasks of a stopped router are still running");
        }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.reporter.enter(RouterStage::Stopped);
        self.scope.cancel();
    }
}

/// The hash of the identity in a router info.
pub(crate) fn id_of(router_info: &[u8]) -> Result<Hash, StartError> {
    let info = RouterInfo::parse::<Runtime>(router_info)
        .map_err(|error| StartError::Router(format!("its router info is invalid: {error:?}")))?;
    let hash: Vec<u8> = info.identity.id().into();
    <[u8; 32]>::try_from(hash)
        .map(Hash::new)
        .map_err(|_| StartError::Router("its identity has no hash".to_owned()))
}

/// Drives the router.
async fn run(
    mut router: Router<Runtime>,
    mut external_addresses: mpsc::Receiver<std::net::Ipv4Addr>,
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
