//! The connection of a program, until its request is fulfilled.

use std::time::Duration;

use eepkit_socks::{Authentication, Event, Reply, Request, Server};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};

use super::shared::Shared;
use crate::{
    serve::{Socket, close_gently},
    users::Password,
};

/// A connection whose request is being processed.
pub(super) struct Local {
    pub(super) socket: Socket,
    machine: Server,
}

/// The reason why there is no request, for the log.
type Why = Box<dyn std::error::Error + Send + Sync>;

impl Local {
    pub(super) fn new(socket: Socket, authentication: Authentication) -> Self {
        Self {
            socket,
            machine: Server::new(authentication),
        }
    }

    /// The connection, and what the program has sent after its request.
    pub(super) fn into_parts(self) -> (Socket, Vec<u8>) {
        (self.socket, self.machine.into_rest())
    }

    /// Reads the request. Verifies the name and the password where they are required.
    pub(super) async fn request(&mut self, shared: &Shared) -> Result<Request, Why> {
        let mut buffer = [0; 1024];
        loop {
            let count = self.socket.read(&mut buffer).await?;
            if count == 0 {
                return Err("the program closed the connection".into());
            }
            let mut event = self
                .machine
                .receive(buffer.get(..count).unwrap_or_default());
            if let Ok(Some(Event::Authenticate(named))) = &event {
                let user = String::from_utf8_lossy(named.user()).into_owned();
                let password = String::from_utf8_lossy(named.password()).into_owned();
                let right = shared
                    .frame
                    .gate
                    .verify(user, Password::from(password))
                    .await;
                event = self.machine.authenticate(right);
            }
            self.socket.write_all(&self.machine.output()).await?;
            if let Some(Event::Request(request)) = event? {
                return Ok(request);
            }
        }
    }

    /// Sends the reply to the request.
    pub(super) async fn reply(&mut self, reply: &Reply) -> std::io::Result<()> {
        self.machine.reply(reply);
        self.socket.write_all(&self.machine.output()).await?;
        self.socket.flush().await
    }

    /// Sends a reply after which nothing follows, and closes the connection.
    pub(super) async fn refuse(mut self, reply: &Reply) {
        if self.reply(reply).await.is_ok() {
            self.close().await;
        }
    }

    /// Sends the rest of the output and closes the connection.
    pub(super) async fn close(mut self) {
        let output = self.machine.output();
        let closing = async {
            if self.socket.write_all(&output).await.is_ok() {
                close_gently(&mut self.socket).await;
            }
        };
        // A program that does not read must not keep the connection.
        let _ = timeout(CLOSE_TIMEOUT, closing).await;
    }

    /// Waits until the program closes the connection. What it sends in the meantime is kept, up to
    /// the limit of the machine.
    pub(super) async fn gone(&mut self) {
        let mut buffer = [0; 4096];
        loop {
            match self.socket.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(count) => {
                    let bytes = buffer.get(..count).unwrap_or_default();
                    if self.machine.receive(bytes).is_err() {
                        return;
                    }
                }
            }
        }
    }
}

/// How long the last answer may take to be read.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
