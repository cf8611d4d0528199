//! A link over SAM to a bridge that sends anything.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::{Buf as _, BytesMut};
use eepkit_link::{
    Command, SendOptions,
    streams::{DatagramFormat, OutgoingDatagram, Target},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use super::{Client, LONGEST, Script, filler, paused, peer};
use crate::sam::SamRouter;

/// Runs a session, its streams and look-ups on a bridge that answers what the input demands, in any
/// order with commands of the application and with time.
///
/// The client sends only lines, the session opens or fails in time, each look-up and each stream
/// ends once and in time, nothing follows the end of the session, and no task is left.
///
/// # Panics
///
/// If a check fails.
pub fn sam(data: &[u8]) {
    let mut script = Script(data);
    let flags = script.byte().unwrap_or(0);
    paused(async move {
        let mut bridge = Bridge {
            connections: Vec::new(),
            fresh: Arc::default(),
            answers: flags & 1 == 0,
        };
        let mut client = Client::open(&bridge.router(), 0);
        let mut streams = JoinSet::new();
        while let (Some(operation), Some(argument)) = (script.byte(), script.byte()) {
            match operation % 16 {
                0..=6 => bridge.play(operation % 16, argument, &mut script),
                7 => {
                    client.submit(Command::Listen(argument & 1 == 0)).await;
                }
                8 => {
                    let format = FORMATS[usize::from(argument) % 4];
                    client.submit(Command::OpenDatagrams(format)).await;
                }
                9 => {
                    let token = client.sent;
                    let datagram = Command::SendDatagram(OutgoingDatagram {
                        token,
                        format: FORMATS[usize::from(argument) % 4],
                        to: peer(argument),
                        protocol: 18,
                        from_port: 0,
                        to_port: u16::from(argument),
                        payload: filler(argument),
                        deadline: Instant::now() + Duration::from_secs(u64::from(argument)),
                        options: SendOptions::default(),
                    });
                    if client.submit(datagram).await {
                        client.sent += 1;
                        client.reports.insert(token, false);
                    }
                }
                10 | 11 => client.look_up(argument).await,
                12 => {
                    let opener = client.link.as_ref().and_then(|link| link.streams());
                    if let Some(opener) = opener
                        && streams.len() < 8
                    {
                        let opening = opener.open(Target {
                            peer: peer(argument),
                            peer_port: u16::from(argument),
                            local_port: 0,
                        });
                        streams.spawn(async move {
                            let opened = timeout(LONGEST / 2, opening).await;
                            drop(opened.expect("a stream opens or fails in time"));
                        });
                    }
                }
                13 if argument & 7 == 0 => client.link = None,
                14 => sleep(Duration::from_secs(u64::from(argument))).await,
                _ => sleep(Duration::from_millis(u64::from(argument))).await,
            }
            client.settle(|| bridge.exchange()).await;
        }
        client.finish(|| bridge.exchange()).await;
        while let Some(ended) = streams.join_next().await {
            ended.expect("opening a stream does not panic");
        }
    });
}

const FORMATS: [DatagramFormat; 4] = [
    DatagramFormat::Raw,
    DatagramFormat::Datagram1,
    DatagramFormat::Datagram2,
    DatagramFormat::Datagram3,
];

/// A bridge, which sees every connection of the client.
struct Bridge {
    connections: Vec<Connection>,
    /// Connections that were opened since the last turn.
    fresh: Arc<Mutex<Vec<DuplexStream>>>,
    /// Whether every line gets the usual answer at once.
    answers: bool,
}

impl Bridge {
    fn router(&self) -> SamRouter {
        let fresh = self.fresh.clone();
        SamRouter::in_process("fuzzed", move || {
            let (near, far) = duplex(64 * 1024);
            let room = fresh.lock().is_ok_and(|mut fresh| {
                let room = fresh.len() < MAX_CONNECTIONS;
                if room {
                    fresh.push(far);
                }
                room
            });
            async move {
                match room {
                    true => Ok(near),
                    false => Err(io::ErrorKind::ConnectionRefused.into()),
                }
            }
        })
    }

    /// Reads and writes what is possible now.
    fn exchange(&mut self) {
        if let Ok(mut fresh) = self.fresh.lock() {
            self.connections
                .extend(fresh.drain(..).map(Connection::new));
        }
        self.connections.retain_mut(Connection::exchange);
        if self.answers {
            for connection in &mut self.connections {
                let lines = std::mem::take(&mut connection.lines);
                for line in lines {
                    connection.answer(&line);
                }
            }
        }
    }

    fn play(&mut self, operation: u8, argument: u8, script: &mut Script<'_>) {
        // The newest connections are the most interesting ones.
        let count = self.connections.len();
        let chosen = count.checked_sub(1 + usize::from(argument & 7) % count.max(1));
        let Some(connection) = chosen.and_then(|at| self.connections.get_mut(at)) else {
            return;
        };
        match operation {
            0 => connection.write(&script.bytes()),
            1 => {
                let line = connection.lines.pop().unwrap_or_default();
                connection.answer(&line);
            }
            2 => {
                let line = connection.lines.pop().unwrap_or_default();
                let result = RESULTS[usize::from(argument >> 3) % RESULTS.len()];
                let text = format!("{} RESULT={result} MESSAGE=\"no\"\n", reply(&line));
                connection.write(text.as_bytes());
            }
            // A reply with any rest.
            3 => {
                let line = connection.lines.pop().unwrap_or_default();
                let rest = String::from_utf8_lossy(&script.bytes()).into_owned();
                let text = format!("{} RESULT=OK {rest}\n", reply(&line));
                connection.write(text.as_bytes());
            }
            // A stream of a peer, with its first bytes.
            4 => {
                let from = peer(argument).to_base64();
                let text = format!("{from} FROM_PORT={argument} TO_PORT=0\n");
                connection.write(text.as_bytes());
                connection.write(&script.bytes());
            }
            5 => connection.closed = true,
            _ => self.answers = argument & 1 == 0,
        }
    }
}

/// The bridge's end of a connection.
struct Connection {
    socket: DuplexStream,
    received: Vec<u8>,
    /// Lines that have no answer yet.
    lines: Vec<String>,
    outgoing: BytesMut,
    closed: bool,
    is_stream: bool,
}

impl Connection {
    fn new(socket: DuplexStream) -> Self {
        Self {
            socket,
            received: Vec::new(),
            lines: Vec::new(),
            outgoing: BytesMut::new(),
            closed: false,
            is_stream: false,
        }
    }

    /// Returns whether the connection is still open.
    fn exchange(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        while !self.outgoing.is_empty() {
            match Pin::new(&mut self.socket).poll_write(&mut cx, &self.outgoing) {
                Poll::Ready(Ok(written)) => self.outgoing.advance(written),
                Poll::Ready(Err(_)) => return false,
                Poll::Pending => break,
            }
        }
        let mut buffer = [0; 4096];
        loop {
            let mut read = ReadBuf::new(&mut buffer);
            match Pin::new(&mut self.socket).poll_read(&mut cx, &mut read) {
                Poll::Ready(Ok(())) if !read.filled().is_empty() => {
                    self.received.extend_from_slice(read.filled());
                }
                Poll::Ready(_) => return false,
                Poll::Pending => break,
            }
        }
        while !self.is_stream
            && let Some(end) = self.received.iter().position(|byte| *byte == b'\n')
        {
            let line: Vec<u8> = self.received.drain(..=end).collect();
            let line = String::from_utf8(line).expect("the client sends text");
            assert!(line.len() < 16 * 1024, "the client sends short lines");
            self.lines.push(line.trim_end().to_owned());
        }
        !(self.closed && self.outgoing.is_empty())
    }

    /// Sends the answer of a bridge that can do everything.
    fn answer(&mut self, line: &str) {
        let text = match line.split(' ').next() {
            Some("HELLO") => "HELLO REPLY RESULT=OK VERSION=3.3\n".to_owned(),
            Some("PING") => format!("PONG{}\n", &line[4..]),
            Some("NAMING") => {
                let name = line.rsplit_once("NAME=").map_or("", |(_, name)| name);
                let found = peer(0).to_base64();
                format!("NAMING REPLY RESULT=OK NAME={name} VALUE={found}\n")
            }
            _ => format!("{} RESULT=OK DESTINATION=AAAA\n", reply(line)),
        };
        self.write(text.as_bytes());
        self.is_stream |= line.starts_with("STREAM CONNECT");
    }

    fn write(&mut self, bytes: &[u8]) {
        if self.outgoing.len() < MAX_OUTGOING {
            self.outgoing.extend_from_slice(bytes);
        }
    }
}

/// The beginning of the reply to a line.
fn reply(line: &str) -> &'static str {
    match line.split(' ').next() {
        Some("HELLO") => "HELLO REPLY",
        Some("NAMING") => "NAMING REPLY",
        Some("STREAM") => "STREAM STATUS",
        Some("DEST") => "DEST REPLY",
        _ => "SESSION STATUS",
    }
}

