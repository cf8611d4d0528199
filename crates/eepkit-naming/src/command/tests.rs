use eepkit_wire::SignatureType;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::*;

fn keys(kind: SignatureType, seed: u64) -> PrivateKeys {
    PrivateKeys::generate(kind, &mut ChaCha20Rng::seed_from_u64(seed)).unwrap()
}

fn name(text: &str) -> HostName {
    text.parse().unwrap()
}

fn read(line: &str) -> Result<Option<Command>, CommandError> {
    Command::from_line(&line.parse().unwrap())
}

/// A signed command for each action, with the keys of its destination and old destination.
fn every_command() -> Vec<Command> {
    let new = keys(SignatureType::ED25519, 1);
    let old = keys(SignatureType::DSA_SHA1, 2);
    let old_name = name("old.i2p");
    let old_destination = old.destination().clone();
    [
        ("a.i2p", Action::Add),
        (
            "a.i2p",
            Action::ChangeName {
                old_name: old_name.clone(),
            },
        ),
        (
            "a.i2p",
            Action::ChangeDestination {
                old_destination: old_destination.clone(),
            },
        ),
        (
            "a.i2p",
            Action::AddName {
                old_name: old_name.clone(),
            },
        ),
        (
            "a.i2p",
            Action::AddDestination {
                old_destination: old_destination.clone(),
            },
        ),
        (
            "a.old.i2p",
            Action::AddSubdomain {
                old_name,
                old_destination,
            },
        ),
        ("a.i2p", Action::Update),
        ("a.i2p", Action::Remove),
        ("a.i2p", Action::RemoveAll),
    ]
    .into_iter()
    .map(|(of, action)| {
        let old = action.old_destination().map(|_| &old);
        Command::new(name(of), new.destination().clone(), action)
            .with_date(1_700_000_000)
            .with_property("Note", "käse")
            .unwrap()
            .sign(&new, old)
            .unwrap()
    })
    .collect()
}

#[test]
fn the_signed_text_is_that_of_the_specification() {
    let [new, old] = [1, 2].map(|seed| keys(SignatureType::ED25519, seed));
    let (n, o) = (new.destination().to_base64(), old.destination().to_base64());
    let action = Action::AddSubdomain {
        old_name: name("old.i2p"),
        old_destination: old.destination().clone(),
    };
    let command = Command::new(name("a.old.i2p"), new.destination().clone(), action)
        .with_date(5)
        .sign(&new, Some(&old))
        .unwrap();
    let inner = format!("a.old.i2p={n}#!action=addsubdomain#date=5#olddest={o}#oldname=old.i2p");
    assert_eq!(command.inner_bytes(), inner);
    let old_signature = base64::encode(old.sign(inner.as_bytes()).as_bytes());
    let outer = format!(
        "a.old.i2p={n}#!action=addsubdomain#date=5#olddest={o}#oldname=old.i2p#oldsig={old_signature}"
    );
    assert_eq!(command.outer_bytes(), outer);

    let add = Command::new(name("a.i2p"), new.destination().clone(), Action::Add);
    assert_eq!(add.outer_bytes(), format!("a.i2p={n}"));

    let remove = Command::new(name("a.i2p"), new.destination().clone(), Action::Remove);
    assert_eq!(
        remove.outer_bytes(),
        format!("#!action=remove#dest={n}#name=a.i2p")
    );
}

#[test]
fn every_command_can_be_read_again_and_verifies() {
    for command in every_command() {
        let line = command.to_string();
        let again = read(&line).unwrap().unwrap();
        assert_eq!(again, command);
        assert_eq!(again.verify(), Ok(()), "{:?}", command.action());
        assert_eq!(again.date(), Ok(Some(1_700_000_000)));
        assert_eq!(again.metadata().to_string(), "Note=käse");
    }
}

#[test]
fn the_order_of_properties_does_not_matter_for_signatures() {
    for command in every_command() {
        let line = command.to_string();
        let (entry, properties) = line.split_once("#!").unwrap();
        let reversed: Vec<_> = properties.split('#').rev().collect();
        let line = format!("{entry}#!{}", reversed.join("#"));
        assert_eq!(read(&line).unwrap().unwrap().verify(), Ok(()));
    }
}

