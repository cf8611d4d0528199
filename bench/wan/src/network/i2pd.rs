//! A network of i2pd routers.

use std::{
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

use eepkit_interop::{i2pd_program, router_hash};
use tokio::process::{Child, Command};

use super::{FLOODFILLS, NETWORK, Network, PORT, directories, router_info, stop};
use crate::{
    args::LabOptions,
    hosts::Hosts,
    remote::command,
    switch::address,
    wire::{I2CP, SAM},
};

pub(super) async fn start(
    hosts: &Hosts,
    options: &LabOptions,
    dir: &Path,
) -> Result<Network, String> {
    let program = i2pd_program().map_err(|error| error.to_string())?;
    let version = version(&program).await?;
    let dirs = directories(options, dir)?;
    for (router, dir) in dirs.iter().enumerate() {
        let text = configuration(dir, address(router), router < FLOODFILLS, options);
        let path = dir.join("router.conf");
        fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    let start = {
        let namespaces = hosts.namespaces().to_vec();
        let dirs = dirs.clone();
        move |router: usize| spawn(&program, &namespaces[router], &dirs[router])
    };
    let mut routers: Vec<Child> = (0..dirs.len()).map(&start).collect::<Result<_, _>>()?;
    let mut infos = Vec::new();
    for (router, dir) in routers.iter_mut().zip(&dirs) {
        infos.push(router_info(dir, router).await?);
    }
    stop(routers).await;
    for (router, dir) in dirs.iter().enumerate() {
        for (other, info) in infos.iter().enumerate() {
            if other != router {
                learn(dir, info)?;
            }
        }
    }
    Network::new(version, dirs.len(), Box::new(start))
}

fn spawn(program: &Path, namespace: &str, dir: &Path) -> Result<Child, String> {
    command(namespace, program, &dir.join("stderr"))?
        .arg(format!("--datadir={}", dir.display()))
        .arg(format!("--conf={}", dir.join("router.conf").display()))
        .arg("--tunconf=/dev/null")
        .spawn()
        .map_err(|error| format!("cannot start {}: {error}", program.display()))
}

/// Stores the router info of another router in a router's network database.
fn learn(dir: &Path, info: &[u8]) -> Result<(), String> {
    let hash = router_hash(info).ok_or("i2pd wrote a router info that is cut short")?;
    let hash = hash.to_base64();
    let shelf: PathBuf = dir.join("netDb").join(format!("r{}", &hash[..1]));
    let path = shelf.join(format!("routerInfo-{hash}.dat"));
    fs::create_dir_all(&shelf)
        .and_then(|()| fs::write(&path, info))
        .map_err(|error| format!("{}: {error}", path.display()))
}

/// Returns the version as text, such as "i2pd 2.45.1".
async fn version(program: &Path) -> Result<String, String> {
    let output = Command::new(program).arg("--version").output().await;
    let output = output.map_err(|error| format!("{}: {error}", program.display()))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut words = text
        .split_whitespace()
        .skip_while(|word| *word != "version");
    Ok(format!("i2pd {}", words.nth(1).unwrap_or("of no version")))
}

/// The configuration file. The address book is enabled because i2pd 2.45 crashes at STREAM CONNECT
/// without one. The outbound exploratory tunnels are longer than the inbound ones, so that the
/// first outbound tunnels of a session are up before its inbound ones. Otherwise i2pd does not
/// publish the lease set before the next inbound tunnel.
fn configuration(dir: &Path, host: Ipv4Addr, floodfill: bool, options: &LabOptions) -> String {
    let (ntcp2, ssu2) = (options.transport.ntcp2(), options.transport.ssu2());
    let level = &options.log_level;
    format!(
        "netid = {NETWORK}\n\
         host = {host}\n\
         address4 = {host}\n\
         port = {PORT}\n\
         ipv4 = true\n\
         ipv6 = false\n\
         nat = false\n\
         reservedrange = false\n\
         floodfill = {floodfill}\n\
         bandwidth = X\n\
         share = 100\n\
         log = file\n\
         logfile = {log}\n\
         loglevel = {level}\n\
         [http]\nenabled = false\n\
         [httpproxy]\nenabled = false\n\
         [socksproxy]\nenabled = false\n\
         [sam]\nenabled = true\naddress = {sam}\nport = {sam_port}\n\
         [i2cp]\nenabled = true\naddress = {i2cp}\nport = {i2cp_port}\n\
         [bob]\nenabled = false\n\
         [reseed]\nurls =\nyggurls =\nthreshold = 0\n\
         [ntcp2]\nenabled = {ntcp2}\npublished = {ntcp2}\n\
         [ssu2]\nenabled = {ssu2}\npublished = {ssu2}\n\
         [limits]\ntransittunnels = 5000\n\
         [addressbook]\nenabled = true\n\
         [exploratory]\ninbound.length = 1\noutbound.length = 3\n",
        log = dir.join("log").display(),
        sam = SAM.ip(),
        sam_port = SAM.port(),
        i2cp = I2CP.ip(),
        i2cp_port = I2CP.port(),
    )
}
