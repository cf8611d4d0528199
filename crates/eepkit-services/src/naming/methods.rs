//! The methods of an address book, for the control socket and for commands without a daemon.

use std::{io::BufReader, path::PathBuf};

use eepkit::{ErrorKind, clock};
use eepkit_naming::{
    AddressBook, AddressHelper, Book, Conflict, Edit, Entry, ExportForm, Found, HelperStatus,
    HostName, Import, ImportError, Query, QueryError, ResolveError, RouterImport, StoreError,
    SubscriptionState, SubscriptionUrl, Target, import_i2pd, import_java, property,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::methods::{ControlError, Outcome};

/// The parameters of all methods. Each method uses some of them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NameParams {
    /// A name, or whatever a user types for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A destination in base64 or a base32 address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// A book: `private`, `user` or `shared`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub book: Option<String>,
    /// Text that names contain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The name after which a page begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// The most entries of a page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// An absolute path of a file or directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// What the file is: `hosts`, `i2pd` or `java`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// Where a name comes from, for its properties.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Whether an export contains all targets and properties.
    pub full: bool,
    /// Whether existing entries are replaced.
    pub replace: bool,
    /// The address of a subscription.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// The methods of [`Names::call`](super::Names::call). `names.fetch` is one of a daemon only.
pub(crate) const METHODS: &[&str] = &[
    "names.resolve",
    "names.compare",
    "names.explain",
    "names.list",
    "names.add",
    "names.remove",
    "names.import",
    "names.export",
    "names.status",
    "names.subscribe",
    "names.unsubscribe",
    "names.fetch",
];

/// Calls a method. Blocks on the store.
pub(crate) fn call(books: &AddressBook, method: &str, params: &NameParams) -> Outcome {
    match method {
        "names.resolve" => resolve(books, params),
        "names.compare" => compare(books, params),
        "names.explain" => explain(books, params),
        "names.list" => list(books, params),
        "names.add" => add(books, params),
        "names.remove" => remove(books, params),
        "names.import" => import(books, params),
        "names.export" => export(books, params),
        "names.status" => status(books),
        "names.subscribe" => subscribe(books, params),
        "names.unsubscribe" => unsubscribe(books, params),
        _ => Err(ControlError::new(
            "unknown_method",
            format!("there is no method {method}"),
        )),
    }
}

fn resolve(books: &AddressBook, params: &NameParams) -> Outcome {
    let target = match books.resolve(required(&params.name, "name")?) {
        Ok(resolution) => Some(resolution.target.to_string()),
        Err(ResolveError::NotFound(_)) => None,
        Err(ResolveError::Query(error)) => return Err(bad_input(error)),
        Err(ResolveError::Store(error)) => return Err(store(error)),
        Err(error) => return Err(bad_input(error)),
    };
    Ok(json!({ "target": target }))
}

fn compare(books: &AddressBook, params: &NameParams) -> Outcome {
    let helper = AddressHelper {
        name: name(params)?,
        target: target(params)?,
        path: "/".to_owned(),
    };
    let status = helper.compare(books).map_err(store)?;
    Ok(match status {
        HelperStatus::New => json!({ "status": "new" }),
        HelperStatus::Known(_) => json!({ "status": "same" }),
        HelperStatus::Conflict(found) => json!({
            "status": "other",
            "target": found.entry.target().to_string(),
        }),
    })
}

/// Which source answers, and what the others have.
fn explain(books: &AddressBook, params: &NameParams) -> Outcome {
    let text = required(&params.name, "name")?;
    let query: Query = text.parse().map_err(|error: QueryError| bad_input(error))?;
    let (found, conflicts) = match &query {
        Query::Name(name) => {
            let explanation = books.explain(name).map_err(store)?;
            (explanation.found, explanation.conflicts)
        }
        Query::Target(_) => Default::default(),
    };
    let name = match &query {
        Query::Name(name) => Some(name.as_str().to_owned()),
        Query::Target(_) => None,
    };
    let target = match books.resolve_query(query) {
        Ok(resolution) => Some(resolution.target),
        Err(ResolveError::Store(error)) => return Err(store(error)),
        Err(_) => None,
    };
    let other_names: Vec<Value> = match target.as_ref().and_then(Target::hash) {
        None => Vec::new(),
        Some(hash) => books
            .names_of(hash)
            .map_err(store)?
            .into_iter()
            .filter(|(_, other)| Some(other.as_str()) != name.as_deref())
            .map(|(book, name)| json!({ "book": book.as_str(), "name": name.as_str() }))
            .collect(),
    };
    let found: Vec<Value> = found.iter().map(found_json).collect();
    let conflicts: Vec<Value> = conflicts.iter().map(conflict_json).collect();
    Ok(json!({
        "version": 1,
        "name": name,
        "target": target.as_ref().map(ToString::to_string),
        "address": target.as_ref().map(readable),
        "found": found,
        "conflicts": conflicts,
        "other_names": other_names,
    }))
}

fn list(books: &AddressBook, params: &NameParams) -> Outcome {
    let chosen = book(params, None)?;
    let after = match &params.after {
        Some(after) => Some(after.parse::<HostName>().map_err(bad_input)?),
        None => None,
    };
    let limit = params.limit.unwrap_or(MAX_PAGE).clamp(1, MAX_PAGE);
    let text = params.text.as_deref().unwrap_or_default();
    let book = chosen.unwrap_or(Book::User);
    let page = match text {
        "" => books.list(book, after.as_ref(), limit),
        text => books.search(book, text, after.as_ref(), limit),
    };
    let page = page.map_err(store)?;
    let entries: Vec<Value> = page
        .entries
        .iter()
        .map(|(name, entry)| {
            json!({
                "name": name.as_str(),
                "unicode": name.to_unicode(),
                "book": book.as_str(),
                "address": readable(entry.target()),
            })
        })
        .collect();
    Ok(json!({
        "version": 1,
        "entries": entries,
        "next": page.next.as_ref().map(HostName::as_str),
    }))
}

fn add(books: &AddressBook, params: &NameParams) -> Outcome {
    let (name, target) = (name(params)?, target(params)?);
    let book = book(params, Some(Book::User))?.unwrap_or(Book::User);
    let mut entry = Entry::new(target.clone());
    let source = params.source.as_deref().unwrap_or("user");
    let added = (now() * 1000).to_string();
    for record in entry.records_mut() {
        for (key, value) in [
            (property::ADDED, added.as_str()),
            (property::SOURCE, source),
        ] {
            // These are short texts without characters that have a meaning.
            let _ = record.properties.insert(key, value);
        }
    }
    let replace = params.replace;
    let action = books.edit(|edit| {
        let old = edit.get(book, &name)?;
        let action = match &old {
            Some(old) if old.contains(&target) => return Ok("unchanged"),
            Some(_) if !replace => return Err(AddError::Exists),
            Some(_) => "replaced",
            None => "added",
        };
        edit.put(book, &name, &entry)?;
        Ok(action)
    });
    match action {
        Ok(action) => Ok(
            json!({ "version": 1, "name": name.as_str(), "book": book.as_str(), "action": action }),
        ),
        Err(AddError::Store(error)) => Err(store(error)),
        Err(AddError::Exists) => Err(ControlError::new(
            "exists",
            format!("the book {book} has another destination for {name}"),
        )
        .hint("replace it, or add the name to another book")),
    }
}

enum AddError {
    Exists,
    Store(StoreError),
}

impl From<StoreError> for AddError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

fn remove(books: &AddressBook, params: &NameParams) -> Outcome {
    let name = name(params)?;
    let chosen = match book(params, None)? {
        Some(book) => vec![book],
        None => Book::ALL.to_vec(),
    };
    let removed = books
        .edit(|edit: &mut Edit<'_>| {
            let mut removed = Vec::new();
            for book in chosen {
                if edit.remove(book, &name)?.is_some() {
                    removed.push(book.as_str());
                }
            }
            Ok::<_, StoreError>(removed)
        })
        .map_err(store)?;
    if removed.is_empty() {
        let message = format!("{name} is not in the address book");
        return Err(ControlError::new(ErrorKind::NameNotFound.as_str(), message));
    }
    Ok(json!({ "version": 1, "name": name.as_str(), "books": removed }))
}

