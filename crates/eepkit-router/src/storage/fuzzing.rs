//! The function of the fuzz target for the files of a state directory.

use std::path::Path;

use eepkit_wire::RouterIdentity;

use super::*;
use crate::identity::Identity;

/// Checks that a state directory with any content is used or refused, that keys are never replaced,
/// and that a second start has what the first one had.
///
/// The input is a sequence of files: a byte that selects the file, two bytes of length, the
/// content.
///
/// # Panics
///
/// If a check fails, or if no temporary file can be written.
pub fn state(data: &[u8]) {
    let dir = tempfile::tempdir().expect("a directory for temporary files");
    let state = StateDir::open(dir.path()).expect("a new directory can be used");
    let mut rest = data;
    while let Some((&[kind, high, low], after)) = rest.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes([high, low]));
        let (content, after) = after.split_at(length.min(after.len()));
        rest = after;
        write(&dir.path().join(name(kind)), content);
    }

    let path = dir.path().join("router.keys");
    let before = fs::read(&path).ok();
    let keys = state.keys::<{ Identity::LENGTH }>();
    if let Some(before) = before {
        assert_eq!(
            fs::read(&path).ok(),
            Some(before),
            "keys are never replaced"
        );
    }
    if let Ok(keys) = keys {
        let identity = Identity::from_bytes(&keys);
        let read = RouterIdentity::from_bytes(&identity.serialized());
        assert_eq!(read.map(|read| read.hash()), Ok(identity.id()));
    }

    let ports = state.ports();
    assert!(ports.ntcp2 != Some(0) && ports.ssu2 != Some(0));
    let known = state.known(NETWORK).expect("the directory can be read");
    assert!(known.routers.len() <= MAX_ROUTERS);
    for (name, _) in &known.profiles {
        assert!(Hash::from_base64(name).is_ok());
    }
    let again = state.known(NETWORK).expect("the directory can be read");
    assert_eq!(sorted(&again), sorted(&known));
    assert_eq!(again.profiles, known.profiles);
    if ports != Ports::default() {
        state.save_ports(ports).expect("a file can be written");
        assert_eq!(state.ports(), ports);
    }
}

/// The file for a byte of the input.
fn name(kind: u8) -> String {
    match kind % 8 {
        0 => "router.keys".to_owned(),
        1 => "router.ports".to_owned(),
        2 => "profiles.json".to_owned(),
        3 => "router.info".to_owned(),
        _ => format!("netDb/routerInfo-{kind}.dat"),
    }
}

fn sorted(known: &Known) -> Vec<&[u8]> {
    let mut routers: Vec<&[u8]> = known.routers.iter().map(Vec::as_slice).collect();
    routers.sort_unstable();
    routers
}

fn write(path: &Path, content: &[u8]) {
    fs::write(path, content).expect("a temporary file can be written");
}

/// The network whose router infos are kept.
const NETWORK: u8 = 2;

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*, sample::Index};

    use super::*;
    use crate::identity::tests::router_info;

    /// A directory with one file of each kind.
    fn example() -> Vec<u8> {
        let keys = [&KEYS_MAGIC[..], &[7; Identity::LENGTH]].concat();
        let profiles = format!(
            r#"{{"{}": {{"accepted": 3}}}}"#,
            Hash::new([1; 32]).to_base64()
        );
        let files = [
            (0, keys),
            (1, b"ntcp2=1234\nssu2=5678\n".to_vec()),
            (2, profiles.into_bytes()),
            (4, router_info(NETWORK)),
            (5, router_info(3)),
        ];
        let mut example = Vec::new();
        for (kind, content) in files {
            example.push(kind);
            example.extend(u16::try_from(content.len()).expect("short").to_be_bytes());
            example.extend(content);
        }
        example
    }

    #[test]
    fn the_example_reveals_no_bug() {
        state(&example());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn arbitrary_bytes_reveal_no_bug(data: Vec<u8>) {
            state(&data);
        }

        #[test]
        fn modified_files_reveal_no_bug(
            changes in vec((any::<Index>(), any::<u8>()), 0..6),
            length in prop::option::of(any::<Index>()),
        ) {
            let mut data = example();
            for (at, byte) in changes {
                *at.get_mut(&mut data) = byte;
            }
            if let Some(length) = length {
                data.truncate(length.index(data.len() + 1));
            }
            state(&data);
        }
    }
}
