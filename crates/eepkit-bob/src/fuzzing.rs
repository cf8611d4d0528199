//! The functions that the fuzz targets run. Each function accepts any bytes, and panics if a parser
//! violates one of its guarantees. The parsers themselves must never panic.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    Command, Database, Limits, LineReader, Nickname, Stage, Status, TargetReader,
    client::{Client, Output as Heard},
    server::{Answer, Config, Connection, Output, Request},
};

/// A fuzz target.
pub type Target = fn(&[u8]);

/// The targets by name.
pub const TARGETS: [(&str, Target); 4] = [
    ("bob_bridge", bridge),
    ("bob_client", client),
    ("bob_lines", lines),
    ("bob_saved", saved),
];

/// Runs two connections to a bridge with actions of clients and of the driver in any order. Each
/// command but `help` gets one line that begins with OK or ERROR, and the tunnels can be saved.
pub fn bridge(data: &[u8]) {
    let config = Arc::new(Config::default());
    let mut database = Database::new(Limits::default());
    let fresh = |number: u8| Connection::new(config.clone(), [number; 32]);
    let mut sockets = [fresh(0), fresh(1)];
    let mut rest = data;
    while let [op, argument, after @ ..] = rest {
        rest = after;
        let socket = &mut sockets[usize::from(op & 1)];
        match op >> 1 & 7 {
            // Whole lines are more frequent than random bytes.
            0..=2 => {
                let line = LINES[usize::from(*argument) % LINES.len()];
                if socket.wants_bytes() {
                    socket.handle_bytes(&mut database, line.as_bytes());
                }
            }
            3 => {
                let (bytes, after) = rest.split_at(rest.len().min(usize::from(*argument)));
                rest = after;
                if socket.wants_bytes() {
                    socket.handle_bytes(&mut database, bytes);
                }
            }
            4 => {
                let result = match argument & 1 {
                    0 => Ok(()),
                    _ => Err("no\nport".to_owned()),
                };
                socket.handle_answer(&mut database, Answer::Started(result));
            }
            5 => socket.handle_answer(&mut database, Answer::Found(None)),
            6 => {
                let stages = [
                    Stage::Idle,
                    Stage::Starting,
                    Stage::Running,
                    Stage::Stopping,
                ];
                if let Ok(nick) = Nickname::new("a") {
                    database.set_stage(&nick, stages[usize::from(argument & 3)]);
                }
            }
            _ => {
                socket.handle_end();
                drain(socket);
                *socket = fresh(*argument);
            }
        }
        drain(socket);
    }
    let saved = database.to_saved();
    let (again, _) = Database::from_saved(&saved, Limits::default()).expect("can be read");
    for nick in database.nicknames() {
        assert_eq!(again.tunnel(nick), database.tunnel(nick), "{nick}");
        let status = database.status(nick).expect("it is there");
        assert_eq!(Status::parse(&format!("DATA {status}")), Ok(status));
    }
    assert!(again.len() == database.len());
}

/// Takes the outputs of a machine. Each answer is text that ends with a line.
fn drain(socket: &mut Connection) {
    let mut outputs = 0;
    while let Some(output) = socket.poll_output() {
        outputs += 1;
        assert!(outputs < 100_000, "the machine does not become idle");
        match output {
            Output::Send(text) => {
                assert!(text.ends_with('\n'), "{}", text.len());
                for line in text.lines() {
                    let word = line.split(' ').next().unwrap_or_default();
                    assert!(matches!(word, "BOB" | "OK" | "ERROR" | "DATA"), "{word}");
                }
            }
            Output::Request(Request::Zap | Request::Visit) | Output::Close => {}
            Output::Request(_) => {}
        }
    }
}

