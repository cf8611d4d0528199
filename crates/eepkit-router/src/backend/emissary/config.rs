//! Converts a configuration of this crate to the one of emissary-core.

use std::net::Ipv4Addr;

use emissary_core::{
    BandwidthConfig, Config, ExploratoryConfig, I2cpConfig, Ntcp2Config, SamConfig, Ssu2Config,
    TransitConfig,
};

use super::sockets::CLIENTS;
use crate::backend::config::{RouterConfig, Transit};

/// How often the router reports its traffic, in seconds.
///
/// Two minutes after a transit tunnel was built, emissary-core shuts it down unless it carried
/// traffic since the last report. By default the last report was made less than a second ago. Idle
/// tunnels therefore end without notice to their owners. No component here reads the reports, so
/// the interval is the lifetime of a tunnel.
const REPORT_INTERVAL_S: usize = 10 * 60;

/// Converts everything except the initial router infos and profiles.
pub(super) fn emissary_config(config: &RouterConfig) -> Config {
    let identity = &config.identity;
    let loopback = Ipv4Addr::LOCALHOST.to_string();
    let hops = Some(config.exploratory.hops);
    let tunnels = config.exploratory.tunnels;
    Config {
        allow_local: config.allow_local,
        bandwidth: Some(BandwidthConfig {
            bandwidth: config.bandwidth.bytes_per_second,
            share_ratio: config.bandwidth.share,
        }),
        // X: fast, so that other routers select it for tunnels. R: reachable (network database
        // specification, "Capabilities").
        caps: config
            .claims_capacity
            .then(|| if config.floodfill { "XfR" } else { "XR" }.to_owned()),
        exploratory: Some(ExploratoryConfig {
            inbound_len: hops,
            inbound_count: tunnels,
            outbound_len: hops,
            outbound_count: tunnels,
        }),
        floodfill: config.floodfill,
        i2cp_config: Some(I2cpConfig {
            host: CLIENTS.to_string(),
            port: 0,
        }),
        insecure_tunnels: config.allow_local,
        net_id: Some(config.network_id),
        ntcp2: config.ntcp2.map(|ntcp2| Ntcp2Config {
            ipv4: true,
            ipv4_host: ntcp2.host,
            ipv6: false,
            ipv6_host: None,
            iv: identity.ntcp2_iv,
            key: identity.ntcp2_key,
            port: ntcp2.port,
            publish: true,
            ml_kem: None,
            disable_pq: !ntcp2.post_quantum,
        }),
        refresh_interval: Some(REPORT_INTERVAL_S),
        router_info: Some(identity.serialized()),
        samv3_config: config.sam.map(|ports| SamConfig {
            tcp_port: ports.tcp,
            udp_port: ports.udp,
            host: loopback,
        }),
        signing_key: Some(identity.signing_key),
        ssu2: config.ssu2.map(|ssu2| Ssu2Config {
            disable_pq: !ssu2.post_quantum,
            intro_key: identity.ssu2_intro_key,
            ipv4: true,
            ipv4_host: ssu2.host,
            ipv4_mtu: None,
            ipv6: false,
            ipv6_host: None,
            ipv6_mtu: None,
            port: ssu2.port,
            publish: true,
            static_key: identity.ssu2_static_key,
            ml_kem: None,
        }),
        static_key: Some(identity.static_key),
        transit: match config.transit {
            Transit::Refused => None,
            Transit::AtMost(most) => Some(TransitConfig {
                max_tunnels: Some(most),
            }),
            Transit::Unlimited => Some(TransitConfig { max_tunnels: None }),
        },
        ..Config::default()
    }
}
