use super::*;

#[test]
fn tunnel_messages_are_counted_as_routers_fill_them() {
    // Streaming header and delay option included.
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

#[test]
fn the_table_is_as_it_was() {
    insta::assert_snapshot!(table(Effort::QUICK));
}
