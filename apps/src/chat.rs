//! A group chat: one server, any number of members.
//!
//! The protocol is lines of text. A member sends `NAME name` first, then `SAY number text` for each
//! message. The server sends `LINE name text` to everybody, `SEEN number` to the member whose message it
//! has taken, and an empty line every 30 s.
//!
//! Streams end when a router restarts, on either side. A member then connects again and repeats the
//! messages that the server has not confirmed; the server ignores those that it knows. So nothing is
//! lost or said twice while the server's program runs.

use std::{
    collections::{HashMap, VecDeque},
    io,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use eepkit::{Address, ConnectOptions, Handler, Hash, Session, Stream};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::{
    sync::{broadcast, mpsc},
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use tokio_util::codec::{Framed, LinesCodec, LinesCodecError};

/// The server: a handler for [`eepkit::serve`].
#[derive(Debug)]
pub struct Room {
    lines: broadcast::Sender<Said>,
    /// The number of the last message of each member.
    last: Mutex<HashMap<Hash, u64>>,
    closing: tokio::sync::watch::Sender<bool>,
}

#[derive(Debug, Clone)]
struct Said {
    name: String,
    text: String,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            lines: broadcast::Sender::new(MAX_BEHIND),
            last: Mutex::default(),
            closing: tokio::sync::watch::Sender::new(false),
        }
    }
}

impl Room {
    /// Notes a message; false if it is known already, or there are too many members.
    fn is_new(&self, member: Hash, number: u64) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.len() >= MAX_MEMBERS && !last.contains_key(&member) {
            return false;
        }
        let last = last.entry(member).or_default();
        let new = number > *last;
        *last = number.max(*last);
        new
    }
}

impl Handler for Room {
    async fn handle(&self, stream: Stream) -> io::Result<()> {
        let member = stream.peer().hash();
        let mut closing = self.closing.subscribe();
        let mut said = self.lines.subscribe();
        let mut lines = Framed::new(stream, codec());
        let Some(first) = lines.next().await.transpose().map_err(broken)? else {
            return Ok(());
        };
        let name = first
            .strip_prefix("NAME ")
            .filter(|name| !name.is_empty() && !name.contains(' '))
            .ok_or(io::ErrorKind::InvalidData)?
            .to_owned();
        let mut alive = interval(KEEP_ALIVE);
        alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let answer = tokio::select! {
                line = lines.next() => {
                    let Some(line) = line.transpose().map_err(broken)? else {
                        return Ok(());
                    };
                    let (number, text) = parse_say(&line).ok_or(io::ErrorKind::InvalidData)?;
                    if self.is_new(member, number) {
                        let said = Said { name: name.clone(), text: text.to_owned() };
                        // This member listens, if nobody else.
                        let _ = self.lines.send(said);
                    }
                    format!("SEEN {number}")
                }
                said = said.recv() => match said {
                    Ok(Said { name, text }) => format!("LINE {name} {text}"),
                    Err(broadcast::error::RecvError::Lagged(missed)) => {
                        format!("LINE - {missed} lines were missed")
                    }
                    Err(broadcast::error::RecvError::Closed) => return Ok(()),
                },
                _ = alive.tick() => String::new(),
                _ = closing.wait_for(|closing| *closing) => return Ok(()),
            };
            lines.send(answer).await.map_err(broken)?;
        }
    }

    async fn shutdown(&self) {
        self.closing.send_replace(true);
    }
}

fn parse_say(line: &str) -> Option<(u64, &str)> {
    let (number, text) = line.strip_prefix("SAY ")?.split_once(' ')?;
    Some((number.parse().ok()?, text))
}

/// What a member learns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The server was reached, for the first time or again.
    Joined,
    /// The server was lost, or not reached, for this reason; the next attempt follows.
    Away(String),
    /// Somebody said something, perhaps this member.
    Line {
        /// Who.
        name: String,
        /// What.
        text: String,
    },
}

/// A member of a group chat. Dropping it leaves the chat.
#[derive(Debug)]
pub struct Member {
    to_say: mpsc::Sender<String>,
    events: mpsc::Receiver<Event>,
    task: tokio::task::JoinHandle<()>,
}

