//! Transfers over long, lossy and reordering paths.

use eepkit_streaming::EndpointConfig;

use super::*;

#[test]
fn a_long_fat_path_is_filled() {
    // A round-trip time of half a second, and 1 MB/s.
    let mut pair = Pair::new(LinkConfig::delay(MS(250)).jitter(MS(10)).rate(550.0, 250));
    let ids = pair.connect();
    pair.transfer(ids, 4 << 20, SECONDS(60));
    pair.ab.longest_wait = Duration::ZERO;
    let took = pair.transfer(ids, 20 << 20, SECONDS(120));
    let rate = (20 << 20) as f64 / took.as_secs_f64();
    assert!(rate > 850_000.0, "{rate} bytes per second");
    // In Steady, the queue stays short.
    assert!(pair.ab.longest_wait < MS(250), "{:?}", pair.ab.longest_wait);
}

#[test]
fn random_loss_hardly_slows_a_transfer() {
    let mut pair = Pair::new(
        LinkConfig::delay(MS(500))
            .jitter(MS(10))
            .rate(550.0, 250)
            .loss(0.01),
    );
    let ids = pair.connect();
    let took = pair.transfer(ids, 20 << 20, SECONDS(300));
    let rate = (20 << 20) as f64 / took.as_secs_f64();
    assert!(rate > 450_000.0, "{rate} bytes per second");
}

#[test]
fn transfers_complete_over_faulty_links() {
    for (loss, seed) in [(0.0, 1), (0.01, 2), (0.05, 3), (0.1, 4)] {
        let link = LinkConfig::delay(MS(250))
            .jitter(MS(20))
            .loss(loss)
            .reorder(0.05, MS(100))
            .duplicate(0.02);
        let mut pair = Pair::with_config(
            link,
            EndpointConfig::default(),
            EndpointConfig::default(),
            seed,
        );
        let ids = pair.connect();
        pair.transfer(ids, 5 << 20, SECONDS(1200));
    }
}

#[test]
fn bursts_of_loss_are_survived() {
    let link = LinkConfig {
        loss: Loss::gilbert_elliott(0.002, 0.02, 0.0, 0.9),
        ..LinkConfig::delay(MS(250))
    };
    let mut pair = Pair::new(link);
    let ids = pair.connect();
    pair.transfer(ids, 3 << 20, SECONDS(1200));
}

#[test]
fn more_than_255_holes_do_not_stop_a_transfer() {
    let mut pair = Pair::new(LinkConfig::delay(MS(250)));
    let ids = pair.connect();
    pair.transfer(ids, 4 << 20, SECONDS(100));
    // Every second data packet is lost, among the first 1500.
    let mut count = 0_u32;
    pair.filter_ab = Some(Box::new(move |packet| {
        count += 1;
        packet.payload().is_empty() || count > 1500 || count.is_multiple_of(2)
    }));
    pair.transfer(ids, 4 << 20, SECONDS(600));
}

#[test]
fn every_controller_carries_data_over_a_lossy_link() {
    use std::sync::Arc;

    use eepkit_streaming::congestion::{
        ControllerFactory, CubicConfig, DelayTargetConfig, RenoConfig,
    };
    let factories: [Arc<dyn ControllerFactory>; 3] = [
        Arc::new(RenoConfig::default()),
        Arc::new(CubicConfig::default()),
        Arc::new(DelayTargetConfig::default()),
    ];
    for congestion in factories {
        let config = StreamConfig::default().with_congestion(congestion);
        let mut pair = Pair::new(LinkConfig::delay(MS(100)).loss(0.01).rate(500.0, 100));
        let ids = pair.connect_with(&config);
        pair.transfer(ids, 1 << 20, SECONDS(600));
    }
}

#[test]
fn a_second_stream_uses_the_measurements_of_the_first() {
    let mut pair = Pair::new(LinkConfig::delay(MS(250)).rate(550.0, 250));
    let first = pair.connect();
    pair.transfer(first, 8 << 20, SECONDS(120));
    let second = pair.connect();
    let warm = pair.transfer(second, 1 << 20, SECONDS(60));
    let mut cold = Pair::new(LinkConfig::delay(MS(250)).rate(550.0, 250));
    let ids = cold.connect();
    let cold = cold.transfer(ids, 1 << 20, SECONDS(60));
    assert!(warm * 10 < cold * 8, "warm {warm:?}, cold {cold:?}");
}

