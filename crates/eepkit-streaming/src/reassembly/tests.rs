use proptest::prelude::*;

use super::*;

const LIMIT: usize = 1 << 20;

fn data(seq: u32) -> Bytes {
    Bytes::copy_from_slice(&seq.to_be_bytes())
}

fn insert(assembly: &mut Reassembly, seq: u32) -> Inserted {
    assembly.insert(seq, data(seq), 4, false, LIMIT)
}

fn read_all(assembly: &mut Reassembly) -> Vec<u32> {
    std::iter::from_fn(|| assembly.read(usize::MAX))
        .map(|bytes| u32::from_be_bytes(bytes.as_ref().try_into().unwrap()))
        .collect()
}

fn acknowledge(assembly: &Reassembly) -> (Option<u32>, Vec<u32>) {
    let mut nacks = Vec::new();
    let through = assembly.acknowledge(&mut nacks);
    (through, nacks)
}

#[test]
fn in_order_packets_pass_straight_through() {
    let mut assembly = Reassembly::new(0);
    assert_eq!(acknowledge(&assembly), (None, vec![]));
    for seq in 0..5 {
        assert_eq!(
            insert(&mut assembly, seq),
            Inserted::InOrder { filled: false }
        );
    }
    assert_eq!(read_all(&mut assembly), [0, 1, 2, 3, 4]);
    assert_eq!(acknowledge(&assembly), (Some(4), vec![]));
    assert_eq!(assembly.cost(), 0);
}

#[test]
fn early_packets_wait_for_the_missing_one() {
    let mut assembly = Reassembly::new(1);
    assert_eq!(insert(&mut assembly, 3), Inserted::Early { hole: true });
    assert_eq!(insert(&mut assembly, 4), Inserted::Early { hole: false });
    assert_eq!(acknowledge(&assembly), (Some(4), vec![1, 2]));
    assert!(!assembly.is_readable());
    assert_eq!(insert(&mut assembly, 2), Inserted::Early { hole: false });
    assert_eq!(acknowledge(&assembly), (Some(4), vec![1]));
    assert_eq!(insert(&mut assembly, 1), Inserted::InOrder { filled: true });
    assert_eq!(read_all(&mut assembly), [1, 2, 3, 4]);
    assert_eq!(acknowledge(&assembly), (Some(4), vec![]));
}

#[test]
fn duplicates_are_recognised_wherever_they_are() {
    let mut assembly = Reassembly::new(0);
    insert(&mut assembly, 0);
    insert(&mut assembly, 2);
    assert_eq!(insert(&mut assembly, 0), Inserted::Duplicate);
    assert_eq!(insert(&mut assembly, 2), Inserted::Duplicate);
    assert_eq!(read_all(&mut assembly), [0]);
}

#[test]
fn the_middle_of_a_hole_splits_it() {
    let mut assembly = Reassembly::new(0);
    insert(&mut assembly, 9);
    insert(&mut assembly, 4);
    assert_eq!(
        acknowledge(&assembly),
        (Some(9), vec![0, 1, 2, 3, 5, 6, 7, 8])
    );
    for seq in [0, 3, 5, 8] {
        insert(&mut assembly, seq);
    }
    assert_eq!(acknowledge(&assembly), (Some(9), vec![1, 2, 6, 7]));
}

#[test]
fn more_than_255_missing_packets_shorten_the_acknowledgement() {
    let mut assembly = Reassembly::new(0);
    for seq in (1..1001).step_by(2) {
        insert(&mut assembly, seq);
    }
    let (through, nacks) = acknowledge(&assembly);
    assert_eq!(nacks.len(), MAX_NACKS);
    // 0, 2, .., 508 are listed; 509 arrived, 510 is the first that is not listed.
    assert_eq!(through, Some(509));
    assert_eq!(nacks.last(), Some(&508));
}

#[test]
fn one_gap_of_more_than_255_packets_is_not_described_at_all() {
    let mut assembly = Reassembly::new(0);
    insert(&mut assembly, 0);
    insert(&mut assembly, 400);
    assert_eq!(acknowledge(&assembly), (Some(0), vec![]));
    // There are two holes. The second one does not fit the rest of the list.
    let mut assembly = Reassembly::new(0);
    insert(&mut assembly, 0);
    insert(&mut assembly, 2);
    insert(&mut assembly, 300);
    assert_eq!(acknowledge(&assembly), (Some(2), vec![1]));
}

#[test]
fn a_gap_at_the_start_that_is_too_long_is_not_described() {
    let mut assembly = Reassembly::new(1);
    insert(&mut assembly, 400);
    assert_eq!(acknowledge(&assembly), (Some(0), vec![]));
}

