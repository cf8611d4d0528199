//! Merging of feeds: which lines change the shared book.

use std::io::{self, BufRead};

use eepkit_wire::Hash;

use crate::{
    address_book::AddressBook,
    book::Book,
    command::{Action, Command},
    conflict::Conflict,
    edit::Edit,
    entry::{Entry, Record, property},
    guard::Guard,
    host_name::HostName,
    hosts_line::HostsLine,
    hosts_reader::{HostsReader, NumberedLine},
    import_rule::check_import,
    properties::Properties,
    report::{Outcome, Refusal, Report},
    store_error::StoreError,
    target::Target,
};

/// How the lines of a feed are merged into the shared book.
///
/// * The first source that has a name decides. Another destination for it is kept as a
///   [`Conflict`], and the entry stays.
/// * A line without properties adds a name.
/// * A line with properties must be a [`Command`] with valid signatures. Commands are applied in
///   the order of their dates, whatever the order of lines; a replay of an old one is refused.
/// * Entries of the user's own book are never changed. The private book is not considered.
#[derive(Debug, Clone)]
pub struct Merge<'a> {
    source: &'a str,
    now: u64,
    limit: u64,
    unique_destinations: bool,
}

impl<'a> Merge<'a> {
    /// Creates a merge. `source` is stored with new entries: the URL of the feed. `now` is the time
    /// in seconds since the epoch.
    pub fn new(source: &'a str, now: u64) -> Self {
        Self {
            source,
            now,
            limit: HostsReader::<&[u8]>::MAX_BYTES,
            unique_destinations: false,
        }
    }

    /// Sets the largest size of the feed, in bytes. Default: 1 GiB.
    #[must_use]
    pub fn with_limit(mut self, bytes: u64) -> Self {
        self.limit = bytes;
        self
    }

    /// Sets whether lines without a signature are refused if their destination has another name in
    /// the shared book. Default: false, because public lists have second names.
    #[must_use]
    pub fn with_unique_destinations(mut self, unique: bool) -> Self {
        self.unique_destinations = unique;
        self
    }

    /// Merges a feed. Every 2,000 lines take effect together.
    ///
    /// # Errors
    ///
    /// [`MergeError::Read`] if the feed fails or is too long, and [`MergeError::Store`] if the
    /// store fails, for example because the disk is full. Lines that took effect stay; merging the
    /// feed again continues after them.
    pub fn run(&self, books: &AddressBook, feed: impl BufRead) -> Result<Report, MergeError> {
        let mut lines = HostsReader::with_limit(feed, self.limit);
        let mut report = Report::default();
        loop {
            let batch = lines.by_ref().take(BATCH_LINES);
            let batch: Vec<NumberedLine> = batch.collect::<Result<_, _>>()?;
            if batch.is_empty() {
                return Ok(report);
            }
            let mut part = Report::default();
            books.edit(|edit| {
                for line in &batch {
                    let outcome = self.apply_numbered(edit, line)?;
                    part.add("", line.number, &subject(line), outcome);
                }
                Ok::<_, StoreError>(())
            })?;
            report.merge(part);
        }
    }

    /// Applies one line.
    ///
    /// # Errors
    ///
    /// If the store fails. Refused lines are no errors.
    pub fn apply(&self, edit: &mut Edit<'_>, line: &HostsLine) -> Result<Outcome, StoreError> {
        match Command::from_line(line) {
            Err(error) => Ok(Outcome::Refused(error.into())),
            Ok(Some(command)) => match self.check(&command) {
                Err(refusal) => Ok(Outcome::Refused(refusal)),
                Ok(date) => Step {
                    merge: self,
                    edit,
                    command: &command,
                    date,
                }
                .apply(),
            },
            Ok(None) => match line {
                HostsLine::Entry { name, target, .. } => self.add_plain(edit, name, target),
                _ => Ok(Outcome::Unchanged),
            },
        }
    }

    fn apply_numbered(
        &self,
        edit: &mut Edit<'_>,
        line: &NumberedLine,
    ) -> Result<Outcome, StoreError> {
        match &line.content {
            Ok(line) => self.apply(edit, line),
            Err(error) => Ok(Outcome::Refused(error.clone().into())),
        }
    }

    /// Checks the parts of a command that do not depend on the books. Returns its date.
    fn check(&self, command: &Command) -> Result<Option<u64>, Refusal> {
        let date = command.date()?;
        if date.is_some_and(|date| date > self.now.saturating_add(MAX_CLOCK_SKEW)) {
            return Err(Refusal::Future);
        }
        if command.expires()?.is_some_and(|end| end < self.now) {
            return Err(Refusal::Expired);
        }
        command.verify()?;
        Ok(date)
    }

