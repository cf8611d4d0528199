//! What particular bridges do otherwise than the specification says, and what follows from it.
//!
//! No bridge says which program it is. So nothing here asks for a name: a way that works with all
//! is taken, or what a bridge can do is found out by asking. Only emissary gives itself away
//! ([`is_emissary`]).
//!
//! | bridge | what it does | what the client does |
//! |---|---|---|
//! | emissary 0.4 | writes `DUPLICATE_ID` and `DUPLICATE_DEST` | reads both spellings ([`ResultCode::parse`](crate::ResultCode::parse)) |
//! | emissary 0.4 | ends some refusals without a newline, and closes | a last line counts without its end ([`last_line`]) |
//! | emissary 0.4 | answers HELLO with 3.2 at most, and knows PRIMARY all the same | asks for PRIMARY from 3.2 on ([`may_have_primary`]) |
//! | emissary 0.4 | says nothing to a command that it does not know, and goes on | every request has a deadline, after which the connection counts as lost |
//! | emissary 0.4 | makes new keys only for `SIGNATURE_TYPE=7`, as a number | types are written as numbers, and always written |
//! | emissary 0.4 | looks addresses and names up on the connection of a session only; on others it says KEY_NOT_FOUND | asks there what it was told not to exist |
//! | emissary 0.4 | hands each datagram, whatever its protocol, to the one subsession with its port as `FROM_PORT`, and refuses a second one with that port; knows neither LISTEN_PORT nor HEADER | all formats share a socket, and the second one says another port |
//! | emissary 0.4 | hands over raw datagrams as they are and signed ones behind a line with their sender, so that anybody can send a raw one that looks signed | what looks signed is, but its sender is only claimed |
//! | emissary 0.4 | cuts a Datagram2 at the wrong place, for a short one beyond its end, and has no Datagram3 | neither is asked for ([`emissary_has`]) |
//! | emissary 0.4 | sends datagrams from port 0 to port 0 | nothing: its sessions get those to port 0 |
//! | i2pd | closes the connection after its PONG | keep-alive is off unless the bridge has answered two PINGs on one connection ([`PING_PROBES`]) |
//! | i2pd | knows the style MASTER, but not PRIMARY, and has only streams in it | a bridge that refuses PRIMARY gets a session of style STREAM; datagrams get sessions of their own with the same keys |
//! | i2pd | lets one destination have several sessions; others say DUPLICATED_DEST | where they say so, there are no datagrams beside streams |
//! | i2pd | drops what follows HELLO in the same segment | nothing is sent before HELLO is answered, nor before the answer to what came before |
//! | i2pd | knows no quotes: a value ends at its first space | [`is_plain`] tells which values arrive there whole |
//! | i2pd before 2.50 | takes one ACCEPT at a time, whatever the version | after a refusal one is kept open at a time ([`is_one_accept_only`]) |
//! | i2pd | never tells the ports of streams and datagrams | they are 0 ([`PeerLine`](crate::PeerLine)) |
//! | i2pd | answers `SESSION ADD` with `DESTINATION=` instead of `ID=` | neither is needed |
//! | i2pd | answers an unknown name with INVALID_KEY, Java with KEY_NOT_FOUND | both mean that there is no such name ([`is_name_unknown`]) |
//! | i2pd | refuses `<>"'/` in an ID | IDs are hexadecimal digits |
//! | i2pd | reads `i2cp.dontPublishLeaseSet` the other way round | it is sent only where it was set |
//! | i2pd | `STREAM CONNECT` is OK as soon as the lease set is there | a peer that does not listen shows as the end of the stream |
//! | Java I2P | closes the connection after `NAME=ME` without a session | nobody asks: the client knows its keys |
//! | Java I2P 2.8 | lacks DATAGRAM2 and DATAGRAM3 | the refusal is passed on |

use crate::{
    result::{Failure, ResultCode},
    style::Style,
    version::Version,
};

/// How many PINGs a bridge has to answer on one connection before its sessions are kept alive with
/// them: i2pd answers one, and closes.
pub const PING_PROBES: u8 = 2;

/// Whether it makes sense to ask for a PRIMARY session. It came with 3.3, but emissary has it and
/// answers 3.2.
pub fn may_have_primary(version: Version) -> bool {
    version >= Version::V3_2
}

