//! Requirements on a session over SAM, whatever router the bridge belongs to.
//!
//! The same set runs over eepkit's bridge on a simulated network, and over the bridges of i2pd and
//! emissary.

use std::time::Duration;

use eepkit::{
    ClaimedSender, DatagramSocket, ErrorKind, Format, PingError, ReceiveError, ReceivedDatagram,
    SendError, Session,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};

/// The length of a stream that exceeds every buffer between the ends, in bytes.
const LONG: usize = 300 * 1024;

/// The time limit of each step.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

/// A stream carries bytes in both directions, and each side gets the destination of the other.
pub(crate) async fn streams_carry_bytes_both_ways(client: &Session, server: &Session) {
    let listener = server.listen(0).expect("nobody listens yet");
    let serving = async {
        let mut stream = listener.accept().await.expect("a stream comes");
        assert_eq!(stream.peer(), client.destination());
        let mut bytes = vec![0; LONG];
        stream.read_exact(&mut bytes).await.expect("they arrive");
        stream.write_all(&bytes).await.expect("they leave");
        stream.flush().await.expect("they leave");
        // i2pd closes both directions as soon as one is closed, so the client closes first.
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        assert!(rest.is_empty());
    };
    let asking = async {
        let mut stream = client
            .connect(server.destination())
            .await
            .expect("it listens");
        assert_eq!(stream.peer(), server.destination());
        let sent: Vec<u8> = (0..LONG).map(|number| (number * 7 / 3) as u8).collect();
        let (mut reader, mut writer) = tokio::io::split(&mut stream);
        let mut got = vec![0; LONG];
        let (written, read) = tokio::join!(writer.write_all(&sent), reader.read_exact(&mut got));
        written.expect("they leave");
        read.expect("they come back");
        assert!(sent == got, "other bytes came back");
    };
    timeout(LIMIT, async { tokio::join!(serving, asking) })
        .await
        .expect("done in time");
}

/// Several streams are accepted, one after another or at once.
pub(crate) async fn several_streams_are_accepted(
    client: &Session,
    server: &Session,
    at_once: usize,
) {
    let listener = server.listen(0).expect("nobody listens any more");
    let serving = async {
        let mut ends = Vec::new();
        for _ in 0..6 {
            let mut stream = listener.accept().await.expect("a stream comes");
            ends.push(tokio::spawn(async move {
                let mut byte = [0];
                stream.read_exact(&mut byte).await.expect("it arrives");
                stream.write_all(&byte).await.expect("it leaves");
                let _ = stream.read(&mut byte).await;
            }));
        }
        for end in ends {
            end.await.expect("no panic");
        }
    };
    let asking = async {
        for first in (0..6_u8).step_by(at_once) {
            let mut those = tokio::task::JoinSet::new();
            for number in first..first + at_once as u8 {
                let (client, to) = (client.clone(), server.destination().clone());
                those.spawn(async move {
                    let mut stream = client.connect(&to).await.expect("it listens");
                    stream.write_all(&[number]).await.expect("it leaves");
                    let mut byte = [0];
                    stream.read_exact(&mut byte).await.expect("it comes back");
                    assert_eq!(byte, [number]);
                });
            }
            while let Some(done) = those.join_next().await {
                done.expect("no panic");
            }
            // A bridge with one ACCEPT at a time needs a moment to start the next.
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    timeout(LIMIT, async { tokio::join!(serving, asking) })
        .await
        .expect("done in time");
}

/// A destination is found by its address. An unknown name is not found.
pub(crate) async fn names_are_looked_up(client: &Session, server: &Session) {
    let own = client.lookup(client.destination().hash()).await;
    assert_eq!(own.as_ref().ok(), Some(client.destination()));
    let found = client.lookup(server.destination().to_b32()).await;
    assert_eq!(found.as_ref().ok(), Some(server.destination()), "{found:?}");
    let missing = client.lookup("nobody-has-this-name.i2p").await;
    let kind = missing.expect_err("nobody has it").kind();
    assert_eq!(kind, ErrorKind::NameNotFound);
}

/// A ping is immediately refused with a reason.
pub(crate) async fn pings_are_refused(client: &Session, server: &Session) {
    let pinged = client.ping(server.destination()).await;
    assert!(matches!(pinged, Err(PingError::Unsupported)), "{pinged:?}");
}

/// A datagram arrives and is answered. Its sender is reported as far as the format and the router
/// support it. `proven` is whether the router authenticates the sender of a signed datagram.
///
/// Returns the reason if the router does not support datagrams of this format.
pub(crate) async fn datagrams_arrive(
    client: &Session,
    server: &Session,
    format: Format,
    proven: bool,
) -> Result<(), String> {
    let here = server.datagrams(format).bind(0).expect("it is free");
    let there = client.datagrams(format).bind(0).expect("it is free");
    let asking = || there.send_to(b"are you there", server.destination());
    let received = arrives(&here, asking).await?;
    assert_eq!(received.payload().as_ref(), b"are you there");
    let claimed = received.claimed_sender().map(ClaimedSender::hash);
    match (format, proven) {
        (Format::Raw, _) => {
            assert_eq!((received.sender(), claimed), (None, None));
            return Ok(());
        }
        (Format::Datagram3, _) | (_, false) => {
            assert_eq!(received.sender(), None);
            assert_eq!(claimed, Some(client.destination().hash()));
        }
        (_, true) => assert_eq!(received.sender(), Some(client.destination())),
    }
    let answer = arrives(&there, || here.reply(&received, b"I am")).await?;
    assert_eq!(answer.payload().as_ref(), b"I am");
    Ok(())
}

/// Sends until a datagram arrives, because datagrams can be lost, most often the first.
async fn arrives<F>(at: &DatagramSocket, send: impl Fn() -> F) -> Result<ReceivedDatagram, String>
where
    F: Future<Output = Result<(), SendError>>,
{
    let receiving = async {
        match at.recv_from().await {
            Ok(received) => Ok(received),
            Err(ReceiveError::Unsupported(why)) => Err(why),
            Err(error) => panic!("{error}"),
        }
    };
    let sending = async {
        loop {
            if let Err(error) = send().await {
                return error.to_string();
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    let arrived = timeout(LIMIT, async {
        tokio::select! {
            received = receiving => received,
            error = sending => Err(error),
        }
    });
    arrived.await.expect("done in time")
}
