//! The requirements of the machine, and how to satisfy them.

use std::{env, path::Path};

use eepkit_interop::i2pd_program;

use crate::args::{LabOptions, RouterSoftware};

/// Checks all requirements before anything is created, so that all missing ones are reported at
/// once.
pub(crate) fn check(networks: &[RouterSoftware], options: &LabOptions) -> Result<(), String> {
    let mut missing = Vec::new();
    if !rustix::process::geteuid().is_root() {
        missing.push(
            "it must run as root, for network namespaces: sudo \
             target/release/wan, after cargo build --release -p eepkit-wan-bench"
                .to_owned(),
        );
    }
    if !in_path("ip") {
        missing.push("there is no ip: apt-get install iproute2".to_owned());
    }
    if options.tcp.is_some() && !in_path("sysctl") {
        missing.push("there is no sysctl for --tcp: apt-get install procps".to_owned());
    }
    if !Path::new("/dev/net/tun").exists() {
        missing.push("there is no /dev/net/tun: modprobe tun".to_owned());
    }
    if networks.contains(&RouterSoftware::I2pd)
        && let Err(error) = i2pd_program()
    {
        missing.push(format!("no i2pd ({error}), or choose --network emissary"));
    }
    if missing.is_empty() {
        return Ok(());
    }
    Err(format!("this cannot run here:\n  {}", missing.join("\n  ")))
}

fn in_path(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|dir| dir.join(program).is_file())
}
