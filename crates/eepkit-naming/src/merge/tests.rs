use std::io::{BufReader, Read};

use eepkit_wire::{PrivateKeys, SignatureType};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::*;

const NOW: u64 = 1_700_000_000;

/// Keys that tests name by a letter.
fn keys(of: char) -> PrivateKeys {
    let rng = &mut ChaCha20Rng::seed_from_u64(u64::from(u32::from(of)));
    PrivateKeys::generate(SignatureType::ED25519, rng).unwrap()
}

fn name(text: &str) -> HostName {
    text.parse().unwrap()
}

fn plain(of: &str, to: char) -> String {
    format!("{of}={}", keys(to).destination().to_base64())
}

/// A signed command for the destination `to`, with the second destination of its action.
fn signed(of: &str, to: char, action: Action, date: Option<u64>) -> String {
    let old = action.old_destination().cloned();
    let old = old.and_then(|old| {
        ('a'..='z')
            .map(keys)
            .find(|keys| *keys.destination() == old)
    });
    let keys = keys(to);
    let mut command = Command::new(name(of), keys.destination().clone(), action);
    if let Some(date) = date {
        command = command.with_date(date);
    }
    command.sign(&keys, old.as_ref()).unwrap().to_string()
}

fn change(of: &str, from: char, to: char, date: Option<u64>) -> String {
    let old_destination = keys(from).destination().clone();
    signed(of, to, Action::ChangeDestination { old_destination }, date)
}

fn alternative(of: &str, from: char, to: char, date: Option<u64>) -> String {
    let old_destination = keys(from).destination().clone();
    signed(of, to, Action::AddDestination { old_destination }, date)
}

fn rename(from: &str, of: &str, to: char, date: Option<u64>) -> String {
    let old_name = name(from);
    signed(of, to, Action::ChangeName { old_name }, date)
}

fn alias(from: &str, of: &str, to: char) -> String {
    let old_name = name(from);
    signed(of, to, Action::AddName { old_name }, None)
}

fn subdomain(parent: &str, permits: char, of: &str, to: char) -> String {
    let action = Action::AddSubdomain {
        old_name: name(parent),
        old_destination: keys(permits).destination().clone(),
    };
    signed(of, to, action, None)
}

fn remove(of: &str, to: char, date: Option<u64>) -> String {
    signed(of, to, Action::Remove, date)
}

/// Books in memory with a merge from one source.
struct Books(AddressBook);

impl Books {
    fn new() -> Self {
        Self(AddressBook::in_memory().unwrap())
    }

    fn apply(&self, line: &str) -> Outcome {
        let merge = Merge::new("http://a.i2p/hosts.txt", NOW);
        let line: HostsLine = line.parse().unwrap();
        self.0.edit(|edit| merge.apply(edit, &line)).unwrap()
    }

    /// Applies lines that must be added.
    fn with(self, lines: &[String]) -> Self {
        for line in lines {
            assert_eq!(self.apply(line), Outcome::Added, "{line:.60}");
        }
        self
    }

    /// The letters of a name's destinations in the shared book.
    fn letters(&self, of: &str) -> String {
        let Some(entry) = self.0.get(Book::Shared, &name(of)).unwrap() else {
            return String::new();
        };
        let records = entry.records().iter();
        records
            .map(|record| {
                let mut letters = 'a'..='z';
                letters
                    .find(|of| record.target.destination() == Some(keys(*of).destination()))
                    .unwrap()
            })
            .collect()
    }
}

fn refused(refusal: Refusal) -> Outcome {
    Outcome::Refused(refusal)
}

#[test]
fn the_first_source_decides_and_conflicts_are_kept() {
    let books = Books::new().with(&[plain("x.i2p", 'a')]);
    assert_eq!(books.apply(&plain("X.i2p", 'a')), Outcome::Unchanged);
    assert_eq!(books.apply(&plain("x.i2p", 'b')), Outcome::Conflict);
    let add = signed("x.i2p", 'c', Action::Add, None);
    assert_eq!(books.apply(&add), Outcome::Conflict);
    assert_eq!(books.letters("x.i2p"), "a");
    let conflicts = books.0.conflicts(None, 9).unwrap();
    let mut proposed: Vec<_> = conflicts.iter().map(|c| c.destination.clone()).collect();
    proposed.sort();
    let mut expected = ['b', 'c'].map(|of| keys(of).destination().clone());
    expected.sort();
    assert_eq!(proposed, expected);
    assert_eq!(conflicts[0].seen, NOW);

    let entry = books.0.get(Book::Shared, &name("x.i2p")).unwrap().unwrap();
    let text = entry.records()[0].properties.to_string();
    assert_eq!(text, "a=1700000000000#s=http://a.i2p/hosts.txt");
}

