use super::*;
use crate::messages;

mod soak;

#[test]
fn tunnel_messages_are_counted_as_routers_fragment_them() {
    // Including streaming header and delay option.
    let table = [
        (22, 1),
        (824 + 24, 1),
        (824 + 25, 2),
        (1812 + 24, 2),
        (1816 + 25, 3),
        (2812 + 24, 3),
        (3808 + 24, 4),
    ];
    for (packet, expected) in table {
        assert_eq!(messages(packet, false), expected, "{packet}");
    }
    assert_eq!(messages(511, true), 2);
}

/// Omits the rows of all pairs of implementations, which take longer than all other rows together.
#[test]
fn the_table_is_as_it_was() {
    let lines = rows()
        .into_iter()
        .filter(|row| row.number != "M")
        .map(|row| line(&row, Effort::QUICK));
    insta::assert_snapshot!(heading() + &lines.collect::<String>());
}

#[test]
fn senders_that_start_with_a_full_queue_drain_it() {
    // With these seeds, all senders measure their base RTT while the queue is full, where a packet waits for
    // 0.5 s.
    for seed in [32, 208, 240] {
        let (_, world) = fairness::shares(&bulk::LONG, 10, Duration::from_secs(180), seed);
        let waits = &world.links[0].waits;
        assert!(
            waits.mean() < Duration::from_millis(200),
            "{seed}: {:?}",
            waits.mean()
        );
    }
}
