//! Sessions on a router in this process: over I2CP, as with any router, but they know when the
//! router is stopped on purpose.

use std::{
    fmt,
    future::Future,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};

use eepkit_i2cp::RouterKind;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use eepkit_attach::i2cp::I2cpRouter;
use eepkit_link::{BoxFuture, Command, Connector, Event, Link, LinkError, LostReason, Setup};

/// Opens a session on the router that speaks I2CP at `address` until `stopped` is cancelled.
pub(crate) fn open(
    address: SocketAddr,
    setup: Setup,
    stopped: CancellationToken,
) -> BoxFuture<Result<Box<dyn Link>, LinkError>> {
    let router = I2cpRouter::tcp(address).kind(RouterKind::Emissary);
    Box::pin(async move {
        let opened = stopped.run_until_cancelled(router.open(setup)).await;
        let link = opened.ok_or(LinkError::Stopped)??;
        let link: Box<dyn Link> = Box::new(OwnLink {
            link,
            stopped: Box::pin(stopped.cancelled_owned()),
            lost: false,
        });
        Ok(link)
    })
}

/// A session that ends when its router is stopped.
struct OwnLink {
    link: Box<dyn Link>,
    stopped: Pin<Box<WaitForCancellationFutureOwned>>,
    lost: bool,
}

impl fmt::Debug for OwnLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.link.fmt(f)
    }
}

impl Link for OwnLink {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.link.poll_ready(cx)
    }

    fn submit(&mut self, command: Command) {
        self.link.submit(command);
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        if self.lost {
            return Poll::Pending;
        }
        let event = match self.stopped.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Event::Lost(LostReason::Stopped)),
            Poll::Pending => self.link.poll_event(cx),
        };
        self.lost = matches!(event, Poll::Ready(Event::Lost(_)));
        event
    }
}