#[test]
fn many_streams_to_one_peer_share_the_path() {
    let mut pair = Pair::new(LinkConfig::delay(MS(100)).rate(1000.0, 250).loss(0.005));
    let ids: Vec<_> = (0..50).map(|_| pair.connect()).collect();
    let mut transfers: Vec<_> = ids.iter().map(|_| Transfer::new(100_000)).collect();
    let mut finished = Vec::new();
    let began = pair.now;
    assert!(pair.run_until(SECONDS(120), |pair| {
        for (index, (transfer, (a, b))) in transfers.iter_mut().zip(&ids).enumerate() {
            if transfer.received < transfer.length {
                transfer.write(&mut pair.a.endpoint, pair.now, *a);
                transfer.read(&mut pair.b.endpoint, pair.now, *b);
                if transfer.received == transfer.length {
                    finished.push((index, pair.now - began));
                }
            }
        }
        finished.len() == ids.len()
    }));
    // All streams were served in turn, so the first did not finish long before the last.
    let (first, last) = (finished[0].1, finished[finished.len() - 1].1);
    assert!(last < first * 3, "{first:?} {last:?}");
}

/// The longest delivery time of small messages during `bulk` transfers to the same peer.
fn small_messages(bulk: usize) -> Duration {
    let link = LinkConfig::delay(MS(250)).jitter(MS(10));
    let mut pair = Pair::new(link.clone().rate(486.0, 250));
    pair.ba.config = link;
    let small = pair.connect();
    let ids: Vec<_> = (0..bulk).map(|_| pair.connect()).collect();
    let mut transfers: Vec<_> = ids.iter().map(|_| Transfer::new(u64::MAX)).collect();
    let mut message = Transfer::new(0);
    let mut sent = None;
    let mut worst = MS(0);
    let began = pair.now;
    pair.run_until(SECONDS(60), |pair| {
        for (transfer, (a, b)) in transfers.iter_mut().zip(&ids) {
            transfer.write(&mut pair.a.endpoint, pair.now, *a);
            transfer.read(&mut pair.b.endpoint, pair.now, *b);
        }
        pair.a.events.clear();
        message.read(&mut pair.b.endpoint, pair.now, small.1);
        match sent {
            Some(at) if message.received == message.length => {
                if pair.now > began + SECONDS(20) {
                    worst = worst.max(pair.now - at);
                }
                sent = None;
            }
            None => {
                message.length += 100;
                message.write(&mut pair.a.endpoint, pair.now, small.0);
                pair.a.endpoint.flush(pair.now, small.0);
                sent = Some(pair.now);
            }
            _ => {}
        }
        false
    });
    worst
}

#[test]
fn bulk_transfers_do_not_delay_small_messages() {
    let (alone, beside) = (small_messages(0), small_messages(4));
    // The difference is the queueing delay, and the wait for room in cwnd.
    assert!(beside < alone + MS(150), "{alone:?} {beside:?}");
}

#[test]
fn data_flows_both_ways_at_once() {
    let mut pair = Pair::new(LinkConfig::delay(MS(150)).loss(0.02).reorder(0.02, MS(60)));
    let (a, b) = pair.connect();
    let mut there = Transfer::new(2 << 20);
    let mut back = Transfer::new(2 << 20);
    assert!(pair.run_until(SECONDS(300), |pair| {
        there.write(&mut pair.a.endpoint, pair.now, a);
        back.write(&mut pair.b.endpoint, pair.now, b);
        there.read(&mut pair.b.endpoint, pair.now, b);
        back.read(&mut pair.a.endpoint, pair.now, a);
        there.received == there.length && back.received == back.length
    }));
}

