//! Dialogues with a bridge, byte by byte. The files in `transcripts/` contain them.
//!
//! Each line is a step. Empty lines and lines with `#` are ignored. A step begins with the name of a
//! socket, a capital letter. The socket opens with its first step:
//!
//! ```text
//! A> text       the client sends the text and a newline
//! A>> text      the client sends the text, with the escapes \n, \r, \t, \0 and \xff
//! A< text       the bridge sends the text and a newline, in one piece
//! A<< text      the bridge sends the text, in one piece, with the same escapes
//! A? text       the bridge sends this request to the router
//! A= text       the router sends this answer
//! A. join text  the socket joins the stream, which begins with this text
//! A. close      the bridge closes the socket
//! A- eof        the client closes the socket
//! A~ seen       from now on the driver observes when the client reads
//! A~ read       the client has read everything
//! U> text       a packet arrives at the UDP port
//! U? text       the bridge sends this request for it to the router
//! U! text       the packet cannot be sent, for this reason
//! +20ms         time passes
//! auth on       from now on a name and a password are required
//! older on      from now on sockets may negotiate SAM 1.0 and 2.0
//! ```
//!
//! Sockets of SAM 1.0 and 2.0 have these steps in addition. `s0` is the first stream of the socket:
//!
//! ```text
//! A= accepted $dest       a peer opens a stream
//! A= data s0 text         the bridge reads up to as many bytes from the stream as it wants
//! A= write s0 5           the bridge can write this many bytes to the stream
//! A= end s0 ok            the peer closes the stream; instead of ok: a result and a message
//! A! pending s0 text      the bridge has this data to write
//! A! readable s0 5        the bridge reads at most this many bytes
//! A! wants yes            the bridge reads from the socket
//! ```
//!
//! `$name` is a value: `$keys` and `$other` are private keys, `$dest` and `$otherdest` their
//! destinations, `$hash` the hash of `$dest` in base64, `$b32` and `$b33` its addresses. In bytes
//! of the bridge, `%name` matches any word and stores it under this name.

#[path = "transcripts/older.rs"]
mod older;

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use eepkit_sam::{
    Failure, Received, ResultCode, SendOptions, Sender, Style,
    server::{
        self, Answer, AuthChange, Config, Connection, Directory, Found, Output, Peer, Request,
        SendDatagram, SessionKey,
    },
};
use eepkit_wire::{BlindedAddress, Destination, PrivateKeys, SignatureType};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};

