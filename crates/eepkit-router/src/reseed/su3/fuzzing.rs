//! The function of the fuzz target for SU3 files.

use std::io::{Cursor, Write as _};

use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use super::*;

/// Checks the parts of a file, and the limits of the unpacked archive.
///
/// The input is a file. It is unpacked without a look at its signature. An input that is not an SU3
/// file is unpacked as an archive.
///
/// # Panics
///
/// If a check fails.
pub fn su3(data: &[u8]) {
    let opened = open(data, &Signers::default());
    let error = opened.expect_err("no signer is trusted").to_string();
    assert!(!error.contains(char::is_control), "{error:?}");
    match Parts::split(data) {
        Ok(parts) => {
            assert_eq!([parts.signed, parts.signature].concat(), data);
            assert!(parts.signed.ends_with(parts.content));
            let before = &parts.signed[..parts.signed.len() - parts.content.len()];
            assert!(before.ends_with(parts.signer));
            archive(parts.content);
        }
        Err(_) => archive(data),
    }
}

/// Checks that an unpacked archive is within its limits, and that it is the same after packing and
/// unpacking it again.
fn archive(data: &[u8]) {
    let routers = match unpack(data) {
        Ok(routers) => routers,
        Err(error) => {
            let text = error.to_string();
            assert!(text.len() < 500, "{text:?}");
            assert!(!text.contains(char::is_control), "{text:?}");
            return;
        }
    };
    assert!(routers.len() <= MAX_ENTRIES);
    let longest = routers.iter().map(Vec::len).max().unwrap_or(0);
    assert!(longest as u64 <= MAX_ROUTER_INFO);
    let mut packed = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (number, router) in routers.iter().enumerate() {
        let added = packed.start_file(format!("routerInfo-{number}.dat"), options);
        added.expect("a new name can be added");
        packed.write_all(router).expect("memory can be written");
    }
    let packed = packed.finish().expect("memory can be written");
    assert_eq!(unpack(&packed.into_inner()), Ok(routers));
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*, sample::Index};

    use super::*;
    use crate::reseed::testing::Draft;

    fn example() -> Vec<u8> {
        Draft::of(&[b"one router".to_vec(), vec![b'x'; 3000]]).signed()
    }

    #[test]
    fn a_signer_with_control_characters_is_reported_without_them() {
        let mut file = example();
        let at = file.windows(4).position(|bytes| bytes == b"test");
        file[at.expect("the name of the signer")] = 0x1b;
        let error = open(&file, &Signers::default()).expect_err("not trusted");
        assert_eq!(
            error.to_string(),
            "\u{fffd}est@mail.i2p is not a known signer of router lists"
        );
        su3(&file);
    }

    #[test]
    fn the_examples_reveal_no_bug() {
        su3(&example());
        su3(&Draft::of(&[b"one router".to_vec()]).content);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn arbitrary_bytes_reveal_no_bug(data in vec(any::<u8>(), 0..600)) {
            su3(&data);
        }

        #[test]
        fn modified_files_reveal_no_bug(
            is_archive: bool,
            changes in vec((any::<Index>(), any::<u8>()), 0..4),
            length in prop::option::of(any::<Index>()),
        ) {
            let mut data = match is_archive {
                true => Draft::of(&[b"one router".to_vec(), vec![b'x'; 3000]]).content,
                false => example(),
            };
            for (at, byte) in changes {
                *at.get_mut(&mut data) = byte;
            }
            if let Some(length) = length {
                data.truncate(length.index(data.len() + 1));
            }
            su3(&data);
        }
    }
}
