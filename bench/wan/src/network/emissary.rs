//! A network of emissary routers: eepkit's embedded router, in a process on each host.

use std::{fs, path::Path};

use eepkit::{EmbeddedRouter, QUIET_FILTER};
use tokio::{io::AsyncReadExt as _, process::Child};
use tracing_subscriber::EnvFilter;

use super::{FLOODFILLS, NETWORK, Network, PORT, directories, router_info, stop};
use crate::{
    args::{LabOptions, RouterOptions, Transport},
    hosts::Hosts,
    remote::{command, this_program},
    switch::address,
    wire::{I2CP, SAM},
};

/// The bandwidth limit of a router in bytes per second. Chosen above what these hosts transfer,
/// because the router silently drops traffic above it.
const BANDWIDTH: usize = 10_000_000_000;

/// The limit of transit tunnels of a router. Chosen above the number of tunnels in the network.
const TRANSIT: usize = 5000;

/// The version of emissary that this program is built with.
const VERSION: &str = "emissary 0.4";

pub(super) async fn start(
    hosts: &Hosts,
    options: &LabOptions,
    dir: &Path,
) -> Result<Network, String> {
    let dirs = directories(options, dir)?;
    let start = {
        let namespaces = hosts.namespaces().to_vec();
        let dirs = dirs.clone();
        let transport = options.transport;
        move |router: usize, others: Option<&Path>| {
            let namespace = &namespaces[router];
            spawn(namespace, router, &dirs[router], transport, others)
        }
    };
    let first = (0..dirs.len()).map(|router| start(router, None));
    let mut routers: Vec<Child> = first.collect::<Result<_, _>>()?;
    let others = dir.join("others");
    fs::create_dir_all(&others).map_err(|error| format!("{}: {error}", others.display()))?;
    for (number, (router, dir)) in routers.iter_mut().zip(&dirs).enumerate() {
        let info = router_info(dir, router).await?;
        let path = others.join(number.to_string());
        fs::write(&path, info).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    stop(routers).await;
    let start = move |router| start(router, Some(&others));
    Network::new(VERSION.to_owned(), dirs.len(), Box::new(start))
}

fn spawn(
    namespace: &str,
    router: usize,
    dir: &Path,
    transport: Transport,
    others: Option<&Path>,
) -> Result<Child, String> {
    let mut command = command(namespace, &this_program()?, &dir.join("stderr"))?;
    command
        .arg("router")
        .arg("--dir")
        .arg(dir)
        .args(["--host", &address(router).to_string()])
        .args(["--transport", transport.as_str()]);
    if router < FLOODFILLS {
        command.arg("--floodfill");
    }
    if let Some(others) = others {
        command.arg("--others").arg(others);
    }
    command
        .spawn()
        .map_err(|error| format!("cannot start an emissary router: {error}"))
}

/// Runs one router in this process, until standard input ends.
pub(crate) async fn run(options: RouterOptions) -> Result<(), String> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(QUIET_FILTER));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let mut others = Vec::new();
    if let Some(dir) = &options.others {
        let files = fs::read_dir(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        for file in files.flatten() {
            others.push(fs::read(file.path()).map_err(|error| error.to_string())?);
        }
    }
    let router = EmbeddedRouter::builder(options.dir)
        .private_network(NETWORK, others)
        .host(options.host)
        .floodfill(options.floodfill)
        .ntcp2(options.transport.ntcp2().then_some(PORT))
        .ssu2(options.transport.ssu2().then_some(PORT))
        .bandwidth(BANDWIDTH, 1.0)
        .transit_tunnels(Some(TRANSIT))
        .i2cp_port(Some(I2CP.port()))
        .sam_port(Some(SAM.port()))
        .start()
        .await
        .map_err(|error| error.to_string())?;
    let mut rest = Vec::new();
    // Nothing is sent on standard input. It ends with the measuring process.
    let _ = tokio::io::stdin().read_to_end(&mut rest).await;
    router.stop().await;
    Ok(())
}
