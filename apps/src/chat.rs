//! A group chat: one server, any number of members.
//!
//! The protocol consists of lines of text. A member sends `NAME name` first, then `SAY number text`
//! for each message. The server sends `LINE name text` to all members, `SEEN number` to the sender
//! of a message that it has accepted, and an empty line every 30 s.
//!
//! Streams end when a router restarts, on either side. The member then connects again and repeats
//! the messages that the server has not confirmed. The server ignores those that it has already
//! accepted. As long as the server's program runs, no message is therefore lost or duplicated.

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
    /// Records a message. Returns false if it is already known, or if there are too many members.
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
                        // This member is subscribed, so the send has at least one receiver.
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

/// An event of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The member connected to the server, for the first time or again.
    Joined,
    /// The connection ended or could not be opened, for this reason. The next attempt follows.
    Away(String),
    /// A member, possibly this one, sent a message.
    Line {
        /// The name of the member.
        name: String,
        /// The text of the message.
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

    /// Sends a message. Waits while 64 messages are not confirmed.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: the message is either accepted completely or not at all.
    pub async fn say(&self, text: &str) {
        // The task ends only when the member is dropped.
        let _ = self.to_say.send(text.replace(['\r', '\n'], " ")).await;
    }

    /// Returns the next event.
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
        // The server sends a line at least every 30 s. Without one, it is considered lost.
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
        // Events that are not read are dropped, so that a slow reader does not block the chat.
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

/// The maximum length of a line in bytes. Chosen as a screenful of text.
const MAX_LINE: usize = 4096;
/// The maximum number of messages that wait for a member. The server reports the number of messages
/// that the member missed beyond it.
const MAX_BEHIND: usize = 256;
/// The maximum number of messages that are not confirmed. Chosen so that hours without a server do
/// not fill the memory.
const MAX_UNSEEN: usize = 64;
/// The maximum number of members that a server records. Chosen because each takes 40 bytes.
const MAX_MEMBERS: usize = 10_000;
/// How often the server sends a keep-alive line.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// The time without a line after which the server is considered lost. Chosen so that two lines may
/// be late.
const SILENCE: Duration = Duration::from_secs(75);
/// The pause before the first reconnection attempt.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause between attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
