//! An endpoint of this library with each model, in situations that are specific to the model.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use eepkit_streaming::{EndpointConfig, PeerKind, packet::Packet};
use proptest::prelude::*;

use super::*;

/// About 1 MB/s and an RTT of a third of a second.
fn path() -> LinkConfig {
    LinkConfig::delay(MS(150))
        .jitter(MS(10))
        .rate(1e6 / 2056.0, 250)
}

/// A flow from this library to the model, and one from the model to this library.
fn both_ways(software: Software) -> [Plan; 2] {
    [
        Plan::new(Party::ours(), software),
        Plan::new(software, Party::ours()),
    ]
}

/// A network with one flow.
fn network(link: LinkConfig, plan: Plan) -> Network {
    let mut network = Network::narrow(link, 5);
    network.add(plan);
    network
}

/// Runs until all data has arrived. Returns the duration.
fn finish(network: &mut Network, within: Duration) -> Duration {
    network.run_until(within, |network| network.flows[0].completed.is_some());
    let flow = &network.flows[0];
    let models = [flow.sending_model(), flow.receiving_model()];
    for model in models.into_iter().flatten() {
        assert!(
            !model.is_dead(),
            "{} failed: {:?}",
            model.software(),
            model.counters()
        );
    }
    flow.completed.unwrap_or_else(|| {
        panic!(
            "{} bytes in {within:?}: {:?} {:?}",
            flow.received,
            models.map(|model| model.map(Foreign::counters)),
            flow.sending_info().or_else(|| flow.receiving_info())
        )
    })
}

fn received_by_model(network: &Network) -> Counters {
    let model = network.flows[0].receiving_model();
    model.map(Foreign::counters).unwrap_or_default()
}

/// Loses the first transmission of each packet in `range`.
fn lose_once(network: &mut Network, range: std::ops::Range<u32>) {
    let mut seen = std::collections::HashSet::new();
    network.set_filter(move |there, packet| {
        !(there && range.contains(&packet.seq()) && seen.insert(packet.seq()))
    });
}

#[test]
fn each_model_is_recognised_whoever_opens() {
    let kinds = [PeerKind::I2pd, PeerKind::Java, PeerKind::Emissary];
    for (software, kind) in Software::ALL.into_iter().zip(kinds) {
        for plan in both_ways(software) {
            let mut network = network(path(), plan.length(10_000));
            finish(&mut network, SECONDS(10));
            // All data may have arrived before the answer to the SYN.
            network.run(SECONDS(1));
            assert_eq!(network.flows[0].recognised(), Some(kind));
        }
    }
}

#[test]
fn every_byte_arrives_through_loss_duplicates_and_reordering() {
    for software in Software::ALL {
        for plan in both_ways(software) {
            let link = path().loss(0.02).duplicate(0.05).reorder(0.1, MS(150));
            let mut network = network(link, plan.length(400_000));
            finish(&mut network, SECONDS(120));
        }
    }
}

#[test]
fn i2pd_rarely_changes_the_path() {
    // i2pd changes the path on each retransmission of the last packet, and resets its own cwnd.
    for (loss, reorder, most) in [(0.0, 0.0, 0), (0.01, 0.0, 2), (0.01, 1.0, 50)] {
        let link = path().loss(loss).reorder(reorder, MS(200));
        let plan = Plan::new(Party::ours(), Software::I2pd);
        let mut network = network(link, plan.length(4_000_000));
        finish(&mut network, SECONDS(60));
        let counters = received_by_model(&network);
        assert!(counters.path_changes <= most, "{counters:?}");
    }
}

#[test]
fn a_slow_reader_of_java_chokes_us_until_it_reads_again() {
    let plan = Plan::new(Party::ours(), Software::Java).length(1_000_000);
    let mut network = network(path(), plan);
    network.set_reading(0, false);
    network.run(SECONDS(20));
    let stopped = received_by_model(&network);
    assert!(stopped.chokes_sent > 0);
    assert!(network.flows[0].sending_info().unwrap().choked);
    network.run(SECONDS(20));
    let later = received_by_model(&network);
    // Only probes were sent.
    assert!(later.received - stopped.received < 30, "{later:?}");
    network.set_reading(0, true);
    let before = network.elapsed();
    let took = finish(&mut network, SECONDS(60));
    assert!(took < before + SECONDS(15), "{took:?} from {before:?}");
}

