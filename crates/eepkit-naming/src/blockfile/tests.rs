use std::io::Cursor;

use eepkit_wire::{PrivateKeys, SignatureType};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::*;
use crate::Target;

/// Builds a blockfile by the specification, without levels, which a reader does not need.
#[derive(Default)]
pub(crate) struct Builder {
    pages: Vec<Vec<u8>>,
}

type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

impl Builder {
    /// A database of version 4 with these lists.
    pub(crate) fn database(lists: &[(&str, Pairs)], version: &str) -> Vec<u8> {
        let mut file = Self::default();
        let mut superblock = MAGIC_FILE.to_vec();
        superblock.extend([1, 2]);
        superblock.extend([0; 16]);
        superblock.extend(1024_u32.to_be_bytes());
        file.page(superblock);
        // The metaindex is written last, but its head is on page 2.
        file.page(Vec::new());
        let mut info = Mapping::new();
        info.insert("version", version).unwrap();
        let names: Vec<_> = lists.iter().map(|(name, _)| *name).collect();
        info.insert("lists", names.join(",")).unwrap();
        let mut tables: Vec<(&str, Pairs)> =
            vec![(INFO, vec![(b"info".to_vec(), info.to_bytes())])];
        tables.extend(lists.iter().cloned());
        let metaindex = tables
            .into_iter()
            .map(|(name, pairs)| {
                let head = file.page(Vec::new());
                file.list(head, &pairs);
                (name.as_bytes().to_vec(), head.to_be_bytes().to_vec())
            })
            .collect();
        file.list(METAINDEX_PAGE, &metaindex);
        file.pages.concat()
    }

    fn page(&mut self, mut content: Vec<u8>) -> u32 {
        assert!(content.len() <= 1024);
        content.resize(1024, 0);
        self.pages.push(content);
        self.pages.len() as u32
    }

    fn list(&mut self, head: u32, pairs: &Pairs) {
        let mut spans: Vec<_> = pairs.chunks(16).collect();
        if spans.is_empty() {
            spans.push(&[]);
        }
        let mut next = 0;
        for span in spans.into_iter().rev() {
            next = self.span(span, next);
        }
        let mut content = MAGIC_LIST.to_vec();
        content.extend(next.to_be_bytes());
        content.resize(1024, 0);
        self.pages[head as usize - 1] = content;
    }

    fn span(&mut self, pairs: &[(Vec<u8>, Vec<u8>)], next: u32) -> u32 {
        // The pages in order; the numbers of continuations are filled in afterwards.
        let mut pages = vec![MAGIC_SPAN.to_vec()];
        pages[0].extend([0; 8]);
        pages[0].extend(next.to_be_bytes());
        pages[0].extend(16_u16.to_be_bytes());
        pages[0].extend((pairs.len() as u16).to_be_bytes());
        let continued = |pages: &mut Vec<Vec<u8>>| {
            pages.push([MAGIC_CONTINUATION, &[0; 4]].concat());
        };
        for (key, value) in pairs {
            if pages.last().unwrap().len() > 1020 {
                continued(&mut pages);
            }
            let lengths = [key.len() as u16, value.len() as u16].map(u16::to_be_bytes);
            let data = [&lengths.concat()[..], key, value].concat();
            for byte in data {
                if pages.last().unwrap().len() == 1024 {
                    continued(&mut pages);
                }
                pages.last_mut().unwrap().push(byte);
            }
        }
        let mut following = 0;
        for mut page in pages.into_iter().rev() {
            page[4..8].copy_from_slice(&u32::to_be_bytes(following));
            following = self.page(page);
        }
        following
    }
}

pub(crate) fn destination(seed: u64) -> Destination {
    let rng = &mut ChaCha20Rng::seed_from_u64(seed);
    let keys = PrivateKeys::generate(SignatureType::ED25519, rng).unwrap();
    keys.destination().clone()
}

/// The value of a name in version 4.
pub(crate) fn value(destinations: &[Destination], notes: &str) -> Vec<u8> {
    let mut out = vec![destinations.len() as u8];
    for destination in destinations {
        let mut properties = Mapping::new();
        properties.insert("a", "1700000000000").unwrap();
        properties.insert("notes", notes).unwrap();
        properties.encode(&mut out);
        destination.encode(&mut out);
    }
    out
}

/// A database with 40 names, whose spans have continuations, and one with an alternative.
pub(crate) fn example() -> Vec<u8> {
    let many = (0..40)
        .map(|n| {
            let key = format!("n{n:02}.i2p").into_bytes();
            (key, value(&[destination(n)], &"x".repeat(n as usize)))
        })
        .collect();
    let one = vec![(
        b"one.i2p".to_vec(),
        value(&[destination(50), destination(51)], "mine"),
    )];
    let lists = [
        ("privatehosts.txt", Vec::new()),
        ("userhosts.txt", one),
        ("hosts.txt", many),
    ];
    Builder::database(&lists, "4")
}

fn read_all(bytes: &[u8]) -> Result<Vec<(String, String, Entry)>, BlockfileError> {
    let mut found = Vec::new();
    read(Cursor::new(bytes), |list, name, entry| {
        found.push((list.to_owned(), name.to_owned(), entry?));
        Ok::<_, BlockfileError>(())
    })?;
    Ok(found)
}

#[test]
fn every_name_is_read_across_spans_and_continuations() {
    let found = read_all(&example()).unwrap();
    assert_eq!(found.len(), 41);
    let (list, name, entry) = &found[0];
    assert_eq!((&**list, &**name), ("userhosts.txt", "one.i2p"));
    let targets = [50, 51].map(|seed| Target::from(destination(seed)));
    let records = entry.records();
    assert_eq!(records.len(), 2);
    assert_eq!(records[0].target, targets[0]);
    assert_eq!(records[1].target, targets[1]);
    assert_eq!(
        records[0].properties.to_string(),
        "a=1700000000000#notes=mine"
    );
    for (n, (list, name, entry)) in (0..).zip(&found[1..]) {
        assert_eq!((&**list, &**name), ("hosts.txt", &*format!("n{n:02}.i2p")));
        assert_eq!(entry.destination(), Some(&destination(n)));
    }
}

#[test]
fn older_versions_have_one_destination_for_a_name() {
    let mut old = value(&[destination(1)], "x");
    old.remove(0);
    let lists = [("hosts.txt", vec![(b"a.i2p".to_vec(), old)])];
    for version in ["2", "3"] {
        let found = read_all(&Builder::database(&lists, version)).unwrap();
        assert_eq!(found[0].2.destination(), Some(&destination(1)));
    }
    let result = read_all(&Builder::database(&lists, "5"));
    assert!(matches!(result, Err(BlockfileError::Version(_))));
    assert!(matches!(
        read_all(&Builder::database(&lists, "4")),
        Err(BlockfileError::Value(_))
    ));
}

#[test]
fn damaged_files_are_refused_at_every_cut_and_do_not_loop() {
    let file = example();
    for cut in (0..file.len()).step_by(512) {
        assert!(read_all(&file[..cut]).is_err(), "{cut}");
    }
    assert!(read_all(b"a.i2p=x\n").is_err());
    // A span that is its own successor.
    let mut cycle = file;
    let spans: Vec<_> = (0..cycle.len() / 1024)
        .filter(|page| cycle[page * 1024..].starts_with(MAGIC_SPAN))
        .collect();
    for page in spans {
        let number = (page as u32 + 1).to_be_bytes();
        cycle[page * 1024 + 12..page * 1024 + 16].copy_from_slice(&number);
    }
    let result = read_all(&cycle);
    assert!(matches!(result, Err(BlockfileError::Damaged(_))));
}
