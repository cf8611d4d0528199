use proptest::prelude::*;

use super::*;

fn parse(line: &str) -> Message {
    Message::parse(line, Syntax::CURRENT).expect(line)
}

fn error(line: &str) -> ParseError {
    Message::parse(line, Syntax::CURRENT).expect_err(line)
}

#[test]
fn words_are_case_insensitive_and_keys_and_values_are_not() {
    let message = parse("stream Connect ID=Abc id=x");
    assert!(message.is("STREAM", "CONNECT"));
    assert_eq!(message.params.get("ID"), Some("Abc"));
    assert_eq!(message.params.get("id"), Some("x"));
    assert_eq!(message.params.get("Id"), None);
}

#[test]
fn pairs_may_be_in_any_order_with_any_number_of_spaces() {
    let one = parse("SESSION CREATE STYLE=STREAM ID=x DESTINATION=TRANSIENT");
    let other = parse(" SESSION \t CREATE  DESTINATION=TRANSIENT ID=x  STYLE=STREAM  ");
    for key in ["STYLE", "ID", "DESTINATION"] {
        assert_eq!(one.params.get(key), other.params.get(key));
    }
    assert_eq!(other.params.len(), 3);
}

#[test]
fn a_command_may_have_one_word() {
    let message = parse("HELP");
    assert_eq!(
        (message.verb.as_str(), message.action.as_str()),
        ("HELP", "")
    );
    let message = parse("AUTH USER=x");
    assert_eq!(message.action, "");
    assert_eq!(message.params.get("USER"), Some("x"));
}

#[test]
fn a_quoted_value_may_contain_spaces_and_escaped_quotes() {
    let message = parse(r#"A B C="one two" D="say \"hi\"" E="back\\slash" F=a\ b G="=" H=a=b=="#);
    let values = [
        ("C", "one two"),
        ("D", "say \"hi\""),
        ("E", "back\\slash"),
        ("F", "a b"),
        ("G", "="),
        ("H", "a=b=="),
    ];
    for (key, value) in values {
        assert_eq!(message.params.get(key), Some(value), "{key}");
    }
}

#[test]
fn a_quote_inside_of_a_word_is_a_character() {
    assert_eq!(parse("A B C=it\"s").params.get("C"), Some("it\"s"));
}

#[test]
fn backslashes_are_ordinary_characters_before_3_2() {
    let line = r#"A B C=a\b D="x\" E=y"#;
    let old = Message::parse(line, Syntax::of(Version::V3_1)).expect("valid in 3.1");
    assert_eq!(old.params.get("C"), Some("a\\b"));
    assert_eq!(old.params.get("D"), Some("x\\"));
    assert_eq!(old.params.get("E"), Some("y"));
    assert_eq!(
        Message::parse(line, Syntax::of(Version::V3_2)),
        Err(ParseError::UnclosedQuote)
    );
}

#[test]
fn empty_values_have_three_forms() {
    let message = parse("A B C D= E=\"\" F=1");
    for key in ["C", "D", "E"] {
        assert_eq!(message.params.get(key), Some(""), "{key}");
        assert_eq!(message.params.value(key), None);
        assert_eq!(message.params.port(leak(key)), Ok(None));
    }
    assert_eq!(message.params.flag("C", false), Ok(true));
    assert_eq!(message.params.flag("D", false), Ok(false));
    assert_eq!(message.params.get("X"), None);
}

/// Parameter keys are `&'static str`.
fn leak(key: &str) -> &'static str {
    Box::leak(key.to_owned().into_boxed_str())
}

#[test]
fn malformed_messages_are_refused() {
    assert_eq!(error(""), ParseError::Empty);
    assert_eq!(error("   "), ParseError::Empty);
    assert_eq!(error("A B C=1 C=2"), ParseError::DuplicateKey);
    assert_eq!(error("A B C=\"x"), ParseError::UnclosedQuote);
    assert_eq!(error("A B C=\"x\"y"), ParseError::AfterQuote);
    assert_eq!(error("A B C=x\\"), ParseError::DanglingEscape);
    assert_eq!(error("A B =x"), ParseError::NoKey);
    let many: String = (0..=Params::MAX).map(|n| format!(" K{n}=1")).collect();
    assert_eq!(error(&format!("A B{many}")), ParseError::TooMany);
}

#[test]
fn numbers_and_flags_are_strict() {
    let message = parse("A B P=65536 N=-1 S=+1 T=TRUE F=False X=yes");
    assert!(message.params.port("P").is_err());
    assert!(message.params.port("N").is_err());
    assert!(message.params.port("S").is_err());
    assert_eq!(message.params.flag("T", false), Ok(true));
    assert_eq!(message.params.flag("F", true), Ok(false));
    assert_eq!(
        message
            .params
            .flag("X", true)
            .expect_err("no flag")
            .to_string(),
        "X must be true or false"
    );
}

#[test]
fn lines_are_quoted_only_where_needed() {
    let line = LineBuilder::new("NAMING REPLY")
        .pair("RESULT", "OK")
        .pair("NAME", "a.i2p")
        .pair("VALUE", "AAAA==")
        .pair("OPTION:x", "1 2")
        .pair("EMPTY", "")
        .pair("Q", "a\"b\\c\nd")
        .finish();
    assert_eq!(
        line,
        "NAMING REPLY RESULT=OK NAME=a.i2p VALUE=AAAA== OPTION:x=\"1 2\" EMPTY=\"\" \
         Q=\"a\\\"b\\\\c d\"\n"
    );
}

#[test]
fn a_message_contains_only_characters_that_every_reader_accepts() {
    let line = |text: &str| LineBuilder::new("A B").message(text).finish();
    assert_eq!(line("fine"), "A B MESSAGE=fine\n");
    assert_eq!(line("a \"b\" \\ ü\n"), "A B MESSAGE=\"a 'b' / ?\"\n");
    assert_eq!(line(""), "A B\n");
    assert_eq!(line(" \n"), "A B\n");
    assert!(line(&"x".repeat(1000)).len() < 256);
}

#[test]
fn debug_output_omits_values() {
    let message = parse("SESSION CREATE DESTINATION=hush PASSWORD=hush");
    assert!(!format!("{message:?}").contains("hush"));
    let builder = LineBuilder::new("A B").pair("PRIV", "hush");
    assert!(!format!("{builder:?}").contains("hush"));
}

proptest! {
    #[test]
    fn formatted_lines_round_trip(
        pairs in prop::collection::btree_map("[A-Za-z0-9_.:-]{1,12}", "[^\\p{Cc}]{0,40}", 0..12)
    ) {
        let mut builder = LineBuilder::new("ONE TWO");
        for (key, value) in &pairs {
            builder = builder.pair(key, value);
        }
        let line = builder.finish();
        let message = Message::parse(line.trim_end_matches('\n'), Syntax::CURRENT)
            .expect("a formatted line can be parsed");
        prop_assert!(message.is("ONE", "TWO"));
        prop_assert_eq!(message.params.len(), pairs.len());
        for (key, value) in &pairs {
            prop_assert_eq!(message.params.get(key), Some(value.as_str()));
        }
    }
}
