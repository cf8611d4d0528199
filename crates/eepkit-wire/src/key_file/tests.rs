use std::{fs, sync::Barrier, thread};

use eepkit_files::faults::{self, Fault};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::*;

fn keys() -> PrivateKeys {
    keys_of(1)
}

fn keys_of(seed: u64) -> PrivateKeys {
    PrivateKeys::generate(
        SignatureType::ED25519,
        &mut ChaCha20Rng::seed_from_u64(seed),
    )
    .unwrap()
}

fn file() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.dat");
    (directory, path)
}

/// Loads a file with this content.
fn loaded(content: impl AsRef<[u8]>) -> Result<PrivateKeys, KeyError> {
    let (_directory, path) = file();
    fs::write(&path, content).unwrap();
    PrivateKeys::load(&path).map_err(|error| match error {
        KeyFileError::Key { source, .. } => source,
        error => panic!("{error}"),
    })
}

#[test]
fn a_file_is_written_and_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.dat");
    keys().save(&path).unwrap();
    assert_eq!(fs::read(&path).unwrap(), *keys().to_bytes());
    assert_eq!(PrivateKeys::load(&path).unwrap(), keys());
}

#[cfg(unix)]
#[test]
fn only_the_owner_can_read_a_file_even_when_it_replaces_an_open_one() {
    use std::os::unix::fs::PermissionsExt;

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.dat");
    fs::write(&path, "old").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    keys().save(&path).unwrap();
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn no_temporary_file_remains_when_writing_fails() {
    let directory = tempfile::tempdir().unwrap();
    // A directory with the name of the file makes the last step fail.
    let path = directory.path().join("keys.dat");
    fs::create_dir(&path).unwrap();
    fs::write(path.join("inside"), "").unwrap();
    assert!(keys().save(&path).is_err());
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn errors_distinguish_a_missing_file_from_a_malformed_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.dat");
    assert!(PrivateKeys::load(&path).unwrap_err().is_not_found());
    fs::write(&path, [0x80; 100]).unwrap();
    let error = PrivateKeys::load(&path).unwrap_err();
    assert!(!error.is_not_found());
    assert!(
        error
            .to_string()
            .ends_with("keys.dat: not a private key file: input ended inside destination")
    );
}

#[test]
fn a_huge_file_is_not_read_completely() {
    let content = vec![0x80; 4 * PrivateKeys::MAX_LENGTH];
    assert_eq!(loaded(content), Err(KeyError::TooLong));
}

#[test]
fn base64_is_accepted_in_every_unambiguous_form() {
    let text = keys().to_base64().to_string();
    let digits = text.trim_end_matches('=');
    assert!(digits.contains('-') && digits.contains('~'), "both differ");
    let wrapped = |width: usize, end: &str| -> String {
        let lines = text.as_bytes().chunks(width);
        lines
            .map(|line| std::str::from_utf8(line).unwrap().to_owned() + end)
            .collect()
    };
    let standard = text.replace('-', "+").replace('~', "/");
    for form in [
        text.clone(),
        format!("{text}\n"),
        format!("\r\n  {text}\t\r\n\n"),
        digits.to_owned(),
        format!("{digits}=\n"),
        format!("\u{feff}{text}"),
        format!("\u{feff}{digits}\r\n"),
        wrapped(64, "\n"),
        wrapped(76, "\r\n"),
        wrapped(1, " "),
        standard.replace('=', ""),
        text.replace('~', "_"),
        standard,
    ] {
        assert_eq!(loaded(&form), Ok(keys()), "{form:?}");
    }
}

#[test]
fn what_is_not_a_key_file_is_named() {
    let text = keys().to_base64().to_string();
    let public = keys().destination().to_base64();
    let utf16 = |text: &str| -> Vec<u8> {
        let units = "\u{feff}".encode_utf16().chain(text.encode_utf16());
        units.flat_map(u16::to_le_bytes).collect()
    };
    let character = |line, column| KeyError::Character { line, column };
    for (content, expected) in [
        (Vec::new(), KeyError::Empty),
        (b"\xef\xbb\xbf \r\n".to_vec(), KeyError::Empty),
        (public.clone().into_bytes(), KeyError::Public),
        (keys().destination().as_bytes().to_vec(), KeyError::Public),
        (utf16(&text), KeyError::Utf16),
        (
            b"-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQ\n-----END PRIVATE KEY-----\n".to_vec(),
            KeyError::Pem,
        ),
        (format!("keys\n\"{text}\"").into_bytes(), character(2, 1)),
        (
            format!("{}\u{e4}{}", &text[..9], &text[9..]).into_bytes(),
            character(1, 10),
        ),
        (format!("# my key\n{text}").into_bytes(), character(1, 1)),
        (keys().destination().to_b32().into_bytes(), character(1, 53)),
        (
            format!("{public}\n{text}").into_bytes(),
            match public.ends_with('=') {
                true => KeyError::Continued { line: 2, column: 1 },
                false => KeyError::Characters,
            },
        ),
        (
            format!("{text}{text}").into_bytes(),
            KeyError::Continued {
                line: 1,
                column: text.len() + 1,
            },
        ),
        // A character is missing at the start, in the middle, or many at the end.
        (text.as_bytes()[1..].to_vec(), KeyError::Characters),
        (
            [&text[..300], &text[301..]].concat().into_bytes(),
            KeyError::Characters,
        ),
        (text.as_bytes()[..600].to_vec(), KeyError::Characters),
        (b"not a key at all".to_vec(), KeyError::Characters),
    ] {
        let shown = String::from_utf8_lossy(&content).into_owned();
        match (loaded(&content), expected) {
            // The rest of a key file begins with a whole destination.
            (Err(KeyError::Public), KeyError::Characters) => {}
            (result, expected) => assert_eq!(result, Err(expected), "{shown}"),
        }
    }
}

#[test]
fn no_error_contains_a_part_of_the_file() {
    let text = keys().to_base64().to_string();
    for content in [
        format!("{text}\""),
        text[1..].to_owned(),
        text[..700].to_owned(),
    ] {
        let error = loaded(&content).unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains(&content[100..108]), "{shown}");
    }
}

