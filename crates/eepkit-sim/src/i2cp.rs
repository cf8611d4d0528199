//! I2CP: the simulated network as a router that other processes, and our own I2CP client, can
//! attach to.

mod connection;

use std::{io, net::SocketAddr, sync::Arc};

use eepkit_attach::i2cp::I2cpRouter;
use tokio::{
    io::duplex,
    net::{TcpListener, TcpStream, ToSocketAddrs},
    sync::{Semaphore, watch},
};

use super::{Shared, SimNet};
use connection::Connection;

impl SimNet {
    /// Serves I2CP over TCP and returns the address. With port 0 the system assigns the port. Any
    /// I2CP client may connect, and each session is a destination on this network. The listener
    /// closes with [`SimNet::stop`] or with the network.
    ///
    /// The other end of a TCP connection does not follow a paused clock, so use this in real time,
    /// and [`SimNet::i2cp_router`] in paused time. Sessions are not authenticated: listen on
    /// loopback.
    ///
    /// The messages of API 0.9.66 are supported, except encrypted and meta lease sets. Blinding
    /// information is ignored. Subsessions have tunnels of their own.
    ///
    /// # Errors
    ///
    /// If the address cannot be listened on.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, no listener remains.
    pub async fn i2cp_listen(&self, addr: impl ToSocketAddrs) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind(addr).await?;
        let address = listener.local_addr()?;
        let shared = Arc::downgrade(&self.shared);
        let stop = self.shared.stop_signal();
        tokio::spawn(async move {
            let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
            loop {
                let Some((stream, place)) = accept(&listener, &places, stop.clone()).await else {
                    return;
                };
                let connection = Connection::new(stream, shared.clone(), stop.clone());
                tokio::spawn(async move {
                    connection.run().await;
                    drop(place);
                });
            }
        });
        Ok(address)
    }

    /// A router on this network that is reached over I2CP in memory. It has the same simulated
    /// links, and sessions use the same adapter as for real routers. Works in paused time.
    pub fn i2cp_router(&self) -> I2cpRouter {
        let shared = Arc::clone(&self.shared);
        I2cpRouter::in_process("i2cp+sim", move || {
            let shared = Arc::clone(&shared);
            async move {
                let stop = shared.stop_signal();
                if *stop.borrow() {
                    return Err(io::ErrorKind::ConnectionRefused.into());
                }
                let (ours, theirs) = duplex(PIPE_BYTES);
                let connection = Connection::new(theirs, Arc::downgrade(&shared), stop);
                tokio::spawn(connection.run());
                Ok(ours)
            }
        })
    }
}

/// Accepts the next connection with a permit of the connection limit. Returns `None` once the
/// network has stopped.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
    stop: watch::Receiver<bool>,
) -> Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let next = async {
        let place = Arc::clone(places).acquire_owned().await.ok()?;
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    // Small messages must not wait for each other.
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(%error, "cannot set TCP_NODELAY");
                    }
                    return Some((stream, place));
                }
                // A connection broke before it was accepted. The listener still works.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    tracing::warn!(%error, "the simulated network stops listening for I2CP");
                    return None;
                }
            }
        }
    };
    tokio::select! {
        biased;
        () = stopped(stop) => None,
        next = next => next,
    }
}

/// Waits until the network has stopped or is dropped.
async fn stopped(mut stop: watch::Receiver<bool>) {
    // An error means that the network was dropped.
    let _ = stop.wait_for(|stopped| *stopped).await;
}

impl Shared {
    fn stop_signal(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }
}

/// The buffer of a connection in memory in each direction, in bytes. Chosen as a few messages, like
/// the buffer of a socket.
const PIPE_BYTES: usize = 64 * 1024;

/// The maximum number of I2CP connections of one listener. Chosen as the number on a busy machine,
/// well below the usual limit of 1024 open files.
const MAX_CONNECTIONS: usize = 256;

#[cfg(test)]
mod tests;
