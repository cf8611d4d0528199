//! Import of Java I2P's address book.

use std::path::{Path, PathBuf};

use eepkit_wire::ConfigFile;

use crate::{
    address_book::AddressBook,
    blockfile,
    book::Book,
    import::{Import, ImportError, RouterImport, Writer, open, read_text, subscriptions},
    report::{Outcome, Refusal},
    subscription_state::SubscriptionState,
    subscriptions::SubscriptionConfig,
};

/// Imports the address book of Java I2P from its configuration directory, usually `~/.i2p`.
///
/// * The lists of `hostsdb.blockfile` go into their books.
/// * `privatehosts.txt`, `userhosts.txt` and `hosts.txt` go into their books.
/// * `addressbook/subscriptions.txt` becomes the subscriptions, with their validators from the
///   files `etags`, `last_modified` and `last_fetched`.
/// * `addressbook/config.txt` has the interval and the file for publication. Settings that have no
///   effect in eepkit become warnings.
///
/// Names that the books have stay. `now` is the time in seconds since the epoch.
///
/// # Errors
///
/// [`ImportError`] if no file is found, one cannot be read, or the store fails. Files that were read
/// before stay imported.
pub fn import_java(books: &AddressBook, dir: &Path, now: u64) -> Result<RouterImport, ImportError> {
    let mut found = RouterImport::default();
    let path = dir.join("hostsdb.blockfile");
    if let Some(file) = open(&path)? {
        read_blockfile(books, file, now, &mut found)?;
        found.files.push(path);
    }
    for book in Book::ALL {
        let name = book.file_name();
        let path = dir.join(name);
        if let Some(lines) = open(&path)? {
            let report = Import::new(book, name, now).run_file(books, name, lines)?;
            found.report.merge(report);
            found.files.push(path);
        }
    }
    let settings = dir.join("addressbook");
    let settings = if settings.is_dir() {
        settings
    } else {
        dir.to_owned()
    };
    read_settings(&settings, &mut found)?;
    if found.files.is_empty() {
        let path = dir.to_owned();
        return Err(ImportError::NothingFound { path });
    }
    Ok(found)
}

fn read_blockfile(
    books: &AddressBook,
    file: impl std::io::Read + std::io::Seek,
    now: u64,
    found: &mut RouterImport,
) -> Result<(), ImportError> {
    let source = "hostsdb.blockfile";
    let imports = Book::ALL.map(|book| Import::new(book, source, now));
    let mut writers: Vec<_> = imports.iter().map(Writer::new).collect();
    let RouterImport {
        report, warnings, ..
    } = found;
    books.edit(|edit| {
        blockfile::read(file, |list, name, entry| {
            let book = list.parse().unwrap_or_else(|_| {
                let warning = format!(
                    "{source}: the list {list} is unknown, its names go into the user's book"
                );
                if !warnings.contains(&warning) {
                    warnings.push(warning);
                }
                Book::User
            });
            let outcome = match name.parse() {
                Err(error) => Outcome::Refused(Refusal::Name(error)),
                Ok(name) => match entry {
                    Err(error) => Outcome::Refused(Refusal::Source(error.to_string())),
                    Ok(mut entry) => {
                        for record in entry.records_mut() {
                            let properties = std::mem::take(&mut record.properties);
                            record.properties = imports[book as usize].properties(properties);
                        }
                        writers[book as usize].put(edit, &name, &entry)?
                    }
                },
            };
            report.add(source, 0, name, outcome);
            Ok::<_, ImportError>(())
        })
    })
}

fn read_settings(dir: &Path, found: &mut RouterImport) -> Result<(), ImportError> {
    let mut urls_file = "subscriptions.txt".to_owned();
    let path = dir.join("config.txt");
    if let Some(text) = read_text(&path)? {
        // A file that is too long has no settings of an address book.
        let config = ConfigFile::parse(&text).unwrap_or_default();
        let shall_publish = config.get("should_publish") == Some("true");
        for (key, value) in config.iter() {
            match key {
                "update_delay" => match value.parse::<u64>() {
                    Ok(hours) => {
                        let seconds = hours.saturating_mul(60 * 60);
                        found.interval = Some(seconds.max(SubscriptionConfig::MIN_INTERVAL));
                    }
                    Err(_) => {
                        let warning = "config.txt: update_delay is not a number of hours";
                        found.warnings.push(warning.to_owned());
                    }
                },
                "published_addressbook" if shall_publish => {
                    found.publish = Some(join(dir, value));
                }
                "subscriptions" => value.clone_into(&mut urls_file),
                "proxy_host" | "proxy_port" if !is_default(key, value) => {
                    found.warnings.push(format!(
                        "config.txt: {key}={value} has no effect: subscriptions are fetched over the session"
                    ));
                }
                _ => {}
            }
        }
        found.files.push(path);
    }
    let path = join(dir, &urls_file);
    let Some(text) = read_text(&path)? else {
        return Ok(());
    };
    let text_of =
        |file: &str| Ok::<_, ImportError>(read_text(&dir.join(file))?.unwrap_or_default());
    let (etags, times) = (text_of("etags")?, text_of("last_modified")?);
    let fetched = text_of("last_fetched")?;
    for url in subscriptions("subscriptions.txt", &text, &mut found.warnings) {
        // Addresses and validators may contain `=`.
        let of = |text: &str| {
            let mut values = text.lines().filter_map(|line| {
                let value = line.strip_prefix(url.as_str())?.strip_prefix('=')?;
                Some(value.trim().to_owned())
            });
            values.next()
        };
        let state = SubscriptionState {
            etag: of(&etags),
            last_modified: of(&times),
            fetched: of(&fetched).and_then(|ms| Some(ms.parse::<u64>().ok()? / 1000)),
            ..SubscriptionState::default()
        };
        found.subscriptions.push((url, state));
    }
    found.files.push(path);
    Ok(())
}

/// A path of a setting, which is relative to the directory of the settings.
fn join(dir: &Path, value: &str) -> PathBuf {
    dir.join(value)
}

/// Whether a setting has Java's default.
fn is_default(key: &str, value: &str) -> bool {
    matches!(
        (key, value),
        ("proxy_host", "127.0.0.1" | "localhost") | ("proxy_port", "4444")
    )
}
