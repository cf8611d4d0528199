use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Barrier,
    thread,
};

use super::{
    faults::{self, Fault},
    *,
};

fn directory() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("file");
    (directory, path)
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("readable");
    let name = |entry: io::Result<fs::DirEntry>| {
        let name = entry.expect("an entry").file_name();
        name.into_string().expect("UTF-8")
    };
    entries.map(name).collect()
}

const OLD: &[u8] = b"the old content";
const NEW: &[u8] = b"the new content, which is longer than the old one";

#[test]
fn after_a_fault_at_any_point_a_replaced_file_is_old_or_new() {
    let runs = faults::at_every_point(
        || {
            let (directory, path) = directory();
            fs::write(&path, OLD).expect("written");
            (directory, path)
        },
        |(_, path)| replace(path, NEW),
        |(directory, path), result, fault| {
            let found = fs::read(path).expect("there");
            assert!(found == OLD || found == NEW, "{fault:?}: {found:?}");
            if result.is_ok() {
                assert_eq!(found, NEW, "{fault:?}");
            }
            if fault != Fault::Killed {
                assert_eq!(names(directory.path()), ["file"], "{fault:?}");
            }
            replace(path, NEW).expect("the next attempt succeeds");
            assert_eq!(fs::read(path).expect("there"), NEW);
        },
    );
    assert!(runs > 40, "{runs}");
}

#[test]
fn after_a_fault_at_any_point_a_created_file_is_complete_or_absent() {
    faults::at_every_point(
        directory,
        |(_, path)| create(path, NEW),
        |(directory, path), result, fault| match fs::read(path) {
            Ok(found) => assert_eq!(found, NEW, "{fault:?}"),
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::NotFound);
                assert!(result.is_err(), "{fault:?}");
                if fault != Fault::Killed {
                    assert!(names(directory.path()).is_empty(), "{fault:?}");
                }
                create(path, NEW).expect("the next attempt succeeds");
            }
        },
    );
}

#[test]
fn a_file_is_flushed_before_it_has_its_name_and_the_directory_after() {
    let (_directory, path) = directory();
    let (result, steps) = faults::trace(|| replace(&path, NEW));
    result.expect("written");
    let order = [
        "write",
        "flush the file",
        "give the file its name",
        "flush the directory",
    ];
    let found: Vec<&str> = steps
        .into_iter()
        .filter(|step| order.contains(step))
        .collect();
    assert_eq!(found, order);
}

#[test]
fn one_of_many_that_create_a_file_at_once_succeeds() {
    let (_directory, path) = directory();
    let barrier = Barrier::new(12);
    let content = |number: u8| vec![number; 1000];
    let winners: Vec<u8> = thread::scope(|scope| {
        let (path, barrier) = (&path, &barrier);
        let threads: Vec<_> = (0..12)
            .map(|number| {
                scope.spawn(move || {
                    barrier.wait();
                    (number, create(path, &content(number)))
                })
            })
            .collect();
        let results = threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic"));
        results
            .filter_map(|(number, result)| match result {
                Ok(()) => Some(number),
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
                    None
                }
            })
            .collect()
    });
    assert_eq!(winners.len(), 1);
    assert_eq!(fs::read(&path).expect("there"), content(winners[0]));
}

#[cfg(unix)]
#[test]
fn a_link_to_nothing_counts_as_a_file() {
    let (directory, path) = directory();
    std::os::unix::fs::symlink(directory.path().join("nothing"), &path).expect("made");
    assert!(exists(&path).expect("examined"));
    let error = create(&path, NEW).expect_err("refused");
    assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
}

#[cfg(unix)]
#[test]
fn a_link_remains_a_link_when_its_file_is_replaced() {
    let (directory, path) = directory();
    let target = directory.path().join("target");
    fs::write(&target, OLD).expect("written");
    std::os::unix::fs::symlink("target", &path).expect("made");
    replace(&path, NEW).expect("written");
    assert!(fs::symlink_metadata(&path).expect("there").is_symlink());
    assert_eq!(fs::read(&target).expect("there"), NEW);
}

#[test]
fn an_error_of_looking_does_not_mean_that_nothing_is_there() {
    let (_directory, path) = directory();
    fs::write(&path, OLD).expect("written");
    let (found, _) = faults::inject(Fault::Error(5), 0, || exists(&path));
    found.expect_err("not examined");
    // A path below a file cannot be examined, or does not exist, depending on the system.
    assert!(!matches!(exists(&path.join("below")), Ok(true)));
}

