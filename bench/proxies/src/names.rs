//! Look-ups in address books with many names, and the start of the store.

use std::{env, hint::black_box, io::Write as _, path::Path, process, time::Duration};

use eepkit_bench_common::{Outcome, processes, say, short};
use eepkit_naming::{AddressBook, Book, Entry, HostName, Merge, StoreError};
use eepkit_wire::{Codec, Destination};
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha20Rng;
use tokio::{process::Command, time::Instant};

/// The number of measured look-ups.
const LOOK_UPS: u32 = 100_000;

/// The number of names in the feed.
const FEED_NAMES: u32 = 20_000;

/// The number of names that are added in one transaction. Chosen because memory grows with it, and
/// the time per name falls.
const TRANSACTION: u32 = 100_000;

/// Fills a store, and measures it in a process that does nothing else.
pub(crate) async fn measure(names: u32) -> Outcome<()> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("addressbook.redb");
    say(&format!("names: storing {names}"));
    let began = Instant::now();
    fill(&path, names)?;
    let filling = began.elapsed();
    say("names: looking up");
    let status = Command::new(env::current_exe()?)
        .arg("names")
        .arg(&path)
        .arg(names.to_string())
        .status()
        .await?;
    if !status.success() {
        return Err("the measurement of names failed".into());
    }
    let size = std::fs::metadata(&path)?.len() as f64 / f64::from(1 << 20);
    print(&[
        ("size of the store, MiB", size),
        (
            "names stored, 1/s",
            f64::from(names) / filling.as_secs_f64(),
        ),
    ])?;
    say("names: merging a feed");
    merge(&path)
}

/// Stores names in the shared book.
fn fill(path: &Path, names: u32) -> Outcome<()> {
    let books = AddressBook::open_with_cache(path, FILL_CACHE_BYTES)?;
    let numbers: Vec<u32> = (0..names).collect();
    for part in numbers.chunks(TRANSACTION as usize) {
        books.edit(|edit| {
            for number in part {
                let entry = Entry::new(destination((*number).into()));
                edit.put(Book::Shared, &name(*number), &entry)?;
            }
            Ok::<_, StoreError>(())
        })?;
    }
    books.compact()?;
    Ok(())
}

/// Chosen so that the time of this preparation is short.
const FILL_CACHE_BYTES: usize = 1 << 30;

/// The main function of the process that only looks up names.
pub(crate) fn look_up(path: &Path, names: u32) -> Outcome<()> {
    let mut rng = ChaCha20Rng::seed_from_u64(2);
    let idle = memory()?;
    let began = Instant::now();
    let books = AddressBook::open(path)?;
    let opening = began.elapsed();
    let began = Instant::now();
    black_box(books.look_up(&name(0))?);
    let first = began.elapsed();

    let random: Vec<HostName> = (0..LOOK_UPS)
        .map(|_| name(rng.random_range(0..names)))
        .collect();
    let few: Vec<HostName> = (0..LOOK_UPS).map(|number| name(number % 100)).collect();
    let unknown: Vec<HostName> = (0..LOOK_UPS).map(|number| name(names + number)).collect();
    let is_known = |name: &HostName| Ok(books.look_up(name)?.is_some());
    let random = each(&random, is_known)?;
    let few = each(&few, is_known)?;
    let unknown = each(&unknown, |name| Ok(books.look_up(name)?.is_none()))?;
    let hashes: Vec<_> = (0..LOOK_UPS / 10)
        .map(|_| destination(rng.random_range(0..names).into()).hash())
        .collect();
    let reverse = each(&hashes, |hash| Ok(books.names_of(*hash)?.len() == 1))?;
    let own = name(names + LOOK_UPS);
    let began = Instant::now();
    books.put(Book::User, &own, &Entry::new(destination(1)))?;
    let adding = began.elapsed();
    books.remove(Book::User, &own)?;

    let title = format!("\nNames, {names} of them:\n\n| | |\n|---|---|\n");
    std::io::stdout().write_all(title.as_bytes())?;
    print(&[
        ("opening the store, ms", micros(opening) / 1e3),
        ("first look-up, us", micros(first)),
        ("look-up of any name, us", random),
        ("look-ups of any name, 1/s", 1e6 / random),
        ("look-up of one of 100 names, us", few),
        ("look-up of an unknown name, us", unknown),
        ("look-up of the names of a destination, us", reverse),
        ("durable addition of a name, us", micros(adding)),
        ("memory of the process after all, MiB", memory()?),
        ("of this, before opening, MiB", idle),
    ])
}

/// The mean time of an operation in microseconds.
fn each<T>(items: &[T], operation: impl Fn(&T) -> Outcome<bool>) -> Outcome<f64> {
    let began = Instant::now();
    for item in items {
        if !operation(item)? {
            return Err("a look-up had another result".into());
        }
    }
    Ok(micros(began.elapsed()) / items.len() as f64)
}

/// Merges a feed twice, as two downloads do.
fn merge(path: &Path) -> Outcome<()> {
    let books = AddressBook::open(path)?;
    let mut rng = ChaCha20Rng::seed_from_u64(3);
    let mut feed = String::new();
    for _ in 0..FEED_NAMES {
        let number = rng.random_range(1 << 40..1 << 50_u64);
        feed += &format!("m{number}.i2p={}\n", destination(number).to_base64());
    }
    for row in ["new names merged, 1/s", "known names merged, 1/s"] {
        let began = Instant::now();
        Merge::new("bench", 1).run(&books, feed.as_bytes())?;
        print(&[(row, f64::from(FEED_NAMES) / began.elapsed().as_secs_f64())])?;
    }
    Ok(())
}

fn print(rows: &[(&str, f64)]) -> Outcome<()> {
    for (row, figure) in rows {
        let line = format!("| {row} | {} |\n", short(*figure));
        std::io::stdout().write_all(line.as_bytes())?;
    }
    Ok(())
}

fn name(number: u32) -> HostName {
    format!("name{number}.i2p").parse().expect("valid")
}

/// A destination of the usual length. Its key is not valid, which nothing here checks.
fn destination(number: u64) -> Destination {
    let mut rng = ChaCha20Rng::seed_from_u64(number);
    let mut bytes = vec![0; 384];
    rng.fill_bytes(&mut bytes);
    bytes.extend([5, 0, 4, 0, 7, 0, 0]);
    Destination::from_bytes(&bytes).expect("valid")
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// Resident memory of this process in MiB.
fn memory() -> Outcome<f64> {
    Ok(processes::memory(process::id())? as f64 / f64::from(1 << 20))
}
