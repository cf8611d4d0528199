//! The router info of a router that is not running yet.

use emissary_core::{
    crypto::{SigningPrivateKey, StaticPrivateKey},
    primitives::{RouterAddress, RouterInfo},
};

use super::{config::emissary_config, runtime::Runtime};
use crate::backend::config::RouterConfig;

/// Returns the router info with which a router of this configuration starts.
pub(super) fn of(config: &RouterConfig) -> Vec<u8> {
    let identity = &config.identity;
    let address = config.local_ntcp2().map(|address| {
        RouterAddress::new_published_ntcp2(
            identity.ntcp2_key,
            identity.ntcp2_iv,
            None,
            true,
            address.ip(),
            address,
        )
    });
    let signing_key = SigningPrivateKey::from(identity.signing_key);
    let static_key = StaticPrivateKey::from_bytes(identity.static_key);
    RouterInfo::new::<Runtime>(
        &emissary_config(config),
        address,
        None,
        None,
        None,
        &static_key,
        &signing_key,
        false,
    )
    .serialize(&signing_key)
}
