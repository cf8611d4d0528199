use eepkit_wire::{Destination, PrivateKeys, SignatureType};

use super::*;

fn destination() -> Destination {
    let keys = PrivateKeys::generate(SignatureType::ED25519, &mut rand::rng());
    keys.expect("Ed25519").destination().clone()
}

fn params(name: &str, target: &str) -> NameParams {
    let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    NameParams {
        name: given(name),
        target: given(target),
        ..NameParams::default()
    }
}

fn code(outcome: Outcome) -> String {
    outcome.expect_err("an error").code
}

#[test]
fn names_are_added_resolved_explained_and_removed() {
    let books = AddressBook::in_memory().expect("memory");
    let (one, other) = (destination(), destination());
    let add = params("A.i2p", &one.to_base64());
    let done = call(&books, "names.add", &add).expect("added");
    assert_eq!(
        (&done["action"], &done["book"]),
        (&json!("added"), &json!("user"))
    );
    let again = call(&books, "names.add", &add).expect("no change");
    assert_eq!(again["action"], "unchanged");
    let mut replace = params("a.i2p", &other.to_b32());
    assert_eq!(code(call(&books, "names.add", &replace)), "exists");
    replace.replace = true;
    let done = call(&books, "names.add", &replace).expect("replaced");
    assert_eq!(done["action"], "replaced");

    let resolved = call(&books, "names.resolve", &params("www.a.i2p", "")).expect("works");
    assert_eq!(resolved["target"], other.to_b32());
    let resolved = call(&books, "names.resolve", &params("b.i2p", "")).expect("works");
    assert!(resolved["target"].is_null());
    call(
        &books,
        "names.add",
        &params("second.i2p", &other.to_base64()),
    )
    .expect("added");
    let explained = call(&books, "names.explain", &params("a.i2p", "")).expect("works");
    assert_eq!(explained["address"], other.to_b32());
    assert_eq!(explained["found"][0]["book"], "user");
    assert_eq!(explained["other_names"][0]["name"], "second.i2p");

    for (target, status) in [(&other, "same"), (&one, "other")] {
        let compared = call(
            &books,
            "names.compare",
            &params("a.i2p", &target.to_base64()),
        );
        assert_eq!(compared.expect("works")["status"], status);
    }
    let listed = call(&books, "names.list", &NameParams::default()).expect("works");
    assert_eq!(listed["entries"].as_array().map(Vec::len), Some(2));
    call(&books, "names.remove", &params("a.i2p", "")).expect("removed");
    assert_eq!(
        code(call(&books, "names.remove", &params("a.i2p", ""))),
        "name_not_found"
    );
}

#[test]
fn files_are_imported_and_exported() {
    let directory = tempfile::tempdir().expect("a directory");
    let (from, to) = (
        directory.path().join("in.txt"),
        directory.path().join("out.txt"),
    );
    let destination = destination();
    let text = format!("a.i2p={}\nbroken\n", destination.to_base64());
    std::fs::write(&from, text).expect("written");
    let books = AddressBook::in_memory().expect("memory");
    let mut params = NameParams {
        file: Some(from),
        ..NameParams::default()
    };
    let report = call(&books, "names.import", &params).expect("imported");
    assert_eq!(
        (&report["added"], &report["refused"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(report["problems"].as_array().map(Vec::len), Some(1));
    params.file = Some(to.clone());
    let done = call(&books, "names.export", &params).expect("exported");
    assert_eq!(done["names"], 1);
    let written = std::fs::read_to_string(&to).expect("written");
    assert!(written.contains(&format!("a.i2p={}", destination.to_base64())));
    params.file = Some(directory.path().join("missing"));
    assert_eq!(code(call(&books, "names.import", &params)), "io");
}

#[test]
fn subscriptions_are_stored_once() {
    let books = AddressBook::in_memory().expect("memory");
    let with = |url: &str| NameParams {
        url: Some(url.to_owned()),
        ..NameParams::default()
    };
    let url = with("http://a.i2p/hosts.txt");
    for action in ["added", "unchanged"] {
        let done = call(&books, "names.subscribe", &url).expect("works");
        assert_eq!(done["action"], action);
    }
    let status = call(&books, "names.status", &NameParams::default()).expect("works");
    assert_eq!(status["subscriptions"][0]["url"], "http://a.i2p/hosts.txt");
    assert_eq!(status["books"].as_array().map(Vec::len), Some(3));
    call(&books, "names.unsubscribe", &url).expect("removed");
    assert_eq!(
        code(call(&books, "names.unsubscribe", &url)),
        "name_not_found"
    );
    for wrong in ["http://example.com/hosts.txt", "https://a.i2p/", "x"] {
        assert_eq!(
            code(call(&books, "names.subscribe", &with(wrong))),
            "bad_input",
            "{wrong}"
        );
    }
}

#[test]
fn bad_parameters_are_errors() {
    let books = AddressBook::in_memory().expect("memory");
    for (method, params, expected) in [
        ("names.add", params("", "x"), "bad_params"),
        ("names.add", params("a.i2p", ""), "bad_params"),
        ("names.add", params("a.i2p", "x"), "bad_input"),
        (
            "names.add",
            params("a.com", &destination().to_b32()),
            "bad_input",
        ),
        ("names.resolve", params("a.com", ""), "bad_input"),
        ("names.import", params("", ""), "bad_params"),
        ("names.nothing", params("", ""), "unknown_method"),
    ] {
        assert_eq!(
            code(call(&books, method, &params)),
            expected,
            "{method} {params:?}"
        );
    }
}
