//! The function that the fuzz target runs. It accepts any bytes, and panics if a filter violates one
//! of its guarantees.

use crate::{ClientFilter, Method, ServerFilter};

/// Runs both filters over a conversation. A piece begins with a byte: its lowest bit selects the
/// sender, the others are the length.
///
/// # Panics
///
/// If the division of the input into pieces matters, or something passes that must not.
pub fn conversation(data: &[u8]) {
    let whole = run(data, usize::MAX);
    assert_eq!(whole, run(data, 3), "the division into pieces matters");
    for (output, who) in [(&whole.to_server, "client"), (&whole.to_client, "server")] {
        assert!(!output.contains(&0), "NUL of the {who}");
        for line in output
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            let line = line.strip_suffix(b"\r").expect("lines end with CR LF");
            assert!(!line.contains(&b'\r') && line.len() <= LONGEST, "{line:?}");
        }
    }
    for line in whole.to_server.split(|byte| *byte == b'\n') {
        let text = String::from_utf8_lossy(line).to_uppercase();
        assert!(
            !text.starts_with(':') && !text.contains("\u{1}DCC"),
            "{text:?}"
        );
        if let Some(rest) = text.strip_prefix("QUIT") {
            assert_eq!(rest.trim_end(), " :LEAVING");
        }
    }
    let text = String::from_utf8_lossy(&whole.from_peer);
    let users = text.lines().filter(|line| line.starts_with("WEBIRC "));
    assert!(users.count() <= 1 || text.contains("\r\nUSER ") || text.contains("\r\nSERVER "));
}

#[derive(Debug, PartialEq, Eq, Default)]
struct Outputs {
    to_server: Vec<u8>,
    to_client: Vec<u8>,
    from_peer: Vec<u8>,
}

fn run(mut data: &[u8], size: usize) -> Outputs {
    let address = [127, 0, 0, 1].into();
    let method = Method::web_irc("secret", address).expect("a password");
    let mut client = ClientFilter::new();
    let mut server = ServerFilter::new(method, "peer.b32.i2p");
    let mut outputs = Outputs::default();
    while let Some((control, rest)) = data.split_first() {
        let length = usize::from(control >> 1).min(rest.len());
        let (piece, rest) = rest.split_at(length);
        data = rest;
        for piece in piece.chunks(size.min(length.max(1))) {
            match control & 1 {
                0 => {
                    client.receive_from_client(piece, &mut outputs.to_server);
                    // An error repeats until the end.
                    let _ = server.receive(piece, &mut outputs.from_peer);
                }
                _ => client.receive_from_server(piece, &mut outputs.to_client),
            }
        }
    }
    outputs
}

/// The longest line of a client filter: tags, a message, and the words that replace others.
const LONGEST: usize = 8191 + 1024 + 200;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pieces(lines: &[(bool, String)]) -> Vec<u8> {
        let mut data = Vec::new();
        for (is_server, line) in lines {
            let line = line.as_bytes();
            let line = &line[..line.len().min(127)];
            let length = u8::try_from(line.len()).expect("at most 127");
            data.push(length << 1 | u8::from(*is_server));
            data.extend_from_slice(line);
        }
        data
    }

    proptest! {
        #[test]
        fn any_bytes_are_handled(data in proptest::collection::vec(any::<u8>(), 0..600)) {
            conversation(&data);
        }

        #[test]
        fn any_conversation_is_handled(
            lines in proptest::collection::vec(
                (any::<bool>(), "(@a=b )?(:x )?(USER|QUIT|PING|PONG|PRIVMSG|NOTICE|CAP|WEBIRC|001)( [ -~\x01]{0,30})?(\r\n|\r|\n)?"),
                0..12,
            ),
        ) {
            conversation(&pieces(&lines));
        }
    }
}
