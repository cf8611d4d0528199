//! The arguments of `eepkit addressbook` and `eepkit resolve`, and the section `[address-book]` of the
//! configuration file.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use eepkit_services::{
    access,
    options::{Opt, Table},
};

use super::ControlArgs;

/// The address book of `eepkit run`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamesConfig {
    pub(crate) enabled: bool,
    pub(crate) file: Option<PathBuf>,
}

/// The options of the section.
pub(crate) static NAMES: Table<NamesConfig> = Table {
    section: "address-book",
    doc: "The address book, in which all services look up names.",
    defaults: || NamesConfig {
        enabled: true,
        file: None,
    },
    options: &[
        Opt::new(
            "enabled",
            access!(NamesConfig, bool, enabled),
            "Whether names are looked up in an address book of this program.\n\
             Names that it does not have are looked up with the router.",
        ),
        Opt::new(
            "file",
            access!(NamesConfig, Option<PathBuf>, file),
            "The file, which is created if it does not exist.\n\
             Default: addressbook.redb in the state_dir of the router if one is set, else in eepkit/ of\n\
             the user's data directory.",
        )
        .example("\"/var/lib/eepkit/addressbook.redb\""),
    ],
};

/// Look up, add and import names, and subscribe to lists of names
///
/// Names in .i2p are resolved by address books: `private` names are never published, `user` has your
/// own names, and `shared` has those of subscriptions. The first book that has a name decides. While
/// `eepkit run` is running, these commands ask it; otherwise they use the file themselves.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  eepkit addressbook add example.i2p DESTINATION     a base64 destination or a .b32.i2p address
  eepkit addressbook list
  eepkit addressbook search wiki --book shared
  eepkit addressbook import hosts.txt
  eepkit addressbook import --from i2pd /var/lib/i2pd
  eepkit addressbook subscribe http://i2p-projekt.i2p/hosts.txt
  eepkit addressbook status

`eepkit run` fetches subscriptions over I2P, twice a day.")]
pub(crate) struct AddressBookArgs {
    #[command(subcommand)]
    pub(crate) command: AddressBookCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AddressBookCommand {
    /// Add a name
    Add {
        /// The name, such as example.i2p
        name: String,
        /// A destination in base64, or a .b32.i2p address
        #[arg(allow_hyphen_values = true)]
        destination: String,
        /// The book: user or private
        #[arg(short, long, value_name = "BOOK", default_value = "user")]
        book: String,
        /// Replace another destination of the name in the book
        #[arg(long)]
        replace: bool,
        #[command(flatten)]
        store: StoreArgs,
    },
    /// Remove a name from all books
    Remove {
        /// The name
        name: String,
        /// Remove it from this book only: private, user or shared
        #[arg(short, long, value_name = "BOOK")]
        book: Option<String>,
        #[command(flatten)]
        store: StoreArgs,
    },
    /// List the names of a book
    List {
        /// The book: private, user or shared [default: all]
        #[arg(short, long, value_name = "BOOK")]
        book: Option<String>,
        #[command(flatten)]
        store: StoreArgs,
    },
    /// List the names that contain a text
    Search {
        /// The text
        text: String,
        /// The book: private, user or shared [default: all]
        #[arg(short, long, value_name = "BOOK")]
        book: Option<String>,
        #[command(flatten)]
        store: StoreArgs,
    },
    /// Add the names of a file, or of the directory of another router
    Import {
        /// A hosts.txt; or the data directory of i2pd, or the directory of Java I2P
        file: PathBuf,
        /// What it is
        #[arg(
            long,
            value_name = "hosts|i2pd|java",
            default_value = "hosts",
            hide_possible_values = true
        )]
        from: ImportSource,
        /// The book for the names of a hosts.txt: user or private
        #[arg(short, long, value_name = "BOOK", default_value = "user")]
        book: String,
        /// Replace names that the book has
        #[arg(long)]
        replace: bool,
        #[command(flatten)]
        store: StoreArgs,
    },
    /// Write the names of a book to a hosts.txt
    Export {
        /// The file, which is replaced
        file: PathBuf,
        /// The book: private, user or shared
        #[arg(short, long, value_name = "BOOK", default_value = "user")]
        book: String,
        /// With all addresses and properties of each name, for a backup
        #[arg(long)]
        full: bool,
        #[command(flatten)]
        store: StoreArgs,
    },
    /// Subscribe to a list of names
    Subscribe {
        /// http://NAME.i2p/PATH or file:///PATH
        url: String,
        #[command(flatten)]
        store: StoreArgs,
    },
    /// Cancel a subscription; its names stay
    Unsubscribe {
        /// The address of the list
        url: String,
        #[command(flatten)]
        store: StoreArgs,
    },
    /// Show the number of names, and the subscriptions with their last results
    Status {
        #[command(flatten)]
        store: StoreArgs,
    },
}

/// What is imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ImportSource {
    /// A hosts.txt.
    Hosts,
    /// The data directory of i2pd.
    I2pd,
    /// The directory of Java I2P.
    Java,
}

impl ImportSource {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Hosts => "hosts",
            Self::I2pd => "i2pd",
            Self::Java => "java",
        }
    }
}

/// Where the address book is.
#[derive(Debug, Clone, Args)]
pub(crate) struct StoreArgs {
    /// The file of the address book [default: that of the configuration file]
    #[arg(long, value_name = "FILE")]
    pub(crate) store: Option<PathBuf>,

    /// Print the result as one JSON object on one line
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) control: ControlArgs,
}

/// Resolve a name with the address books, without a router
///
/// Prints the address of the name. `eepkit lookup` asks the router as well, and prints the whole
/// destination.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  eepkit resolve example.i2p
  eepkit resolve --explain example.i2p     which book answers, and what other sources say

Exit code 4 if no book has the name.")]
pub(crate) struct ResolveArgs {
    /// A name, a .b32.i2p address or a destination
    pub(crate) name: String,

    /// Show which source answers, what the others have, and the other names of the destination
    #[arg(long)]
    pub(crate) explain: bool,

    #[command(flatten)]
    pub(crate) store: StoreArgs,
}
