//! One connection of a client: the driver of its state machine.

use std::{sync::Arc, time::Duration};

use eepkit::{Address, Destination};
use eepkit_bob::server::{Answer, Connection, Output, Request};
use eepkit_wire::Host;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    task::yield_now,
    time::timeout,
};
use tracing::{debug, info};
use zeroize::{Zeroize as _, Zeroizing};

use super::{kinds::host, shared::Shared, tunnels};
use crate::serve::{Socket, close_gently};

/// Serves a client until it or the bridge ends the connection.
pub(super) async fn serve(shared: Arc<Shared>, mut socket: Socket) {
    let mut machine = Connection::new(shared.protocol.clone(), rand::random());
    // What clients send may be private keys.
    let mut buffer = Zeroizing::new(vec![0; READ]);
    // The part of the buffer that the machine has not got yet.
    let mut unread = 0..0;
    loop {
        while let Some(output) = machine.poll_output() {
            match output {
                Output::Send(text) => {
                    let write = async {
                        socket.write_all(text.as_bytes()).await?;
                        socket.flush().await
                    };
                    if !matches!(timeout(WRITE_LIMIT, write).await, Ok(Ok(()))) {
                        return shared.changed.notify_one();
                    }
                }
                Output::Request(request) => {
                    if let Some(answer) = execute(&shared, request).await {
                        machine.handle_answer(&mut shared.database(), answer);
                    }
                }
                Output::Close => {
                    shared.changed.notify_one();
                    return close_gently(&mut socket).await;
                }
                other => debug!(?other, "the machine has an unknown output"),
            }
        }
        if unread.is_empty() {
            shared.changed.notify_one();
            let read = tokio::select! {
                read = socket.read(&mut buffer) => read,
                () = shared.server.closing().cancelled() => return,
            };
            match read {
                Ok(0) => {
                    machine.handle_end();
                    continue;
                }
                Ok(count) => unread = 0..count,
                Err(_) => return,
            }
        } else {
            // Other connections take turns with the lines of a client that sends many at once.
            yield_now().await;
        }
        let bytes = buffer.get_mut(unread.clone()).unwrap_or_default();
        let line = bytes.iter().position(|byte| *byte == b'\n');
        let length = line.map_or(bytes.len(), |end| end + 1);
        unread.start += length;
        let bytes = bytes.get_mut(..length).unwrap_or_default();
        machine.handle_bytes(&mut shared.database(), bytes);
        bytes.zeroize();
    }
}

/// Executes a request, and returns its answer if it has one.
async fn execute(shared: &Arc<Shared>, request: Request) -> Option<Answer> {
    match request {
        Request::Start(nick) => Some(Answer::Started(tunnels::start(shared, &nick).await)),
        Request::Stop(nick) => {
            tunnels::stop(shared, &nick);
            None
        }
        Request::LookUp(name) => Some(Answer::Found(look_up(shared, name).await)),
        Request::Visit => {
            let database = shared.database();
            for status in database
                .nicknames()
                .filter_map(|nick| database.status(nick))
            {
                // Addresses are logged at level debug only.
                info!(
                    nick = status.nick,
                    running = status.running,
                    "a tunnel of BOB"
                );
                debug!(%status, "a tunnel of BOB");
            }
            None
        }
        Request::Zap => {
            shared.zapped.cancel();
            None
        }
        other => {
            debug!(?other, "the machine makes an unknown request");
            None
        }
    }
}

async fn look_up(shared: &Arc<Shared>, name: Host) -> Option<Destination> {
    let address = Address::new(host(name).ok()?);
    let options = shared.config.session_options();
    let session = shared
        .lookups
        .session(&shared.router, &shared.server, "BOB look-ups", options)
        .await;
    let session = session.ok()?;
    tokio::select! {
        found = session.lookup(&address) => found.ok(),
        () = shared.server.closing().cancelled() => None,
    }
}

/// The size of a read, in bytes. Chosen as the longest common line.
const READ: usize = 4096;

/// The time limit for a client to read what it was sent, after which the connection is closed.
const WRITE_LIMIT: Duration = Duration::from_secs(30);
