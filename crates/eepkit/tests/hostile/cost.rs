//! What a part of a test costs this process.

use std::{fs, time::Duration};

/// The state of the process before an attack.
pub(crate) struct Cost {
    resident: usize,
    descriptors: usize,
    processor: Duration,
}

impl Cost {
    pub(crate) fn begin() -> Self {
        Self {
            resident: resident(),
            descriptors: descriptors(),
            processor: processor(),
        }
    }

    /// Fails if the time since the beginning was too expensive.
    pub(crate) fn check(&self, what: &str, memory: usize) {
        let grown = resident().saturating_sub(self.resident);
        let used = processor().saturating_sub(self.processor);
        let opened = descriptors().saturating_sub(self.descriptors);
        println!(
            "{what}: {} KiB, {used:?}, {opened} descriptors",
            grown >> 10
        );
        assert!(grown < memory, "{what}: {} KiB of memory", grown >> 10);
        assert!(used < PROCESSOR, "{what}: {used:?} of processor time");
        assert!(opened <= DESCRIPTORS, "{what}: {opened} descriptors");
    }
}

/// The resident memory, in bytes.
fn resident() -> usize {
    let text = fs::read_to_string("/proc/self/statm").expect("Linux has it");
    let pages = text.split(' ').nth(1).expect("the second number");
    pages.parse::<usize>().expect("a number") * 4096
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").expect("Linux has it").count()
}

/// The processor time of all threads.
fn processor() -> Duration {
    let text = fs::read_to_string("/proc/self/stat").expect("Linux has it");
    // The name of the program, which may contain spaces, ends with the last parenthesis.
    let fields = text.rsplit(')').next().expect("fields");
    let ticks: u64 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|field| field.parse::<u64>().expect("a number"))
        .sum();
    Duration::from_millis(ticks * 10)
}

/// The most memory of most attacks, in bytes. Chosen above the state of a few thousand streams.
pub(crate) const MEMORY: usize = 64 << 20;
/// The honest side alone takes some tens of milliseconds. Signatures are most of the rest.
const PROCESSOR: Duration = Duration::from_secs(15);
/// Streams of I2P have no descriptors.
const DESCRIPTORS: usize = 2;
