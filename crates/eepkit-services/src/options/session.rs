//! Options of sessions that are not open yet.

use std::path::Path;

use eepkit::{EndpointConfig, Options};

use super::value::{Form, Input, Mistake, Value};

/// I2CP and streaming options of a session, by name, in the order in which they were given. Each is
/// valid for a session.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SessionOptions(Vec<(String, String)>);

impl SessionOptions {
    /// Creates an empty list.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds an option, which overrides earlier ones of the same name. An invalid option causes an
    /// error when the session is opened.
    pub fn push(&mut self, key: impl Into<String>, value: impl Into<String>) {
        let key = key.into();
        self.0.retain(|(other, _)| *other != key);
        self.0.push((key, value.into()));
    }

    /// The options in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Whether there are no options.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(String, String)> for SessionOptions {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(options: I) -> Self {
        let mut list = Self::new();
        for (key, value) in options {
            list.push(key, value);
        }
        list
    }
}

impl Value for SessionOptions {
    const FORM: Form = Form::Pairs;

    fn read(input: &Input<'_>, _directory: &Path) -> Result<Self, Mistake> {
        let mut options = Self::new();
        for (key, value) in input.pairs("{ \"inbound.length\" = 2 }")? {
            let text = match &value.value {
                Input::Text(text) | Input::Number(text) => (*text).to_owned(),
                Input::Flag(flag) => flag.to_string(),
                _ => {
                    let why = format!("{key} takes a text, a number or a flag");
                    return Err(Mistake::sentence(why).at(value.at));
                }
            };
            if let Some(why) = session_option_problem(key, &text) {
                return Err(Mistake::sentence(why).at(value.at));
            }
            options.push(key.as_str(), text);
        }
        Ok(options)
    }

    fn write(&self) -> Option<String> {
        if self.is_empty() {
            return None;
        }
        let pairs: Vec<_> = self
            .iter()
            .map(|(key, value)| {
                // A table, because keys are quoted differently from values.
                let pair = toml::Table::from_iter([(key.to_owned(), value.into())]);
                pair.to_string().trim_end().to_owned()
            })
            .collect();
        Some(format!("{{ {} }}", pairs.join(", ")))
    }

    fn check(text: &str) -> Result<(), String> {
        let (key, value) = pair(text)?;
        session_option_problem(key, value).map_or(Ok(()), Err)
    }
}

/// Splits `KEY=VALUE`. White space around either part is removed.
pub(super) fn pair(text: &str) -> Result<(&str, &str), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim(), value.trim())),
        _ => Err("expected KEY=VALUE, as in inbound.length=2".to_owned()),
    }
}

impl<'a> Input<'a> {
    /// Parses texts of the form `KEY=VALUE`.
    ///
    /// # Errors
    ///
    /// A description of the first text that does not have this form.
    pub fn from_pairs(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let pairs = texts.into_iter().map(|text| {
            let (key, value) = pair(text)?;
            let value = super::Located {
                at: None,
                value: Self::Text(value),
            };
            Ok((key.to_owned(), value))
        });
        pairs.collect::<Result<_, String>>().map(Self::Pairs)
    }
}

/// Returns why an option would fail every session, if it would.
pub fn session_option_problem(key: &str, value: &str) -> Option<String> {
    if key.starts_with("i2p.streaming.") {
        let set = EndpointConfig::default().set(key, value);
        return set.err().map(|error| error.to_string());
    }
    let set = Options::new().set(key, value);
    set.err().map(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unusual_options_can_be_read_from_what_is_written() {
        let odd = "a \" and ' and \\ and\nlines\r\u{7f}";
        let mut options = SessionOptions::new();
        for (key, value) in [(odd, "1"), ("key", odd), ("", ""), ("inbound.length", "2")] {
            options.push(key, value);
        }
        let text = format!("options = {}", options.write().unwrap());
        let table: toml::Table = text.parse().expect(&text);
        let read = table["options"].as_table().unwrap();
        assert_eq!(read.len(), 4);
        assert_eq!(read[odd].as_str(), Some("1"));
        assert_eq!(read["key"].as_str(), Some(odd));
    }

    #[test]
    fn an_option_that_is_there_twice_is_an_error_in_a_file_and_overrides_on_the_command_line() {
        let located = |at| super::super::Located {
            at,
            value: Input::Text("2"),
        };
        let name = || "outbound.length".to_owned();
        let file = Input::Pairs(vec![(name(), located(Some(3))), (name(), located(Some(9)))]);
        let mistake = SessionOptions::read(&file, Path::new("")).unwrap_err();
        assert_eq!(mistake.at, Some(9));
        assert_eq!(mistake.what, "outbound.length is there twice");

        let input = Input::from_pairs(["inbound.length=1", "inbound.length=2"]).expect("pairs");
        let options = SessionOptions::read(&input, Path::new("")).expect("possible");
        let pairs: Vec<_> = options.iter().collect();
        assert_eq!(pairs, [("inbound.length", "2")]);
    }

    #[test]
    fn options_that_fail_every_session_are_refused() {
        for (key, value) in [
            ("inbound.length", "3"),
            ("i2cp.leaseSetEncType", "4,0"),
            ("i2p.streaming.maxResends", "3"),
            ("some.thing", "else"),
        ] {
            assert_eq!(session_option_problem(key, value), None, "{key}={value}");
        }
        for (key, value) in [
            ("inbound.length", "8"),
            ("i2p.streaming.maxResends", "x"),
            ("i2p.streaming.noSuchThing", "1"),
        ] {
            assert!(
                session_option_problem(key, value).is_some(),
                "{key}={value}"
            );
        }
    }

    #[test]
    fn options_of_the_command_line_need_a_key_and_a_value() {
        let input = Input::from_pairs(["inbound.length=2", " a = b=c "]).expect("pairs");
        let options = SessionOptions::read(&input, Path::new("")).expect("possible");
        let pairs: Vec<_> = options.iter().collect();
        assert_eq!(pairs, [("inbound.length", "2"), ("a", "b=c")]);
        assert_eq!(
            options.write().as_deref(),
            Some("{ \"inbound.length\" = \"2\", a = \"b=c\" }")
        );
        assert!(Input::from_pairs(["a"]).is_err() && Input::from_pairs(["=b"]).is_err());
        assert!(SessionOptions::check("inbound.length=9").is_err());
    }
}
