//! Tests of one service over three protocols.

use eepkit::{Stream, sim::SimNet};
use eepkit_apps::counter::{
    Counter, add_by_codec, add_by_http2, add_by_web_socket, serve_codec, serve_http2,
    serve_web_socket,
};
use tokio::io::duplex;

use crate::{net, session};

const NUMBERS: [u64; 5] = [1, 20, 300, 4000, 50_000];
const SUM: u64 = 54_321;

/// Opens a stream between two sessions and returns both ends.
async fn streams(net: &SimNet) -> (Stream, Stream) {
    let (server, client) = (session(net).await, session(net).await);
    let listener = server.listen(1).expect("the port is free");
    let connecting = client.connect((server.destination(), 1));
    let (near, far) = tokio::join!(connecting, listener.accept());
    // The sessions live as long as their streams.
    (near.expect("connects"), far.expect("accepts"))
}

#[tokio::test(start_paused = true)]
async fn a_codec_runs_over_streams_and_over_anything_else() {
    let net = net().start();
    let (near, far) = streams(&net).await;
    let counter = Counter::default();
    let (served, sum) = tokio::join!(serve_codec(far, &counter), add_by_codec(near, &NUMBERS));
    served.unwrap();
    assert_eq!(sum.unwrap(), SUM);

    let (near, far) = duplex(64);
    let counter = Counter::default();
    let (served, sum) = tokio::join!(serve_codec(far, &counter), add_by_codec(near, &NUMBERS));
    served.unwrap();
    assert_eq!(sum.unwrap(), SUM);
}

#[tokio::test(start_paused = true)]
async fn a_web_socket_runs_over_streams() {
    let net = net().start();
    let (near, far) = streams(&net).await;
    let counter = Counter::default();
    let (served, sum) = tokio::join!(
        serve_web_socket(far, &counter),
        add_by_web_socket(near, "counter.i2p", &NUMBERS),
    );
    served.unwrap();
    assert_eq!(sum.unwrap(), SUM.to_string());
}

#[tokio::test(start_paused = true)]
async fn http2_runs_over_streams_with_concurrent_requests() {
    let net = net().start();
    let (near, far) = streams(&net).await;
    let counter = Counter::default();
    let serving = tokio::spawn({
        let counter = counter.clone();
        async move { serve_http2(far, &counter).await }
    });
    let sum = add_by_http2(near, "counter.i2p", &NUMBERS).await.unwrap();
    assert_eq!(sum, SUM);
    // The client determines how the connection ends.
    let _ = serving.await.unwrap();
    assert_eq!(counter.add(0), SUM);
}
