//! Routers inside this process.

use std::{sync::Arc, time::Duration};

use eepkit_i2cp::Options;
use eepkit_link::{Connector, LinkError, Progress, Setup};
use eepkit_router::{StartError, embedded::EmbeddedBuilder};
use eepkit_wire::{PrivateKeys, SignatureType};

use crate::{
    error::{Error, OpenError},
    router::{Router, connector_at},
};

impl Router {
    /// Starts a router in this process and returns when it runs. The router stores its keys and its
    /// data about the network in a directory, which is created if needed. Only one router at a time
    /// can use the directory.
    ///
    /// `own` is the path of the directory, or an
    /// [`EmbeddedRouter::builder`](crate::EmbeddedRouter::builder) with further options.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), eepkit::Error> {
    /// use eepkit::Router;
    ///
    /// let router = Router::start("/var/lib/my-program/router").await?;
    /// let session = router.session().open().await?;
    /// // ...
    /// router.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// After its first start on the live network, a router needs minutes to build tunnels. Opening
    /// a session waits for them. [`Router::watch`] reports the status after this function has
    /// returned. [`EmbeddedBuilder::watch`] also reports it before, for example during the download
    /// of a list of routers. A program that runs only for seconds should attach to a router that
    /// keeps running, because routers that start and stop often are a burden for the network.
    ///
    /// # Errors
    ///
    /// [`StartError`] if the directory cannot be used, if a port is in use, or if no other router
    /// is known and no list of routers could be downloaded.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops the router.
    pub async fn start(own: impl Into<EmbeddedBuilder>) -> Result<Self, StartError> {
        Ok(Self::new(own.into().start().await?))
    }

    /// The router at `address`, in any form of [`Router::attach`], if a router answers there within
    /// five seconds. Otherwise starts an embedded router as [`Router::start`] does.
    ///
    /// # Errors
    ///
    /// * [`Error::Attach`] if `address` is not the address of a router.
    /// * [`Error::Open`] if the router at the address refuses the login, or if it is not a router.
    /// * [`Error::Start`] if the embedded router does not start.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection and stops the embedded router.
    pub async fn attach_or_start(
        address: &str,
        own: impl Into<EmbeddedBuilder>,
    ) -> Result<Self, Error> {
        let there = connector_at(address)?;
        match probe(&*there).await {
            Ok(()) => Ok(Self::of(there)),
            Err(LinkError::Unreachable { .. } | LinkError::Timeout(_)) => {
                Ok(Self::start(own).await?)
            }
            Err(error) => Err(OpenError::from(error).into()),
        }
    }
}

/// Tests whether a router answers. If the connector has no probe, opens a session and closes it at
/// once.
async fn probe(router: &dyn Connector) -> Result<(), LinkError> {
    if let Some(probing) = router.probe(PROBE_TIMEOUT) {
        return probing.await.map(drop);
    }
    let mut rng: rand::rngs::StdRng = rand::make_rng();
    let keys = PrivateKeys::generate(SignatureType::ED25519, &mut rng).map_err(|error| {
        LinkError::BadOption {
            key: "i2cp.destination.sigType".to_owned(),
            why: error.to_string(),
        }
    })?;
    let setup = Setup {
        keys: Arc::new(keys),
        options: Options::new(),
        timeout: PROBE_TIMEOUT,
        progress: Progress::default(),
    };
    router.open(setup).await.map(drop)
}

/// Chosen because a router on the same machine answers within milliseconds, and one that is
/// starting within seconds.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
