//! Connections for HTTP clients.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use http::{Uri, uri::Scheme};
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};
use tower_service::Service;

use crate::{
    address::{Address, Host},
    connect::ConnectOptions,
    error::{AddressError, ConnectError},
    session::Session,
    stream::Stream,
};

/// Opens streams for HTTP clients. It is a `tower_service::Service<Uri>`, which
/// `hyper_util::client::legacy::Client`, tonic and others accept.
///
/// The host of the URI is a name ending in `.i2p`, a `.b32.i2p` address or a destination in base64.
/// Any other host is refused with [`AddressError::NotI2p`]: **no name is ever resolved outside of
/// I2P**. The port is that of the URI. The default is 80 for `http` and 443 for `https`.
///
/// ```no_run
/// # async fn example(session: eepkit::Session) -> Result<(), Box<dyn std::error::Error>> {
/// use http_body_util::Empty;
/// use hyper::body::Bytes;
/// use hyper_util::{client::legacy::Client, rt::TokioExecutor};
///
/// let connector = eepkit::HttpConnector::new(session);
/// let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build(connector);
/// let response = client.get("http://i2p-projekt.i2p/".parse()?).await?;
/// println!("{}", response.status());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct HttpConnector {
    session: Session,
    options: ConnectOptions,
    enforce_http: bool,
}

impl HttpConnector {
    /// Opens the streams through `session`.
    pub fn new(session: Session) -> Self {
        Self {
            session,
            options: ConnectOptions::default(),
            enforce_http: true,
        }
    }

    /// Options for opening streams: time limit, local port, settings of streaming. Early data
    /// should not be set, because it would precede each request.
    #[must_use]
    pub fn options(mut self, options: ConnectOptions) -> Self {
        self.options = options;
        self
    }

    /// Whether `https` URIs are refused; true by default, because the stream carries no TLS. A
    /// connector that adds TLS on top of this one sets it to false.
    #[must_use]
    pub fn enforce_http(mut self, enforce: bool) -> Self {
        self.enforce_http = enforce;
        self
    }

    fn address(&self, uri: &Uri) -> Result<Address, ConnectError> {
        let secure = uri.scheme() == Some(&Scheme::HTTPS);
        let http = uri.scheme().is_none_or(|scheme| *scheme == Scheme::HTTP);
        if !http && (self.enforce_http || !secure) {
            let scheme = uri.scheme_str().unwrap_or_default();
            return Err(ConnectError::Scheme(
                scheme.chars().take(SHOWN_CHARS).collect(),
            ));
        }
        let host: Host = uri.host().ok_or(AddressError::Empty)?.parse()?;
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        Ok(Address::new(host).with_port(port))
    }
}

impl Service<Uri> for HttpConnector {
    type Response = TokioIo<Stream>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<TokioIo<Stream>, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let address = self.address(&uri);
        let (session, options) = (self.session.clone(), self.options.clone());
        Box::pin(async move {
            let stream = session.connect_with(address?, &options).await?;
            Ok(TokioIo::new(stream))
        })
    }
}

/// Adds the peer to the extensions of each response, as [`I2pSocketAddr`](crate::I2pSocketAddr).
impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new().extra(self.peer_addr())
    }
}

/// Characters of the scheme in an error message. Chosen so that a message fits on one line.
const SHOWN_CHARS: usize = 20;
