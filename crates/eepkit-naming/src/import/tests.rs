use std::path::Path;

use eepkit_wire::{BlindedAddress, SignatureType};

use super::*;
use crate::{
    ExportForm, Target,
    blockfile::tests::{destination, example},
    import_i2pd::import_i2pd,
    import_java::import_java,
};

const NOW: u64 = 1_700_000_000;

fn name(text: &str) -> HostName {
    text.parse().unwrap()
}

fn write(dir: &Path, file: &str, content: impl AsRef<[u8]>) {
    let path = dir.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn target(books: &AddressBook, book: Book, of: &str) -> Option<Target> {
    let entry = books.get(book, &name(of)).unwrap();
    entry.map(|entry| entry.target().clone())
}

fn import(books: &AddressBook, text: &str, overwriting: bool) -> Report {
    Import::new(Book::User, "f", NOW)
        .with_overwriting(overwriting)
        .run(books, text.as_bytes())
        .unwrap()
}

#[test]
fn a_users_file_is_imported_without_rules_of_import() {
    let books = AddressBook::in_memory().unwrap();
    let [a, b] = [1, 2].map(|seed| destination(seed).to_base64());
    let hash = destination(3).to_b32();
    let text = format!(
        "# mine\nrouter.i2p={a}\nx--y.i2p={a}#!notes=a note#s=other\nc.i2p={hash}\nrouter.i2p={b}\n\
         broken\n#!action=remove#name=c.i2p\n"
    );
    let report = import(&books, &text, false);
    assert_eq!(
        report.to_string(),
        "3 added, 0 changed, 0 removed, 0 unchanged, 1 in conflict, 1 refused"
    );
    let user = |of: &str| target(&books, Book::User, of);
    assert_eq!(user("router.i2p"), Some(destination(1).into()));
    assert_eq!(user("c.i2p"), Some(Target::Hash(destination(3).hash())));
    let entry = books.get(Book::User, &name("x--y.i2p")).unwrap().unwrap();
    let properties = entry.records()[0].properties.to_string();
    assert_eq!(properties, "a=1700000000000#notes=a note#s=other");
}

#[test]
fn names_of_the_book_stay_unless_they_are_to_be_overwritten() {
    let books = AddressBook::in_memory().unwrap();
    let [a, b, c] = [1, 2, 3].map(|seed| destination(seed).to_base64());
    import(&books, &format!("x.i2p={a}\n"), false);
    let text = format!("x.i2p={b}\nx.i2p={c}\n");
    assert_eq!(import(&books, &text, false).conflicts, 2);
    let report = import(&books, &text, true);
    assert_eq!((report.changed, report.conflicts), (1, 1));
    assert_eq!(
        target(&books, Book::User, "x.i2p"),
        Some(destination(2).into())
    );
    assert_eq!(import(&books, &text, true).unchanged, 1);
}

#[test]
fn a_full_export_restores_the_book() {
    let books = AddressBook::in_memory().unwrap();
    let mut entry = Entry::with_properties(
        destination(1),
        Properties::parse("a=5#notes=first#s=me").unwrap(),
    );
    for record in [
        Record {
            target: destination(2).into(),
            properties: Properties::parse("a=6#s=me").unwrap(),
        },
        Record {
            target: Target::Hash(destination(3).hash()),
            properties: Properties::parse("a=7#s=me").unwrap(),
        },
    ] {
        assert!(entry.add(record));
    }
    books.put(Book::Shared, &name("a.i2p"), &entry).unwrap();
    let other = Entry::with_properties(destination(4), Properties::parse("a=8#s=me").unwrap());
    books.put(Book::Shared, &name("b.i2p"), &other).unwrap();

    let mut text = Vec::new();
    let lines = books.export(Book::Shared, ExportForm::Full, &mut text);
    assert_eq!(lines.unwrap(), 4);
    let restored = AddressBook::in_memory().unwrap();
    let import = Import::new(Book::Shared, "backup", NOW);
    for _ in 0..2 {
        import.run(&restored, &text[..]).unwrap();
        for (of, entry) in [("a.i2p", &entry), ("b.i2p", &other)] {
            let found = restored.get(Book::Shared, &name(of)).unwrap();
            assert_eq!(found.as_ref(), Some(entry));
        }
    }
    let overwriting = import.with_overwriting(true);
    overwriting.run(&restored, &text[..]).unwrap();
    let found = restored.get(Book::Shared, &name("a.i2p")).unwrap();
    assert_eq!(found, Some(entry));
}

#[test]
fn i2pds_books_are_imported_with_the_destinations_it_knows() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let [known, unknown, wrong] = [1, 2, 3].map(destination);
    let label = |d: &eepkit_wire::Destination| d.to_b32().replace(".b32.i2p", "");
    let identity =
        |d: &eepkit_wire::Destination| format!("addressbook/b{}/{}.b32", &label(d)[..1], label(d));
    let blinded = BlindedAddress::new(known.signing_key().clone(), SignatureType::REDDSA).unwrap();
    let b33 = blinded.to_b33().replace(".b32.i2p", "");
    write(
        dir,
        "addressbook/addresses.csv",
        format!(
            "known.i2p,{}\nunknown.i2p,{}\nwrong.i2p,{}\nblinded.i2p,{b33}\n\nbroken\nx.com,{}\n",
            label(&known),
            label(&unknown),
            label(&wrong),
            label(&known),
        ),
    );
    write(
        dir,
        "addressbook/local.csv",
        format!("mine.i2p,{}\n", label(&known)),
    );
    write(dir, &identity(&known), known.as_ref());
    // The content of a file must have the hash of its name.
    write(dir, &identity(&wrong), known.as_ref());
    write(
        dir,
        "subscriptions.txt",
        "# lists\nhttp://a.i2p/h\nhttp://example.com/h\n",
    );

    let books = AddressBook::in_memory().unwrap();
    let found = import_i2pd(&books, dir, NOW).unwrap();
    let shared = |of: &str| target(&books, Book::Shared, of).unwrap();
    assert_eq!(shared("known.i2p"), known.clone().into());
    assert_eq!(shared("unknown.i2p"), Target::Hash(unknown.hash()));
    assert_eq!(shared("wrong.i2p"), Target::Hash(wrong.hash()));
    assert_eq!(shared("blinded.i2p"), Target::Blinded(blinded));
    assert_eq!(target(&books, Book::User, "mine.i2p"), Some(known.into()));
    assert_eq!((found.report.added, found.report.refused), (5, 2));
    assert_eq!(found.report.problems[0].file, "addressbook/addresses.csv");
    assert_eq!(found.report.problems[0].line, 6);
    assert_eq!(found.files.len(), 3);
    assert_eq!(found.subscriptions[0].0.as_str(), "http://a.i2p/h");
    assert!(found.warnings[0].starts_with("subscriptions.txt: line 3: "));
}