    fn add_plain(
        &self,
        edit: &mut Edit<'_>,
        name: &HostName,
        target: &Target,
    ) -> Result<Outcome, StoreError> {
        let Target::Destination(destination) = target else {
            return Ok(Outcome::Refused(Refusal::NotDestination));
        };
        if let Err(rule) = check_import(name, destination) {
            return Ok(Outcome::Refused(rule.into()));
        }
        let is_retired = edit.guard(name)?.is_retired(destination.hash());
        if let Some(entry) = existing(edit, name)? {
            if entry.contains(target) {
                return Ok(Outcome::Unchanged);
            }
            if is_retired {
                return Ok(Outcome::Refused(Refusal::Superseded));
            }
            return self.conflict(edit, name, target);
        }
        if is_retired {
            return Ok(Outcome::Refused(Refusal::Superseded));
        }
        if self.unique_destinations && !edit.names_of(Book::Shared, target)?.is_empty() {
            return Ok(Outcome::Refused(Refusal::SecondName));
        }
        let entry = Entry::with_properties(target.clone(), self.properties());
        edit.put(Book::Shared, name, &entry)?;
        Ok(Outcome::Added)
    }

    fn conflict(
        &self,
        edit: &mut Edit<'_>,
        name: &HostName,
        target: &Target,
    ) -> Result<Outcome, StoreError> {
        if let Target::Destination(destination) = target {
            edit.add_conflict(&Conflict {
                name: name.clone(),
                destination: destination.clone(),
                source: self.source.to_owned(),
                seen: self.now,
            })?;
        }
        Ok(Outcome::Conflict)
    }

    /// The properties of a new record.
    fn properties(&self) -> Properties {
        let mut properties = Properties::new();
        set(&mut properties, property::ADDED, &self.milliseconds());
        set(&mut properties, property::SOURCE, self.source);
        properties
    }

    fn milliseconds(&self) -> String {
        self.now.saturating_mul(1000).to_string()
    }
}

/// The reason why a merge ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MergeError {
    /// The feed cannot be read or is too long.
    #[error("cannot read the list of names: {0}")]
    Read(#[from] io::Error),
    /// The store cannot be changed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Applies one command whose signatures are valid.
struct Step<'s, 'm, 'e> {
    merge: &'s Merge<'m>,
    edit: &'s mut Edit<'e>,
    command: &'s Command,
    date: Option<u64>,
}

