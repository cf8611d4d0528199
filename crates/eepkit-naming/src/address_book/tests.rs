use eepkit_wire::{BlindedAddress, PrivateKeys, SignatureType};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::*;
use crate::{Properties, Record};

fn destination(seed: u64) -> Destination {
    let rng = &mut ChaCha20Rng::seed_from_u64(seed);
    let keys = PrivateKeys::generate(SignatureType::ED25519, rng).unwrap();
    keys.destination().clone()
}

fn name(text: &str) -> HostName {
    text.parse().unwrap()
}

/// Books with one name each, and `all.i2p` in all of them.
fn books() -> AddressBook {
    let books = AddressBook::in_memory().unwrap();
    for (seed, book) in (1..).zip(Book::ALL) {
        let entry = Entry::new(destination(seed));
        books.put(book, &name("all.i2p"), &entry).unwrap();
        let own = name(&format!("{book}.i2p"));
        books.put(book, &own, &entry).unwrap();
    }
    books
}

#[test]
fn the_first_book_with_the_name_answers() {
    let books = books();
    for (book, next) in [
        (Book::Private, "all.i2p"),
        (Book::User, "all.i2p"),
        (Book::Shared, "all.i2p"),
    ] {
        let found = books.look_up(&name(next)).unwrap().unwrap();
        assert_eq!((found.book, found.name), (book, name("all.i2p")));
        books.remove(book, &name("all.i2p")).unwrap();
    }
    assert_eq!(books.look_up(&name("all.i2p")).unwrap(), None);
}

#[test]
fn www_is_removed_only_if_no_book_has_the_name() {
    let books = books();
    let found = books.look_up(&name("www.user.i2p")).unwrap().unwrap();
    assert_eq!((found.book, found.name), (Book::User, name("user.i2p")));

    let own = Entry::new(destination(9));
    books
        .put(Book::Shared, &name("www.user.i2p"), &own)
        .unwrap();
    let found = books.look_up(&name("www.user.i2p")).unwrap().unwrap();
    assert_eq!(found.entry, own);
    let explanation = books.explain(&name("www.user.i2p")).unwrap();
    let names: Vec<_> = explanation.found.iter().map(|f| f.name.as_str()).collect();
    assert_eq!(names, ["www.user.i2p", "user.i2p"]);
}

#[test]
fn an_explanation_has_every_book_and_every_conflict() {
    let books = books();
    let conflict = |text: &str, seed| Conflict {
        name: name(text),
        destination: destination(seed),
        source: "http://a.i2p/hosts.txt".to_owned(),
        seen: 7,
    };
    let [mine, other] = [conflict("all.i2p", 20), conflict("all.i2p.i2p", 21)];
    books
        .edit(|edit| {
            edit.add_conflict(&mine)?;
            edit.add_conflict(&other)
        })
        .unwrap();

    let explanation = books.explain(&name("all.i2p")).unwrap();
    let found: Vec<_> = explanation.found.iter().map(|found| found.book).collect();
    assert_eq!(found, Book::ALL);
    assert_eq!(explanation.conflicts, std::slice::from_ref(&mine));
    assert_eq!(
        books.conflicts(None, 9).unwrap(),
        [mine.clone(), other.clone()]
    );
    let first = books.conflicts(None, 1).unwrap();
    assert_eq!(first, std::slice::from_ref(&mine));
    assert_eq!(books.conflicts(Some(&mine.name), 9).unwrap(), [other]);

    // The user decides for what was proposed.
    let entry = Entry::new(mine.destination);
    books.put(Book::User, &mine.name, &entry).unwrap();
    assert_eq!(books.explain(&mine.name).unwrap().conflicts, []);
}

#[test]
fn names_are_found_by_the_hash_of_any_of_their_targets() {
    let books = books();
    let hash = destination(1).hash();
    let private = |text: &str| (Book::Private, name(text));
    assert_eq!(
        books.names_of(hash).unwrap(),
        [private("all.i2p"), private("private.i2p")]
    );

    let mut entry = Entry::new(destination(2));
    entry.add(Record::new(destination(1)));
    books.put(Book::Private, &name("all.i2p"), &entry).unwrap();
    assert_eq!(books.names_of(hash).unwrap().len(), 2);
    books
        .put(Book::Private, &name("all.i2p"), &Entry::new(destination(3)))
        .unwrap();
    books.remove(Book::Private, &name("private.i2p")).unwrap();
    assert_eq!(books.names_of(hash).unwrap(), []);
    assert_eq!(books.destination(hash).unwrap(), None);
    let hash = destination(3).hash();
    assert_eq!(books.destination(hash).unwrap(), Some(destination(3)));
}

#[test]
fn every_kind_of_target_is_stored() {
    let books = AddressBook::in_memory().unwrap();
    let destination = destination(1);
    let key = destination.signing_key().clone();
    let blinded = BlindedAddress::new(key, SignatureType::REDDSA)
        .unwrap()
        .with_secret_required(true);
    let mut entry = Entry::with_properties(
        Target::Blinded(blinded),
        Properties::parse("notes=a note#a=1").unwrap(),
    );
    assert!(entry.add(Record::new(Target::Hash(Hash::of(b"x")))));
    assert!(entry.add(Record::new(self::destination(2))));
    books.put(Book::User, &name("a.i2p"), &entry).unwrap();
    assert_eq!(books.get(Book::User, &name("a.i2p")).unwrap(), Some(entry));

    let key = destination.signing_key();
    assert_eq!(books.blinded_destination(key).unwrap(), None);
    books.remember_blinded(&destination).unwrap();
    assert_eq!(
        books.blinded_destination(key).unwrap(),
        Some(destination.clone())
    );
}

