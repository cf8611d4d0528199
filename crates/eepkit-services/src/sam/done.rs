//! Results of requests.

use eepkit::{DatagramSocket, SessionWatch, Stream};
use eepkit_sam::{Style, server::Answer};

/// The result of a request.
pub(super) struct Done {
    pub(super) answer: Answer,
    pub(super) stream: Option<Stream>,
    /// The source of datagrams for the control socket.
    pub(super) mailbox: Option<(Style, DatagramSocket)>,
    pub(super) watch: Option<SessionWatch>,
}

impl From<Answer> for Done {
    fn from(answer: Answer) -> Self {
        Self {
            answer,
            stream: None,
            mailbox: None,
            watch: None,
        }
    }
}

/// The message to a connection whose session has ended.
pub(super) const SESSION_OVER: &str = "the session is over";
