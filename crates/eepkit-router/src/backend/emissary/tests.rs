use std::sync::Arc;

use eepkit_naming::HostBook;
use eepkit_wire::{Codec, RouterInfo};

use super::*;
use crate::{
    backend::config::{Bandwidth, Exploratory, Reach, Transit, TransportConfig},
    identity::Identity,
    storage::id_of,
};

/// The configuration of a router without state, listeners or other routers.
fn config(identity: &Identity, network_id: u8) -> RouterConfig {
    RouterConfig {
        identity: identity.clone(),
        network_id,
        allow_local: true,
        claims_capacity: false,
        floodfill: false,
        bandwidth: Bandwidth {
            bytes_per_second: 1_000_000,
            share: 1.0,
        },
        exploratory: Exploratory {
            hops: 1,
            tunnels: None,
        },
        transit: Transit::Unlimited,
        ntcp2: Some(TransportConfig {
            port: 7000,
            host: None,
            post_quantum: false,
        }),
        ssu2: None,
        i2cp_port: None,
        sam: None,
        routers: Vec::new(),
        profiles: Vec::new(),
        hosts: HostBook::new(),
        keeper: None,
        reach: Reach::Loopback {
            dials: Arc::default(),
            own: ([127, 0, 0, 1], 7000).into(),
        },
        listener: None,
        build_tunnels: true,
    }
}

#[test]
fn a_router_info_has_the_identity_the_address_and_the_network_of_its_router() {
    let identity = Identity::new(&mut rand::rng());

    let bytes = Emissary.router_info(&config(&identity, 77));

    assert_eq!(id_of(&bytes), Some(identity.id()));
    let info = RouterInfo::from_bytes(&bytes).unwrap();
    assert_eq!(info.verify(), Ok(()));
    assert_eq!(info.network_id(), Some(77));
    let [address] = info.addresses() else {
        panic!("{info:?}")
    };
    assert_eq!(address.transport(), "NTCP2");
    assert_eq!(address.host(), Some([127, 0, 0, 1].into()));
    assert_eq!(address.port(), Some(7000));
}

#[tokio::test]
async fn a_router_accepts_i2cp_connections_of_this_process_without_a_socket() {
    let identity = Identity::new(&mut rand::rng());
    let mut config = config(&identity, 77);
    config.ntcp2 = Some(TransportConfig {
        port: 0,
        host: None,
        post_quantum: false,
    });

    let instance = Emissary
        .start(config, Arc::new(Reporter::new()))
        .await
        .unwrap();

    assert_eq!(instance.addresses().i2cp, None);
    assert_eq!(id_of(instance.router_info()), Some(identity.id()));
    let clients = instance.clients();
    let connection = clients.connect().unwrap();
    instance.stop().await;
    assert!(clients.connect().is_err());
    drop(connection);
}
