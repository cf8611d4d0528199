use super::*;
use crate::identity::tests::router_info;

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
fn only_the_owner_can_access_directory_and_files() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("router");
    fs::create_dir(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();

    let state = StateDir::open(&path).unwrap();
    keys(&state).unwrap();
    state.add_routers(&[router_info(2)]).unwrap();

    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    assert_eq!(mode(&path.join("netDb")), 0o700);
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

#[test]
fn routers_are_stored_and_files_of_other_networks_are_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDir::open(dir.path()).unwrap();
    let ours = router_info(2);
    state
        .add_routers(&[ours.clone(), router_info(3), b"nonsense".to_vec()])
        .unwrap();
    fs::write(dir.path().join("netDb/routerInfo-x.dat"), b"nonsense").unwrap();

    let known = state.known(2).unwrap();

    assert_eq!(known.routers, [ours]);
    assert_eq!(fs::read_dir(dir.path().join("netDb")).unwrap().count(), 1);
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
