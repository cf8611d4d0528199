//! A proxy whose connections can become black holes.

use std::net::SocketAddr;

use libtest_mimic::Failed;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// Forwards connections to an address. On demand, the connections that exist forward nothing any
/// more. They stay open at both ends, as if a cable was cut: no end gets a FIN or a reset. When the
/// cable is mended, they are closed, as the reset of an end that has given up would do.
#[derive(Debug)]
pub(crate) struct Hole {
    address: SocketAddr,
    /// The number of calls of [`Hole::swallow`] and [`Hole::mend`].
    changes: watch::Sender<u64>,
}

impl Hole {
    pub(crate) async fn before(target: SocketAddr) -> Result<Self, Failed> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (sender, changes) = watch::channel(0);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(forward(socket, target, changes.clone()));
            }
        });
        Ok(Self {
            address,
            changes: sender,
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops to forward on the connections that exist.
    pub(crate) fn swallow(&self) {
        self.changes.send_modify(|number| *number += 1);
    }

    /// Closes the connections that forward nothing.
    pub(crate) fn mend(&self) {
        self.changes.send_modify(|number| *number += 1);
    }
}

async fn forward(mut near: TcpStream, target: SocketAddr, mut changes: watch::Receiver<u64>) {
    let Ok(mut far) = TcpStream::connect(target).await else {
        return;
    };
    changes.mark_unchanged();
    tokio::select! {
        _ = copy_bidirectional(&mut near, &mut far) => return,
        changed = changes.changed() => if changed.is_err() { return },
    }
    // Both sockets stay open, and nobody reads them.
    let _ = changes.changed().await;
}
