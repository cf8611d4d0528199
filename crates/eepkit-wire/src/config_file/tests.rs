use proptest::{collection::vec, prelude::*};

use super::*;

fn parse(text: &str) -> Vec<(String, String)> {
    let file = ConfigFile::parse(text).unwrap();
    file.pairs
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |&(key, value): &(&str, &str)| (key.to_owned(), value.to_owned());
    pairs.iter().map(owned).collect()
}

#[test]
fn a_hash_begins_a_comment_anywhere() {
    assert_eq!(
        parse("# a=1\nb=2#3\nc#d=4\n  e=5 # six"),
        pairs(&[("b", "2"), ("e", "5")])
    );
}

#[test]
fn a_semicolon_begins_a_comment_in_the_first_column_only() {
    assert_eq!(
        parse(";a=1\n ;b=2\nc=3;4"),
        pairs(&[(";b", "2"), ("c", "3;4")])
    );
}

#[test]
fn nothing_is_quoted_escaped_or_continued() {
    assert_eq!(
        parse("a=\"x\"\nb=x\\\nc=\\ty=z"),
        pairs(&[("a", "\"x\""), ("b", "x\\"), ("c", "\\ty=z")])
    );
}

#[test]
fn white_space_around_keys_and_values_is_ignored() {
    assert_eq!(
        parse("\u{feff} a\t=  1 2  \r\nb=\r\n"),
        pairs(&[("a", "1 2"), ("b", "")])
    );
}

#[test]
fn lines_without_key_or_sign_are_ignored() {
    assert_eq!(parse("\n\na\n=b\n = c\n"), pairs(&[]));
}

#[test]
fn the_last_value_of_a_repeated_key_is_used() {
    assert_eq!(parse("a=1\nb=2\na=3"), pairs(&[("a", "3"), ("b", "2")]));
}

#[test]
fn content_that_is_not_utf8_is_refused() {
    assert!(ConfigFile::from_bytes(b"a=\xff").is_err());
}

#[test]
fn too_much_content_is_refused() {
    let text = " ".repeat(ConfigFile::MAX_LENGTH);
    assert!(ConfigFile::parse(&text).is_ok());
    assert!(ConfigFile::parse(&(text + " ")).is_err());
    let keys = |n: usize| (0..n).map(|i| format!("{i}=\n")).collect::<String>();
    assert!(ConfigFile::parse(&keys(ConfigFile::MAX_KEYS)).is_ok());
    assert!(ConfigFile::parse(&keys(ConfigFile::MAX_KEYS + 1)).is_err());
}

#[test]
fn pairs_that_the_format_cannot_express_are_refused() {
    let mut file = ConfigFile::new();
    for (key, value) in [
        ("", "a"),
        ("a=b", "c"),
        ("a#", "b"),
        (";a", "b"),
        ("a\nb", "c"),
        (" a", "b"),
        ("a", "b#c"),
        ("a", "b\nc=d"),
        ("a", "b\r"),
        ("a", " b"),
    ] {
        assert!(file.set(key, value).is_err(), "{key:?}={value:?}");
    }
    assert!(file.is_empty());
}

#[test]
fn setting_keeps_the_order_of_keys() {
    let mut file = ConfigFile::parse("b=1\na=2").unwrap();
    assert_eq!(file.set("b", "3").unwrap().as_deref(), Some("1"));
    file.set("c", "=4").unwrap();
    assert_eq!(file.get("c"), Some("=4"));
    assert_eq!(file.remove("a").as_deref(), Some("2"));
    assert_eq!(file.to_string(), "b=3\nc==4\n");
}

proptest! {
    #[test]
    fn entries_that_can_be_set_can_be_parsed(entries in vec((".{1,8}", ".{0,8}"), 0..8)) {
        let mut file = ConfigFile::new();
        for (key, value) in &entries {
            let _ = file.set(key, value);
        }
        prop_assert_eq!(ConfigFile::parse(&file.to_string()), Ok(file));
    }
}
