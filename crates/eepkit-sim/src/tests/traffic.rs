//! Tests of rates, queues, backpressure, loss, and determinism under a seed.

use eepkit_link::{LeaseId, PathChoice, TunnelId};
use proptest::prelude::*;

use super::*;
use netem::{LinkModel, Loss, Rate};

/// Sends `count` messages of 1000 bytes as fast as the router accepts them, and reads events in
/// between.
async fn flood(from: &mut Party, to: &Party, count: usize) {
    for _ in 0..count {
        from.is_ready_to_send().await;
        from.send(&to.destination, &[7; 1000]);
    }
}

#[tokio::test(start_paused = true)]
async fn the_counters_balance_for_every_fate_of_messages() {
    let net = SimNet::builder()
        .seed(3)
        .profile(Profile::Harsh)
        .queue(200 * MS)
        .start();
    let (mut alice, mut bob) = Party::pair(&net).await;
    alice.leases_of(&bob.destination).await;
    bob.leases_of(&alice.destination).await;
    for i in 0..200_u32 {
        alice.send(&bob.destination, &[7; 1500]);
        bob.send(&alice.destination, &i.to_be_bytes());
        if i == 100 {
            net.partition(&alice.destination, &bob.destination);
        }
        if i == 120 {
            net.heal(&alice.destination, &bob.destination);
        }
        let stats = net.stats();
        assert_eq!(
            stats.sent + stats.duplicated,
            stats.delivered + stats.dropped.total() + stats.in_flight
        );
        tokio::join!(alice.listen(20 * MS), bob.listen(20 * MS));
    }
    drop((alice, bob));
    tokio::time::sleep(60 * SECOND).await;

    let stats = net.stats();
    assert_eq!((stats.sent, stats.in_flight), (400, 0));
    assert_eq!(
        stats.sent + stats.duplicated,
        stats.delivered + stats.dropped.total()
    );
    for (cause, count) in [
        ("loss", stats.dropped.loss),
        ("queue", stats.dropped.queue),
        ("partition", stats.dropped.partition),
        ("dead lease", stats.dropped.dead_lease),
    ] {
        assert!(count > 0, "{cause}: {stats:#?}");
    }
    assert!(stats.reordered > 0 && stats.duplicated > 0, "{stats:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_path_delivers_at_its_rate_and_no_faster() {
    let net = SimNet::builder()
        .rate(Rate::bytes_per_second(100_000))
        .queue(60 * SECOND)
        .start();
    let (mut alice, mut bob) = Party::pair(&net).await;
    let start = Instant::now();

    flood(&mut alice, &bob, 500).await;
    for _ in 0..500 {
        bob.receive().await;
    }

    assert_eq!(start.elapsed(), 5 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_senders_own_uplink_delays_messages_and_drops_none() {
    let net = SimNet::builder()
        .host_rate(Rate::bytes_per_second(100_000), None)
        .start();
    let (mut alice, mut bob) = Party::pair(&net).await;
    let start = Instant::now();

    flood(&mut alice, &bob, 1000).await;
    // All messages have left except those that may wait in the router.
    assert!(start.elapsed() > 7 * SECOND, "{:?}", start.elapsed());
    for _ in 0..1000 {
        bob.receive().await;
    }

    assert_eq!(start.elapsed(), 10 * SECOND);
    assert_eq!(net.stats().dropped.total(), 0);
}

#[tokio::test(start_paused = true)]
async fn sending_without_being_ready_overflows() {
    let net = SimNet::builder()
        .host_rate(Rate::bytes_per_second(1000), None)
        .start();
    let (mut alice, bob) = Party::pair(&net).await;

    let tokens: Vec<_> = (0..300)
        .map(|_| alice.send(&bob.destination, &[7; 1000]))
        .collect();

    assert_eq!(alice.fate(tokens[299]).await, Err(DropReason::Overflow));
    assert!(net.stats().dropped.overflow >= 40);
}

#[tokio::test(start_paused = true)]
async fn a_receivers_downlink_is_shared_and_drops_excess_messages() {
    let net = SimNet::builder()
        .host_rate(None, Rate::bytes_per_second(100_000))
        .start();
    let (mut alice, mut bob) = Party::pair(&net).await;
    let mut carol = Party::open(&net, 3).await.ready().await;

    for _ in 0..40 {
        alice.send(&bob.destination, &[7; 1000]);
        carol.send(&bob.destination, &[7; 1000]);
    }
    bob.listen(10 * SECOND).await;

    // 500 ms at 100 kB/s, and the message that is being received.
    assert_eq!(bob.received.len(), 51);
    assert_eq!(net.stats().dropped.queue, 29);
}

#[tokio::test(start_paused = true)]
async fn credits_are_granted_used_and_returned_as_messages_leave() {
    let net = SimNet::builder()
        .host_rate(Rate::bytes_per_second(10_000), None)
        .credits(5)
        .start();
    let (mut alice, bob) = Party::pair(&net).await;
    alice.listen(MS).await;
    assert_eq!(alice.credits.values().copied().collect::<Vec<_>>(), [5, 5]);
    let outbound = *alice.credits.keys().next().expect("a tunnel");
    let lease = LeaseId::of(&alice.leases_of(&bob.destination).await[0]);
    let choice = PathChoice::Pinned { outbound, lease };

    let tokens: Vec<_> = (0..6)
        .map(|_| alice.send_by(&bob.destination, &[7; 1000], choice))
        .collect();
    assert_eq!(alice.fate(tokens[5]).await, Err(DropReason::Overflow));
    alice.credits.clear();

    // One message leaves every 100 ms.
    alice.listen(250 * MS).await;
    assert_eq!(alice.credits.get(&outbound), Some(&2));
    alice.listen(SECOND).await;
    assert_eq!(alice.credits.get(&outbound), Some(&5));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_cannot_leave_by_its_deadline_is_dropped_then() {
    let net = SimNet::builder()
        .host_rate(Rate::bytes_per_second(1000), None)
        .start();
    let (mut alice, bob) = Party::pair(&net).await;
    alice.send(&bob.destination, &[7; 5000]);
    let start = Instant::now();

    let token = alice.send_until(
        &bob.destination,
        &[7; 100],
        PathChoice::Auto,
        start + SECOND,
    );

    assert_eq!(alice.fate(token).await, Err(DropReason::Expired));
    assert_eq!(start.elapsed(), SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_message_waits_for_a_lease_set_until_its_deadline() {
    let net = SimNet::builder().lookup_time(3 * SECOND).start();
    let (mut alice, bob) = Party::pair(&net).await;

    let deadline = Instant::now() + SECOND;
    let token = alice.send_until(&bob.destination, b"quick", PathChoice::Auto, deadline);

    assert_eq!(alice.fate(token).await, Err(DropReason::Expired));
}

#[tokio::test(start_paused = true)]
async fn a_message_beyond_the_size_limit_is_refused() {
    let net = SimNet::new(Profile::Ideal);
    let (mut alice, bob) = Party::pair(&net).await;

    let token = alice.send(&bob.destination, &vec![7; 64 * 1024 + 1]);

    assert_eq!(alice.fate(token).await, Err(DropReason::Refused));
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_does_not_read_only_loses_messages() {
    let net = SimNet::new(Profile::Ideal);
    let (mut alice, bob) = Party::pair(&net).await;

    // The network queues 64 MiB of messages for it.
    for _ in 0..1100 {
        alice.is_ready_to_send().await;
        alice.send(&bob.destination, &vec![7; 64 * 1024]);
        alice.listen(MS).await;
    }

    let stats = net.stats();
    assert_eq!((stats.delivered, stats.dropped.inbox_full), (1024, 76));
}

#[tokio::test(start_paused = true)]
async fn one_path_carries_a_conversation_unless_messages_are_sprayed() {
    for (spray, ways) in [(false, 1), (true, 4)] {
        let net = SimNet::builder().spray(spray).log(10_000).start();
        let (mut alice, mut bob) = Party::pair(&net).await;
        net.take_log();
        flood(&mut alice, &bob, 100).await;
        bob.listen(SECOND).await;

        let mut outbound: Vec<TunnelId> = Vec::new();
        let mut inbound: Vec<TunnelId> = Vec::new();
        for entry in net.take_log() {
            match entry.what {
                Happening::Left {
                    outbound: tunnel, ..
                } => outbound.push(tunnel),
                Happening::Delivered {
                    inbound: tunnel, ..
                } => inbound.push(tunnel),
                _ => {}
            }
        }
        let mut pairs: Vec<_> = outbound.into_iter().zip(inbound).collect();
        assert_eq!(pairs.len(), 100);
        pairs.sort_unstable();
        pairs.dedup();
        assert_eq!(pairs.len(), ways, "spray: {spray}");
    }
}

#[tokio::test(start_paused = true)]
async fn paths_between_two_parties_differ_in_delay() {
    let net = SimNet::builder().delay(500 * MS).spread(400 * MS).start();
    let (mut alice, mut bob) = Party::pair(&net).await;
    alice.listen(MS).await;
    let leases = alice.leases_of(&bob.destination).await;
    let mut delays = Vec::new();
    for outbound in alice.credits.keys().copied().collect::<Vec<_>>() {
        for lease in &leases {
            let lease = LeaseId::of(lease);
            let start = Instant::now();
            alice.send_by(
                &bob.destination,
                b"hello",
                PathChoice::Pinned { outbound, lease },
            );
            bob.receive().await;
            delays.push(start.elapsed());
        }
    }
    delays.sort_unstable();
    delays.dedup();
    assert_eq!(delays.len(), 4, "{delays:?}");
    assert!(
        delays
            .iter()
            .all(|delay| (100 * MS..=901 * MS).contains(delay)),
        "{delays:?}"
    );
}

/// A busy minute on a bad network. Returns its log and its counters.
async fn a_busy_minute(seed: u64) -> (Vec<LogEntry>, Stats) {
    let net = SimNet::builder()
        .profile(Profile::Harsh)
        .tunnel_lifetime(20 * SECOND)
        .tunnel_failures(30 * SECOND)
        .loss(Loss::bursts(0.1, 3.0))
        .spray(true)
        .seed(seed)
        .log(100_000)
        .start();
    let (mut alice, mut bob) = Party::pair(&net).await;
    for i in 0..300_usize {
        alice.send(&bob.destination, &vec![7; i * 7 % 1000]);
        bob.send(&alice.destination, b"ack");
        tokio::join!(alice.listen(200 * MS), bob.listen(200 * MS));
    }
    (net.take_log(), net.stats())
}

#[test]
fn two_runs_with_one_seed_have_equal_logs() {
    let run = |seed| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        runtime.block_on(a_busy_minute(seed))
    };

    let (log, stats) = run(7);
    assert!(log.len() > 1000, "{}", log.len());
    assert!(
        stats.tunnels_failed > 0 && stats.dropped.loss > 0,
        "{stats:#?}"
    );
    let (same_log, same_stats) = run(7);
    assert_eq!(stats, same_stats);
    assert!(log == same_log);
    assert!(log != run(8).0);
}

#[tokio::test(start_paused = true)]
async fn traffic_of_others_does_not_change_the_events_of_a_path() {
    let mut losses = Vec::new();
    for busy in [false, true] {
        let net = SimNet::builder().seed(5).loss(0.2).start();
        let (mut alice, mut bob) = Party::pair(&net).await;
        let mut others = None;
        if busy {
            let carol = Party::open(&net, 3).await.ready().await;
            let dave = Party::open(&net, 4).await.ready().await;
            others = Some((carol, dave));
        }
        let mut arrived = Vec::new();
        for i in 0..100_u8 {
            if let Some((carol, dave)) = &mut others {
                carol.send(&dave.destination, b"noise");
            }
            alice.send(&bob.destination, &[i]);
            bob.listen(MS).await;
            arrived.extend(bob.received.drain(..).map(|(body, _)| body[0]));
        }
        losses.push(arrived);
    }
    assert!(losses[0].len() < 95);
    assert_eq!(losses[0], losses[1]);
}

#[tokio::test(start_paused = true)]
async fn a_hundred_mebibytes_take_an_hour_of_virtual_time() {
    let net = SimNet::builder()
        .delay(300 * MS)
        .rate(Rate::kib_per_second(32))
        .queue(10 * SECOND)
        .start();
    let (mut alice, mut bob) = Party::pair(&net).await;
    let start = Instant::now();
    let messages = 100 * 1024 * 1024 / 1730;
    let body = vec![7; 1730];
    for i in 0..messages {
        alice.is_ready_to_send().await;
        alice.send(&bob.destination, &body);
        bob.send(&alice.destination, b"acknowledged");
        if i % 100 == 0 {
            // The queue of the path holds ten seconds of traffic; a hundred messages take five.
            tokio::join!(alice.listen(5300 * MS), bob.listen(5300 * MS));
            alice.received.clear();
            bob.received.clear();
        }
    }
    bob.listen(20 * SECOND).await;

    let stats = net.stats();
    assert_eq!(stats.dropped.total(), 0, "{stats:#?}");
    assert!(stats.delivered_bytes > 100 * 1024 * 1024 - 2000);
    assert!(
        start.elapsed() > Duration::from_secs(3000),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_pair_of_hosts_can_have_a_link_of_its_own() {
    let net = SimNet::builder().delay(100 * MS).start();
    let (mut alice, mut bob) = Party::pair(&net).await;
    let slow = LinkModel::default().delay(2 * SECOND);
    net.set_link_between(&alice.destination, &bob.destination, slow);

    let start = Instant::now();
    alice.send(&bob.destination, b"slowly");
    bob.receive().await;
    assert_eq!(start.elapsed(), 2 * SECOND);
    bob.send(&alice.destination, b"quickly");
    alice.receive().await;
    assert_eq!(start.elapsed(), 2100 * MS);

    net.set_link_between(&alice.destination, &bob.destination, None);
    alice.send(&bob.destination, b"again");
    let start = Instant::now();
    bob.receive().await;
    assert_eq!(start.elapsed(), 100 * MS);
}

/// Generates network settings and the rate at which each party sends.
fn networks() -> impl Strategy<Value = Builder> {
    let link = (
        0.0..0.5,
        1.0..8.0,
        0.0..0.3,
        0.0..0.3,
        0_u64..2000,
        0_u64..500,
    );
    let rest = (
        any::<u64>(),
        1_u64..40,
        0_u64..20,
        any::<bool>(),
        1_u64..50,
        1_u64..60,
    );
    (link, rest).prop_map(|(link, rest)| {
        let (loss, burst, reorder, duplicate, delay, jitter) = link;
        let (seed, rate, build, spray, host_rate, lifetime) = rest;
        SimNet::builder()
            .seed(seed)
            .loss(Loss::bursts(loss, burst))
            .reorder(reorder, 100 * MS)
            .duplicate(duplicate)
            .delay(Duration::from_millis(delay))
            .jitter(Duration::from_millis(jitter))
            .rate(Rate::kib_per_second(rate))
            .host_rate(Rate::kib_per_second(host_rate), None)
            .build_time(Duration::from_secs(build))
            .tunnel_lifetime(Duration::from_secs(lifetime))
            .tunnel_failures(60 * SECOND)
            .tunnel_blackholes(120 * SECOND)
            .lookup_time(Duration::from_millis(jitter))
            .spray(spray)
            .log(10_000)
    })
}

/// Two parties that send to each other for half a minute.
async fn a_conversation(builder: Builder) -> (Vec<LogEntry>, Stats) {
    let net = builder.start();
    let (alice, bob) = (Party::open(&net, 1).await, Party::open(&net, 2).await);
    let (mut alice, mut bob) = tokio::join!(alice.ready(), bob.ready());
    for i in 0..100_usize {
        alice.send(&bob.destination, &vec![7; i * 31 % 3000]);
        bob.send(&alice.destination, &[7; 100]);
        tokio::join!(alice.listen(300 * MS), bob.listen(300 * MS));
        let stats = net.stats();
        let gone = stats.delivered + stats.dropped.total();
        assert_eq!(stats.sent + stats.duplicated, gone + stats.in_flight);
    }
    drop((alice, bob));
    tokio::time::sleep(Duration::from_secs(3600)).await;
    (net.take_log(), net.stats())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn the_counters_of_any_network_balance_and_two_runs_are_equal(builder in networks()) {
        let run = || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .start_paused(true)
                .build()
                .expect("a runtime");
            runtime.block_on(a_conversation(builder.clone()))
        };

        let (log, stats) = run();
        prop_assert_eq!((stats.sent, stats.in_flight), (200, 0));
        prop_assert_eq!(stats.sent + stats.duplicated, stats.delivered + stats.dropped.total());
        let again = run();
        prop_assert!(log == again.0);
        prop_assert_eq!(stats, again.1);
    }
}