/// For any input from a bridge, each answer belongs to a command, and nothing follows the end.
#[expect(clippy::disallowed_methods, reason = "some instant to begin with")]
pub fn client(data: &[u8]) {
    let now = Instant::now();
    let limit = Duration::from_secs(1);
    let mut client = Client::new(now);
    let mut asked = 0;
    for command in [Command::List, Command::GetKeys, Command::Quit] {
        asked += usize::from(client.command(command, limit));
    }
    let mut is_over = false;
    let mut drain = |client: &mut Client| {
        loop {
            match client.poll_output() {
                Heard::Timeout(_) => return,
                Heard::Transmit(text) => assert!(text.ends_with('\n')),
                Heard::Reply(_) => {
                    assert!(!is_over && asked > 0);
                    asked -= 1;
                }
                Heard::Closed(_) => {
                    assert!(!is_over);
                    is_over = true;
                }
                Heard::Ready(_) => assert!(!is_over),
            }
        }
    };
    for piece in data.chunks(64) {
        client.handle_bytes(now, piece);
        drain(&mut client);
    }
    client.handle_timeout(now + Duration::from_secs(60));
    client.handle_end(now);
    drain(&mut client);
    assert!(is_over);
    let _ = Status::parse(&String::from_utf8_lossy(data));
}

/// Splitting the bytes into pieces changes neither the lines nor the destination of a connection.
pub fn lines(data: &[u8]) {
    let (choice, stream) = data.split_at(data.len().min(1));
    let length = usize::from(choice.first().copied().unwrap_or(1)).max(1);
    let read = |pieces: usize| {
        let mut reader = LineReader::new(LIMIT);
        let mut lines = Vec::new();
        for mut piece in stream.chunks(pieces) {
            loop {
                let taken = reader.push(piece);
                piece = &piece[taken..];
                match reader.next_line() {
                    Ok(Some(line)) => {
                        let _ = Command::parse(&line);
                        lines.push(Ok((*line).clone()));
                    }
                    Ok(None) if piece.is_empty() => break,
                    Ok(None) => {}
                    Err(error) => {
                        lines.push(Err(error));
                        return lines;
                    }
                }
            }
        }
        lines
    };
    assert_eq!(read(length), read(usize::MAX));
    let connect = |pieces: usize| {
        let mut reader = TargetReader::new();
        let mut pieces = stream.chunks(pieces);
        loop {
            match reader.push(pieces.next()?) {
                Ok(None) => {}
                Ok(Some((host, mut rest))) => {
                    pieces.for_each(|piece| rest.extend_from_slice(piece));
                    return Some(Ok((host, rest)));
                }
                Err(error) => return Some(Err(error)),
            }
        }
    };
    assert_eq!(connect(length), connect(usize::MAX));
}

/// Whatever can be read as saved tunnels is the same after it was saved again.
pub fn saved(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Ok((database, _)) = Database::from_saved(&text, Limits::default()) else {
        return;
    };
    let saved = database.to_saved();
    let (again, _) = Database::from_saved(&saved, Limits::default()).expect("can be read");
    assert_eq!(again.to_saved(), saved);
}

const LINES: [&str; 24] = [
    "setnick a\n",
    "setnick b\n",
    "getnick a\n",
    "newkeys\n",
    "inport 2000\n",
    "outport 3000\n",
    "inport x\n",
    "inhost 127.0.0.1\n",
    "outhost localhost\n",
    "option inbound.length=1 outbound.length=2\n",
    "quiet True\n",
    "start\n",
    "stop\n",
    "clear\n",
    "list\n",
    "show\n",
    "showprops\n",
    "status a\n",
    "lookup a.i2p\n",
    "verify AAAA\n",
    "getkeys\ngetdest\n",
    "help\nhelp start\nhelp me\n",
    "quit\n",
    "zap\n",
];

/// Chosen small, so that a fuzzer reaches it.
const LIMIT: usize = 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn fuzz_targets_accept_random_bytes(data in prop::collection::vec(any::<u8>(), 0..600)) {
            for (_, target) in TARGETS {
                target(&data);
            }
        }

        #[test]
        fn fuzz_targets_accept_bob_like_input(
            text in "((OK|ERROR|BOB|DATA|setnick|option|inport|tunnel\\.0\\.nickname=)[ a-z=.0-9]{0,12}\r?\n){0,12}"
        ) {
            for (_, target) in TARGETS {
                target(text.as_bytes());
            }
        }
    }
}