fn import(books: &AddressBook, params: &NameParams) -> Outcome {
    let file = params.file.as_ref();
    let file = file.ok_or_else(|| missing("file"))?;
    let book = book(params, Some(Book::User))?.unwrap_or(Book::User);
    let import_error = |error: ImportError| {
        ControlError::of_kind(
            ErrorKind::Io,
            format!("cannot import {}: {error}", file.display()),
        )
    };
    let imported = match params.format.as_deref().unwrap_or("hosts") {
        "hosts" => {
            let lines = std::fs::File::open(file).map_err(|error| import_error(error.into()))?;
            let source = file.display().to_string();
            let import = Import::new(book, &source, now()).with_overwriting(params.replace);
            let report = import
                .run(books, BufReader::new(lines))
                .map_err(import_error)?;
            RouterImport {
                report,
                files: vec![file.clone()],
                ..RouterImport::default()
            }
        }
        "i2pd" => import_i2pd(books, file, now()).map_err(import_error)?,
        "java" => import_java(books, file, now()).map_err(import_error)?,
        other => {
            return Err(bad_input(format_args!(
                "{other:?} is no format of an address book"
            )));
        }
    };
    for (url, state) in &imported.subscriptions {
        if !is_subscribed(books, url)? {
            books.save_subscription(url, state).map_err(store)?;
        }
    }
    let RouterImport { report, .. } = &imported;
    let problems: Vec<Value> = report
        .problems
        .iter()
        .map(|problem| json!(problem.to_string()))
        .collect();
    let files: Vec<_> = imported
        .files
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    let subscriptions: Vec<_> = imported
        .subscriptions
        .iter()
        .map(|(url, _)| url.as_str())
        .collect();
    Ok(json!({
        "version": 1,
        "files": files,
        "added": report.added,
        "changed": report.changed,
        "unchanged": report.unchanged,
        "conflicts": report.conflicts,
        "refused": report.refused,
        "problems": problems,
        "warnings": imported.warnings,
        "subscriptions": subscriptions,
    }))
}

