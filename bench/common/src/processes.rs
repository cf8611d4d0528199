//! The cost of processes, as counted by the kernel.

use std::{fs, process, time::Duration};

use crate::Outcome;

/// Processor time of this process and of those that it started, routers included.
///
/// # Errors
///
/// If `/proc` cannot be read.
pub fn cpu_of_all() -> Outcome<Duration> {
    let me = process::id();
    let mut total = cpu(me)?;
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // A process may end while it is read.
        if parent(pid).is_ok_and(|parent| parent == me) {
            total += cpu(pid).unwrap_or_default();
        }
    }
    Ok(total)
}

/// Processor time of one process so far.
///
/// # Errors
///
/// If there is no such process.
pub fn cpu(pid: u32) -> Outcome<Duration> {
    // proc_pid_stat(5): fields 14 and 15, in ticks.
    let ticks = fields(pid, [14, 15])?.iter().sum::<u64>();
    Ok(Duration::from_secs_f64(
        ticks as f64 / rustix::param::clock_ticks_per_second() as f64,
    ))
}

/// Resident memory of a process in bytes.
///
/// # Errors
///
/// If there is no such process.
pub fn memory(pid: u32) -> Outcome<u64> {
    // proc_pid_stat(5): field 24, in pages.
    let [pages] = fields(pid, [24])?;
    Ok(pages * rustix::param::page_size() as u64)
}

fn parent(pid: u32) -> Outcome<u32> {
    let [parent] = fields(pid, [4])?;
    Ok(parent.try_into()?)
}

/// Fields of `/proc/PID/stat`, counted from 1 as in its manual.
fn fields<const N: usize>(pid: u32, wanted: [usize; N]) -> Outcome<[u64; N]> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field is a name in parentheses, which may contain anything.
    let (_, rest) = text.rsplit_once(") ").ok_or("no name in stat")?;
    let words: Vec<&str> = rest.split(' ').collect();
    let mut values = [0; N];
    for (value, field) in values.iter_mut().zip(wanted) {
        let word = words.get(field - 3).ok_or("stat is short")?;
        *value = word.parse()?;
    }
    Ok(values)
}

/// Raises the limit of open files to `wanted`, or as far as this user may. Returns the limit. Child
/// processes inherit it.
pub fn raise_file_limit(wanted: u64) -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let highest = limit.maximum.unwrap_or(u64::MAX);
    // Only root may raise the maximum.
    for current in [wanted, wanted.min(highest)] {
        let raised = Rlimit {
            current: Some(current),
            maximum: Some(highest.max(current)),
        };
        if setrlimit(Resource::Nofile, raised).is_ok() {
            return current;
        }
    }
    limit.current.unwrap_or(u64::MAX)
}
