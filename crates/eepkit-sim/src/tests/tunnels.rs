//! Tests of tunnels: their leases and lifetimes, replacement, retirement and number.

use eepkit_link::{Command, LeaseId, PathChoice, TunnelDownReason, TunnelId};

use super::*;

fn tunnels(
    party: &Party,
    direction: Direction,
) -> Vec<(TunnelId, Option<LeaseId>, Option<Instant>)> {
    let mut found = Vec::new();
    for event in &party.ups {
        if let Event::TunnelUp {
            tunnel,
            direction: its_direction,
            expires,
            lease,
            ..
        } = event
            && *its_direction == direction
        {
            found.push((*tunnel, *lease, *expires));
        }
    }
    found
}

#[tokio::test(start_paused = true)]
async fn tunnels_are_reported_with_their_lease_and_end() {
    let net = SimNet::new(Profile::Ideal);
    let start = Instant::now();
    let (mut alice, bob) = Party::pair(&net).await;

    let inbound = tunnels(&bob, Direction::Inbound);
    assert_eq!(inbound.len(), 2);
    let ends = Some(start + Duration::from_secs(600));
    assert!(inbound.iter().all(|(_, _, expires)| *expires == ends));
    let mut told: Vec<_> = inbound.iter().filter_map(|(_, lease, _)| *lease).collect();
    let mut found: Vec<_> = alice
        .leases_of(&bob.destination)
        .await
        .iter()
        .map(LeaseId::of)
        .collect();
    told.sort_unstable();
    found.sort_unstable();
    assert_eq!(told, found);
    assert!(
        tunnels(&bob, Direction::Outbound)
            .iter()
            .all(|(_, lease, _)| lease.is_none())
    );
}