#[test]
fn the_users_own_names_are_not_changed_and_private_ones_not_considered() {
    let books = Books::new();
    let own = Entry::new(keys('a').destination().clone());
    books.0.put(Book::User, &name("x.i2p"), &own).unwrap();
    books.0.put(Book::Private, &name("p.i2p"), &own).unwrap();

    assert_eq!(books.apply(&plain("x.i2p", 'b')), Outcome::Conflict);
    assert_eq!(books.apply(&plain("x.i2p", 'a')), Outcome::Unchanged);
    assert_eq!(
        books.apply(&change("x.i2p", 'a', 'b', None)),
        Outcome::Conflict
    );
    assert_eq!(books.apply(&remove("x.i2p", 'a', None)), Outcome::Unchanged);
    assert_eq!(books.0.get(Book::User, &name("x.i2p")).unwrap(), Some(own));
    assert_eq!(books.apply(&plain("p.i2p", 'b')), Outcome::Added);
}

#[test]
fn names_that_violate_import_rules_are_refused_in_every_command() {
    let books = Books::new();
    let [a, b] = ["router.i2p", "a--b.i2p"];
    for line in [
        plain(a, 'a'),
        plain(b, 'a'),
        signed(a, 'a', Action::Add, None),
        change(b, 'a', 'b', None),
        alternative(a, 'a', 'b', None),
        rename("old.i2p", a, 'a', None),
        alias("old.i2p", b, 'a'),
        subdomain("proxy.i2p", 'a', "x.proxy.i2p", 'b'),
    ] {
        let outcome = books.apply(&line);
        assert!(
            matches!(outcome, Outcome::Refused(Refusal::Rule(_))),
            "{outcome:?}"
        );
    }
    assert!(books.0.is_empty(Book::Shared).unwrap());
}

#[test]
fn lines_with_properties_must_be_signed() {
    let books = Books::new();
    let unsigned = format!("{}#!date=5", plain("x.i2p", 'a'));
    assert!(matches!(
        books.apply(&unsigned),
        Outcome::Refused(Refusal::Command(_))
    ));
    let of_another = signed("y.i2p", 'b', Action::Add, None);
    let signature = of_another.split("sig=").nth(1).unwrap();
    let forged = format!("{}#!sig={signature}", plain("y.i2p", 'a'));
    assert!(matches!(
        books.apply(&forged),
        Outcome::Refused(Refusal::Command(_))
    ));
    let address = format!("z.i2p={}.b32.i2p", "a".repeat(52));
    assert_eq!(books.apply(&address), refused(Refusal::NotDestination));
    assert!(books.0.is_empty(Book::Shared).unwrap());

    let add = signed("x.i2p", 'a', Action::Add, None);
    assert_eq!(books.apply(&add), Outcome::Added);
    let entry = books.0.get(Book::Shared, &name("x.i2p")).unwrap().unwrap();
    assert_eq!(entry.records()[0].properties.get("v"), Some("true"));
}

#[test]
fn a_destination_is_changed_with_the_permission_of_the_old_one() {
    let books = Books::new().with(&[plain("x.i2p", 'a')]);
    assert_eq!(
        books.apply(&change("x.i2p", 'b', 'c', None)),
        refused(Refusal::OtherDestination)
    );
    assert_eq!(
        books.apply(&change("x.i2p", 'a', 'b', None)),
        Outcome::Changed
    );
    assert_eq!(books.letters("x.i2p"), "b");
    // The whole feed is downloaded again.
    assert_eq!(
        books.apply(&change("x.i2p", 'a', 'b', None)),
        Outcome::Unchanged
    );
    assert_eq!(
        books.apply(&plain("x.i2p", 'a')),
        refused(Refusal::Superseded)
    );
    assert_eq!(
        books.apply(&signed("x.i2p", 'a', Action::Add, None)),
        refused(Refusal::Superseded)
    );
    assert_eq!(books.0.conflicts(None, 9).unwrap(), []);
}

#[test]
fn an_unknown_name_is_added_by_a_change_with_valid_signatures() {
    let books = Books::new().with(&[change("x.i2p", 'a', 'b', None)]);
    assert_eq!(books.letters("x.i2p"), "b");
    let action = Action::ChangeDestination {
        old_destination: keys('a').destination().clone(),
    };
    let command = Command::new(name("y.i2p"), keys('b').destination().clone(), action);
    // Only the new destination signs.
    let signature = keys('b').sign(command.outer_bytes().as_bytes());
    let signature = eepkit_wire::base64::encode(signature.as_bytes());
    let line = format!("{command}#sig={signature}");
    assert!(matches!(
        books.apply(&line),
        Outcome::Refused(Refusal::Command(_))
    ));
}

