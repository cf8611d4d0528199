//! A short run of every measurement that needs no other program.
#![cfg(target_os = "linux")]

use std::process::Command;

#[test]
fn a_short_run_on_the_simulated_network_has_every_figure() {
    let output = Command::new(env!("CARGO_BIN_EXE_proxy-bench"))
        .args([
            "--quick",
            "--network",
            "sim",
            "--burst",
            "50",
            "--idle",
            "100",
        ])
        .args(["--mebibytes", "1", "--names", "1000"])
        .output()
        .expect("the program starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert!(!errors.contains("failed"), "{errors}");
    let text = String::from_utf8_lossy(&output.stdout);
    for row in [
        "one program: latency p50, ms",
        "kept connections: requests/s",
        "new connections: requests/s",
        "burst: most requests in progress at the site | 50.0 | 50.0",
        "burst: failed requests | 0.00 | 0.00",
        "one connection through tunnels, MiB/s",
        "idle connections: memory of both ends of each, KiB",
        "opening the store, ms",
        "look-up of any name, us",
        "known names merged, 1/s",
    ] {
        assert!(text.contains(row), "no {row} in {text}{errors}");
    }
}
