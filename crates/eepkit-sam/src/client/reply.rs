//! Answers of a bridge.

use eepkit_wire::{Destination, PrivateKeys};

use super::{
    error::RequestError,
    request::{Keys, Request, read_destination},
};
use crate::{
    key,
    message::{Message, Params},
    result::{Failure, ResultCode},
};

/// The answer to a successful request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// The session is open and has tunnels.
    Created {
        /// The keys of a new destination; `None` if the client sent its own.
        keys: Option<Box<PrivateKeys>>,
    },
    /// The subsession is added.
    Added,
    /// The subsession is removed.
    Removed,
    /// From now on the connection is the stream: see
    /// [`Client::take_rest`](super::Client::take_rest).
    Connected,
    /// The bridge waits for a stream. [`Event::Peer`](super::Event::Peer) follows.
    Accepting,
    /// From now on the bridge forwards streams.
    Forwarding,
    /// The destination of the name.
    Found {
        /// The destination.
        destination: Destination,
        /// The options of its lease set, if requested.
        options: Vec<(String, String)>,
    },
    /// Generated keys.
    Generated(Box<PrivateKeys>),
    /// The bridge answered a PING.
    Pong,
}

/// Whether a line answers a request, judged by its two words. Bridges repeat the NAME of a look-up.
pub(super) fn answers(request: &Request, message: &Message) -> bool {
    match request {
        Request::Create(_) | Request::Add(_) | Request::Remove { .. } => {
            message.is("SESSION", "STATUS")
        }
        // If the session is invalid, some bridges answer with SESSION STATUS.
        Request::Connect(_) | Request::Accept(_) | Request::Forward(_) => {
            message.is("STREAM", "STATUS") || message.is("SESSION", "STATUS")
        }
        Request::Lookup(lookup) => {
            message.is("NAMING", "REPLY")
                && message
                    .params
                    .value("NAME")
                    .is_none_or(|name| name == lookup.name)
        }
        Request::Generate(_) => message.is("DEST", "REPLY"),
        Request::Ping(_) | Request::Quit => false,
    }
}

/// Reads the answer to a request.
///
/// # Errors
///
/// [`RequestError::Refused`] and [`RequestError::Malformed`].
pub(super) fn read(request: &Request, message: &Message) -> Result<Answer, RequestError> {
    let params = &message.params;
    // Generated keys are sent without RESULT.
    let generated = matches!(request, Request::Generate(_)) && !params.contains("RESULT");
    if !generated {
        success(params)?;
    }
    match request {
        Request::Create(create) => {
            let given = matches!(create.keys, Keys::Given(_));
            let keys = match given {
                true => None,
                false => Some(private_keys(params, "DESTINATION")?),
            };
            Ok(Answer::Created { keys })
        }
        Request::Add(_) => Ok(Answer::Added),
        Request::Remove { .. } => Ok(Answer::Removed),
        Request::Connect(_) if message.verb == "STREAM" => Ok(Answer::Connected),
        Request::Accept(_) if message.verb == "STREAM" => Ok(Answer::Accepting),
        Request::Forward(_) if message.verb == "STREAM" => Ok(Answer::Forwarding),
        Request::Lookup(_) => {
            let destination =
                params
                    .value("VALUE")
                    .and_then(read_destination)
                    .ok_or(RequestError::Malformed(
                        "the answer to the look-up has no destination",
                    ))?;
            let options = params.iter().filter_map(|(key, value)| {
                let key = key.strip_prefix("OPTION:")?;
                Some((key.to_owned(), value.unwrap_or_default().to_owned()))
            });
            Ok(Answer::Found {
                destination,
                options: options.collect(),
            })
        }
        Request::Generate(_) => Ok(Answer::Generated(private_keys(params, "PRIV")?)),
        _ => Err(RequestError::Malformed(
            "the answer does not match the request",
        )),
    }
}

/// Checks that RESULT is OK.
///
/// # Errors
///
/// [`RequestError::Refused`] for any other RESULT, [`RequestError::Malformed`] if there is none.
pub(super) fn success(params: &Params) -> Result<(), RequestError> {
    let result = params
        .value("RESULT")
        .map(ResultCode::parse)
        .ok_or(RequestError::Malformed("the answer has no RESULT"))?;
    if result == ResultCode::Ok {
        return Ok(());
    }
    Err(RequestError::Refused(failure(result, params)))
}

pub(super) fn failure(result: ResultCode, params: &Params) -> Failure {
    let text = params.value("MESSAGE").unwrap_or_default();
    let text: String = text.chars().take(MAX_MESSAGE).collect();
    Failure::new(result, text)
}

fn private_keys(params: &Params, key: &str) -> Result<Box<PrivateKeys>, RequestError> {
    params
        .value(key)
        .and_then(|text| key::parse_private_keys(text).ok())
        .map(Box::new)
        .ok_or(RequestError::Malformed("the answer has no keys"))
}

/// The maximum length of a stored MESSAGE, in characters. Chosen as two lines of a terminal.
const MAX_MESSAGE: usize = 160;
