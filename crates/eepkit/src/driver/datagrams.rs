//! Transfers datagrams between the sockets of a session and the link.

use std::task::Context;

use eepkit_link::{
    Command, Layer, Outgoing, PathChoice, Payload,
    streams::{IncomingDatagram, OutgoingDatagram},
};
use tokio::time::Instant;
use tracing::trace;

use super::Driver;
use crate::{shared::Core, stage::SessionStage};

impl Driver<'_> {
    /// Delivers a datagram that the router has verified to its socket.
    pub(super) fn on_opened_datagram(core: &Core, datagram: IncomingDatagram) {
        let (protocol, port) = (datagram.protocol, datagram.to_port);
        if !core.datagrams.deliver_opened(datagram) {
            trace!(protocol, port, "no socket for a datagram");
        }
    }

    /// Delivers a message of a protocol other than streaming to its socket.
    pub(super) fn on_datagram(core: &Core, payload: Payload) {
        let (protocol, port) = (payload.protocol, payload.to_port);
        if !core.datagrams.deliver(payload) {
            trace!(protocol, port, "no socket for a message");
        }
    }

    /// Submits datagrams while the link accepts them, up to a bound. Returns whether more are
    /// queued that the link may accept at once.
    pub(super) fn send_datagrams(&mut self, cx: &mut Context<'_>) -> bool {
        let shared = self.shared.clone();
        if shared.lock("datagrams").datagrams.is_idle() || shared.stage() != SessionStage::Ready {
            return false;
        }
        for _ in 0..DATAGRAMS_PER_POLL {
            if self.link.poll_ready(cx).is_pending() {
                return false;
            }
            let now = Instant::now();
            let mut core = shared.lock("datagrams");
            let Some(next) = core.datagrams.next_outgoing(now) else {
                return false;
            };
            self.next_token += 1;
            core.datagrams.sent(self.next_token, next.mailbox);
            drop(core);
            self.shared.idle.touch();
            self.last_sent = Some(now);
            if self.shared.layer == Layer::Streams {
                let command = OutgoingDatagram {
                    token: self.next_token,
                    format: next.format,
                    to: next.to,
                    protocol: next.payload.protocol,
                    from_port: next.payload.from_port,
                    to_port: next.payload.to_port,
                    payload: next.payload.body,
                    deadline: next.deadline,
                    options: next.options,
                };
                self.link.submit(Command::SendDatagram(command));
                continue;
            }
            self.link.submit(Command::Send(Outgoing {
                token: self.next_token,
                to: next.to,
                path: PathChoice::Auto,
                payload: next.payload,
                compress: next.compress,
                deadline: next.deadline,
                options: next.options,
            }));
        }
        !shared.lock("datagrams").datagrams.is_idle()
    }
}

/// Datagrams in one poll. Chosen as a quarter of the commands that a link accepts at a time, so
/// that streams have the larger share.
const DATAGRAMS_PER_POLL: usize = 16;
