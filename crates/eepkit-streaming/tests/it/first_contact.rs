//! The first-contact gate: one stream opens to a new peer until the peer answers.

use super::*;

/// Opens four streams from `a` to `b` at once.
fn open_some(pair: &mut Pair) -> Vec<StreamId> {
    let config = StreamConfig::default();
    (0..4).map(|_| open(pair, &config)).collect()
}

/// Accepts all incoming streams for `span`. Returns how many of `ids` were answered in that time.
fn answered(pair: &mut Pair, ids: &[StreamId], span: Duration) -> usize {
    let end = pair.now + span;
    while pair.now < end {
        pair.run(MS(10));
        while pair.b.endpoint.accept(pair.now, 0).is_some() {
            pair.drain();
        }
    }
    let connected = |id: &&StreamId| pair.a.saw(&Event::Connected(**id));
    ids.iter().filter(connected).count()
}

fn listening() -> Pair {
    let mut pair = pair();
    pair.b.endpoint.listen(0, 10).unwrap();
    pair
}

#[test]
fn streams_to_a_new_peer_wait_for_the_answer_to_the_first() {
    let mut pair = listening();
    let ids = open_some(&mut pair);
    assert_eq!(answered(&mut pair, &ids, MS(450)), 0);
    assert_eq!(pair.sent.0, 1);
    assert_eq!(answered(&mut pair, &ids, MS(150)), 1);
    assert_eq!(answered(&mut pair, &ids, MS(500)), 3);
}

#[test]
fn streams_to_a_recently_heard_peer_open_at_once() {
    let mut pair = listening();
    let first = open(&mut pair, &StreamConfig::default());
    assert_eq!(answered(&mut pair, &[first], MS(600)), 1);
    let ids = open_some(&mut pair);
    assert_eq!(answered(&mut pair, &ids, MS(600)), 4);
}

#[test]
fn a_long_silent_peer_counts_as_new() {
    let mut pair = listening();
    let first = open(&mut pair, &StreamConfig::default());
    assert_eq!(answered(&mut pair, &[first], MS(600)), 1);
    pair.a.endpoint.reset(pair.now, first);
    pair.run(SECONDS(100));
    let ids = open_some(&mut pair);
    assert_eq!(answered(&mut pair, &ids, MS(600)), 1);
    assert_eq!(answered(&mut pair, &ids, MS(600)), 3);
}

#[test]
fn a_lost_first_packet_delays_the_others_until_its_retransmission() {
    let mut pair = listening();
    let mut packets = 0;
    pair.filter_ab = Some(Box::new(move |_| {
        packets += 1;
        packets > 1
    }));
    let ids = open_some(&mut pair);
    assert_eq!(answered(&mut pair, &ids, SECONDS(2)), 0);
    assert_eq!(answered(&mut pair, &ids, SECONDS(2)), 4);
}

#[test]
fn a_cancelled_first_stream_releases_the_others() {
    let mut pair = listening();
    let ids = open_some(&mut pair);
    pair.a.endpoint.reset(pair.now, ids[0]);
    pair.drain();
    assert_eq!(answered(&mut pair, &ids[1..], MS(1200)), 3);
}

#[test]
fn cancelled_waiting_streams_leave_no_state() {
    let mut pair = listening();
    let ids = open_some(&mut pair);
    for id in &ids[1..] {
        pair.a.endpoint.reset(pair.now, *id);
        pair.a.endpoint.release(pair.now, *id);
        pair.drain();
    }
    assert_eq!(answered(&mut pair, &ids, SECONDS(5)), 1);
    assert_eq!(pair.a.endpoint.stream_count(), 1);
    assert_eq!(pair.b.endpoint.stats().malformed, 0);
}
