//! Injection of faults, for tests.
//!
//! Each [`operation`](crate::operation) of a thread has a number. [`at_every_point`] repeats some
//! work, with a fault at the first operation, then at the second one, until no operation is left:
//! the method with which SQLite is tested.

use std::{cell::RefCell, io};

/// What happens at an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The operation fails with this error of the system, and has no effect.
    Error(i32),
    /// A write writes half of the bytes and then fails with this error of the system. Any other
    /// operation fails without an effect.
    Short(i32),
    /// The process ends: a write writes half of the bytes, and no later operation has an effect.
    Killed,
}

impl Fault {
    /// All faults that a disk and a process can have: EIO, ENOSPC, EMFILE, EACCES, short writes
    /// and the end of the process. The numbers are those of Linux.
    pub const ALL: [Self; 7] = [
        Self::Error(5),
        Self::Error(28),
        Self::Error(24),
        Self::Error(13),
        Self::Short(5),
        Self::Short(28),
        Self::Killed,
    ];
}

/// Runs `work` with a fault at operation number `at` of this thread, counted from 0. Returns its
/// result, and whether there was such an operation.
pub fn inject<T>(fault: Fault, at: usize, work: impl FnOnce() -> T) -> (T, bool) {
    let (result, state) = with(
        State {
            planned: Some((at, fault)),
            ..State::default()
        },
        work,
    );
    (result, state.fired)
}

/// Runs `work` and returns its result and the names of its operations.
pub fn trace<T>(work: impl FnOnce() -> T) -> (T, Vec<&'static str>) {
    let (result, state) = with(State::default(), work);
    (result, state.names)
}

/// Runs `prepare` and then `work` once for each operation of `work` and each fault, with the fault
/// at this operation, and passes the results of both to `check`. Returns the number of runs.
///
/// `check` runs without faults, as a program that is started after the fault.
pub fn at_every_point<P, T>(
    mut prepare: impl FnMut() -> P,
    mut work: impl FnMut(&P) -> T,
    mut check: impl FnMut(&P, T, Fault),
) -> usize {
    let mut runs = 0;
    for fault in Fault::ALL {
        for at in 0.. {
            let prepared = prepare();
            let (result, fired) = inject(fault, at, || work(&prepared));
            if !fired {
                break;
            }
            check(&prepared, result, fault);
            runs += 1;
        }
    }
    runs
}

#[derive(Debug, Default)]
struct State {
    planned: Option<(usize, Fault)>,
    names: Vec<&'static str>,
    fired: bool,
    killed: bool,
}

thread_local! {
    static STATE: RefCell<Option<State>> = const { RefCell::new(None) };
}

fn with<T>(state: State, work: impl FnOnce() -> T) -> (T, State) {
    STATE.with_borrow_mut(|current| *current = Some(state));
    let result = work();
    let state = STATE.with_borrow_mut(Option::take);
    (result, state.unwrap_or_default())
}

/// Counts an operation. Returns the fault that is due.
fn next(name: &'static str) -> Option<Fault> {
    STATE.with_borrow_mut(|state| {
        let state = state.as_mut()?;
        if state.killed {
            return Some(Fault::Error(NOT_RUN));
        }
        let number = state.names.len();
        state.names.push(name);
        let fault = state
            .planned
            .and_then(|(at, fault)| (at == number).then_some(fault))?;
        state.fired = true;
        state.killed = fault == Fault::Killed;
        Some(fault)
    })
}

/// Counts an operation and fails if a fault is due.
pub(crate) fn step(name: &'static str) -> io::Result<()> {
    match next(name) {
        None => Ok(()),
        Some(Fault::Error(code) | Fault::Short(code)) => Err(io::Error::from_raw_os_error(code)),
        Some(Fault::Killed) => Err(io::Error::from_raw_os_error(NOT_RUN)),
    }
}

/// Counts a write of `len` bytes. Returns the number of bytes to write, and the error after them.
pub(crate) fn write(name: &'static str, len: usize) -> (usize, Option<io::Error>) {
    let (written, code) = match next(name) {
        None => return (len, None),
        Some(Fault::Error(code)) => (0, code),
        Some(Fault::Short(code)) => (len / 2, code),
        Some(Fault::Killed) => (len / 2, NOT_RUN),
    };
    (written, Some(io::Error::from_raw_os_error(code)))
}

/// Whether the process counts as ended.
pub(crate) fn is_killed() -> bool {
    STATE.with_borrow(|state| state.as_ref().is_some_and(|state| state.killed))
}

/// ECANCELED on Linux: the error of operations of a process that counts as ended.
const NOT_RUN: i32 = 125;