#[test]
fn a_replay_of_an_old_change_cannot_undo_a_newer_one() {
    // Moved from a to b and back to a. The replay of the first change has valid signatures, and
    // the name has its old destination again.
    let books = Books::new().with(&[plain("x.i2p", 'a')]);
    let first = change("x.i2p", 'a', 'b', Some(100));
    let back = change("x.i2p", 'b', 'a', Some(200));
    assert_eq!(books.apply(&first), Outcome::Changed);
    assert_eq!(books.apply(&back), Outcome::Changed);
    for _ in 0..2 {
        assert_eq!(books.apply(&first), refused(Refusal::Replay));
        assert_eq!(books.apply(&back), Outcome::Unchanged);
        assert_eq!(books.letters("x.i2p"), "a");
    }
    let undated = change("x.i2p", 'a', 'b', None);
    assert_eq!(books.apply(&undated), refused(Refusal::Replay));
    let same_date = change("x.i2p", 'a', 'b', Some(200));
    assert_eq!(books.apply(&same_date), refused(Refusal::Replay));

    // Without dates, a destination that was given up does not come back.
    let books = Books::new().with(&[plain("x.i2p", 'a')]);
    assert_eq!(books.apply(&undated), Outcome::Changed);
    let back = change("x.i2p", 'b', 'a', None);
    assert_eq!(books.apply(&back), refused(Refusal::Replay));
    let dated = change("x.i2p", 'b', 'a', Some(100));
    assert_eq!(books.apply(&dated), Outcome::Changed);
    assert_eq!(books.apply(&undated), refused(Refusal::Replay));
    assert_eq!(books.letters("x.i2p"), "a");
}

#[test]
fn dated_changes_have_one_result_in_every_order_of_lines() {
    let lines = [
        plain("x.i2p", 'a'),
        change("x.i2p", 'a', 'b', Some(100)),
        change("x.i2p", 'b', 'c', Some(200)),
        change("x.i2p", 'c', 'a', Some(300)),
        change("x.i2p", 'a', 'd', Some(400)),
    ];
    for order in [
        [0, 1, 2, 3, 4],
        [4, 3, 2, 1, 0],
        [2, 4, 0, 3, 1],
        [3, 1, 4, 0, 2],
    ] {
        let books = Books::new();
        // A feed is downloaded again and again.
        for _ in 0..5 {
            for at in order {
                books.apply(&lines[at]);
            }
        }
        assert_eq!(books.letters("x.i2p"), "d", "{order:?}");
    }
}

#[test]
fn commands_that_expired_or_are_from_the_future_are_refused() {
    let books = Books::new();
    let keys = keys('a');
    let add = || Command::new(name("x.i2p"), keys.destination().clone(), Action::Add);
    let apply = |command: Command| books.apply(&command.sign(&keys, None).unwrap().to_string());
    assert_eq!(
        apply(add().with_expires(NOW - 1)),
        refused(Refusal::Expired)
    );
    assert_eq!(
        apply(add().with_date(NOW + MAX_CLOCK_SKEW + 1)),
        refused(Refusal::Future)
    );
    assert_eq!(
        apply(add().with_date(NOW + MAX_CLOCK_SKEW).with_expires(NOW)),
        Outcome::Added
    );
}

#[test]
fn an_alternative_is_added_with_the_permission_of_a_destination_of_the_name() {
    let books = Books::new().with(&[plain("x.i2p", 'a')]);
    assert_eq!(
        books.apply(&alternative("x.i2p", 'b', 'c', None)),
        refused(Refusal::OtherDestination)
    );
    let line = alternative("x.i2p", 'a', 'b', None);
    assert_eq!(books.apply(&line), Outcome::Changed);
    assert_eq!(books.apply(&line), Outcome::Unchanged);
    assert_eq!(books.letters("x.i2p"), "ab");
    // The alternative becomes the only one.
    assert_eq!(
        books.apply(&change("x.i2p", 'a', 'b', None)),
        Outcome::Changed
    );
    assert_eq!(books.letters("x.i2p"), "b");
    for to in 'c'..='i' {
        let outcome = books.apply(&alternative("x.i2p", 'b', to, None));
        assert_eq!(outcome, Outcome::Changed);
    }
    assert_eq!(
        books.apply(&alternative("x.i2p", 'b', 'j', None)),
        refused(Refusal::TooManyDestinations)
    );
    let unknown = alternative("y.i2p", 'a', 'b', None);
    assert_eq!(books.apply(&unknown), Outcome::Added);
    assert_eq!(books.letters("y.i2p"), "b");
}

