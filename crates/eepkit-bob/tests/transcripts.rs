//! Dialogues with a bridge, line by line. The files in `transcripts/` contain them.
//!
//! Each line is a step. Empty lines and lines with `#` are ignored. A step begins with the name of a
//! socket, a capital letter. The socket opens with its first step:
//!
//! ```text
//! A> text       the client sends the text and a newline
//! A>> text      the client sends the text, with the escapes \n and \r
//! A< text       the bridge sends the text and a newline
//! A? text       the bridge requests this of the driver
//! A= text       the driver answers: started ok, started REASON, found $dest, found none
//! A. close      the bridge closes the socket
//! A- eof        the client closes the socket
//! nick stage    the driver sets the state of a tunnel: idle, starting, running or stopping
//! restart       the bridge is restarted with its saved state
//! ```
//!
//! `$name` is a value: `$keys` and `$dsa` are private keys, `$dest` and `$dsadest` their
//! destinations. In lines of the bridge, `%name` matches any word and stores it under this name.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    fs,
    path::Path,
    sync::Arc,
};

use eepkit_bob::{
    Database, Limits, Nickname, Stage,
    server::{Answer, Config, Connection, Output, Request},
};
use eepkit_wire::{Destination, PrivateKeys, SignatureType};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};

#[test]
fn bridge_follows_every_transcript() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let mut failures = Vec::new();
    let mut dialogues = 0;
    for entry in fs::read_dir(dir).expect("the transcripts are there") {
        let file = entry.expect("can be listed").path();
        let text = fs::read_to_string(&file).expect("can be read");
        // Each heading begins a new dialogue.
        for dialogue in text.split("\n== ").skip(1) {
            dialogues += 1;
            let (title, steps) = dialogue.split_once('\n').unwrap_or((dialogue, ""));
            if let Err(error) = Play::new().play(steps) {
                failures.push(format!("{title}: {error}"));
            }
        }
    }
    assert!(dialogues > 10, "transcripts are missing");
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

struct Play {
    config: Arc<Config>,
    database: Database,
    sockets: BTreeMap<char, Connection>,
    /// What the dialogue has not mentioned yet: lines of the bridge, requests and the end.
    said: HashMap<char, VecDeque<String>>,
    values: HashMap<String, String>,
}

impl Play {
    fn new() -> Self {
        let keys = |kind| {
            let mut rng = ChaCha20Rng::seed_from_u64(1);
            PrivateKeys::generate(kind, &mut rng).expect("can be made")
        };
        let (keys, dsa) = (keys(SignatureType::ED25519), keys(SignatureType::DSA_SHA1));
        let values = [
            ("keys", keys.to_base64().to_string()),
            ("dest", keys.destination().to_base64()),
            ("dsa", dsa.to_base64().to_string()),
            ("dsadest", dsa.destination().to_base64()),
            ("long", "x".repeat(16 * 1024 + 2)),
        ];
        Self {
            config: Arc::new(Config::default()),
            database: Database::new(Limits::default()),
            sockets: BTreeMap::new(),
            said: HashMap::new(),
            values: values.map(|(name, value)| (name.to_owned(), value)).into(),
        }
    }

    fn play(mut self, steps: &str) -> Result<(), String> {
        for (number, step) in steps.lines().enumerate() {
            let step = step.trim_end_matches('\r');
            if step.is_empty() || step.starts_with('#') {
                continue;
            }
            self.step(step)
                .map_err(|error| format!("step {}: {step}\n  {error}", number + 1))?;
        }
        for (socket, said) in &self.said {
            if let Some(output) = said.front() {
                return Err(format!("unexpected output of {socket}: {output}"));
            }
        }
        Ok(())
    }

