//! Functions that the fuzz targets call. Each accepts arbitrary bytes, and panics if a property of
//! a parser or machine does not hold or the code itself panics.

mod host_book;

use std::io::Cursor;

use eepkit_wire::rand_core::{Infallible, TryRng};

use crate::{
    AddressBook, AddressHelper, Answer, Book, Command, Conflict, Download, DownloadPlan, Entry,
    ExportForm, HostName, HostsLine, HostsReader, Import, JumpService, Merge, Query, Response,
    SubscriptionEvent, SubscriptionUrl, Subscriptions, blockfile, check_import_name, guard::Guard,
    parse_i2pd_line,
};

pub use host_book::hosts;

/// The function of a fuzz target.
pub type Target = fn(&[u8]);

/// All targets with their names.
pub const TARGETS: [(&str, Target); 9] = [
    ("naming_blockfile", blockfile),
    ("naming_download", download),
    ("naming_feed", feed),
    ("naming_host_name", host_name),
    ("naming_hosts", hosts),
    ("naming_lines", lines),
    ("naming_store", store),
    ("naming_subscriptions", subscriptions),
    ("naming_url", url),
];

/// Checks that reading a database of Java ends without a panic, and that its entries can be stored.
pub fn blockfile(data: &[u8]) {
    let _ = blockfile::read(Cursor::new(data), |_, _, entry| {
        if let Ok(entry) = entry {
            assert_eq!(Entry::from_bytes(&entry.to_bytes()), Ok(entry));
        }
        Ok::<_, blockfile::BlockfileError>(())
    });
}

/// Checks that a download never writes more than its limit. The first two bytes are flags and the
/// announced length.
pub fn download(data: &[u8]) {
    const LIMIT: u64 = 2_000;
    let [flags, length, body @ ..] = data else {
        return;
    };
    let plan = DownloadPlan {
        length: (flags & 1 != 0).then_some(u64::from(*length)),
        is_gzip: flags & 2 != 0,
        limit: LIMIT,
    };
    let is_plain = !plan.is_gzip;
    let mut download = Download::new(plan, Vec::new());
    if body.chunks(97).all(|part| download.push(part).is_ok())
        && let Ok(out) = download.finish()
    {
        assert!(out.len() as u64 <= LIMIT);
        assert!(!is_plain || out == body);
    }
}

/// Merges a feed, and checks that the books have only names that pass the import rules, that the
/// counts are right, and that merging it again and restoring an export change nothing.
pub fn feed(data: &[u8]) {
    const NOW: u64 = 1_700_000_000;
    let books = AddressBook::in_memory().expect("there is memory");
    let merge = Merge::new("http://feed.i2p/", NOW).with_limit(1 << 20);
    let Ok(report) = merge.run(&books, data) else {
        return;
    };
    let page = books.list(Book::Shared, None, usize::MAX);
    let page = page.expect("the store is readable");
    for (name, entry) in &page.entries {
        assert_eq!(check_import_name(name), Ok(()));
        let hash = entry.target().hash().expect("feeds have only destinations");
        let names = books.names_of(hash).expect("the store is readable");
        assert!(names.contains(&(Book::Shared, name.clone())));
    }
    assert_eq!(report.added - report.removed, page.entries.len() as u64);
    let mut text = Vec::new();
    books
        .export(Book::Shared, ExportForm::Full, &mut text)
        .expect("memory can be written");
    let restored = AddressBook::in_memory().expect("there is memory");
    Import::new(Book::Shared, "backup", NOW)
        .run(&restored, &text[..])
        .expect("an export can be imported");
    let again = restored.list(Book::Shared, None, usize::MAX);
    assert_eq!(again.expect("the store is readable"), page);
}

/// Checks that parsing a name is idempotent, and that the form for users is the same name.
pub fn host_name(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(name) = text.parse::<HostName>() {
        assert_eq!(name.as_str().parse(), Ok(name.clone()));
        assert_eq!(name.to_unicode().parse(), Ok(name.clone()));
        assert_eq!(text.parse(), Ok(Query::Name(name.clone())));
        let _ = check_import_name(&name);
        if let Some(shorter) = name.without_www() {
            assert!(name.is_below(&shorter));
        }
    }
    if let Ok(Query::Target(target)) = text.parse() {
        assert_eq!(target.to_string().parse(), Ok(target));
    }
}