#[test]
fn of_many_programs_that_create_a_file_one_wins_and_all_use_its_keys() {
    let (_directory, path) = file();
    let barrier = Barrier::new(8);
    let results: Vec<(PrivateKeys, bool)> = thread::scope(|scope| {
        let (path, barrier) = (&path, &barrier);
        let threads: Vec<_> = (0..8)
            .map(|seed| {
                scope.spawn(move || {
                    let rng = &mut ChaCha20Rng::seed_from_u64(seed);
                    barrier.wait();
                    PrivateKeys::load_or_create(path, SignatureType::ED25519, rng).unwrap()
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert_eq!(results.iter().filter(|(_, is_new)| *is_new).count(), 1);
    let written = PrivateKeys::load(&path).unwrap();
    assert!(results.iter().all(|(keys, _)| *keys == written));
}

#[test]
fn an_existing_file_is_never_changed_by_creation() {
    let (_directory, path) = file();
    fs::write(&path, "notes").unwrap();
    assert!(keys().create(&path).unwrap_err().is_already_there());
    let rng = &mut ChaCha20Rng::seed_from_u64(1);
    let error = PrivateKeys::load_or_create(&path, SignatureType::ED25519, rng).unwrap_err();
    assert!(matches!(error, KeyFileError::Key { .. }), "{error}");
    assert_eq!(fs::read(&path).unwrap(), b"notes");
}

#[cfg(unix)]
#[test]
fn a_link_to_nothing_is_an_error_and_not_a_missing_file() {
    let (directory, path) = file();
    std::os::unix::fs::symlink(directory.path().join("elsewhere"), &path).unwrap();
    let rng = &mut ChaCha20Rng::seed_from_u64(1);
    let error = PrivateKeys::load_or_create(&path, SignatureType::ED25519, rng).unwrap_err();
    assert!(error.is_already_there(), "{error}");
}

#[test]
fn after_a_fault_at_any_point_the_keys_in_use_are_those_in_the_file() {
    let create = |path: &PathBuf, seed| {
        let rng = &mut ChaCha20Rng::seed_from_u64(seed);
        PrivateKeys::load_or_create(path, SignatureType::ED25519, rng)
    };
    faults::at_every_point(
        file,
        |(_, path)| create(path, 1),
        |(_, path), result, fault| {
            let (next, is_new) = create(path, 2).expect("works after the fault");
            if let Ok((used, _)) = result {
                assert!(used == next && !is_new, "{fault:?}");
            }
        },
    );
}

#[test]
fn after_a_fault_at_any_point_old_keys_are_kept_or_replaced() {
    let runs = faults::at_every_point(
        || {
            let (directory, path) = file();
            keys_of(1).create(&path).unwrap();
            (directory, path)
        },
        |(_, path)| {
            let found = PrivateKeys::load(path)?;
            assert!(found == keys_of(1));
            keys_of(2).save(path)
        },
        |(_, path), result, fault| {
            let found = PrivateKeys::load(path).expect("never neither");
            assert!(found == keys_of(1) || found == keys_of(2), "{fault:?}");
            assert!(result.is_err() || found == keys_of(2), "{fault:?}");
        },
    );
    assert!(runs >= 7 * Fault::ALL.len(), "{runs}");
}

#[test]
fn an_error_of_reading_does_not_make_new_keys() {
    let (_directory, path) = file();
    keys().create(&path).unwrap();
    for at in 0..2 {
        let (result, fired) = faults::inject(Fault::Error(5), at, || {
            let rng = &mut ChaCha20Rng::seed_from_u64(9);
            PrivateKeys::load_or_create(&path, SignatureType::ED25519, rng)
        });
        assert!(fired);
        result.unwrap_err();
        assert_eq!(PrivateKeys::load(&path).unwrap(), keys());
    }
}
