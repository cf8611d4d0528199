//! Tests of `eepkit config check`, and of reloads that fail.

use std::fs;

use insta::assert_snapshot;

use crate::run::{report, run_in};

#[test]
fn every_error_of_a_file_is_shown_with_its_line() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path();
    let text = "# Two errors of keys, one of a value, one of a section.\n\
                [router]\nroutr = \"embedded\"\n\n\
                [[sam]]\nlisten = 7656\n\n\
                [[socks]]\nlisten = \"example.org:1080\"\n\n\
                [http-prox]\n";
    fs::write(path.join("eepkit.toml"), text).expect("written");
    let checked = run_in(path, &["config", "check", "eepkit.toml"]);
    assert_snapshot!(report(&checked), @r#"
    exit code: 7
    ----- stdout -----
    eepkit.toml:3: [router] has no key routr
        did you mean router?
    eepkit.toml:6: listen takes a list of texts in quotes
    eepkit.toml:9: listen cannot be "example.org:1080": expected IP:PORT, such as 127.0.0.1:7656 or [::1]:7656
    eepkit.toml:11: there is no section [http-prox]
        did you mean [http-proxy]?
    ----- stderr -----
    error: eepkit.toml has 4 errors
    "#);
    let run = run_in(path, &["run", "--config", "eepkit.toml"]);
    let said = String::from_utf8_lossy(&run.stderr).into_owned();
    assert!(
        said.contains("eepkit.toml, line 3: ") && said.contains("shows 3 more"),
        "{said}"
    );
}

#[test]
fn the_files_of_a_configuration_are_checked_too() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path();
    let text = "[router]\n[socks]\nusers = \"none.json\"\nrequire_password = true\n";
    fs::write(path.join("eepkit.toml"), text).expect("written");
    let checked = run_in(path, &["config", "check", "eepkit.toml", "--json"]);
    assert_eq!(checked.status.code(), Some(7));
    let value: serde_json::Value = serde_json::from_slice(&checked.stdout).expect("JSON");
    assert_eq!(value["errors"][0]["line"], 2);
    let message = value["errors"][0]["message"].as_str().unwrap_or_default();
    assert!(message.starts_with("[socks] socks: "), "{message}");

    fs::write(path.join("eepkit.toml"), "[socks]\n").expect("written");
    let checked = run_in(path, &["config", "check", "eepkit.toml"]);
    assert_snapshot!(report(&checked), @r"
    exit code: 0
    ----- stdout -----
    eepkit.toml can be used
    ----- stderr -----
    ");
    let missing = run_in(path, &["config", "check", "no.toml"]);
    assert_eq!(missing.status.code(), Some(7), "{}", report(&missing));
}