    fn step(&mut self, step: &str) -> Result<(), String> {
        if step == "restart" {
            let saved = self.database.to_saved();
            let (database, running) =
                Database::from_saved(&saved, Limits::default()).map_err(|e| e.to_string())?;
            self.database = database;
            self.sockets.clear();
            self.said.clear();
            for nick in running {
                self.database.set_stage(&nick, Stage::Starting);
            }
            return Ok(());
        }
        let (head, text) = step.split_once(' ').unwrap_or((step, ""));
        let mut chars = head.chars();
        let name = chars.next().unwrap_or_default();
        if !name.is_ascii_uppercase() {
            let stage = match text {
                "idle" => Stage::Idle,
                "starting" => Stage::Starting,
                "running" => Stage::Running,
                "stopping" => Stage::Stopping,
                _ => return Err("unknown stage".to_owned()),
            };
            let nick = Nickname::new(head).map_err(|error| error.to_string())?;
            self.database.set_stage(&nick, stage);
            return Ok(());
        }
        if !self.sockets.contains_key(&name) {
            let machine = Connection::new(self.config.clone(), [name as u8; 32]);
            self.sockets.insert(name, machine);
            self.collect(name);
        }
        let text = self.expand(text);
        let machine = self.sockets.get_mut(&name).expect("it is there");
        match chars.as_str() {
            ">" => machine.handle_bytes(&mut self.database, format!("{text}\n").as_bytes()),
            ">>" => {
                let text = text.replace("\\n", "\n").replace("\\r", "\r");
                machine.handle_bytes(&mut self.database, text.as_bytes());
            }
            "-" => machine.handle_end(),
            "=" => {
                let answer = match text.split_once(' ').unwrap_or((&text, "")) {
                    ("started", "ok") => Answer::Started(Ok(())),
                    ("started", why) => Answer::Started(Err(why.to_owned())),
                    ("found", "none") => Answer::Found(None),
                    (_, found) => Answer::Found(Some(
                        Destination::from_base64(found).map_err(|error| error.to_string())?,
                    )),
                };
                machine.handle_answer(&mut self.database, answer);
            }
            "<" => return self.expect(name, &format!("< {text}")),
            "?" => return self.expect(name, &format!("? {text}")),
            "." => return self.expect(name, &format!(". {text}")),
            _ => return Err("unknown step".to_owned()),
        }
        self.collect(name);
        Ok(())
    }

    fn collect(&mut self, name: char) {
        let machine = self.sockets.get_mut(&name).expect("it is there");
        let said = self.said.entry(name).or_default();
        while let Some(output) = machine.poll_output() {
            match output {
                Output::Send(text) => said.extend(text.lines().map(|line| format!("< {line}"))),
                Output::Request(request) => said.push_back(match request {
                    Request::Start(nick) => format!("? start {nick}"),
                    Request::Stop(nick) => format!("? stop {nick}"),
                    Request::LookUp(host) => format!("? lookup {host}"),
                    Request::Visit => "? visit".to_owned(),
                    Request::Zap => "? zap".to_owned(),
                    other => format!("{other:?}"),
                }),
                Output::Close => said.push_back(". close".to_owned()),
                other => said.push_back(format!("{other:?}")),
            }
        }
    }

    fn expect(&mut self, name: char, pattern: &str) -> Result<(), String> {
        let said = self.said.entry(name).or_default();
        let said = said.pop_front().ok_or("the bridge sent nothing")?;
        let mut left = said.as_str();
        let wrong = || format!("instead: {}", said.chars().take(300).collect::<String>());
        // The text between two known parts is a word that is stored under a name.
        let mut parts = pattern.split('%');
        left = left
            .strip_prefix(parts.next().unwrap_or_default())
            .ok_or_else(wrong)?;
        for part in parts {
            let name_end = part
                .find(|c: char| !c.is_ascii_lowercase())
                .unwrap_or(part.len());
            let word_end = left.find([' ', ',', '}']).unwrap_or(left.len());
            let (name, literal) = part.split_at(name_end);
            let (word, rest) = left.split_at(word_end);
            self.values.insert(name.to_owned(), word.to_owned());
            left = rest.strip_prefix(literal).ok_or_else(wrong)?;
        }
        match left.is_empty() {
            true => Ok(()),
            false => Err(wrong()),
        }
    }

    fn expand(&self, text: &str) -> String {
        let mut names: Vec<&String> = self.values.keys().collect();
        // Longer names come first, because a name may begin with another one.
        names.sort_by_key(|name| std::cmp::Reverse(name.len()));
        names.into_iter().fold(text.to_owned(), |text, name| {
            text.replace(&format!("${name}"), &self.values[name])
        })
    }
}
