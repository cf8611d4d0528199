//! Tests of look-ups.

use super::*;

#[test]
fn hashes_and_names_are_looked_up() {
    let mut bench = Bench::ready("0.9.57");
    bench.command(lookup(1, LookupTarget::Hash(peer().hash())));
    let asked = bench.only_lookup();
    assert_eq!(asked.session, ID);
    assert_eq!(asked.timeout, 15_000);
    assert_eq!(asked.key, LookupKey::Hash(peer().hash()));
    bench.router(&Message::HostReply(HostReply::found(
        ID,
        asked.request,
        peer(),
    )));
    assert_eq!(bench.answers(), [(1, Ok(peer()))]);

    bench.command(lookup(2, LookupTarget::Name("Example.I2P".to_owned())));
    let asked = bench.only_lookup();
    assert_eq!(asked.key, LookupKey::Name(Text::truncated("example.i2p")));
    let failed = HostReply::failed(ID, asked.request, HostResult::FAILURE);
    bench.router(&Message::HostReply(failed));
    assert_eq!(bench.answers(), [(2, Err(LookupFailure::NameNotFound))]);
    assert_eq!(bench.timeout, Some(bench.now + Duration::from_secs(60)));
}

#[test]
fn b32_names_are_looked_up_by_their_hash() {
    let mut bench = Bench::ready("0.9.57");
    let name = peer().to_b32().to_ascii_uppercase();
    bench.command(lookup(1, LookupTarget::Name(name)));
    assert_eq!(bench.only_lookup().key, LookupKey::Hash(peer().hash()));
}

#[test]
fn invalid_names_are_not_found() {
    let mut bench = Bench::ready("0.9.57");
    bench.command(lookup(1, LookupTarget::Name(String::new())));
    bench.command(lookup(2, LookupTarget::Name("x".repeat(256))));
    let missing = Err(LookupFailure::NameNotFound);
    assert_eq!(bench.answers(), [(1, missing.clone()), (2, missing)]);
    assert_eq!(bench.sent(), []);
}

#[test]
fn an_answer_with_another_hash_is_a_failure() {
    let mut bench = Bench::ready("0.9.57");
    bench.command(lookup(1, LookupTarget::Hash(Hash::new([1; 32]))));
    let asked = bench.only_lookup();
    bench.router(&Message::HostReply(HostReply::found(
        ID,
        asked.request,
        peer(),
    )));
    assert_eq!(bench.answers(), [(1, Err(LookupFailure::LeaseSetNotFound))]);
}

#[test]
fn every_result_code_has_its_meaning() {
    for (code, expected) in [
        (1, LookupFailure::LeaseSetNotFound),
        (2, LookupFailure::Locked),
        (3, LookupFailure::Locked),
        (4, LookupFailure::Locked),
        (5, LookupFailure::Locked),
        (6, LookupFailure::LeaseSetNotFound),
        (7, LookupFailure::Unsupported),
        (99, LookupFailure::LeaseSetNotFound),
    ] {
        let mut bench = Bench::ready("0.9.57");
        bench.command(lookup(1, LookupTarget::Hash(peer().hash())));
        let request = bench.only_lookup().request;
        bench.router(&Message::HostReply(HostReply::failed(
            ID,
            request,
            HostResult(code),
        )));
        assert_eq!(bench.answers(), [(1, Err(expected))], "code {code}");
    }
}