#[cfg(unix)]
#[test]
fn a_new_directory_is_private_and_an_old_one_keeps_its_mode() {
    use std::os::unix::fs::PermissionsExt as _;

    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o7777;
    let (directory, _) = directory();
    let path = directory.path().join("a/b");
    create_private_dir(&path).expect("made");
    assert_eq!(mode(&path), 0o700);
    for kept in [0o755, 0o770, 0o2775] {
        fs::set_permissions(&path, fs::Permissions::from_mode(kept)).expect("set");
        create_private_dir(&path).expect("used");
        assert_eq!(mode(&path), kept);
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o1777)).expect("set");
    let error = create_private_dir(&path).expect_err("refused");
    assert!(
        error.to_string().contains("every user can write"),
        "{error}"
    );
    assert_eq!(mode(&path), 0o1777);
}

#[test]
fn a_file_in_place_of_a_directory_is_kept_and_named() {
    let (_directory, path) = directory();
    fs::write(&path, OLD).expect("written");
    let error = create_private_dir(&path).expect_err("refused");
    assert_eq!(error.kind(), io::ErrorKind::NotADirectory);
    assert_eq!(fs::read(&path).expect("there"), OLD);
}

#[test]
fn a_lock_excludes_others_and_leaves_no_file() {
    let (directory, path) = directory();
    let lock = Lock::acquire(&path).expect("works").expect("free");
    assert!(Lock::acquire(&path).expect("works").is_none());
    drop(lock);
    assert!(names(directory.path()).is_empty());
    // A file that a killed process left is not locked.
    fs::write(&path, "").expect("written");
    assert!(Lock::acquire(&path).expect("works").is_some());
}

#[test]
fn a_lock_does_not_remove_the_file_of_somebody_else() {
    let (_directory, path) = directory();
    let lock = Lock::acquire(&path).expect("works").expect("free");
    fs::remove_file(&path).expect("removed");
    fs::write(&path, OLD).expect("written");
    drop(lock);
    assert_eq!(fs::read(&path).expect("kept"), OLD);
}

#[test]
fn at_most_one_of_many_has_the_lock_while_others_release_it() {
    use std::sync::atomic::{AtomicUsize, Ordering};

    let (_directory, path) = directory();
    let (holders, total) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..200 {
                    if let Some(lock) = Lock::acquire(&path).expect("works") {
                        assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0);
                        total.fetch_add(1, Ordering::SeqCst);
                        holders.fetch_sub(1, Ordering::SeqCst);
                        drop(lock);
                    }
                }
            });
        }
    });
    assert!(total.into_inner() > 0);
}

#[test]
fn a_fault_at_any_point_of_a_lock_never_admits_two() {
    faults::at_every_point(
        directory,
        |(_, path)| Lock::acquire(path),
        |(_, path), result, fault| {
            if let Ok(Some(_)) = &result {
                assert!(Lock::acquire(path).expect("works").is_none(), "{fault:?}");
            }
            drop(result);
            assert!(Lock::acquire(path).expect("works").is_some(), "{fault:?}");
        },
    );
}

#[test]
fn only_the_file_that_was_meant_is_removed() {
    let (_directory, path) = directory();
    fs::write(&path, OLD).expect("written");
    let id = FileId::at(&path).expect("works").expect("there");
    let moved = path.with_extension("moved");
    fs::rename(&path, &moved).expect("moved");
    fs::write(&path, NEW).expect("written");
    id.remove_at(&path).expect("works");
    assert_eq!(fs::read(&path).expect("kept"), NEW);
    id.remove_at(&moved).expect("works");
    assert!(!moved.exists());
}

#[test]
fn a_file_longer_than_the_limit_is_refused() {
    let (_directory, path) = directory();
    fs::write(&path, [b'x'; 2048]).expect("written");
    assert_eq!(read(&path, 2048).map(|bytes| bytes.len()).ok(), Some(2048));
    for error in [
        read(&path, 2047).expect_err("too long"),
        read_secret(&path, 2047).expect_err("too long"),
    ] {
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(error.to_string(), "the file is longer than 1 KiB");
    }
}

#[cfg(unix)]
#[test]
fn a_file_without_an_end_is_refused() {
    let error = read(Path::new("/dev/zero"), 4096).expect_err("endless");
    assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
}

#[test]
fn a_text_is_utf_8() {
    let (_directory, path) = directory();
    fs::write(&path, [0xff]).expect("written");
    let error = read_text(&path, 10).expect_err("no text");
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
}

#[cfg(unix)]
#[test]
fn a_file_that_others_can_read_is_found() {
    use std::os::unix::fs::PermissionsExt as _;

    let (_directory, path) = directory();
    create(&path, NEW).expect("written");
    assert_eq!(mode_open_to_others(&path), None);
    for mode in [0o640, 0o644, 0o604] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("set");
        assert_eq!(mode_open_to_others(&path), Some(mode));
    }
    assert_eq!(mode_open_to_others(Path::new("/dev/null")), None);
}