#[test]
fn javas_books_are_imported_with_subscriptions_and_settings() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write(dir, "hostsdb.blockfile", example());
    let private = format!("secret.i2p={}\n", destination(60).to_base64());
    write(dir, "privatehosts.txt", private);
    let hosts = format!("n00.i2p={}\n", destination(61).to_base64());
    write(dir, "hosts.txt", hosts);
    write(
        dir,
        "addressbook/config.txt",
        "update_delay=6\nshould_publish=true\npublished_addressbook=../eepsite/docroot/hosts.txt\n\
         proxy_host=127.0.0.1\nproxy_port=4445\n",
    );
    write(
        dir,
        "addressbook/subscriptions.txt",
        "http://a.i2p/h?x=1\r\nhttps://b.i2p/h\n",
    );
    write(dir, "addressbook/etags", "http://a.i2p/h?x=1=\"abc=\"\n");
    write(
        dir,
        "addressbook/last_fetched",
        "http://a.i2p/h?x=1=1700000000000\n",
    );

    let books = AddressBook::in_memory().unwrap();
    let found = import_java(&books, dir, NOW).unwrap();
    assert_eq!(books.len(Book::Shared).unwrap(), 40);
    assert_eq!(
        target(&books, Book::Shared, "n00.i2p"),
        Some(destination(0).into())
    );
    assert_eq!(
        target(&books, Book::User, "one.i2p"),
        Some(destination(50).into())
    );
    let secret = target(&books, Book::Private, "secret.i2p");
    assert_eq!(secret, Some(destination(60).into()));
    assert_eq!((found.report.added, found.report.conflicts), (42, 1));
    assert_eq!(found.interval, Some(6 * 3600));
    let published = dir.join("addressbook/../eepsite/docroot/hosts.txt");
    assert_eq!(found.publish, Some(published));
    let (url, state) = &found.subscriptions[0];
    assert_eq!(url.as_str(), "http://a.i2p/h?x=1");
    assert_eq!(state.etag.as_deref(), Some("\"abc=\""));
    assert_eq!(state.fetched, Some(NOW));
    assert_eq!(found.warnings.len(), 2, "{:?}", found.warnings);
    assert_eq!(found.files.len(), 5);
}

#[test]
fn a_directory_without_books_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let books = AddressBook::in_memory().unwrap();
    for result in [
        import_i2pd(&books, dir.path(), NOW),
        import_java(&books, dir.path(), NOW),
    ] {
        assert!(matches!(result, Err(ImportError::NothingFound { .. })));
    }
}
