//! The function of the fuzz target for files of users.

use std::fs;

use super::*;

/// Checks that a file of users with any content is loaded or refused, that it is the same after it
/// was saved and loaded again, that no output contains a hash, and that no password matches a hash
/// that was not made from it.
///
/// # Panics
///
/// If a check fails, or if no temporary file can be written.
pub fn users(data: &[u8]) {
    let dir = tempfile::tempdir().expect("a directory for temporary files");
    let file = dir.path().join("users.json");
    fs::write(&file, data).expect("a temporary file can be written");
    let mut users = match Users::load(&file) {
        Ok(users) => users,
        Err(error) => {
            assert!(
                error.to_string().ends_with("does not hold users"),
                "{error}"
            );
            return;
        }
    };
    let shown = format!("{users:?}");
    assert!(shown.len() < 100, "{shown}");
    // Verifying with a hash takes as long as its parameters demand, so only cheap ones are used.
    let hasher = Hasher::with_max_work(64);
    for name in users.table.users.keys().take(4) {
        assert!(!users.verify_with(&hasher, name, "no password of the corpus"));
    }
    let required = users.is_required();
    users
        .set_required(!required)
        .expect("a file can be written");
    assert!(Users::load(&file).is_ok_and(|again| again == users));
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*, sample::Index};

    use super::*;

    /// A file with a user of each kind of hash.
    const EXAMPLE: &str = r#"{
  "required": true,
  "users": {
    "a": "$argon2id$v=19$m=32,t=1,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
    "b": "$i2p-shash$AAECAwQFBgcICQoLDA0OD-SAyCqVBiD41fc5exhKbuYMzpxHAxJDrA8ep0~cE8KM"
  }
}
"#;

    #[test]
    fn the_example_reveals_no_bug() {
        users(EXAMPLE.as_bytes());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn arbitrary_bytes_reveal_no_bug(data: Vec<u8>) {
            users(&data);
        }

        #[test]
        fn modified_files_reveal_no_bug(
            changes in vec((any::<Index>(), any::<u8>()), 0..4),
            length in prop::option::of(any::<Index>()),
        ) {
            let mut data = EXAMPLE.as_bytes().to_vec();
            for (at, byte) in changes {
                *at.get_mut(&mut data) = byte;
            }
            if let Some(length) = length {
                data.truncate(length.index(data.len() + 1));
            }
            users(&data);
        }
    }
}
