//! A guest book: a site with axum on a listener of eepkit, and a client of it with hyper.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Form, Json, Router,
    extract::{ConnectInfo, State},
    response::{Html, Redirect},
    routing::{get, post},
};
use bytes::Bytes;
use eepkit::{HttpConnector, I2pSocketAddr, Session};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Method, Request, StatusCode, header};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde::{Deserialize, Serialize};

/// One entry of the guest book.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The `.b32.i2p` address of the visitor, which the connection proves.
    pub visitor: String,
    /// The text of the entry.
    pub text: String,
}

#[derive(Debug, Deserialize)]
struct NewEntry {
    text: String,
}

#[derive(Debug, Clone, Default)]
struct Book {
    entries: Arc<Mutex<VecDeque<Entry>>>,
}

impl Book {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the site with an empty guest book. Serve it with
/// `axum::serve(listener, app().into_make_service_with_connect_info::<I2pSocketAddr>())`.
pub fn app() -> Router {
    Router::new()
        .route("/", get(page))
        .route("/entries", post(write))
        .route("/entries.json", get(list))
        .with_state(Book::default())
}

async fn page(State(book): State<Book>) -> Html<String> {
    let entries: String = book
        .lock()
        .iter()
        .map(|entry| format!("<li>{}: {}\n", escape(&entry.visitor), escape(&entry.text)))
        .collect();
    Html(format!(
        "<!doctype html><meta charset=utf-8><title>Guest book</title>\n<h1>Guest book</h1>\n\
         <ul>\n{entries}</ul>\n<form method=post action=/entries>\
         <input name=text maxlength={MAX_TEXT}><button>Write</button></form>\n"
    ))
}

async fn write(
    State(book): State<Book>,
    ConnectInfo(peer): ConnectInfo<I2pSocketAddr>,
    Form(new): Form<NewEntry>,
) -> Redirect {
    let entry = Entry {
        visitor: peer.destination().to_b32(),
        text: new.text.chars().take(MAX_TEXT).collect(),
    };
    let mut entries = book.lock();
    if entries.len() == MAX_ENTRIES {
        entries.pop_front();
    }
    entries.push_back(entry);
    Redirect::to("/")
}

async fn list(State(book): State<Book>) -> Json<Vec<Entry>> {
    Json(book.lock().iter().cloned().collect())
}

fn escape(text: &str) -> String {
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;");
    escaped.replace('>', "&gt;").replace('"', "&quot;")
}

/// A client of the site. Clones share its connections.
#[derive(Debug, Clone)]
pub struct Visitor {
    client: Client<HttpConnector, Full<Bytes>>,
    site: String,
}

/// The reason why a request failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VisitError {
    /// The site could not be reached, or the connection failed.
    #[error(transparent)]
    Client(#[from] hyper_util::client::legacy::Error),
    /// The request cannot be made.
    #[error(transparent)]
    Request(#[from] hyper::http::Error),
    /// The body is too long or incomplete.
    #[error("the answer cannot be read: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
    /// The response is not a list of entries.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// The site returned an error status.
    #[error("the site answered {0}")]
    Status(StatusCode),
}

impl Visitor {
    /// A client of the site at `host`, such as `example.i2p` or a `.b32.i2p` address, through
    /// `session`.
    pub fn new(session: Session, host: &str) -> Self {
        Self {
            client: Client::builder(TokioExecutor::new()).build(HttpConnector::new(session)),
            site: format!("http://{host}"),
        }
    }

    /// Adds an entry to the guest book.
    ///
    /// # Errors
    ///
    /// See [`VisitError`].
    pub async fn write(&self, text: &str) -> Result<(), VisitError> {
        let form = format!("text={}", percent_encode(text));
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("{}/entries", self.site))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Full::new(form.into()))?;
        let response = self.client.request(request).await?;
        match response.status() {
            StatusCode::SEE_OTHER => Ok(()),
            other => Err(VisitError::Status(other)),
        }
    }

    /// Reads the guest book.
    ///
    /// # Errors
    ///
    /// See [`VisitError`].
    pub async fn read(&self) -> Result<Vec<Entry>, VisitError> {
        let request = Request::get(format!("{}/entries.json", self.site)).body(Full::default())?;
        let response = self.client.request(request).await?;
        if response.status() != StatusCode::OK {
            return Err(VisitError::Status(response.status()));
        }
        let body = Limited::new(response.into_body(), MAX_BODY).collect().await;
        Ok(serde_json::from_slice(
            &body.map_err(VisitError::Body)?.to_bytes(),
        )?)
    }
}

fn percent_encode(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(encode).collect()
}

/// The maximum length of an entry's text in characters.
const MAX_TEXT: usize = 280;
/// The maximum number of entries. A new entry replaces the oldest one.
const MAX_ENTRIES: usize = 1000;
/// The maximum length of the list that a client reads, in bytes. Chosen as a full guest book of the
/// longest texts.
const MAX_BODY: usize = 2 * 1024 * 1024;