#[test]
fn a_slow_reader_of_ours_chokes_every_sender_until_it_reads_again() {
    for software in Software::ALL {
        let mut config = EndpointConfig::default();
        config = config.change_stream(|stream| stream.with_receive_buffer(100_000));
        config = config.change_stream(|stream| stream.with_max_receive_buffer(200_000));
        let plan = Plan::new(software, Party::Ours(Box::new(config))).length(1_500_000);
        let mut network = network(path(), plan);
        network.set_reading(0, false);
        network.run(SECONDS(30));
        let unread = network.flows[0].receiving_info().unwrap().unread;
        assert!((50_000..250_000).contains(&unread), "{software}: {unread}");
        network.set_reading(0, true);
        let before = network.elapsed();
        let took = finish(&mut network, SECONDS(120));
        assert!(
            took < before + SECONDS(30),
            "{software}: {took:?} from {before:?}"
        );
    }
}

#[test]
fn hundreds_of_missing_packets_are_reported_and_retransmitted() {
    for software in Software::ALL {
        // 255 packets are lost, which is the number that an acknowledgement can list, unless fewer
        // were allowed in flight.
        let plan = Plan::new(Party::ours(), software).length(4_000_000);
        let link = LinkConfig::delay(MS(300)).jitter(MS(10));
        let mut network = network(link, plan);
        lose_once(&mut network, 600..855);
        finish(&mut network, SECONDS(60));
        let counters = received_by_model(&network);
        assert_eq!(counters.malformed_acks, 0, "{software}");
    }
}

#[test]
fn an_outage_in_full_flight_ends_no_stream() {
    for software in Software::ALL {
        let plan = Plan::new(Party::ours(), software).length(12_000_000);
        let link = LinkConfig::delay(MS(250)).jitter(MS(10));
        let mut network = network(link.clone(), plan);
        network.run(SECONDS(4));
        // All packets of 1.5 s are lost, which is more than i2pd and emissary accept as missing.
        network.configure(|config| config.loss = Loss::ALL);
        network.run(MS(1500));
        network.configure(|config| config.loss = link.loss);
        finish(&mut network, SECONDS(90));
    }
}

#[test]
fn other_senders_recover_from_an_outage_no_later_with_us_than_among_themselves() {
    // The recovery of Java takes minutes.
    let time = |software: Software, to: Party| {
        let link = LinkConfig::delay(MS(250)).jitter(MS(10));
        let mut network = network(link.clone(), Plan::new(software, to).length(3_000_000));
        network.run(SECONDS(4));
        network.configure(|config| config.loss = Loss::ALL);
        network.run(MS(1500));
        network.configure(|config| config.loss = link.loss);
        finish(&mut network, SECONDS(300))
    };
    for software in Software::ALL {
        let theirs = time(software, software.into());
        let ours = time(software, Party::ours());
        assert!(
            ours < theirs,
            "{software}: {ours:?}, {theirs:?} among themselves"
        );
    }
}

#[test]
fn a_packet_that_is_lost_repeatedly_ends_no_stream() {
    for software in Software::ALL {
        let plan = Plan::new(Party::ours(), software).length(4_000_000);
        let mut network = network(LinkConfig::delay(MS(250)).jitter(MS(10)), plan);
        let mut left = 4;
        network.set_filter(move |there, packet| {
            let lost = there && packet.seq() == 700 && left > 0;
            left -= u32::from(lost);
            !lost
        });
        finish(&mut network, SECONDS(60));
    }
}

#[test]
fn no_more_is_sent_before_the_answer_than_a_waiting_emissary_buffers() {
    let plan = Plan::new(Party::ours(), Software::Emissary).length(100_000);
    let mut network = network(LinkConfig::delay(MS(250)), plan);
    let early = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&early);
    network.set_filter(move |there, packet: &Packet<'_>| {
        if there && packet.send_id() == 0 {
            counted.fetch_add(1, Ordering::Relaxed);
        }
        true
    });
    // The stream is accepted after the first packets have arrived, and before those that follow the
    // answer.
    let receiver = network.flows[0].receiving_model_mut().unwrap();
    receiver.accept_at(MS(450));
    finish(&mut network, SECONDS(20));
    let early = early.load(Ordering::Relaxed);
    assert!((2..=6).contains(&early), "{early} packets");
}

