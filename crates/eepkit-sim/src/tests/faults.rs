//! Tests of faults: their effects, their reports and recovery.

use eepkit_link::{LeaseId, PathChoice, TunnelDownReason};

use super::*;

#[tokio::test(start_paused = true)]
async fn a_killed_tunnel_loses_messages_until_the_failure_is_reported() {
    let net = SimNet::builder()
        .failure_notice(4 * SECOND)
        .build_time(SECOND)
        .start();
    let (mut alice, mut bob) = Party::pair(&net).await;
    let inbound = net
        .tunnels(&bob.destination)
        .into_iter()
        .find(|tunnel| tunnel.lease.is_some())
        .expect("inbound");
    let outbound = net
        .tunnels(&alice.destination)
        .into_iter()
        .find(|tunnel| tunnel.lease.is_none());
    let outbound = outbound.expect("outbound").id;
    let start = Instant::now();
    alice.leases_of(&bob.destination).await;
    let lease = inbound.lease.expect("inbound");

    assert!(net.kill_tunnel(inbound.id));
    let token = alice.send_by(
        &bob.destination,
        b"lost",
        PathChoice::Pinned { outbound, lease },
    );
    // Her router sends it, because it cannot detect the fault.
    assert_eq!(alice.fate(token).await, Ok(()));
    assert_eq!(net.stats().dropped.dead_tunnel, 1);

    while bob.downs.is_empty() {
        bob.event().await;
    }
    assert_eq!(bob.downs, [(inbound.id, TunnelDownReason::Failed)]);
    assert_eq!(start.elapsed(), 4 * SECOND);
    bob.listen(2 * SECOND).await;
    let leases: Vec<_> = alice
        .leases_of(&bob.destination)
        .await
        .iter()
        .map(LeaseId::of)
        .collect();
    assert_eq!(leases.len(), 2);
    assert!(!leases.contains(&lease));
    assert!(!net.kill_tunnel(inbound.id), "it is gone");
}

#[tokio::test(start_paused = true)]
async fn a_black_hole_is_not_reported() {
    let net = SimNet::builder().spray(true).start();
    let (mut alice, mut bob) = Party::pair(&net).await;
    let outbound = net
        .tunnels(&alice.destination)
        .into_iter()
        .find(|tunnel| tunnel.lease.is_none())
        .expect("outbound");

    assert!(net.blackhole(outbound.id));
    for _ in 0..100 {
        alice.send(&bob.destination, b"hello?");
    }
    tokio::join!(alice.listen(60 * SECOND), bob.listen(60 * SECOND));

    assert_eq!(alice.downs, []);
    let stats = net.stats();
    assert_eq!(stats.delivered + stats.dropped.dead_tunnel, 100);
    assert!((30..70).contains(&stats.delivered), "{stats:#?}");
}

#[tokio::test(start_paused = true)]
async fn tunnels_fail_at_the_configured_rate() {
    let net = SimNet::builder()
        .tunnel_failures(Duration::from_secs(300))
        .tunnel_blackholes(Duration::from_secs(300))
        .start();
    let mut party = Party::with_options(
        &net,
        1,
        &[("inbound.quantity", "8"), ("outbound.quantity", "8")],
    )
    .await
    .ready()
    .await;

    party.listen(Duration::from_secs(18_000)).await;

    // Sixteen tunnels for 300 minutes. A fault of each kind occurs every five minutes, and a tunnel
    // that has failed or become a black hole has no second fault.
    let failed = party
        .downs
        .iter()
        .filter(|(_, reason)| *reason == TunnelDownReason::Failed)
        .count();
    assert!((800..1100).contains(&failed), "{failed}");
    assert!(net.stats().tunnels_failed > 1000, "{:#?}", net.stats());
}

#[tokio::test(start_paused = true)]
async fn a_partition_affects_only_its_two_destinations() {
    let net = SimNet::builder().delay(100 * MS).start();
    let (mut alice, mut bob) = Party::pair(&net).await;
    let mut carol = Party::open(&net, 3).await.ready().await;

    alice.send(&bob.destination, b"in flight");
    net.partition(&alice.destination, &bob.destination);
    alice.send(&bob.destination, b"blocked");
    bob.send(&alice.destination, b"blocked");
    alice.send(&carol.destination, b"free");
    carol.receive().await;
    tokio::join!(alice.listen(SECOND), bob.listen(SECOND));
    assert_eq!((alice.received.len(), bob.received.len()), (0, 0));
    assert_eq!(net.stats().dropped.partition, 3);

    net.heal(&bob.destination, &alice.destination);
    alice.send(&bob.destination, b"free again");
    assert_eq!(&bob.receive().await.0[..], b"free again");
}

