//! Servers with a handler for each stream, and listeners as streams.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use eepkit::{AcceptError, ConnectError, Handler, Stream, serve};
use futures_util::StreamExt as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::Notify,
};

use crate::lab::{Lab, Link, over_both_links, within};

over_both_links! {
    a_listener_is_a_stream_that_ends_with_its_session,
    handlers_serve_streams_concurrently,
    a_shutdown_waits_for_handlers_and_refuses_new_streams,
    a_shutdown_drops_handlers_at_its_limit,
    no_more_streams_are_served_than_allowed,
    a_panic_in_a_handler_affects_no_other,
    a_server_ends_with_its_session,
    both_ends_of_a_stream_have_an_address,
}

async fn echo(stream: Stream) -> io::Result<()> {
    let (mut reader, mut writer) = stream.into_split();
    tokio::io::copy(&mut reader, &mut writer).await?;
    writer.shutdown().await
}

async fn ask(stream: &mut Stream, text: &str) -> io::Result<String> {
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

async fn a_listener_is_a_stream_that_ends_with_its_session(link: Link) {
    let lab = Lab::new(link);
    let (client, server) = lab.pair().await;
    let mut listener = server.listen(7).expect("free");
    let calling = async {
        let mut streams = Vec::new();
        for _ in 0..3 {
            let to = (server.destination(), 7);
            streams.push(client.connect(to).await.expect("accepted"));
        }
        streams
    };
    let taking = async {
        let mut ports = Vec::new();
        for _ in 0..3 {
            let stream = listener.next().await.expect("not over").expect("no error");
            ports.push(stream.local_port());
        }
        ports
    };
    let (_streams, ports) = within(Duration::from_secs(10), async {
        tokio::join!(calling, taking)
    })
    .await;
    assert_eq!(ports, [7, 7, 7]);
    let (end, ()) = tokio::join!(listener.next(), server.close());
    assert!(end.is_none());
    assert!(listener.next().await.is_none());
}

async fn handlers_serve_streams_concurrently(link: Link) {
    let lab = Lab::new(link);
    let (client, session) = lab.pair().await;
    let server = serve(session.listen(7).expect("free"), echo).start();
    let to = (session.destination(), 7);
    let mut first = client.connect(to).await.expect("accepted");
    let mut second = client.connect(to).await.expect("accepted");
    // The first stream is still open while the second is served.
    assert_eq!(ask(&mut second, "two").await.expect("answers"), "two");
    assert_eq!(server.stats().active, 1);
    assert_eq!(ask(&mut first, "one").await.expect("answers"), "one");
    let drained = server.shutdown(Duration::from_secs(10)).await;
    assert_eq!(drained.aborted(), 0);
}

/// Waits until the server shuts down, and then sends a last message.
#[derive(Default)]
struct Polite {
    finish: Arc<Notify>,
    served: Mutex<u32>,
}

impl Handler for Polite {
    async fn handle(&self, mut stream: Stream) -> io::Result<()> {
        self.finish.notified().await;
        stream.write_all(b"goodbye").await?;
        *self.served.lock().expect("no panic") += 1;
        Ok(())
    }

    async fn shutdown(&self) {
        self.finish.notify_waiters();
    }
}

async fn a_shutdown_waits_for_handlers_and_refuses_new_streams(link: Link) {
    let lab = Lab::new(link);
    let (client, session) = lab.pair().await;
    let server = serve(session.listen(7).expect("free"), Polite::default()).start();
    let to = (session.destination(), 7);
    let mut stream = client.connect(to).await.expect("accepted");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let stats = server.stats();
    assert_eq!((stats.accepted, stats.active), (1, 1));

    let drained = within(
        Duration::from_secs(1),
        server.shutdown(Duration::from_secs(30)),
    )
    .await;
    assert_eq!(drained.aborted(), 0);
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("ends well");
    assert_eq!(text, "goodbye");
    let error = client.connect(to).await.expect_err("nobody listens");
    assert!(
        matches!(error, ConnectError::Refused { port: 7 }),
        "{error:?}"
    );
}

async fn a_shutdown_drops_handlers_at_its_limit(link: Link) {
    let lab = Lab::new(link);
    let (client, session) = lab.pair().await;
    let stuck = |_stream| std::future::pending();
    let server = serve(session.listen(7).expect("free"), stuck).start();
    let mut stream = client
        .connect((session.destination(), 7))
        .await
        .expect("accepted");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let limit = Duration::from_secs(5);
    let drained = within(2 * limit, server.shutdown(limit)).await;
    assert_eq!(drained.aborted(), 1);
    // Dropping a stream closes it.
    assert_eq!(stream.read(&mut [0; 8]).await.expect("closed"), 0);
}

async fn no_more_streams_are_served_than_allowed(link: Link) {
    let lab = Lab::new(link);
    let (client, session) = lab.pair().await;
    let server = serve(session.listen(7).expect("free"), echo)
        .max_streams(1)
        .start();
    let to = (session.destination(), 7);
    let mut first = client.connect(to).await.expect("accepted");
    let second = async {
        let mut second = client.connect(to).await.expect("accepted in the end");
        ask(&mut second, "two").await.expect("answers")
    };
    let first = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(server.stats().accepted, 1);
        ask(&mut first, "one").await.expect("answers")
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!((first.as_str(), second.as_str()), ("one", "two"));
    assert_eq!(server.stats().accepted, 2);
}

async fn a_panic_in_a_handler_affects_no_other(link: Link) {
    let lab = Lab::new(link);
    let (client, session) = lab.pair().await;
    let picky = async |mut stream: Stream| {
        let mut text = [0; 3];
        stream.read_exact(&mut text).await?;
        assert_ne!(&text, b"bad");
        if &text == b"odd" {
            return Err(io::ErrorKind::InvalidData.into());
        }
        stream.write_all(&text).await
    };
    let picky = Arc::new(picky);
    let handler = move |stream| {
        let picky = picky.clone();
        async move { picky(stream).await }
    };
    let server = serve(session.listen(7).expect("free"), handler).start();
    for text in ["bad", "odd", "fun"] {
        let to = (session.destination(), 7);
        let mut stream = client.connect(to).await.expect("accepted");
        let answer = ask(&mut stream, text).await;
        assert_eq!(answer.is_ok_and(|answer| answer == text), text == "fun");
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let stats = server.stats();
    assert_eq!((stats.accepted, stats.active), (3, 0));
    assert_eq!((stats.failed, stats.panicked), (1, 1));
}

async fn a_server_ends_with_its_session(link: Link) {
    let lab = Lab::new(link);
    let session = lab.session().await;
    let server = serve(session.listen(7).expect("free"), echo).start();
    let (reason, (), ()) = tokio::join!(server.finished(), session.close(), session.closed());
    assert!(matches!(reason, AcceptError::Closed), "{reason:?}");
}

async fn both_ends_of_a_stream_have_an_address(link: Link) {
    let ends = Lab::new(link).stream().await;
    assert_eq!(ends.near.peer_addr(), ends.far.local_addr());
    assert_eq!(ends.near.local_addr(), ends.far.peer_addr());
    let to = ends.near.peer_addr();
    assert_eq!(
        (to.destination(), to.port()),
        (ends.server.destination(), 1)
    );
    // Both the text and the value convert to an address.
    let text: eepkit::Address = to.to_string().parse().expect("an address");
    assert_eq!(text.port, 1);
    let error = ends
        .client
        .connect(&to)
        .await
        .expect_err("no listener left");
    assert!(
        matches!(error, ConnectError::Refused { port: 1 }),
        "{error:?}"
    );
}