#[test]
fn lease_sets_are_fetched_if_the_router_supports_it() {
    let mut bench = Bench::ready("0.9.66");
    bench.command(lookup(1, LookupTarget::LeaseSet(peer())));
    let asked = bench.only_lookup();
    assert_eq!(asked.key, LookupKey::DestinationWithOptions(peer()));
    let mut reply = HostReply::found(ID, asked.request, peer());
    let mut options = eepkit_wire::Mapping::new();
    options
        .insert("_smtp._tcp", "1 86400 0 0 25 x.b32.i2p")
        .expect("fits");
    reply.options = Some(options.clone());
    bench.router(&Message::HostReply(reply));
    match bench.events().as_slice() {
        [
            Event::LookupDone {
                id: 1,
                result: Ok(found),
            },
        ] => assert_eq!(found.options, options),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_failed_lease_set_lookup_is_repeated_as_a_hash_lookup() {
    for code in [HostResult::FAILURE, HostResult::TYPE_UNSUPPORTED] {
        let mut bench = Bench::ready("0.9.67");
        bench.command(lookup(1, LookupTarget::LeaseSet(peer())));
        let request = bench.only_lookup().request;
        bench.router(&Message::HostReply(HostReply::failed(ID, request, code)));
        assert!(bench.answers().is_empty());
        let again = bench.only_lookup();
        assert_eq!(again.key, LookupKey::Hash(peer().hash()));
        bench.router(&Message::HostReply(HostReply::failed(
            ID,
            again.request,
            code,
        )));
        assert_eq!(bench.answers().len(), 1);
    }
}

#[test]
fn a_router_before_0_9_11_gets_dest_lookup() {
    // No session opens on a router this old, so the test uses the table of look-ups directly.
    let router = Router {
        kind: RouterKind::Unknown,
        version: ApiVersion::new(0, 9, 10),
    };
    let mut lookups = Lookups::default();
    let now = some_instant();
    lookups.release(now, router, ID);
    let timeout = Duration::from_secs(10);
    let hash = peer().hash();
    let effects = lookups.start(now, router, 1, LookupTarget::Hash(hash), timeout);
    assert_eq!(effects.messages, [Message::DestLookup(hash)]);
    let other = Hash::new([1; 32]);
    let effects = lookups.start(now, router, 2, LookupTarget::Hash(other), timeout);
    assert_eq!(effects.messages, [Message::DestLookup(other)]);
    let name = LookupTarget::Name("a.i2p".to_owned());
    let effects = lookups.start(now, router, 3, name, timeout);
    assert!(matches!(
        effects.events.as_slice(),
        [Event::LookupDone {
            id: 3,
            result: Err(LookupFailure::Unsupported)
        }]
    ));

    let effects = lookups.dest_reply(DestReply::NotFound(other));
    assert!(matches!(
        effects.events.as_slice(),
        [Event::LookupDone {
            id: 2,
            result: Err(LookupFailure::LeaseSetNotFound)
        }]
    ));
    let effects = lookups.dest_reply(DestReply::Found(peer()));
    assert!(matches!(
        effects.events.as_slice(),
        [Event::LookupDone {
            id: 1,
            result: Ok(_)
        }]
    ));
    assert_eq!(lookups.next_timeout(), None);
}

#[test]
fn equal_lookups_share_one_request() {
    let mut bench = Bench::ready("0.9.57");
    for id in 1..=3 {
        bench.command(lookup(id, LookupTarget::Hash(peer().hash())));
    }
    let asked = bench.only_lookup();
    bench.router(&Message::HostReply(HostReply::found(
        ID,
        asked.request,
        peer(),
    )));
    assert_eq!(
        bench.answers(),
        [(1, Ok(peer())), (2, Ok(peer())), (3, Ok(peer()))]
    );
}

#[test]
fn each_lookup_has_its_own_deadline() {
    let mut bench = Bench::ready("0.9.57");
    let target = LookupTarget::Hash(peer().hash());
    let with_timeout = |id, seconds| Command::Lookup {
        id,
        target: target.clone(),
        timeout: Duration::from_secs(seconds),
    };
    bench.command(with_timeout(1, 5));
    bench.command(with_timeout(2, 8));
    bench.pass(Duration::from_secs(5));
    assert_eq!(bench.answers(), [(1, Err(LookupFailure::Timeout))]);
    bench.pass(Duration::from_secs(3));
    assert_eq!(bench.answers(), [(2, Err(LookupFailure::Timeout))]);

    // A late answer is ignored.
    let request = bench.only_lookup().request;
    bench.router(&Message::HostReply(HostReply::found(ID, request, peer())));
    assert!(bench.answers().is_empty());
}

#[test]
fn lookups_are_held_until_the_first_lease_set_and_can_time_out_before_it() {
    let mut bench = Bench::new(&[]);
    bench.sent();
    bench.command(lookup(1, LookupTarget::Hash(peer().hash())));
    bench.command(Command::Lookup {
        id: 2,
        target: LookupTarget::Name("a.i2p".to_owned()),
        timeout: Duration::from_secs(1),
    });
    assert_eq!(bench.sent(), []);
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.answers(), [(2, Err(LookupFailure::Timeout))]);
    bench.greet("0.9.66", BandwidthLimits::default());
    bench.router(&Message::SessionStatus {
        session: ID,
        status: SessionStatus::CREATED,
    });
    bench.router(&lease_set_request(ID));
    bench.sent();
    bench.command(publish(Handle::PRIMARY));
    bench.pass(LEASE_SET_DELAY);
    match bench.sent().as_slice() {
        [Message::CreateLeaseSet2(_), Message::HostLookup(lookup)] => {
            assert_eq!(lookup.timeout, 13_800, "the remaining time");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn lookups_to_emissary_are_repeated_and_by_hash_only() {
    let mut bench = Bench::new(&[]);
    bench.greet("0.9.66", emissary_limits());
    bench.accept();
    bench.command(lookup(1, LookupTarget::LeaseSet(peer())));
    assert_eq!(bench.only_lookup().key, LookupKey::Hash(peer().hash()));
    bench.pass(Duration::from_secs(2));
    let repetition = bench.only_lookup();
    bench.router(&Message::HostReply(HostReply::found(
        ID,
        repetition.request,
        peer(),
    )));
    assert_eq!(bench.answers(), [(1, Ok(peer()))]);
    bench.router(&Message::HostReply(HostReply::found(
        ID,
        repetition.request,
        peer(),
    )));
    assert!(bench.answers().is_empty(), "the second answer is ignored");
    bench.pass(Duration::from_secs(50));
    assert_eq!(bench.sent(), []);
}

#[test]
fn the_number_of_waiting_lookups_is_bounded() {
    let mut bench = Bench::ready("0.9.57");
    let target = |n: u32| {
        let mut hash = [0; 32];
        hash[..4].copy_from_slice(&n.to_be_bytes());
        LookupTarget::Hash(Hash::new(hash))
    };
    for id in 0..1024 {
        bench.command(lookup(id, target(id)));
    }
    assert!(bench.answers().is_empty());
    bench.command(lookup(9999, target(9999)));
    assert_eq!(bench.answers(), [(9999, Err(LookupFailure::Busy))]);
}