impl Member {
    /// Joins the chat at `server` and stays there until the member is dropped.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn join(session: Session, server: Address, name: &str) -> Self {
        let (to_say, saying) = mpsc::channel(MAX_UNSEEN);
        let (reporting, events) = mpsc::channel(MAX_BEHIND);
        let staying = Staying {
            session,
            server,
            name: name.to_owned(),
            saying,
            reporting,
            unseen: VecDeque::new(),
            next_number: 1,
        };
        Self {
            to_say,
            events,
            task: tokio::spawn(staying.run()),
        }
    }

    /// Says something; waits while 64 messages are not confirmed.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a message is taken or not.
    pub async fn say(&self, text: &str) {
        // The task ends with the member only.
        let _ = self.to_say.send(text.replace(['\r', '\n'], " ")).await;
    }

    /// The next event.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn event(&mut self) -> Option<Event> {
        self.events.recv().await
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The task of a member.
struct Staying {
    session: Session,
    server: Address,
    name: String,
    saying: mpsc::Receiver<String>,
    reporting: mpsc::Sender<Event>,
    /// Messages that the server has not confirmed, in order.
    unseen: VecDeque<(u64, String)>,
    next_number: u64,
}

impl Staying {
    async fn run(mut self) {
        let mut pause = FIRST_PAUSE;
        loop {
            let why = match self.connect().await {
                Ok(lines) => {
                    pause = FIRST_PAUSE;
                    self.report(Event::Joined).await;
                    match self.talk(lines).await {
                        Ok(()) => "the server closed the chat".to_owned(),
                        Err(error) => error.to_string(),
                    }
                }
                Err(error) => error.to_string(),
            };
            self.report(Event::Away(why)).await;
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn connect(&self) -> Result<Framed<Stream, LinesCodec>, eepkit::Error> {
        // The server says something every 30 s. Without it, it is gone.
        let options =
            ConnectOptions::new().streaming(|stream| stream.with_read_timeout(Some(SILENCE)));
        let stream = self.session.connect_with(&self.server, &options).await?;
        Ok(Framed::new(stream, codec()))
    }

    async fn talk(&mut self, mut lines: Framed<Stream, LinesCodec>) -> io::Result<()> {
        let hello = format!("NAME {}", self.name);
        send(&mut lines, hello).await?;
        for (number, text) in &self.unseen {
            send(&mut lines, format!("SAY {number} {text}")).await?;
        }
        loop {
            tokio::select! {
                line = lines.next() => match line.transpose().map_err(broken)? {
                    Some(line) => self.on_line(&line).await,
                    None => return Ok(()),
                },
                Some(text) = self.saying.recv(), if self.unseen.len() < MAX_UNSEEN => {
                    let number = self.next_number;
                    self.next_number += 1;
                    let line = format!("SAY {number} {text}");
                    self.unseen.push_back((number, text));
                    send(&mut lines, line).await?;
                }
            }
        }
    }

    async fn on_line(&mut self, line: &str) {
        if let Some(number) = line
            .strip_prefix("SEEN ")
            .and_then(|text| text.parse().ok())
        {
            self.unseen.retain(|(unseen, _)| *unseen > number);
        } else if let Some((name, text)) = line
            .strip_prefix("LINE ")
            .and_then(|line| line.split_once(' '))
        {
            let (name, text) = (name.to_owned(), text.to_owned());
            self.report(Event::Line { name, text }).await;
        }
    }

    async fn report(&self, event: Event) {
        // Who does not read events is not waited for: the chat goes on.
        let _ = self.reporting.try_send(event);
    }
}

async fn send(lines: &mut Framed<Stream, LinesCodec>, line: String) -> io::Result<()> {
    match timeout(SILENCE, lines.send(line)).await {
        Ok(sent) => sent.map_err(broken),
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

fn codec() -> LinesCodec {
    LinesCodec::new_with_max_length(MAX_LINE)
}

fn broken(error: LinesCodecError) -> io::Error {
    match error {
        LinesCodecError::Io(error) => error,
        other => io::Error::new(io::ErrorKind::InvalidData, other),
    }
}

/// Bytes of a line. Chosen as a screenful of text.
const MAX_LINE: usize = 4096;
/// Messages that a member may be behind; it is told how many it has missed beyond that.
const MAX_BEHIND: usize = 256;
/// Messages that are not confirmed. Chosen so that hours without a server do not fill the memory.
const MAX_UNSEEN: usize = 64;
/// Members that a server remembers. Chosen at 40 bytes each.
const MAX_MEMBERS: usize = 10_000;
/// How often the server shows that it is there.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// After this time without a line the server is taken to be gone: two lines may be late.
const SILENCE: Duration = Duration::from_secs(75);
/// Pause before the first attempt to come back.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause between attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
