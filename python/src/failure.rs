//! Errors as exceptions of the package.

use std::{error::Error as _, fmt::Display, io};

use eepkit::{Error, ErrorKind, KeyFileError};
use pyo3::{prelude::*, sync::PyOnceLock};

/// An error of an operation, before it is an exception.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    kind: ErrorKind,
    text: String,
    hint: Option<&'static str>,
}

impl Failure {
    pub(crate) fn new(kind: ErrorKind, text: impl Display) -> Self {
        Self {
            kind,
            text: text.to_string(),
            hint: kind.hint(),
        }
    }

    /// An error of the library, with the texts of its causes.
    pub(crate) fn of(error: impl Into<Error>) -> Self {
        let error = error.into();
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(source) = cause {
            let more = source.to_string();
            if !text.contains(&more) {
                text.push_str(": ");
                text.push_str(&more);
            }
            cause = source.source();
        }
        Self {
            kind: error.kind(),
            text,
            hint: error.hint(),
        }
    }

    pub(crate) fn key_file(error: &KeyFileError) -> Self {
        let kind = match error {
            KeyFileError::Generate(_) => ErrorKind::BadInput,
            _ => ErrorKind::Io,
        };
        Self::new(kind, error)
    }

    pub(crate) fn io(error: io::Error) -> Self {
        Self::of(Error::Io(error))
    }

    pub(crate) fn bad_input(error: impl Display) -> Self {
        Self::new(ErrorKind::BadInput, error)
    }

    /// The exception, an instance of the class for the kind.
    pub(crate) fn to_exception(&self, py: Python<'_>) -> PyErr {
        static MAKE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let make = MAKE.get_or_try_init(py, || {
            let module = py.import("eepkit._errors")?;
            Ok::<_, PyErr>(module.getattr("make")?.unbind())
        });
        let made =
            make.and_then(|make| make.call1(py, (self.kind.as_str(), &self.text, self.hint)));
        match made {
            Ok(exception) => PyErr::from_value(exception.into_bound(py)),
            Err(error) => error,
        }
    }
}

impl From<Failure> for PyErr {
    fn from(failure: Failure) -> Self {
        Python::attach(|py| failure.to_exception(py))
    }
}

/// The names of all kinds of errors, each with the hint.
pub(crate) fn kinds() -> Vec<(&'static str, Option<&'static str>, bool)> {
    ErrorKind::ALL
        .iter()
        .map(|kind| (kind.as_str(), kind.hint(), kind.is_transient()))
        .collect()
}