#[test]
fn a_stream_is_complete_only_when_everything_before_the_end_arrived() {
    let mut assembly = Reassembly::new(0);
    insert(&mut assembly, 0);
    assert_eq!(
        assembly.insert(2, Bytes::new(), 0, true, LIMIT),
        Inserted::Early { hole: true }
    );
    assert!(!assembly.is_complete());
    insert(&mut assembly, 1);
    assert!(assembly.is_complete());
    assert_eq!(read_all(&mut assembly), [0, 1]);
}

#[test]
fn packets_beyond_the_end_are_impossible() {
    let mut assembly = Reassembly::new(0);
    assembly.insert(0, data(0), 4, true, LIMIT);
    assert_eq!(insert(&mut assembly, 1), Inserted::Impossible);
    let mut assembly = Reassembly::new(0);
    insert(&mut assembly, 5);
    assert_eq!(
        assembly.insert(3, data(3), 4, true, LIMIT),
        Inserted::Impossible
    );
}

#[test]
fn a_slow_reader_blocks_packets_but_an_open_hole_can_still_be_filled() {
    let mut assembly = Reassembly::new(0);
    let limit = 3 * (CHUNK_OVERHEAD + 100);
    let payload = Bytes::from(vec![7; 100]);
    for seq in 1..=3 {
        assert_eq!(
            assembly.insert(seq, payload.clone(), 100, false, limit),
            Inserted::Early { hole: seq == 1 }
        );
    }
    assert_eq!(
        assembly.insert(4, payload.clone(), 100, false, limit),
        Inserted::NoRoom
    );
    assert_eq!(
        assembly.insert(0, payload.clone(), 100, false, limit),
        Inserted::InOrder { filled: true }
    );
    assert_eq!(
        assembly.insert(4, payload.clone(), 100, false, limit),
        Inserted::NoRoom
    );
    for _ in 0..2 {
        assert_eq!(assembly.read(100).unwrap().len(), 100);
    }
    assert_eq!(
        assembly.insert(4, payload, 100, false, limit),
        Inserted::InOrder { filled: false }
    );
}

#[test]
fn a_single_packet_larger_than_the_limit_still_passes() {
    let mut assembly = Reassembly::new(0);
    assert_eq!(
        assembly.insert(0, Bytes::from(vec![0; 2000]), 2000, false, 100),
        Inserted::InOrder { filled: false }
    );
}

#[test]
fn packets_far_beyond_any_cwnd_are_refused() {
    let mut assembly = Reassembly::new(10);
    assert_eq!(insert(&mut assembly, 10 + MAX_SPAN), Inserted::NoRoom);
    assert_eq!(insert(&mut assembly, u32::MAX), Inserted::NoRoom);
    assert!(matches!(
        insert(&mut assembly, 9 + MAX_SPAN),
        Inserted::Early { .. }
    ));
}

#[test]
fn reading_less_than_a_payload_leaves_the_rest() {
    let mut assembly = Reassembly::new(0);
    assembly.insert(0, Bytes::from_static(b"hello"), 5, false, LIMIT);
    assert_eq!(assembly.read(2).unwrap(), "he");
    assert_eq!(assembly.read(9).unwrap(), "llo");
    assert_eq!(assembly.read(9), None);
}

#[test]
fn without_a_reader_sequence_numbers_are_kept_and_payloads_dropped() {
    let mut assembly = Reassembly::new(0);
    insert(&mut assembly, 0);
    assert!(assembly.discard());
    insert(&mut assembly, 2);
    insert(&mut assembly, 1);
    assert_eq!(acknowledge(&assembly), (Some(2), vec![]));
    assert!(!assembly.is_readable());
    assert_eq!(assembly.cost(), 0);
}

proptest! {
    #[test]
    fn any_order_of_arrival_is_reassembled(
        order in Just((0..200_u32).collect::<Vec<_>>()).prop_shuffle(),
        again in proptest::collection::vec(0..200_u32, 0..50),
    ) {
        let mut assembly = Reassembly::new(0);
        let mut arrived = std::collections::BTreeSet::new();
        let mut read = Vec::new();
        for (index, seq) in order.iter().chain(&again).enumerate() {
            let outcome = insert(&mut assembly, *seq);
            prop_assert_eq!(outcome == Inserted::Duplicate, !arrived.insert(*seq));
            let (through, nacks) = acknowledge(&assembly);
            let through = through.unwrap_or(0);
            let missing: Vec<_> = (0..through).filter(|seq| !arrived.contains(seq)).collect();
            prop_assert_eq!(&nacks, &missing);
            if index % 3 == 0 {
                read.extend(read_all(&mut assembly));
            }
        }
        read.extend(read_all(&mut assembly));
        prop_assert_eq!(read, (0..200).collect::<Vec<_>>());
    }
}
