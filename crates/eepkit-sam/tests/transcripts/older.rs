//! Sockets of SAM 1.0 and 2.0.

use eepkit_sam::server::older::{Answer, Connection, Output, Request, StreamKey};

use super::{
    Bytes, Destination, Failure, PrivateKeys, Received, ResultCode, Said, Sender, Stage, Style,
    show_params, shown, unescaped,
};

impl Stage {
    /// A step of a socket that negotiated an older version.
    pub(super) fn older_step(&mut self, name: char, sign: &str, text: &str) -> Result<(), String> {
        let text = self.expand(text);
        match sign {
            ">" => self.older_bytes(name, &[text.as_bytes(), b"\n"].concat()),
            ">>" => self.older_bytes(name, &unescaped(&text)),
            "-" => {
                let machine = self.older.get_mut(&name).expect("it is there");
                machine.handle_end(&mut self.directory);
            }
            "!" => return check(&self.older[&name], &text),
            _ => self.older_answer(name, &text)?,
        }
        self.older_collect(name);
        Ok(())
    }

    pub(super) fn older_bytes(&mut self, name: char, bytes: &[u8]) {
        let machine = self.older.get_mut(&name).expect("it is there");
        machine.handle_bytes(self.now, &mut self.directory, bytes);
        self.older_collect(name);
    }

    pub(super) fn older_pass(&mut self) {
        let names: Vec<char> = self.older.keys().copied().collect();
        for name in names {
            let machine = self.older.get_mut(&name).expect("it is there");
            if machine.deadline().is_some_and(|at| at <= self.now) {
                machine.handle_timeout(self.now, &mut self.directory);
            }
            self.older_collect(name);
        }
    }

    pub(super) fn describe_older(&self, output: &Output) -> String {
        match output {
            Output::Send(bytes) => shown(&String::from_utf8_lossy(bytes)),
            Output::Close => ". close".to_owned(),
            Output::Request(request) => format!("? {}", self.show_older(request)),
            other => format!("{other:?}"),
        }
    }

    fn show_older(&self, request: &Request) -> String {
        match request {
            Request::Keys { name, kind } => format!("keys {name} sig={}", kind.0),
            Request::Open(open) => {
                let params = &open.params;
                let kind = open.keys.destination().signature_type().0;
                format!("open {} sig={kind}{}", params.style, show_params(params))
            }
            Request::Close(_) => "close".to_owned(),
            Request::Connect { stream, connect } => {
                format!("connect {} {}", number(*stream), connect.to)
            }
            Request::Finish(stream) => format!("finish {}", number(*stream)),
            Request::LookUp { session, target } => {
                let by = session.map_or("nobody", |_| "session");
                format!("lookup {target} by={by}")
            }
            Request::Send(datagram) => {
                let payload = String::from_utf8_lossy(&datagram.payload);
                let payload = payload.escape_debug();
                format!("send {} {} {payload}", datagram.style, datagram.to)
            }
            other => format!("{other:?}"),
        }
    }

    fn older_answer(&mut self, name: char, text: &str) -> Result<(), String> {
        let (what, rest) = text.split_once(' ').unwrap_or((text, ""));
        let (first, after) = rest.split_once(' ').unwrap_or((rest, ""));
        let outcome = |text: &str| match text {
            "ok" => Ok(()),
            _ => {
                let (code, message) = text.split_once(' ').unwrap_or((text, ""));
                Err(Failure::new(ResultCode::parse(code), message.to_owned()))
            }
        };
        let destination =
            |text: &str| Destination::from_base64(text).map_err(|error| format!("{error}: {text}"));
        let now = self.now;
        let machine = self.older.get_mut(&name).expect("it is there");
        let stream = || {
            let mut streams = machine.streams();
            let stream = streams.find(|key| number(*key) == first);
            stream.ok_or("no such stream")
        };
        let answer = match what {
            "keys" => Answer::Keys(match PrivateKeys::from_base64(rest) {
                Ok(keys) => Ok(Box::new(keys)),
                Err(_) => Err(outcome(rest).expect_err("it has a reason")),
            }),
            "opened" => Answer::Opened(outcome(rest)),
            "connected" => Answer::Connected {
                stream: self.connecting[first],
                result: outcome(after),
            },
            "found" => Answer::Found(Ok(destination(first)?)),
            "unknown" => Answer::Found(Err(outcome(rest).expect_err("it has a reason"))),
            "ended" => Answer::SessionEnded(outcome(rest).expect_err("it has a reason")),
            "received" => {
                let style: Style = first.parse().map_err(|_| "a style")?;
                let (sender, payload) = match style {
                    Style::Raw => (Sender::Unknown, after),
                    _ => {
                        let (sender, payload) = after.split_once(' ').unwrap_or((after, ""));
                        (Sender::Verified(destination(sender)?), payload)
                    }
                };
                let datagram = Received {
                    sender,
                    from_port: 7,
                    to_port: 8,
                    protocol: 18,
                    payload: Bytes::from(unescaped(payload)),
                };
                Answer::Received { style, datagram }
            }
            "accepted" => {
                if !machine.accepts() {
                    return Err("the bridge accepts no stream".to_owned());
                }
                machine.handle_accepted(&destination(rest)?);
                return Ok(());
            }
            "data" => {
                let stream = stream()?;
                let data = unescaped(after);
                let count = machine.readable(stream).min(data.len());
                machine.handle_data(stream, &data[..count]);
                return Ok(());
            }
            "write" => {
                let stream = stream()?;
                let count = after.parse().map_err(|_| "a number")?;
                machine.handle_written(now, &mut self.directory, stream, count);
                return Ok(());
            }
            "end" => {
                let stream = stream()?;
                machine.handle_stream_end(now, &mut self.directory, stream, &outcome(after));
                return Ok(());
            }
            _ => return Err("unknown answer".to_owned()),
        };
        machine.handle_answer(now, &mut self.directory, answer);
        Ok(())
    }

    fn older_collect(&mut self, name: char) {
        let machine = self.older.get_mut(&name).expect("it is there");
        while let Some(output) = machine.poll_output() {
            if let Output::Request(Request::Connect { stream, .. }) = &output {
                self.connecting.insert(number(*stream), *stream);
            }
            self.said.entry(name).or_default().push(Said::Older(output));
        }
    }
}

fn check(machine: &Connection, text: &str) -> Result<(), String> {
    let (what, rest) = text.split_once(' ').unwrap_or((text, ""));
    let (first, after) = rest.split_once(' ').unwrap_or((rest, ""));
    let stream = machine.streams().find(|key| number(*key) == first);
    let found = match (what, stream) {
        ("wants", _) => (if machine.wants_bytes() { "yes" } else { "no" }).to_owned(),
        ("pending", Some(stream)) => {
            let pending = String::from_utf8_lossy(machine.pending(stream)).into_owned();
            pending.escape_debug().to_string()
        }
        ("readable", Some(stream)) => machine.readable(stream).to_string(),
        _ => return Err("unknown check".to_owned()),
    };
    let expected = if what == "wants" { first } else { after };
    match found == expected {
        true => Ok(()),
        false => Err(format!("instead: {found}")),
    }
}

/// The name of a stream in a dialogue.
fn number(stream: StreamKey) -> String {
    let shown = format!("{stream:?}");
    let digits: String = shown.chars().filter(char::is_ascii_digit).collect();
    format!("s{digits}")
}
