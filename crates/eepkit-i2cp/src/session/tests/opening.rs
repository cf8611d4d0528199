//! Tests of opening a session.

use super::*;

#[test]
fn a_session_is_opened_step_by_step() {
    let mut bench = Bench::new(&[("inbound.length", "1")]);
    match bench.sent().as_slice() {
        [Message::GetDate(greeting)] => {
            assert_eq!(greeting.version, Text::new("0.9.66"));
            assert!(greeting.login.is_empty());
        }
        other => panic!("{other:?}"),
    }

    bench.router(&set_date("0.9.57"));
    assert_eq!(bench.sent(), [Message::GetBandwidthLimits]);

    bench.router(&Message::BandwidthLimits(BandwidthLimits::default()));
    match bench.sent().as_slice() {
        [Message::CreateSession(config)] => {
            config
                .verify(u32::try_from(UNIX_NOW.as_secs()).expect("fits"))
                .expect("signed");
            assert_eq!(config.options.get("inbound.length"), Some("1"));
            assert_eq!(config.options.get("i2cp.fastReceive"), Some("true"));
            assert_eq!(u128::from(config.date), UNIX_NOW.as_millis());
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(
        bench.events().as_slice(),
        [
            Event::RouterClock(UNIX_NOW),
            Event::Connected {
                router: RouterKind::Unknown,
                ..
            }
        ]
    ));

    bench.router(&Message::SessionStatus {
        session: ID,
        status: SessionStatus::CREATED,
    });
    assert!(matches!(
        bench.events().as_slice(),
        [Event::Opened(Handle::PRIMARY)]
    ));

    bench.router(&lease_set_request(ID));
    match bench.events().as_slice() {
        [
            Event::LeaseSetWanted {
                session: Handle::PRIMARY,
                leases,
                router_time: UNIX_NOW,
            },
        ] => assert_eq!(leases.len(), 2),
        other => panic!("{other:?}"),
    }

    bench.command(publish(Handle::PRIMARY));
    assert_eq!(bench.sent(), [], "i2pd would miss such an early answer");
    bench.pass(LEASE_SET_DELAY);
    match bench.sent().as_slice() {
        [Message::CreateLeaseSet2(message)] => {
            assert_eq!(message.session, ID);
            assert_eq!(message.lease_set, signed_lease_set());
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(
        bench.events().as_slice(),
        [Event::LeaseSetSent(Handle::PRIMARY)]
    ));
    let quiet = Duration::from_secs(60).saturating_sub(LEASE_SET_DELAY);
    assert_eq!(
        bench.timeout,
        Some(bench.now + quiet),
        "only the silence of the router is awaited"
    );
}

#[test]
fn only_an_early_lease_set_is_delayed_and_only_the_last_one_is_sent() {
    let second = Duration::from_secs(1);
    let mut bench = Bench::ready("0.9.57");
    bench.pass(second);
    bench.router(&lease_set_request(ID));
    bench.pass(LEASE_SET_DELAY);
    bench.command(publish(Handle::PRIMARY));
    assert_eq!(bench.sent().len(), 1);

    bench.pass(second);
    bench.router(&lease_set_request(ID));
    bench.command(publish(Handle::PRIMARY));
    bench.command(publish(Handle::PRIMARY));
    bench.pass(LEASE_SET_DELAY);
    assert_eq!(bench.sent().len(), 1);

    let mut bench = Bench::new(&[]);
    bench.greet("0.9.63", emissary_limits());
    bench.router(&Message::SessionStatus {
        session: ID,
        status: SessionStatus::CREATED,
    });
    bench.router(&lease_set_request(ID));
    bench.sent();
    bench.command(publish(Handle::PRIMARY));
    assert_eq!(bench.sent().len(), 1, "emissary needs no delay");
}

#[test]
fn a_session_is_opened_if_every_byte_arrives_alone() {
    let mut bench = Bench::new(&[]);
    let mut answers = Vec::new();
    for message in [
        set_date("0.9.63"),
        Message::BandwidthLimits(emissary_limits()),
        Message::SessionStatus {
            session: ID,
            status: SessionStatus::CREATED,
        },
        lease_set_request(ID),
    ] {
        message.encode_frame(&mut answers).expect("fits");
    }
    for byte in answers {
        bench.receive(&[byte]);
    }
    assert!(matches!(
        bench.events().last(),
        Some(Event::LeaseSetWanted { .. })
    ));
}

#[test]
fn bandwidth_limits_are_not_requested_if_the_router_is_named() {
    let mut bench = Bench::with_keys(keys(), &[], Some(RouterKind::Emissary));
    bench.sent();
    bench.router(&set_date("0.9.63"));
    let sent = bench.sent();
    assert_eq!(sent.len(), 1);
    assert_eq!(
        created_options(&sent).get("i2cp.dontPublishLeaseSet"),
        Some("false")
    );
}

#[test]
fn the_option_to_publish_is_sent_to_emissary_only() {
    let sent = |limits, options: &[(&str, &str)], version: &str| {
        let mut bench = Bench::new(options);
        bench.greet(version, limits);
        let options = created_options(&bench.sent());
        options.get("i2cp.dontPublishLeaseSet").map(str::to_owned)
    };
    let hidden = [("i2cp.dontPublishLeaseSet", "true")];
    let published = [("i2cp.dontPublishLeaseSet", "false")];
    let other = BandwidthLimits::default();
    assert_eq!(
        sent(emissary_limits(), &[], "0.9.63").as_deref(),
        Some("false")
    );
    assert_eq!(
        sent(emissary_limits(), &hidden, "0.9.63").as_deref(),
        Some("true")
    );
    assert_eq!(sent(other, &[], "0.9.67"), None);
    assert_eq!(
        sent(other, &published, "0.9.67"),
        None,
        "i2pd would not publish it"
    );
    assert_eq!(sent(other, &hidden, "0.9.66").as_deref(), Some("true"));
    assert_eq!(
        sent(other, &hidden, "0.9.67").as_deref(),
        Some("TRUE"),
        "i2pd would publish it"
    );
}

#[test]
fn the_login_is_in_get_date_and_not_in_the_session() {
    let mut bench = Bench::new(&[("i2cp.username", "me"), ("i2cp.password", "sesame")]);
    match bench.sent().as_slice() {
        [Message::GetDate(greeting)] => {
            assert_eq!(greeting.login.get("i2cp.username"), Some("me"));
            assert_eq!(greeting.login.get("i2cp.password"), Some("sesame"));
        }
        other => panic!("{other:?}"),
    }
    bench.greet("0.9.66", BandwidthLimits::default());
    let options = created_options(&bench.sent());
    assert!(!options.contains_key("i2cp.username"));
    assert!(!options.contains_key("i2cp.password"));
}

#[test]
fn a_session_is_opened_after_three_seconds_without_bandwidth_limits() {
    let mut bench = Bench::new(&[]);
    bench.router(&set_date("0.9.66"));
    bench.sent();
    bench.pass(Duration::from_millis(2_999));
    assert_eq!(bench.sent(), []);
    bench.pass(Duration::from_millis(1));
    created_options(&bench.sent());
}

#[test]
fn all_steps_of_opening_share_one_deadline() {
    let mut bench = Bench::new(&[]);
    bench.pass(Duration::from_secs(30));
    assert_eq!(
        bench.closed(),
        SessionCloseReason::Timeout("the router did not answer the first message")
    );

    let mut bench = Bench::new(&[]);
    bench.pass(Duration::from_secs(10));
    bench.greet("0.9.66", BandwidthLimits::default());
    bench.pass(Duration::from_secs(19));
    assert!(!bench.session.is_closed());
    bench.pass(Duration::from_secs(1));
    assert_eq!(
        bench.closed(),
        SessionCloseReason::Timeout("the router did not accept the session")
    );
}

#[test]
fn time_limits_that_end_together_are_handled_together() {
    let mut bench = Bench::new(&[]);
    bench.pass(Duration::from_secs(27));
    // 3 s before the deadline: the router has 3 s for its limits.
    bench.router(&set_date("0.9.66"));
    bench.pass(Duration::from_secs(3));
    assert_eq!(
        bench.closed(),
        SessionCloseReason::Timeout("the router did not accept the session")
    );
}

#[test]
fn building_tunnels_has_a_separate_deadline() {
    let mut bench = Bench::new(&[]);
    bench.greet("0.9.66", BandwidthLimits::default());
    bench.router(&Message::SessionStatus {
        session: ID,
        status: SessionStatus::CREATED,
    });
    bench.answers_date = true;
    bench.pass(Duration::from_secs(599));
    assert!(!bench.session.is_closed());
    bench.pass(Duration::from_secs(1));
    assert_eq!(
        bench.closed(),
        SessionCloseReason::Timeout("the router built no tunnels")
    );
}

#[test]
fn create_session_is_repeated_to_emissary_only() {
    let mut bench = Bench::new(&[]);
    bench.greet("0.9.63", emissary_limits());
    bench.sent();
    bench.pass(Duration::from_secs(7));
    assert_eq!(bench.sent().len(), 2);

    let mut bench = Bench::new(&[]);
    bench.greet("0.9.63", BandwidthLimits::default());
    bench.sent();
    bench.pass(Duration::from_secs(7));
    assert_eq!(bench.sent(), []);
}

#[test]
fn answers_of_other_protocols_are_reported_as_not_i2cp() {
    let not_i2cp = |bytes: &[u8]| {
        let mut bench = Bench::new(&[]);
        bench.receive(bytes);
        matches!(bench.closed(), SessionCloseReason::NotI2cp(_))
    };
    assert!(not_i2cp(b"HTTP/1.1 400 Bad Request\r\n"));
    assert!(not_i2cp(b"SSH-2.0-OpenSSH_9\r\n"));
    assert!(not_i2cp(&[0, 0, 0, 0, 99]), "an unknown type");
    assert!(not_i2cp(&[0, 0, 0, 1, 33, 0]), "a malformed SetDate");
    assert!(
        not_i2cp(&[0, 0, 0, 3, 20, 0, 1, 1]),
        "another message before SetDate"
    );
    assert!(
        not_i2cp(&[0, 0, 0, 10, 33, 0, 0, 0, 0, 0, 0, 0, 0, 1, b'x']),
        "no version"
    );
}

#[test]
fn refusals_have_the_reason_of_their_status() {
    let refused = |keys, status| {
        let mut bench = Bench::with_keys(keys, &[], None);
        bench.greet("0.9.57", BandwidthLimits::default());
        bench.router(&Message::SessionStatus {
            session: SessionId::NONE,
            status,
        });
        bench.closed()
    };
    assert_eq!(
        refused(keys(), SessionStatus::INVALID),
        SessionCloseReason::Duplicate
    );
    assert!(matches!(
        refused(offline_keys(), SessionStatus::INVALID),
        SessionCloseReason::Refused(_)
    ));
    assert!(matches!(
        refused(keys(), SessionStatus::REFUSED),
        SessionCloseReason::Refused(_)
    ));
    assert!(matches!(
        refused(keys(), SessionStatus(99)),
        SessionCloseReason::Refused(_)
    ));
}

#[test]
fn a_disconnect_of_java_is_a_refusal_with_a_reason() {
    let disconnect = |text: &str, steps: usize| {
        let mut bench = Bench::new(&[]);
        if steps > 0 {
            bench.greet("0.9.65", BandwidthLimits::default());
        }
        bench.router(&Message::Disconnect(Text::truncated(text)));
        bench.closed()
    };
    assert!(matches!(
        disconnect("Authorization required", 0),
        SessionCloseReason::LoginRefused(_)
    ));
    assert!(matches!(
        disconnect("Authorization failed", 1),
        SessionCloseReason::LoginRefused(_)
    ));
    assert_eq!(
        disconnect("Duplicate destination x", 1),
        SessionCloseReason::Duplicate
    );
    for steps in [0, 1] {
        for text in ["Too many client sessions", "Router is shutting down"] {
            assert_eq!(
                disconnect(text, steps),
                SessionCloseReason::Refused(text.to_owned()),
                "says nothing about the login"
            );
        }
    }
}

#[test]
fn no_session_is_opened_on_a_router_that_is_too_old() {
    let mut bench = Bench::new(&[]);
    bench.greet("0.9.38", BandwidthLimits::default());
    match bench.closed() {
        SessionCloseReason::BadOption { key, why } => {
            assert_eq!(key, "i2cp.leaseSetType");
            assert_eq!(
                why,
                "the router has API version 0.9.38, this needs 0.9.39 or later"
            );
        }
        other => panic!("{other:?}"),
    }
    let mut bench = Bench::new(&[]);
    bench.router(&Message::SetDate(SetDate {
        date: 0,
        version: None,
    }));
    bench.router(&Message::BandwidthLimits(BandwidthLimits::default()));
    assert!(matches!(
        bench.closed(),
        SessionCloseReason::BadOption { .. }
    ));
}

#[test]
fn options_that_emissary_does_not_support_fail_before_the_session_is_opened() {
    let mut bench = Bench::new(&[("i2cp.leaseSetEncType", "4,0")]);
    bench.sent();
    bench.greet("0.9.63", emissary_limits());
    assert_eq!(bench.sent(), [Message::GetBandwidthLimits]);
    assert!(matches!(
        bench.closed(),
        SessionCloseReason::BadOption { .. }
    ));
}

#[test]
fn dates_follow_the_clock_of_the_router() {
    let mut bench = Bench::new(&[]);
    let hour = 3_600_000;
    let theirs = u64::try_from(UNIX_NOW.as_millis()).expect("fits") - hour;
    let version = Text::new("0.9.66");
    bench.router(&Message::SetDate(SetDate {
        date: theirs,
        version: version.clone(),
    }));
    bench.router(&Message::BandwidthLimits(BandwidthLimits::default()));
    assert!(matches!(
        bench.events().first(),
        Some(Event::RouterClock(time)) if *time == UNIX_NOW.saturating_sub(Duration::from_secs(3600))
    ));
    match bench.sent().last() {
        Some(Message::CreateSession(config)) => assert_eq!(config.date, theirs),
        other => panic!("{other:?}"),
    }
    bench.accept();

    // Later the router corrects its clock.
    bench.router(&Message::SetDate(SetDate {
        date: theirs + hour,
        version,
    }));
    bench.command(send(&bench, 0));
    match bench.sent().as_slice() {
        [Message::SendMessageExpires(message)] => {
            assert_eq!(message.expires, theirs + hour + 20_000);
        }
        other => panic!("{other:?}"),
    }
}
