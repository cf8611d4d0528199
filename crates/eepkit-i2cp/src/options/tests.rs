use super::*;

#[test]
fn every_default_is_allowed_and_in_canonical_form() {
    for spec in OPTIONS {
        if let Some(default) = spec.default {
            assert_eq!(
                spec.allowed.canonical(default).as_deref(),
                Some(default),
                "{}",
                spec.key
            );
        }
        assert!(
            spec.default.is_some() || spec.sent != Sent::Always,
            "{}",
            spec.key
        );
        assert!(spec.doc.ends_with('.'), "{}", spec.key);
    }
}

#[test]
fn every_documented_key_is_in_the_table_once() {
    for spec in OPTIONS {
        let same = OPTIONS.iter().filter(|other| other.key == spec.key).count();
        assert_eq!(same, 1, "{}", spec.key);
    }
    // I2CP overview, the tables of router-side and client-side options.
    for key in [
        "clientMessageTimeout",
        "crypto.lowTagThreshold",
        "crypto.ratchet.inboundTags",
        "crypto.ratchet.outboundTags",
        "crypto.tagsToSend",
        "explicitPeers",
        "i2cp.SSL",
        "i2cp.closeIdleTime",
        "i2cp.closeOnIdle",
        "i2cp.delayOpen",
        "i2cp.destination.sigType",
        "i2cp.dontPublishLeaseSet",
        "i2cp.encryptLeaseSet",
        "i2cp.fastReceive",
        "i2cp.gzip",
        "i2cp.leaseSetAuthType",
        "i2cp.leaseSetBlindedType",
        "i2cp.leaseSetClient.dh.0",
        "i2cp.leaseSetClient.psk.12",
        "i2cp.leaseSetEncType",
        "i2cp.leaseSetKey",
        "i2cp.leaseSetOfflineExpiration",
        "i2cp.leaseSetOfflineSignature",
        "i2cp.leaseSetOption.0",
        "i2cp.leaseSetPrivKey",
        "i2cp.leaseSetPrivateKey",
        "i2cp.leaseSetSecret",
        "i2cp.leaseSetSigningPrivateKey",
        "i2cp.leaseSetTransientPublicKey",
        "i2cp.leaseSetType",
        "i2cp.messageReliability",
        "i2cp.password",
        "i2cp.reduceIdleTime",
        "i2cp.reduceOnIdle",
        "i2cp.reduceQuantity",
        "i2cp.tcp.host",
        "i2cp.tcp.port",
        "i2cp.username",
        "inbound.IPRestriction",
        "inbound.allowZeroHop",
        "inbound.backupQuantity",
        "inbound.length",
        "inbound.lengthVariance",
        "inbound.nickname",
        "inbound.quantity",
        "inbound.randomKey",
        "outbound.priority",
        "shouldBundleReplyInfo",
    ] {
        assert!(spec(key).is_some(), "{key}");
    }
    assert_eq!(spec("i2cp.leaseSetOption."), None);
    assert_eq!(spec("i2cp.leaseSetOption.x"), None);
    assert_eq!(spec("Inbound.length"), None, "case matters");
}

#[test]
fn every_accessor_names_a_documented_key_with_a_default() {
    for key in ACCESSORS {
        assert!(
            spec(key).is_some_and(|spec| spec.default.is_some()),
            "{key}"
        );
    }
}

#[test]
fn the_defaults_are_as_documented() {
    let options = Options::new();
    assert_eq!(options.inbound_length(), 3);
    assert_eq!(options.outbound_length(), 3);
    assert_eq!(options.inbound_quantity(), 2);
    assert_eq!(options.outbound_quantity(), 2);
    assert_eq!(options.encryption_types(), [EncryptionType::X25519]);
    assert_eq!(options.signature_type(), SignatureType::ED25519);
    assert_eq!(options.lease_set_type(), 3);
    assert!(options.fast_receive());
    assert!(options.gzip());
    assert!(!options.dont_publish_lease_set());
    assert_eq!(options.close_idle_time(), 1_800_000);
}

#[test]
fn numbers_out_of_range_are_refused_with_key_value_and_range() {
    let mut options = Options::new();
    for (key, low, high) in [
        ("inbound.length", "-1", "8"),
        ("outbound.lengthVariance", "-8", "8"),
        ("inbound.quantity", "0", "17"),
        ("outbound.priority", "-26", "26"),
        ("i2cp.reduceQuantity", "0", "6"),
        ("i2cp.tcp.port", "0", "65536"),
        ("inbound.IPRestriction", "-1", "5"),
        ("inbound.backupQuantity", "-1", "4"),
        ("i2cp.leaseSetAuthType", "-1", "3"),
    ] {
        for value in [low, high, "", "two", "1.5"] {
            let error = options.set(key, value).expect_err(key);
            assert_eq!(error.key, key);
            assert_eq!(error.value, format!("{value:?}"));
        }
    }
    let error = options
        .set("i2cp.closeIdleTime", "299999")
        .expect_err("too short");
    assert_eq!(error.allowed, "300000 or more");
    assert!(options.is_empty());
    assert!(options.set_inbound_quantity(17).is_err());
}

