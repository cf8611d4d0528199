//! What all connections of a proxy share.

use eepkit_naming::JumpService;

use super::{HttpProxyConfig, forms::Forms, upstream::Pool};
use crate::{
    naming::Names,
    proxy::{HasFrame, ProxyFrame},
};

pub(super) struct Shared {
    frame: ProxyFrame,
    pub(super) config: HttpProxyConfig,
    pub(super) names: Names,
    pub(super) pool: Pool,
    pub(super) forms: Forms,
    jump: Vec<JumpService>,
}

impl HasFrame for Shared {
    fn frame(&self) -> &ProxyFrame {
        &self.frame
    }
}

impl Shared {
    pub(super) fn new(frame: ProxyFrame, config: HttpProxyConfig, names: Names) -> Self {
        let jump = config.jump_services.iter();
        Self {
            jump: jump.filter_map(|url| JumpService::new(url).ok()).collect(),
            frame,
            config,
            names,
            pool: Pool::default(),
            forms: Forms::default(),
        }
    }

    /// The jump services that can be reached, as far as the address book determines it.
    pub(super) async fn jump_services(&self) -> Vec<JumpService> {
        let mut known = Vec::new();
        for service in &self.jump {
            let is_known = match (self.names.has_books(), service.host()) {
                (true, eepkit_wire::Host::Name(name)) => self.names.is_known(name).await,
                // The router may have the name.
                _ => true,
            };
            if is_known {
                known.push(service.clone());
            }
        }
        known
    }
}
