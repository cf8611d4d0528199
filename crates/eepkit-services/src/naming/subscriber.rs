//! Fetching subscriptions: the driver of [`Subscriptions`].

use std::{
    collections::HashMap,
    io::{BufReader, Read, Seek as _, SeekFrom},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use eepkit::{Router, Session, clock};
use eepkit_files::Temporary;
use eepkit_naming::{
    AddressBook, Answer, Download, Fetch, FetchId, Merge, Place, Response, SubscriptionEvent,
    SubscriptionUrl, Subscriptions,
};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Version,
    header::{
        CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, ETAG, HOST, LAST_MODIFIED, LOCATION,
        USER_AGENT,
    },
};
use http_body_util::{BodyExt as _, Empty};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    sync::Notify,
    task::{AbortHandle, JoinSet},
    time::{sleep, timeout},
};
use tracing::{debug, info, warn};

use super::methods;
use crate::user_agent::I2P_USER_AGENT;

/// Fetches the subscriptions of an address book.
pub(crate) struct Subscriber {
    books: AddressBook,
    machine: Mutex<Subscriptions>,
    /// Notified when subscriptions were added or removed.
    changed: Notify,
}

impl Subscriber {
    pub(crate) fn new(books: AddressBook) -> Self {
        Self {
            books,
            machine: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// Reads the list of subscriptions again.
    pub(crate) fn changed(&self) {
        self.changed.notify_one();
    }

    /// Fetches a subscription soon. Returns false if there is no such subscription.
    pub(crate) fn fetch_now(&self, url: &SubscriptionUrl) -> bool {
        let is_known = self.machine().fetch_now(url, now());
        self.changed();
        is_known
    }

    /// The status of all subscriptions that are scheduled.
    pub(crate) fn status(&self) -> Vec<Value> {
        let machine = self.machine();
        let list = machine.status().map(|status| {
            let mut value = methods::subscription_json(&status.url, &status.state);
            if let Value::Object(object) = &mut value {
                object.insert("running".to_owned(), json!(status.is_running));
                object.insert("next".to_owned(), json!(status.next));
            }
            value
        });
        list.collect()
    }

    /// Fetches subscriptions when they are due, without end.
    pub(crate) async fn run(self: Arc<Self>, router: Router) {
        let mut fetching = JoinSet::new();
        let mut handles: HashMap<FetchId, AbortHandle> = HashMap::new();
        let session = Arc::new(tokio::sync::Mutex::new(None));
        loop {
            if let Err(error) = self.reconcile() {
                warn!(%error, "the subscriptions cannot be read");
            }
            loop {
                let event = self.machine().poll(now());
                match event {
                    Some(SubscriptionEvent::Fetch(fetch)) => {
                        let id = fetch.id;
                        let subscriber = self.clone();
                        let (router, session) = (router.clone(), session.clone());
                        let task = async move {
                            let result = subscriber.fetch(fetch, &router, &session).await;
                            (id, result)
                        };
                        handles.insert(id, fetching.spawn(task));
                    }
                    Some(SubscriptionEvent::Abort(id)) => {
                        if let Some(handle) = handles.remove(&id) {
                            handle.abort();
                            self.finish(id, &Err("it took too long".to_owned()));
                        }
                    }
                    Some(_) => {}
                    None => break,
                }
            }
            let next = self.machine().next_poll();
            let pause = next.map_or(LONGEST_PAUSE, |at| {
                Duration::from_secs(at.saturating_sub(now())).min(LONGEST_PAUSE)
            });
            tokio::select! {
                // The clock may be set, so that a long wait must be checked.
                () = sleep(pause.max(SHORTEST_PAUSE)) => {}
                () = self.changed.notified() => {}
                Some(ended) = fetching.join_next() => {
                    if let Ok((id, result)) = ended {
                        handles.remove(&id);
                        self.finish(id, &result);
                    }
                    if handles.is_empty() && let Some(session) = session.lock().await.take() {
                        let session: Session = session;
                        session.close().await;
                    }
                }
            }
        }
    }

    /// Adds and removes subscriptions as in the store.
    fn reconcile(&self) -> Result<(), eepkit_naming::StoreError> {
        let saved = self.books.saved_subscriptions()?;
        let mut machine = self.machine();
        let known: Vec<SubscriptionUrl> = machine.status().map(|status| status.url).collect();
        for url in &known {
            if !saved.iter().any(|(saved, _)| saved == url) {
                machine.remove(url);
            }
        }
        for (url, state) in saved {
            if !known.contains(&url)
                && let Err(error) = machine.add(url, Some(state), now())
            {
                debug!(%error, "a subscription was not scheduled");
            }
        }
        Ok(())
    }

    fn finish(&self, id: FetchId, result: &Result<String, String>) {
        let ended = {
            let result = match result {
                Ok(text) => Ok(text.as_str()),
                Err(text) => Err(text.as_str()),
            };
            self.machine().finish(id, result, now(), &mut rand::rng())
        };
        let Some((url, state)) = ended else {
            return;
        };
        match result {
            Ok(text) => info!(result = %text, "fetched a subscription of the address book"),
            Err(text) => {
                info!(reason = %text, "a subscription of the address book was not fetched")
            }
        }
        if let Err(error) = self.books.save_subscription(&url, &state) {
            warn!(%error, "the state of a subscription cannot be saved");
        }
    }

    /// Fetches and merges a list. Returns the result for users.
    async fn fetch(
        self: &Arc<Self>,
        mut fetch: Fetch,
        router: &Router,
        session: &tokio::sync::Mutex<Option<Session>>,
    ) -> Result<String, String> {
        let first = fetch.url.clone();
        loop {
            let (address, path) = match fetch.url.place() {
                Place::File(path) => {
                    let source = first.to_string();
                    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
                    return self.merge(source, file).await;
                }
                Place::Site { address, path } => (address.clone(), path.clone()),
                _ => return Err("the address is not supported".to_owned()),
            };
            let session = open(router, session).await?;
            let (response, mut body) = request(&session, &address, &path, &fetch).await?;
            let answer = self.machine().respond(fetch.id, &response, now());
            match answer {
                Answer::NotModified => return Ok("not modified".to_owned()),
                Answer::Failed(why) => return Err(why),
                Answer::Redirect(next) => fetch = next,
                Answer::Download(plan) => {
                    let file = Temporary::new().map_err(|error| error.to_string())?;
                    let mut download = Download::new(plan, file);
                    while let Some(frame) = timeout(STALLED, body.frame())
                        .await
                        .map_err(|_| "the site stopped sending".to_owned())?
                    {
                        let frame = frame.map_err(|error| error.to_string())?;
                        if let Some(data) = frame.data_ref() {
                            download.push(data).map_err(|error| error.to_string())?;
                        }
                    }
                    let mut file = download.finish().map_err(|error| error.to_string())?;
                    file.seek(SeekFrom::Start(0))
                        .map_err(|error| error.to_string())?;
                    return self.merge(first.to_string(), file).await;
                }
                _ => return Err("the answer is not supported".to_owned()),
            }
        }
    }

    async fn merge(
        &self,
        source: String,
        file: impl Read + Send + 'static,
    ) -> Result<String, String> {
        let books = self.books.clone();
        let merging = tokio::task::spawn_blocking(move || {
            Merge::new(&source, now()).run(&books, BufReader::new(file))
        });
        match merging.await {
            Ok(Ok(report)) => Ok(report.to_string()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("the program is stopping".to_owned()),
        }
    }

    /// A panic while the lock is held leaves the machine consistent enough: a fetch that is lost ends
    /// at its deadline.
    fn machine(&self) -> MutexGuard<'_, Subscriptions> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The session for all fetches that run.
async fn open(
    router: &Router,
    session: &tokio::sync::Mutex<Option<Session>>,
) -> Result<Session, String> {
    let mut current = session.lock().await;
    if let Some(session) = current.as_ref()
        && !session.status().stage().is_over()
    {
        return Ok(session.clone());
    }
    let opened = router
        .session()
        .tunnel_quantity(2)
        .option("i2cp.dontPublishLeaseSet", true)
        .nickname("address book")
        .start()
        .map_err(|error| error.to_string())?;
    *current = Some(opened.clone());
    Ok(opened)
}

/// Sends the request for a list, with the headers of Java I2P.
async fn request(
    session: &Session,
    address: &eepkit_wire::Address,
    path: &str,
    fetch: &Fetch,
) -> Result<(Response, Incoming), String> {
    let port = match address.port() {
        0 => 80,
        port => port,
    };
    let host = address.host().to_string();
    let destination = session
        .lookup(host.as_str())
        .await
        .map_err(|error| error.to_string())?;
    let stream = session
        .connect((&destination, port))
        .await
        .map_err(|error| error.to_string())?;
    let (mut sender, connection) = http1::Builder::new()
        .title_case_headers(true)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    // It ends with the body of the response, which is dropped at the end of the fetch.
    tokio::spawn(async move {
        let _ = connection.await;
    });
    let mut headers = HeaderMap::new();
    let mut insert = |name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    insert(HOST, &destination.hash().to_b32());
    for (name, value) in &fetch.headers {
        if let Ok(name) = HeaderName::from_bytes(name.as_bytes()) {
            insert(name, value);
        }
    }
    insert(USER_AGENT, I2P_USER_AGENT);
    insert(CONNECTION, "close");
    let mut request = Request::new(Empty::<bytes::Bytes>::new());
    *request.method_mut() = Method::GET;
    *request.version_mut() = Version::HTTP_11;
    *request.uri_mut() = path
        .parse()
        .map_err(|_| "the path is not valid".to_owned())?;
    *request.headers_mut() = headers;
    let sending = timeout(STALLED, sender.send_request(request));
    let response = sending
        .await
        .map_err(|_| "the site did not answer".to_owned())?
        .map_err(|error| error.to_string())?;
    let (parts, body) = response.into_parts();
    let text = |name: HeaderName| {
        let value = parts.headers.get(name)?;
        value.to_str().ok().map(str::to_owned)
    };
    let response = Response {
        status: parts.status.as_u16(),
        etag: text(ETAG),
        last_modified: text(LAST_MODIFIED),
        location: text(LOCATION),
        content_length: text(CONTENT_LENGTH).and_then(|length| length.parse().ok()),
        content_encoding: text(CONTENT_ENCODING),
    };
    Ok((response, body))
}

fn now() -> u64 {
    clock::unix_now().as_secs()
}

/// How long a site may send nothing. Chosen as the time after which streams give up a peer.
const STALLED: Duration = Duration::from_secs(300);
/// Chosen so that a changed clock takes effect within a quarter of an hour.
const LONGEST_PAUSE: Duration = Duration::from_secs(900);
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
