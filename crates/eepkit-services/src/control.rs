//! The control socket: other programs of the same user ask a running program for its status, and
//! reload or stop it.
//!
//! The protocol is one JSON object per line over a Unix socket; `docs/control.md` describes it.
//! [`Control`] serves [`Methods`], which are those of a [`Daemon`] in the program `eepkit`.
//! [`Client`] is the other side. [`Report`] is the status of the daemon, in the form in which it is
//! sent.

mod connection;
mod daemon;
mod report;
mod slots;

use std::{path::PathBuf, sync::Arc, time::Duration};

pub use self::{
    daemon::{Daemon, Order, Phase, Setup},
    report::{
        Places, ProgramReport, Report, RouterActivityReport, RouterReport, ServiceReport,
        SessionReport, StepReport, Wanted,
    },
};
pub use crate::methods::{
    Client, ClientError, ControlError, Events, Methods, Outcome, Reply, Request,
};
use crate::{
    methods::line,
    serve::{BindError, Endpoint, Limits, Listeners, Server},
};

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
        let refusal = line(&Reply::refusal(
            "limit",
            &format!("the control socket has {MAX_CONNECTIONS} connections, which is the most"),
        ));
        let server = Server::new(Limits::new(MAX_CONNECTIONS).refusal(refusal));
        let handle = server.handle();
        let slots = Arc::<slots::Slots>::default();
        server.serve(listeners, move |accepted| {
            connection::serve(
                accepted.socket,
                methods.clone(),
                handle.clone(),
                slots.clone(),
            )
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

/// The maximum number of connections. Chosen above the slots of a socket, with room for the
/// connections that are accepted before those that lost their slot have ended.
const MAX_CONNECTIONS: usize = 512;

/// See [`Control::close`].
const CLOSE_GRACE: Duration = Duration::from_secs(1);

#[cfg(all(test, unix))]
mod tests;
