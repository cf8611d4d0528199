use tokio::time::sleep;

use super::*;

fn peer(number: u8) -> Hash {
    Hash::from([number; 32])
}

/// A filter in a directory of its own, with the content of further files.
fn filter(text: &str, files: &[(&str, String)]) -> (tempfile::TempDir, Filter) {
    let dir = tempfile::tempdir().expect("a directory");
    for (name, content) in files {
        std::fs::write(dir.path().join(name), content).expect("written");
    }
    let file = dir.path().join("filter.txt");
    std::fs::write(&file, text).expect("written");
    let filter = Filter::open(&file).expect("valid");
    (dir, filter)
}

#[tokio::test(start_paused = true)]
async fn the_first_rule_that_names_a_peer_decides_and_else_the_default() {
    let text = format!(
        "# a comment\n\n  ALLOW explicit {}\ndeny file list.txt\n deny explicit {}\n1/1 default\n",
        peer(1).to_b32(),
        peer(1).to_b32(),
    );
    let list = format!(
        "# peers\n{}\nno address\n{}\n",
        peer(1).to_b32(),
        peer(2).to_b32()
    );
    let (_dir, filter) = filter(&text, &[("list.txt", list)]);
    assert!(filter.admits(peer(1)));
    assert!(!filter.admits(peer(2)));
    assert!(!filter.admits(peer(3)), "the first attempt reaches 1/1");
}

#[tokio::test(start_paused = true)]
async fn without_a_default_peers_are_allowed() {
    let (_dir, filter) = filter("", &[]);
    assert!(filter.admits(peer(1)));
}

#[tokio::test(start_paused = true)]
async fn a_rate_counts_the_attempts_of_each_peer_in_any_span_of_its_time() {
    let (_dir, filter) = filter("3/10 default\n", &[]);
    assert!(filter.admits(peer(1)) && filter.admits(peer(1)));
    assert!(!filter.admits(peer(1)), "the third within ten seconds");
    assert!(filter.admits(peer(2)));
    sleep(Duration::from_secs(9)).await;
    assert!(!filter.admits(peer(1)));
    sleep(Duration::from_secs(2)).await;
    assert!(filter.admits(peer(1)), "the first ones are over");
}

#[tokio::test(start_paused = true)]
async fn busy_peers_are_recorded_and_then_denied_by_their_file() {
    let text = "deny file busy.txt\n3/60 record busy.txt\nallow default\n";
    let (dir, filter) = filter(text, &[]);
    for _ in 0..3 {
        assert!(filter.admits(peer(1)));
    }
    assert!(filter.admits(peer(2)));
    let running = filter.run();
    let _ = tokio::time::timeout(Duration::from_secs(25), running).await;
    let recorded = std::fs::read_to_string(dir.path().join("busy.txt")).expect("written");
    assert_eq!(recorded, format!("{}\n", peer(1).to_b32()));
    assert!(!filter.admits(peer(1)) && filter.admits(peer(2)));
    // The user removes the peer.
    std::fs::write(dir.path().join("busy.txt"), "").expect("written");
    let _ = tokio::time::timeout(Duration::from_secs(15), filter.run()).await;
    assert!(filter.admits(peer(1)));
}

#[tokio::test(start_paused = true)]
async fn the_number_of_counted_peers_is_limited() {
    let (_dir, filter) = filter("2/60 default\n", &[]);
    for number in 0..MAX_PEERS + 10 {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&number.to_be_bytes());
        assert!(filter.admits(Hash::from(hash)));
    }
    assert!(filter.lock().attempts.len() <= MAX_PEERS);
}

#[test]
fn a_line_that_is_no_rule_is_named() {
    let parse = |text: &str| match FilterRules::parse(text, Path::new("/etc")) {
        Ok(definition) => format!("{definition}"),
        Err(error) => error.to_string(),
    };
    for (text, error) in [
        (
            "allow",
            "line 1: expected default, explicit ADDRESS, file PATH or record PATH",
        ),
        (
            "\n# x\nperhaps default",
            "line 3: a rule begins with allow, deny, or ATTEMPTS/SECONDS",
        ),
        ("0/5 default", "line 1: a rule begins"),
        ("5/0 default", "line 1: a rule begins"),
        ("99999/5 default", "line 1: a rule begins"),
        (
            "allow explicit example.i2p",
            "line 1: explicit needs a .b32.i2p address",
        ),
        ("allow file", "line 1: file needs a path"),
        ("allow record x", "line 1: record needs a rate"),
        (
            "allow default\ndeny default",
            "line 2: there is more than one default",
        ),
    ] {
        let found = parse(text);
        assert!(found.starts_with(error), "{text}: {found}");
    }
    let text = "5/30 file \"with space.txt\"\n";
    assert_eq!(
        parse(text),
        "5/30 file \"/etc/with space.txt\"\nallow default\n"
    );
}

#[test]
fn no_text_reveals_a_bug() {
    for text in [
        "5/30 file \"a\nallow default",
        "deny file \" x \"",
        "1/1 record \u{a0}x\nallow\tdefault",
        "allow explicit \u{1f600}",
    ] {
        language::fuzz(text.as_bytes());
    }
}
