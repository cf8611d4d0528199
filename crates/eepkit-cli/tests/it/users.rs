//! Tests of `eepkit users`.

use std::{fs, io::Write as _, path::Path, process::Stdio};

use eepkit_services::users::Users;
use serde_json::{Value, json};

use crate::run::{eepkit, report, run_in};

/// Runs a command with this standard input, and returns its report.
fn with_input(directory: &Path, arguments: &[&str], input: &str) -> String {
    let mut child = eepkit()
        .current_dir(directory)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    let mut stdin = child.stdin.take().expect("piped");
    // A program that refuses its arguments does not read.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    report(&child.wait_with_output().expect("ends"))
}

#[test]
fn users_are_added_changed_listed_and_removed() {
    use std::os::unix::fs::PermissionsExt as _;

    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path();
    let file = path.join("users.json");
    let add =
        |name: &str, input: &str| with_input(path, &["users", "add", "users.json", name], input);
    assert!(add("ann", "se same\n").starts_with("exit code: 0\n"));
    assert!(add("bob", "other\r\nrest").starts_with("exit code: 0\n"));
    let verifies = |name: &str, password: &str| {
        let users = Users::load(&file).expect("it can be read");
        users.verify(name, password)
    };
    assert!(verifies("ann", "se same") && verifies("bob", "other"));
    let mode = fs::metadata(&file).expect("it exists").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = fs::read_to_string(&file).expect("it exists");
    assert!(!text.contains("same"), "{text}");

    let again = add("ann", "new\n");
    assert!(again.starts_with("exit code: 7\n"), "{again}");
    assert!(
        again.contains("hint: --replace sets a new password"),
        "{again}"
    );
    let replace = ["users", "add", "users.json", "ann", "--replace"];
    assert!(with_input(path, &replace, "new\n").starts_with("exit code: 0\n"));
    assert!(verifies("ann", "new") && !verifies("ann", "se same"));

    let list = run_in(path, &["users", "list", "users.json"]);
    assert_eq!(String::from_utf8_lossy(&list.stdout), "ann\nbob\n");
    let list = run_in(path, &["users", "list", "users.json", "--json"]);
    let list: Value = serde_json::from_slice(&list.stdout).expect("JSON");
    assert_eq!(
        list,
        json!({ "version": 1, "required": false, "users": ["ann", "bob"] })
    );
    let removed = run_in(path, &["users", "remove", "users.json", "bob"]);
    assert!(removed.status.success());
    assert!(!verifies("bob", "other"));
    let removed = report(&run_in(path, &["users", "remove", "users.json", "bob"]));
    assert!(removed.starts_with("exit code: 7\n"), "{removed}");
}

#[test]
fn names_and_passwords_that_no_proxy_could_receive_are_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path();
    for (name, password) in [
        ("", "x\n"),
        ("a:b", "x\n"),
        ("a\nb", "x\n"),
        ("ann", ""),
        ("ann", "\n"),
        ("ann", &"x".repeat(256)),
    ] {
        let said = with_input(path, &["users", "add", "users.json", name], password);
        assert!(
            said.starts_with("exit code: 2\n"),
            "{name:?} {password:?}: {said}"
        );
    }
    assert!(!path.join("users.json").exists());
    let said = report(&run_in(path, &["users", "list", "users.json"]));
    assert!(said.contains("users.json does not exist"), "{said}");
    fs::write(path.join("users.json"), "no users").expect("written");
    let said = with_input(path, &["users", "add", "users.json", "ann"], "x\n");
    assert!(said.starts_with("exit code: 7\n"), "{said}");
    let text = fs::read_to_string(path.join("users.json")).expect("it exists");
    assert_eq!(text, "no users");
}
