//! An agent, which opens sessions and transfers data inside a namespace, controlled over standard
//! input.

mod raw;
mod session;
mod transfer;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines, Stdin},
    sync::mpsc,
    task::AbortHandle,
};

pub(crate) use self::raw::DATA as RAW_DATA;
use self::session::Session;
use crate::wire::{Answer, Ask, Reply, Request, Sample, Slot};

/// Replies that wait to be written. Chosen because the reader processes them immediately.
const REPLIES: usize = 64;

/// Serves until standard input ends, which happens when the measuring process ends.
pub(crate) async fn serve() -> Result<(), String> {
    let (replies, mut outgoing) = mpsc::channel::<Reply>(REPLIES);
    let agent = Arc::new(Agent {
        replies,
        sessions: Mutex::default(),
        transfers: Mutex::default(),
    });
    let writer = tokio::spawn(async move {
        let mut stdout = tokio::io::stdout();
        while let Some(reply) = outgoing.recv().await {
            let Ok(mut line) = serde_json::to_vec(&reply) else {
                continue;
            };
            line.push(b'\n');
            if stdout.write_all(&line).await.is_err() || stdout.flush().await.is_err() {
                return;
            }
        }
    });
    let result = agent.read(BufReader::new(tokio::io::stdin()).lines()).await;
    writer.abort();
    result
}

/// The state of an agent. Its size is limited by the requests of the one process that controls it.
struct Agent {
    replies: mpsc::Sender<Reply>,
    sessions: Mutex<HashMap<Slot, Session>>,
    transfers: Mutex<HashMap<u64, Transfer>>,
}

/// A request that may be released.
struct Transfer {
    task: AbortHandle,
    samples: Arc<Mutex<Vec<Sample>>>,
}

/// Answers to one request.
#[derive(Clone)]
struct Answers {
    id: u64,
    replies: mpsc::Sender<Reply>,
}

impl Answers {
    async fn send(&self, answer: Answer) {
        let id = self.id;
        // Fails only at the end of the process.
        let _ = self.replies.send(Reply { id, answer }).await;
    }
}

impl Agent {
    async fn read(self: Arc<Self>, mut lines: Lines<BufReader<Stdin>>) -> Result<(), String> {
        while let Some(line) = lines.next_line().await.map_err(|error| error.to_string())? {
            let Request { id, ask } =
                serde_json::from_str(&line).map_err(|error| format!("not a request: {error}"))?;
            let answers = Answers {
                id,
                replies: self.replies.clone(),
            };
            self.begin(answers, ask);
        }
        Ok(())
    }

    fn begin(self: &Arc<Self>, answers: Answers, ask: Ask) {
        let samples = Arc::default();
        let agent = Arc::clone(self);
        let (id, kept) = (answers.id, Arc::clone(&samples));
        let may_be_released = matches!(
            ask,
            Ask::Send { .. } | Ask::Receive { .. } | Ask::RawWatch { .. }
        );
        let task = tokio::spawn(async move {
            if let Err(why) = agent.answer(&answers, ask, &samples).await {
                answers.send(Answer::Failed { why }).await;
            }
        });
        if may_be_released {
            let task = task.abort_handle();
            let samples = kept;
            lock(&self.transfers).insert(id, Transfer { task, samples });
        }
    }

    async fn answer(
        &self,
        answers: &Answers,
        ask: Ask,
        samples: &Mutex<Vec<Sample>>,
    ) -> Result<(), String> {
        match ask {
            Ask::Open { slot, kind, plan } => {
                let session = Session::open(kind, plan).await?;
                let destination = session.destination();
                lock(&self.sessions).insert(slot, session);
                answers.send(Answer::Opened { destination }).await;
            }
            Ask::Receive { slot, bytes, limit } => {
                transfer::receive(&self.session(slot)?, bytes, limit, answers).await?;
            }
            Ask::Send {
                slot,
                to,
                bytes,
                seed,
                limit,
            } => {
                let parcel = transfer::Parcel { to, bytes, seed };
                transfer::send(&self.session(slot)?, parcel, limit, answers, samples).await?;
            }
            Ask::Release { request } => {
                let transfer = lock(&self.transfers).remove(&request);
                let samples = transfer.map_or_else(Vec::new, |transfer| {
                    transfer.task.abort();
                    std::mem::take(&mut *lock(&transfer.samples))
                });
                answers.send(Answer::Released { samples }).await;
            }
            Ask::RawSend { slot, to } => {
                self.session(slot)?.raw()?.send(&to).await?;
                answers.send(Answer::RawSent).await;
            }
            Ask::RawWindow { slot, window } => {
                self.session(slot)?.raw()?.set_window(window);
                answers.send(Answer::Noted).await;
            }
            Ask::RawCame { slot, newest } => {
                self.session(slot)?.raw()?.came(newest);
                answers.send(Answer::Noted).await;
            }
            Ask::RawWatch { slot, back } => {
                self.session(slot)?.raw()?.watch(&back, answers).await?;
            }
            Ask::ProbeGreet { slot, to } => {
                self.session(slot)?.raw()?.meet(&to).await?;
                answers.send(Answer::Noted).await;
            }
            Ask::ProbeSend { slot, to, probe } => {
                let times = self.session(slot)?.raw()?.probe(&to, probe).await?;
                answers.send(Answer::ProbeSent { times }).await;
            }
            Ask::ProbeTake { slot } => {
                let arrivals = self.session(slot)?.raw()?.take_arrivals();
                answers.send(Answer::ProbeArrived { arrivals }).await;
            }
            Ask::Close { slot } => {
                let session = lock(&self.sessions).remove(&slot);
                drop(session);
                answers.send(Answer::Closed).await;
            }
        }
        Ok(())
    }

    fn session(&self, slot: Slot) -> Result<Session, String> {
        let session = lock(&self.sessions).get(&slot).cloned();
        session.ok_or_else(|| format!("no session {slot}"))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
