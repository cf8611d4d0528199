//! Books in memory that load a `hosts.txt`.

use std::{fs, path::Path};

use eepkit_wire::Destination;

use crate::{HostBook, HostError, HostName};

/// Checks that a `hosts.txt` with any content is loaded or refused, that names are found in any
/// case, and that the names of a book can be written to a file and loaded again.
///
/// # Panics
///
/// If a check fails, or if no temporary file can be written.
pub fn hosts(data: &[u8]) {
    let dir = tempfile::tempdir().expect("a directory for temporary files");
    let path = dir.path().join("hosts.txt");
    let book = HostBook::new();
    let added = load(&book, &path, data).expect("a short file is loaded");
    let text = String::from_utf8_lossy(data);
    assert!(book.len() <= added && added <= text.lines().count());

    let mut names: Vec<(HostName, Destination)> = Vec::new();
    for line in text.trim_start_matches('\u{feff}').lines() {
        let name = line.split(['=', '#']).next().unwrap_or_default().trim();
        let Some(destination) = book.get(name) else {
            continue;
        };
        let name: HostName = name.parse().expect("the book has it");
        let upper = name.as_str().to_uppercase();
        assert_eq!(book.get(&upper), Some(destination.clone()));
        if !names.iter().any(|(other, _)| *other == name) {
            names.push((name, destination));
        }
    }
    assert_eq!(
        names.len(),
        book.len(),
        "every name of the book is in the file"
    );

    let written: String = names
        .iter()
        .map(|(name, destination)| format!("{name}={}\n", destination.to_base64()))
        .collect();
    let again = HostBook::new();
    let count = load(&again, &path, written.as_bytes());
    assert_eq!(count.ok(), Some(names.len()));
    for (name, destination) in names {
        assert_eq!(again.get(name.as_str()), Some(destination.clone()));
        assert_eq!(again.remove(name.as_str()), Some(destination));
    }
    assert!(again.is_empty());
}

fn load(book: &HostBook, path: &Path, content: &[u8]) -> Result<usize, HostError> {
    fs::write(path, content).expect("a temporary file can be written");
    book.load(path)
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use eepkit_wire::{PrivateKeys, SignatureType};
    use proptest::{collection::vec, prelude::*, sample::Index};

    use super::*;

    /// A file with comments, a name in two cases, and lines that are no entries.
    fn example() -> Vec<u8> {
        static DESTINATION: LazyLock<String> = LazyLock::new(|| {
            let keys = PrivateKeys::generate(SignatureType::ED25519, &mut rand::rng());
            keys.expect("can be made").destination().to_base64()
        });
        let destination = &*DESTINATION;
        format!("# a list\n\na.i2p={destination}\r\nB.i2p = {destination}#!sig=x\nb.i2p={destination}\nx\n=\n")
            .into_bytes()
    }

    #[test]
    fn the_example_is_loaded() {
        hosts(&example());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn arbitrary_bytes_reveal_no_bug(data: Vec<u8>) {
            hosts(&data);
        }

        #[test]
        fn modified_files_reveal_no_bug(
            changes in vec((any::<Index>(), any::<u8>()), 0..4),
            length in prop::option::of(any::<Index>()),
        ) {
            let mut data = example();
            for (at, byte) in changes {
                *at.get_mut(&mut data) = byte;
            }
            if let Some(length) = length {
                data.truncate(length.index(data.len() + 1));
            }
            hosts(&data);
        }
    }
}
