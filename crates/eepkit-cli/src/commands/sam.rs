//! `eepkit sam`: the SAM bridge.

use std::net::SocketAddr;

use eepkit::Router;
use eepkit_services::{
    plan,
    sam::{SamBridge, SamConfig},
    service::Definition as _,
};

use super::run::{self, Source};
use crate::{
    args::{CONTROL, NAMES, SamArgs},
    config::Config,
    failure::Failure,
    ui::Ui,
};

pub(super) async fn run(args: SamArgs, ui: &Ui) -> Result<(), Failure> {
    // If only TLS or a Unix socket is requested, unencrypted TCP is turned off.
    let elsewhere = args.sam.has("listen_tls") || args.sam.has("listen_unix");
    let plain = args.sam.has("listen");
    let mut sam = args.sam.into_config();
    if elsewhere && !plain {
        sam = sam.without_tcp();
    }
    let wrong = |why: String| Failure::usage(SamConfig::table().mistake(&why));
    sam.validate().map_err(wrong)?;
    let config = Config {
        router: args.router,
        control: (CONTROL.defaults)(),
        names: (NAMES.defaults)(),
        services: vec![plan(SamConfig::KIND, sam)],
    };
    run::serve(config, Source::Arguments, None, args.json, ui).await
}

/// Starts a bridge.
pub(super) async fn start(router: Router, config: SamConfig) -> Result<SamBridge, Failure> {
    SamBridge::start(router, config)
        .await
        .map_err(|error| run::cannot_start(SamConfig::KIND, &error))
}

/// Starts a bridge for a router of a private network.
pub(super) fn of_devnet(
    index: usize,
    base: Option<u16>,
    length: Option<u8>,
) -> Result<SamConfig, Failure> {
    let port = |offset: usize| -> Result<u16, Failure> {
        let Some(base) = base else {
            return Ok(0);
        };
        u16::try_from(usize::from(base) + offset + index).map_err(|_| {
            Failure::usage(
                "--sam-base is too high for so many routers, and their UDP ports at +1000",
            )
        })
    };
    let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
    let hops = length.unwrap_or(2);
    Ok(SamConfig::new()
        .listen(at(port(0)?))
        .udp(at(port(UDP_OFFSET)?))
        .default_option("inbound.length", hops)
        .default_option("outbound.length", hops))
}

/// The difference between the UDP ports and the TCP ports of the bridges of a private network.
const UDP_OFFSET: usize = 1000;
