use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Result<String, HostNameError> {
    text.parse::<HostName>().map(|name| name.to_string())
}

#[test]
fn names_are_converted_to_the_form_of_look_ups() {
    for (typed, name) in [
        ("stats.i2p", "stats.i2p"),
        ("STATS.I2P", "stats.i2p"),
        ("stats.i2p.alt", "stats.i2p"),
        ("Stats.I2P.ALT", "stats.i2p"),
        ("a.b-c.d.i2p", "a.b-c.d.i2p"),
        ("1.i2p", "1.i2p"),
        ("bücher.i2p", "xn--bcher-kva.i2p"),
        ("BÜCHER.I2P", "xn--bcher-kva.i2p"),
        ("bu\u{308}cher.i2p", "xn--bcher-kva.i2p"),
        ("пример.i2p", "xn--e1afmkfd.i2p"),
        ("例え。i2p", "xn--r8jz45g.i2p"),
        ("stats.i２p", "stats.i2p"),
        ("bücher.i2p.alt", "xn--bcher-kva.i2p"),
        // Look-ups enforce no rules of import.
        ("a--b.i2p", "a--b.i2p"),
        ("xn--.i2p.i2p", ""),
        ("xn--zzzzzzz9999999.i2p", "xn--zzzzzzz9999999.i2p"),
        ("router.i2p", "router.i2p"),
    ] {
        match name {
            "" => assert!(parse(typed).is_err(), "{typed}"),
            name => assert_eq!(parse(typed).as_deref(), Ok(name), "{typed}"),
        }
    }
}

#[test]
fn text_that_is_not_a_name_is_refused() {
    let long = format!("{}.i2p", "x".repeat(64));
    let very_long = "x".repeat(1000);
    let hash = format!("{}.b32.i2p", "a".repeat(52));
    for text in [
        "",
        ".i2p",
        "i2p",
        "i2p.alt",
        "stats.alt",
        "forum.com",
        "forum.i2p.com",
        "forum.i2p.",
        "-a.i2p",
        "a-.i2p",
        "a..b.i2p",
        "a.-b.i2p",
        "a_b.i2p",
        "a b.i2p",
        " a.i2p",
        "a.i2p\n",
        "a/b.i2p",
        "a%20.i2p",
        "a=b.i2p",
        "a#b.i2p",
        "b32.i2p",
        "abc.b32.i2p",
        "é b.i2p",
        "\u{200b}.i2p",
        "\u{202e}abc.i2p",
        "-é.i2p",
        &hash,
        &long,
        &very_long,
    ] {
        assert!(parse(text).is_err(), "{text:?}");
    }
}

#[test]
fn international_labels_are_shown_in_unicode_only_if_nothing_else_looks_like_them() {
    for (ascii, shown) in [
        ("stats.i2p", "stats.i2p"),
        ("xn--bcher-kva.i2p", "bücher.i2p"),
        ("xn--e1afmkfd.i2p", "пример.i2p"),
        ("xn--r8jz45g.i2p", "例え.i2p"),
        ("a.xn--bcher-kva.i2p", "a.bücher.i2p"),
        // Cyrillic letters that look like "apple" and "paypal".
        ("xn--80ak6aa92e.i2p", "xn--80ak6aa92e.i2p"),
        // Latin and Cyrillic mixed.
        ("xn--pypal-4ve.i2p", "xn--pypal-4ve.i2p"),
        // Not punycode.
        ("xn--zzzzzzz9999999.i2p", "xn--zzzzzzz9999999.i2p"),
        // A heart is not allowed in identifiers.
        ("xn--g6h.i2p", "xn--g6h.i2p"),
    ] {
        let name: HostName = ascii.parse().unwrap();
        assert_eq!(name.to_unicode(), shown);
    }
}

#[test]
fn www_is_removed_where_a_name_remains() {
    let without = |text: &str| {
        let name: HostName = text.parse().unwrap();
        name.without_www().map(|name| name.to_string())
    };
    assert_eq!(without("www.a.i2p").as_deref(), Some("a.i2p"));
    assert_eq!(without("a.i2p"), None);
    assert_eq!(without("www.i2p"), None);
    assert_eq!(without("wwww.a.i2p"), None);
}

#[test]
fn a_name_is_below_another_one_if_whole_labels_precede_it() {
    let below = |name: &str, parent: &str| {
        let (name, parent): (HostName, HostName) = (name.parse().unwrap(), parent.parse().unwrap());
        name.is_below(&parent)
    };
    assert!(below("a.b.i2p", "b.i2p"));
    assert!(below("x.a.b.i2p", "b.i2p"));
    assert!(!below("ab.i2p", "b.i2p"));
    assert!(!below("b.i2p", "b.i2p"));
    assert!(!below("b.i2p", "a.b.i2p"));
}

proptest! {
    #[test]
    fn parsing_is_idempotent_and_the_shown_form_is_the_same_name(text in "(?i)[a-zäéßпр例え.-]{1,20}\\.i2p") {
        if let Ok(name) = text.parse::<HostName>() {
            prop_assert_eq!(name.as_str().parse::<HostName>(), Ok(name.clone()));
            prop_assert_eq!(name.to_unicode().parse::<HostName>(), Ok(name));
        }
    }
}
