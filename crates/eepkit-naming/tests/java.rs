//! A feed whose commands were signed by Java I2P.
//!
//! `data/java-feed.txt` was written with `net.i2p.client.naming.HostTxtEntry` of Java I2P 2.7.0, with
//! keys of the types DSA-SHA1, ECDSA-SHA256-P256 and EdDSA-SHA512-Ed25519. The commands are, in
//! order: add, changedest, adddest, addname, addsubdomain, changename, update, remove, removeall.

use eepkit_naming::{AddressBook, Book, Command, HostsLine, Merge};

const FEED: &str = include_str!("data/java-feed.txt");

/// After the dates of all commands, in seconds since the epoch.
const NOW: u64 = 1_800_001_000;

fn names(books: &AddressBook) -> Vec<(String, usize)> {
    let page = books.list(Book::Shared, None, 100).expect("readable");
    let entries = page.entries.iter();
    entries
        .map(|(name, entry)| (name.to_string(), entry.records().len()))
        .collect()
}

#[test]
fn javas_signatures_verify() {
    let mut commands = 0;
    for line in FEED.lines() {
        let line: HostsLine = line.parse().expect("a line");
        let command = Command::from_line(&line).expect("a command");
        let command = command.expect("it has properties");
        assert_eq!(command.verify(), Ok(()), "{:?}", command.action());
        commands += 1;
    }
    assert_eq!(commands, 9);
}

#[test]
fn javas_commands_have_their_effect() {
    let books = AddressBook::in_memory().expect("there is memory");
    let merge = Merge::new("java", NOW);
    for (count, expected) in [
        (1, vec![("a.i2p", 1)]),
        (2, vec![("a.i2p", 1)]),
        (3, vec![("a.i2p", 2)]),
        (4, vec![("a.i2p", 2), ("b.i2p", 1)]),
        (5, vec![("a.i2p", 2), ("b.i2p", 1), ("s.a.i2p", 1)]),
        (6, vec![("a.i2p", 2), ("c.i2p", 1), ("s.a.i2p", 1)]),
        (7, vec![("a.i2p", 2), ("c.i2p", 1), ("s.a.i2p", 1)]),
        (8, vec![("a.i2p", 2), ("s.a.i2p", 1)]),
        (9, vec![("a.i2p", 1)]),
    ] {
        let line = FEED.lines().nth(count - 1).expect("nine lines");
        let report = merge.run(&books, line.as_bytes()).expect("readable");
        assert_eq!(report.refused + report.conflicts, 0, "{report:?}");
        let expected: Vec<_> = expected
            .into_iter()
            .map(|(name, records)| (name.to_owned(), records))
            .collect();
        assert_eq!(names(&books), expected, "after line {count}");
    }
}
