use insta::assert_snapshot;
use serde_json::{Value, json};

use super::*;

fn report(change: impl FnOnce(&mut Value)) -> Report {
    let mut value = json!({
        "version": 1,
        "program": {
            "version": "0.1.0", "pid": 4711, "phase": "running", "uptime_ms": 200_000,
            "config": "/home/me/.config/eepkit/eepkit.toml",
        },
        "ready": true, "waiting_for": [], "failed": [],
        "router": {
            "name": "embedded", "embedded": true, "ready": true, "stage": "ready", "stage_ms": 152_000,
            "stages": [
                {"stage": "starting", "after_ms": 0}, {"stage": "peers", "after_ms": 400},
                {"stage": "tunnels", "after_ms": 9_100}, {"stage": "ready", "after_ms": 48_000},
            ],
            "text": "ready", "waiting_for": null, "problem": null, "program": null,
            "protocol": null, "clock_ahead_ms": null,
            "activity": {
                "peers": 12, "inbound_tunnels": 3, "outbound_tunnels": 4, "transit_tunnels": 1,
                "tunnels_built": 20, "tunnel_builds_failed": 5, "dials_failed": 3,
            },
        },
        "services": [{
            "kind": "sam", "name": "sam", "state": "running", "problem": null,
            "addresses": {"tcp": ["127.0.0.1:7656", "[::1]:7656"], "udp": ["127.0.0.1:7655"], "unix": []},
            "statistics": {"connections": 2, "streams": 0, "bytes_sent_total": 4096},
        }],
        "sessions": [{
            "b32": "example.b32.i2p", "nickname": "mail", "ready": true, "stage": "ready",
            "stage_ms": 12_000,
            "stages": [{"stage": "connecting", "after_ms": 0}, {"stage": "ready", "after_ms": 3_100}],
            "text": "ready", "waiting_for": null, "problem": null, "attempt": 1,
            "verified": "found", "verified_after_ms": 5_200, "router": "emissary, version 0.9.66",
            "streams": 3,
        }],
    });
    change(&mut value);
    serde_json::from_value(value).expect("a report")
}

/// The text without colours.
fn plain(report: &Report) -> String {
    anstream::adapter::strip_str(&text(report)).to_string()
}

#[test]
fn a_program_that_is_ready_shows_times_addresses_and_sessions() {
    assert_snapshot!(plain(&report(|_| {})));
}

#[test]
fn what_is_not_ready_says_what_it_waits_for() {
    let report = report(|value| {
        value["ready"] = false.into();
        value["waiting_for"] = json!(["router i2cp://127.0.0.1:7654: does not answer: refused"]);
        value["failed"] = json!(["service sam failed: cannot listen on 127.0.0.1:7656"]);
        value["program"]["config"] = Value::Null;
        let router = &mut value["router"];
        router["name"] = "i2cp://127.0.0.1:7654".into();
        router["embedded"] = false.into();
        router["ready"] = false.into();
        router["text"] = "does not answer".into();
        router["problem"] = "refused".into();
        router["stages"] = json!([]);
        router["activity"] = Value::Null;
        router["program"] = "Java I2P".into();
        router["protocol"] = "0.9.66".into();
        router["clock_ahead_ms"] = (-3_600_000).into();
        value["services"][0]["state"] = "failed".into();
        value["services"][0]["problem"] = "cannot listen on 127.0.0.1:7656".into();
        value["services"][0]["addresses"] = json!({"tcp": [], "udp": [], "unix": []});
        value["services"][0]["statistics"] = json!({});
        let session = &mut value["sessions"][0];
        session["nickname"] = Value::Null;
        session["ready"] = false.into();
        session["text"] = "lost, trying again".into();
        session["problem"] = "the router was stopped".into();
        session["waiting_for"] = "the next attempt, in 3.2s".into();
        session["attempt"] = 4.into();
        session["verified"] = "pending".into();
        session["verified_after_ms"] = Value::Null;
        session["streams"] = 0.into();
    });
    assert_snapshot!(plain(&report));
}

#[test]
fn a_program_that_starts_has_no_services_yet() {
    let report = report(|value| {
        value["ready"] = false.into();
        value["program"]["phase"] = "starting".into();
        value["services"] = json!([]);
        value["sessions"] = json!([]);
        value["waiting_for"] = json!(["the services to start"]);
    });
    assert_snapshot!(plain(&report));
}
