//! One service over three protocols, on any `AsyncRead + AsyncWrite`. No type of eepkit is used
//! here.
//!
//! The service sums numbers: each request contains a number, and the response is the sum so far.

use std::{
    convert::Infallible,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::{Buf as _, Bytes, BytesMut};
use futures_util::{SinkExt as _, StreamExt as _};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::{
    accept_async, client_async,
    tungstenite::{Error as WebSocketError, Message},
};
use tokio_util::codec::{Decoder, Encoder, Framed};

/// The sum. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// Adds a number and returns the sum.
    pub fn add(&self, number: u64) -> u64 {
        self.0
            .fetch_add(number, Ordering::Relaxed)
            .wrapping_add(number)
    }
}

/// A codec of tokio-util: numbers of eight bytes, big-endian.
#[derive(Debug, Clone, Copy, Default)]
pub struct Numbers;

impl Decoder for Numbers {
    type Item = u64;
    type Error = io::Error;

    fn decode(&mut self, source: &mut BytesMut) -> io::Result<Option<u64>> {
        Ok((source.len() >= 8).then(|| source.get_u64()))
    }
}

impl Encoder<u64> for Numbers {
    type Error = io::Error;

    fn encode(&mut self, number: u64, target: &mut BytesMut) -> io::Result<()> {
        target.extend_from_slice(&number.to_be_bytes());
        Ok(())
    }
}

/// Serves a stream with the codec until it ends.
///
/// # Errors
///
/// Those of the stream.
pub async fn serve_codec<S>(stream: S, counter: &Counter) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut framed = Framed::new(stream, Numbers);
    while let Some(number) = framed.next().await {
        framed.send(counter.add(number?)).await?;
    }
    framed.close().await
}

/// Adds numbers with the codec, one after the other. Returns the last sum.
///
/// # Errors
///
/// Errors of the stream, and its premature end.
pub async fn add_by_codec<S>(stream: S, numbers: &[u64]) -> io::Result<u64>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut framed = Framed::new(stream, Numbers);
    let mut sum = 0;
    for number in numbers {
        framed.send(*number).await?;
        sum = framed.next().await.ok_or(io::ErrorKind::UnexpectedEof)??;
    }
    framed.close().await?;
    Ok(sum)
}

/// Serves a WebSocket until it ends. Messages are decimal numbers as text.
///
/// # Errors
///
/// Those of the WebSocket.
pub async fn serve_web_socket<S>(stream: S, counter: &Counter) -> Result<(), WebSocketError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut socket = accept_async(stream).await?;
    while let Some(message) = socket.next().await {
        if let Message::Text(text) = message? {
            let answer = match text.parse() {
                Ok(number) => counter.add(number).to_string(),
                Err(_) => "not a number".to_owned(),
            };
            socket.send(answer.into()).await?;
        }
    }
    Ok(())
}

/// Adds numbers over a WebSocket to `host`. Returns the last answer.
///
/// # Errors
///
/// Those of the WebSocket.
pub async fn add_by_web_socket<S>(
    stream: S,
    host: &str,
    numbers: &[u64],
) -> Result<String, WebSocketError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut socket, _) = client_async(format!("ws://{host}/"), stream).await?;
    let mut last = String::new();
    for number in numbers {
        socket.send(number.to_string().into()).await?;
        let answer = socket
            .next()
            .await
            .ok_or(WebSocketError::ConnectionClosed)??;
        last = answer.into_text()?.to_string();
    }
    socket.close(None).await?;
    Ok(last)
}

/// Serves HTTP/2. The request body is a decimal number, and the response body is the sum.
///
/// # Errors
///
/// Those of the connection.
pub async fn serve_http2<S>(stream: S, counter: &Counter) -> hyper::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(|request: Request<Incoming>| {
        let counter = counter.clone();
        async move { Ok::<_, Infallible>(count(request, &counter).await) }
    });
    hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service)
        .await
}

async fn count(request: Request<Incoming>, counter: &Counter) -> Response<Full<Bytes>> {
    let body = Limited::new(request.into_body(), MAX_BODY).collect().await;
    let number = body.ok().and_then(|body| {
        let bytes = body.to_bytes();
        str::from_utf8(&bytes).ok()?.parse().ok()
    });
    match number {
        Some(number) => Response::new(counter.add(number).to_string().into()),
        None => {
            let mut refused = Response::new(Full::default());
            *refused.status_mut() = hyper::StatusCode::BAD_REQUEST;
            refused
        }
    }
}

/// Adds numbers over HTTP/2 to `host`, all concurrently. Returns the largest sum.
///
/// # Errors
///
/// Those of the connection.
pub async fn add_by_http2<S>(stream: S, host: &str, numbers: &[u64]) -> hyper::Result<u64>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let requests = numbers.iter().map(|number| {
        let mut client = client.clone();
        let mut request = Request::new(Full::new(Bytes::from(number.to_string())));
        *request.method_mut() = hyper::Method::POST;
        *request.uri_mut() = format!("http://{host}/").parse().unwrap_or_default();
        async move {
            let response = client.send_request(request).await?;
            let body = response.into_body().collect().await?.to_bytes();
            let sum = str::from_utf8(&body)
                .ok()
                .and_then(|text| text.parse().ok());
            Ok::<u64, hyper::Error>(sum.unwrap_or(0))
        }
    });
    let sums = futures_util::future::try_join_all(requests).await?;
    drop(client);
    // The connection ends when its last client is dropped.
    connection.abort();
    Ok(sums.into_iter().max().unwrap_or(0))
}

/// The maximum length of a request body in bytes.
const MAX_BODY: usize = 64;
