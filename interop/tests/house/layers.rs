//! The allowed dependencies between crates. The diagram is in `ARCHITECTURE.md`.

use std::{collections::BTreeSet, env, process::Command};

/// Each library crate, and the crates of this workspace that it may use. A crate may only use
/// crates above it in this table.
const LAYERS: [(&str, &[&str]); 20] = [
    ("eepkit-files", &[]),
    ("eepkit-wire", &["eepkit-files"]),
    ("eepkit-i2cp", &["eepkit-files", "eepkit-wire"]),
    ("eepkit-streaming", &["eepkit-files", "eepkit-wire"]),
    ("eepkit-datagram", &["eepkit-files", "eepkit-wire"]),
    ("eepkit-sam", &["eepkit-files", "eepkit-wire"]),
    ("eepkit-bob", &["eepkit-files", "eepkit-wire"]),
    ("eepkit-socks", &[]),
    ("eepkit-irc", &[]),
    ("eepkit-naming", &["eepkit-files", "eepkit-wire"]),
    (
        "eepkit-link",
        &["eepkit-files", "eepkit-i2cp", "eepkit-wire"],
    ),
    (
        "eepkit-attach",
        &[
            "eepkit-files",
            "eepkit-i2cp",
            "eepkit-link",
            "eepkit-sam",
            "eepkit-wire",
        ],
    ),
    ("eepkit-netem", &[]),
    (
        "eepkit-sim",
        &[
            "eepkit-attach",
            "eepkit-files",
            "eepkit-i2cp",
            "eepkit-link",
            "eepkit-netem",
            "eepkit-sam",
            "eepkit-wire",
        ],
    ),
    (
        "eepkit-router",
        &[
            "eepkit-attach",
            "eepkit-files",
            "eepkit-i2cp",
            "eepkit-link",
            "eepkit-naming",
            "eepkit-sam",
            "eepkit-wire",
        ],
    ),
    ("eepkit", BELOW_SERVICES),
    ("eepkit-services", BELOW_CLI),
    ("eepkit-cli", BELOW_PACKAGES),
    ("eepkit-python", BELOW_PACKAGES),
    // Not part of the layers: only tests and benchmarks use it.
    (
        "eepkit-testbed",
        &[
            "eepkit-files",
            "eepkit-netem",
            "eepkit-streaming",
            "eepkit-wire",
        ],
    ),
];

/// The crates that the library may use: all except those that serve other programs.
const BELOW_SERVICES: &[&str] = &[
    "eepkit-attach",
    "eepkit-datagram",
    "eepkit-files",
    "eepkit-i2cp",
    "eepkit-link",
    "eepkit-naming",
    "eepkit-netem",
    "eepkit-router",
    "eepkit-sam",
    "eepkit-sim",
    "eepkit-streaming",
    "eepkit-wire",
];

/// The crates that the program and the packages for other languages may use. These packages contain
/// the program.
const BELOW_PACKAGES: &[&str] = &[
    "eepkit",
    "eepkit-attach",
    "eepkit-bob",
    "eepkit-cli",
    "eepkit-datagram",
    "eepkit-files",
    "eepkit-i2cp",
    "eepkit-irc",
    "eepkit-link",
    "eepkit-naming",
    "eepkit-netem",
    "eepkit-router",
    "eepkit-sam",
    "eepkit-services",
    "eepkit-sim",
    "eepkit-socks",
    "eepkit-streaming",
    "eepkit-wire",
];

/// The crates that services may use: the library and everything below it.
const BELOW_CLI: &[&str] = &[
    "eepkit",
    "eepkit-attach",
    "eepkit-bob",
    "eepkit-datagram",
    "eepkit-files",
    "eepkit-i2cp",
    "eepkit-irc",
    "eepkit-link",
    "eepkit-naming",
    "eepkit-netem",
    "eepkit-router",
    "eepkit-sam",
    "eepkit-sim",
    "eepkit-socks",
    "eepkit-streaming",
    "eepkit-wire",
];

/// The crates that are state machines, with bytes and time as inputs and bytes, events and
/// deadlines as outputs.
const SANS_IO: [&str; 9] = [
    "eepkit-wire",
    "eepkit-netem",
    "eepkit-i2cp",
    "eepkit-streaming",
    "eepkit-datagram",
    "eepkit-sam",
    "eepkit-bob",
    "eepkit-socks",
    "eepkit-irc",
];

/// Crates that a state machine must not use: runtimes, sockets, and the system's randomness.
const IO_CRATES: [&str; 9] = [
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
fn only_the_router_crate_uses_a_router_implementation() {
    for (name, _) in LAYERS {
        let used = direct_dependencies(name);
        assert!(
            name == "eepkit-router" || !used.contains("emissary-core"),
            "{name} must not use emissary-core itself"
        );
    }
}

#[test]
fn only_one_module_uses_a_router_implementation() {
    let own = super::tidy::root().join("crates/eepkit-router/src");
    let known = own.join("backend/emissary");
    for (path, text) in super::tidy::files("rs") {
        let about = path.starts_with(&known) || path == own.join("backend/emissary.rs");
        assert!(
            about || !path.starts_with(&own) || !text.contains("emissary_core"),
            "{} uses emissary_core",
            path.display()
        );
    }
}

#[test]
fn cargo_run_reuses_the_build_of_the_workspace() {
    let manifest = std::fs::read_to_string(super::tidy::root().join("Cargo.toml"));
    let manifest = manifest.expect("the workspace has a manifest");
    // With default members, `cargo run` unifies only their features, so that shared dependencies
    // are built a second time. `default-run` selects the program without this effect.
    assert!(!manifest.contains("default-members"));
}

#[test]
fn protocol_crates_have_no_runtime_no_sockets_and_no_system_randomness() {
    for name in SANS_IO {
        let used = dependencies(name);
        let forbidden: Vec<_> = IO_CRATES
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
fn protocol_crates_do_not_read_the_environment() {
    for name in SANS_IO {
        let source = super::tidy::root().join("crates").join(name).join("src");
        for (path, text) in super::tidy::files("rs") {
            assert!(
                !path.starts_with(&source) || !text.contains("env::var"),
                "{} reads a variable of the environment",
                path.display()
            );
        }
    }
}

#[test]
fn no_crate_depends_on_a_second_tls_library_written_in_c() {
    let used = dependencies("eepkit-cli");
    for banned in ["native-tls", "openssl", "openssl-sys"] {
        assert!(
            !used.contains(banned),
            "{banned} is in the dependencies of eepkit-cli"
        );
    }
}

/// Returns all crates that a crate is built with on this machine, including itself, without those
/// of tests.
fn dependencies(name: &str) -> BTreeSet<String> {
    tree(name, &[])
}

/// Returns the direct dependencies of a crate, without those of tests.
fn direct_dependencies(name: &str) -> BTreeSet<String> {
    tree(name, &["--depth", "1"])
}

fn tree(name: &str, options: &[&str]) -> BTreeSet<String> {
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
        .args(options)
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
