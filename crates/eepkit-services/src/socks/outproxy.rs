//! Connections to the public Internet through a SOCKS 5 proxy on I2P.

use std::time::Duration;

use eepkit::{Session, Stream};
use eepkit_socks::{Address, Client, ClientError, Credentials, Host, Reply};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};
use tracing::debug;

use crate::errors::socks_reply;

/// A SOCKS 5 proxy on I2P.
#[derive(Debug)]
pub(super) struct Outproxy<'a> {
    pub(super) address: &'a str,
    pub(super) login: Option<Credentials>,
}

impl Outproxy<'_> {
    /// Opens a stream to the outproxy, and through it a connection to `host`. Returns the first data
    /// of the host that arrived already.
    pub(super) async fn connect(
        self,
        session: &Session,
        host: &str,
        port: u16,
        limit: Duration,
    ) -> Result<(Stream, Vec<u8>), Reply> {
        let mut stream = match session.connect(self.address).await {
            Ok(stream) => stream,
            Err(error) => {
                debug!(outproxy = self.address, %error, "SOCKS: the outproxy cannot be reached");
                return Err(socks_reply(error.kind()));
            }
        };
        let host = match host.parse() {
            Ok(ip) => Host::Ip(ip),
            Err(_) => Host::name(host).ok_or(Reply::AddressNotSupported)?,
        };
        let mut client = Client::new(Address::new(host, port), self.login);
        match timeout(limit, request(&mut stream, &mut client)).await {
            Ok(Ok(())) => Ok((stream, client.into_rest())),
            Ok(Err(reply)) => Err(reply),
            Err(_) => Err(Reply::TimedOut),
        }
    }
}

async fn request(stream: &mut Stream, client: &mut Client) -> Result<(), Reply> {
    let mut buffer = [0; 1024];
    loop {
        let sent = async {
            stream.write_all(&client.output()).await?;
            stream.flush().await?;
            stream.read(&mut buffer).await
        };
        let count = match sent.await {
            Ok(0) => return Err(Reply::Failure),
            Ok(count) => count,
            Err(error) => {
                debug!(%error, "SOCKS: the outproxy failed");
                return Err(socks_reply(eepkit::Error::from(error).kind()));
            }
        };
        match client.receive(buffer.get(..count).unwrap_or_default()) {
            Ok(None) => {}
            Ok(Some(_)) => return Ok(()),
            Err(ClientError::Refused(reply)) => return Err(reply),
            Err(error) => {
                debug!(%error, "SOCKS: the outproxy refused");
                return Err(Reply::Failure);
            }
        }
    }
}