/// Whether a bridge that made a PRIMARY session is emissary's: PRIMARY came with 3.3, and no other
/// bridge has it and answers less.
pub fn is_emissary(version: Version) -> bool {
    version < Version::V3_3
}

/// Whether datagrams of this style go over emissary. It cuts the signed part of a Datagram2 at the
/// wrong place, so that it takes none, and its session panics over a short one.
pub fn emissary_has(style: Style) -> bool {
    matches!(style, Style::Raw | Style::Datagram)
}

/// Whether a refusal of `SESSION CREATE STYLE=PRIMARY` says that the bridge has no such style, so
/// that another style may work: i2pd says I2P_ERROR with "Unknown STYLE". Refusals of the ID or
/// the keys are not about the style.
pub fn is_style_unknown(failure: &Failure) -> bool {
    !matches!(
        failure.result,
        ResultCode::DuplicatedDest | ResultCode::DuplicatedId | ResultCode::InvalidKey
    )
}

/// Whether a refusal of STREAM ACCEPT says that one at a time is all that the bridge takes.
pub fn is_one_accept_only(failure: &Failure) -> bool {
    // i2pd says I2P_ERROR with "Already accepting".
    failure.result == ResultCode::AlreadyAccepting
        || (failure.result == ResultCode::I2pError
            && failure
                .message
                .to_ascii_lowercase()
                .contains("already accepting"))
}

/// Whether a refusal of NAMING LOOKUP says that there is no such name.
pub fn is_name_unknown(failure: &Failure) -> bool {
    matches!(
        failure.result,
        ResultCode::KeyNotFound | ResultCode::InvalidKey
    )
}

/// Whether every bridge reads a value as it was written: i2pd knows no quotes, so a space ends it.
pub fn is_plain(value: &str) -> bool {
    !value.is_empty() && !value.contains(|c: char| c.is_whitespace() || matches!(c, '"' | '\\'))
}

/// The line in the bytes that were left when the bridge closed: emissary forgets the end of some.
pub fn last_line(rest: &[u8]) -> Option<&str> {
    let line = std::str::from_utf8(rest).ok()?.trim_end_matches('\r');
    let text = !line.is_empty() && !line.contains(char::is_control);
    text.then_some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn primary_is_asked_for_from_3_2_on_because_of_emissary() {
        assert!(may_have_primary(Version::V3_2) && may_have_primary(Version::V3_3));
        assert!(!may_have_primary(Version::V3_1));
        assert!(is_emissary(Version::V3_2) && !is_emissary(Version::V3_3));
    }

    #[test]
    fn emissary_has_two_formats_of_datagrams() {
        let has = [
            Style::Raw,
            Style::Datagram,
            Style::Datagram2,
            Style::Datagram3,
        ]
        .map(emissary_has);
        assert_eq!(has, [true, true, false, false]);
    }

    #[test]
    fn i2pd_does_not_know_the_style_and_a_key_in_use_is_another_matter() {
        assert!(is_style_unknown(&Failure::error("Unknown STYLE")));
        for code in [ResultCode::DuplicatedDest, ResultCode::InvalidKey] {
            assert!(!is_style_unknown(&Failure::new(code, "")));
        }
    }

    #[test]
    fn old_i2pd_and_old_versions_take_one_accept() {
        assert!(is_one_accept_only(&Failure::error("Already accepting")));
        let word = Failure::new(ResultCode::AlreadyAccepting, "");
        assert!(is_one_accept_only(&word));
        assert!(!is_one_accept_only(&Failure::error("no tunnels")));
    }

    #[test]
    fn an_unknown_name_is_told_in_two_ways() {
        for code in [ResultCode::KeyNotFound, ResultCode::InvalidKey] {
            assert!(is_name_unknown(&Failure::new(code, "")));
        }
        assert!(!is_name_unknown(&Failure::new(ResultCode::Timeout, "")));
    }

    #[test]
    fn values_with_spaces_do_not_arrive_at_i2pd() {
        assert!(is_plain("4,0") && is_plain("a=b"));
        assert!(!is_plain("my service") && !is_plain("") && !is_plain("a\"b"));
    }

    #[test]
    fn emissarys_last_line_needs_no_end() {
        let line = "SESSION STATUS RESULT=DUPLICATE_ID";
        assert_eq!(last_line(line.as_bytes()), Some(line));
        assert_eq!(last_line(b""), None);
        assert_eq!(last_line(b"\xff\x00"), None);
    }
}
