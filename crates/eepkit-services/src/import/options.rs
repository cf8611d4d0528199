//! Settings of i2pd and Java I2P that are options of sessions, or make no sense any more.

use super::{Draft, Setting};

/// Takes the remaining settings of a draft over as options of its session. `option_of` returns the
/// name of the option, if a setting can be one.
pub(super) fn convert(draft: &mut Draft, option_of: impl Fn(&str) -> Option<String>) {
    for setting in draft.take_rest() {
        let Some(key) = option_of(&setting.key) else {
            draft.refused(&setting, "there is no such setting here");
            continue;
        };
        convert_one(draft, &setting, &key);
    }
}

fn convert_one(draft: &mut Draft, setting: &Setting, key: &str) {
    if let Some((_, why)) = OBSOLETE.iter().find(|(obsolete, _)| *obsolete == key) {
        draft.changed(setting, &format!("it has no effect any more: {why}"));
        return;
    }
    if let Some((_, why)) = IMPOSSIBLE.iter().find(|(impossible, _)| *impossible == key) {
        draft.refused(setting, why);
        return;
    }
    if !OPTIONS.iter().any(|prefix| key.starts_with(prefix)) {
        draft.refused(setting, "there is no such setting here");
        return;
    }
    draft.option(setting, key, &setting.value);
}

/// The beginnings of the names of options of sessions.
const OPTIONS: &[&str] = &[
    "inbound.",
    "outbound.",
    "i2cp.",
    "i2p.streaming.",
    "crypto.",
    "explicitPeers",
    "shouldBundleReplyInfo",
];

/// Settings without an effect that anyone could miss.
const OBSOLETE: &[(&str, &str)] = &[
    ("inbound.nickname", "the session has the name of the tunnel"),
    (
        "outbound.nickname",
        "the session has the name of the tunnel",
    ),
    (
        "crypto.tagsToSend",
        "session tags belong to ElGamal, which new destinations do not use",
    ),
    (
        "crypto.lowTagThreshold",
        "session tags belong to ElGamal, which new destinations do not use",
    ),
    (
        "i2cp.messageReliability",
        "it is a setting of Java I2P's client library",
    ),
    (
        "i2cp.fastReceive",
        "it is a setting of Java I2P's client library",
    ),
    ("i2cp.tcp.host", "the router is that of [router]"),
    ("i2cp.tcp.port", "the router is that of [router]"),
    ("i2cp.SSL", "the router is that of [router]"),
    (
        "i2p.streaming.connectDelay",
        "the first packet of a stream takes the data that is there",
    ),
    ("i2p.streaming.initialRTT", "round-trip times are measured"),
    (
        "i2p.streaming.profile",
        "streams adapt to bulk and interactive traffic themselves",
    ),
    (
        "i2p.streaming.maxMessageSize",
        "the size of packets is chosen for the tunnels",
    ),
];

/// Settings whose effect is not available.
const IMPOSSIBLE: &[(&str, &str)] = &[
    ("latency.min", "tunnels cannot be chosen by their latency"),
    ("latency.max", "tunnels cannot be chosen by their latency"),
    (
        "i2cp.username",
        "the login belongs to the address of the router in [router]",
    ),
    (
        "i2cp.password",
        "the login belongs to the address of the router in [router]",
    ),
    (
        "i2p.streaming.dontSign",
        "packets without a signature are refused by other routers",
    ),
];
