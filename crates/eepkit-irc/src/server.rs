//! The filter between a peer on I2P and an IRC server.

use std::{fmt, net::IpAddr};

use crate::{
    lines::{Limits, Line, Lines},
    message::Message,
};

/// Filters what a peer on I2P sends to an IRC server, until the peer has registered.
///
/// All peers reach the server from the same address. The filter gives the server a host name for
/// each, so that it can tell users apart, and ban them. Behind the registration, bytes pass
/// unchanged. What the server sends needs no filter.
#[derive(Debug, Clone)]
pub struct ServerFilter {
    method: Method,
    host_name: String,
    lines: Lines,
    /// The lines before the registration.
    count: usize,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing was received.
    New,
    Registering,
    /// The last line may have a second character at its end, which was not received.
    LineEnd,
    Registered,
    Failed(RegistrationError),
}

/// How a server gets the host name of a peer.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Method {
    /// In the message `USER`, as its second parameter. Few servers use it.
    User,
    /// In the message `WEBIRC`, which precedes all others, and in `USER`.
    #[non_exhaustive]
    WebIrc {
        /// The password of the gateway in the configuration of the server.
        password: String,
        /// The IP address that the server attributes to the peer.
        address: IpAddr,
    },
}

/// A value that cannot be a part of the message `WEBIRC`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the password of WEBIRC is 1 to 200 characters of ASCII without spaces, and does not begin with a colon"
)]
pub struct MethodError;

/// Why a peer cannot register.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegistrationError {
    /// There were too many lines without `USER` or `SERVER`.
    #[error("more than {MAX_LINES} lines before USER")]
    TooManyLines,
    /// A line was longer than the limit.
    #[error("a line before USER is longer than {MAX_LINE} bytes")]
    LineTooLong,
}

impl Method {
    /// The method with `WEBIRC`.
    ///
    /// # Errors
    ///
    /// [`MethodError`] if the password cannot be a parameter of an IRC message.
    pub fn web_irc(password: impl Into<String>, address: IpAddr) -> Result<Self, MethodError> {
        let password = password.into();
        let is_word = (1..=200).contains(&password.len())
            && password.bytes().all(|byte| byte.is_ascii_graphic())
            && !password.starts_with(':');
        match is_word {
            true => Ok(Self::WebIrc { password, address }),
            false => Err(MethodError),
        }
    }
}

/// Hides the password.
impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User => f.write_str("User"),
            Self::WebIrc { address, .. } => f
                .debug_struct("WebIrc")
                .field("address", address)
                .finish_non_exhaustive(),
        }
    }
}

impl ServerFilter {
    /// Creates a filter. Characters of `host_name` other than letters, digits, `.` and `-` are
    /// removed.
    pub fn new(method: Method, host_name: &str) -> Self {
        let is_part = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
        Self {
            method,
            host_name: host_name.chars().filter(is_part).collect(),
            lines: Lines::new(LIMITS),
            count: 0,
            state: State::New,
        }
    }

    /// Adds bytes of the peer, and appends what may be sent to the server to `output`.
    ///
    /// # Errors
    ///
    /// [`RegistrationError`]; then and later, the peer should get [`refusal`](Self::refusal), and be
    /// closed.
    pub fn receive(&mut self, bytes: &[u8], output: &mut Vec<u8>) -> Result<(), RegistrationError> {
        if let State::Failed(error) = self.state {
            return Err(error);
        }
        if self.state == State::New && !bytes.is_empty() {
            if let Method::WebIrc { password, address } = &self.method {
                let line = format!("WEBIRC {password} cgiirc {} {address}\r\n", self.host_name);
                output.extend_from_slice(line.as_bytes());
            }
            self.state = State::Registering;
        }
        if matches!(self.state, State::LineEnd | State::Registered) {
            self.pass(bytes, output);
            return Ok(());
        }
        // Taken out, because the closure borrows the rest.
        let mut lines = std::mem::replace(&mut self.lines, Lines::new(LIMITS));
        let used = lines.push(bytes, |line| {
            self.line(line, output);
            self.state == State::Registering
        });
        self.lines = lines;
        match self.state {
            State::Failed(error) => Err(error),
            State::LineEnd | State::Registered => {
                self.pass(&bytes[used..], output);
                Ok(())
            }
            State::New | State::Registering => Ok(()),
        }
    }

    /// Whether the peer has sent `USER` or `SERVER`. Servers close connections that do not.
    pub fn is_registered(&self) -> bool {
        matches!(self.state, State::LineEnd | State::Registered)
    }

    /// What a peer gets that cannot register, or whose server cannot be reached.
    pub fn refusal(why: &str) -> Vec<u8> {
        let why: String = why.chars().filter(|c| !c.is_control()).take(200).collect();
        format!(":ircserver.i2p 499 * :{why}\r\nERROR :{why}\r\n").into_bytes()
    }

    /// Passes bytes behind the registration.
    fn pass(&mut self, mut bytes: &[u8], output: &mut Vec<u8>) {
        if self.state == State::LineEnd && !bytes.is_empty() {
            bytes = bytes.strip_prefix(b"\n").unwrap_or(bytes);
            self.state = State::Registered;
        }
        output.extend_from_slice(bytes);
    }

