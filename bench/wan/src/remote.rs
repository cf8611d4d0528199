//! The measuring process's end of an agent, and other processes in namespaces.

use std::{
    collections::HashMap,
    fs::File,
    path::Path,
    process::Stdio,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, ChildStdin, Command},
    sync::mpsc,
    time::timeout,
};

use crate::wire::{Answer, Ask, Reply, Request};

/// Replies to one request that wait to be read. Chosen because progress is reported ten times a
/// second.
const ANSWERS: usize = 256;

type Waiting = Arc<Mutex<HashMap<u64, mpsc::Sender<Answer>>>>;

/// A command that runs `program` in a namespace, in a process group of its own, so that Ctrl-C only
/// reaches the measuring process. The process ends when its handle is dropped.
pub(crate) fn command(namespace: &str, program: &Path, errors: &Path) -> Result<Command, String> {
    let errors = File::options()
        .create(true)
        .append(true)
        .open(errors)
        .map_err(|error| format!("{}: {error}", errors.display()))?;
    let mut command = Command::new("ip");
    command
        .args(["netns", "exec", namespace])
        .arg(program)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(errors)
        .process_group(0)
        .kill_on_drop(true);
    Ok(command)
}

/// This program, in another role.
pub(crate) fn this_program() -> Result<std::path::PathBuf, String> {
    std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))
}

/// An agent process. Dropping it ends the process.
#[derive(Debug)]
pub(crate) struct Agent {
    _child: Child,
    stdin: tokio::sync::Mutex<ChildStdin>,
    waiting: Waiting,
    next: AtomicU64,
}

/// A request that was sent.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) id: u64,
    answers: mpsc::Receiver<Answer>,
}

impl Agent {
    /// Starts an agent in a namespace.
    pub(crate) fn start(namespace: &str, errors: &Path) -> Result<Self, String> {
        let mut child = command(namespace, &this_program()?, errors)?
            .arg("agent")
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot start an agent: {error}"))?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("an agent without pipes".to_owned());
        };
        let waiting = Waiting::default();
        let readers = Arc::clone(&waiting);
        tokio::spawn(async move {
            let mut lines = BufReader::new(stdout).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let Ok(Reply { id, answer }) = serde_json::from_str(&line) else {
                    continue;
                };
                let reader = lock(&readers).get(&id).cloned();
                if let Some(reader) = reader {
                    // Fails if the request was discarded.
                    let _ = reader.send(answer).await;
                }
            }
            // Ends all pending requests with an error.
            lock(&readers).clear();
        });
        Ok(Self {
            _child: child,
            stdin: tokio::sync::Mutex::new(stdin),
            waiting,
            next: AtomicU64::new(0),
        })
    }

    /// Sends a request.
    pub(crate) async fn ask(&self, ask: Ask) -> Result<Asked, String> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, answers) = mpsc::channel(ANSWERS);
        lock(&self.waiting).insert(id, sender);
        let mut line = serde_json::to_vec(&Request { id, ask }).map_err(|e| e.to_string())?;
        line.push(b'\n');
        let mut stdin = self.stdin.lock().await;
        stdin
            .write_all(&line)
            .await
            .map_err(|error| format!("the agent is gone: {error}"))?;
        Ok(Asked { id, answers })
    }

    /// Sends a request and waits for its one answer.
    pub(crate) async fn answer(&self, ask: Ask, limit: Duration) -> Result<Answer, String> {
        let mut asked = self.ask(ask).await?;
        let answer = timeout(limit, asked.next()).await;
        lock(&self.waiting).remove(&asked.id);
        answer.map_err(|_| "the agent does not answer".to_owned())?
    }

    /// Discards a request. Its further answers are dropped.
    pub(crate) fn forget(&self, request: u64) {
        lock(&self.waiting).remove(&request);
    }
}

impl Asked {
    /// The next answer, or an error if the request failed or the agent has ended.
    pub(crate) async fn next(&mut self) -> Result<Answer, String> {
        match self.answers.recv().await {
            Some(Answer::Failed { why }) => Err(why),
            Some(answer) => Ok(answer),
            None => Err("the agent ended".to_owned()),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
