//! Subsessions: other destinations that use the tunnels of a session.

use std::{fmt, future::pending};

use eepkit_i2cp::{Handle, SessionCloseReason};
use eepkit_link::{BoxFuture, Connector, Link, LinkError, Setup};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::{I2cpLink, OpenDestination, OpenDestinations, ports::Port, translate};
use crate::queues::Queues;

/// The router for the subsessions of one session, through the connection of that session.
pub(super) struct Subsessions {
    requests: mpsc::Sender<Request>,
    open: OpenDestinations,
    name: String,
}

/// A request for a subsession.
pub(super) struct Request {
    pub(super) setup: Setup,
    opened: OpenDestination,
    reply: oneshot::Sender<Result<Box<dyn Link>, LinkError>>,
}

/// The requests of a connection, processed one after the other.
pub(super) struct Requests {
    receiver: mpsc::Receiver<Request>,
    /// The request that was sent to the router.
    asked: Option<(Handle, Request)>,
    last: Handle,
}

impl Subsessions {
    /// Creates both ends: for callers that request subsessions, and for the task of the connection.
    pub(super) fn new(name: &str, open: OpenDestinations) -> (Self, Requests) {
        let (sender, receiver) = mpsc::channel(REQUESTS);
        let subsessions = Self {
            requests: sender,
            open,
            name: format!("{name}, subsession"),
        };
        let requests = Requests {
            receiver,
            asked: None,
            last: Handle::PRIMARY,
        };
        (subsessions, requests)
    }
}

impl Connector for Subsessions {
    fn open(&self, setup: Setup) -> BoxFuture<Result<Box<dyn Link>, LinkError>> {
        let opened = self.open.insert(setup.keys.destination().hash());
        let requests = self.requests.clone();
        Box::pin(async move {
            let limit = setup.timeout;
            let (reply, answer) = oneshot::channel();
            let request = Request {
                setup,
                opened: opened.ok_or(LinkError::Duplicate)?,
                reply,
            };
            let asking = async {
                let gone = || LinkError::Refused("the session it belongs to has ended".to_owned());
                requests.send(request).await.map_err(|_| gone())?;
                answer.await.unwrap_or_else(|_| Err(gone()))
            };
            timeout(limit, asking)
                .await
                .unwrap_or(Err(LinkError::Timeout(limit)))
        })
    }

    fn name(&self) -> String {
        self.name.clone()
    }
}

impl fmt::Debug for Subsessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subsessions")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Requests {
    /// Returns the next request once the router has answered the previous one. Never completes if
    /// no caller remains.
    ///
    /// Cancel safe.
    pub(super) async fn next(&mut self) -> Request {
        if self.asked.is_some() {
            return pending().await;
        }
        match self.receiver.recv().await {
            Some(request) => request,
            None => pending().await,
        }
    }

    /// Records a request that is sent to the router. Returns the handle of the subsession.
    pub(super) fn ask(&mut self, request: Request) -> Handle {
        // A connection is not expected to open 2^32 subsessions.
        self.last = Handle(self.last.0.wrapping_add(1).max(1));
        self.asked = Some((self.last, request));
        self.last
    }

    /// The router opened the subsession. Returns `None` if no caller waits for it any more.
    pub(super) fn opened(&mut self, session: Handle) -> Option<Port> {
        let (_, request) = self.asked.take_if(|(asked, _)| *asked == session)?;
        let (queues, task) = Queues::new();
        let link = I2cpLink {
            queues,
            opened: Some(request.opened),
            subsessions: None,
            // It shares the keys of its session.
            wants_new_keys: false,
        };
        request.reply.send(Ok(Box::new(link))).ok()?;
        Some(Port::new(session, task.commands, task.events))
    }

    /// The router did not open the subsession. Returns the reason if the session was not requested.
    pub(super) fn refused(
        &mut self,
        session: Handle,
        reason: SessionCloseReason,
    ) -> Option<SessionCloseReason> {
        let Some((_, request)) = self.asked.take_if(|(asked, _)| *asked == session) else {
            return Some(reason);
        };
        let limit = request.setup.timeout;
        // The caller may have dropped its request.
        let _ = request
            .reply
            .send(Err(translate::open_error(reason, "", limit)));
        None
    }
}

/// The maximum number of queued requests. Chosen because each takes a round trip to the router.
/// Further requests wait in their futures.
const REQUESTS: usize = 4;
