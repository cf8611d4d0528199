//! Import of i2pd's address book.

use std::{
    fs,
    io::{BufRead, Read},
    path::Path,
};

use eepkit_wire::{BlindedAddress, Codec, Destination, Hash};

use crate::{
    address_book::AddressBook,
    book::Book,
    entry::Entry,
    host_name::HostName,
    import::{Import, ImportError, RouterImport, Writer, open, read_text, subscriptions},
    properties::Properties,
    report::{Outcome, Refusal},
    subscription_state::SubscriptionState,
    target::Target,
};

/// Imports the address book of i2pd from its data directory, usually `/var/lib/i2pd` or `~/.i2pd`.
///
/// * `addressbook/addresses.csv` goes into the shared book, `addressbook/local.csv` into the user's.
///   Destinations are read from the directory of identities; without its file, a name has only the
///   hash of its destination.
/// * `hosts.txt` goes into the shared book, `subscriptions.txt` into the subscriptions.
///
/// Names that the books have stay. The validators of i2pd's subscriptions are not imported, because
/// i2pd stores them under the destination of a site and not under its address. Subscriptions in
/// `i2pd.conf` are not read. `now` is the time in seconds since the epoch.
///
/// # Errors
///
/// [`ImportError`] if no file is found, one cannot be read, or the store fails.
pub fn import_i2pd(books: &AddressBook, dir: &Path, now: u64) -> Result<RouterImport, ImportError> {
    let mut found = RouterImport::default();
    for (file, book) in [
        ("addressbook/local.csv", Book::User),
        ("addressbook/addresses.csv", Book::Shared),
    ] {
        let path = dir.join(file);
        if let Some(lines) = open(&path)? {
            let import = Import::new(book, file, now);
            read_index(books, dir, &import, lines, &mut found)?;
            found.files.push(path);
        }
    }
    let path = dir.join("hosts.txt");
    if let Some(lines) = open(&path)? {
        let import = Import::new(Book::Shared, "hosts.txt", now);
        let report = import.run_file(books, "hosts.txt", lines)?;
        found.report.merge(report);
        found.files.push(path);
    }
    let path = dir.join("subscriptions.txt");
    if let Some(text) = read_text(&path)? {
        let urls = subscriptions("subscriptions.txt", &text, &mut found.warnings);
        let states = urls
            .into_iter()
            .map(|url| (url, SubscriptionState::default()));
        found.subscriptions = states.collect();
        found.files.push(path);
    }
    if found.files.is_empty() {
        let path = dir.to_owned();
        return Err(ImportError::NothingFound { path });
    }
    Ok(found)
}

/// Parses a line `name,address` of an index. The address is base32 without its suffix.
pub fn parse_i2pd_line(line: &str) -> Result<(HostName, Target), Refusal> {
    let malformed = |why: &str| Refusal::Source(why.to_owned());
    let (name, label) = line
        .split_once(',')
        .ok_or_else(|| malformed("expected name,address"))?;
    let (name, label) = (name.trim(), label.trim());
    let name: HostName = name.parse()?;
    let target = match Hash::from_b32(label) {
        Ok(hash) => Target::Hash(hash),
        Err(_) => BlindedAddress::from_b33(label)
            .map(Target::Blinded)
            .map_err(|error| malformed(&error.to_string()))?,
    };
    Ok((name, target))
}

fn read_index(
    books: &AddressBook,
    dir: &Path,
    import: &Import<'_>,
    lines: impl BufRead,
    found: &mut RouterImport,
) -> Result<(), ImportError> {
    let report = &mut found.report;
    let mut writer = Writer::new(import);
    books.edit(|edit| {
        for (number, line) in (1..).zip(Read::take(lines, MAX_INDEX).lines()) {
            let line = line?;
            if line.trim().is_empty() {
                continue;
            }
            let (what, outcome) = match parse_i2pd_line(&line) {
                Err(refusal) => (String::new(), Outcome::Refused(refusal)),
                Ok((name, target)) => {
                    let target = with_identity(dir, target);
                    let properties = import.properties(Properties::new());
                    let entry = Entry::with_properties(target, properties);
                    (name.to_string(), writer.put(edit, &name, &entry)?)
                }
            };
            report.add(import.source, number, &what, outcome);
        }
        Ok(())
    })
}

/// Replaces a hash by its destination, if the directory of identities has it.
fn with_identity(dir: &Path, target: Target) -> Target {
    let Target::Hash(hash) = target else {
        return target;
    };
    let address = hash.to_b32();
    let label = address.strip_suffix(".b32.i2p").unwrap_or(&address);
    let path = dir
        .join("addressbook")
        .join(format!("b{}", &label[..1]))
        .join(format!("{label}.b32"));
    let read = || {
        let mut bytes = Vec::new();
        let file = fs::File::open(path).ok()?;
        file.take(MAX_IDENTITY).read_to_end(&mut bytes).ok()?;
        Destination::from_bytes(&bytes).ok()
    };
    read()
        .filter(|destination| destination.hash() == hash)
        .map_or(target, Target::Destination)
}

/// The largest index that is read, in bytes. Chosen because 500,000 lines of 128 bytes fit.
const MAX_INDEX: u64 = 64 << 20;

/// The largest identity that is read, in bytes. Chosen above the longest destination.
const MAX_IDENTITY: u64 = 4096;
