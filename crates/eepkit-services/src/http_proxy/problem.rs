//! The reasons why a request is not fulfilled, with their statuses.

use eepkit::ErrorKind;
use eepkit_naming::{HelperError, HostName};
use http::StatusCode;

use crate::errors::{Denial, Report};

/// The reason why a request is not fulfilled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Problem {
    /// The request violates HTTP, or has no clear meaning.
    BadRequest(&'static str),
    /// The request is one to a web server.
    NotAServer,
    /// The URL begins with `https`, which needs CONNECT.
    Https,
    /// The URL has another protocol.
    Protocol,
    /// The proxy accepts only CONNECT.
    ConnectOnly,
    /// A name and a password are required.
    PasswordRequired,
    /// The host is local.
    Local,
    /// The host is on the public Internet, and there is no outproxy.
    NoOutproxy,
    /// The host is no name or address on I2P.
    BadName(String),
    /// The link has an address helper that cannot be used.
    Helper(HelperError),
    /// The link gives a name a destination that must be confirmed first.
    Unconfirmed(HostName),
    /// The name is not in an address book.
    UnknownName(String),
    /// The stream to the host cannot be opened.
    Connect(ErrorKind, String),
    /// The stream to the outproxy cannot be opened.
    Outproxy(ErrorKind, String),
    /// The outproxy refused the request.
    OutproxyRefused(StatusCode),
    /// The response of the site is not valid, or the site ended it early.
    BadResponse(String),
    /// The site did not begin its response in time.
    NoResponse,
    /// The form of a page of the proxy is not valid any more.
    FormExpired,
    /// A page of the proxy was used by another site.
    ForeignForm,
    /// The proxy has no such page.
    NoPage,
    /// The address book cannot be used.
    Store(String),
}

/// How a problem is presented.
pub(super) struct Account {
    pub(super) status: StatusCode,
    /// The value of `X-Eepkit-Error`.
    pub(super) code: &'static str,
    pub(super) title: &'static str,
    pub(super) text: String,
    /// What the user can do.
    pub(super) hint: Option<&'static str>,
}