/// Checks that writing and reading a line or a command returns the same, and that verifying a
/// command does not panic.
pub fn lines(data: &[u8]) {
    for line in HostsReader::with_limit(data, 1 << 20).map_while(Result::ok) {
        let Ok(line) = line.content else {
            continue;
        };
        assert_eq!(line.to_string().parse(), Ok(line.clone()));
        if let Ok(Some(command)) = Command::from_line(&line) {
            let again: HostsLine = command.to_string().parse().expect("it was a line");
            assert_eq!(Command::from_line(&again), Ok(Some(command.clone())));
            let _ = (command.verify(), command.date(), command.expires());
        }
    }
    for line in String::from_utf8_lossy(data).lines() {
        if let Ok((name, target)) = parse_i2pd_line(line) {
            assert_eq!(target.to_string().parse(), Ok(target));
            assert_eq!(name.as_str().parse(), Ok(name));
        }
    }
}

/// Checks that values of the store are the same after writing them again.
pub fn store(data: &[u8]) {
    if let Ok(entry) = Entry::from_bytes(data) {
        assert_eq!(Entry::from_bytes(&entry.to_bytes()), Ok(entry));
    }
    if let Ok(guard) = Guard::from_bytes(data) {
        assert_eq!(Guard::from_bytes(&guard.to_bytes()), Ok(guard));
    }
    if let Ok(conflict) = Conflict::from_bytes(b"a.i2p\0hash", data) {
        let again = Conflict::from_bytes(&conflict.key(), &conflict.to_bytes());
        assert_eq!(again, Ok(conflict));
    }
}

/// Drives the machine of subscriptions. Each pair of bytes is an operation and its argument. Checks
/// that it never stops: something is due while there are subscriptions, and nothing is left to do
/// before the time that it names.
pub fn subscriptions(data: &[u8]) {
    let mut machine = Subscriptions::default();
    let mut now = 1_000;
    let mut running = Vec::new();
    let mut rng = Counter(data.len() as u64);
    let url = |of: u8| -> SubscriptionUrl {
        let text = format!("http://n{}.i2p/h", of % 4);
        text.parse().expect("it is an address")
    };
    for pair in data.chunks_exact(2) {
        let argument = pair[1];
        let id = running
            .get(usize::from(argument) % running.len().max(1))
            .copied();
        match (pair[0] % 7, id) {
            (0, _) => drop(machine.add(url(argument), None, now)),
            (1, _) => drop(machine.remove(&url(argument))),
            (2, _) => drop(machine.fetch_now(&url(argument), now)),
            (3, Some(id)) => {
                let response = Response {
                    status: [200, 304, 302, 500][usize::from(argument % 4)],
                    etag: Some(format!("\"{argument}\"")),
                    location: Some(format!("/{argument}")),
                    ..Response::default()
                };
                if let Answer::Redirect(fetch) = machine.respond(id, &response, now) {
                    assert_eq!(fetch.id, id);
                }
            }
            (4, Some(id)) => {
                let result = if argument & 1 == 0 {
                    Ok("")
                } else {
                    Err("failed")
                };
                machine.finish(id, result, now, &mut rng);
                running.retain(|other| *other != id);
            }
            _ => now += u64::from(argument) * u64::from(argument),
        }
        while let Some(event) = machine.poll(now) {
            match event {
                SubscriptionEvent::Fetch(fetch) => running.push(fetch.id),
                SubscriptionEvent::Abort(id) => running.retain(|other| *other != id),
            }
        }
        let next = machine.next_poll();
        assert!(next.is_none_or(|next| next > now));
        assert_eq!(next.is_none(), machine.status().count() == 0);
        let at_work = machine.status().filter(|status| status.is_running);
        assert_eq!(at_work.count(), running.len());
    }
}

/// Checks that addresses of subscriptions and links with helpers are the same after writing them.
pub fn url(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(url) = text.parse::<SubscriptionUrl>() {
        assert_eq!(url.as_str().parse(), Ok(url));
    }
    let base: SubscriptionUrl = SubscriptionUrl::DEFAULT.parse().expect("it is an address");
    if let Ok(url) = base.redirected(text) {
        assert!(url.as_str().starts_with("http://"));
    }
    let _ = JumpService::new(text);
    for helper in [
        AddressHelper::from_url(text),
        AddressHelper::from_request("a.i2p", text),
    ] {
        if let Ok(Some(helper)) = helper {
            let again = AddressHelper::from_url(&helper.to_url());
            assert_eq!(again, Ok(Some(helper)));
        }
    }
}

/// A source of numbers that are not random.
struct Counter(u64);

impl TryRng for Counter {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.try_next_u64().map(|number| number as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        Ok(self.0)
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        out.fill(self.0 as u8);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
