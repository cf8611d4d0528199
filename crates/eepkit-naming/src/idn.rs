//! International host names: conversion to punycode, and the form for users.

use std::borrow::Cow;

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use unicode_security::{
    RestrictionLevel, RestrictionLevelDetection, confusable_detection::skeleton,
};

/// Returns a name in lower-case ASCII, or `None` if its international characters are not valid.
///
/// Names in ASCII are converted to lower case only: names with `xn--` labels that are not valid
/// punycode remain names, because look-ups enforce no rules.
pub(crate) fn to_ascii(text: &str) -> Option<String> {
    if text.is_ascii() {
        return Some(text.to_ascii_lowercase());
    }
    Uts46::new()
        .to_ascii(
            text.as_bytes(),
            AsciiDenyList::STD3,
            Hyphens::CheckFirstLast,
            DnsLength::Ignore,
        )
        .ok()
        .map(Cow::into_owned)
}

/// Returns a name with each international label in Unicode if it is safe to show.
pub(crate) fn to_unicode(ascii: &str) -> String {
    let (bytes, rules) = (ascii.as_bytes(), AsciiDenyList::STD3);
    // Invalid names are excluded first: for a label of another direction beside an ASCII label that
    // begins with a digit, `to_user_interface` of idna 1.1 fails an assertion of its own.
    let (_, valid) = Uts46::new().to_unicode(bytes, rules, Hyphens::Allow);
    if valid.is_err() {
        return ascii.to_owned();
    }
    let is_shown = |label: &[char], _: &[char], _| is_safe(label);
    let (shown, result) = Uts46::new().to_user_interface(bytes, rules, Hyphens::Allow, is_shown);
    // What is shown can be typed, and is then the same name. Labels that are punycode of text that
    // begins with `xn--` cannot.
    match result {
        Ok(()) if to_ascii(&shown).as_deref() == Some(ascii) => shown.into_owned(),
        _ => ascii.to_owned(),
    }
}

/// Whether a label is valid punycode of a label in canonical form, if it begins with `xn--`.
pub(crate) fn is_canonical(label: &str) -> bool {
    if !label.starts_with("xn--") {
        return true;
    }
    let (unicode, result) = Uts46::new().to_unicode(
        label.as_bytes(),
        AsciiDenyList::STD3,
        Hyphens::CheckFirstLast,
    );
    result.is_ok() && !unicode.is_ascii() && to_ascii(&unicode).as_deref() == Some(label)
}

/// Whether a label cannot be mistaken for another one.
fn is_safe(label: &[char]) -> bool {
    let label: String = label.iter().filter(|&&c| c != '-').collect();
    label.check_restriction_level(RestrictionLevel::HighlyRestrictive)
        && !skeleton(&label).all(|c| c.is_ascii())
}