impl Problem {
    pub(super) fn account(&self) -> Account {
        let account = |status, code, title, text: &str| Account {
            status,
            code,
            title,
            text: text.to_owned(),
            hint: None,
        };
        match self {
            Self::BadRequest(why) => account(
                StatusCode::BAD_REQUEST,
                "bad_request",
                "Bad request",
                &format!("The proxy refused the request: {why}."),
            ),
            Self::NotAServer => account(
                StatusCode::BAD_REQUEST,
                "not_a_server",
                "This is a proxy",
                "This is the HTTP proxy of eepkit, not a web server. Set it as the HTTP proxy of the \
                 browser.",
            ),
            Self::Https => account(
                StatusCode::BAD_REQUEST,
                "https_needs_connect",
                "HTTPS needs a tunnel",
                "The program requested an https URL without CONNECT. Set the proxy for HTTPS as well.",
            ),
            Self::Protocol => account(
                StatusCode::BAD_REQUEST,
                "unsupported_protocol",
                "Unsupported protocol",
                "The proxy fetches only http URLs.",
            ),
            Self::ConnectOnly => account(
                StatusCode::METHOD_NOT_ALLOWED,
                "connect_only",
                "Only CONNECT",
                "This proxy accepts only CONNECT. Use the HTTP proxy for web pages.",
            ),
            Self::PasswordRequired => account(
                StatusCode::PROXY_AUTHENTICATION_REQUIRED,
                "password_required",
                "Password required",
                "This proxy requires a name and a password.",
            ),
            Self::Local => account(
                status(Denial::Local.http_status()),
                Denial::Local.as_str(),
                "Local address",
                "The host is on this machine or in the local network. A proxy for an anonymous network \
                 does not connect to it.",
            )
            .hint("exclude local addresses from the proxy in the settings of the browser"),
            Self::NoOutproxy => account(
                status(Denial::NotI2p.http_status()),
                Denial::NotI2p.as_str(),
                "Not on I2P",
                "The host is on the public Internet, and no outproxy is configured.",
            )
            .hint("outproxies are set with the option outproxies; they see the traffic"),
            Self::BadName(why) => account(
                StatusCode::BAD_REQUEST,
                "bad_name",
                "Invalid address",
                &format!("The host is no address on I2P: {why}."),
            ),
            Self::Helper(why) => account(
                StatusCode::BAD_REQUEST,
                "bad_address_helper",
                "Invalid link",
                &format!("The link has an address helper that cannot be used: {why}."),
            ),
            Self::Unconfirmed(name) => account(
                StatusCode::CONFLICT,
                "unconfirmed_address",
                "Unconfirmed address",
                &format!(
                    "The link gives {name} a destination that is not in the address book. Open the link \
                     in a browser to confirm it."
                ),
            ),
            Self::UnknownName(name) => account(
                of_kind(ErrorKind::NameNotFound),
                ErrorKind::NameNotFound.as_str(),
                "Unknown name",
                &format!("{name} is not in the address book."),
            )
            .hint("add the name, or use the .b32.i2p address of the site"),
            Self::Connect(kind, why) => connect(*kind, why),
            Self::Outproxy(kind, why) => {
                let account = connect(*kind, why);
                Account {
                    title: "The outproxy cannot be reached",
                    text: format!("The outproxy cannot be reached. {}", account.text),
                    ..account
                }
            }
            Self::OutproxyRefused(status) => account(
                StatusCode::BAD_GATEWAY,
                "outproxy_refused",
                "Refused by the outproxy",
                &match *status {
                    StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
                        "The outproxy requires a name and a password, which the option \
                         outproxy_logins sets, or refused those."
                            .to_owned()
                    }
                    status => format!("The outproxy answered with the status {}.", status.as_u16()),
                },
            ),
            Self::BadResponse(why) => account(
                StatusCode::BAD_GATEWAY,
                "bad_response",
                "Invalid response",
                &format!("The site did not send a valid response: {why}."),
            ),
            Self::NoResponse => account(
                StatusCode::GATEWAY_TIMEOUT,
                ErrorKind::Timeout.as_str(),
                "No response",
                "The site accepted the request and did not begin its response in time.",
            ),
            Self::FormExpired => account(
                StatusCode::CONFLICT,
                "form_expired",
                "The form has expired",
                "The form was used already, or is too old. Open the link again.",
            ),
            Self::ForeignForm => account(
                StatusCode::FORBIDDEN,
                "foreign_form",
                "Refused",
                "Another site tried to use a form of the proxy.",
            ),
            Self::NoPage => account(
                StatusCode::NOT_FOUND,
                "no_page",
                "No such page",
                "The proxy has no such page.",
            ),
            Self::Store(why) => account(
                StatusCode::INTERNAL_SERVER_ERROR,
                "address_book",
                "Address book",
                &format!("The address book cannot be used: {why}."),
            ),
        }
    }
}

/// The status for a kind of error.
fn of_kind(kind: ErrorKind) -> StatusCode {
    status(Report::of(kind).http_status())
}

fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// The account of a stream that cannot be opened.
fn connect(kind: ErrorKind, why: &str) -> Account {
    let title = match kind {
        ErrorKind::LeaseSetNotFound => "The site is offline",
        ErrorKind::Locked => "Encrypted site",
        ErrorKind::PeerUnreachable => "The site does not answer",
        ErrorKind::Refused => "Connection refused",
        ErrorKind::Reset => "Connection reset",
        ErrorKind::Timeout => "Time-out",
        ErrorKind::IncompatibleEncryption => "Incompatible encryption",
        ErrorKind::NoTunnels
        | ErrorKind::RouterUnreachable
        | ErrorKind::RouterRefused
        | ErrorKind::NetworkUnreachable
        | ErrorKind::SessionLost => "The router is not ready",
        ErrorKind::Limit => "Too many destinations",
        _ => "The site cannot be reached",
    };
    let mut text = why.trim_end_matches('.').to_owned();
    if let Some(first) = text.get(..1) {
        text.replace_range(..1, &first.to_ascii_uppercase());
    }
    text.push('.');
    Account {
        status: of_kind(kind),
        code: kind.as_str(),
        title,
        text,
        hint: kind.hint(),
    }
}

impl Account {
    fn hint(self, hint: &'static str) -> Self {
        Self {
            hint: Some(hint),
            ..self
        }
    }
}
