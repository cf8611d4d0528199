//! Downloads over HTTPS.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{
    Request, StatusCode, Uri,
    client::conn::http1,
    header::{CONNECTION, HOST, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName},
};

/// The user agent that every router sends, so that neither reseed hosts nor observers can
/// distinguish routers. Reseed hosts refuse other user agents.
const AGENT: &str = "Wget/1.11.4";

/// Why a download failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The address is not an `https://` URL.
    #[error("not an https:// address")]
    BadUrl,
    /// The host cannot be reached: the name does not exist, there is no route, or the port is
    /// closed.
    #[error("cannot connect: {0}")]
    Connect(#[source] std::io::Error),
    /// The certificate is not trusted, or the host does not support TLS.
    #[error("no secure connection: {0}")]
    Tls(#[source] std::io::Error),
    /// The response violates HTTP.
    #[error("HTTP: {0}")]
    Http(#[source] hyper::Error),
    /// The response has an error status.
    #[error("HTTP status {0}")]
    Status(u16),
    /// The response is longer than the limit for a list of routers, or incomplete.
    #[error("the answer is too long or was cut off")]
    Body,
    /// The deadline passed.
    #[error("no answer in time")]
    Timeout,
}

/// The settings shared by all downloads.
#[derive(Clone)]
pub(super) struct Client {
    tls: TlsConnector,
}

impl Client {
    /// A client that accepts certificates signed by `roots`.
    pub(super) fn new(roots: RootCertStore) -> Result<Self, tokio_rustls::rustls::Error> {
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            tls: Arc::new(config).into(),
        })
    }

    /// Downloads at most `limit` bytes. Redirects are not followed. Cancel safe: dropping the
    /// future closes the connection.
    pub(super) async fn get(&self, url: &str, limit: usize) -> Result<Bytes, FetchError> {
        let uri: Uri = url.parse().map_err(|_| FetchError::BadUrl)?;
        let (Some("https"), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(FetchError::BadUrl);
        };
        let host = authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        let name = ServerName::try_from(host.clone()).map_err(|_| FetchError::BadUrl)?;
        let port = authority.port_u16().unwrap_or(443);
        let path = uri
            .path_and_query()
            .map_or("/", |path| path.as_str())
            .to_owned();
        let request = Request::get(path)
            .header(HOST, authority.as_str())
            .header(USER_AGENT, AGENT)
            .header(CONNECTION, "close")
            .body(Empty::<Bytes>::new())
            .map_err(|_| FetchError::BadUrl)?;

        let stream = TcpStream::connect((host, port))
            .await
            .map_err(FetchError::Connect)?;
        let stream = self
            .tls
            .connect(name, stream)
            .await
            .map_err(FetchError::Tls)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(FetchError::Http)?;
        let exchange = async {
            let response = sender
                .send_request(request)
                .await
                .map_err(FetchError::Http)?;
            if response.status() != StatusCode::OK {
                return Err(FetchError::Status(response.status().as_u16()));
            }
            let body = Limited::new(response.into_body(), limit).collect().await;
            Ok(body.map_err(|_| FetchError::Body)?.to_bytes())
        };
        tokio::pin!(exchange, connection);
        tokio::select! {
            answer = &mut exchange => answer,
            ended = &mut connection => match ended {
                // The connection may end before the response has been read completely.
                Ok(()) => exchange.await,
                Err(error) => Err(FetchError::Http(error)),
            },
        }
    }
}
