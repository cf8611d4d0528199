//! The web server of the measurements, on streams of the library.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use eepkit::{Listener, Session};
use eepkit_bench_common::Outcome;
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{task::JoinSet, time::sleep};

/// A site. Dropping it ends it.
pub(crate) struct Site {
    state: Arc<State>,
    session: Session,
    _accepting: JoinSet<()>,
}

struct State {
    response: Bytes,
    in_progress: AtomicUsize,
    most: AtomicUsize,
}

/// The path of responses that the site delays by [`HOLD`].
pub(crate) const HELD: &str = "/held";

/// Chosen so that a thousand requests arrive before the first response is sent.
pub(crate) const HOLD: Duration = Duration::from_secs(3);

impl Site {
    /// Serves responses of this size at a session.
    pub(crate) fn start(session: Session, response: u32) -> Outcome<Self> {
        let state = Arc::new(State {
            response: vec![b'x'; response as usize].into(),
            in_progress: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
        });
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(session.listen(80)?, state.clone()));
        Ok(Self {
            state,
            session,
            _accepting: accepting,
        })
    }

    /// The host name of the site.
    pub(crate) fn host(&self) -> String {
        self.session.destination().to_b32()
    }

    /// The largest number of requests in progress since the last call.
    pub(crate) fn take_most(&self) -> usize {
        self.state.most.swap(0, Ordering::Relaxed)
    }
}

async fn accept(listener: Listener, state: Arc<State>) {
    // Ends the connections with the site.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            stream = listener.accept() => {
                let Ok(stream) = stream else { return };
                let state = state.clone();
                connections.spawn(async move {
                    let service = service_fn(move |request| answer(state.clone(), request));
                    // Fails if a client closes the connection early.
                    let _ = http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn answer(
    state: Arc<State>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let now = state.in_progress.fetch_add(1, Ordering::Relaxed) + 1;
    state.most.fetch_max(now, Ordering::Relaxed);
    if request.uri().path() == HELD {
        sleep(HOLD).await;
    }
    state.in_progress.fetch_sub(1, Ordering::Relaxed);
    Ok(Response::new(Full::new(state.response.clone())))
}
