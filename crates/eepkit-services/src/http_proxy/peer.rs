//! Where a request goes: a site or an outproxy, and the session to it.

use std::sync::Arc;

use eepkit::{AddressError, Destination, Error, ErrorKind, LookupError, Stream};
use http::HeaderValue;
use rand::seq::IndexedRandom as _;

use super::{
    problem::Problem,
    program::User,
    request::Place,
    shared::Shared,
    upstream::{Key, Upstream},
};
use crate::{
    client_sessions::ClientSession,
    proxy::{HasFrame as _, Login},
    target::Target,
};

/// Where a request goes, and over which session.
pub(super) struct Peer {
    session: ClientSession,
    pub(super) destination: Destination,
    port: u16,
    /// Whether it is an outproxy.
    pub(super) is_outproxy: bool,
    /// The value of `Proxy-Authorization` for an outproxy with a login.
    pub(super) login: Option<HeaderValue>,
}

impl Peer {
    pub(super) async fn of(
        shared: &Arc<Shared>,
        place: &Place,
        user: &User,
    ) -> Result<Self, Problem> {
        let session = || {
            let session = shared.frame().session(&user.parts());
            session.map_err(|error| Problem::Connect(error.kind(), error.to_string()))
        };
        match &place.target {
            Target::Local => Err(Problem::Local),
            Target::I2p(name) => {
                let session = session()?;
                let destination = look_up(&session, name).await?;
                Ok(Self {
                    session,
                    destination,
                    port: place.port,
                    is_outproxy: false,
                    login: None,
                })
            }
            Target::Clearnet(_) => {
                let chosen = shared.config.outproxies.choose(&mut rand::rng());
                let chosen = chosen.ok_or(Problem::NoOutproxy)?;
                let outproxy: eepkit::Address = chosen.parse().map_err(|_| Problem::NoOutproxy)?;
                let host = outproxy.clone().with_port(0).to_string();
                let session = session()?;
                let destination = look_up(&session, &host).await;
                let destination = destination.map_err(as_outproxy)?;
                Ok(Self {
                    session,
                    destination,
                    port: match outproxy.port {
                        0 => DEFAULT_OUTPROXY_PORT,
                        port => port,
                    },
                    is_outproxy: true,
                    login: shared.config.logins.at(chosen).map(Login::basic),
                })
            }
        }
    }

    /// Opens a stream.
    pub(super) async fn connect(&self) -> Result<Stream, Problem> {
        let connecting = self
            .session
            .session()
            .connect((&self.destination, self.port));
        connecting.await.map_err(|error| match self.is_outproxy {
            true => Problem::Outproxy(error.kind(), in_full(error)),
            false => Problem::Connect(error.kind(), in_full(error)),
        })
    }

    pub(super) fn session(&self) -> &ClientSession {
        &self.session
    }

    pub(super) fn key(&self) -> Key {
        Key {
            own: self.session.session().destination().hash(),
            site: self.destination.hash(),
            port: self.port,
        }
    }

    pub(super) async fn upstream(&self, shared: &Arc<Shared>) -> Result<Upstream, Problem> {
        let stream = self.connect().await?;
        let opening = Upstream::open(shared.frame(), self.key(), stream, self.session.clone());
        opening
            .await
            .map_err(|error| Problem::BadResponse(error.to_string()))
    }
}

fn as_outproxy(problem: Problem) -> Problem {
    match problem {
        Problem::Connect(kind, why) => Problem::Outproxy(kind, why),
        Problem::UnknownName(name) => Problem::Outproxy(
            ErrorKind::NameNotFound,
            format!("{name} is not in the address book"),
        ),
        other => other,
    }
}

/// Finds a destination: in the address books of this program, then with the router.
async fn look_up(session: &ClientSession, name: &str) -> Result<Destination, Problem> {
    let looking_up = session.session().lookup(name);
    looking_up.await.map_err(|error| match error {
        LookupError::NameNotFound(_) => Problem::UnknownName(name.to_owned()),
        LookupError::Address(AddressError::EncryptedLeaseSet) => {
            Problem::Connect(ErrorKind::Locked, error.to_string())
        }
        LookupError::Address(error) => Problem::BadName(error.to_string()),
        LookupError::NameSource(why) => Problem::Store(why),
        error => {
            let error = Error::from(error);
            Problem::Connect(error.kind(), in_full(error))
        }
    })
}

/// The text of an error with its causes.
fn in_full(error: impl Into<Error>) -> String {
    let error = error.into();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        let level = error.to_string();
        if !text.contains(&level) {
            text.push_str(": ");
            text.push_str(&level);
        }
        cause = error.source();
    }
    text
}

/// Source: the usual port of HTTP proxies on I2P, that of the web.
const DEFAULT_OUTPROXY_PORT: u16 = 80;
