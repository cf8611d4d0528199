//! Entries of address books.

use eepkit_wire::{DecodeError, Destination, Reader};

use crate::{properties::Properties, target::Target};

/// What an address book has for a name: one or more targets with their properties.
///
/// A plain look-up returns the first target. Further ones are alternatives, for example with newer
/// keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Never empty.
    records: Vec<Record>,
}

/// One target of an entry, with its properties.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// What the name stands for.
    pub target: Target,
    /// What is known about it. The keys of [`property`] have a meaning.
    pub properties: Properties,
}

/// Keys of properties with a meaning: blockfile specification, section "hosts.txt, userhosts.txt,
/// and privatehosts.txt Skiplists".
pub mod property {
    /// The time when the entry was added, in milliseconds since the epoch.
    pub const ADDED: &str = "a";
    /// The time when the entry was last changed, in milliseconds since the epoch.
    pub const MODIFIED: &str = "m";
    /// The source of the entry: a file or the URL of a subscription.
    pub const SOURCE: &str = "s";
    /// `true` if a signature by the destination was verified.
    pub const VERIFIED: &str = "v";
    /// Notes of the user.
    pub const NOTES: &str = "notes";
    /// `true` in an export if the line adds an alternative target to the name of the line before.
    pub const ALTERNATIVE: &str = "alternative";
}

impl Entry {
    /// The largest number of targets. Chosen because an alternative is needed only for each
    /// generation of keys.
    pub const MAX_RECORDS: usize = 8;

    /// Creates an entry with one target and no properties.
    pub fn new(target: impl Into<Target>) -> Self {
        Self::with_properties(target, Properties::new())
    }

    /// Creates an entry with one target.
    pub fn with_properties(target: impl Into<Target>, properties: Properties) -> Self {
        let target = target.into();
        Self {
            records: vec![Record { target, properties }],
        }
    }

    /// The first target.
    pub fn target(&self) -> &Target {
        &self.records[0].target
    }

    /// The first target that is a destination, if any.
    pub fn destination(&self) -> Option<&Destination> {
        self.records
            .iter()
            .find_map(|record| record.target.destination())
    }

    /// All targets with their properties. There is at least one.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// The records, to change their properties.
    pub fn records_mut(&mut self) -> &mut [Record] {
        &mut self.records
    }

    /// Whether one of the targets stands for `target`.
    pub fn contains(&self, target: &Target) -> bool {
        self.position(target).is_some()
    }

    /// The record of a target.
    pub fn record(&self, target: &Target) -> Option<&Record> {
        self.position(target).map(|at| &self.records[at])
    }

    /// Adds an alternative, or replaces the record with the same target. Returns whether there was
    /// room.
    pub fn add(&mut self, record: Record) -> bool {
        match self.position(&record.target) {
            Some(at) => self.records[at] = record,
            None if self.records.len() < Self::MAX_RECORDS => self.records.push(record),
            None => return false,
        }
        true
    }

    /// Replaces the record of `old`, and returns whether there was one.
    pub fn replace(&mut self, old: &Target, record: Record) -> bool {
        let Some(at) = self.position(old) else {
            return false;
        };
        self.records[at] = record;
        true
    }

    /// Removes a target. Returns `None` if no other one remains.
    pub fn without(mut self, target: &Target) -> Option<Self> {
        self.records.retain(|record| !record.target.is_same(target));
        (!self.records.is_empty()).then_some(self)
    }

    fn position(&self, target: &Target) -> Option<usize> {
        let mut targets = self.records.iter().map(|record| &record.target);
        targets.position(|other| other.is_same(target))
    }

    /// The form of the store: a version, the number of records, the records.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![VERSION, self.records.len() as u8];
        for record in &self.records {
            record.target.encode(&mut out);
            record.properties.encode(&mut out);
        }
        out
    }

    /// Reads the form of the store.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let invalid = |why| DecodeError::Invalid { what: "entry", why };
        let mut r = Reader::new(bytes);
        if r.u8("entry")? != VERSION {
            return Err(invalid("written by a newer version"));
        }
        let count = usize::from(r.u8("entry")?);
        if !(1..=Self::MAX_RECORDS).contains(&count) {
            return Err(invalid("wrong number of targets"));
        }
        let records = (0..count)
            .map(|_| {
                Ok(Record {
                    target: Target::read(&mut r)?,
                    properties: Properties::read(&mut r)?,
                })
            })
            .collect::<Result<_, DecodeError>>()?;
        r.finish("entry")?;
        Ok(Self { records })
    }
}

impl Record {
    /// Creates a record without properties.
    pub fn new(target: impl Into<Target>) -> Self {
        Self {
            target: target.into(),
            properties: Properties::new(),
        }
    }
}

/// The version of the store's form.
const VERSION: u8 = 1;
