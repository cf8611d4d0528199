//! Host names of I2P and the address books that resolve them.
//!
//! * [`HostName`] is a name in `.i2p`. [`check_import`] has the rules for names that others propose.
//! * [`AddressBook`] stores the books of a user in one file: look-ups, reverse look-ups, lists,
//!   exports. [`AddressBook::resolve`] resolves whatever a user types.
//! * [`Merge`] merges a feed into the shared book: the first source decides, conflicts are kept,
//!   and the [`Command`]s of owners are applied if their signatures are valid.
//! * [`Subscriptions`] decides when feeds are fetched, and what their responses mean.
//! * [`import_java`] and [`import_i2pd`] read the books of other routers.
//! * [`AddressHelper`] and [`JumpService`] are links that give a name a destination.
//! * [`HostBook`] is a book in memory for routers and tests.
//!
//! This crate does not depend on routers, sessions or the network. It reads no clock: the time is an
//! argument. Only the store, the imports and [`HostBook::load`] use files.
//!
//! ```
//! use eepkit_naming::{AddressBook, Book, Merge};
//! use eepkit_wire::{PrivateKeys, SignatureType};
//!
//! let keys = PrivateKeys::generate(SignatureType::ED25519, &mut rand::rng())?;
//! let feed = format!("# new names\nexample.i2p={}\n", keys.destination().to_base64());
//!
//! let books = AddressBook::in_memory()?;
//! let merge = Merge::new("http://feed.i2p/hosts.txt", 1_700_000_000);
//! let report = merge.run(&books, feed.as_bytes())?;
//! assert_eq!(report.added, 1);
//!
//! let found = books.resolve("example.i2p.alt")?.found.expect("it is a name");
//! assert_eq!(found.book, Book::Shared);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Where this crate differs from the specifications: `docs/spec/naming.md` in the repository.

mod address_book;
mod address_helper;
mod blockfile;
mod book;
mod command;
mod conflict;
mod download;
mod edit;
mod entry;
#[cfg(any(test, feature = "_fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod guard;
mod host_name;
mod hosts;
mod hosts_line;
mod hosts_reader;
mod idn;
mod import;
mod import_i2pd;
mod import_java;
mod import_rule;
mod merge;
mod properties;
mod report;
mod resolve;
mod store_error;
mod subscription_state;
mod subscription_url;
mod subscriptions;
mod tables;
mod target;

pub use self::{
    address_book::{AddressBook, Explanation, ExportError, ExportForm, Found, Page},
    address_helper::{AddressHelper, HelperError, HelperStatus, JumpService},
    blockfile::BlockfileError,
    book::{Book, UnknownBook},
    command::{Action, Command, CommandError},
    conflict::Conflict,
    download::{Download, DownloadError, DownloadPlan},
    edit::Edit,
    entry::{Entry, Record, property},
    host_name::{HostName, HostNameError},
    hosts::{HostBook, HostError},
    hosts_line::{HostsLine, HostsLineError},
    hosts_reader::{HostsReader, NumberedLine},
    import::{Import, ImportError, RouterImport},
    import_i2pd::{import_i2pd, parse_i2pd_line},
    import_java::import_java,
    import_rule::{ImportRule, check_import, check_import_name},
    merge::{Merge, MergeError},
    properties::{Properties, PropertiesError},
    report::{Outcome, Problem, Refusal, Report},
    resolve::{Query, QueryError, Resolution, ResolveError},
    store_error::StoreError,
    subscription_state::SubscriptionState,
    subscription_url::{Place, SubscriptionUrl, SubscriptionUrlError},
    subscriptions::{
        Answer, Fetch, FetchId, Response, SubscribeError, SubscriptionConfig, SubscriptionEvent,
        SubscriptionStatus, Subscriptions,
    },
    target::{Target, TargetError},
};
