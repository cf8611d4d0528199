use eepkit_files::faults::{self, Fault};

use super::*;
use crate::identity::tests::{router_info, router_info_at};

fn profile(accepted: usize) -> Profile {
    Profile {
        accepted,
        ..Profile::default()
    }
}

fn keys(dir: &StateDir) -> Result<[u8; 40], StateError> {
    dir.keys()
}

#[test]
fn keys_are_generated_once_and_stored() {
    let dir = tempfile::tempdir().unwrap();
    let first = keys(&StateDir::open(dir.path()).unwrap()).unwrap();

    let second = keys(&StateDir::open(dir.path()).unwrap()).unwrap();

    assert_eq!(first, second);
}

#[test]
fn a_damaged_key_file_is_reported_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDir::open(dir.path()).unwrap();
    keys(&state).unwrap();
    let path = dir.path().join("router.keys");
    let whole = fs::read(&path).unwrap();

    for damaged in [
        &whole[..whole.len() - 1],
        &[&whole[..], b"x"].concat(),
        b"",
        &whole[1..],
    ] {
        fs::write(&path, damaged).unwrap();
        let error = keys(&state).unwrap_err();
        assert!(matches!(error, StateError::BadKeys { .. }), "{error}");
        assert_eq!(fs::read(&path).unwrap(), damaged);
    }
}

#[test]
fn a_directory_in_use_is_refused_until_it_is_free() {
    let dir = tempfile::tempdir().unwrap();
    let first = StateDir::open(dir.path()).unwrap();

    let error = StateDir::open(dir.path()).unwrap_err();
    assert!(matches!(error, StateError::InUse(_)), "{error}");

    drop(first);
    StateDir::open(dir.path()).unwrap();
}

#[cfg(unix)]
#[test]
fn only_the_owner_can_access_the_files_and_an_old_directory_keeps_its_mode() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("router");
    fs::create_dir(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();

    let state = StateDir::open(&path).unwrap();
    keys(&state).unwrap();
    state.add_routers(&[router_info(2)]).unwrap();

    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o755);
    assert_eq!(mode(&path.join("netDb")), 0o700);
    let new = dir.path().join("a/new/one");
    let _state = StateDir::open(&new).unwrap();
    assert_eq!(mode(&new), 0o700);
    assert_eq!(mode(&path.join("router.keys")), 0o600);
    let router = fs::read_dir(path.join("netDb"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    assert_eq!(mode(&router.path()), 0o600);
}

#[test]
fn ports_are_stored_and_invalid_ones_count_as_none() {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDir::open(dir.path()).unwrap();
    assert_eq!(state.ports(), Ports::default());

    let ports = Ports {
        ntcp2: Some(1234),
        ssu2: None,
    };
    state.save_ports(ports).unwrap();
    assert_eq!(state.ports(), ports);

    fs::write(
        dir.path().join("router.ports"),
        b"ntcp2=99999\nssu2=0\n\xff",
    )
    .unwrap();
    assert_eq!(state.ports(), Ports::default());
}

#[cfg(unix)]
#[test]
fn a_directory_that_every_user_can_change_is_refused_with_the_reason() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o1777)).unwrap();

    let error = StateDir::open(dir.path()).unwrap_err();

    assert!(
        error.to_string().contains("every user can write"),
        "{error}"
    );
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn the_lock_file_is_removed_with_the_lock() {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDir::open(dir.path()).unwrap();
    assert!(dir.path().join("lock").exists());
    drop(state);
    assert!(!dir.path().join("lock").exists());
}

#[test]
fn routers_are_stored_and_those_of_other_networks_are_kept_for_them() {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDir::open(dir.path()).unwrap();
    let (ours, others) = (router_info(2), router_info(3));
    state
        .add_routers(&[ours.clone(), others.clone(), b"nonsense".to_vec()])
        .unwrap();

    assert_eq!(state.known(2).unwrap().routers, [ours]);
    assert_eq!(state.known(3).unwrap().routers, [others]);
}

#[test]
fn only_damaged_router_infos_and_remains_of_writes_are_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDir::open(dir.path()).unwrap();
    let netdb = dir.path().join("netDb");
    for name in [
        "routerInfo-x.dat",
        ".routerInfo-y.dat.AbCdEf.tmp",
        "notes.txt",
        "leaseSet-z.dat",
    ] {
        fs::write(netdb.join(name), "nonsense").unwrap();
    }

    assert!(state.known(2).unwrap().routers.is_empty());

    let mut left: Vec<_> = fs::read_dir(&netdb)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, ["leaseSet-z.dat", "notes.txt"]);
}

/// Counts the router infos that are used with the clock at `now`, and the files afterwards.
fn with_clock_at(state: &StateDir, now: Duration) -> (usize, usize) {
    let used = state.known_at(2, now).unwrap().routers.len();
    let left = fs::read_dir(state.path.join("netDb")).unwrap().count();
    (used, left)
}