/// Results of bridges.
const RESULTS: [&str; 12] = [
    "OK",
    "CANT_REACH_PEER",
    "DUPLICATED_DEST",
    "DUPLICATE_DEST",
    "I2P_ERROR",
    "INVALID_KEY",
    "KEY_NOT_FOUND",
    "PEER_NOT_FOUND",
    "TIMEOUT",
    "INVALID_ID",
    "NOVERSION",
    "ALREADY_ACCEPTING",
];

/// The most connections that are opened in one turn.
const MAX_CONNECTIONS: usize = 64;

/// The most bytes that wait for room in a connection.
const MAX_OUTGOING: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    #[test]
    fn a_session_with_streams_reveals_no_bug() {
        // Everything is answered; listens, gets a stream, opens one, looks up.
        sam(&[0, 7, 0, 15, 9, 4, 1, 2, b'h', b'i', 12, 2, 10, 1, 14, 255]);
        // Nothing is answered, and then only once.
        sam(&[1, 1, 0, 14, 3, 1, 0, 14, 3, 5, 0]);
        sam(&[1]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn arbitrary_input_reveals_no_bug(data in vec(any::<u8>(), 0..300)) {
            sam(&data);
        }

        #[test]
        fn operations_in_any_order_reveal_no_bug(
            flags in 0..2_u8,
            operations in vec((0..16_u8, any::<u8>()), 0..60),
        ) {
            let operations = operations.into_iter().flat_map(|(what, how)| [what, how]);
            sam(&[vec![flags], operations.collect()].concat());
        }
    }
}
