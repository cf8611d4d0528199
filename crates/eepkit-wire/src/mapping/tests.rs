use super::*;

fn mapping(pairs: &[(&str, &str)]) -> Mapping {
    let mut mapping = Mapping::new();
    for (key, value) in pairs {
        mapping.insert(*key, *value).unwrap();
    }
    mapping
}

#[test]
fn keys_are_sorted_in_the_order_of_java() {
    // In the order of code points the emoji is last. In UTF-16 it begins with the code unit d83d.
    let mapping = mapping(&[
        ("\u{ff5e}", "3"),
        ("\u{1f600}", "2"),
        ("B", "0"),
        ("a", "1"),
    ]);
    let values: String = mapping.iter().map(|(_, value)| value).collect();
    assert_eq!(values, "0123");
}

#[test]
fn pairs_in_any_order_are_decoded_and_encoded_in_order() {
    let unsorted = b"\x00\x0c\x01b=\x012;\x01a=\x011;";
    let sorted = b"\x00\x0c\x01a=\x011;\x01b=\x012;";
    let read = Mapping::from_bytes(unsorted).unwrap();
    assert_eq!(read.to_bytes(), sorted);
}

#[test]
fn a_repeated_key_is_refused() {
    for bytes in [
        &b"\x00\x0c\x01a=\x011;\x01a=\x012;"[..],
        b"\x00\x12\x01a=\x011;\x01b=\x011;\x01a=\x012;",
    ] {
        let error = Mapping::from_bytes(bytes).unwrap_err();
        assert_eq!(error.to_string(), "invalid mapping: a key is repeated");
    }
}

#[test]
fn wrong_separators_and_wrong_utf8_are_refused() {
    for bytes in [
        &b"\x00\x06\x01a:\x011;"[..],
        b"\x00\x06\x01a=\x011,",
        b"\x00\x06\x01\xff=\x011;",
        b"\x00\x05\x01a=\x011",
    ] {
        assert!(Mapping::from_bytes(bytes).is_err());
    }
}

#[test]
fn inserting_replaces_a_value_and_returns_it() {
    let mut mapping = mapping(&[("key", "one")]);
    assert_eq!(
        mapping.insert("key", "two").unwrap().as_deref(),
        Some("one")
    );
    assert_eq!(mapping.get("key"), Some("two"));
    assert_eq!(mapping.get("Key"), None);
    assert_eq!(mapping.len(), 1);
    assert_eq!(mapping.remove("key").as_deref(), Some("two"));
    assert_eq!(mapping, Mapping::new());
    assert_eq!(mapping.to_bytes(), [0, 0]);
}

#[test]
fn strings_have_at_most_255_bytes() {
    let mut mapping = Mapping::new();
    let longest = "é".repeat(127) + "x";
    mapping.insert(longest.clone(), longest.clone()).unwrap();
    assert_eq!(
        Mapping::from_bytes(&mapping.to_bytes()),
        Ok(mapping.clone())
    );
    let before = mapping.clone();
    assert!(mapping.insert(longest.clone() + "x", "").is_err());
    assert!(mapping.insert("", longest + "x").is_err());
    assert_eq!(mapping, before);
}

#[test]
fn all_pairs_together_have_at_most_65535_bytes() {
    let mut mapping = Mapping::new();
    let value = "v".repeat(248);
    let mut count = 0;
    // Each pair has 4 + 4 + 248 bytes.
    while mapping.insert(format!("{count:04}"), value.clone()).is_ok() {
        count += 1;
    }
    assert_eq!(count, 255);
    mapping.insert("last", "v".repeat(247)).unwrap();
    assert_eq!(mapping.to_bytes().len(), 65_537);
    assert_eq!(
        Mapping::from_bytes(&mapping.to_bytes()),
        Ok(mapping.clone())
    );
    assert!(mapping.insert("last", value).is_err());
}

#[test]
fn debug_output_contains_no_values() {
    let mapping = mapping(&[("i2cp.password", "secret")]);
    assert_eq!(format!("{mapping:?}"), r#"{"i2cp.password"}"#);
}
