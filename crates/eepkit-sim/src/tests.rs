//! Tests of the network with sessions on a direct link, in virtual time.

mod faults;
pub(super) mod party;
mod tunnels;

use std::time::Duration;

use eepkit_link::{
    Direction, DropReason, Event, LinkError, LinkLookupError, LinkStage, LookupTarget, LostReason,
};
use tokio::time::Instant;

use super::*;
use party::Party;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_session_becomes_ready_after_building_tunnels_and_publishing() {
    let net = SimNet::builder()
        .build_time(3 * SECOND)
        .publish_time(2 * SECOND)
        .start();
    let start = Instant::now();
    let mut party = Party::open(&net, 1).await;

    assert_eq!(party.stage().await, LinkStage::BuildingTunnels);
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(party.stage().await, LinkStage::LeaseSetSent);
    assert_eq!(start.elapsed(), 3 * SECOND);
    assert_eq!(party.stage().await, LinkStage::Ready);
    assert_eq!(start.elapsed(), 5 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_session_has_the_tunnels_that_its_options_request() {
    let net = SimNet::new(Profile::Ideal);
    let party = Party::with_options(
        &net,
        1,
        &[
            ("inbound.quantity", "3"),
            ("outbound.quantity", "5"),
            ("inbound.length", "1"),
            ("outbound.length", "2"),
        ],
    )
    .await;

    let tunnels = net.tunnels(&party.destination);
    let of = |direction| {
        tunnels
            .iter()
            .filter(move |tunnel| tunnel.direction == direction)
    };
    assert_eq!(of(Direction::Inbound).count(), 3);
    assert_eq!(of(Direction::Outbound).count(), 5);
    assert!(of(Direction::Inbound).all(|tunnel| tunnel.hops == 1 && tunnel.lease.is_some()));
    assert!(of(Direction::Outbound).all(|tunnel| tunnel.hops == 2 && tunnel.lease.is_none()));
}

#[tokio::test(start_paused = true)]
async fn a_length_variance_makes_tunnels_differ() {
    let net = SimNet::new(Profile::Ideal);
    let party = Party::with_options(
        &net,
        1,
        &[
            ("inbound.quantity", "16"),
            ("inbound.length", "3"),
            ("inbound.lengthVariance", "-1"),
        ],
    )
    .await;

    let mut hops: Vec<_> = net
        .tunnels(&party.destination)
        .iter()
        .filter(|tunnel| tunnel.direction == Direction::Inbound)
        .map(|tunnel| tunnel.hops)
        .collect();
    hops.sort_unstable();
    hops.dedup();
    assert_eq!(hops, [2, 3, 4]);
}

#[tokio::test(start_paused = true)]
async fn a_message_arrives_after_the_delay() {
    let net = SimNet::builder().delay(250 * MS).start();
    let (mut alice, mut bob) = Party::pair(&net).await;

    let start = Instant::now();
    let token = alice.send(&bob.destination, b"hello");
    assert_eq!(alice.fate(token).await, Ok(()));
    let (body, _) = bob.receive().await;

    assert_eq!(&body[..], b"hello");
    assert_eq!(start.elapsed(), 250 * MS);
    let stats = net.stats();
    assert_eq!((stats.sent, stats.delivered, stats.in_flight), (1, 1, 0));
    assert_eq!((stats.sent_bytes, stats.delivered_bytes), (5, 5));
}

#[tokio::test(start_paused = true)]
async fn tunnel_lengths_matter_if_hops_have_delay() {
    let net = SimNet::builder().hop_delay(30 * MS).start();
    let mut alice = Party::with_options(&net, 1, &[("outbound.length", "1")])
        .await
        .ready()
        .await;
    let mut bob = Party::with_options(&net, 2, &[("inbound.length", "3")])
        .await
        .ready()
        .await;

    let start = Instant::now();
    alice.send(&bob.destination, b"hello");
    bob.receive().await;

    assert_eq!(start.elapsed(), 120 * MS);
}

#[tokio::test(start_paused = true)]
async fn a_destination_can_send_to_itself() {
    let net = SimNet::builder().delay(10 * MS).start();
    let mut alice = Party::open(&net, 1).await.ready().await;

    let own = alice.destination.clone();
    alice.send(&own, b"note to self");

    assert_eq!(&alice.receive().await.0[..], b"note to self");
}

#[tokio::test(start_paused = true)]
async fn a_destination_has_one_session_at_a_time() {
    let net = SimNet::new(Profile::Ideal);
    let first = Party::open(&net, 1).await;

    let second = Party::try_open(&net.router(), 1, &[]).await;
    assert!(matches!(second, Err(LinkError::Duplicate)));

    drop(first);
    Party::open(&net, 1).await.ready().await;
}

#[tokio::test(start_paused = true)]
async fn a_stopped_network_ends_its_sessions_and_refuses_new_ones() {
    let net = SimNet::new(Profile::Ideal);
    let mut alice = Party::open(&net, 1).await.ready().await;

    net.stop();

    assert_eq!(alice.lost().await, LostReason::Stopped);
    let late = Party::try_open(&net.router(), 2, &[]).await;
    assert!(matches!(late, Err(LinkError::Stopped)));
}

#[tokio::test(start_paused = true)]
async fn sessions_outlive_the_handle_they_were_opened_with() {
    let net = SimNet::builder().delay(10 * MS).start();
    let (mut alice, mut bob) = Party::pair(&net).await;

    drop(net);
    alice.send(&bob.destination, b"still here");

    assert_eq!(&bob.receive().await.0[..], b"still here");
}

#[tokio::test(start_paused = true)]
async fn look_ups_find_names_hashes_and_lease_sets() {
    let net = SimNet::builder().lookup_time(2 * SECOND).start();
    let (mut alice, bob) = Party::pair(&net).await;
    net.add_name("Bob.i2p", &bob.destination);
    let start = Instant::now();

    let named = alice
        .lookup(LookupTarget::Name("bob.I2P".to_owned()))
        .await
        .expect("found");
    assert_eq!(
        (named.destination, start.elapsed()),
        (bob.destination.clone(), Duration::ZERO)
    );

    for target in [
        LookupTarget::Hash(bob.destination.hash()),
        LookupTarget::LeaseSet(bob.destination.clone()),
        LookupTarget::Name(bob.destination.to_b32()),
    ] {
        let start = Instant::now();
        let found = alice.lookup(target).await.expect("found");
        assert_eq!(start.elapsed(), 2 * SECOND);
        assert_eq!(found.destination, bob.destination);
        let ends: Vec<_> = found.leases.iter().map(|lease| lease.end).collect();
        assert_eq!(ends.len(), 2);
        assert!(ends.is_sorted_by(|a, b| a >= b), "soonest end last");
    }
}

#[tokio::test(start_paused = true)]
async fn failed_look_ups_report_their_reasons() {
    let net = SimNet::builder().lookup_time(2 * SECOND).start();
    let mut alice = Party::open(&net, 1).await.ready().await;
    let stranger = party::destination(9);

    let name = alice
        .lookup(LookupTarget::Name("nobody.i2p".to_owned()))
        .await;
    assert_eq!(name, Err(LinkLookupError::NameNotFound));
    let hash = alice.lookup(LookupTarget::Hash(stranger.hash())).await;
    assert_eq!(hash, Err(LinkLookupError::LeaseSetNotFound));

    let start = Instant::now();
    let target = LookupTarget::LeaseSet(stranger);
    let impatient = alice.lookup_within(target, SECOND).await;
    assert_eq!(
        (impatient, start.elapsed()),
        (Err(LinkLookupError::Timeout), SECOND)
    );
}

#[tokio::test(start_paused = true)]
async fn a_message_to_an_unknown_destination_is_dropped_after_the_look_up() {
    let net = SimNet::builder().lookup_time(2 * SECOND).start();
    let mut alice = Party::open(&net, 1).await.ready().await;

    let start = Instant::now();
    let token = alice.send(&party::destination(9), b"anyone?");

    assert_eq!(alice.fate(token).await, Err(DropReason::NoLeaseSet));
    assert_eq!(start.elapsed(), 2 * SECOND);
    assert_eq!(net.stats().dropped.no_lease_set, 1);
}

#[tokio::test(start_paused = true)]
async fn an_unpublished_lease_set_is_learnt_from_messages() {
    let net = SimNet::new(Profile::Ideal);
    let mut client = Party::with_options(&net, 1, &[("i2cp.dontPublishLeaseSet", "true")])
        .await
        .ready()
        .await;
    let mut server = Party::open(&net, 2).await.ready().await;

    let unknown = server.send(&client.destination, b"who are you?");
    assert_eq!(server.fate(unknown).await, Err(DropReason::NoLeaseSet));

    client.send(&server.destination, b"hello");
    server.receive().await;
    let known = server.send(&client.destination, b"welcome");
    assert_eq!(server.fate(known).await, Ok(()));
    assert_eq!(&client.receive().await.0[..], b"welcome");
}

#[tokio::test(start_paused = true)]
async fn sessions_without_a_common_encryption_type_cannot_exchange_messages() {
    let net = SimNet::new(Profile::Ideal);
    let mut old = Party::with_options(&net, 1, &[("i2cp.leaseSetEncType", "0")])
        .await
        .ready()
        .await;
    let mut new = Party::with_options(&net, 2, &[("i2cp.leaseSetEncType", "4")])
        .await
        .ready()
        .await;
    let mut both = Party::with_options(&net, 3, &[("i2cp.leaseSetEncType", "4,0")])
        .await
        .ready()
        .await;

    let token = old.send(&new.destination, b"?");
    assert_eq!(
        old.fate(token).await,
        Err(DropReason::UnsupportedEncryption)
    );
    for peer in [&mut old, &mut new] {
        let token = both.send(&peer.destination, b"!");
        assert_eq!(both.fate(token).await, Ok(()));
        peer.receive().await;
    }
}

#[tokio::test(start_paused = true)]
async fn invalid_lease_sets_end_the_session() {
    let net = SimNet::new(Profile::Ideal);
    for wrong in [
        party::Wrong::Signature,
        party::Wrong::Destination,
        party::Wrong::Lease,
        party::Wrong::Bytes,
    ] {
        let mut party = Party::open(&net, 1).await;
        party.answer_wrongly(wrong).await;
        let reason = party.lost().await;
        assert!(
            matches!(&reason, LostReason::Closed(why) if why.starts_with("lease set refused")),
            "{wrong:?}: {reason:?}"
        );
        let found = net.shared.with(|world, _| world.netdb.len());
        assert_eq!(found, 0, "{wrong:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_log_records_events_and_their_times() {
    let net = SimNet::builder().log(1000).delay(250 * MS).start();
    let (mut alice, mut bob) = Party::pair(&net).await;
    net.take_log();
    alice.send(&bob.destination, b"hello");
    bob.receive().await;

    let lines: Vec<_> = net.take_log().iter().map(ToString::to_string).collect();

    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert!(
        lines[0].contains("0.000000 host 1: 5 bytes left by tunnel"),
        "{lines:#?}"
    );
    assert!(
        lines[1].contains("0.250000 host 2: 5 bytes of host 1 by tunnel"),
        "{lines:#?}"
    );
    assert_eq!(net.take_log(), []);
}

#[tokio::test(start_paused = true)]
async fn events_of_a_profile_are_in_the_recorded_order() {
    let net = SimNet::new(Profile::Live);
    let mut party = Party::open(&net, 1).await;
    let mut seen = Vec::new();
    while party.stage != Some(LinkStage::Ready) {
        match party.event().await {
            Event::Stage(stage) => seen.push(format!("{stage:?}")),
            Event::TunnelUp { direction, .. } => seen.push(format!("{direction:?}")),
            Event::LeaseSetWanted { leases, .. } => seen.push(format!("{} leases", leases.len())),
            _ => {}
        }
    }
    assert_eq!(
        seen,
        [
            "BuildingTunnels",
            "Inbound",
            "Inbound",
            "Outbound",
            "Outbound",
            "2 leases",
            "LeaseSetSent",
            "Ready",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_network_serves_as_a_router() {
    let net = SimNet::new(Profile::Local);

    let party = Party::try_open(&net, 1, &[]).await.expect("opens");

    assert_eq!(net.tunnels(&party.ready().await.destination).len(), 4);
}