#[test]
fn a_command_with_any_changed_property_does_not_verify() {
    let other = keys(SignatureType::ED25519, 9).destination().to_base64();
    for command in every_command() {
        for (key, value) in command.properties().iter() {
            for changed in ["", "x", "z.i2p", "1600000000", &other] {
                let mut properties = command.properties().clone();
                properties.insert(key, changed).unwrap();
                let line = command.line(properties).to_string();
                let result = read(&line).map(|read| read.unwrap().verify());
                assert!(
                    !matches!(result, Ok(Ok(()))) || changed == value,
                    "{:?} {key}={changed}",
                    command.action()
                );
            }
        }
        let mut added = command.properties().clone();
        added.insert("x", "1").unwrap();
        let read = read(&command.line(added).to_string()).unwrap().unwrap();
        assert!(matches!(read.verify(), Err(CommandError::Signature { .. })));
    }
}

#[test]
fn a_command_without_a_property_that_it_requires_is_refused() {
    for command in every_command() {
        for (key, _) in command.properties().iter() {
            if ["date", "Note"].contains(&key) {
                continue;
            }
            let mut properties = command.properties().clone();
            properties.remove(key);
            let result =
                read(&command.line(properties).to_string()).and_then(|read| read.unwrap().verify());
            assert!(result.is_err(), "{:?} without {key}", command.action());
        }
    }
}

#[test]
fn a_wrong_inner_signature_is_detected() {
    let [new, old, thief] = [1, 2, 3].map(|seed| keys(SignatureType::ED25519, seed));
    let action = Action::ChangeDestination {
        old_destination: old.destination().clone(),
    };
    let command = Command::new(name("a.i2p"), new.destination().clone(), action);
    // The thief signs both, and claims to be the old owner.
    let inner = thief.sign(command.inner_bytes().as_bytes());
    let mut forged = command.clone();
    forged
        .properties
        .insert("oldsig", &base64::encode(inner.as_bytes()))
        .unwrap();
    let outer = new.sign(forged.outer_bytes().as_bytes());
    forged
        .properties
        .insert("sig", &base64::encode(outer.as_bytes()))
        .unwrap();
    assert!(matches!(
        forged.verify(),
        Err(CommandError::Signature { what: "oldsig", .. })
    ));
    // An inner signature of another command.
    let other = command.with_date(7).sign(&new, Some(&old)).unwrap();
    let stolen = other.properties().get("oldsig").unwrap();
    forged.properties.insert("oldsig", stolen).unwrap();
    assert!(matches!(
        forged.verify(),
        Err(CommandError::Signature { what: "oldsig", .. })
    ));
}

#[test]
fn only_the_owners_of_the_destinations_can_sign() {
    let [new, old] = [1, 2].map(|seed| keys(SignatureType::ED25519, seed));
    let offline = new
        .with_transient(u32::MAX, SignatureType::ED25519, &mut rand::rng())
        .unwrap();
    let add = Command::new(name("a.i2p"), new.destination().clone(), Action::Add);
    let wrong = Err(CommandError::WrongKeys);
    assert_eq!(add.clone().sign(&old, None), wrong);
    assert_eq!(add.clone().sign(&new, Some(&old)), wrong);
    assert_eq!(add.clone().sign(&offline, None), wrong);
    let action = Action::AddDestination {
        old_destination: old.destination().clone(),
    };
    let alias = Command::new(name("a.i2p"), new.destination().clone(), action);
    assert_eq!(alias.clone().sign(&new, None), wrong);
    assert_eq!(alias.sign(&new, Some(&new)), wrong);
    for key in RESERVED {
        assert!(add.clone().with_property(key, "1").is_err());
    }
}

#[test]
fn malformed_commands_are_refused() {
    let base64 = keys(SignatureType::ED25519, 1).destination().to_base64();
    for line in [
        format!("a.i2p={base64}#!action=fly#sig=x"),
        format!("a.i2p={base64}#!action=remove#name=a.i2p#dest={base64}#sig=x"),
        format!("#!action=update#name=a.i2p#dest={base64}#sig=x"),
        format!("#!name=a.i2p#dest={base64}#sig=x"),
        format!("#!action=remove#name=b32.i2p#dest={base64}#sig=x"),
        "#!action=remove#name=a.i2p#dest=x#sig=x".to_owned(),
        format!("a.i2p={base64}#!action=changedest#olddest=x#oldsig=x#sig=x"),
        format!("a.i2p={}.b32.i2p#!sig=x", "a".repeat(52)),
    ] {
        assert!(read(&line).is_err(), "{line}");
    }
    let dated = read(&format!("a.i2p={base64}#!date=soon#sig=x"));
    let error = dated.unwrap().unwrap().date();
    assert_eq!(error, Err(CommandError::Malformed("date")));
    assert_eq!(read(&format!("a.i2p={base64} # a comment")), Ok(None));
}
