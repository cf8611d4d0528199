//! The names that services resolve: the address books of the user, and names that a user has
//! confirmed for the running time of the program.

mod methods;
mod on_demand;
mod subscriber;

use std::{
    collections::BTreeMap,
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use eepkit::{AddressError, ErrorKind, Host, LookupError, NameSource, ResolveFuture, Router};
use eepkit_naming::{AddressBook, AddressHelper, Book, HostName, Query, ResolveError, Target};
use serde_json::Value;

pub use self::methods::NameParams;
pub(crate) use self::methods::readable;
use self::{on_demand::OnDemand, subscriber::Subscriber};
use crate::methods::{ControlError, Events, Methods, Outcome, Request, Work};

/// The names of a program. Clones share them.
///
/// A daemon has the store of the address books open ([`Names::of`]). Other programs open it for each
/// use, or ask the daemon over its control socket while the daemon has it open
/// ([`Names::on_demand`]).
#[derive(Clone, Default)]
pub struct Names(Arc<Inner>);

#[derive(Default)]
struct Inner {
    store: Store,
    once: Mutex<BTreeMap<HostName, Target>>,
}

#[derive(Default)]
enum Store {
    #[default]
    None,
    Open(AddressBook, Arc<Subscriber>),
    OnDemand(OnDemand),
}

impl Names {
    /// Creates names without address books: names are only those of the router, and those that a
    /// user confirms.
    pub fn none() -> Self {
        Self::default()
    }

    /// Creates names from address books that this program has open.
    pub fn of(books: AddressBook) -> Self {
        let subscriber = Arc::new(Subscriber::new(books.clone()));
        Self::with(Store::Open(books, subscriber))
    }

    /// Creates names from the store in a file, which is opened for each use. While a daemon has it
    /// open, the daemon is asked over its control socket.
    pub fn on_demand(file: impl Into<PathBuf>, socket: Option<PathBuf>) -> Self {
        let file = file.into();
        Self::with(Store::OnDemand(OnDemand { file, socket }))
    }

    fn with(store: Store) -> Self {
        Self(Arc::new(Inner {
            store,
            once: Mutex::default(),
        }))
    }

    /// Whether there are address books, to which names can be added.
    pub fn has_books(&self) -> bool {
        !matches!(self.0.store, Store::None)
    }

    /// Fetches the subscriptions of the address books when they are due, without end. Only a program
    /// that has the store open does this.
    pub async fn fetch_subscriptions(&self, router: Router) {
        match &self.0.store {
            Store::Open(_, subscriber) => subscriber.clone().run(router).await,
            _ => std::future::pending().await,
        }
    }

    /// Calls a method of the address books, such as `names.add`. `docs/control.md` lists them.
    ///
    /// # Errors
    ///
    /// [`ControlError`], in the form of the control socket.
    pub async fn call(&self, method: &str, params: NameParams) -> Outcome {
        match &self.0.store {
            Store::None => Err(ControlError::of_kind(
                ErrorKind::Io,
                "this program has no address book",
            )),
            Store::OnDemand(store) => store.call(method, params).await,
            Store::Open(books, subscriber) => {
                if method == "names.fetch" {
                    return fetch_now(subscriber, &params);
                }
                let (books, method_name) = (books.clone(), method.to_owned());
                let calling = tokio::task::spawn_blocking(move || {
                    methods::call(&books, &method_name, &params)
                });
                let mut outcome = calling.await.unwrap_or_else(|_| {
                    Err(ControlError::of_kind(
                        ErrorKind::Closed,
                        "the program is stopping",
                    ))
                })?;
                match method {
                    "names.status" => {
                        // The schedule has what the store has, and the times of the next fetches.
                        let scheduled = subscriber.status();
                        if let (Value::Object(status), false) = (&mut outcome, scheduled.is_empty())
                        {
                            status.insert("subscriptions".to_owned(), Value::Array(scheduled));
                        }
                    }
                    "names.subscribe" | "names.unsubscribe" | "names.import" => {
                        subscriber.changed();
                    }
                    _ => {}
                }
                Ok(outcome)
            }
        }
    }

    /// Resolves a name or a base32 address. Returns `None` if a router must look it up.
    ///
    /// # Errors
    ///
    /// [`LookupError::NameSource`] if the store fails.
    async fn look_up(&self, text: &str) -> Result<Option<Target>, LookupError> {
        if let Ok(Query::Name(name)) = text.parse()
            && let Some(target) = self.once().get(&name)
        {
            return Ok(Some(target.clone()));
        }
        match &self.0.store {
            Store::None => Ok(None),
            // The store blocks for microseconds.
            Store::Open(books, _) => match books.resolve(text) {
                Ok(resolution) => Ok(Some(resolution.target)),
                Err(ResolveError::Store(error)) => Err(LookupError::NameSource(error.to_string())),
                // The router may have the name, or an error of its own for it.
                Err(_) => Ok(None),
            },
            Store::OnDemand(store) => {
                let params = NameParams {
                    name: Some(text.to_owned()),
                    ..NameParams::default()
                };
                let resolved = store.call("names.resolve", params).await;
                let resolved = resolved.map_err(|error| LookupError::NameSource(error.message))?;
                Ok(resolved["target"]
                    .as_str()
                    .and_then(|text| text.parse().ok()))
            }
        }
    }

    /// Whether a name is known without the router.
    pub(crate) async fn is_known(&self, name: &str) -> bool {
        self.look_up(name).await.is_ok_and(|found| found.is_some())
    }

    /// Compares an address helper with the names.
    ///
    /// # Errors
    ///
    /// [`ControlError`] if the store fails.
    pub(crate) async fn compare(&self, helper: &AddressHelper) -> Result<Known, ControlError> {
        if let Some(target) = self.once().get(&helper.name) {
            return Ok(match target.is_same(&helper.target) {
                true => Known::Same,
                false => Known::Other(target.clone()),
            });
        }
        if !self.has_books() {
            return Ok(Known::New);
        }
        let outcome = self.call("names.compare", params_of(helper)).await?;
        Ok(match outcome["status"].as_str() {
            Some("same") => Known::Same,
            Some("other") => match outcome["target"].as_str().map(str::parse) {
                Some(Ok(target)) => Known::Other(target),
                _ => Known::New,
            },
            _ => Known::New,
        })
    }

    /// Uses the destination of a helper for its name until the program ends.
    pub(crate) fn remember(&self, helper: &AddressHelper) {
        let mut once = self.once();
        if once.len() >= MAX_ONCE && !once.contains_key(&helper.name) {
            once.pop_first();
        }
        once.insert(helper.name.clone(), helper.target.clone());
    }

    /// Adds the name of a helper to a book, and replaces its entry there.
    ///
    /// # Errors
    ///
    /// [`ControlError`] if the store fails.
    pub(crate) async fn add(&self, book: Book, helper: &AddressHelper) -> Result<(), ControlError> {
        let params = NameParams {
            book: Some(book.as_str().to_owned()),
            source: Some("address helper".to_owned()),
            replace: true,
            ..params_of(helper)
        };
        self.call("names.add", params).await?;
        self.once().remove(&helper.name);
        Ok(())
    }

    /// The names that are used until the program ends.
    pub(crate) fn once_names(&self) -> Vec<HostName> {
        self.once().keys().cloned().collect()
    }

    /// A panic while the lock is held leaves the map consistent: each change is one insertion or
    /// removal.
    fn once(&self) -> MutexGuard<'_, BTreeMap<HostName, Target>> {
        self.0.once.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn params_of(helper: &AddressHelper) -> NameParams {
    NameParams {
        name: Some(helper.name.as_str().to_owned()),
        target: Some(helper.target.to_string()),
        ..NameParams::default()
    }
}

fn fetch_now(subscriber: &Subscriber, params: &NameParams) -> Outcome {
    let url = params.url.as_deref().unwrap_or_default();
    let url = url
        .parse()
        .map_err(|error| ControlError::new("bad_input", format!("{error}")))?;
    match subscriber.fetch_now(&url) {
        true => Ok(serde_json::json!({ "version": 1, "url": url.as_str() })),
        false => Err(ControlError::new(
            ErrorKind::NameNotFound.as_str(),
            format!("there is no subscription to {url}"),
        )),
    }
}

impl Methods for Names {
    fn call(&self, request: Request, _: Events) -> Option<Work<'_, Outcome>> {
        let names = self.clone();
        Some(Box::pin(async move {
            let params = request.params()?;
            Self::call(&names, &request.method, params).await
        }))
    }

    fn names(&self) -> Vec<&'static str> {
        methods::METHODS.to_vec()
    }
}

impl NameSource for Names {
    fn resolve<'a>(&'a self, name: &'a str) -> ResolveFuture<'a> {
        Box::pin(async move {
            match self.look_up(name).await? {
                None => Ok(None),
                Some(target) => Host::try_from(target)
                    .map(Some)
                    .map_err(|error: AddressError| error.into()),
            }
        })
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Names")
            .field("has_books", &self.has_books())
            .field("once", &self.once().len())
            .finish()
    }
}

/// What the names have for a helper.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Known {
    /// Nothing.
    New,
    /// The same destination.
    Same,
    /// Another destination.
    Other(Target),
}

/// Names that are used until the program ends. Chosen as more than a user confirms by hand.
const MAX_ONCE: usize = 1024;