impl Step<'_, '_, '_> {
    fn apply(mut self) -> Result<Outcome, StoreError> {
        let command = self.command;
        let name = command.name();
        if !command.action().is_removal()
            && let Some(entry) = self.edit.get(Book::User, name)?
        {
            if entry.contains(&self.target()) {
                return Ok(Outcome::Unchanged);
            }
            return self.merge.conflict(self.edit, name, &self.target());
        }
        match command.action() {
            Action::Remove => self.remove(name),
            Action::RemoveAll => self.remove_all(),
            Action::Update => self.update(),
            Action::ChangeDestination { old_destination } => {
                self.change_destination(&old_destination.clone().into())
            }
            Action::AddDestination { old_destination } => {
                self.add_destination(&old_destination.clone().into())
            }
            Action::Add
            | Action::AddName { .. }
            | Action::AddSubdomain { .. }
            | Action::ChangeName { .. } => self.add_name(),
        }
    }

    fn add_name(&mut self) -> Result<Outcome, StoreError> {
        let name = self.command.name();
        let target = self.target();
        let moved = matches!(self.command.action(), Action::ChangeName { .. });
        if let Err(refusal) = self.check_old_name()? {
            return Ok(Outcome::Refused(refusal));
        }
        let old = match self.command.action() {
            Action::ChangeName { old_name } if old_name != name => {
                let entry = self.edit.get(Book::Shared, old_name)?;
                entry.map(|entry| (old_name, entry))
            }
            _ => None,
        };
        let existing = self.edit.get(Book::Shared, name)?;
        let has_name = match &existing {
            Some(entry) if !entry.contains(&target) => {
                if self.edit.guard(name)?.is_retired(self.hash()) {
                    return Ok(Outcome::Refused(Refusal::Superseded));
                }
                return self.merge.conflict(self.edit, name, &target);
            }
            other => other.is_some(),
        };
        if has_name && (!moved || old.is_none()) {
            return Ok(Outcome::Unchanged);
        }
        if let Some((old_name, _)) = &old
            && !self.edit.guard(old_name)?.is_current(self.date)
        {
            return Ok(Outcome::Refused(Refusal::Replay));
        }
        if !has_name {
            let moved_entry = old.as_ref().map(|(_, entry)| entry.clone());
            if let Err(refusal) = self.add(moved_entry)? {
                return Ok(Outcome::Refused(refusal));
            }
        }
        let Some((old_name, entry)) = old else {
            return Ok(Outcome::Added);
        };
        self.edit.remove(Book::Shared, old_name)?;
        let mut guard = self.edit.guard(old_name)?;
        for hash in entry.records().iter().filter_map(|r| r.target.hash()) {
            guard.retire(hash);
        }
        self.finish(old_name, guard)?;
        Ok(Outcome::Changed)
    }

    /// Checks what the books have for the second name of the command.
    fn check_old_name(&self) -> Result<Result<(), Refusal>, StoreError> {
        let Some(old_name) = self.command.action().old_name() else {
            return Ok(Ok(()));
        };
        let expected = match self.command.action().old_destination() {
            Some(old_destination) => old_destination.clone().into(),
            None => self.target(),
        };
        let is_subdomain = matches!(self.command.action(), Action::AddSubdomain { .. });
        if is_subdomain && !self.command.name().is_below(old_name) {
            return Ok(Err(Refusal::NotBelow));
        }
        Ok(match existing(self.edit, old_name)? {
            Some(entry) if !entry.contains(&expected) => Err(Refusal::OtherDestination),
            _ => Ok(()),
        })
    }

    fn change_destination(&mut self, old: &Target) -> Result<Outcome, StoreError> {
        let name = self.command.name();
        let target = self.target();
        let mut guard = self.edit.guard(name)?;
        let outcome = match self.edit.get(Book::Shared, name)? {
            None => {
                if let Err(refusal) = self.add(None)? {
                    return Ok(Outcome::Refused(refusal));
                }
                guard = self.edit.guard(name)?;
                Outcome::Added
            }
            Some(entry) if entry.contains(&target) && !entry.contains(old) => {
                return Ok(Outcome::Unchanged);
            }
            Some(entry) if !entry.contains(old) => {
                return Ok(Outcome::Refused(Refusal::OtherDestination));
            }
            Some(_) if !guard.permits(self.hash(), self.date) => {
                return Ok(Outcome::Refused(Refusal::Replay));
            }
            Some(mut entry) => {
                let record = self.record(entry.record(old).map(|old| &old.properties));
                let entry = if entry.contains(&target) {
                    // The new destination was an alternative before.
                    entry.without(old).unwrap_or_else(|| Entry::new(target))
                } else {
                    entry.replace(old, record);
                    entry
                };
                self.edit.put(Book::Shared, name, &entry)?;
                Outcome::Changed
            }
        };
        guard.restore(self.hash());
        if let Some(hash) = old.hash() {
            guard.retire(hash);
        }
        self.finish(name, guard)?;
        Ok(outcome)
    }

    fn add_destination(&mut self, old: &Target) -> Result<Outcome, StoreError> {
        let name = self.command.name();
        let mut guard = self.edit.guard(name)?;
        match self.edit.get(Book::Shared, name)? {
            None => Ok(match self.add(None)? {
                Err(refusal) => Outcome::Refused(refusal),
                Ok(()) => Outcome::Added,
            }),
            Some(entry) if entry.contains(&self.target()) => Ok(Outcome::Unchanged),
            Some(entry) if !entry.contains(old) => Ok(Outcome::Refused(Refusal::OtherDestination)),
            Some(_) if !guard.permits(self.hash(), self.date) => {
                Ok(Outcome::Refused(Refusal::Replay))
            }
            Some(mut entry) => {
                if !entry.add(self.record(None)) {
                    return Ok(Outcome::Refused(Refusal::TooManyDestinations));
                }
                self.edit.put(Book::Shared, name, &entry)?;
                guard.restore(self.hash());
                self.finish(name, guard)?;
                Ok(Outcome::Changed)
            }
        }
    }

    fn update(&mut self) -> Result<Outcome, StoreError> {
        let name = self.command.name();
        let guard = self.edit.guard(name)?;
        let Some(mut entry) = self.edit.get(Book::Shared, name)? else {
            return Ok(Outcome::Refused(Refusal::UnknownName));
        };
        let Some(record) = entry.record(&self.target()) else {
            return Ok(Outcome::Refused(Refusal::OtherDestination));
        };
        let mut record = record.clone();
        for (key, value) in self.metadata().iter() {
            set(&mut record.properties, key, value);
        }
        set(&mut record.properties, property::VERIFIED, "true");
        if entry.record(&self.target()) == Some(&record) {
            return Ok(Outcome::Unchanged);
        }
        if !guard.is_current(self.date) {
            return Ok(Outcome::Refused(Refusal::Replay));
        }
        let modified = self.merge.milliseconds();
        set(&mut record.properties, property::MODIFIED, &modified);
        entry.add(record);
        self.edit.put(Book::Shared, name, &entry)?;
        self.finish(name, guard)?;
        Ok(Outcome::Changed)
    }

    fn remove_all(&mut self) -> Result<Outcome, StoreError> {
        let mut removed = 0;
        for name in self.edit.names_of(Book::Shared, &self.target())? {
            // A name whose owner signed something newer stays.
            if let Outcome::Removed(names) = self.remove(&name)? {
                removed += names;
            }
        }
        Ok(match removed {
            0 => Outcome::Unchanged,
            names => Outcome::Removed(names),
        })
    }

    fn remove(&mut self, name: &HostName) -> Result<Outcome, StoreError> {
        let Some(entry) = self.edit.get(Book::Shared, name)? else {
            return Ok(Outcome::Unchanged);
        };
        if !entry.contains(&self.target()) {
            return Ok(Outcome::Refused(Refusal::OtherDestination));
        }
        let mut guard = self.edit.guard(name)?;
        if !guard.is_current(self.date) {
            return Ok(Outcome::Refused(Refusal::Replay));
        }
        match entry.without(&self.target()) {
            Some(rest) => drop(self.edit.put(Book::Shared, name, &rest)?),
            None => drop(self.edit.remove(Book::Shared, name)?),
        }
        guard.retire(self.hash());
        self.finish(name, guard)?;
        Ok(Outcome::Removed(1))
    }

    /// Adds the name of the command, with the records of an entry that moved if there is one.
    fn add(&mut self, moved: Option<Entry>) -> Result<Result<(), Refusal>, StoreError> {
        let name = self.command.name();
        if let Err(rule) = check_import(name, self.command.destination()) {
            return Ok(Err(rule.into()));
        }
        let mut guard = self.edit.guard(name)?;
        if !guard.permits(self.hash(), self.date) {
            return Ok(Err(Refusal::Replay));
        }
        let entry = match moved {
            Some(mut entry) => {
                let known = entry.record(&self.target());
                let record = self.record(known.map(|record| &record.properties));
                entry.add(record);
                entry
            }
            None => {
                let record = self.record(None);
                Entry::with_properties(record.target, record.properties)
            }
        };
        self.edit.put(Book::Shared, name, &entry)?;
        guard.restore(self.hash());
        self.finish(name, guard)?;
        Ok(Ok(()))
    }

    /// The record of the command. `before` has the properties of the record that it replaces.
    fn record(&self, before: Option<&Properties>) -> Record {
        let mut properties = match before {
            None => self.merge.properties(),
            Some(before) => {
                let mut properties = before.clone();
                let modified = self.merge.milliseconds();
                set(&mut properties, property::MODIFIED, &modified);
                properties
            }
        };
        for (key, value) in self.metadata().iter() {
            set(&mut properties, key, value);
        }
        set(&mut properties, property::VERIFIED, "true");
        Record {
            target: self.target(),
            properties,
        }
    }

    /// The properties of the command that describe the entry, without those that only the store
    /// sets.
    fn metadata(&self) -> Properties {
        let mut metadata = self.command.metadata();
        for key in [
            property::ADDED,
            property::MODIFIED,
            property::SOURCE,
            property::VERIFIED,
            property::NOTES,
            property::ALTERNATIVE,
        ] {
            metadata.remove(key);
        }
        metadata
    }

    /// Stores the guard of a name to which the command was applied.
    fn finish(&mut self, name: &HostName, mut guard: Guard) -> Result<(), StoreError> {
        guard.applied(self.date);
        self.edit.set_guard(name, &guard)
    }

    fn target(&self) -> Target {
        self.command.destination().clone().into()
    }

    fn hash(&self) -> Hash {
        self.command.destination().hash()
    }
}

