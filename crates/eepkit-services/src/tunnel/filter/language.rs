//! The language of filter files.

use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use eepkit::Hash;

/// The rules of a filter file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FilterRules {
    pub(crate) rules: Vec<Rule>,
    pub(crate) recorders: Vec<Recorder>,
    pub(crate) default: Threshold,
}

/// A rule for some peers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) threshold: Threshold,
    pub(crate) names: Names,
}

/// The peers of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Names {
    One(Hash),
    File(PathBuf),
}

/// A rule that records peers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Recorder {
    pub(crate) rate: Rate,
    pub(crate) file: PathBuf,
}

/// When a peer may connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Threshold {
    Allow,
    Deny,
    Rate(Rate),
}

/// A number of attempts within a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    pub(crate) attempts: usize,
    pub(crate) span: Duration,
}

/// Why a filter file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FilterError {
    line: usize,
    what: String,
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl FilterRules {
    /// Parses the text of a filter file. Relative paths are resolved against `directory`.
    ///
    /// # Errors
    ///
    /// [`FilterError`] with the first line that is no rule.
    pub(crate) fn parse(text: &str, directory: &Path) -> Result<Self, FilterError> {
        let mut definition = Self {
            rules: Vec::new(),
            recorders: Vec::new(),
            default: Threshold::Allow,
        };
        let mut has_default = false;
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = |what: String| FilterError {
                line: index + 1,
                what,
            };
            if index >= MAX_LINES {
                return Err(wrong(format!("more than {MAX_LINES} lines")));
            }
            definition
                .add(line, directory, &mut has_default)
                .map_err(wrong)?;
        }
        Ok(definition)
    }

    fn add(&mut self, line: &str, directory: &Path, has_default: &mut bool) -> Result<(), String> {
        let (threshold, rest) = split(line);
        let threshold = Threshold::parse(threshold)?;
        let (kind, operand) = split(rest);
        let path = || match operand.trim_matches('"') {
            "" => Err(format!("{kind} needs a path")),
            path => Ok(directory.join(path)),
        };
        match kind.to_ascii_lowercase().as_str() {
            "default" if !operand.is_empty() => Err("nothing follows default".to_owned()),
            "default" if *has_default => Err("there is more than one default".to_owned()),
            "default" => {
                (*has_default, self.default) = (true, threshold);
                Ok(())
            }
            "explicit" => {
                let hash = Hash::from_b32(operand)
                    .map_err(|error| format!("explicit needs a .b32.i2p address: {error}"))?;
                self.rules.push(Rule {
                    threshold,
                    names: Names::One(hash),
                });
                Ok(())
            }
            "file" => {
                self.rules.push(Rule {
                    threshold,
                    names: Names::File(path()?),
                });
                Ok(())
            }
            "record" => {
                let Threshold::Rate(rate) = threshold else {
                    return Err("record needs a rate, such as 60/60".to_owned());
                };
                self.recorders.push(Recorder {
                    rate,
                    file: path()?,
                });
                Ok(())
            }
            _ => Err("expected default, explicit ADDRESS, file PATH or record PATH".to_owned()),
        }
    }

    /// The longest time of any rate.
    pub(crate) fn longest(&self) -> Duration {
        let of_rules = self.rules.iter().map(|rule| rule.threshold);
        let rates = of_rules.chain([self.default]).filter_map(Threshold::rate);
        let recorders = self.recorders.iter().map(|recorder| recorder.rate);
        let spans = rates.chain(recorders).map(|rate| rate.span);
        spans.max().unwrap_or_default()
    }
}

impl Threshold {
    fn parse(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("allow") {
            return Ok(Self::Allow);
        }
        if text.eq_ignore_ascii_case("deny") {
            return Ok(Self::Deny);
        }
        let rate = || {
            let (attempts, seconds) = text.split_once('/')?;
            let attempts: usize = attempts.parse().ok()?;
            let seconds: u64 = seconds.parse().ok()?;
            let is_allowed =
                (1..=MAX_ATTEMPTS).contains(&attempts) && (1..=MAX_SECONDS).contains(&seconds);
            is_allowed.then_some(Rate {
                attempts,
                span: Duration::from_secs(seconds),
            })
        };
        rate().map(Self::Rate).ok_or_else(|| {
            format!(
                "a rule begins with allow, deny, or ATTEMPTS/SECONDS, up to \
                 {MAX_ATTEMPTS}/{MAX_SECONDS}"
            )
        })
    }

    /// The rate, if it is one.
    pub(crate) fn rate(self) -> Option<Rate> {
        match self {
            Self::Rate(rate) => Some(rate),
            Self::Allow | Self::Deny => None,
        }
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allow => f.write_str("allow"),
            Self::Deny => f.write_str("deny"),
            Self::Rate(rate) => write!(f, "{rate}"),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.attempts, self.span.as_secs())
    }
}

/// Writes a file with the same rules.
impl fmt::Display for FilterRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Rule { threshold, names } in &self.rules {
            match names {
                Names::One(hash) => writeln!(f, "{threshold} explicit {}", hash.to_b32())?,
                Names::File(path) => writeln!(f, "{threshold} file \"{}\"", path.display())?,
            }
        }
        for Recorder { rate, file } in &self.recorders {
            writeln!(f, "{rate} record \"{}\"", file.display())?;
        }
        writeln!(f, "{} default", self.default)
    }
}

/// The first word, and the rest.
fn split(text: &str) -> (&str, &str) {
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (word, rest.trim())
}

/// Checks that a filter file is read or refused with one of its lines, and that its rules are the same
/// after they were written and read again.
///
/// # Panics
///
/// If a check fails.
#[cfg(any(test, feature = "_fuzzing"))]
pub fn fuzz(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match FilterRules::parse(text, Path::new("/etc/eepkit")) {
        Ok(definition) => {
            let written = definition.to_string();
            let again = FilterRules::parse(&written, Path::new("/etc/eepkit"));
            assert_eq!(again, Ok(definition), "{written}");
        }
        Err(error) => {
            assert!((1..=text.lines().count()).contains(&error.line), "{error}");
            assert!(error.to_string().chars().count() < 300, "{error}");
        }
    }
}

/// The most lines. Chosen because addresses in large numbers belong in files.
const MAX_LINES: usize = 10_000;
/// The most attempts of a rate. Chosen because the time of each is kept for each peer.
const MAX_ATTEMPTS: usize = 1000;
/// The longest time of a rate: a day.
const MAX_SECONDS: u64 = 86_400;