    fn line(&mut self, line: Line<'_>, output: &mut Vec<u8>) {
        let Line::Whole(line) = line else {
            self.state = State::Failed(RegistrationError::LineTooLong);
            return;
        };
        if self.count == MAX_LINES {
            self.state = State::Failed(RegistrationError::TooManyLines);
            return;
        }
        self.count += 1;
        let Some(message) = Message::parse(line) else {
            return;
        };
        let line = match &message.verb()[..] {
            // A peer must not choose its own host name, or guess passwords.
            b"WEBIRC" | b"PROXY" => return,
            b"USER" => {
                self.state = State::LineEnd;
                self.user(&message)
            }
            b"SERVER" => {
                self.state = State::LineEnd;
                line.to_vec()
            }
            _ => line.to_vec(),
        };
        output.extend_from_slice(&line);
        output.extend_from_slice(b"\r\n");
    }

    fn user(&self, message: &Message<'_>) -> Vec<u8> {
        let parameters = message.parameters();
        let parameter = |at: usize| parameters.get(at).copied().filter(|text| !text.is_empty());
        // The server reports that parameters are missing.
        let [Some(name), Some(_), Some(server), Some(real)] = [0, 1, 2, 3].map(parameter) else {
            return [b"USER ", message.rest].concat();
        };
        let host = self.host_name.as_bytes();
        let words = [b"USER", name, host, server, &[b":", real].concat()];
        words.join(&b' ')
    }
}

/// The longest line before the registration, in bytes. Source: the limit of Java I2P.
const MAX_LINE: usize = 1024;

const LIMITS: Limits = Limits {
    tags: MAX_LINE,
    rest: MAX_LINE,
};

/// Lines before `USER`. Chosen as more than `CAP`, `PASS`, `NICK` and a second `NICK` with those of
/// a negotiation of capabilities.
const MAX_LINES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "abcdef.b32.i2p";

    fn web_irc() -> Method {
        Method::web_irc("secret", [127, 0, 0, 1].into()).expect("a password")
    }

    fn filtered(method: Method, input: &str) -> String {
        let whole = run(method.clone(), input, input.len().max(1));
        for piece in 1..input.len() {
            assert_eq!(run(method.clone(), input, piece), whole, "{piece}");
        }
        whole.expect("it can register")
    }

    fn run(method: Method, input: &str, piece: usize) -> Result<String, RegistrationError> {
        let mut filter = ServerFilter::new(method, HOST);
        let mut output = Vec::new();
        for piece in input.as_bytes().chunks(piece) {
            filter.receive(piece, &mut output)?;
        }
        Ok(String::from_utf8(output).expect("UTF-8"))
    }

    #[test]
    fn the_server_gets_the_address_of_the_peer_as_its_host() {
        assert_eq!(
            filtered(
                Method::User,
                "NICK me\nUser me host * :R N\nPRIVMSG #x :USER a b c d\n"
            ),
            format!("NICK me\r\nUSER me {HOST} * :R N\r\nPRIVMSG #x :USER a b c d\n")
        );
        assert_eq!(
            filtered(web_irc(), "NICK me\r\nUSER me 8 * R\r\n"),
            format!("WEBIRC secret cgiirc {HOST} 127.0.0.1\r\nNICK me\r\nUSER me {HOST} * :R\r\n")
        );
        assert_eq!(filtered(web_irc(), ""), "");
    }

    #[test]
    fn a_peer_cannot_choose_its_host() {
        let input = "webirc secret cgiirc other 1.1.1.1\r\nPROXY TCP4 1.1.1.1 1.1.1.1 1 1\r\nNICK a\r\nUSER a b c :d\r\n";
        assert_eq!(
            filtered(Method::User, input),
            format!("NICK a\r\nUSER a {HOST} c :d\r\n")
        );
    }

    #[test]
    fn what_the_server_must_report_passes() {
        assert_eq!(filtered(Method::User, "USER a b\nx"), "USER a b\r\nx");
        assert_eq!(
            filtered(Method::User, "SERVER irc.x 1 :info\nx"),
            "SERVER irc.x 1 :info\r\nx"
        );
    }

    #[test]
    fn a_peer_that_does_not_register_is_refused() {
        let many = "PASS x\n".repeat(MAX_LINES + 1);
        assert_eq!(
            run(Method::User, &many, 7),
            Err(RegistrationError::TooManyLines)
        );
        let long = "x".repeat(5000);
        let mut filter = ServerFilter::new(Method::User, HOST);
        let mut output = Vec::new();
        assert_eq!(filter.receive(long.as_bytes(), &mut output), Ok(()));
        for _ in 0..2 {
            let result = filter.receive(b"\n", &mut output);
            assert_eq!(result, Err(RegistrationError::LineTooLong));
        }
        assert!(output.is_empty() && !filter.is_registered());
        let refusal = ServerFilter::refusal("a\r\nb");
        assert_eq!(refusal, b":ircserver.i2p 499 * :ab\r\nERROR :ab\r\n");
    }

    #[test]
    fn passwords_are_words_and_are_not_shown() {
        let address = [127, 0, 0, 1].into();
        for password in ["", "a b", "a\nb", ":a", "\u{e4}"] {
            assert_eq!(
                Method::web_irc(password, address),
                Err(MethodError),
                "{password:?}"
            );
        }
        assert!(!format!("{:?}", web_irc()).contains("secret"));
    }
}