#[test]
fn books_are_listed_and_searched_page_by_page() {
    let books = AddressBook::in_memory().unwrap();
    let entry = Entry::new(destination(1));
    books
        .edit(|edit| {
            for n in 0..25 {
                edit.put(Book::Shared, &name(&format!("n{n:02}.i2p")), &entry)?;
            }
            edit.put(Book::Shared, &name("bücher.i2p"), &entry)
        })
        .unwrap();
    let mut names = Vec::new();
    let mut after = None;
    loop {
        let page = books.list(Book::Shared, after.as_ref(), 10).unwrap();
        names.extend(page.entries.into_iter().map(|(name, _)| name));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(names.len(), 26);
    assert!(names.is_sorted());

    let search = |text: &str| {
        let page = books.search(Book::Shared, text, None, 100).unwrap();
        assert_eq!(page.next, None);
        let names = page.entries.into_iter().map(|(name, _)| name.to_unicode());
        names.collect::<Vec<_>>()
    };
    assert_eq!(search("N2").len(), 5);
    assert_eq!(search("Büch"), ["bücher.i2p"]);
    assert_eq!(search("none").len(), 0);
    let page = books.search(Book::Shared, "n1", None, 3).unwrap();
    assert_eq!(page.next, Some(name("n12.i2p")));
    assert_eq!(books.list(Book::User, None, 10).unwrap().entries, []);
}

#[test]
fn a_file_keeps_its_content_and_has_one_user() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("addressbook.redb");
    let entry = Entry::new(destination(1));
    let books = AddressBook::open(&path).unwrap();
    books.put(Book::User, &name("a.i2p"), &entry).unwrap();
    assert!(matches!(AddressBook::open(&path), Err(StoreError::InUse)));
    drop(books);

    let books = AddressBook::open_with_cache(&path, 1 << 20).unwrap();
    assert_eq!(books.get(Book::User, &name("a.i2p")).unwrap(), Some(entry));
    books.compact().unwrap();
    assert_eq!(books.len(Book::User).unwrap(), 1);
    #[cfg(unix)]
    {
        let mode = std::fs::metadata(&path).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::mode(&mode.permissions());
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[test]
fn a_file_that_is_not_a_store_is_refused_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hosts.txt");
    let text = "a.i2p=x\n".repeat(1000);
    std::fs::write(&path, &text).unwrap();
    let error = AddressBook::open(&path).unwrap_err();
    assert!(matches!(error, StoreError::Database(_)), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn a_failed_edit_changes_nothing() {
    let books = books();
    let result: Result<(), StoreError> = books.edit(|edit| {
        edit.put(Book::User, &name("b.i2p"), &Entry::new(destination(5)))?;
        edit.remove(Book::User, &name("all.i2p"))?;
        Err(StoreError::InUse)
    });
    assert!(result.is_err());
    assert_eq!(books.get(Book::User, &name("b.i2p")).unwrap(), None);
    assert!(books.get(Book::User, &name("all.i2p")).unwrap().is_some());
}

#[test]
fn an_export_is_replaced_only_when_it_is_complete() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hosts.txt");
    let books = books();
    let lines = books
        .export_file(Book::User, ExportForm::Plain, &path)
        .unwrap();
    assert_eq!(lines, 2);
    let base64 = destination(2).to_base64();
    let text = format!("all.i2p={base64}\nuser.i2p={base64}\n");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);

    let missing = dir.path().join("none/hosts.txt");
    let result = books.export_file(Book::User, ExportForm::Plain, missing);
    assert!(matches!(result, Err(ExportError::Write(_))));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn after_a_fault_at_any_point_of_an_export_the_file_is_old_or_new() {
    let books = AddressBook::in_memory().unwrap();
    let content: String = (0..40)
        .map(|number| format!("name{number:02}.i2p={}\n", destination(1).to_base64()))
        .collect();
    for number in 0..40 {
        let entry = Entry::new(destination(1));
        let name = name(&format!("name{number:02}.i2p"));
        books.put(Book::User, &name, &entry).unwrap();
    }
    let runs = eepkit_files::faults::at_every_point(
        || {
            let dir = tempfile::tempdir().unwrap();
            std::fs::write(dir.path().join("hosts.txt"), "# old\n").unwrap();
            dir
        },
        |dir| books.export_file(Book::User, ExportForm::Plain, dir.path().join("hosts.txt")),
        |dir, result, fault| {
            let found = std::fs::read_to_string(dir.path().join("hosts.txt")).unwrap();
            assert!(found == "# old\n" || found == content, "{fault:?}");
            if result.is_ok() {
                assert_eq!(found, content, "{fault:?}");
            }
        },
    );
    assert!(runs > 50, "{runs}");
}

#[test]
fn readers_and_writers_use_the_books_at_the_same_time() {
    let books = AddressBook::in_memory().unwrap();
    let entries = [1, 2].map(|seed| Entry::new(destination(seed)));
    books.put(Book::User, &name("a.i2p"), &entries[0]).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..500 {
                    let found = books.look_up(&name("a.i2p")).unwrap().unwrap();
                    assert!(entries.contains(&found.entry));
                }
            });
        }
        for n in 0..100 {
            let entry = &entries[n % 2];
            books.put(Book::User, &name("a.i2p"), entry).unwrap();
            // A change is seen by its writer at once.
            let found = books.look_up(&name("a.i2p")).unwrap().unwrap();
            assert_eq!(&found.entry, entry);
            if n % 25 == 0 {
                books.compact().unwrap();
            }
        }
    });
}