fn export(books: &AddressBook, params: &NameParams) -> Outcome {
    let file = params.file.as_ref();
    let file = file.ok_or_else(|| missing("file"))?;
    let book = book(params, Some(Book::User))?.unwrap_or(Book::User);
    let form = match params.full {
        true => ExportForm::Full,
        false => ExportForm::Plain,
    };
    let names = books.export_file(book, form, file).map_err(|error| {
        let message = format!("cannot export to {}: {error}", file.display());
        ControlError::of_kind(ErrorKind::Io, message)
    })?;
    Ok(json!({ "version": 1, "file": file.display().to_string(), "names": names }))
}

fn status(books: &AddressBook) -> Outcome {
    let mut list = Vec::new();
    for book in Book::ALL {
        let names = books.len(book).map_err(store)?;
        list.push(json!({ "book": book.as_str(), "names": names }));
    }
    let subscriptions = books.saved_subscriptions().map_err(store)?;
    let subscriptions: Vec<Value> = subscriptions
        .iter()
        .map(|(url, state)| subscription_json(url, state))
        .collect();
    Ok(json!({ "version": 1, "books": list, "subscriptions": subscriptions }))
}

fn subscribe(books: &AddressBook, params: &NameParams) -> Outcome {
    let url = url(params)?;
    if is_subscribed(books, &url)? {
        return Ok(json!({ "version": 1, "url": url.as_str(), "action": "unchanged" }));
    }
    let count = books.saved_subscriptions().map_err(store)?.len();
    if count >= eepkit_naming::Subscriptions::MAX {
        let error = eepkit_naming::SubscribeError::TooMany;
        return Err(ControlError::of_kind(ErrorKind::Limit, error.to_string()));
    }
    books
        .save_subscription(&url, &SubscriptionState::default())
        .map_err(store)?;
    Ok(json!({ "version": 1, "url": url.as_str(), "action": "added" }))
}