/// The entry with which lines of feeds may conflict: that of the user's own book or of the shared
/// one.
fn existing(edit: &Edit<'_>, name: &HostName) -> Result<Option<Entry>, StoreError> {
    match edit.get(Book::User, name)? {
        Some(entry) => Ok(Some(entry)),
        None => edit.get(Book::Shared, name),
    }
}

/// What a line is about, in messages.
fn subject(line: &NumberedLine) -> String {
    match &line.content {
        Ok(HostsLine::Entry { name, .. }) => name.to_string(),
        Ok(HostsLine::Removal(properties)) => properties.get("name").unwrap_or_default().to_owned(),
        Ok(HostsLine::Blank) | Err(_) => String::new(),
    }
}

/// Sets a property. One that does not fit is left out: properties only describe.
fn set(properties: &mut Properties, key: &str, value: &str) {
    let _ = properties.insert(key, value);
}

/// The number of lines that take effect together. Chosen because a transaction keeps its changes in
/// memory, about 1 KiB for each line.
const BATCH_LINES: usize = 2_000;

/// How far the date of a command may be in the future, in seconds: one day. Chosen because clocks
/// of users and owners differ.
const MAX_CLOCK_SKEW: u64 = 24 * 60 * 60;

#[cfg(test)]
mod tests;
