//! Routers inside the process.

use std::{sync::Arc, time::Duration};

use eepkit_i2cp::Options;
use eepkit_link::{Connector, LinkError, Setup};
use eepkit_router::{StartError, embedded::EmbeddedBuilder};
use eepkit_wire::{PrivateKeys, SignatureType};

use crate::{
    error::{Error, OpenError},
    router::{Router, connector_at},
};

impl Router {
    /// Starts a router in this process and returns when it runs. It keeps its keys and what it knows
    /// of the network in a directory, which is created if needed; one router at a time can use it.
    ///
    /// `own` is the path of the directory, or an
    /// [`EmbeddedRouter::builder`](crate::EmbeddedRouter::builder) with further choices.
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
    /// The first start on the live network takes minutes until there are tunnels; opening a session
    /// waits for them. [`Router::watch`] follows the status from here on;
    /// [`EmbeddedBuilder::watch`] follows it from the beginning, through the download of a list of
    /// routers. Programs that run for seconds should attach to a router that stays: routers that
    /// come and go are a burden to the network.
    ///
    /// # Errors
    ///
    /// [`StartError`] when the directory cannot be used, a port is taken, or no other routers are
    /// known and no list of them could be downloaded.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing running.
    pub async fn start(own: impl Into<EmbeddedBuilder>) -> Result<Self, StartError> {
        Ok(Self::new(own.into().start().await?))
    }

    /// The router at `address`, in any of the forms of [`Router::attach`], if one answers there within
    /// five seconds; otherwise an embedded one, as by [`Router::start`].
    ///
    /// # Errors
    ///
    /// [`Error::Attach`] when `address` is not the address of a router, [`Error::Open`] when something
    /// answers there that refuses the login or is no router, [`Error::Start`] when the embedded
    /// router does not start.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing running.
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

/// Whether a router answers. Where its protocol has no question of its own, it is asked for a session,
/// which is given back at once.
async fn probe(router: &dyn Connector) -> Result<(), LinkError> {
    if let Some(probing) = router.probe(PROBE_TIMEOUT) {
        return probing.await;
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
    };
    router.open(setup).await.map(drop)
}

/// Chosen because a router on this machine answers in milliseconds, and one that starts in seconds.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