fn unsubscribe(books: &AddressBook, params: &NameParams) -> Outcome {
    let url = url(params)?;
    if !is_subscribed(books, &url)? {
        return Err(ControlError::new(
            ErrorKind::NameNotFound.as_str(),
            format!("there is no subscription to {url}"),
        ));
    }
    books.remove_subscription(&url).map_err(store)?;
    Ok(json!({ "version": 1, "url": url.as_str(), "action": "removed" }))
}

fn is_subscribed(books: &AddressBook, url: &SubscriptionUrl) -> Result<bool, ControlError> {
    let saved = books.saved_subscriptions().map_err(store)?;
    Ok(saved.iter().any(|(known, _)| known == url))
}

fn found_json(found: &Found) -> Value {
    let records: Vec<Value> = found
        .entry
        .records()
        .iter()
        .map(|record| {
            let properties: serde_json::Map<String, Value> = record
                .properties
                .iter()
                .map(|(key, value)| (key.to_owned(), json!(value)))
                .collect();
            json!({ "address": readable(&record.target), "properties": properties })
        })
        .collect();
    json!({ "book": found.book.as_str(), "name": found.name.as_str(), "records": records })
}

fn conflict_json(conflict: &Conflict) -> Value {
    json!({
        "name": conflict.name.as_str(),
        "address": conflict.destination.to_b32(),
        "source": conflict.source,
        "seen": conflict.seen,
    })
}

pub(super) fn subscription_json(url: &SubscriptionUrl, state: &SubscriptionState) -> Value {
    json!({
        "url": url.as_str(),
        "fetched": state.fetched,
        "attempted": state.attempted,
        "failures": state.failures,
        "result": state.result,
        "etag": state.etag,
        "last_modified": state.last_modified,
    })
}

/// The short form of a target.
pub(crate) fn readable(target: &Target) -> String {
    match target.hash() {
        Some(hash) => hash.to_b32(),
        None => target.to_string(),
    }
}

fn name(params: &NameParams) -> Result<HostName, ControlError> {
    required(&params.name, "name")?.parse().map_err(bad_input)
}

fn target(params: &NameParams) -> Result<Target, ControlError> {
    required(&params.target, "target")?
        .parse()
        .map_err(bad_input)
}

fn url(params: &NameParams) -> Result<SubscriptionUrl, ControlError> {
    required(&params.url, "url")?.parse().map_err(bad_input)
}

fn book(params: &NameParams, default: Option<Book>) -> Result<Option<Book>, ControlError> {
    match &params.book {
        Some(name) => name.parse().map(Some).map_err(bad_input),
        None => Ok(default),
    }
}

fn required<'a>(value: &'a Option<String>, key: &str) -> Result<&'a str, ControlError> {
    value.as_deref().ok_or_else(|| missing(key))
}

fn missing(key: &str) -> ControlError {
    ControlError::new("bad_params", format!("the parameter {key} is missing"))
}

fn bad_input(error: impl std::fmt::Display) -> ControlError {
    ControlError::new(ErrorKind::BadInput.as_str(), error.to_string())
}

pub(super) fn store(error: StoreError) -> ControlError {
    let message = format!("the address book cannot be used: {error}");
    ControlError::of_kind(ErrorKind::Io, message)
}

/// The time in seconds since the epoch.
fn now() -> u64 {
    clock::unix_now().as_secs()
}

/// The most entries of an answer. Chosen so that it fits into a line of the control socket.
const MAX_PAGE: usize = 1000;

#[cfg(test)]
mod tests;
