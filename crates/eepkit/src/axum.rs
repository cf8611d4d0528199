//! Listeners for `axum::serve`.

use std::io;

use axum::{extract::connect_info::Connected, serve::IncomingStream};
use tracing::debug;

use crate::{listener::Listener, socket_addr::I2pSocketAddr, stream::Stream};

/// Accepts the streams of an axum server. `ConnectInfo<I2pSocketAddr>` extracts the peer.
///
/// After the session has ended, `axum::serve` waits forever. To stop the server with its session,
/// pass [`Session::closed`](crate::Session::closed) to `with_graceful_shutdown`.
impl axum::serve::Listener for Listener {
    type Io = Stream;
    type Addr = I2pSocketAddr;

    async fn accept(&mut self) -> (Stream, I2pSocketAddr) {
        match Self::accept(self).await {
            Ok(stream) => {
                let peer = stream.peer_addr();
                (stream, peer)
            }
            Err(error) => {
                debug!(%error, "the listener of an axum server ended");
                std::future::pending().await
            }
        }
    }

    fn local_addr(&self) -> io::Result<I2pSocketAddr> {
        Ok(Self::local_addr(self))
    }
}

impl Connected<IncomingStream<'_, Listener>> for I2pSocketAddr {
    fn connect_info(stream: IncomingStream<'_, Listener>) -> Self {
        stream.remote_addr().clone()
    }
}
