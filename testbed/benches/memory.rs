//! The memory of an idle stream, measured by the growth of the process. The target is below 16 KiB.

use std::time::Duration;

use eepkit_testbed::{LinkConfig, Pair, Transfer};

/// Resident memory of this process in bytes, if the system reports it.
fn resident() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace()
        .nth(1)?
        .parse::<usize>()
        .ok()
        .map(|kib| kib << 10)
}

fn measure(streams: usize) -> Option<usize> {
    let mut pair = Pair::new(LinkConfig::delay(Duration::from_millis(50)));
    let first = pair.connect();
    pair.transfer(first, 1_000_000, Duration::from_secs(60));
    let before = resident()?;
    for _ in 0..streams {
        let id = pair.connect();
        pair.transfer(id, 50_000, Duration::from_secs(60));
        let mut back = Transfer::new(5000);
        pair.run_until(Duration::from_secs(60), |pair| {
            back.write(&mut pair.b.endpoint, pair.now, id.1);
            back.read(&mut pair.a.endpoint, pair.now, id.0);
            back.received == back.length
        });
        pair.a.events.clear();
        pair.b.events.clear();
    }
    pair.run(Duration::from_secs(5));
    Some(resident()?.saturating_sub(before) / streams / 2)
}

#[expect(clippy::print_stdout, reason = "the number is the result")]
fn main() {
    match measure(10_000) {
        Some(bytes) => println!("{bytes} bytes at each end of a stream that was used and is idle"),
        None => println!("this system does not report the memory of a process"),
    }
}
