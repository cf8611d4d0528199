//! A tunnel with a session.

use eepkit::Session;
use tokio_util::sync::CancellationToken;

use crate::tunnel::{ClientTunnel, ServerTunnel};

/// A tunnel with a session.
pub(super) struct Active {
    pub(super) session: Session,
    pub(super) outward: Option<ClientTunnel>,
    pub(super) inward: Option<ServerTunnel>,
    /// Cancelled when the tunnel has to stop.
    pub(super) stopping: CancellationToken,
}

impl Active {
    /// Closes all connections and the session.
    pub(super) async fn close(&self) {
        let outward = async {
            if let Some(tunnel) = &self.outward {
                tunnel.stop().await;
            }
        };
        let inward = async {
            if let Some(tunnel) = &self.inward {
                tunnel.stop().await;
            }
        };
        tokio::join!(outward, inward);
        self.session.close().await;
    }
}
