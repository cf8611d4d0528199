//! `eepkit listen --datagram` and `eepkit connect --datagram`: datagrams, one per line.

use std::{
    fmt::Write as _,
    sync::{Mutex, PoisonError},
};

use eepkit::{
    Address, DatagramOptions, DatagramSocket, Destination, ErrorKind, ReceivedDatagram, SendError,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Stdin},
    time::timeout,
};

use super::{
    describe::with_port,
    online::{Online, shown},
};
use crate::{
    args::{ConnectArgs, DatagramFormat, ListenArgs},
    exit::Exit,
    failure::Failure,
    ui::{STRONG, Ui},
};

/// Prints received datagrams. With `--keep-open`, sends each input line to the sender of the last
/// one.
pub(super) async fn listen(
    args: &ListenArgs,
    format: DatagramFormat,
    online: &Online,
    ui: &Ui,
) -> Result<(), Failure> {
    let socket = bind(online, format, args.port)?;
    let address = with_port(online.session.destination(), args.port);
    ui.note(format_args!("listening on {STRONG}{address}{STRONG:#}"));
    ui.note(format_args!(
        "send to it with: eepkit connect --datagram={} {address}",
        format.name()
    ));
    let latest = Mutex::new(None);
    let receiving = async {
        loop {
            let received = receive(online, &socket, args).await?;
            ui.data(format_args!(
                "{} {}",
                from(&received),
                escaped(received.payload())
            ))?;
            *latest.lock().unwrap_or_else(PoisonError::into_inner) = Some(received);
            if !args.keep_open {
                return Ok::<(), Failure>(());
            }
        }
    };
    let answering = async {
        let mut lines = Lines::new(socket.max_payload_len());
        while let Some(line) = lines.next().await? {
            let to = latest
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone();
            match to {
                None => ui.warn("nobody to answer yet: no datagram has arrived"),
                Some(to) => match socket.reply(&to, &line).await {
                    Ok(()) => {}
                    // The next datagram may have another receiver.
                    Err(error) => ui.warn(cannot_send(&from(&to), &error)),
                },
            }
        }
        Ok::<(), Failure>(())
    };
    if !args.keep_open {
        return receiving.await;
    }
    let mut receiving = std::pin::pin!(receiving);
    tokio::select! {
        result = &mut receiving => return result,
        result = answering => result?,
    }
    receiving.await
}

/// Sends each line as a datagram, and prints the answers of the peer.
pub(super) async fn connect(
    args: &ConnectArgs,
    format: DatagramFormat,
    peer: &Address,
    online: &Online,
    ui: &Ui,
) -> Result<(), Failure> {
    let socket = bind(online, format, 0)?;
    let shown = shown(peer);
    let step = ui.step(format!("looking for {shown}"));
    let found = timeout(args.timeout.0, online.session.lookup(peer))
        .await
        .map_err(|_| {
            let (limit, account) = (args.timeout, online.session.status().account());
            Failure::new(
                Exit::TimedOut,
                format!("{shown} was not found within {limit} (the session was {account})"),
            )
        })?;
    let found = found.map_err(|error| {
        Failure::from_kind(error.kind(), &format!("cannot find {shown}"), &error)
    })?;
    step.done(format_args!("found {shown}"))?;

    let sending = async {
        let mut lines = Lines::new(socket.max_payload_len());
        let options = DatagramOptions::new().timeout(args.timeout.0);
        while let Some(line) = lines.next().await? {
            let sent = socket.send_with(&line, (&found, peer.port), &options).await;
            sent.map_err(|error| cannot_send(&shown, &error))?;
        }
        Ok::<(), Failure>(())
    };
    let mut receiving = std::pin::pin!(print_answers(&socket, &found, ui));
    tokio::select! {
        result = &mut receiving => return result,
        result = sending => result?,
    }
    // The end of the answers cannot be detected.
    let result = timeout(args.wait.0, receiving).await.unwrap_or(Ok(()));
    let undelivered = socket.stats().undelivered;
    if undelivered > 0 {
        ui.warn(format_args!(
            "the router did not pass {undelivered} of the datagrams on"
        ));
    }
    result
}

/// Prints received datagrams, except those of senders other than `peer`.
async fn print_answers(
    socket: &DatagramSocket,
    peer: &Destination,
    ui: &Ui,
) -> Result<(), Failure> {
    loop {
        let received = receive_any(socket).await?;
        match received.sender() {
            Some(sender) if sender != peer => {
                ui.note(format_args!("ignored a datagram of {}", from(&received)));
            }
            _ => ui.data(escaped(received.payload()))?,
        }
    }
}

