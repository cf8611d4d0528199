//! Deviations of particular bridges from the specification, and how the client handles them.
//!
//! No bridge sends the name of its program. The client therefore uses forms that work with every
//! bridge, or tries a request to find out whether the bridge supports it. Only emissary can be
//! identified, by its answers ([`is_emissary`]).
//!
//! | bridge | behaviour | what the client does |
//! |---|---|---|
//! | emissary 0.4 | writes `DUPLICATE_ID` and `DUPLICATE_DEST` | reads both spellings ([`ResultCode::parse`](crate::ResultCode::parse)) |
//! | emissary 0.4 | sends some refusals without a newline, and closes the connection | reads a last line without its newline ([`last_line`]) |
//! | emissary 0.4 | answers HELLO with 3.2 at most, but supports PRIMARY | requests PRIMARY from 3.2 on ([`may_have_primary`]) |
//! | emissary 0.4 | ignores an unknown command, and continues | every request has a deadline, after which the connection is closed |
//! | emissary 0.4 | generates keys only for `SIGNATURE_TYPE=7`, as a number | always sends the type, as a number |
//! | emissary 0.4 | looks up addresses and names only on the connection of a session; on others it answers KEY_NOT_FOUND | repeats a look-up that was not found on the connection of the session |
//! | emissary 0.4 | delivers each datagram, whatever its protocol, to the one subsession whose `FROM_PORT` is its port; refuses a second subsession with that port; supports neither LISTEN_PORT nor HEADER | all formats share a socket, and the second subsession has another port |
//! | emissary 0.4 | delivers raw datagrams unchanged and signed ones after a line with their sender, so that a raw datagram can imitate a signed one | treats such a datagram as signed, but its sender as claimed only |
//! | emissary 0.4 | splits a Datagram2 at the wrong offset, for a short one beyond its end, and has no Datagram3 | requests neither ([`emissary_has`]) |
//! | emissary 0.4 | sends datagrams from port 0 to port 0 | nothing: its sessions receive datagrams to port 0 |
//! | i2pd | closes the connection after its PONG | a PING is sent only if the bridge has answered two on one connection ([`PING_PROBES`]); otherwise the session's own destination is looked up |
//! | i2pd | supports the style MASTER, but not PRIMARY, and only streams in it | after a refusal of PRIMARY, requests a session of style STREAM; datagrams use sessions of their own with the same keys |
//! | i2pd | allows several sessions with one destination; others answer DUPLICATED_DEST | if the bridge answers so, there are no datagrams beside streams |
//! | i2pd | drops bytes that follow HELLO in the same segment | sends nothing before the previous line is answered, HELLO included |
//! | i2pd | does not support quotes: a value ends at its first space | [`is_plain`] returns whether a value arrives complete |
//! | i2pd before 2.50 | allows one ACCEPT at a time in every version | after a refusal, keeps one open at a time ([`is_one_accept_only`]) |
//! | i2pd | never sends the ports of streams and datagrams | they are 0 ([`PeerLine`](crate::PeerLine)) |
//! | i2pd | answers `SESSION ADD` with `DESTINATION=` instead of `ID=` | needs neither |
//! | i2pd | answers an unknown name with INVALID_KEY, Java I2P with KEY_NOT_FOUND | both mean that the name does not exist ([`is_name_unknown`]) |
//! | i2pd | refuses `<>"'/` in an ID | IDs are hexadecimal digits |
//! | i2pd | inverts `i2cp.dontPublishLeaseSet` | sends it only if it was set |
//! | i2pd | answers `STREAM CONNECT` with OK as soon as it has the lease set | a peer that does not listen appears as the end of the stream |
//! | Java I2P | closes the connection after `NAME=ME` without a session | does not send it: the client has its keys |
//! | Java I2P 2.8 | lacks DATAGRAM2 and DATAGRAM3 | reports the refusal |

use crate::{
    result::{Failure, ResultCode},
    style::Style,
    version::Version,
};

/// The number of PINGs that a bridge must answer on one connection before its sessions use
/// keep-alive. Chosen because i2pd answers one PING and then closes the connection.
pub const PING_PROBES: u8 = 2;

