//! Routers inside the process.

use std::{path::PathBuf, sync::Arc, time::Duration};

use eepkit_attach::i2cp::I2cpRouter;
use eepkit_i2cp::Options;
use eepkit_link::{self as link, Connector as _, RouterWatch, Setup};
use eepkit_router::embedded::{EmbeddedBuilder, EmbeddedRouter, StartError};
use eepkit_wire::{PrivateKeys, SignatureType};

use crate::{
    error::{AttachError, Error, ErrorKind, OpenError},
    router::Router,
};

impl Router {
    /// A router of its own for this process, which keeps its keys and what it knows of the network
    /// in `state_dir`. Of the directory there can be one router at a time.
    ///
    /// [`EmbeddedBuilder::start`] starts it, and [`Router::from`] makes it a router for sessions:
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), eepkit::Error> {
    /// use eepkit::Router;
    ///
    /// let started = Router::embedded("/var/lib/my-program/router").start().await?;
    /// let router = Router::from(started);
    /// let session = router.session().open().await?;
    /// // ...
    /// router.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// The first start on the live network takes minutes until there are tunnels. Programs that
    /// run for seconds should attach to a router that stays: routers that come and go are a burden
    /// to the network.
    pub fn embedded(state_dir: impl Into<PathBuf>) -> EmbeddedBuilder {
        EmbeddedRouter::builder(state_dir)
    }

    /// The router at `address` (see [`Router::attach`]) if one answers there within five seconds;
    /// otherwise an embedded one.
    ///
    /// # Errors
    ///
    /// [`Error::Attach`] when the address is none, [`Error::Open`] when something answers there
    /// that does not let us in or is no router, [`Error::Start`] when the embedded router does not
    /// start.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing running.
    pub async fn attach_or_start(address: &str, own: EmbeddedBuilder) -> Result<Self, Error> {
        let there: I2cpRouter = address.parse().map_err(AttachError::from)?;
        match probe(&there).await {
            Ok(()) => Ok(Self::new(there)),
            Err(link::LinkError::Unreachable { .. } | link::LinkError::Timeout(_)) => {
                Ok(Self::from(own.start().await?))
            }
            Err(error) => Err(OpenError::from(error).into()),
        }
    }

    /// Follows how far the router itself has come, where it runs in this process; `None` for one
    /// that runs elsewhere, of which only sessions tell.
    pub fn watch(&self) -> Option<RouterWatch> {
        self.owned().map(EmbeddedRouter::watch)
    }
}

impl From<EmbeddedRouter> for Router {
    /// [`Router::shutdown`] stops the router, too.
    fn from(router: EmbeddedRouter) -> Self {
        Self::with_owned(Arc::new(router.clone()), Some(router))
    }
}

/// Asks a router for a session and gives it back at once.
async fn probe(router: &I2cpRouter) -> Result<(), link::LinkError> {
    let mut rng: rand::rngs::StdRng = rand::make_rng();
    let keys = PrivateKeys::generate(SignatureType::ED25519, &mut rng).map_err(|error| {
        link::LinkError::BadOption {
            key: "i2cp.destination.sigType".to_owned(),
            why: error.to_string(),
        }
    })?;
    let setup = Setup {
        keys: Arc::new(keys),
        options: Options::new(),
        timeout: PROBE_TIMEOUT,
    };
    router.open(setup).await.map(drop)
}

pub(crate) const fn start_kind(error: &StartError) -> ErrorKind {
    match error {
        StartError::Bind { .. } => ErrorKind::AddressInUse,
        StartError::BadOption { .. } => ErrorKind::BadInput,
        StartError::State(_) => ErrorKind::Io,
        StartError::Reseed(_) => ErrorKind::NetworkUnreachable,
        StartError::NotReady(_) => ErrorKind::NoTunnels,
        StartError::Stopped => ErrorKind::Closed,
        _ => ErrorKind::RouterRefused,
    }
}

/// Chosen because a router on this machine answers in milliseconds, and one that starts in seconds.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
