//! Code that is generic over tokio's traits, used with streams: codecs, copying, WebSocket, HTTP/2.

use std::{convert::Infallible, time::Duration};

use eepkit::Stream;
use futures_util::{SinkExt as _, StreamExt as _};
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, body::Bytes, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::AsyncWriteExt as _;
use tokio_tungstenite::{WebSocketStream, tungstenite::Message, tungstenite::protocol::Role};
use tokio_util::codec::{Framed, LengthDelimitedCodec, LinesCodec};

use crate::lab::{Lab, Link, join, over_both_links, receive, send, within};

over_both_links! {
    codecs_frame_a_stream,
    streams_are_copied_in_both_directions,
    web_sockets_exchange_messages,
    http2_requests_share_a_stream,
}

async fn codecs_frame_a_stream(link: Link) {
    let ends = Lab::new(link).stream().await;
    let mut near = Framed::new(ends.near, LinesCodec::new_with_max_length(100));
    let mut far = Framed::new(ends.far, LinesCodec::new_with_max_length(100));
    near.send("one").await.expect("open");
    near.send("two").await.expect("open");
    assert_eq!(far.next().await.expect("a line").expect("read"), "one");
    assert_eq!(far.next().await.expect("a line").expect("read"), "two");

    // The same stream continues with another codec.
    let mut near = near.map_codec(|_| LengthDelimitedCodec::new());
    let mut far = far.map_codec(|_| LengthDelimitedCodec::new());
    let long = Bytes::from(vec![7; 100_000]);
    let (sent, got) = tokio::join!(near.send(long.clone()), far.next());
    sent.expect("open");
    assert_eq!(got.expect("a frame").expect("read"), long);
    near.get_mut().shutdown().await.expect("open");
    assert!(far.next().await.is_none());
}

/// A proxy copies between a stream that it accepts and one that it opens.
async fn streams_are_copied_in_both_directions(link: Link) {
    const LEN: u64 = 300_000;
    let lab = Lab::new(link);
    let (client, proxy) = lab.pair().await;
    let server = lab.session().await;
    let outside = proxy.listen(80).expect("free");
    let inside = server.listen(8080).expect("free");
    let (near, mut accepted) = join(&client, (proxy.destination(), 80), &outside).await;
    let (mut opened, far) = join(&proxy, (server.destination(), 8080), &inside).await;

    let copying = tokio::io::copy_bidirectional(&mut accepted, &mut opened);
    let exchange = |stream: Stream| async move {
        let (mut reader, mut writer) = stream.into_split();
        let sending = async {
            send(&mut writer, LEN).await?;
            writer.shutdown().await
        };
        let (sent, received) = tokio::join!(sending, receive(&mut reader));
        sent.expect("open");
        received.expect("ends well")
    };
    let all = async { tokio::join!(copying, exchange(near), exchange(far)) };
    let (copied, at_client, at_server) = within(Duration::from_secs(120), all).await;
    assert_eq!(copied.expect("both end well"), (LEN, LEN));
    assert_eq!((at_client, at_server), (LEN, LEN));
}

async fn web_sockets_exchange_messages(link: Link) {
    let ends = Lab::new(link).stream().await;
    let (near, far) = tokio::join!(
        tokio_tungstenite::client_async("ws://chat.i2p/", ends.near),
        tokio_tungstenite::accept_async(ends.far),
    );
    let (mut near, response) = near.expect("it is a server");
    assert_eq!(response.status(), 101);
    let mut far: WebSocketStream<Stream> = far.expect("it is a client");
    let hello = Message::text("Hello I2P!");
    near.send(hello.clone()).await.expect("open");
    assert_eq!(far.next().await.expect("open").expect("read"), hello);
    let long = Message::binary(vec![1; 70_000]);
    let (sent, got) = tokio::join!(far.send(long.clone()), near.next());
    sent.expect("open");
    assert_eq!(got.expect("open").expect("read"), long);
    near.close(None).await.expect("open");
    assert!(far.next().await.expect("a frame").expect("read").is_close());

    // The handshake may also be performed by other code, for example by axum.
    let stream = far.into_inner();
    drop(WebSocketStream::from_raw_socket(stream, Role::Server, None).await);
}

async fn http2_requests_share_a_stream(link: Link) {
    let ends = Lab::new(link).stream().await;
    let service = service_fn(async |request: Request<hyper::body::Incoming>| {
        let path = request.uri().path().to_owned();
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(path))))
    });
    let serving = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(ends.far), service);
    let serving = tokio::spawn(serving);

    let io = TokioIo::new(ends.near);
    let (client, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io)
        .await
        .expect("HTTP/2");
    let connection = tokio::spawn(connection);
    let get = |path: &'static str| {
        let mut client = client.clone();
        async move {
            let request = Request::get(format!("http://server.i2p{path}"))
                .body(Full::<Bytes>::default())
                .expect("valid");
            let response = client.send_request(request).await.expect("answers");
            let body = response.into_body().collect().await.expect("whole");
            body.to_bytes()
        }
    };
    let (one, two) = tokio::join!(get("/one"), get("/two"));
    assert_eq!((&one[..], &two[..]), (&b"/one"[..], &b"/two"[..]));
    drop(client);
    connection.await.expect("no panic").expect("ends well");
    serving.await.expect("no panic").expect("ends well");
}
