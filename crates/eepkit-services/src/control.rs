//! The control socket: other programs of the same user ask a running program for its status, and
//! reload or stop it.
//!
//! The protocol is one JSON object per line over a Unix socket; `docs/control.md` describes it.
//! [`Control`] serves [`Methods`], which are those of a [`Daemon`] in the program `eepkit`.
//! [`Client`] is the other side. [`Report`] is the status of the daemon, in the form in which it is
//! sent.

mod client;
mod connection;
mod daemon;
mod protocol;
mod report;

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use serde_json::Value;
use tokio::sync::mpsc;

pub use self::{
    client::{Client, ClientError},
    daemon::{Daemon, Order, Phase, Setup},
    protocol::{ControlError, Reply, Request},
    report::{
        Places, ProgramReport, Report, RouterActivityReport, RouterReport, ServiceReport,
        SessionReport, StepReport, Wanted,
    },
};
use crate::{
    serve::{BindError, Endpoint, Limits, Listeners, Server},
    service::Work,
};

/// The methods that a control socket offers.
pub trait Methods: fmt::Debug + Send + Sync + 'static {
    /// Starts a method. `None` if there is no method of this name.
    ///
    /// The future resolves to the result, and is dropped when the client closes the connection.
    /// Until then it may send any number of events.
    fn call(&self, request: Request, events: Events) -> Option<Work<'_, Outcome>>;

    /// The names of the methods.
    fn names(&self) -> &'static [&'static str];
}

/// The result of a method.
pub type Outcome = Result<Value, ControlError>;

/// Sends events of a method to its client.
#[derive(Debug, Clone)]
pub struct Events {
    sender: mpsc::Sender<Value>,
}

impl Events {
    fn new() -> (Self, mpsc::Receiver<Value>) {
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

/// A control socket. Dropping it closes the socket and removes its file.
#[derive(Debug)]
pub struct Control {
    server: Server,
}

impl Control {
    /// Listens on the Unix socket at `path`, to which only the user of this process can connect,
    /// and serves `methods`.
    ///
    /// # Errors
    ///
    /// [`BindError`] if the path cannot be used. Its source is [`std::io::ErrorKind::AddrInUse`] if
    /// another program listens there.
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime.
    pub async fn bind(path: PathBuf, methods: Arc<dyn Methods>) -> Result<Self, BindError> {
        let listeners = Listeners::bind([Endpoint::Unix(path)]).await?;
        let refusal = protocol::line(&Reply::refusal(
            "limit",
            "the control socket has too many connections",
        ));
        let server = Server::new(Limits::new(MAX_CONNECTIONS).refusal(refusal));
        let handle = server.handle();
        server.serve(listeners, move |accepted| {
            connection::serve(accepted.socket, methods.clone(), handle.clone())
        });
        Ok(Self { server })
    }

    /// Closes the socket. Requests in progress have a second to complete.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the socket is closed, and requests end when the value is dropped.
    pub async fn close(&self) {
        self.server.shutdown(CLOSE_GRACE).await;
    }
}

/// The maximum number of connections. Chosen because each client has one, and a user has a few
/// clients.
const MAX_CONNECTIONS: usize = 32;

/// The number of events that may wait for a client. Chosen as small, because an event is a state
/// that the next one replaces.
const EVENTS: usize = 4;

/// See [`Control::close`].
const CLOSE_GRACE: Duration = Duration::from_secs(1);

#[cfg(all(test, unix))]
mod tests;
