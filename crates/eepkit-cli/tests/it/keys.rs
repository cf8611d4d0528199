//! Tests of private key files.

use std::path::Path;

use insta::assert_snapshot;
use tempfile::TempDir;

use crate::run::{report, run_in};

fn directory() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

/// Runs `eepkit keys ...` and returns its output.
fn keys(directory: &Path, arguments: &[&str]) -> String {
    let output = run_in(directory, &[&["keys"], arguments].concat());
    assert!(output.status.success(), "{}", report(&output));
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn filtered(directory: &Path, arguments: &[&str]) -> String {
    report(&run_in(directory, &[&["keys"], arguments].concat()))
}

/// Values that differ from run to run.
const FILTERS: [(&str, &str); 4] = [
    (r"[a-z2-7]{52}\.b32\.i2p", "[B32]"),
    (r"[A-Za-z0-9~-]{516,}=*", "[BASE64]"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "[DATE]"),
    (r#""expires":\d{10}"#, r#""expires":[UNIX]"#),
];

#[test]
fn new_keys_are_shown_and_kept() {
    let directory = directory();
    let new = keys(directory.path(), &["new", "a.dat"]);
    let shown = keys(directory.path(), &["show", "a.dat"]);

    assert_eq!(new, shown);
    insta::with_settings!({filters => FILTERS}, {
        assert_snapshot!(shown, @r"
        address      [B32]
        signatures   EdDSA_SHA512_Ed25519 (type 7)
        offline      no: the file holds the destination's own signing key
        destination  [BASE64]
        ");
        assert_snapshot!(keys(directory.path(), &["show", "a.dat", "--json"]), @r#"{"version":1,"file":"a.dat","b32":"[B32]","base64":"[BASE64]","signature_type":{"number":7,"name":"EdDSA_SHA512_Ed25519"},"offline":null}"#);
    });
}

#[test]
fn private_keys_are_shown_on_request_only() {
    let directory = directory();
    keys(directory.path(), &["new", "a.dat"]);
    let file = std::fs::read(directory.path().join("a.dat")).expect("readable");
    let shown = keys(directory.path(), &["show", "a.dat", "--private"]);
    let private = shown
        .lines()
        .find_map(|line| line.strip_prefix("private      "))
        .expect("shown");

    assert_eq!(private.len(), file.len().div_ceil(3) * 4);
    for arguments in [&["show", "a.dat"][..], &["show", "a.dat", "--json"]] {
        let shown = keys(directory.path(), arguments);
        // The signing key is at the end of the file.
        assert!(
            !shown.contains(&private[private.len() - 40..]),
            "{arguments:?}"
        );
    }
}

#[test]
fn private_keys_in_base64_are_a_key_file_too() {
    let directory = directory();
    keys(directory.path(), &["new", "a.dat"]);
    let shown = keys(directory.path(), &["show", "a.dat", "--private"]);
    let private = shown
        .lines()
        .find_map(|line| line.strip_prefix("private      "))
        .expect("shown");
    std::fs::write(directory.path().join("b.txt"), format!("{private}\n")).expect("writable");

    assert_eq!(
        keys(directory.path(), &["show", "b.txt"]),
        keys(directory.path(), &["show", "a.dat"])
    );
}

#[test]
fn every_type_on_offer_can_be_made() {
    let directory = directory();
    for (name, number) in [
        ("ed25519", 7),
        ("ecdsa-p256", 1),
        ("ecdsa-p384", 2),
        ("ecdsa-p521", 3),
        ("reddsa", 11),
    ] {
        keys(directory.path(), &["new", name, "--type", name]);
        let shown = keys(directory.path(), &["show", name]);
        assert!(
            shown.contains(&format!("(type {number})")),
            "{name}: {shown}"
        );
    }
}

#[test]
fn a_transient_key_has_the_same_destination() {
    let directory = directory();
    let first = |text: String| text.lines().next().map(str::to_owned);
    let original = keys(directory.path(), &["new", "offline.dat"]);
    let transient = keys(
        directory.path(),
        &["transient", "offline.dat", "server.dat", "--expires", "30d"],
    );

    assert_eq!(first(original), first(transient));
    insta::with_settings!({filters => FILTERS}, {
        assert_snapshot!(keys(directory.path(), &["show", "server.dat"]), @r"
        address      [B32]
        signatures   EdDSA_SHA512_Ed25519 (type 7)
        offline      yes: a transient key, EdDSA_SHA512_Ed25519 (type 7), expires [DATE]
        destination  [BASE64]
        ");
        assert_snapshot!(keys(directory.path(), &["show", "server.dat", "--json"]), @r#"{"version":1,"file":"server.dat","b32":"[B32]","base64":"[BASE64]","signature_type":{"number":7,"name":"EdDSA_SHA512_Ed25519"},"offline":{"expires":[UNIX],"expired":false,"transient_type":{"number":7,"name":"EdDSA_SHA512_Ed25519"}}}"#);
        assert_snapshot!(filtered(directory.path(), &["transient", "server.dat", "x.dat"]), @r"
        exit code: 7
        ----- stdout -----

        ----- stderr -----
        error: server.dat holds a transient key itself
        hint: use the file with the destination's own signing key
        ");
    });
}

#[test]
fn files_are_overwritten_on_request_only() {
    let directory = directory();
    let old = keys(directory.path(), &["new", "a.dat"]);

    assert_snapshot!(filtered(directory.path(), &["new", "a.dat"]), @r"
    exit code: 7
    ----- stdout -----

    ----- stderr -----
    error: a.dat exists already
    hint: choose another name, or overwrite it with --force: the destination in it is lost then
    ");
    assert_eq!(keys(directory.path(), &["show", "a.dat"]), old);
    let new = keys(directory.path(), &["new", "a.dat", "--force"]);

    assert_ne!(new, old);
}

#[test]
fn files_that_contain_no_keys_are_explained() {
    let directory = directory();
    std::fs::write(directory.path().join("junk.dat"), "junk").expect("writable");

    assert_snapshot!(filtered(directory.path(), &["show", "none.dat"]), @r"
    exit code: 7
    ----- stdout -----

    ----- stderr -----
    error: private key file none.dat: No such file or directory (os error 2)
    hint: make one with `eepkit keys new none.dat`
    ");
    assert_snapshot!(filtered(directory.path(), &["show", "junk.dat"]), @r"
    exit code: 7
    ----- stdout -----

    ----- stderr -----
    error: private key file junk.dat: the text is base64, but not that of private keys: characters are missing, or it is something else
    hint: a private key file holds a destination and its keys, as SAM, i2pd and Java I2P write it: binary, or base64
    ");
    assert_snapshot!(filtered(directory.path(), &["new", "no/such/directory/a.dat"]), @r"
    exit code: 7
    ----- stdout -----

    ----- stderr -----
    error: cannot write: private key file no/such/directory/a.dat: No such file or directory (os error 2)
    ");
}

#[cfg(unix)]
#[test]
fn key_files_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;

    let directory = directory();
    keys(directory.path(), &["new", "a.dat"]);
    let mode = std::fs::metadata(directory.path().join("a.dat"))
        .expect("there")
        .permissions()
        .mode();

    assert_eq!(mode & 0o777, 0o600);
}

#[cfg(unix)]
#[test]
fn a_reader_that_closes_the_output_is_not_a_failure() {
    use std::process::Stdio;

    let directory = directory();
    keys(directory.path(), &["new", "a.dat"]);
    let mut child = crate::run::eepkit()
        .current_dir(directory.path())
        .args(["keys", "show", "a.dat"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program runs");
    drop(child.stdout.take());

    // It may have written everything before the pipe was closed, which is success as well.
    assert!(child.wait().expect("it ends").success());
}

#[test]
fn of_twelve_programs_that_make_one_key_file_one_succeeds() {
    let directory = directory();
    let path = directory.path();
    let running: Vec<_> = (0..12)
        .map(|_| {
            let mut command = crate::run::eepkit();
            command
                .current_dir(path)
                .args(["keys", "new", "a.dat"])
                .stdout(std::process::Stdio::piped())
                .stderr(std::process::Stdio::piped());
            command.spawn().expect("the program runs")
        })
        .collect();
    let outputs: Vec<_> = running
        .into_iter()
        .map(|child| child.wait_with_output().expect("it ends"))
        .collect();

    let (made, refused): (Vec<_>, Vec<_>) = outputs.iter().partition(|out| out.status.success());
    assert_eq!(made.len(), 1, "{} succeeded", made.len());
    for output in refused {
        assert_eq!(output.status.code(), Some(7), "{}", report(output));
        assert!(report(output).contains("a.dat exists already"));
    }
    let kept = keys(path, &["show", "a.dat"]);
    assert_eq!(kept, String::from_utf8_lossy(&made[0].stdout));
    assert_eq!(std::fs::read_dir(path).expect("readable").count(), 1);
}

#[test]
fn edited_base64_is_accepted_and_damage_is_named() {
    let directory = directory();
    let path = directory.path();
    let made = keys(path, &["new", "a.dat"]);
    let shown = keys(path, &["show", "a.dat", "--private"]);
    let private = shown
        .lines()
        .find_map(|line| line.strip_prefix("private      "))
        .expect("shown");
    let lines: Vec<_> = private
        .as_bytes()
        .chunks(76)
        .map(String::from_utf8_lossy)
        .collect();
    let edited = format!("\u{feff}{}\r\n", lines.join("\r\n"))
        .replace('=', "")
        .replace('~', "/")
        .replace('-', "+");
    std::fs::write(path.join("b.txt"), edited).expect("writable");
    assert_eq!(keys(path, &["show", "b.txt"]), made);

    let public = shown
        .lines()
        .find_map(|line| line.strip_prefix("destination  "))
        .expect("shown");
    for (content, said) in [
        (
            format!("\"{private}\""),
            "line 1, column 1 is a character of no base64 alphabet",
        ),
        (
            private[1..].to_owned(),
            "the text is base64, but not that of private keys",
        ),
        (public.to_owned(), "a destination, but no private keys"),
        (String::new(), "the file is empty"),
    ] {
        std::fs::write(path.join("c.txt"), content).expect("writable");
        let refused = filtered(path, &["show", "c.txt"]);
        assert!(
            refused.contains("exit code: 7") && refused.contains(said),
            "{refused}"
        );
    }
}

#[cfg(unix)]
#[test]
fn a_key_file_that_others_can_read_is_used_with_a_warning() {
    use std::os::unix::fs::PermissionsExt;

    let directory = directory();
    keys(directory.path(), &["new", "a.dat"]);
    let quiet = filtered(directory.path(), &["show", "a.dat"]);
    assert!(!quiet.contains("warning:"), "{quiet}");
    let open = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(directory.path().join("a.dat"), open).expect("set");

    let warned = filtered(directory.path(), &["show", "a.dat"]);
    let said =
        "warning: other users can read a.dat (mode 644), which contains secrets: chmod 600 a.dat";
    assert!(
        warned.contains("exit code: 0") && warned.contains(said),
        "{warned}"
    );
}

#[cfg(unix)]
#[test]
fn a_path_that_cannot_be_examined_is_not_a_missing_file() {
    let directory = directory();
    std::fs::write(directory.path().join("file"), "notes").expect("writable");
    let below = filtered(directory.path(), &["new", "file/a.dat"]);
    assert!(below.contains("exit code: 7"), "{below}");
    std::os::unix::fs::symlink("nowhere/else", directory.path().join("link")).expect("made");
    let linked = filtered(directory.path(), &["new", "link"]);
    assert!(linked.contains("link exists already"), "{linked}");
}