#[test]
fn bridge_follows_every_transcript() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let mut files: Vec<_> = fs::read_dir(dir)
        .expect("the transcripts are there")
        .map(|entry| entry.expect("can be listed").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    files.sort();
    let mut failures = Vec::new();
    for file in &files {
        let text = fs::read_to_string(file).expect("can be read");
        // Each heading begins a new dialogue.
        for dialogue in text.split("\n== ").skip(1) {
            let (title, steps) = dialogue.split_once('\n').unwrap_or((dialogue, ""));
            if let Err(error) = Stage::new().play(steps) {
                let name = file.file_name().unwrap_or_default().to_string_lossy();
                failures.push(format!("{name}, {title}: {error}"));
            }
        }
    }
    assert!(files.len() > 5, "transcripts are missing");
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

/// The sockets of a dialogue and their shared state.
struct Stage {
    config: Arc<Config>,
    directory: Directory,
    sockets: BTreeMap<char, Connection>,
    /// The machines of sockets that negotiated an older version.
    older: BTreeMap<char, Box<server::older::Connection>>,
    /// The streams of these sockets that were requested, by their names.
    connecting: HashMap<String, server::older::StreamKey>,
    /// Outputs of each socket's machine that the dialogue has not mentioned yet.
    said: HashMap<char, Vec<Said>>,
    values: HashMap<String, String>,
    /// IDs of the requested sessions, for the text form of requests.
    ids: HashMap<SessionKey, String>,
    udp: Option<String>,
    now: Instant,
}

/// An output of a socket's machine.
enum Said {
    Current(Output),
    Older(server::older::Output),
}

impl Stage {
    fn new() -> Self {
        let keys = |seed| {
            let mut rng = ChaCha20Rng::seed_from_u64(seed);
            PrivateKeys::generate(SignatureType::ED25519, &mut rng).expect("can be made")
        };
        let (keys, other) = (keys(1), keys(2));
        let offline = keys
            .with_transient(
                2_000_000_000,
                SignatureType::ED25519,
                &mut ChaCha20Rng::seed_from_u64(3),
            )
            .expect("can be made");
        let destination = keys.destination();
        let values = [
            ("keys", keys.to_base64().to_string()),
            (
                "unpadded",
                keys.to_base64().trim_end_matches('=').to_owned(),
            ),
            ("offline", offline.to_base64().to_string()),
            ("other", other.to_base64().to_string()),
            ("dest", destination.to_base64()),
            ("otherdest", other.destination().to_base64()),
            ("hash", destination.hash().to_base64()),
            ("b32", destination.to_b32()),
            (
                "b33",
                BlindedAddress::new(destination.signing_key().clone(), SignatureType::REDDSA)
                    .expect("Ed25519 can be blinded")
                    .to_b33(),
            ),
            ("long", "x".repeat(16 * 1024 + 2)),
            ("block", "x".repeat(32 * 1024)),
        ];
        #[expect(
            clippy::disallowed_methods,
            reason = "the start time; the dialogue advances it"
        )]
        let now = Instant::now();
        let mut config = Config::default();
        config.udp = ["127.0.0.1:7655", "[::1]:7655"]
            .map(|at| at.parse().expect("an address"))
            .to_vec();
        config.ping_after = Some(Duration::from_secs(180));
        config.command_timeout = Some(Duration::from_secs(3600));
        config.max_sessions = 2;
        config.max_subsessions = 3;
        config.max_accepts = 2;
        config.max_older_streams = 2;
        Self {
            config: Arc::new(config),
            directory: Directory::new(),
            sockets: BTreeMap::new(),
            older: BTreeMap::new(),
            connecting: HashMap::new(),
            said: HashMap::new(),
            values: values
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
            ids: HashMap::new(),
            udp: None,
            now,
        }
    }

    fn play(mut self, steps: &str) -> Result<(), String> {
        for (number, step) in steps.lines().enumerate() {
            let step = step.trim_end();
            if step.is_empty() || step.starts_with('#') {
                continue;
            }
            self.step(step)
                .map_err(|error| format!("step {}: {step}\n  {error}", number + 1))?;
        }
        if let Some(udp) = &self.udp {
            return Err(format!("not mentioned: {udp}"));
        }
        for (socket, said) in &self.said {
            if let Some(output) = said.first() {
                return Err(format!(
                    "unexpected output of {socket}: {}",
                    self.describe(output)
                ));
            }
        }
        Ok(())
    }

    fn step(&mut self, step: &str) -> Result<(), String> {
        if let Some(time) = step.strip_prefix('+') {
            return self.pass(time);
        }
        if let Some(switch) = step.strip_prefix("auth ") {
            self.directory.set_auth_required(switch == "on");
            return Ok(());
        }
        if let Some(switch) = step.strip_prefix("older ") {
            Arc::make_mut(&mut self.config).older_versions = switch == "on";
            return Ok(());
        }
        let name = step.chars().next().unwrap_or_default();
        let rest = step.get(1..).unwrap_or_default();
        let (sign, text) = rest.split_once(' ').unwrap_or((rest, ""));
        if name == 'U' {
            return self.udp(sign, text);
        }
        if self.older.contains_key(&name) && matches!(sign, "-" | "=" | "!" | ">" | ">>") {
            return self.older_step(name, sign, text);
        }
        if sign == "-" {
            let connection = self.sockets.get_mut(&name).ok_or("no such socket")?;
            connection.handle_end(&mut self.directory);
            return self.collect(name);
        }
        if sign == "~" {
            let connection = self.sockets.get_mut(&name).ok_or("no such socket")?;
            match text {
                "seen" => connection.watch_reading(),
                _ => connection.handle_read(self.now),
            }
            return self.collect(name);
        }
        if !self.sockets.contains_key(&name) {
            let client = Some("127.0.0.1".parse().expect("an address"));
            let seed = [name as u8; 32];
            let connection = Connection::new(self.config.clone(), client, seed, self.now);
            self.sockets.insert(name, connection);
        }
        match sign {
            ">" => self.client_says(name, &[self.expand(text).as_bytes(), b"\n"].concat()),
            ">>" => self.client_says(name, &unescaped(&self.expand(text))),
            "=" => {
                let answer = self.answer(text)?;
                let connection = self.sockets.get_mut(&name).ok_or("no such socket")?;
                connection.handle_answer(self.now, &mut self.directory, answer);
                self.collect(name)
            }
            "<" => self.expect_bytes(name, &[text.as_bytes(), b"\n"].concat()),
            "<<" => self.expect_bytes(name, &unescaped(text)),
            "?" | "." => {
                let output = self.next(name)?;
                let shown = self.describe(&output);
                let wanted = self.expand(text);
                let wanted = if sign == "?" {
                    format!("? {wanted}")
                } else {
                    format!(". {wanted}")
                };
                if shown == wanted {
                    Ok(())
                } else {
                    Err(format!("instead: {shown}"))
                }
            }
            _ => Err("unknown step".to_owned()),
        }
    }

    fn pass(&mut self, time: &str) -> Result<(), String> {
        let (digits, unit) = time.split_at(time.find(char::is_alphabetic).unwrap_or(0));
        let amount: u64 = digits.parse().map_err(|_| "no time")?;
        self.now += match unit {
            "ms" => Duration::from_millis(amount),
            _ => Duration::from_secs(amount),
        };
        let due: Vec<char> = self
            .sockets
            .iter()
            .filter(|(_, connection)| connection.deadline().is_some_and(|at| at <= self.now))
            .map(|(name, _)| *name)
            .collect();
        for name in due {
            if let Some(connection) = self.sockets.get_mut(&name) {
                connection.handle_timeout(self.now, &mut self.directory);
            }
            self.collect(name)?;
        }
        self.older_pass();
        Ok(())
    }

    fn udp(&mut self, sign: &str, text: &str) -> Result<(), String> {
        let text = self.expand(text);
        if sign == ">" {
            let packet = Bytes::from(unescaped(&text));
            self.udp = Some(match self.directory.datagram(&packet) {
                Ok(datagram) => format!("? {}", self.show_datagram(&datagram)),
                Err(error) => format!("! {error}"),
            });
            return Ok(());
        }
        let happened = self.udp.take().unwrap_or_default();
        if happened == format!("{sign} {text}") {
            Ok(())
        } else {
            Err(format!("instead: U{happened}"))
        }
    }

    fn client_says(&mut self, name: char, bytes: &[u8]) -> Result<(), String> {
        let connection = self.sockets.get_mut(&name).ok_or("no such socket")?;
        connection.handle_bytes(self.now, &mut self.directory, bytes);
        self.collect(name)
    }

    fn collect(&mut self, name: char) -> Result<(), String> {
        let connection = self.sockets.get_mut(&name).ok_or("no such socket")?;
        let said = self.said.entry(name).or_default();
        while let Some(output) = connection.poll_output() {
            match &output {
                Output::Request(Request::Open(open)) => {
                    self.ids.insert(open.session, open.params.id.clone());
                }
                Output::Request(Request::Add {
                    session, params, ..
                }) => {
                    self.ids.insert(*session, params.id.clone());
                }
                _ => {}
            }
            match output {
                Output::Older(machine) => {
                    self.older.insert(name, machine);
                }
                output => said.push(Said::Current(output)),
            }
        }
        if self.older.contains_key(&name) {
            self.older_bytes(name, &[]);
        }
        Ok(())
    }

    fn next(&mut self, name: char) -> Result<Said, String> {
        let said = self.said.entry(name).or_default();
        if said.is_empty() {
            return Err("the bridge sent nothing".to_owned());
        }
        Ok(said.remove(0))
    }

    fn expect_bytes(&mut self, name: char, pattern: &[u8]) -> Result<(), String> {
        let output = self.next(name)?;
        let (Said::Current(Output::Send(sent)) | Said::Older(server::older::Output::Send(sent))) =
            &output
        else {
            return Err(format!("instead: {}", self.describe(&output)));
        };
        let pattern = String::from_utf8_lossy(pattern).into_owned();
        let sent = String::from_utf8_lossy(sent).into_owned();
        let mut left = sent.as_str();
        let pattern = self.expand(&pattern);
        // The text between two known parts is a word that is stored under a name.
        let mut parts = pattern.split('%');
        let first = parts.next().unwrap_or_default();
        left = left.strip_prefix(first).ok_or_else(|| shown(&sent))?;
        for part in parts {
            let name_end = part
                .find(|c: char| !c.is_ascii_lowercase())
                .unwrap_or(part.len());
            let word_end = left.find([' ', '\n']).unwrap_or(left.len());
            let (name, literal) = part.split_at(name_end);
            let (word, rest) = left.split_at(word_end);
            self.values.insert(name.to_owned(), word.to_owned());
            left = rest.strip_prefix(literal).ok_or_else(|| shown(&sent))?;
        }
        if left.is_empty() {
            Ok(())
        } else {
            Err(shown(&sent))
        }
    }

    fn expand(&self, text: &str) -> String {
        let mut names: Vec<&String> = self.values.keys().collect();
        // Longer names come first, because a name may begin with another one.
        names.sort_by_key(|name| std::cmp::Reverse(name.len()));
        let mut text = text.to_owned();
        for name in names {
            text = text.replace(&format!("${name}"), &self.values[name]);
        }
        text
    }

    fn answer(&self, text: &str) -> Result<Answer, String> {
        let text = self.expand(text);
        let (what, rest) = text.split_once(' ').unwrap_or((&text, ""));
        let words: Vec<&str> = rest.split(' ').collect();
        let word = |index: usize| words.get(index).copied().unwrap_or_default();
        let outcome = || match rest {
            "ok" => Ok(()),
            _ => {
                let (code, message) = rest.split_once(' ').unwrap_or((rest, ""));
                Err(Failure::new(ResultCode::parse(code), message.to_owned()))
            }
        };
        let destination =
            |text: &str| Destination::from_base64(text).map_err(|error| format!("{error}: {text}"));
        Ok(match what {
            "opened" => Answer::Opened(outcome()),
            "added" => Answer::Added(outcome()),
            "connected" => Answer::Connected(outcome()),
            "forwarding" => Answer::Forwarding(outcome()),
            "changed" => Answer::AuthChanged(outcome()),
            "right" => Answer::Authenticated(true),
            "wrong" => Answer::Authenticated(false),
            "ended" => Answer::SessionEnded(outcome().expect_err("an end has a reason")),
            "nobody" => Answer::Accepted(Err(outcome().expect_err("it has a reason"))),
            "accepted" => Answer::Accepted(Ok(Peer {
                destination: destination(word(0))?,
                from_port: word(1).parse().map_err(|_| "a port")?,
                to_port: word(2).parse().map_err(|_| "a port")?,
            })),
            "unknown" => Answer::Found(Err(outcome().expect_err("it has a reason"))),
            "found" => Answer::Found(Ok(Found {
                destination: destination(word(0))?,
                options: words
                    .iter()
                    .skip(1)
                    .filter_map(|pair| pair.split_once(':'))
                    .map(|(key, value)| (key.to_owned(), value.replace('_', " ")))
                    .collect(),
            })),
            "received" => {
                let style: Style = word(0).parse().map_err(|_| "a style")?;
                let sender = match style {
                    Style::Raw => Sender::Unknown,
                    Style::Datagram3 => Sender::Claimed(destination(word(1))?.hash()),
                    _ => Sender::Verified(destination(word(1))?),
                };
                let at = if style == Style::Raw { 1 } else { 2 };
                Answer::Received {
                    style,
                    datagram: Received {
                        sender,
                        from_port: word(at).parse().map_err(|_| "a port")?,
                        to_port: word(at + 1).parse().map_err(|_| "a port")?,
                        protocol: 18,
                        payload: Bytes::from(unescaped(word(at + 2))),
                    },
                }
            }
            _ => return Err("unknown answer".to_owned()),
        })
    }

    fn describe(&self, output: &Said) -> String {
        let output = match output {
            Said::Current(output) => output,
            Said::Older(output) => return self.describe_older(output),
        };
        match output {
            Output::Send(bytes) => shown(&String::from_utf8_lossy(bytes)),
            Output::Close => ". close".to_owned(),
            Output::Join { early, data_after } => {
                let wait = data_after.saturating_duration_since(self.now).as_millis();
                let early = String::from_utf8_lossy(early).escape_debug().to_string();
                format!(". join {wait}ms {early}").trim_end().to_owned()
            }
            Output::Request(request) => format!("? {}", self.show_request(request)),
            other => format!("{other:?}"),
        }
    }

    fn show_request(&self, request: &Request) -> String {
        let id = |session: &SessionKey| self.ids.get(session).cloned().unwrap_or_default();
        match request {
            Request::Open(open) => {
                let params = &open.params;
                let kind = open.keys.destination().signature_type().0;
                let mut text = format!("open {} {} sig={kind}", params.id, params.style);
                if open.keys.offline().is_some() {
                    text.push_str(" offline");
                }
                text + &show_params(params)
            }
            Request::Add {
                primary, params, ..
            } => format!(
                "add {} to {} {} listen={}/{}{}",
                params.id,
                id(primary),
                params.style,
                params.listen_protocol,
                params.listen_port,
                show_params(params)
            ),
            Request::Close(session) => format!("close {}", id(session)),
            Request::Connect(connect) => format!(
                "connect {} {}->{} {}",
                id(&connect.session),
                connect.from_port,
                connect.to_port,
                connect.to
            ),
            Request::Accept { session } => format!("accept {}", id(session)),
            Request::Forward(forward) => format!(
                "forward {} {} tls={} silent={}",
                id(&forward.session),
                forward.address,
                forward.tls,
                forward.silent
            ),
            Request::LookUp {
                session,
                target,
                options,
            } => {
                let by = session.as_ref().map(id).unwrap_or_default();
                format!("lookup {target} by={by} options={options}")
            }
            Request::Send(datagram) => self.show_datagram(datagram),
            Request::Authenticate { user, password } => {
                format!("authenticate {user}:{}", *password.0)
            }
            Request::ChangeAuth(change) => match change {
                AuthChange::Enable => "auth enable".to_owned(),
                AuthChange::Disable => "auth disable".to_owned(),
                AuthChange::Add { user, password } => {
                    format!("auth add {user}:{}", *password.0)
                }
                AuthChange::Remove { user } => format!("auth remove {user}"),
                other => format!("{other:?}"),
            },
            other => format!("{other:?}"),
        }
    }

    fn show_datagram(&self, datagram: &SendDatagram) -> String {
        let mut text = format!(
            "send {} {} {}->{} protocol={} {}",
            self.ids.get(&datagram.session).cloned().unwrap_or_default(),
            datagram.style,
            datagram.from_port,
            datagram.to_port,
            datagram.protocol,
            datagram.to,
        );
        let options = SendOptions {
            from_port: None,
            to_port: None,
            protocol: None,
            ..datagram.options
        };
        if options != SendOptions::default() {
            text += &format!(
                " tags={:?}/{:?} expires={:?} leaseset={:?}",
                options.send_tags.unwrap_or_default(),
                options.tag_threshold.unwrap_or_default(),
                options.expires.unwrap_or_default(),
                options.send_lease_set.unwrap_or(true),
            );
        }
        let payload = String::from_utf8_lossy(&datagram.payload);
        match payload.len() {
            0..=40 => format!("{text} {}", payload.escape_debug()),
            length => format!("{text} ({length} bytes)"),
        }
    }
}

fn show_params(params: &eepkit_sam::SessionParams) -> String {
    let mut text = format!(" {}->{}", params.from_port, params.to_port);
    if params.style == Style::Raw {
        text += &format!(" protocol={}", params.protocol);
    }
    if let Some(forward) = &params.forward {
        let host = forward.host.as_deref().unwrap_or("(client)");
        text += &format!(" forward={host}:{}", forward.port);
    }
    if params.header {
        text += " header";
    }
    for (key, value) in &params.options {
        text += &format!(" {key}={value}");
    }
    text
}

fn shown(text: &str) -> String {
    format!("instead: {:?}", text.chars().take(300).collect::<String>())
}

/// Converts the escapes of a text to bytes.
fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        bytes.extend_from_slice(before.as_bytes());
        let (byte, length) = match after.as_bytes().first() {
            Some(b'n') => (b'\n', 1),
            Some(b'r') => (b'\r', 1),
            Some(b't') => (b'\t', 1),
            Some(b'0') => (0, 1),
            Some(b'x') => (u8::from_str_radix(&after[1..3], 16).expect("two digits"), 3),
            _ => (b'\\', 1),
        };
        bytes.push(byte);
        rest = &after[length..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}
