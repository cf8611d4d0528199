//! Tests that every table of options must pass.

use super::{File, Table};

/// Asserts that each documented default is the effective default, and that options without a
/// default have an example.
pub(crate) fn assert_defaults<C>(table: &Table<C>) {
    let read = |text: &str| {
        let file = File::parse(text, "/etc/eepkit").expect(text);
        let sections = file.sections(table.section).expect(text);
        table.read(&sections[0]).expect(text)
    };
    for option in table.options {
        let Some(default) = table.default_of(option) else {
            assert!(!option.example.is_empty(), "{} has no example", option.key);
            continue;
        };
        let config = read(&format!(
            "[{}]\n{} = {default}\n",
            table.section, option.key
        ));
        for other in table.options {
            let (with, without) = ((other.access.get)(&config), table.default_of(other));
            assert_eq!(with, without, "{} changed {}", option.key, other.key);
        }
    }
}

/// Asserts that each key of the table is given with a value, takes it, and changes no other option.
pub(crate) fn assert_keys<C>(table: &Table<C>, given: &[(&str, &str)]) {
    let keys: Vec<_> = table.options.iter().map(|option| option.key).collect();
    let given_keys: Vec<_> = given.iter().map(|(key, _)| *key).collect();
    assert_eq!(keys, given_keys);
    for (key, value) in given {
        let text = format!("[{}]\n{key} = {value}\n", table.section);
        let file = File::parse(&text, "").expect("TOML");
        let sections = file.sections(table.section).expect("a section");
        let config = table.read(&sections[0]).expect(key);
        for option in table.options {
            let now = (option.access.get)(&config);
            match option.key == *key {
                true => assert_eq!(now.as_deref(), Some(*value), "{key}"),
                false => assert_eq!(now, table.default_of(option), "{key} {}", option.key),
            }
        }
    }
}
