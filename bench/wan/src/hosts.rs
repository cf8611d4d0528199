//! The hosts: network namespaces with one TUN device each. The switch holds the other end.

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tun_rs::{DeviceBuilder, Layer, SyncDevice};

use crate::switch::address;

/// The prefix of the names of all namespaces of this program. Process ID and number follow.
const PREFIX: &str = "eepkit-wan-";

/// The directory in which `ip` keeps the names of namespaces.
const NAMESPACES: &str = "/run/netns";

/// The name of a host's device inside its namespace.
const DEVICE: &str = "wan";

/// The hosts of one run. Dropping them ends all processes in their namespaces and removes the
/// namespaces.
#[derive(Debug)]
pub(crate) struct Hosts {
    names: Vec<String>,
}

impl Hosts {
    /// Creates `count` hosts and returns their devices in order. Removes the hosts of killed runs.
    pub(crate) fn create(
        count: usize,
        tcp: Option<&str>,
    ) -> Result<(Self, Vec<SyncDevice>), String> {
        sweep();
        let mut hosts = Self { names: Vec::new() };
        let mut devices = Vec::new();
        for host in 0..count {
            devices.push(hosts.add(host, tcp)?);
        }
        Ok((hosts, devices))
    }

    fn add(&mut self, host: usize, tcp: Option<&str>) -> Result<SyncDevice, String> {
        let process = std::process::id();
        let name = format!("{PREFIX}{process}-{host}");
        // Added to the list before it exists, so that dropping the list removes it if a later step
        // fails.
        self.names.push(name.clone());
        ip(&["netns", "add", &name])?;
        let device = format!("ew{process}x{host}");
        let tun = DeviceBuilder::new()
            .name(&device)
            .layer(Layer::L3)
            .build_sync()
            .map_err(|error| format!("cannot make a TUN device: {error}"))?;
        tun.set_nonblocking(true)
            .map_err(|error| format!("cannot use the TUN device: {error}"))?;
        // The switch keeps its end of the device while the device moves to the namespace.
        ip(&["link", "set", &device, "netns", &name, "name", DEVICE])?;
        let address = format!("{}/15", address(host));
        ip(&["-n", &name, "link", "set", "lo", "up"])?;
        ip(&["-n", &name, "address", "add", &address, "dev", DEVICE])?;
        ip(&[
            "-n",
            &name,
            "link",
            "set",
            DEVICE,
            "mtu",
            "1500",
            "txqueuelen",
            "2000",
            "up",
        ])?;
        if let Some(tcp) = tcp {
            let setting = format!("net.ipv4.tcp_congestion_control={tcp}");
            ip(&["netns", "exec", &name, "sysctl", "-q", "-w", &setting])?;
        }
        Ok(tun)
    }

    /// The namespaces of the hosts.
    pub(crate) fn namespaces(&self) -> &[String] {
        &self.names
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for name in &self.names {
            remove(name);
        }
    }
}

/// Removes the namespaces of runs that have ended.
fn sweep() {
    let Ok(entries) = fs::read_dir(NAMESPACES) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let process = owner(&name).and_then(Pid::from_raw);
        if process.is_some_and(|process| test_kill_process(process).is_err()) {
            remove(&name);
        }
    }
}

/// The process that created a namespace, if it was one of this program.
fn owner(namespace: &str) -> Option<i32> {
    let (process, _) = namespace.strip_prefix(PREFIX)?.split_once('-')?;
    process.parse().ok()
}

/// Ends all processes in a namespace and removes it. Errors are ignored, because nothing can be
/// done about them.
fn remove(namespace: &str) {
    if !Path::new(NAMESPACES).join(namespace).exists() {
        return;
    }
    if let Ok(output) = run(&["netns", "pids", namespace]) {
        let text = String::from_utf8_lossy(&output.stdout);
        for process in text.split_whitespace().filter_map(|word| word.parse().ok()) {
            if let Some(process) = Pid::from_raw(process) {
                let _ = kill_process(process, Signal::KILL);
            }
        }
    }
    let _ = run(&["netns", "delete", namespace]);
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    let output = run(arguments)?;
    if output.status.success() {
        Ok(())
    } else {
        let why = String::from_utf8_lossy(&output.stderr);
        Err(format!("ip {}: {}", arguments.join(" "), why.trim()))
    }
}

fn run(arguments: &[&str]) -> Result<Output, String> {
    Command::new("ip")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot run ip: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_namespaces_of_this_program_have_an_owner() {
        assert_eq!(owner("eepkit-wan-4711-3"), Some(4711));
        for name in ["wan3", "eepkit-wan-", "eepkit-wan-x-1", "my-eepkit-wan-1-1"] {
            assert_eq!(owner(name), None, "{name}");
        }
    }
}