#[tokio::test(start_paused = true)]
async fn a_pinned_message_uses_its_path() {
    let net = SimNet::new(Profile::Ideal);
    let (mut alice, mut bob) = Party::pair(&net).await;
    let outbound = tunnels(&alice, Direction::Outbound)[1].0;
    alice.leases_of(&bob.destination).await;

    for (inbound, lease, _) in tunnels(&bob, Direction::Inbound) {
        let lease = lease.expect("inbound");
        for _ in 0..10 {
            alice.send_by(
                &bob.destination,
                b"pinned",
                PathChoice::Pinned { outbound, lease },
            );
            assert_eq!(bob.receive().await.1, inbound);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_pinned_to_a_missing_tunnel_is_dropped() {
    let net = SimNet::new(Profile::Ideal);
    let (mut alice, bob) = Party::pair(&net).await;
    let outbound = tunnels(&alice, Direction::Outbound)[0].0;
    let lease = LeaseId::of(&alice.leases_of(&bob.destination).await[0]);
    let strange = LeaseId {
        tunnel: lease.tunnel ^ 1,
        ..lease
    };

    for choice in [
        PathChoice::Pinned {
            outbound: TunnelId(999),
            lease,
        },
        PathChoice::Pinned {
            outbound,
            lease: strange,
        },
    ] {
        let token = alice.send_by(&bob.destination, b"?", choice);
        assert_eq!(
            alice.fate(token).await,
            Err(DropReason::NoTunnel),
            "{choice:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn tunnels_are_replaced_before_they_end_without_loss() {
    let net = SimNet::builder()
        .delay(50 * MS)
        .build_time(SECOND)
        .tunnel_lifetime(8 * SECOND)
        .start();
    let (mut alice, mut bob) = Party::pair(&net).await;

    for _ in 0..600 {
        alice.send(&bob.destination, b"are you there?");
        tokio::join!(alice.listen(100 * MS), bob.listen(100 * MS));
    }

    assert_eq!(bob.received.len(), 600, "{:#?}", net.stats());
    let expired = bob
        .downs
        .iter()
        .filter(|(_, reason)| *reason == TunnelDownReason::Expired);
    assert!(expired.count() >= 4 * 6, "{:?}", bob.downs);
    assert!(bob.lease_sets > 6);
}

#[tokio::test(start_paused = true)]
async fn a_lease_set_contains_only_the_newest_tunnels() {
    let net = SimNet::builder().tunnel_lifetime(40 * SECOND).start();
    let (mut alice, mut bob) = Party::pair(&net).await;

    // Ten seconds before the end both generations are up.
    bob.listen(31 * SECOND).await;
    assert_eq!(tunnels(&bob, Direction::Inbound).len(), 4);
    let leases: Vec<_> = alice
        .leases_of(&bob.destination)
        .await
        .iter()
        .map(LeaseId::of)
        .collect();
    let newest: Vec<_> = tunnels(&bob, Direction::Inbound)[2..]
        .iter()
        .filter_map(|tunnel| tunnel.1)
        .collect();
    assert_eq!(leases.len(), 2);
    assert!(leases.iter().all(|lease| newest.contains(lease)));
}

#[tokio::test(start_paused = true)]
async fn a_lease_of_an_older_set_is_usable_until_its_end() {
    let net = SimNet::builder().tunnel_lifetime(40 * SECOND).start();
    let (mut alice, mut bob) = Party::pair(&net).await;
    let old = LeaseId::of(&alice.leases_of(&bob.destination).await[0]);

    tokio::join!(alice.listen(35 * SECOND), bob.listen(35 * SECOND));
    alice.leases_of(&bob.destination).await;
    let outbound = *alice.credits.keys().last().expect("a tunnel");
    let choice = PathChoice::Pinned {
        outbound,
        lease: old,
    };
    let token = alice.send_by(&bob.destination, b"still", choice);
    assert_eq!(alice.fate(token).await, Ok(()));
    bob.receive().await;

    tokio::join!(alice.listen(10 * SECOND), bob.listen(10 * SECOND));
    let outbound = *alice.credits.keys().last().expect("a tunnel");
    let choice = PathChoice::Pinned {
        outbound,
        lease: old,
    };
    let token = alice.send_by(&bob.destination, b"no more", choice);
    assert_eq!(alice.fate(token).await, Err(DropReason::NoTunnel));
}

#[tokio::test(start_paused = true)]
async fn a_retired_tunnel_is_replaced_and_leaves_the_lease_set() {
    let net = SimNet::builder().build_time(SECOND).start();
    let (mut alice, mut bob) = Party::pair(&net).await;
    let (tunnel, lease, _) = tunnels(&bob, Direction::Inbound)[0];

    bob.submit(Command::Retire(tunnel));
    bob.listen(2 * SECOND).await;

    assert_eq!(bob.downs, [(tunnel, TunnelDownReason::Retired)]);
    let leases: Vec<_> = alice
        .leases_of(&bob.destination)
        .await
        .iter()
        .map(LeaseId::of)
        .collect();
    assert_eq!(leases.len(), 2);
    assert!(!leases.contains(&lease.expect("inbound")));
    assert_eq!(
        bob.lease_sets, 3,
        "the first, without the retired, with the new one"
    );
}

#[tokio::test(start_paused = true)]
async fn the_number_of_tunnels_can_be_changed() {
    let net = SimNet::new(Profile::Ideal);
    let mut party = Party::open(&net, 1).await.ready().await;
    let destination = party.destination.clone();
    let count = |direction| {
        let tunnels = net.tunnels(&destination);
        tunnels
            .iter()
            .filter(|tunnel| tunnel.direction == direction)
            .count()
    };

    for (inbound, outbound) in [(5, 3), (1, 1), (16, 16)] {
        party.submit(Command::Quantity { inbound, outbound });
        assert_eq!(count(Direction::Inbound), usize::from(inbound));
        assert_eq!(count(Direction::Outbound), usize::from(outbound));
    }
    party.listen(SECOND).await;
    let record = net.shared.with(|world, _| {
        world
            .netdb
            .values()
            .next()
            .map(|record| record.leases.len())
    });
    assert_eq!(record, Some(16));
}

#[tokio::test(start_paused = true)]
async fn a_session_without_outbound_tunnels_cannot_send() {
    let net = SimNet::builder().build_time(5 * SECOND).start();
    let bob = Party::open(&net, 2).await.ready().await;
    let mut alice = Party::open(&net, 1).await;

    let token = alice.send(&bob.destination, b"too early");

    assert_eq!(alice.fate(token).await, Err(DropReason::NoTunnel));
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_that_ends_soon_is_not_in_the_lease_set() {
    let net = SimNet::builder()
        .tunnel_lifetime(20 * SECOND)
        .tunnel_overlap(Duration::ZERO)
        .start();
    let (mut alice, mut bob) = Party::pair(&net).await;
    tokio::join!(alice.listen(19 * SECOND), bob.listen(19 * SECOND));
    let dying = tunnels(&bob, Direction::Inbound)[0].0;

    assert!(net.kill_tunnel(dying));
    bob.listen(MS).await;

    // The replacement is in the lease set, but not the other tunnel, which ends in a second.
    let newest = tunnels(&bob, Direction::Inbound)[2].1.expect("inbound");
    let leases = alice.leases_of(&bob.destination).await;
    let leases: Vec<_> = leases.iter().map(LeaseId::of).collect();
    assert_eq!(leases, [newest]);
}

#[tokio::test(start_paused = true)]
async fn lease_sets_are_requested_at_most_once_a_second() {
    let net = SimNet::new(Profile::Ideal);
    let mut party = Party::open(&net, 1).await.ready().await;

    for i in 0..100 {
        let inbound = 1 + i % 16;
        party.submit(Command::Quantity {
            inbound,
            outbound: 1,
        });
        party.listen(100 * MS).await;
    }

    assert_eq!(party.lease_sets, 11);
}
