//! Servers on destinations.

use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use eepkit::{Session, Stream};
use eepkit_services::site::{MAX_CONNECTIONS, Site};
use libtest_mimic::Failed;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// A destination. Its servers run until the test process ends.
#[derive(Debug)]
pub(crate) struct Host {
    session: Session,
}

impl Host {
    pub(crate) fn new(session: Session) -> Self {
        Self { session }
    }

    pub(crate) fn name(&self) -> String {
        self.session.destination().to_b32()
    }

    /// Answers each request with its own head.
    pub(crate) fn answer_with_the_request(&self, port: u16) -> Result<(), Failed> {
        self.serve(port, |mut stream, head, _| async move {
            respond(&mut stream, head.as_bytes()).await;
        })
    }

    /// Answers each request with the length of its body.
    pub(crate) fn count_uploads(&self, port: u16) -> Result<(), Failed> {
        self.serve(port, |mut stream, head, rest| async move {
            let body = body(&mut stream, &head, rest).await;
            respond(&mut stream, body.len().to_string().as_bytes()).await;
        })
    }

    /// Keeps the last key that was sent, and returns it, as a key server does.
    pub(crate) fn keep_keys(&self, port: u16) -> Result<(), Failed> {
        let kept: Arc<Mutex<Vec<u8>>> = Arc::default();
        self.serve(port, move |mut stream, head, rest| {
            let kept = kept.clone();
            async move {
                if head.starts_with("POST /pks/add ") {
                    let body = body(&mut stream, &head, rest).await;
                    let key = body.strip_prefix(b"keytext=").unwrap_or_default();
                    *lock(&kept) = decoded(key);
                }
                let key = lock(&kept).clone();
                respond(&mut stream, &key).await;
            }
        })
    }

    /// Serves the files of a folder at port 80.
    pub(crate) fn serve_files(&self, folder: &Path) -> Result<(), Failed> {
        let server = eepkit::serve(self.session.listen(80)?, Site::open(folder)?)
            .max_streams(MAX_CONNECTIONS)
            .start();
        tokio::spawn(async move { server.finished().await });
        Ok(())
    }

    /// Calls `answer` with each stream, the head of its first request, and what follows it.
    fn serve<F>(
        &self,
        port: u16,
        answer: impl Fn(Stream, String, Vec<u8>) -> F + Clone + Send + 'static,
    ) -> Result<(), Failed>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = self.session.listen(port)?;
        let session = self.session.clone();
        tokio::spawn(async move {
            while let Ok(mut stream) = listener.accept().await {
                let answer = answer.clone();
                tokio::spawn(async move {
                    if let Some((head, rest)) = head(&mut stream).await {
                        answer(stream, head, rest).await;
                    }
                });
            }
            drop(session);
        });
        Ok(())
    }
}

/// Reads the head of a request. Returns it with the bytes after it.
async fn head(stream: &mut Stream) -> Option<(String, Vec<u8>)> {
    let mut read = Vec::new();
    loop {
        let end = read.windows(4).position(|four| four == b"\r\n\r\n");
        if let Some(end) = end {
            let rest = read.split_off(end + 4);
            return Some((String::from_utf8(read).ok()?, rest));
        }
        if stream.read_buf(&mut read).await.ok()? == 0 {
            return None;
        }
    }
}

/// Reads the body of a request. `rest` is what followed the head.
async fn body(stream: &mut Stream, head: &str, rest: Vec<u8>) -> Vec<u8> {
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("Content-Length: "))
        .and_then(|length| length.parse().ok())
        .unwrap_or(0);
    let mut body = rest;
    while body.len() < length {
        match stream.read_buf(&mut body).await {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
    }
    body
}

fn lock(kept: &Mutex<Vec<u8>>) -> MutexGuard<'_, Vec<u8>> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Decodes a value of a form.
fn decoded(value: &[u8]) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let mut decoded = Vec::new();
    let mut rest = value;
    while let [first, tail @ ..] = rest {
        let (byte, tail) = match (first, tail) {
            (b'%', [high, low, tail @ ..]) => {
                let code = digit(*high).zip(digit(*low)).map(|(h, l)| 16 * h + l);
                (code.and_then(|code| code.try_into().ok()), tail)
            }
            (b'+', tail) => (Some(b' '), tail),
            (byte, tail) => (Some(*byte), tail),
        };
        decoded.extend(byte);
        rest = tail;
    }
    decoded
}

async fn respond(stream: &mut Stream, content: &[u8]) {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        content.len()
    );
    // The client reports a failure.
    let _ = stream.write_all(&[head.as_bytes(), content].concat()).await;
    let _ = stream.shutdown().await;
}
