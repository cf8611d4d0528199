//! Values of options.

use std::{
    collections::HashSet,
    fmt,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use eepkit::{Address, Preset, SignatureType};

/// The value of an option, as the type of a field of the configuration.
pub trait Value: Sized {
    /// The form of the value.
    const FORM: Form;

    /// Reads the value. Relative paths are resolved against `directory`.
    ///
    /// # Errors
    ///
    /// [`Mistake`] with the description and the position of the error.
    fn read(input: &Input<'_>, directory: &Path) -> Result<Self, Mistake>;

    /// Formats the value for the file; `None` if it is not set.
    fn write(&self) -> Option<String>;

    /// Checks a text for one value, or for one element of a list.
    ///
    /// # Errors
    ///
    /// A description of the error.
    fn check(text: &str) -> Result<(), String>;
}

/// The form of the values of an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A boolean; a flag without a value.
    Switch,
    /// One value.
    Single,
    /// Any number of values; a flag that may be given several times.
    List,
    /// Any number of `KEY=VALUE`; a flag that may be given several times.
    Pairs,
}

/// The input for an option, from the file or the command line.
#[derive(Debug, Clone, PartialEq)]
pub enum Input<'a> {
    /// A text.
    Text(&'a str),
    /// A boolean.
    Flag(bool),
    /// A whole number, in decimal notation.
    Number(&'a str),
    /// Several values.
    List(Vec<Located<Self>>),
    /// Several named values. Names with dots are nested tables.
    Pairs(Vec<(String, Located<Self>)>),
    /// A value of a type that no option accepts.
    Other,
}

impl<'a> Input<'a> {
    /// The named values of a table, such as `example`. A name occurs once, except on the command
    /// line.
    ///
    /// # Errors
    ///
    /// The input is not a table. Or a file has a name twice, which TOML permits where one is in
    /// quotes and the other is not: `a.b` and `"a.b"`.
    pub(crate) fn pairs(&self, example: &str) -> Result<&[(String, Located<Self>)], Mistake> {
        let Self::Pairs(pairs) = self else {
            return Err(Mistake::expected(&format!("a table: {example}")));
        };
        let mut names = HashSet::new();
        for (name, value) in pairs {
            if !names.insert(name) && value.at.is_some() {
                return Err(Mistake::sentence(format!("{name} is there twice")).at(value.at));
            }
        }
        Ok(pairs)
    }
}

/// A value with its position in the file.
#[derive(Debug, Clone, PartialEq)]
pub struct Located<T> {
    /// The byte offset in the file; `None` on the command line.
    pub at: Option<usize>,
    /// The value.
    pub value: T,
}

/// An error in the input for an option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The position, if it differs from that of the whole value.
    pub at: Option<usize>,
    /// The description, which follows the option's key if `with_key` is set.
    pub what: String,
    /// Whether the message begins with the key.
    pub with_key: bool,
}

impl Mistake {
    /// The input has the wrong form.
    pub fn expected(what: &str) -> Self {
        Self {
            at: None,
            what: format!("takes {what}"),
            with_key: true,
        }
    }

    /// The text is not a valid value of the option.
    pub fn invalid(text: &str, why: impl fmt::Display) -> Self {
        Self {
            at: None,
            what: format!("cannot be {text:?}: {why}"),
            with_key: true,
        }
    }

    /// An error whose description is a whole sentence.
    pub fn sentence(what: impl Into<String>) -> Self {
        Self {
            at: None,
            what: what.into(),
            with_key: false,
        }
    }

    /// Sets the position, unless there is one.
    #[must_use]
    pub fn at(mut self, at: Option<usize>) -> Self {
        self.at = self.at.or(at);
        self
    }
}

/// A value that is written as a single text.
pub trait Element: Sized {
    /// Parses the text. A relative path is resolved against `directory`.
    ///
    /// # Errors
    ///
    /// A description of the error.
    fn parse(text: &str, directory: &Path) -> Result<Self, String>;

    /// Formats the value as text.
    fn text(&self) -> String;
}

impl<T: Element> Value for T {
    const FORM: Form = Form::Single;

    fn read(input: &Input<'_>, directory: &Path) -> Result<Self, Mistake> {
        let Input::Text(text) = input else {
            return Err(Mistake::expected("text in quotes"));
        };
        T::parse(text, directory).map_err(|why| Mistake::invalid(text, why))
    }

    fn write(&self) -> Option<String> {
        Some(quoted(&self.text()))
    }

    fn check(text: &str) -> Result<(), String> {
        T::parse(text, Path::new("")).map(drop)
    }
}

impl<T: Element> Value for Vec<T> {
    const FORM: Form = Form::List;

    fn read(input: &Input<'_>, directory: &Path) -> Result<Self, Mistake> {
        match input {
            Input::List(list) => list
                .iter()
                .map(|one| T::read(&one.value, directory).map_err(|mistake| mistake.at(one.at)))
                .collect(),
            // A single text is a list with one element.
            Input::Text(_) => Ok(vec![T::read(input, directory)?]),
            _ => Err(Mistake::expected("a list of texts in quotes")),
        }
    }

    fn write(&self) -> Option<String> {
        let elements: Vec<_> = self.iter().map(|one| quoted(&one.text())).collect();
        Some(format!("[{}]", elements.join(", ")))
    }

    fn check(text: &str) -> Result<(), String> {
        T::check(text)
    }
}

/// An optional option.
impl<T: Value> Value for Option<T> {
    const FORM: Form = T::FORM;

    fn read(input: &Input<'_>, directory: &Path) -> Result<Self, Mistake> {
        T::read(input, directory).map(Some)
    }

    fn write(&self) -> Option<String> {
        self.as_ref().and_then(T::write)
    }

    fn check(text: &str) -> Result<(), String> {
        T::check(text)
    }
}

impl Value for bool {
    const FORM: Form = Form::Switch;

    fn read(input: &Input<'_>, _directory: &Path) -> Result<Self, Mistake> {
        match input {
            Input::Flag(flag) => Ok(*flag),
            _ => Err(Mistake::expected("true or false")),
        }
    }

    fn write(&self) -> Option<String> {
        Some(self.to_string())
    }

    fn check(text: &str) -> Result<(), String> {
        text.parse::<Self>()
            .map(drop)
            .map_err(|error| error.to_string())
    }
}

/// A count, at least 1.
impl Value for usize {
    const FORM: Form = Form::Single;

    fn read(input: &Input<'_>, _directory: &Path) -> Result<Self, Mistake> {
        let (Input::Number(text) | Input::Text(text)) = input else {
            return Err(Mistake::expected(COUNT));
        };
        match text.parse() {
            Ok(number) if number > 0 => Ok(number),
            _ => Err(Mistake::expected(COUNT)),
        }
    }

    fn write(&self) -> Option<String> {
        Some(self.to_string())
    }

    fn check(text: &str) -> Result<(), String> {
        Self::read(&Input::Text(text), Path::new(""))
            .map(drop)
            .map_err(|_| format!("expected {COUNT}"))
    }
}

/// A port, 1 to 65535.
impl Value for u16 {
    const FORM: Form = Form::Single;

    fn read(input: &Input<'_>, _directory: &Path) -> Result<Self, Mistake> {
        let (Input::Number(text) | Input::Text(text)) = input else {
            return Err(Mistake::expected(PORT));
        };
        match text.parse() {
            Ok(port) if port > 0 => Ok(port),
            _ => Err(Mistake::expected(PORT)),
        }
    }

    fn write(&self) -> Option<String> {
        Some(self.to_string())
    }

    fn check(text: &str) -> Result<(), String> {
        Self::read(&Input::Text(text), Path::new(""))
            .map(drop)
            .map_err(|_| format!("expected {PORT}"))
    }
}

const PORT: &str = "a port, 1 to 65535";

const COUNT: &str = "a whole number, 1 or more";

impl Element for String {
    fn parse(text: &str, _directory: &Path) -> Result<Self, String> {
        Ok(text.to_owned())
    }

    fn text(&self) -> String {
        self.clone()
    }
}

impl Element for PathBuf {
    fn parse(text: &str, directory: &Path) -> Result<Self, String> {
        match text {
            "" => Err("expected a path".to_owned()),
            _ => Ok(directory.join(text)),
        }
    }

    fn text(&self) -> String {
        self.display().to_string()
    }
}

/// An IP address and a port. `localhost` is 127.0.0.1; no other name is looked up.
impl Element for SocketAddr {
    fn parse(text: &str, _directory: &Path) -> Result<Self, String> {
        let numeric = match text.split_once(':') {
            Some((host, port)) if host.eq_ignore_ascii_case("localhost") => {
                format!("127.0.0.1:{port}")
            }
            _ => text.to_owned(),
        };
        numeric
            .parse()
            .map_err(|_| "expected IP:PORT, such as 127.0.0.1:7656 or [::1]:7656".to_owned())
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

impl Element for IpAddr {
    fn parse(text: &str, _directory: &Path) -> Result<Self, String> {
        text.parse()
            .map_err(|_| "expected an IP address, such as 127.0.0.1 or ::1".to_owned())
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

impl Element for SignatureType {
    fn parse(text: &str, _directory: &Path) -> Result<Self, String> {
        text.parse().map_err(|error| format!("{error}"))
    }

    fn text(&self) -> String {
        self.0.to_string()
    }
}

/// A host on I2P, with or without a port.
impl Element for Address {
    fn parse(text: &str, _directory: &Path) -> Result<Self, String> {
        text.parse().map_err(|error| format!("{error}"))
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

impl Element for Preset {
    fn parse(text: &str, _directory: &Path) -> Result<Self, String> {
        text.parse().map_err(|error| format!("{error}"))
    }

    fn text(&self) -> String {
        self.as_str().to_owned()
    }
}

impl Element for Duration {
    fn parse(text: &str, _directory: &Path) -> Result<Self, String> {
        text.parse::<Span>().map(|span| span.0)
    }

    fn text(&self) -> String {
        Span(*self).to_string()
    }
}

impl Element for Span {
    fn parse(text: &str, _directory: &Path) -> Result<Self, String> {
        text.parse()
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

/// Quotes a text for TOML.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// A duration: `30` (seconds), `500ms`, `30s`, `2m`, `1h`, `90d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unit_at = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(unit_at);
        let number: u64 = number
            .parse()
            .map_err(|_| "expected a whole number, as in 30s or 2m".to_owned())?;
        let unit = if unit.is_empty() { "s" } else { unit };
        let Some((_, millis_per_unit)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(format!("unknown unit {unit:?}; use ms, s, m, h or d"));
        };
        let millis = u64::try_from(u128::from(number) * millis_per_unit)
            .map_err(|_| "too long".to_owned())?;
        if millis == 0 {
            return Err("must be more than 0".to_owned());
        }
        Ok(Self(Duration::from_millis(millis)))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        // 60 seconds are printed as seconds, because limits of one minute are usually written so.
        let unit = UNITS
            .iter()
            .rev()
            .find(|(name, unit)| millis.is_multiple_of(*unit) && (*name != "m" || millis > *unit));
        match unit {
            Some((name, unit)) => write!(f, "{}{name}", millis / unit),
            None => write!(f, "{millis}ms"),
        }
    }
}

/// Units of time, in milliseconds.
const UNITS: [(&str, u128); 5] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_without_a_unit_are_seconds() {
        for (text, millis) in [
            ("30", 30_000),
            ("500ms", 500),
            ("2m", 120_000),
            ("1h", 3_600_000),
            ("1d", 86_400_000),
        ] {
            let span = Span(Duration::from_millis(millis));
            assert_eq!(text.parse(), Ok(span), "{text}");
        }
        for text in [
            "",
            "s",
            "1.5s",
            "-1",
            "0",
            "5 s",
            "3w",
            "99999999999999999999",
            "9999999999999999999d",
        ] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }

    #[test]
    fn durations_round_trip() {
        for text in ["30s", "500ms", "2m", "60s", "1h", "90d"] {
            let span = text.parse::<Span>().map(|span| span.to_string());
            assert_eq!(span, Ok(text.to_owned()));
        }
    }

    #[test]
    fn values_round_trip() {
        let dir = Path::new("/etc/eepkit");
        let read = <Vec<PathBuf> as Value>::read(&Input::Text("a.sock"), dir);
        assert_eq!(read, Ok(vec![PathBuf::from("/etc/eepkit/a.sock")]));
        let read = <Option<PathBuf> as Value>::read(&Input::Text("/a.sock"), dir);
        assert_eq!(read, Ok(Some(PathBuf::from("/a.sock"))));
        assert_eq!(
            vec!["a \"b\"".to_owned(), "c".to_owned()].write(),
            Some("['a \"b\"', \"c\"]".to_owned())
        );
        assert_eq!(None::<PathBuf>.write(), None);
        assert_eq!(<usize as Value>::read(&Input::Number("3"), dir), Ok(3));
        assert!(<usize as Value>::check("0").is_err());
        assert_eq!(SignatureType::ED25519.write(), Some("\"7\"".to_owned()));
    }

    #[test]
    fn localhost_is_the_only_host_name_and_needs_no_look_up() {
        let parse = |text| SocketAddr::parse(text, Path::new("")).map(|at| at.to_string());
        assert_eq!(parse("LocalHost:80"), Ok("127.0.0.1:80".to_owned()));
        assert_eq!(parse("[::1]:80"), Ok("[::1]:80".to_owned()));
        assert!(parse("example.com:80").is_err() && parse("7656").is_err());
    }
}
