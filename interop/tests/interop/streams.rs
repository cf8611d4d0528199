//! Tests of our streaming with that of other implementations, in both roles.

use std::{sync::Arc, time::Duration};

use eepkit::{ConnectOptions, Hash, SignatureType, Stream};
use eepkit_interop::Peer;
use libtest_mimic::{Failed, Trial};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::lab::{
    Lab, Outcome, STEP_LIMIT, connect, connect_with, noise, read_to_end, read_until, same,
};

/// The number of bytes that each side sends in the large exchange.
const MEBIBYTE: usize = 1 << 20;

pub(crate) fn add(lab: &Arc<Lab>, trials: &mut Vec<Trial>) {
    use Peer::{Emissary, I2pd};
    lab.add(
        trials,
        &[Emissary, I2pd],
        "both_send_a_mebibyte_when_we_connect",
        we_connect,
    );
    lab.add(
        trials,
        &[Emissary, I2pd],
        "both_send_a_mebibyte_when_they_connect",
        they_connect,
    );
    lab.add(
        trials,
        &[Emissary, I2pd],
        "we_read_all_data_sent_before_their_close",
        they_close,
    );
    lab.add(
        trials,
        &[Emissary, I2pd],
        "they_read_the_data_of_our_first_packet",
        early_data,
    );
    // i2pd delivers the last data without the end of the stream, and only as much as its buffer
    // holds. Other tests with it read everything before they close.
    lab.add(
        trials,
        &[Emissary],
        "they_read_all_data_sent_before_our_close",
        we_close,
    );
    // emissary does not answer pings.
    lab.add(trials, &[I2pd], "pings_are_answered", ping);
    // emissary opens sessions only for Ed25519 destinations.
    lab.add(
        trials,
        &[I2pd],
        "streams_from_every_signature_type_arrive",
        signature_types,
    );
}

async fn we_connect(lab: Arc<Lab>, peer: Peer) -> Outcome {
    let net = lab.net(peer).await?;
    let (session, sam) = tokio::try_join!(net.session(), net.sam())?;
    let accepting = sam.accept().await?;
    let stream = connect(&session, sam.destination()).await?;
    let (socket, from) = accepting.accepted(STEP_LIMIT).await?;
    same("who connected", from, session.destination().to_base64())?;
    same(
        "whom we reached",
        stream.peer().to_base64(),
        sam.destination().to_owned(),
    )?;
    both_send(stream, socket).await
}

async fn they_connect(lab: Arc<Lab>, peer: Peer) -> Outcome {
    let net = lab.net(peer).await?;
    let (session, sam) = tokio::try_join!(net.session(), net.sam())?;
    let listener = session.listen(0)?;
    let to = session.destination().to_base64();
    let (socket, stream) = tokio::join!(
        sam.connect(&to, STEP_LIMIT),
        timeout(STEP_LIMIT, listener.accept()),
    );
    let (socket, stream) = (socket?, stream??);
    same(
        "who connected",
        stream.peer().to_base64(),
        sam.destination().to_owned(),
    )?;
    both_send(stream, socket).await
}

/// Both sides send concurrently, and the hashes of the received data are compared. Then our side
/// closes, and the other side detects the end.
async fn both_send(stream: Stream, mut socket: TcpStream) -> Outcome {
    let (ours, theirs) = (noise(1, MEBIBYTE), noise(2, MEBIBYTE));
    let (mut reader, mut writer) = stream.into_split();
    let (mut their_reader, mut their_writer) = socket.split();
    let (arrived_here, arrived_there, (), ()) = tokio::try_join!(
        async { named("here", read_until(&mut reader, MEBIBYTE).await) },
        async { named("there", read_until(&mut their_reader, MEBIBYTE).await) },
        async {
            writer.write_all(&ours).await?;
            Ok(writer.flush().await?)
        },
        async { Ok(their_writer.write_all(&theirs).await?) },
    )?;
    same(
        "what we received",
        Hash::of(&arrived_here),
        Hash::of(&theirs),
    )?;
    same(
        "what they received",
        Hash::of(&arrived_there),
        Hash::of(&ours),
    )?;

    writer.shutdown().await?;
    let mut more = [0];
    let after = timeout(STEP_LIMIT, their_reader.read(&mut more)).await??;
    same("bytes after the end", after, 0)
}