#[test]
fn values_are_stored_in_canonical_form() {
    let mut options = Options::new();
    for (key, given, kept) in [
        ("i2cp.gzip", "FALSE", "false"),
        ("i2cp.messageReliability", "None", "none"),
        ("i2cp.messageReliability", "besteffort", "BestEffort"),
        ("i2cp.leaseSetEncType", "ECIES_X25519, 0", "4,0"),
        ("i2cp.leaseSetEncType", "6,4", "6,4"),
        ("i2cp.destination.sigType", "EdDSA_SHA512_Ed25519", "7"),
        ("inbound.length", "02", "2"),
    ] {
        options.set(key, given).expect(key);
        assert_eq!(options.get(key), Some(kept));
    }
    assert!(options.set("i2cp.leaseSetEncType", "4,4").is_err());
    assert!(options.set("i2cp.leaseSetEncType", "").is_err());
    assert!(options.set("i2cp.gzip", "yes").is_err());
}

#[test]
fn values_of_unknown_keys_are_stored_unchanged() {
    let mut options = Options::new();
    options.set("inbound.something", " As Is ").expect("passes");
    options.set("i2p.streaming.profile", "2").expect("passes");
    let told = options.for_router();
    assert_eq!(told["inbound.something"], " As Is ");
    assert_eq!(told["i2p.streaming.profile"], "2");
}

#[test]
fn defaults_that_differ_between_routers_are_always_sent() {
    let told = Options::new().for_router();
    let expected = [
        ("i2cp.fastReceive", "true"),
        ("i2cp.leaseSetEncType", "4"),
        ("i2cp.leaseSetType", "3"),
        ("i2cp.messageReliability", "none"),
        ("inbound.length", "3"),
        ("inbound.quantity", "2"),
        ("outbound.length", "3"),
        ("outbound.quantity", "2"),
    ];
    let told: Vec<(&str, &str)> = told.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(told, expected);
}

#[test]
fn options_for_this_process_are_not_sent_to_the_router() {
    let mut options = Options::new();
    for spec in OPTIONS.iter().filter(|spec| spec.sent == Sent::Never) {
        let key = spec.key.replace('*', "0");
        let value = match spec.allowed {
            Allowed::Integer { max, .. } => max.to_string(),
            Allowed::Flag => "true".to_owned(),
            Allowed::SignatureType => "7".to_owned(),
            Allowed::Pair => "a=b".to_owned(),
            Allowed::Base64(Some(len)) => eepkit_wire::base64::encode(&vec![1; len]),
            Allowed::Keys => "0:AAAA".to_owned(),
            _ => "x".to_owned(),
        };
        options.set(&key, &value).expect(&key);
        assert!(!options.for_router().contains_key(&key), "{key}");
    }
}

#[test]
fn debug_output_and_errors_contain_no_secrets() {
    let mut options = Options::new();
    options.set("i2cp.password", "sesame").expect("any text");
    options.set("inbound.nickname", "shop").expect("any text");
    let shown = format!("{options:?} {:?}", options.iter());
    assert!(!shown.contains("sesame"), "{shown}");
    assert!(shown.contains("shop"), "{shown}");

    let error = options
        .set("i2cp.leaseSetPrivateKey", "4:!!!sesame")
        .expect_err("no base64");
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains("sesame"), "{shown}");
    assert!(shown.contains("i2cp.leaseSetPrivateKey"), "{shown}");
}

#[test]
fn keys_and_values_that_are_too_long_are_refused() {
    let mut options = Options::new();
    let long = "x".repeat(256);
    assert!(options.set("inbound.nickname", &long).is_err());
    assert!(options.set("unknown", &long).is_err());
    assert!(options.set(&long, "x").is_err());
    assert!(options.set("", "x").is_err());
    options.set("unknown", &long[1..]).expect("255 bytes fit");
    let error = options
        .set("unknown", &"y".repeat(100_000))
        .expect_err("too long");
    assert!(
        error.to_string().len() < 300,
        "a long value is not repeated in full"
    );
}

#[test]
fn the_number_of_options_is_bounded() {
    let mut options = Options::new();
    for n in 0..Options::MAX {
        options.set(&format!("key.{n}"), "x").expect("room");
    }
    assert!(options.set("one.more", "x").is_err());
    options.set("key.0", "y").expect("replacing adds no option");
    assert_eq!(options.remove("key.0").as_deref(), Some("y"));
    options.set("one.more", "x").expect("room again");
}

#[test]
fn lease_set_options_are_in_the_order_of_their_numbers() {
    let mut options = Options::new();
    options
        .set("i2cp.leaseSetOption.10", "_b._tcp=1 86400 0 0 25 x.b32.i2p")
        .expect("valid");
    options
        .set("i2cp.leaseSetOption.2", "a=b=c")
        .expect("valid");
    assert!(options.set("i2cp.leaseSetOption.3", "no pair").is_err());
    assert_eq!(
        options.lease_set_options(),
        [("a", "b=c"), ("_b._tcp", "1 86400 0 0 25 x.b32.i2p")]
    );
}
