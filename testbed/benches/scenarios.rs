//! The full table of scenarios, in virtual time: the limits of the paths, the published results of
//! other implementations, and the results of this one.
//!
//! `cargo bench -p eepkit-testbed --bench scenarios` prints all rows. Numbers after `--` select
//! rows, such as `-- 5 9 15`. `-- matrix` prints the goodput from every sender to every receiver.

use std::{
    collections::BTreeMap,
    io::Write,
    num::NonZero,
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

use eepkit_testbed::scenario::{Effort, Row, heading, line, others::matrix, rows};

fn main() -> std::io::Result<()> {
    let chosen: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let mut out = std::io::stdout().lock();
    if chosen.iter().any(|name| name == "matrix") {
        return out.write_all(matrix(3).as_bytes());
    }
    let wanted = |row: &Row| {
        let digits = row.number.trim_end_matches(char::is_alphabetic);
        chosen.is_empty()
            || chosen
                .iter()
                .any(|name| name == row.number || name == digits)
    };
    let rows: Vec<Row> = rows().into_iter().filter(wanted).collect();
    out.write_all(heading().as_bytes())?;
    in_order(&rows, |line| {
        out.write_all(line.as_bytes())?;
        out.flush()
    })
}

/// Runs the rows on all cores and prints their lines in order, each as soon as it and all lines
/// before it are ready.
fn in_order(
    rows: &[Row],
    mut show: impl FnMut(String) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let (next, (done, lines)) = (AtomicUsize::new(0), mpsc::channel());
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    thread::scope(|scope| {
        for _ in 0..cores {
            let (next, done) = (&next, done.clone());
            scope.spawn(move || {
                loop {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    let Some(row) = rows.get(place) else { break };
                    if done.send((place, line(row, Effort::FULL))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(done);
        let mut waiting = BTreeMap::new();
        let mut shown = 0;
        for (place, line) in lines {
            waiting.insert(place, line);
            while let Some(line) = waiting.remove(&shown) {
                show(line)?;
                shown += 1;
            }
        }
        Ok(())
    })
}
