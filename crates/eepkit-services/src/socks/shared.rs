//! What all connections of a proxy share.

use eepkit_socks::{Authentication, Host, Request};
use rand::seq::IndexedRandom as _;

use super::{SocksConfig, virtual_addresses::VirtualAddresses};
use crate::{
    client_sessions::{ClientSession, SessionError},
    proxy::{HasFrame, ProxyFrame},
    target::Target,
};

pub(super) struct Shared {
    pub(super) frame: ProxyFrame,
    pub(super) config: SocksConfig,
    pub(super) virtual_addresses: VirtualAddresses,
}

impl HasFrame for Shared {
    fn frame(&self) -> &ProxyFrame {
        &self.frame
    }
}

impl Shared {
    pub(super) fn new(frame: ProxyFrame, config: SocksConfig) -> Self {
        Self {
            frame,
            config,
            virtual_addresses: VirtualAddresses::default(),
        }
    }

    /// Whether programs need a name and a password.
    pub(super) fn authentication(&self) -> Authentication {
        match self.frame.requires_password() {
            true => Authentication::Required,
            false => Authentication::Optional,
        }
    }

    /// The session for the user of a request.
    pub(super) fn session(&self, request: &Request) -> Result<ClientSession, SessionError> {
        let Some(named) = &request.credentials else {
            return self.frame.session(&[]);
        };
        let password = match self.authentication() {
            // The password was verified, and is the same for all connections of the user.
            Authentication::Required => &[],
            Authentication::Optional => named.password(),
        };
        self.frame.session(&[named.user(), password])
    }

    /// The host of a request, with the names of virtual addresses.
    pub(super) fn target(&self, host: &Host) -> Target {
        match host {
            Host::Name(name) => Target::of(name),
            Host::Ip(ip) => match self.virtual_addresses.name_of(*ip) {
                Some(name) => Target::I2p(name),
                None => Target::of_ip(*ip),
            },
        }
    }

    /// An outproxy for a connection, chosen at random.
    pub(super) fn outproxy(&self) -> Option<&str> {
        let chosen = self.config.outproxies().choose(&mut rand::rng());
        chosen.map(String::as_str)
    }
}