fn bind(online: &Online, format: DatagramFormat, port: u16) -> Result<DatagramSocket, Failure> {
    online
        .session
        .datagrams(format.format())
        .bind(port)
        .map_err(|error| Failure::from_kind(error.kind(), "cannot take datagrams", &error))
}

async fn receive(
    online: &Online,
    socket: &DatagramSocket,
    args: &ListenArgs,
) -> Result<ReceivedDatagram, Failure> {
    match args.timeout {
        None => receive_any(socket).await,
        Some(limit) => timeout(limit.0, receive_any(socket)).await.map_err(|_| {
            let account = online.session.status().account();
            Failure::new(
                Exit::TimedOut,
                format!("no datagram arrived within {limit} (the session was {account})"),
            )
        })?,
    }
}

async fn receive_any(socket: &DatagramSocket) -> Result<ReceivedDatagram, Failure> {
    socket
        .recv_from()
        .await
        .map_err(|error| Failure::from_kind(error.kind(), "cannot receive datagrams", &error))
}

fn cannot_send(to: &str, error: &SendError) -> Failure {
    let failure = Failure::from_kind(error.kind(), &format!("cannot send to {to}"), error);
    match error.kind() {
        ErrorKind::Unsupported => failure.hint("use --datagram=2 with keys of this kind"),
        _ => failure,
    }
}

/// Returns the sender of a datagram: with a question mark if it is not proven, `-` if the datagram
/// does not contain it.
fn from(received: &ReceivedDatagram) -> String {
    let port = received.from_port();
    if let Some(sender) = received.sender() {
        return with_port(sender, port);
    }
    match received.claimed_sender() {
        Some(claimed) if port == 0 => format!("{}?", claimed.hash().to_b32()),
        Some(claimed) => format!("{}:{port}?", claimed.hash().to_b32()),
        None => "-".to_owned(),
    }
}

/// Converts a payload to one line. Bytes that are not text, or that move the cursor of a terminal,
/// become `\xNN`. Tab, line feed, carriage return and backslash become `\t`, `\n`, `\r` and `\\`.
fn escaped(payload: &[u8]) -> String {
    let mut line = String::with_capacity(payload.len());
    let hex = |line: &mut String, bytes: &[u8]| {
        for byte in bytes {
            // Writing to a string cannot fail.
            let _ = write!(line, "\\x{byte:02x}");
        }
    };
    for chunk in payload.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\\' => line.push_str("\\\\"),
                '\t' => line.push_str("\\t"),
                '\n' => line.push_str("\\n"),
                '\r' => line.push_str("\\r"),
                other if other.is_control() => {
                    hex(&mut line, other.encode_utf8(&mut [0; 4]).as_bytes());
                }
                other => line.push(other),
            }
        }
        hex(&mut line, chunk.invalid());
    }
    line
}

/// The lines of standard input without their line endings.
struct Lines {
    input: BufReader<Stdin>,
    longest: usize,
}

impl Lines {
    fn new(longest: usize) -> Self {
        Self {
            input: BufReader::new(tokio::io::stdin()),
            longest,
        }
    }

    /// Returns the next line, or `None` at the end of the input.
    async fn next(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        let mut line = Vec::new();
        // Includes the line ending: a line feed, optionally after a carriage return.
        let limit = self.longest as u64 + 2;
        (&mut self.input)
            .take(limit)
            .read_until(b'\n', &mut line)
            .await
            .map_err(|error| Failure::from_error(Exit::Failed, "cannot read the input", &error))?;
        if line.is_empty() {
            return Ok(None);
        }
        if line.last() == Some(&b'\n') {
            line.pop();
            if line.last() == Some(&b'\r') {
                line.pop();
            }
        }
        if line.len() > self.longest {
            return Err(Failure::usage(format!(
                "a line of the input is too long for a datagram, the limit is {} bytes",
                self.longest
            )));
        }
        Ok(Some(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_stay_on_one_line_and_move_no_cursor() {
        assert_eq!(escaped("grüße".as_bytes()), "grüße");
        assert_eq!(escaped(b"a\\b\tc\nd\re"), "a\\\\b\\tc\\nd\\re");
        assert_eq!(escaped(b"\x1b[2J\xff\x00"), "\\x1b[2J\\xff\\x00");
        // A control character outside ASCII.
        assert_eq!(escaped("\u{9b}".as_bytes()), "\\xc2\\x9b");
    }
}
