//! The lines of the control socket.

use std::{error::Error, fmt};

use bytes::Bytes;
use eepkit::ErrorKind;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

/// A request: a line from a client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// The number that the replies repeat. Chosen by the client.
    #[serde(default)]
    pub id: u64,
    /// The name of the method.
    pub method: String,
    /// The parameters; none by default.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub params: Value,
}

impl Request {
    /// Reads the parameters. Missing parameters have their default.
    ///
    /// # Errors
    ///
    /// [`ControlError`] with the code `bad_params`.
    pub fn params<T: DeserializeOwned + Default>(&self) -> Result<T, ControlError> {
        if self.params.is_null() {
            return Ok(T::default());
        }
        serde_json::from_value(self.params.clone()).map_err(|error| {
            ControlError::new(
                "bad_params",
                format!("the parameters of {}: {error}", self.method),
            )
        })
    }
}

/// A line to a client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// The number of the request; `null` if the request could not be read.
    pub id: Option<u64>,
    /// The result. It ends the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
    /// The error. It ends the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ControlError>,
    /// An event. The result or the error follows, unless the client closes the connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<Value>,
}

impl Reply {
    pub(crate) fn event(id: u64, event: Value) -> Self {
        Self {
            id: Some(id),
            result: None,
            error: None,
            event: Some(event),
        }
    }

    pub(crate) fn outcome(id: u64, outcome: Result<Value, ControlError>) -> Self {
        let (result, error) = match outcome {
            Ok(result) => (Some(result), None),
            Err(error) => (None, Some(error)),
        };
        Self {
            id: Some(id),
            result,
            error,
            event: None,
        }
    }

    pub(crate) fn refusal(code: &str, message: &str) -> Self {
        Self {
            id: None,
            result: None,
            error: Some(ControlError::new(code, message)),
            event: None,
        }
    }
}

/// Encodes a reply as a line.
pub(crate) fn line(reply: &Reply) -> Bytes {
    // Serialising values of JSON does not fail.
    let mut line = serde_json::to_vec(reply).unwrap_or_default();
    line.push(b'\n');
    line.into()
}

/// The error of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlError {
    /// A word for programs: `bad_request`, `unknown_method`, `bad_params`, or the name of an
    /// [`ErrorKind`].
    pub code: String,
    /// A sentence for the user.
    pub message: String,
    /// What the user can do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl ControlError {
    /// Creates an error without a hint.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
            hint: None,
        }
    }

    /// Creates an error of this kind, with the hint of the kind.
    pub fn of_kind(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            code: kind.as_str().to_owned(),
            message: message.into(),
            hint: kind.hint().map(str::to_owned),
        }
    }

    /// Sets the hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for ControlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for ControlError {}

/// The longest line of a client, in bytes. Chosen above every request of every method.
pub(crate) const MAX_REQUEST: usize = 64 << 10;

/// The longest line of a daemon, in bytes. Chosen above a status with thousands of sessions.
pub(super) const MAX_REPLY: usize = 16 << 20;