#[test]
fn a_wrong_clock_does_not_delete_router_infos() {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDir::open(dir.path()).unwrap();
    let now = clock::unix_now();
    let day = Duration::from_secs(24 * 3600);
    let infos: Vec<_> = (0..20)
        .map(|age| router_info_at(2, now.saturating_sub(day * age / 4)))
        .collect();
    state.add_routers(&infos).unwrap();

    for wrong in [
        now + 15 * day,
        now + 20 * 365 * day,
        Duration::ZERO,
        now.saturating_sub(365 * day),
    ] {
        let (_, left) = with_clock_at(&state, wrong);
        assert_eq!(left, 20, "{wrong:?}");
    }
    assert_eq!(with_clock_at(&state, now), (20, 20));
}

#[test]
fn router_infos_that_are_old_compared_with_the_others_are_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDir::open(dir.path()).unwrap();
    let now = clock::unix_now();
    let day = Duration::from_secs(24 * 3600);
    let mut infos: Vec<_> = (0..10).map(|_| router_info_at(2, now)).collect();
    infos.push(router_info_at(2, now.saturating_sub(30 * day)));
    // One with a date in the future must not make the others old.
    infos.push(router_info_at(2, now + 365 * day));
    state.add_routers(&infos).unwrap();

    assert_eq!(with_clock_at(&state, now), (11, 11));
}

/// Uses a state directory as a router does when it starts, runs and stops.
fn use_state(path: &Path, info: &[u8]) -> Result<[u8; 40], StateError> {
    let state = StateDir::open(path)?;
    let keys = keys(&state)?;
    state.known(2)?;
    let ports = Ports {
        ntcp2: Some(1234),
        ssu2: Some(4321),
    };
    state.save_ports(ports)?;
    state.save_router_info(info)?;
    let name = name_of(info).unwrap();
    state.write_backup(vec![(name, Some(info.to_vec()), profile(7))])?;
    Ok(keys)
}

#[test]
fn after_a_fault_at_any_point_a_state_directory_is_usable_and_keeps_its_identity() {
    let info = router_info(2);
    for is_new in [true, false] {
        let runs = faults::at_every_point(
            || {
                // A disk takes minutes to flush the files of all runs.
                let in_memory = tempfile::tempdir_in("/dev/shm");
                let dir = in_memory.or_else(|_| tempfile::tempdir()).unwrap();
                let path = dir.path().join("router");
                let before = (!is_new).then(|| use_state(&path, &info).unwrap());
                (dir, path, before)
            },
            |(_, path, _)| use_state(path, &info),
            |(_, path, before), result, fault| {
                let after =
                    use_state(path, &info).unwrap_or_else(|error| panic!("{fault:?}: {error}"));
                let used = result.ok();
                for earlier in [before.as_ref(), used.as_ref()].into_iter().flatten() {
                    assert_eq!(earlier, &after, "{fault:?}");
                }
                let state = StateDir::open(path).unwrap();
                assert_eq!(state.known(2).unwrap().routers, std::slice::from_ref(&info));
                assert_eq!(state.ports().ssu2, Some(4321));
            },
        );
        assert!(runs > 200, "{runs}");
    }
}

#[test]
fn an_error_of_reading_the_keys_does_not_make_new_ones() {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDir::open(dir.path()).unwrap();
    let own = keys(&state).unwrap();
    for at in 0..2 {
        let (result, fired) = faults::inject(Fault::Error(5), at, || keys(&state));
        assert!(fired);
        result.unwrap_err();
        assert_eq!(keys(&state).unwrap(), own);
    }
}

#[tokio::test]
async fn saved_routers_and_profiles_are_known_at_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let keeper = Keeper::new(Arc::new(StateDir::open(dir.path()).unwrap()));
    let info = router_info(2);
    let name = name_of(&info).unwrap();

    keeper.save(vec![
        (name.clone(), Some(info.clone()), profile(7)),
        (Hash::new([1; 32]).to_base64(), None, profile(1)),
    ]);
    keeper.flush().await;

    let known = keeper.dir.known(2).unwrap();
    assert_eq!(known.routers, [info]);
    assert_eq!(known.profiles.len(), 2);
    assert!(known.profiles.contains(&(name, profile(7))));
}

#[test]
fn profiles_with_names_that_are_no_hashes_are_skipped() {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDir::open(dir.path()).unwrap();
    let text = format!(
        r#"{{"!!": {{}}, "AAAA": {{}}, "{}": {{"accepted": 3}}}}"#,
        Hash::new([1; 32]).to_base64()
    );
    fs::write(dir.path().join("profiles.json"), text).unwrap();

    let profiles = state.known(2).unwrap().profiles;

    assert_eq!(profiles, [(Hash::new([1; 32]).to_base64(), profile(3))]);
}