#[test]
fn a_short_message_takes_at_most_its_delay_and_an_answer_to_the_syn() {
    // The duration is one and a half round trips, the delay of the answer to the SYN, and the delay
    // of the last packet.
    for software in Software::ALL {
        let plan = Plan::new(Party::ours(), software).length(16_384);
        let mut network = network(LinkConfig::delay(MS(250)), plan);
        let took = finish(&mut network, SECONDS(10));
        assert!(took < MS(900), "{software}: {took:?}");
    }
}

#[test]
fn emissary_is_never_sent_packets_too_far_ahead() {
    // Data is lost in bursts. Every third acknowledgement is lost as well.
    let plan = Plan::new(Party::ours(), Software::Emissary).length(3_000_000);
    let mut network = network(LinkConfig::delay(MS(400)).jitter(MS(10)), plan);
    let mut highest = 0;
    let mut acked = 0;
    let (mut packets, mut acks) = (0, 0);
    network.set_filter(move |there, packet| {
        if there {
            highest = highest.max(packet.seq());
            assert!(highest <= acked + 512, "{highest} beyond {acked}");
            packets += 1;
            return packets % 400 < 300;
        }
        acked = acked.max(packet.ack_through());
        acks += 1;
        acks % 3 > 0
    });
    finish(&mut network, SECONDS(120));
}

#[test]
fn java_never_misses_more_than_it_can_report_and_rarely_drops() {
    for (loss, most) in [(0.0, 0.0), (0.01, 0.05), (0.05, 0.15)] {
        for seed in 1..=3 {
            let link = LinkConfig::delay(MS(250)).jitter(MS(20)).loss(loss);
            let mut network = Network::narrow(link, seed);
            network.add(Plan::new(Party::ours(), Software::Java));
            network.run(SECONDS(60));
            let counters = received_by_model(&network);
            assert_eq!(counters.malformed_acks, 0);
            let dropped = counters.dropped as f64 / counters.received as f64;
            assert!(dropped <= most, "{loss}: {counters:?}");
        }
    }
}

#[test]
fn our_choking_value_is_not_that_of_java() {
    // On Java's choking value, i2pd would limit its cwnd to 64 packets permanently.
    let mut config = EndpointConfig::default();
    config = config.change_stream(|stream| stream.with_receive_buffer(100_000));
    config = config.change_stream(|stream| stream.with_max_receive_buffer(100_000));
    let plan = Plan::new(Software::I2pd, Party::Ours(Box::new(config)));
    let mut network = network(LinkConfig::delay(MS(250)), plan);
    network.set_reading(0, false);
    network.run(SECONDS(20));
    let sender = network.flows[0].sending_model().unwrap();
    assert!(sender.counters().chokes_received > 0);
    network.set_reading(0, true);
    network.run(SECONDS(60));
    let window = network.flows[0].sending_model().unwrap().window();
    assert!(window > 64.0, "{window}");
}

#[test]
fn a_slow_reader_always_has_data_and_causes_no_spurious_retransmissions() {
    for (from, least) in [
        (Party::ours(), 0.99),
        (Software::Java.into(), 0.9),
        (Software::I2pd.into(), 0.7),
    ] {
        for rate in [50e3, 200e3] {
            let plan = Plan::new(from.clone(), Party::ours()).reads_at(rate);
            let mut network = network(path(), plan);
            network.run(SECONDS(60));
            let before = network.flows[0].received;
            network.run(SECONDS(120));
            let flow = &network.flows[0];
            let share = (flow.received - before) as f64 / (rate * 120.0);
            let (sent, resent) = flow.sent();
            assert!(share > least, "{from:?} at {rate}: {share}");
            assert!(
                resent * 100 <= sent,
                "{from:?} at {rate}: {resent} of {sent}"
            );
        }
    }
}

