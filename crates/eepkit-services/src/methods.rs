//! Methods that programs offer each other over a control socket: requests, replies, errors, and the
//! client.

mod client;
mod protocol;

use std::{fmt, pin::Pin};

use serde_json::Value;
use tokio::sync::mpsc;

pub(crate) use self::protocol::{MAX_REQUEST, line};
pub use self::{
    client::{Client, ClientError},
    protocol::{ControlError, Reply, Request},
};

/// The methods that a control socket offers.
pub trait Methods: fmt::Debug + Send + Sync + 'static {
    /// Starts a method. `None` if there is no method of this name.
    ///
    /// The future resolves to the result, and is dropped when the client closes the connection.
    /// Until then it may send any number of events.
    fn call(&self, request: Request, events: Events) -> Option<Work<'_, Outcome>>;

    /// The names of the methods.
    fn names(&self) -> Vec<&'static str>;
}

/// The result of a method.
pub type Outcome = Result<Value, ControlError>;

/// Sends events of a method to its client.
#[derive(Debug, Clone)]
pub struct Events {
    sender: mpsc::Sender<Value>,
}

impl Events {
    pub(crate) fn new() -> (Self, mpsc::Receiver<Value>) {
        let (sender, receiver) = mpsc::channel(EVENTS);
        (Self { sender }, receiver)
    }

    /// Sends an event. Waits while the client reads no events.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the event may not be sent.
    pub async fn send(&self, event: Value) {
        // The receiver is dropped together with the future of the method.
        let _ = self.sender.send(event).await;
    }
}

/// A future of an operation.
pub(crate) type Work<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The number of events that may wait for a client. Chosen as small, because an event is a state
/// that the next one replaces.
const EVENTS: usize = 4;
