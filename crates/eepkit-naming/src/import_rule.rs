//! The rules for names and destinations that other people propose.

use eepkit_wire::Destination;

use crate::{host_name::HostName, idn};

/// A rule for names and destinations that come from subscriptions and address helpers: naming
/// specification, section "Naming Rules". Look-ups and the user's own books do not apply them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum ImportRule {
    /// `--` occurs only in the prefix `xn--` of international labels.
    #[error("-- is allowed only in xn--")]
    DoubleHyphen,
    /// A label with the prefix `xn--` is valid punycode.
    #[error("a label that begins with xn-- is not valid punycode")]
    Punycode,
    /// Names that programs answer themselves are reserved, with everything below them.
    #[error(
        "proxy.i2p, router.i2p, console.i2p, mail.i2p and b32.i2p are reserved, with all names below them"
    )]
    Reserved,
    /// A label does not look like a base32 address without its suffix.
    #[error("it looks like a base32 address without .b32")]
    LooksLikeBase32,
    /// A destination has at most 616 characters in base64.
    #[error("the destination has more than 616 characters")]
    DestinationLength,
}

/// Checks a name and its destination against all import rules.
///
/// Names that begin with `www.` are discouraged, but pass.
///
/// # Errors
///
/// The first rule that is violated.
pub fn check_import(name: &HostName, destination: &Destination) -> Result<(), ImportRule> {
    check_import_name(name)?;
    // Base64 has four characters for every three bytes.
    if destination.as_bytes().len().div_ceil(3) * 4 > MAX_BASE64_CHARS {
        return Err(ImportRule::DestinationLength);
    }
    Ok(())
}

/// Checks a name against the import rules for names.
///
/// # Errors
///
/// The first rule that is violated.
pub fn check_import_name(name: &HostName) -> Result<(), ImportRule> {
    let broken = RULES.iter().find(|(_, holds)| !holds(name));
    broken.map_or(Ok(()), |&(rule, _)| Err(rule))
}

/// Returns whether a name obeys a rule.
type Check = fn(&HostName) -> bool;

/// The rules for names that [`HostName`] does not imply.
const RULES: [(ImportRule, Check); 4] = [
    (ImportRule::DoubleHyphen, |name| {
        name.labels()
            .all(|label| !label.strip_prefix("xn--").unwrap_or(label).contains("--"))
    }),
    (ImportRule::Punycode, |name| {
        name.labels().all(idn::is_canonical)
    }),
    (ImportRule::Reserved, |name| {
        let last = name.labels().last().unwrap_or_default();
        !RESERVED.contains(&last)
    }),
    (ImportRule::LooksLikeBase32, |name| {
        name.labels().all(|label| {
            label.len() != BASE32_CHARS || label.contains(|c| !matches!(c, 'a'..='z' | '2'..='7'))
        })
    }),
];

/// The second-level labels that programs answer themselves.
const RESERVED: [&str; 5] = ["proxy", "router", "console", "mail", "b32"];

/// The number of characters of a hash in base32.
const BASE32_CHARS: usize = 52;

/// The largest length of a destination in base64: naming specification, section "Naming Rules".
const MAX_BASE64_CHARS: usize = 616;

#[cfg(test)]
mod tests;
