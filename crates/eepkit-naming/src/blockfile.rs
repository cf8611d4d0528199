//! Reading of Java's database of host names: specification "Blockfile and Hosts Database".

use std::io::{self, Read, Seek, SeekFrom};

use eepkit_wire::{Codec, DecodeError, Destination, Mapping, Reader};

use crate::{
    entry::{Entry, Record},
    properties::Properties,
};

/// The reason why a file is not a readable database of host names.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BlockfileError {
    /// The file cannot be read.
    #[error("cannot read the blockfile: {0}")]
    Read(#[from] io::Error),
    /// The file is damaged or no blockfile.
    #[error("not a blockfile, or damaged: {0}")]
    Damaged(&'static str),
    /// The structure of a value is damaged.
    #[error("the blockfile is damaged: {0}")]
    Value(#[from] DecodeError),
    /// The database has a version that is not supported.
    #[error("the database of host names has version {0}, supported are 2, 3 and 4")]
    Version(String),
}

/// Calls `each` with the list, the name and the entry of every name in the file. The entry is an
/// error if it is damaged.
///
/// The file is read page by page, so that memory is bounded. It is not changed.
pub(crate) fn read<E: From<BlockfileError>>(
    file: impl Read + Seek,
    mut each: impl FnMut(&str, &str, Result<Entry, DecodeError>) -> Result<(), E>,
) -> Result<(), E> {
    let mut pages = Pages::open(file)?;
    let mut tables: Vec<(String, u32)> = Vec::new();
    pages.skip_list(METAINDEX_PAGE, |key, value| {
        let page = value.try_into().map(u32::from_be_bytes);
        let page = page.map_err(|_| BlockfileError::Damaged("a page number has no four bytes"))?;
        if tables.len() >= MAX_TABLES {
            return Err(BlockfileError::Damaged("it has too many tables"));
        }
        tables.push((String::from_utf8_lossy(key).into_owned(), page));
        Ok(())
    })?;
    let table = |name: &str| {
        let mut tables = tables.iter();
        tables
            .find(|(other, _)| other == name)
            .map(|&(_, page)| page)
    };
    let info = table(INFO).ok_or(BlockfileError::Damaged("it has no table of information"))?;
    let mut properties = Mapping::new();
    pages.skip_list(info, |key, value| {
        if key == b"info" {
            properties = Mapping::from_bytes(value)?;
        }
        Ok::<_, BlockfileError>(())
    })?;
    let version = properties.get("version").unwrap_or("1").to_owned();
    let lists = properties.get("lists").unwrap_or_default().to_owned();
    for list in lists.split(',').map(str::trim) {
        let Some(page) = table(list) else {
            continue;
        };
        let key = format!("listversion_{list}");
        // Before version 4, lists have no versions of their own.
        let has_several = match properties.get(&key).unwrap_or(&version) {
            "4" => true,
            "2" | "3" => false,
            other => return Err(BlockfileError::Version(other.to_owned()).into()),
        };
        pages.skip_list(page, |key, value| {
            let name = String::from_utf8_lossy(key);
            each(list, &name, entry(value, has_several))
        })?;
    }
    Ok(())
}

/// Decodes the value of a name.
fn entry(bytes: &[u8], has_several: bool) -> Result<Entry, DecodeError> {
    let mut r = Reader::new(bytes);
    let count = if has_several { r.u8("entry")? } else { 1 };
    let mut entry: Option<Entry> = None;
    for _ in 0..count {
        let mut properties = Properties::new();
        for (key, value) in Mapping::read(&mut r)?.iter() {
            // Properties that a line of text cannot contain are notes of the user at most.
            let _ = properties.insert(key, value);
        }
        let destination = Destination::read(&mut r)?;
        match &mut entry {
            None => entry = Some(Entry::with_properties(destination, properties)),
            Some(entry) => {
                // Alternatives beyond the limit are left out.
                entry.add(Record {
                    target: destination.into(),
                    properties,
                });
            }
        }
    }
    entry.ok_or(DecodeError::Invalid {
        what: "entry",
        why: "it has no destination",
    })
}

/// The pages of a file. Page 1 is at the start.
struct Pages<R> {
    file: R,
    size: usize,
    count: u64,
    /// The number of pages that may still be read, so that cycles end.
    budget: u64,
}

impl<R: Read + Seek> Pages<R> {
    fn open(mut file: R) -> Result<Self, BlockfileError> {
        let length = file.seek(SeekFrom::End(0))?;
        let mut pages = Self {
            file,
            size: DEFAULT_PAGE,
            count: length / DEFAULT_PAGE as u64,
            budget: 1,
        };
        let page = pages.read(1)?;
        let mut r = Reader::new(&page);
        if r.take(6, "superblock")? != MAGIC_FILE {
            return Err(BlockfileError::Damaged(
                "the first bytes are not a blockfile's",
            ));
        }
        let (major, minor) = (r.u8("superblock")?, r.u8("superblock")?);
        if major != 1 {
            return Err(BlockfileError::Damaged("its format is not version 1"));
        }
        r.take(16, "superblock")?;
        if minor >= 2 {
            pages.size = r.u32("superblock")? as usize;
        }
        if !(512..=65_536).contains(&pages.size) {
            return Err(BlockfileError::Damaged("its page size is not plausible"));
        }
        pages.count = length / pages.size as u64;
        // Each page is read once, and the tables of lists a few times more.
        pages.budget = 2 * pages.count + 64;
        Ok(pages)
    }

    fn read(&mut self, number: u32) -> Result<Vec<u8>, BlockfileError> {
        let at = u64::from(number);
        if at == 0 || at > self.count || number > i32::MAX as u32 {
            return Err(BlockfileError::Damaged("a page number is outside the file"));
        }
        self.budget = self
            .budget
            .checked_sub(1)
            .ok_or(BlockfileError::Damaged("its pages form a cycle"))?;
        let mut page = vec![0; self.size];
        self.file
            .seek(SeekFrom::Start((at - 1) * self.size as u64))?;
        self.file.read_exact(&mut page)?;
        Ok(page)
    }

    /// Calls `each` for the keys and values of a skip list, in order.
    fn skip_list<E: From<BlockfileError>>(
        &mut self,
        page: u32,
        mut each: impl FnMut(&[u8], &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let head = self.read(page)?;
        let mut r = Reader::new(&head);
        if r.take(8, "skip list").map_err(BlockfileError::Value)? != MAGIC_LIST {
            return Err(BlockfileError::Damaged("a page is no skip list").into());
        }
        let mut next = r.u32("skip list").map_err(BlockfileError::Value)?;
        while next != 0 {
            let mut span = Span::open(self, next)?;
            next = span.next_span;
            for _ in 0..span.pairs {
                let (key, value) = span.pair()?;
                each(&key, &value)?;
            }
        }
        Ok(())
    }
}

/// A span of a skip list, with its continuation pages.
struct Span<'a, R> {
    pages: &'a mut Pages<R>,
    page: Vec<u8>,
    at: usize,
    continuation: u32,
    next_span: u32,
    pairs: u16,
}

impl<'a, R: Read + Seek> Span<'a, R> {
    fn open(pages: &'a mut Pages<R>, number: u32) -> Result<Self, BlockfileError> {
        let page = pages.read(number)?;
        let mut r = Reader::new(&page);
        if r.take(4, "span")? != MAGIC_SPAN {
            return Err(BlockfileError::Damaged("a page is no span"));
        }
        let continuation = r.u32("span")?;
        let _previous = r.u32("span")?;
        let next_span = r.u32("span")?;
        let _most = r.u16("span")?;
        let pairs = r.u16("span")?;
        let at = r.position();
        Ok(Self {
            pages,
            page,
            at,
            continuation,
            next_span,
            pairs,
        })
    }

    fn pair(&mut self) -> Result<(Vec<u8>, Vec<u8>), BlockfileError> {
        // The lengths are not split across pages.
        if self.page.len() - self.at < 4 {
            self.advance()?;
        }
        let lengths = self.bytes(4)?;
        let length = |at: usize| usize::from(u16::from_be_bytes([lengths[at], lengths[at + 1]]));
        let key = self.bytes(length(0))?;
        let value = self.bytes(length(2))?;
        Ok((key, value))
    }

    fn bytes(&mut self, length: usize) -> Result<Vec<u8>, BlockfileError> {
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            if self.at == self.page.len() {
                self.advance()?;
            }
            let part = (length - bytes.len()).min(self.page.len() - self.at);
            bytes.extend_from_slice(&self.page[self.at..self.at + part]);
            self.at += part;
        }
        Ok(bytes)
    }

    fn advance(&mut self) -> Result<(), BlockfileError> {
        if self.continuation == 0 {
            return Err(BlockfileError::Damaged("a span ends early"));
        }
        self.page = self.pages.read(self.continuation)?;
        let mut r = Reader::new(&self.page);
        if r.take(4, "continuation")? != MAGIC_CONTINUATION {
            return Err(BlockfileError::Damaged("a page is no continuation"));
        }
        self.continuation = r.u32("continuation")?;
        self.at = r.position();
        Ok(())
    }
}

const MAGIC_FILE: [u8; 6] = [0x31, 0x41, 0xde, 0x49, 0x32, 0x50];
const MAGIC_LIST: &[u8] = b"SkipList";
const MAGIC_SPAN: &[u8] = b"Span";
const MAGIC_CONTINUATION: &[u8] = b"CONT";

/// The page of the skip list that names all others.
const METAINDEX_PAGE: u32 = 2;

/// The name of the skip list with the version and the lists.
const INFO: &str = "%%__INFO__%%";

/// The size of a page before version 1.2 of the format, and by default, in bytes.
const DEFAULT_PAGE: usize = 1024;

/// The largest number of skip lists. Chosen because Java writes five.
const MAX_TABLES: usize = 1000;

#[cfg(test)]
pub(crate) mod tests;
