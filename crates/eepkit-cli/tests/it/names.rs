//! `eepkit addressbook` and `eepkit resolve`, with and without a running `eepkit run`.

use std::{fs, path::Path, process::Command};

use eepkit_wire::{PrivateKeys, SignatureType};
use serde_json::Value;

use crate::run::{Running, eepkit, report};

struct Lab {
    directory: tempfile::TempDir,
}

impl Lab {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().expect("a directory"),
        }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = eepkit();
        command
            .current_dir(self.path())
            .env("EEPKIT_ADDRESSBOOK", self.path().join("names.redb"))
            .env("EEPKIT_CONTROL", self.path().join("control.sock"))
            .args(arguments);
        command
    }

    fn report(&self, arguments: &[&str]) -> String {
        report(&self.command(arguments).output().expect("runs"))
    }

    /// The standard output of a command that succeeds.
    fn output(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().expect("runs");
        assert!(output.status.success(), "{}", report(&output));
        String::from_utf8(output.stdout).expect("text")
    }
}

/// A destination in base64, and its base32 address.
fn destination() -> (String, String) {
    let keys = PrivateKeys::generate(SignatureType::ED25519, &mut rand::rng());
    let keys = keys.expect("Ed25519");
    let destination = keys.destination();
    (destination.to_base64(), destination.to_b32())
}

#[test]
fn names_are_added_listed_explained_exported_and_removed() {
    let lab = Lab::new();
    let ((base64, b32), (other, other_b32)) = (destination(), destination());
    assert_eq!(
        lab.output(&["addressbook", "add", "Mine.i2p", &base64]),
        "mine.i2p in the book user: added\n"
    );
    let refused = lab.report(&["addressbook", "add", "mine.i2p", &other]);
    assert!(
        refused.contains("has another destination for mine.i2p"),
        "{refused}"
    );
    assert_eq!(lab.output(&["resolve", "www.mine.i2p"]), format!("{b32}\n"));
    assert_eq!(
        lab.output(&["addressbook", "list"]),
        format!("mine.i2p\t{b32}\tuser\n")
    );
    lab.output(&[
        "addressbook",
        "add",
        "mine.i2p",
        &other,
        "--book",
        "private",
    ]);
    let explained = lab.output(&["resolve", "--explain", "mine.i2p"]);
    assert_eq!(
        explained,
        format!(
            "mine.i2p is {other_b32}\n  book private: {other_b32} (answers, from user)\n  \
             book user: {b32} (has it, too, from user)\n"
        )
    );
    lab.output(&["addressbook", "export", "out.txt"]);
    let exported = fs::read_to_string(lab.path().join("out.txt")).expect("written");
    assert!(
        exported.contains(&format!("mine.i2p={base64}")),
        "{exported}"
    );
    lab.output(&["addressbook", "remove", "mine.i2p"]);
    let unknown = lab.report(&["resolve", "mine.i2p"]);
    assert!(
        unknown.contains("mine.i2p is not in the address book"),
        "{unknown}"
    );
    lab.output(&["addressbook", "import", "out.txt"]);
    assert_eq!(lab.output(&["resolve", "mine.i2p"]), format!("{b32}\n"));
}

#[test]
fn a_running_program_is_asked() {
    let lab = Lab::new();
    let (base64, b32) = destination();
    let config = "[router]\nrouter = \"i2cp://127.0.0.1:9\"\n[sam]\nenabled = false\n";
    fs::write(lab.path().join("eepkit.toml"), config).expect("written");
    let mut running = Running::start(lab.command(&["run", "--config", "eepkit.toml"]));
    running.wait_for_line("no service is enabled");
    lab.output(&["addressbook", "add", "mine.i2p", &base64]);
    assert_eq!(lab.output(&["resolve", "mine.i2p"]), format!("{b32}\n"));
    let url = "http://feed.i2p/hosts.txt";
    lab.output(&["addressbook", "subscribe", url]);
    let status = lab.output(&["addressbook", "status", "--json"]);
    let status: Value = serde_json::from_str(&status).expect("JSON");
    assert_eq!(status["subscriptions"][0]["url"], url);
    assert!(status["subscriptions"][0]["next"].is_u64(), "{status}");
    running.signal("TERM");
    running.wait_for_success();
    assert_eq!(lab.output(&["resolve", "mine.i2p"]), format!("{b32}\n"));
    let status = lab.output(&["addressbook", "status"]);
    assert!(status.contains(&format!("subscription {url}")), "{status}");
}