#[test]
fn a_name_is_moved_with_its_alternatives_and_properties() {
    let books = Books::new().with(&[plain("x.i2p", 'a')]);
    books.apply(&alternative("x.i2p", 'a', 'b', None));
    assert_eq!(
        books.apply(&rename("x.i2p", "y.i2p", 'c', None)),
        refused(Refusal::OtherDestination)
    );
    let line = rename("x.i2p", "y.i2p", 'a', None);
    assert_eq!(books.apply(&line), Outcome::Changed);
    assert_eq!(books.letters("x.i2p"), "");
    assert_eq!(books.letters("y.i2p"), "ab");
    // The old line does not bring the old name back.
    assert_eq!(
        books.apply(&plain("x.i2p", 'a')),
        refused(Refusal::Superseded)
    );
    assert_eq!(books.apply(&line), Outcome::Unchanged);
    // Somebody else may have the old name.
    assert_eq!(books.apply(&plain("x.i2p", 'd')), Outcome::Added);

    let books = Books::new().with(&[plain("x.i2p", 'a'), plain("y.i2p", 'b')]);
    assert_eq!(books.apply(&line), Outcome::Conflict);
    assert_eq!(books.letters("x.i2p"), "a");
    let books = Books::new().with(&[line]);
    assert_eq!(books.letters("y.i2p"), "a");
}

#[test]
fn aliases_and_subdomains_need_the_destination_of_the_other_name() {
    let books = Books::new().with(&[plain("x.i2p", 'a')]);
    let other = refused(Refusal::OtherDestination);
    assert_eq!(books.apply(&alias("x.i2p", "y.i2p", 'b')), other);
    assert_eq!(books.apply(&alias("x.i2p", "y.i2p", 'a')), Outcome::Added);
    assert_eq!(books.apply(&subdomain("x.i2p", 'b', "s.x.i2p", 'c')), other);
    assert_eq!(
        books.apply(&subdomain("x.i2p", 'a', "sx.i2p", 'c')),
        refused(Refusal::NotBelow)
    );
    assert_eq!(
        books.apply(&subdomain("x.i2p", 'a', "s.x.i2p", 'c')),
        Outcome::Added
    );
    assert_eq!(books.letters("s.x.i2p"), "c");
    assert_eq!(
        books.apply(&subdomain("unknown.i2p", 'a', "s.unknown.i2p", 'c')),
        Outcome::Added
    );
}

#[test]
fn a_name_is_removed_by_its_destination_and_does_not_come_back() {
    let books = Books::new().with(&[plain("x.i2p", 'a')]);
    assert_eq!(
        books.apply(&remove("x.i2p", 'b', None)),
        refused(Refusal::OtherDestination)
    );
    assert_eq!(
        books.apply(&remove("x.i2p", 'a', None)),
        Outcome::Removed(1)
    );
    for line in [plain("x.i2p", 'a'), signed("x.i2p", 'a', Action::Add, None)] {
        let outcome = books.apply(&line);
        assert!(matches!(
            outcome,
            Outcome::Refused(Refusal::Superseded | Refusal::Replay)
        ));
    }
    assert_eq!(books.apply(&remove("x.i2p", 'a', None)), Outcome::Unchanged);

    // The owner returns, and the old removal is not applied again.
    let again = signed("x.i2p", 'a', Action::Add, Some(500));
    assert_eq!(books.apply(&again), Outcome::Added);
    for date in [None, Some(400), Some(499)] {
        let replay = remove("x.i2p", 'a', date);
        assert_eq!(books.apply(&replay), refused(Refusal::Replay));
    }
    assert_eq!(
        books.apply(&remove("x.i2p", 'a', Some(600))),
        Outcome::Removed(1)
    );
    // The user can forget all of this.
    books
        .0
        .edit(|edit| edit.forget_commands(&name("x.i2p")))
        .unwrap();
    assert_eq!(books.apply(&plain("x.i2p", 'a')), Outcome::Added);
}

#[test]
fn all_names_of_a_destination_are_removed_together() {
    let books = Books::new().with(&[
        plain("x.i2p", 'a'),
        plain("y.i2p", 'a'),
        signed("new.i2p", 'a', Action::Add, Some(900)),
        plain("z.i2p", 'b'),
    ]);
    books.apply(&alternative("z.i2p", 'b', 'a', None));
    let own = Entry::new(keys('a').destination().clone());
    books.0.put(Book::User, &name("own.i2p"), &own).unwrap();

    let line = signed("x.i2p", 'a', Action::RemoveAll, Some(800));
    assert_eq!(books.apply(&line), Outcome::Removed(3));
    assert_eq!(books.letters("z.i2p"), "b");
    assert_eq!(books.letters("new.i2p"), "a");
    assert_eq!(books.0.len(Book::Shared).unwrap(), 2);
    assert_eq!(books.0.len(Book::User).unwrap(), 1);
    assert_eq!(books.apply(&line), Outcome::Unchanged);
}

