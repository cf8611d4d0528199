//! Look-ups, opening and memory with many names, and merging of a feed.
//!
//! `cargo bench -p eepkit-naming` measures a million names, or the number in the environment
//! variable `EEPKIT_BENCH_NAMES`. It needs 1.5 GiB in the directory for temporary files.

#![expect(clippy::print_stdout, reason = "a benchmark prints its results")]

use std::{
    error::Error,
    fmt::Write,
    hint::black_box,
    path::Path,
    time::{Duration, Instant},
};

use eepkit_naming::{AddressBook, Book, Entry, HostName, Merge};
use eepkit_wire::{Codec, Destination};
use rand::{RngExt, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha20Rng;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The number of measured look-ups.
const LOOK_UPS: usize = 100_000;

/// The number of names in the feed.
const FEED_NAMES: usize = 20_000;

fn main() -> Result<()> {
    let names =
        std::env::var("EEPKIT_BENCH_NAMES").map_or(Ok(1_000_000), |text| text.parse::<usize>())?;
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("addressbook.redb");
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    match std::env::args().nth(1).as_deref() {
        // Memory is measured in a process that did nothing else.
        Some("--open") => measure_open_book(
            Path::new(&std::env::args().nth(2).unwrap_or_default()),
            names,
        ),
        // Without this argument of `cargo bench`, tests of all targets run the program.
        Some("--bench") => {
            fill(&path, names, &mut rng)?;
            let program = std::env::current_exe()?;
            let status = std::process::Command::new(program)
                .args(["--open".as_ref(), path.as_os_str()])
                .status()?;
            if !status.success() {
                return Err("the measurement failed".into());
            }
            merge(&AddressBook::open(&path)?, &mut rng)
        }
        _ => Ok(()),
    }
}

/// Fills the shared book in random order, in transactions of 10,000 names.
fn fill(path: &Path, names: usize, rng: &mut ChaCha20Rng) -> Result<()> {
    let books = AddressBook::open(path)?;
    let mut order: Vec<usize> = (0..names).collect();
    order.shuffle(rng);
    let start = now();
    for part in order.chunks(10_000) {
        books.edit(|edit| {
            for &number in part {
                let entry = Entry::new(destination(number as u64));
                edit.put(Book::Shared, &name(number), &entry)?;
            }
            Ok::<_, eepkit_naming::StoreError>(())
        })?;
    }
    println!("load {names} names: {:.1} s", start.elapsed().as_secs_f64());
    let size = |path: &Path| std::fs::metadata(path).map(|data| data.len() >> 20);
    let before = size(path)?;
    let start = now();
    books.compact()?;
    println!(
        "compact: {:.1} s, from {before} to {} MiB",
        start.elapsed().as_secs_f64(),
        size(path)?
    );
    report_memory("memory after loading");
    Ok(())
}

/// Measures a process that opens the books and looks up names.
fn measure_open_book(path: &Path, names: usize) -> Result<()> {
    let mut rng = ChaCha20Rng::seed_from_u64(2);
    let start = now();
    let books = AddressBook::open(path)?;
    println!("open: {:.2} ms", start.elapsed().as_secs_f64() * 1e3);
    let start = now();
    black_box(books.look_up(&name(0))?);
    println!("first look-up: {:.0} us", micros(start.elapsed()));

    let known: Vec<_> = (0..LOOK_UPS)
        .map(|_| name(rng.random_range(0..names)))
        .collect();
    measure("look-up, random name", &known, |name| {
        Ok(books.look_up(name)?.is_some())
    })?;
    let few: Vec<_> = (0..LOOK_UPS).map(|n| name(n % 100)).collect();
    measure("look-up, one of 100 names", &few, |name| {
        Ok(books.look_up(name)?.is_some())
    })?;
    let unknown: Vec<_> = (0..LOOK_UPS).map(|n| name(names + n)).collect();
    measure("look-up, unknown name", &unknown, |name| {
        Ok(books.look_up(name)?.is_none())
    })?;
    let hashes: Vec<_> = (0..LOOK_UPS / 10)
        .map(|_| destination(rng.random_range(0..names as u64)).hash())
        .collect();
    measure("reverse look-up", &hashes, |hash| {
        Ok(books.names_of(*hash)?.len() == 1)
    })?;
    let start = now();
    black_box(books.list(Book::Shared, Some(&name(names / 2)), 100)?);
    println!("page of 100 names: {:.0} us", micros(start.elapsed()));
    let own = name(names + 1);
    let entry = Entry::new(destination(1));
    let start = now();
    books.put(Book::User, &own, &entry)?;
    println!("durable addition: {:.0} us", micros(start.elapsed()));
    books.remove(Book::User, &own)?;
    report_memory("memory after all look-ups");
    Ok(())
}

fn measure<T>(what: &str, items: &[T], mut run: impl FnMut(&T) -> Result<bool>) -> Result<()> {
    let start = now();
    for item in items {
        assert!(run(item)?, "{what}");
    }
    let each = start.elapsed() / items.len() as u32;
    println!(
        "{what}: {:.2} us, {:.0} per second",
        micros(each),
        1e6 / micros(each)
    );
    Ok(())
}

/// Merges a feed twice, as two downloads do.
fn merge(books: &AddressBook, rng: &mut ChaCha20Rng) -> Result<()> {
    let mut feed = String::new();
    for _ in 0..FEED_NAMES {
        let number = rng.random_range(1 << 40..1 << 50_u64);
        writeln!(feed, "m{number}.i2p={}", destination(number).to_base64())?;
    }
    for what in ["merge new names", "merge known names"] {
        let start = now();
        let report = Merge::new("bench", 1).run(books, feed.as_bytes())?;
        let rate = FEED_NAMES as f64 / start.elapsed().as_secs_f64();
        println!("{what}: {rate:.0} per second ({report})");
    }
    Ok(())
}

fn name(number: usize) -> HostName {
    format!("name{number}.i2p").parse().expect("valid")
}

/// A destination of the usual length. Its key is not valid, which nothing here checks.
fn destination(number: u64) -> Destination {
    let mut rng = ChaCha20Rng::seed_from_u64(number);
    let mut bytes = vec![0; 384];
    rand::Rng::fill_bytes(&mut rng, &mut bytes);
    bytes.extend([5, 0, 4, 0, 7, 0, 0]);
    Destination::from_bytes(&bytes).expect("valid")
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn now() -> Instant {
    Instant::now()
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn report_memory(what: &str) {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let value = |key: &str| {
        let line = text.lines().find(|line| line.starts_with(key))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok()
    };
    match (value("VmRSS:"), value("VmHWM:")) {
        (Some(now), Some(peak)) => {
            println!("{what}: {} MiB, at most {} MiB", now >> 10, peak >> 10);
        }
        _ => println!("{what}: not measured on this system"),
    }
}