#[tokio::test(start_paused = true)]
async fn a_host_that_is_cut_off_is_unreachable_until_it_reconnects() {
    let net = SimNet::builder().lookup_time(SECOND).start();
    let (mut alice, mut bob) = Party::pair(&net).await;
    net.cut_off(&bob.destination);

    let token = alice.send(&bob.destination, b"hello?");
    assert_eq!(alice.fate(token).await, Ok(()));
    let token = bob.send(&alice.destination, b"hello?");
    assert_eq!(bob.fate(token).await, Err(DropReason::NoLeaseSet));
    let target = LookupTarget::LeaseSet(alice.destination.clone());
    let start = Instant::now();
    assert_eq!(
        bob.lookup_within(target, 7 * SECOND).await,
        Err(LinkLookupError::Timeout)
    );
    assert_eq!(start.elapsed(), 7 * SECOND);

    net.reconnect(&bob.destination);
    alice.send(&bob.destination, b"welcome back");
    assert_eq!(&bob.receive().await.0[..], b"welcome back");
}

#[tokio::test(start_paused = true)]
async fn a_paused_host_gets_everything_late_and_in_order() {
    let net = SimNet::builder().delay(50 * MS).start();
    let (mut alice, mut bob) = Party::pair(&net).await;
    let start = Instant::now();

    net.pause(&bob.destination, 30 * SECOND);
    for i in 0..10_u8 {
        alice.send(&bob.destination, &[i]);
    }
    bob.send(&alice.destination, b"late");

    for i in 0..10_u8 {
        assert_eq!(&bob.receive().await.0[..], [i]);
        assert_eq!(start.elapsed(), 30 * SECOND);
    }
    alice.receive().await;
    assert_eq!(start.elapsed(), 30 * SECOND + 50 * MS);
}

#[tokio::test(start_paused = true)]
async fn a_lost_session_ends_and_another_can_be_opened() {
    let net = SimNet::new(Profile::Ideal);
    let (mut alice, mut bob) = Party::pair(&net).await;

    assert!(net.lose_session(&bob.destination));
    assert!(matches!(bob.lost().await, LostReason::Connection(_)));
    assert!(!net.lose_session(&bob.destination));

    // Her router has the old lease set, whose tunnels no longer exist.
    let token = alice.send(&bob.destination, b"hello?");
    assert_eq!(alice.fate(token).await, Ok(()));
    assert_eq!(net.stats().dropped.dead_lease, 1);

    let mut bob = Party::open(&net, 2).await.ready().await;
    alice.leases_of(&bob.destination).await;
    alice.send(&bob.destination, b"welcome back");
    bob.receive().await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_whose_leases_all_ended_cannot_be_reached() {
    let net = SimNet::builder().tunnel_lifetime(30 * SECOND).start();
    let (mut alice, bob) = Party::pair(&net).await;
    let gone = bob.destination.clone();
    drop(bob);

    let token = alice.send(&gone, b"hello?");
    assert_eq!(
        alice.fate(token).await,
        Ok(()),
        "the lease set is still good"
    );
    assert_eq!(net.stats().dropped.dead_lease, 1);

    alice.listen(31 * SECOND).await;
    let token = alice.send(&gone, b"hello?");
    assert_eq!(alice.fate(token).await, Err(DropReason::NoLeaseSet));
    let target = LookupTarget::Hash(gone.hash());
    assert_eq!(
        alice.lookup(target).await,
        Err(LinkLookupError::LeaseSetNotFound)
    );
}

#[tokio::test(start_paused = true)]
async fn a_forgotten_lease_set_is_not_found_until_the_next() {
    let net = SimNet::builder().tunnel_lifetime(40 * SECOND).start();
    let (mut alice, mut bob) = Party::pair(&net).await;
    net.forget_lease_set(&bob.destination);

    let target = || LookupTarget::LeaseSet(bob.destination.clone());
    assert_eq!(
        alice.lookup(target()).await,
        Err(LinkLookupError::LeaseSetNotFound)
    );
    let target = target();
    tokio::join!(alice.listen(35 * SECOND), bob.listen(35 * SECOND));
    assert!(alice.lookup(target).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn loss_can_be_changed_under_traffic() {
    let net = SimNet::builder().seed(2).start();
    let (mut alice, mut bob) = Party::pair(&net).await;
    let mut arrived = Vec::new();
    for loss in [0.0, 1.0, 0.5, 0.0] {
        net.set_loss(loss);
        for _ in 0..200 {
            alice.send(&bob.destination, b"x");
        }
        bob.listen(SECOND).await;
        arrived.push(bob.received.drain(..).count());
    }
    assert_eq!((arrived[0], arrived[1], arrived[3]), (200, 0, 200));
    assert!((70..130).contains(&arrived[2]), "{arrived:?}");
}

#[tokio::test(start_paused = true)]
async fn an_encrypted_lease_set_is_locked_for_others() {
    let net = SimNet::new(Profile::Ideal);
    let (mut alice, mut bob) = Party::pair(&net).await;
    net.encrypt_lease_set(&bob.destination);

    let target = || LookupTarget::Hash(bob.destination.hash());
    assert_eq!(alice.lookup(target()).await, Err(LinkLookupError::Locked));
    let own = target();
    assert!(bob.lookup(own).await.is_ok());
    let token = alice.send(&bob.destination, b"hello?");
    assert_eq!(alice.fate(token).await, Err(DropReason::NoLeaseSet));
}