#[test]
fn an_update_changes_properties_except_those_of_the_user_and_the_store() {
    let books = Books::new().with(&[plain("x.i2p", 'a')]);
    let update = |of: char, date: u64, value: &str| {
        let keys = keys(of);
        let command = Command::new(name("x.i2p"), keys.destination().clone(), Action::Update)
            .with_date(date)
            .with_property("motto", value)
            .and_then(|command| command.with_property("notes", "forged"))
            .and_then(|command| command.with_property("s", "forged"));
        let line = command.unwrap().sign(&keys, None).unwrap().to_string();
        books.apply(&line)
    };
    assert_eq!(update('b', 5, "one"), refused(Refusal::OtherDestination));
    assert_eq!(update('a', 5, "one"), Outcome::Changed);
    assert_eq!(update('a', 5, "one"), Outcome::Unchanged);
    assert_eq!(update('a', 6, "two"), Outcome::Changed);
    assert_eq!(update('a', 5, "one"), refused(Refusal::Replay));
    let entry = books.0.get(Book::Shared, &name("x.i2p")).unwrap().unwrap();
    assert_eq!(
        entry.records()[0].properties.to_string(),
        "a=1700000000000#m=1700000000000#motto=two#s=http://a.i2p/hosts.txt#v=true"
    );
    let unknown = signed("y.i2p", 'a', Action::Update, None);
    assert_eq!(books.apply(&unknown), refused(Refusal::UnknownName));
}

#[test]
fn second_names_are_refused_where_the_policy_says_so() {
    let books = Books::new().with(&[plain("x.i2p", 'a')]);
    let merge = Merge::new("s", NOW).with_unique_destinations(true);
    let line = plain("y.i2p", 'a').parse().unwrap();
    let outcome = books.0.edit(|edit| merge.apply(edit, &line)).unwrap();
    assert_eq!(outcome, refused(Refusal::SecondName));
    assert_eq!(books.apply(&plain("y.i2p", 'a')), Outcome::Added);
}

#[test]
fn a_feed_with_broken_lines_is_merged_and_reported_by_line() {
    let books = Books::new().with(&[plain("x.i2p", 'a')]);
    let feed = [
        "# names".to_owned(),
        plain("x.i2p", 'a'),
        plain("x.i2p", 'b'),
        plain("y.i2p", 'c'),
        "broken".to_owned(),
        plain("router.i2p", 'c'),
        remove("y.i2p", 'c', None),
    ]
    .join("\r\n");
    let merge = Merge::new("http://a.i2p/hosts.txt", NOW);
    let report = merge.run(&books.0, feed.as_bytes()).unwrap();
    assert_eq!(
        report.to_string(),
        "1 added, 0 changed, 1 removed, 1 unchanged, 1 in conflict, 2 refused"
    );
    let problems: Vec<_> = report.problems.iter().map(ToString::to_string).collect();
    assert_eq!(problems.len(), 3);
    assert!(problems[0].starts_with("line 3: x.i2p: another destination"));
    assert_eq!(problems[1], "line 5: expected name=destination");
    assert!(problems[2].starts_with("line 6: router.i2p: proxy.i2p,"));
}

#[test]
fn a_feed_that_breaks_off_is_continued_by_the_next_merge() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }
    let books = Books::new();
    let lines: String = (0..2 * BATCH_LINES + 10)
        .map(|n| plain(&format!("n{n}.i2p"), 'a') + "\n")
        .collect();
    let merge = Merge::new("s", NOW);
    let result = merge.run(&books.0, BufReader::new(lines.as_bytes().chain(Broken)));
    assert!(matches!(result, Err(MergeError::Read(_))));
    assert_eq!(books.0.len(Book::Shared).unwrap(), 2 * BATCH_LINES as u64);
    let report = merge.run(&books.0, lines.as_bytes()).unwrap();
    assert_eq!(
        (report.added, report.unchanged),
        (10, 2 * BATCH_LINES as u64)
    );

    let result = merge
        .with_limit(1000)
        .run(&Books::new().0, lines.as_bytes());
    assert!(matches!(result, Err(MergeError::Read(_))));
}
