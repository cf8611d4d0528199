//! Which crate may use which. The picture is in `ARCHITECTURE.md`.

use std::{collections::BTreeSet, env, process::Command};

/// Each library crate, and the crates of this workspace that it may use. An arrow is never drawn
/// upwards: a crate may only use crates above it in this table.
const LAYERS: [(&str, &[&str]); 8] = [
    ("eepkit-wire", &[]),
    ("eepkit-i2cp", &["eepkit-wire"]),
    ("eepkit-streaming", &["eepkit-wire"]),
    ("eepkit-datagram", &["eepkit-wire"]),
    ("eepkit-sam", &["eepkit-wire"]),
    (
        "eepkit-router",
        &["eepkit-i2cp", "eepkit-sam", "eepkit-wire"],
    ),
    (
        "eepkit",
        &[
            "eepkit-datagram",
            "eepkit-i2cp",
            "eepkit-router",
            "eepkit-sam",
            "eepkit-streaming",
            "eepkit-wire",
        ],
    ),
    (
        "eepkit-services",
        &[
            "eepkit",
            "eepkit-datagram",
            "eepkit-i2cp",
            "eepkit-router",
            "eepkit-sam",
            "eepkit-streaming",
            "eepkit-wire",
        ],
    ),
];

/// Crates that are state machines: bytes and time come in, bytes, events and deadlines come out.
const SANS_IO: [&str; 5] = [
    "eepkit-wire",
    "eepkit-i2cp",
    "eepkit-streaming",
    "eepkit-datagram",
    "eepkit-sam",
];

/// What a state machine has no use for: runtimes, sockets, and the system's randomness.
const WORLDLY: [&str; 9] = [
    "async-io",
    "async-std",
    "chrono",
    "futures-executor",
    "getrandom",
    "mio",
    "smol",
    "socket2",
    "tokio",
];

#[test]
fn crates_use_only_the_layers_below_them() {
    for (name, allowed) in LAYERS {
        let used = dependencies(name);
        let ours: BTreeSet<&str> = used
            .iter()
            .map(String::as_str)
            .filter(|used| used.starts_with("eepkit"))
            .collect();
        let allowed: BTreeSet<&str> = allowed.iter().copied().chain([name]).collect();
        let forbidden: Vec<_> = ours.difference(&allowed).collect();
        assert!(forbidden.is_empty(), "{name} must not use {forbidden:?}");
    }
}

#[test]
fn protocol_crates_have_no_runtime_no_sockets_and_no_system_randomness() {
    for name in SANS_IO {
        let used = dependencies(name);
        let forbidden: Vec<_> = WORLDLY
            .iter()
            .filter(|worldly| used.contains(**worldly))
            .collect();
        assert!(
            forbidden.is_empty(),
            "{name} must not use {forbidden:?}, directly or not"
        );
    }
}

#[test]
fn no_crate_brings_a_second_tls_library_written_in_c() {
    let used = dependencies("eepkit-cli");
    for banned in ["native-tls", "openssl", "openssl-sys"] {
        assert!(
            !used.contains(banned),
            "{banned} is in the dependencies of eepkit-cli"
        );
    }
}

/// Everything a crate is built with on this machine, itself included, tests left out.
fn dependencies(name: &str) -> BTreeSet<String> {
    let output = Command::new(env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()))
        .args([
            "tree",
            "--locked",
            "--offline",
            "--edges",
            "normal",
            "--prefix",
            "none",
        ])
        .args(["--package", name, "--format", "{p}"])
        .current_dir(super::tidy::root())
        .output()
        .expect("cargo runs where cargo test runs");
    assert!(
        output.status.success(),
        "cargo tree: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| line.split(' ').next().map(str::to_owned))
        .collect()
}
