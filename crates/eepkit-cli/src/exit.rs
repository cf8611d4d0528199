//! The exit codes in one table, which is also printed by `--help`.

use eepkit::ErrorKind;
use eepkit_services::errors::Report;

/// The result of a run of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// The command succeeded.
    Done,
    /// The operation failed for a reason without its own code.
    Failed,
    /// The command line is invalid.
    Usage,
    /// There is no router, or it does not work.
    NoRouter,
    /// The name is unknown, or the destination has no lease set.
    NotFound,
    /// The peer does not answer, refuses, or was lost during the operation.
    Unreachable,
    /// The operation took longer than its limit.
    TimedOut,
    /// A file is missing, exists already, or has invalid content.
    File,
    /// SIGHUP arrived before the command was done.
    HungUp,
    /// SIGINT arrived before the command was done.
    Interrupted,
    /// SIGTERM arrived before the command was done.
    Terminated,
}

impl Exit {
    const ALL: [Self; 11] = [
        Self::Done,
        Self::Failed,
        Self::Usage,
        Self::NoRouter,
        Self::NotFound,
        Self::Unreachable,
        Self::TimedOut,
        Self::File,
        Self::HungUp,
        Self::Interrupted,
        Self::Terminated,
    ];

    /// The exit of a kind of error, from the table of all protocols.
    pub(crate) fn of(kind: ErrorKind) -> Self {
        let code = Report::of(kind).exit_code();
        let exit = Self::ALL.into_iter().find(|exit| exit.code() == code);
        exit.unwrap_or(Self::Failed)
    }

    /// The exit code. 2 is clap's code for usage errors. 129, 130 and 143 are 128 plus the number of the
    /// signal, as shells report it.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NoRouter => 3,
            Self::NotFound => 4,
            Self::Unreachable => 5,
            Self::TimedOut => 6,
            Self::File => 7,
            Self::HungUp => 129,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }

    fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed for another reason than those below",
            Self::Usage => "usage: the command line or an argument cannot be understood",
            Self::NoRouter => "no router: none answers, it refuses, or it has no tunnels for us",
            Self::NotFound => "not found: unknown name, or the destination is offline",
            Self::Unreachable => "peer unreachable: no answer, refused, or lost on the way",
            Self::TimedOut => "timed out",
            Self::File => "file: missing, there already, or not what it should be",
            Self::HungUp => "hung up (SIGHUP, the terminal was closed) before it was done",
            Self::Interrupted => "interrupted (Ctrl-C) before it was done",
            Self::Terminated => "terminated (SIGTERM) before it was done",
        }
    }
}

/// The table in the form of `--help`.
pub(crate) fn table() -> String {
    let mut text = String::from("Exit codes:\n");
    for exit in Exit::ALL {
        text.push_str(&format!("  {:>3}  {}\n", exit.code(), exit.meaning()));
    }
    text.push_str(
        "\nCommands that run until they are stopped (devnet, sam, run, listen --keep-open, ping without -c)\n\
         end with 0 on Ctrl-C, SIGTERM and SIGHUP.",
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_error_has_a_documented_exit() {
        for kind in ErrorKind::ALL {
            assert_eq!(
                Exit::of(*kind).code(),
                Report::of(*kind).exit_code(),
                "{kind}"
            );
        }
    }

    #[test]
    fn every_exit_has_its_own_code() {
        let mut codes: Vec<_> = Exit::ALL.iter().map(|exit| exit.code()).collect();
        codes.sort_unstable();
        codes.dedup();

        assert_eq!(codes.len(), Exit::ALL.len());
    }
}