fn named<T>(what: &str, result: Result<T, Failed>) -> Result<T, Failed> {
    result.map_err(|error| format!("{what}: {}", error.message().unwrap_or_default()).into())
}

async fn we_close(lab: Arc<Lab>, peer: Peer) -> Outcome {
    let net = lab.net(peer).await?;
    let (session, sam) = tokio::try_join!(net.session(), net.sam())?;
    let accepting = sam.accept().await?;
    let mut stream = connect(&session, sam.destination()).await?;
    let data = noise(3, 100_000);
    stream.write_all(&data).await?;
    stream.shutdown().await?;
    let (mut socket, _) = accepting.accepted(STEP_LIMIT).await?;
    let arrived = read_to_end(&mut socket).await?;
    same("what they received", Hash::of(&arrived), Hash::of(&data))
}

async fn they_close(lab: Arc<Lab>, peer: Peer) -> Outcome {
    let net = lab.net(peer).await?;
    let (session, sam) = tokio::try_join!(net.session(), net.sam())?;
    let accepting = sam.accept().await?;
    let mut stream = connect(&session, sam.destination()).await?;
    let (mut socket, _) = accepting.accepted(STEP_LIMIT).await?;
    let data = noise(4, 100_000);
    socket.write_all(&data).await?;
    drop(socket);
    let arrived = read_to_end(&mut stream).await?;
    same("what we received", Hash::of(&arrived), Hash::of(&data))
}

async fn early_data(lab: Arc<Lab>, peer: Peer) -> Outcome {
    let net = lab.net(peer).await?;
    let (session, sam) = tokio::try_join!(net.session(), net.sam())?;
    let accepting = sam.accept().await?;
    let options = ConnectOptions::new().early_data("GET / HTTP/1.0\r\n\r\n");
    let _stream = connect_with(&session, sam.destination(), &options).await?;
    let (mut socket, _) = accepting.accepted(STEP_LIMIT).await?;
    let mut arrived = [0; 18];
    timeout(STEP_LIMIT, socket.read_exact(&mut arrived)).await??;
    same("what they received", &arrived, b"GET / HTTP/1.0\r\n\r\n")
}

async fn ping(lab: Arc<Lab>, peer: Peer) -> Outcome {
    let net = lab.net(peer).await?;
    let (session, sam) = tokio::try_join!(net.session(), net.sam())?;
    // Pings to a peer whose lease set is unknown are lost.
    connect(&session, sam.destination()).await?;
    let round_trip = session.ping(sam.destination()).await?;
    if round_trip > Duration::from_secs(30) {
        return Err(format!("a round trip of {round_trip:?} over loopback").into());
    }
    Ok(())
}

/// i2pd verifies the signature of each first packet, so each type tests our signatures. i2pd since
/// 2.55 accepts messages of one new peer every 200 ms and drops others. Its I2CP since 2.54 then
/// sends that peer nothing more for two minutes.
const BETWEEN_NEW_PEERS: Duration = Duration::from_millis(300);

async fn signature_types(lab: Arc<Lab>, peer: Peer) -> Outcome {
    let types = [
        SignatureType::ECDSA_SHA256_P256,
        SignatureType::ECDSA_SHA384_P384,
        SignatureType::ECDSA_SHA512_P521,
        SignatureType::ED25519,
        SignatureType::REDDSA,
    ];
    let net = lab.net(peer).await?;
    let mut sessions = Vec::new();
    for kind in types {
        // All at once, because each waits for its tunnels.
        sessions.push(net.builder()?.signature_type(kind).start()?);
    }
    let sam = net.sam().await?;
    for (kind, session) in types.into_iter().zip(&sessions) {
        session.watch().ready(STEP_LIMIT).await?;
        if peer == Peer::I2pd {
            sleep(BETWEEN_NEW_PEERS).await;
        }
        let accepting = sam.accept().await?;
        let mut stream = connect(session, sam.destination()).await?;
        let (mut socket, from) = accepting.accepted(STEP_LIMIT).await?;
        same("who connected", from, session.destination().to_base64())?;
        stream.write_all(b"signed").await?;
        stream.flush().await?;
        let arrived = read_until(&mut socket, 6).await?;
        same(
            &format!("what arrived from {kind}"),
            arrived.as_slice(),
            b"signed".as_slice(),
        )?;
    }
    Ok(())
}
