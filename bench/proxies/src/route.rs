//! The ways of requests to the site: streams of the library, or a proxy.

use std::net::SocketAddr;

use bytes::Bytes;
use eepkit::Session;
use eepkit_bench_common::{Io, Outcome};
use http_body_util::Empty;
use hyper::{Request, header::HOST};
use tokio::net::TcpStream;

/// How requests reach the site.
#[derive(Clone)]
pub(crate) enum Route {
    /// Over streams of this session.
    Streams(Session),
    /// Over the HTTP proxy at this address.
    Proxy(SocketAddr),
}

impl Route {
    /// Opens a connection for requests.
    pub(crate) async fn open(&self, host: &str) -> Outcome<Box<dyn Io>> {
        Ok(match self {
            Self::Streams(session) => {
                Box::new(session.connect(format!("{host}:80").as_str()).await?)
            }
            Self::Proxy(proxy) => {
                let socket = TcpStream::connect(proxy).await?;
                socket.set_nodelay(true)?;
                Box::new(socket)
            }
        })
    }

    /// A request, in the form that the next hop expects.
    pub(crate) fn request(&self, host: &str, path: &str) -> Outcome<Request<Empty<Bytes>>> {
        let uri = match self {
            Self::Streams(_) => path.to_owned(),
            Self::Proxy(_) => format!("http://{host}{path}"),
        };
        let request = Request::get(uri).header(HOST, host);
        Ok(request.body(Empty::new())?)
    }
}
