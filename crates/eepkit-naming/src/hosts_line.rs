//! Lines of `hosts.txt` files and subscription feeds.

use std::{fmt, str::FromStr};

use crate::{
    host_name::{HostName, HostNameError},
    properties::{Properties, PropertiesError},
    target::{Target, TargetError},
};

/// A line of a `hosts.txt` file or of a subscription feed.
///
/// ```
/// use eepkit_naming::HostsLine;
///
/// assert_eq!("# a comment".parse(), Ok(HostsLine::Blank));
/// assert!("stats.i2p=nonsense".parse::<HostsLine>().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostsLine {
    /// An empty line or a comment.
    Blank,
    /// `name=target`, with properties after `#!`.
    Entry {
        /// The name.
        name: HostName,
        /// What it stands for.
        target: Target,
        /// The properties; empty if the line has none.
        properties: Properties,
    },
    /// `#!` and properties, without a name: a command that removes names.
    Removal(Properties),
}

impl FromStr for HostsLine {
    type Err = HostsLineError;

    /// Parses a line without its end. White space around the line, the name and the target is
    /// ignored, and so are comments that do not begin with `#!`.
    fn from_str(line: &str) -> Result<Self, Self::Err> {
        let line = line.trim();
        let (entry, properties) = match line.split_once('#') {
            None => (line, None),
            Some((entry, comment)) => (entry.trim(), comment.strip_prefix('!')),
        };
        let properties = Properties::parse(properties.unwrap_or_default());
        if entry.is_empty() {
            // Malformed text after `#!` is a comment to other programs.
            return Ok(match properties? {
                none if none.is_empty() => Self::Blank,
                properties => Self::Removal(properties),
            });
        }
        let (name, target) = entry.split_once('=').ok_or(HostsLineError::NoTarget)?;
        Ok(Self::Entry {
            name: name.trim().parse()?,
            target: target.trim().parse()?,
            properties: properties?,
        })
    }
}

impl fmt::Display for HostsLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blank => Ok(()),
            Self::Entry {
                name,
                target,
                properties,
            } => {
                write!(f, "{name}={target}")?;
                if !properties.is_empty() {
                    write!(f, "#!{properties}")?;
                }
                Ok(())
            }
            Self::Removal(properties) => write!(f, "#!{properties}"),
        }
    }
}

/// The reason why a line is not an entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HostsLineError {
    /// The line has no `=`.
    #[error("expected name=destination")]
    NoTarget,
    /// The name is not a host name.
    #[error(transparent)]
    Name(#[from] HostNameError),
    /// The text after `=` is not a destination.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The properties are malformed.
    #[error(transparent)]
    Properties(#[from] PropertiesError),
    /// The line is longer than the limit.
    #[error("the line has more than {0} bytes")]
    TooLong(usize),
    /// The line is not UTF-8.
    #[error("the line is not valid UTF-8")]
    Encoding,
}