/// Whether the bridge may support PRIMARY sessions. They are part of 3.3, but emissary supports
/// them and answers 3.2.
pub fn may_have_primary(version: Version) -> bool {
    version >= Version::V3_2
}

/// Whether a bridge that created a PRIMARY session is emissary. PRIMARY is part of 3.3, and no
/// other bridge supports it with an older version.
pub fn is_emissary(version: Version) -> bool {
    version < Version::V3_3
}

/// Whether emissary supports datagrams of this style. It splits the signed part of a Datagram2 at
/// the wrong offset, so it accepts none, and its session panics on a short one.
pub fn emissary_has(style: Style) -> bool {
    matches!(style, Style::Raw | Style::Datagram)
}

/// Whether a refusal of `SESSION CREATE STYLE=PRIMARY` may mean that the bridge does not support
/// the style, so that another style may work. i2pd answers I2P_ERROR with "Unknown STYLE". Refusals
/// of the ID or the keys do not depend on the style.
pub fn is_style_unknown(failure: &Failure) -> bool {
    !matches!(
        failure.result,
        ResultCode::DuplicatedDest | ResultCode::DuplicatedId | ResultCode::InvalidKey
    )
}

/// Whether a refusal of STREAM ACCEPT means that the bridge allows only one at a time.
pub fn is_one_accept_only(failure: &Failure) -> bool {
    // i2pd answers I2P_ERROR with "Already accepting".
    failure.result == ResultCode::AlreadyAccepting
        || (failure.result == ResultCode::I2pError
            && failure
                .message
                .to_ascii_lowercase()
                .contains("already accepting"))
}

/// Whether a refusal of NAMING LOOKUP means that the name does not exist.
pub fn is_name_unknown(failure: &Failure) -> bool {
    matches!(
        failure.result,
        ResultCode::KeyNotFound | ResultCode::InvalidKey
    )
}

/// Whether every bridge reads the value unchanged. i2pd does not support quotes, so a space ends
/// the value.
pub fn is_plain(value: &str) -> bool {
    !value.is_empty() && !value.contains(|c: char| c.is_whitespace() || matches!(c, '"' | '\\'))
}

/// Returns the line in the bytes that were left when the bridge closed the connection. emissary
/// omits the newline of some lines.
pub fn last_line(rest: &[u8]) -> Option<&str> {
    let line = std::str::from_utf8(rest).ok()?.trim_end_matches('\r');
    let text = !line.is_empty() && !line.contains(char::is_control);
    text.then_some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn primary_is_requested_from_3_2_on_because_of_emissary() {
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
    fn an_unknown_style_is_distinguished_from_a_key_in_use() {
        assert!(is_style_unknown(&Failure::error("Unknown STYLE")));
        for code in [ResultCode::DuplicatedDest, ResultCode::InvalidKey] {
            assert!(!is_style_unknown(&Failure::new(code, "")));
        }
    }

    #[test]
    fn refusals_of_a_second_accept_are_recognised() {
        assert!(is_one_accept_only(&Failure::error("Already accepting")));
        let word = Failure::new(ResultCode::AlreadyAccepting, "");
        assert!(is_one_accept_only(&word));
        assert!(!is_one_accept_only(&Failure::error("no tunnels")));
    }

    #[test]
    fn an_unknown_name_has_two_result_codes() {
        for code in [ResultCode::KeyNotFound, ResultCode::InvalidKey] {
            assert!(is_name_unknown(&Failure::new(code, "")));
        }
        assert!(!is_name_unknown(&Failure::new(ResultCode::Timeout, "")));
    }

    #[test]
    fn values_with_spaces_are_not_plain() {
        assert!(is_plain("4,0") && is_plain("a=b"));
        assert!(!is_plain("my service") && !is_plain("") && !is_plain("a\"b"));
    }

    #[test]
    fn the_last_line_of_emissary_needs_no_newline() {
        let line = "SESSION STATUS RESULT=DUPLICATE_ID";
        assert_eq!(last_line(line.as_bytes()), Some(line));
        assert_eq!(last_line(b""), None);
        assert_eq!(last_line(b"\xff\x00"), None);
    }
}
