use std::fs;

use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::*;
use crate::key_file::KeyFileError;

fn keys() -> PrivateKeys {
    PrivateKeys::generate(SignatureType::ED25519, &mut ChaCha20Rng::seed_from_u64(1)).unwrap()
}

#[test]
fn new_keys_have_the_layout_that_routers_expect() {
    let keys = keys();
    assert_eq!(keys.to_bytes().len(), 391 + 256 + 32);
    assert_eq!(keys.to_base64().len(), 908);
    assert_eq!(keys.signature_type(), SignatureType::ED25519);
    assert!(keys.encryption_private_key().iter().any(|&b| b != 0));
    let unused = &keys.destination().as_bytes()[..352];
    assert!(unused.chunks(32).all(|chunk| chunk == &unused[..32]));
}

#[test]
fn keys_of_every_type_can_be_encoded_and_decoded() {
    let rng = &mut ChaCha20Rng::seed_from_u64(2);
    for code in [0, 1, 2, 3, 7, 8, 11] {
        let keys = PrivateKeys::generate(SignatureType(code), rng).unwrap();
        assert_eq!(PrivateKeys::from_bytes(&keys.to_bytes()), Ok(keys.clone()));
        assert_eq!(
            PrivateKeys::from_base64(&keys.to_base64()),
            Ok(keys.clone())
        );
        for transient in [0, 3, 7] {
            let offline = keys
                .with_transient(9, SignatureType(transient), rng)
                .unwrap();
            assert_eq!(offline.signature_type(), SignatureType(transient));
            assert_eq!(offline.destination(), keys.destination());
            assert_eq!(PrivateKeys::from_bytes(&offline.to_bytes()), Ok(offline));
        }
    }
}

#[test]
fn offline_keys_cannot_authorize_another_key() {
    let rng = &mut ChaCha20Rng::seed_from_u64(2);
    let offline = keys()
        .with_transient(9, SignatureType::ED25519, rng)
        .unwrap();
    assert_eq!(
        offline.with_transient(9, SignatureType::ED25519, rng),
        Err(SignatureError::BadPrivateKey)
    );
}

#[test]
fn an_encoding_that_is_too_long_is_refused() {
    let bytes = vec![0; PrivateKeys::MAX_LENGTH + 1];
    assert!(matches!(
        PrivateKeys::from_bytes(&bytes),
        Err(KeyError::Decode(DecodeError::TooLong { .. }))
    ));
}

#[test]
fn debug_output_contains_no_secrets() {
    let shown = format!("{:?}", keys());
    let secret = format!("{:?}", keys().signing_key().as_bytes());
    assert!(!shown.contains(&secret[1..20]), "{shown}");
    assert!(shown.starts_with("PrivateKeys { destination: Destination("));
}

#[test]
fn a_file_is_written_and_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.dat");
    keys().save(&path).unwrap();
    assert_eq!(fs::read(&path).unwrap(), *keys().to_bytes());
    assert_eq!(PrivateKeys::load(&path).unwrap(), keys());
}

#[test]
fn a_file_with_base64_and_a_line_end_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.txt");
    fs::write(&path, keys().to_base64().to_string() + "\r\n").unwrap();
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
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.dat");
    fs::write(&path, vec![0x80; 4 * PrivateKeys::MAX_LENGTH]).unwrap();
    assert!(matches!(
        PrivateKeys::load(&path),
        Err(KeyFileError::Key {
            source: KeyError::Decode(DecodeError::TooLong { .. }),
            ..
        })
    ));
}