#[test]
fn an_outage_of_a_minute_is_survived() {
    let mut pair = pair();
    let (a, b) = pair.connect();
    let mut transfer = Transfer::new(2 << 20);
    for _ in 0..100 {
        transfer.write(&mut pair.a.endpoint, pair.now, a);
        pair.run(MS(20));
        transfer.read(&mut pair.b.endpoint, pair.now, b);
    }
    pair.ab.config.loss = Loss::ALL;
    pair.run(SECONDS(60));
    pair.ab.config.loss = Loss::NONE;
    assert!(pair.run_until(SECONDS(200), |pair| {
        transfer.write(&mut pair.a.endpoint, pair.now, a);
        transfer.read(&mut pair.b.endpoint, pair.now, b);
        transfer.received == transfer.length
    }));
}

#[test]
fn a_change_of_path_causes_no_retransmission() {
    let mut pair = pair();
    let (a, b) = pair.connect();
    let mut transfer = Transfer::new(8 << 20);
    let to = pair.address_b();
    let mut path = 0;
    while transfer.received < transfer.length {
        transfer.write(&mut pair.a.endpoint, pair.now, a);
        pair.run(MS(50));
        transfer.read(&mut pair.b.endpoint, pair.now, b);
        path += 1;
        if path % 40 == 0 {
            pair.a
                .endpoint
                .set_paths(pair.now, &to, &[tunnel_path(path, path, None)]);
        }
    }
    assert_eq!(pair.a.endpoint.info(a).unwrap().packets_resent, 0);
}

#[test]
fn a_thousand_streams_at_once_all_arrive() {
    let mut pair = Pair::new(LinkConfig::delay(MS(100)).rate(2000.0, 250).loss(0.01));
    pair.b.endpoint.listen(0, 1000).unwrap();
    let mut streams: Vec<_> = (0..1000)
        .map(|_| {
            (
                open(&mut pair, &StreamConfig::default()),
                Transfer::new(10_000),
            )
        })
        .collect();
    for (a, transfer) in &mut streams {
        transfer.write(&mut pair.a.endpoint, pair.now, *a);
        pair.a.endpoint.shutdown(pair.now, *a);
    }
    let mut accepted = Vec::new();
    let mut finished = 0;
    assert!(pair.run_until(SECONDS(300), |pair| {
        while let Some(incoming) = pair.accept() {
            let mut transfer = Transfer::new(10_000);
            transfer.written = 10_000;
            accepted.push((incoming.id, transfer));
        }
        pair.b.events.clear();
        for (b, transfer) in &mut accepted {
            if transfer.received < transfer.length {
                transfer.read(&mut pair.b.endpoint, pair.now, *b);
                finished += u32::from(transfer.received == transfer.length);
            }
        }
        finished == 1000
    }));
    for (b, _) in &accepted {
        pair.b.endpoint.release(pair.now, *b);
    }
    for (a, _) in &streams {
        pair.a.endpoint.release(pair.now, *a);
    }
    pair.run(SECONDS(120));
    assert_eq!(
        pair.a.endpoint.stream_count() + pair.b.endpoint.stream_count(),
        0
    );
}

#[test]
fn large_packets_are_sent_while_little_is_lost() {
    let config =
        EndpointConfig::default().with_stream(StreamConfig::default().with_max_message_size(4000));
    let mut pair = Pair::with_config(LinkConfig::delay(MS(50)), config.clone(), config.clone(), 1);
    let ids = pair.connect_with(config.stream());
    let mtu = |pair: &Pair| pair.a.endpoint.info(ids.0).unwrap().mtu;
    // Three tunnel messages and a full fourth one.
    assert_eq!(mtu(&pair), 3804);
    pair.transfer(ids, 1_000_000, SECONDS(60));
    assert_eq!(mtu(&pair), 3804);
    pair.ab.config.loss = Loss::random(0.1);
    pair.transfer(ids, 4_000_000, SECONDS(300));
    assert_eq!(mtu(&pair), 1812);
    pair.ab.config.loss = Loss::NONE;
    pair.transfer(ids, 4_000_000, SECONDS(300));
    assert_eq!(mtu(&pair), 3804);
}
