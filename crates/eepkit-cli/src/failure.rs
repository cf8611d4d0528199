//! The error output of a command: one `error:` line, and `hint:` lines with remedies.

use std::{error::Error, fmt, io};

use eepkit::{ErrorKind, StreamError};

use crate::{exit::Exit, pipe::PipeError};

/// A failed command: the error, the hints, and the exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    message: String,
    hints: Vec<String>,
    /// The reader of the standard output closed it. No message is printed, and for `eepkit ... |
    /// head` this is success.
    output_closed: bool,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            hints: Vec::new(),
            output_closed: false,
        }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// An error with its sources, joined as `a: b: c`.
    pub(crate) fn from_error(exit: Exit, context: &str, error: &dyn Error) -> Self {
        let mut message = String::from(context);
        let mut next = Some(error);
        while let Some(error) = next {
            let level = error.to_string();
            // The messages of some errors already contain that of their source.
            if !message.ends_with(&level) {
                if !message.is_empty() {
                    message.push_str(": ");
                }
                message.push_str(&level);
            }
            next = error.source();
        }
        Self::new(exit, message)
    }

    /// A stream, or the input or output that it was connected to, failed.
    pub(crate) fn from_pipe(error: &PipeError) -> Self {
        match error {
            PipeError::Peer(cause) => {
                let kind = StreamError::of(cause).map_or(ErrorKind::Reset, StreamError::kind);
                Self::from_kind(kind, "", error)
            }
            PipeError::Input(_) | PipeError::Output(_) => Self::from_error(Exit::Failed, "", error),
        }
    }

    /// Writing to standard output failed.
    pub(crate) fn output(error: &io::Error) -> Self {
        let mut failure = Self::from_error(Exit::Failed, "cannot write to standard output", error);
        if error.kind() == io::ErrorKind::BrokenPipe {
            failure.exit = Exit::Done;
            failure.output_closed = true;
        }
        failure
    }

    /// An error of the library. Its kind determines the exit code and the hint.
    pub(crate) fn from_kind(kind: ErrorKind, context: &str, error: &dyn Error) -> Self {
        Self::from_error(Exit::of(kind), context, error).hint_of(kind)
    }

    /// Adds the hint for this kind of error, if there is one.
    pub(crate) fn hint_of(self, kind: ErrorKind) -> Self {
        match kind.hint() {
            Some(hint) => self.hint(hint),
            None => self,
        }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Puts a context in front of the message.
    pub(crate) fn context(mut self, context: &str) -> Self {
        self.message = format!("{context}: {}", self.message);
        self
    }

    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// Whether no message is printed.
    pub(crate) fn is_silent(&self) -> bool {
        self.output_closed || self.is_signal()
    }

    /// Whether a signal ended the command.
    pub(crate) fn is_signal(&self) -> bool {
        matches!(
            self.exit,
            Exit::HungUp | Exit::Interrupted | Exit::Terminated
        )
    }

    pub(crate) fn hints(&self) -> &[String] {
        &self.hints
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Layer(&'static str, Option<Box<Self>>);

    impl fmt::Display for Layer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Layer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|error| error as _)
        }
    }

    #[test]
    fn the_whole_chain_is_one_line() {
        let error = Layer("cannot connect", Some(Box::new(Layer("refused", None))));

        let failure = Failure::from_error(Exit::Failed, "listen", &error);

        assert_eq!(failure.to_string(), "listen: cannot connect: refused");
    }

    #[test]
    fn a_repeated_message_is_printed_once() {
        let error = Layer("cannot read: gone", Some(Box::new(Layer("gone", None))));

        let failure = Failure::from_error(Exit::File, "", &error);

        assert_eq!(failure.to_string(), "cannot read: gone");
    }

    #[test]
    fn a_closed_output_is_success() {
        let failure = Failure::output(&io::ErrorKind::BrokenPipe.into());

        assert_eq!(failure.exit(), Exit::Done);
        assert!(failure.is_silent());
    }
}