#[test]
fn no_other_implementation_is_recognised_as_this_library() {
    let rate = 1e6 / 2056.0;
    let links = [
        LinkConfig::delay(MS(20)).jitter(MS(5)),
        LinkConfig::delay(MS(250)).jitter(MS(20)).loss(0.01),
        // With jitter that keeps the order, packets arrive together.
        LinkConfig::delay(MS(250)).jitter(MS(400)).loss(0.05),
        LinkConfig::delay(MS(500))
            .reorder(1.0, MS(300))
            .duplicate(0.05)
            .loss(0.02),
        LinkConfig::delay(MS(150)).rate(rate / 4.0, 100),
    ];
    let kinds = [PeerKind::I2pd, PeerKind::Java, PeerKind::Emissary];
    for (index, link) in links.iter().enumerate() {
        for (software, kind) in Software::ALL.into_iter().zip(kinds) {
            for (way, plan) in both_ways(software).into_iter().enumerate() {
                for slow in [false, true] {
                    let mut plan = plan.clone();
                    plan.read_rate = slow.then_some(50e3);
                    let mut network = network(link.clone(), plan);
                    let wrong = network.run_until(SECONDS(20), |network| {
                        let seen = network.flows[0].recognised();
                        seen.is_some_and(|seen| seen != kind && seen != PeerKind::Unknown)
                    });
                    assert!(
                        !wrong,
                        "{software} for {:?} after {:?}: path {index}, way {way}, slow {slow}",
                        network.flows[0].recognised(),
                        network.elapsed()
                    );
                }
            }
        }
    }
}

#[test]
fn two_paths_double_the_goodput_to_large_buffers_and_do_not_reduce_that_to_java() {
    // A third of 1 MB/s over each; the second path is 0.1 s longer.
    let narrow = LinkConfig::delay(MS(250))
        .jitter(MS(10))
        .rate(1e6 / 3.0 / 2056.0, 250)
        .loss(0.005);
    for software in Software::ALL {
        let received = [1, 2].map(|max_paths| {
            let config = EndpointConfig::default().with_max_paths(max_paths);
            let plan = Plan::new(Party::Ours(Box::new(config)), software);
            let mut network = network(narrow.clone(), plan);
            network.add_path(LinkConfig {
                delay: MS(350),
                ..narrow.clone()
            });
            network.run(SECONDS(120));
            let model = network.flows[0].receiving_model();
            assert!(model.is_some_and(|model| !model.is_dead()), "{software}");
            network.flows[0].received
        });
        let more = received[1] as f64 / received[0] as f64;
        let least = if software == Software::Java { 1.0 } else { 1.8 };
        assert!(more > least, "{software}: {received:?}");
    }
}

#[test]
fn java_that_remembers_a_window_is_not_taken_for_our_kind() {
    // A window of up to 64 packets, and 128 from the first stream. The RTT may be that of another path.
    for window in [1, 2, 3, 4, 8, 16, 24, 32, 64, 128] {
        for (delay, remembered) in [(10, 20), (150, 300), (400, 60), (60, 5000)] {
            for plan in both_ways(Software::Java) {
                let plan = plan.length(3_000_000).remembers(window, MS(remembered));
                let link = LinkConfig::delay(MS(delay)).jitter(MS(delay / 10));
                let mut network = network(link, plan);
                network.run(SECONDS(20));
                let flow = &network.flows[0];
                assert!(
                    flow.received > 100_000,
                    "{window} {delay}: {}",
                    flow.received
                );
                assert_eq!(
                    flow.recognised(),
                    Some(PeerKind::Java),
                    "a window of {window}, {remembered} ms remembered, {delay} ms in fact"
                );
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn java_is_never_taken_for_our_kind(
        window in 1_u32..=128,
        delay in 5_u64..800,
        remembered in 1_u64..10_000,
        jitter in 0_u64..40,
        loss in 0.0..0.03,
        duplicate in 0.0..0.02,
        reorder in 0.0..0.2,
        queue in prop::option::of(30_usize..400),
        seed: u8,
        sends: bool,
    ) {
        let mut link = LinkConfig::delay(MS(delay))
            .jitter(MS(jitter))
            .loss(loss)
            .duplicate(duplicate)
            .reorder(reorder, MS(delay / 3));
        if let Some(queue) = queue {
            link = link.rate(1e6 / 2056.0, queue);
        }
        let [to, from] = both_ways(Software::Java);
        let plan = if sends { from } else { to };
        let mut network = Network::narrow(link, u64::from(seed));
        network.add(plan.length(2_000_000).remembers(window, MS(remembered)));
        network.run(SECONDS(40));
        let recognised = network.flows[0].recognised();
        prop_assert!(
            matches!(recognised, Some(PeerKind::Java | PeerKind::Unknown) | None),
            "{recognised:?}"
        );
    }
}
