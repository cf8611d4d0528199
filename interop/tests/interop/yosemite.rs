//! Tests of our bridge with yosemite, the SAM library of the emissary project, unmodified.
//!
//! What yosemite calls the destination of a session is the content of the answer to SESSION CREATE,
//! its private keys. Programs with yosemite send these to their peers, and these tests do the same.

use std::{sync::Arc, time::Duration};

use eepkit::{Destination, Hash, PrivateKeys};
use libtest_mimic::{Failed, Trial};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    time::timeout,
};
use yosemite::{
    DatagramOptions, DestinationKind, Error, I2pError, ProtocolError, RouterApi, Session,
    SessionOptions, StreamOptions,
    style::{Anonymous, Primary, Repliable, Stream, Subsession},
};

use crate::{
    bridges::Place,
    lab::{Lab, Outcome, STEP_LIMIT, noise, same},
};

/// The number of bytes that each side sends in the large exchange.
const MEBIBYTE: usize = 1 << 20;

/// How long a datagram may take before it is sent again. Chosen because the first one to a peer
/// waits for a look-up.
const RESEND: Duration = Duration::from_secs(10);

pub(crate) fn add(lab: &Arc<Lab>, trials: &mut Vec<Trial>) {
    macro_rules! add {
        ($($name:ident),* $(,)?) => {
            $(lab.add_client(trials, concat!("yosemite::", stringify!($name)), None, $name);)*
        };
    }
    add!(
        both_sides_of_a_stream_send_a_mebibyte,
        several_streams_of_two_sessions_are_open_at_once,
        streams_report_their_ports,
        a_session_can_be_opened_again_with_its_keys,
        streams_are_forwarded_with_the_peers_destination,
        streams_are_forwarded_silently,
        repliable_datagrams_are_answered,
        anonymous_datagrams_arrive,
        datagrams_with_options_arrive,
        subsessions_share_a_destination,
        unknown_destinations_are_reported,
    );
}

fn options(at: Place) -> SessionOptions {
    SessionOptions {
        samv3_tcp_port: at.tcp.port(),
        samv3_udp_port: at.udp.port(),
        ..Default::default()
    }
}

async fn session<S: yosemite::style::SessionStyle>(at: Place) -> Result<Session<S>, Failed> {
    Ok(timeout(STEP_LIMIT, Session::new(options(at))).await??)
}

/// Opens two sessions on two routers, one that accepts and one that connects.
async fn pair<S: yosemite::style::SessionStyle>(
    lab: &Lab,
) -> Result<(Session<S>, Session<S>), Failed> {
    let bridges = lab.bridges().await?;
    tokio::try_join!(session(bridges.first()), session(bridges.second()))
}

/// Returns the destination of a session's private keys.
fn public(keys: &str) -> Result<Destination, Failed> {
    Ok(PrivateKeys::from_base64(keys)?.destination().clone())
}

async fn both_sides_of_a_stream_send_a_mebibyte(lab: Arc<Lab>) -> Outcome {
    let (mut server, mut client) = pair::<Stream>(&lab).await?;
    let to = server.destination().to_owned();
    let (accepted, connected) = timeout(STEP_LIMIT, async {
        tokio::try_join!(server.accept(), client.connect(&to))
    })
    .await??;
    let (mut their_read, mut their_write) = accepted.split().ok_or("halves")?;
    let (mut our_read, mut our_write) = connected.split().ok_or("halves")?;
    let (ours, theirs) = (noise(1, MEBIBYTE), noise(2, MEBIBYTE));
    let (mut here, mut there) = (vec![0; MEBIBYTE], vec![0; MEBIBYTE]);
    timeout(STEP_LIMIT, async {
        tokio::try_join!(
            our_write.write_all(&ours),
            their_write.write_all(&theirs),
            our_read.read_exact(&mut here),
            their_read.read_exact(&mut there),
        )
    })
    .await??;
    same("here", Hash::of(&here), Hash::of(&theirs))?;
    same("there", Hash::of(&there), Hash::of(&ours))?;
    // When one side closes, the other detects the end.
    drop((our_write, our_read));
    let more = timeout(STEP_LIMIT, their_read.read(&mut here)).await??;
    same("bytes after the end", more, 0)
}

async fn several_streams_of_two_sessions_are_open_at_once(lab: Arc<Lab>) -> Outcome {
    const STREAMS: usize = 4;
    let (mut server, mut client) = pair::<Stream>(&lab).await?;
    let mut other = session::<Stream>(lab.bridges().await?.second()).await?;
    let to = public(server.destination())?;
    let by_name = to.to_b32();
    let by_key = to.to_base64();
    let echo = tokio::spawn(async move {
        let mut echoes = Vec::new();
        for _ in 0..2 * STREAMS {
            let stream = server.accept().await?;
            echoes.push(tokio::spawn(async move {
                let (mut read, mut write) = stream.split().expect("tokio's sockets split");
                tokio::io::copy(&mut read, &mut write).await
            }));
        }
        for echo in echoes {
            echo.await.expect("echoes do not panic")?;
        }
        yosemite::Result::Ok(server)
    });
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        // Concurrently, with one pending accept at a time.
        let (one, another) = timeout(STEP_LIMIT, async {
            tokio::try_join!(client.connect(&by_name), other.connect(&by_key))
        })
        .await??;
        streams.extend([one, another]);
    }
    for (number, stream) in (0_u64..).zip(&mut streams) {
        stream.write_all(&noise(number, 5_000)).await?;
    }
    for (number, stream) in (0_u64..).zip(&mut streams) {
        let mut back = vec![0; 5_000];
        timeout(STEP_LIMIT, stream.read_exact(&mut back)).await??;
        same("what came back", back == noise(number, 5_000), true)?;
    }
    drop(streams);
    timeout(STEP_LIMIT, echo).await???;
    Ok(())
}

async fn streams_report_their_ports(lab: Arc<Lab>) -> Outcome {
    let (mut server, mut client) = pair::<Stream>(&lab).await?;
    let to = server.destination().to_owned();
    let ports = StreamOptions {
        src_port: 1024,
        dst_port: 80,
    };
    let (accepted, _connected) = timeout(STEP_LIMIT, async {
        tokio::try_join!(server.accept(), client.connect_with_options(&to, ports))
    })
    .await??;
    let from = public(client.destination())?.to_base64();
    same(
        "the line that tells the peer",
        accepted.remote_destination(),
        &format!("{from} FROM_PORT=1024 TO_PORT=80"),
    )
}

async fn a_session_can_be_opened_again_with_its_keys(lab: Arc<Lab>) -> Outcome {
    let at = lab.bridges().await?.first();
    let router = RouterApi::new(at.tcp.port());
    let (destination, private_key) = timeout(STEP_LIMIT, router.generate_destination()).await??;
    let options = SessionOptions {
        destination: DestinationKind::Persistent {
            private_key: private_key.clone(),
        },
        ..options(at)
    };
    // The second session is opened after the first one has ended.
    for _ in 0..2 {
        let session = Session::<Stream>::new(options.clone());
        let session = timeout(STEP_LIMIT, session).await??;
        same("its keys", session.destination(), private_key.as_str())?;
        let b32 = Destination::from_base64(&destination)?.to_b32();
        let found = timeout(STEP_LIMIT, router.lookup_name(&b32)).await??;
        same("what its address says", &found, &destination)?;
    }
    Ok(())
}

async fn streams_are_forwarded_with_the_peers_destination(lab: Arc<Lab>) -> Outcome {
    forward(&lab, false).await
}

async fn streams_are_forwarded_silently(lab: Arc<Lab>) -> Outcome {
    forward(&lab, true).await
}

async fn forward(lab: &Lab, silent: bool) -> Outcome {
    let bridges = lab.bridges().await?;
    let server = SessionOptions {
        silent_forward: silent,
        ..options(bridges.first())
    };
    let server = async { Ok(timeout(STEP_LIMIT, Session::<Stream>::new(server)).await??) };
    let (mut server, mut client) = tokio::try_join!(server, session::<Stream>(bridges.second()))?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    server.forward(listener.local_addr()?.port()).await?;
    let to = server.destination().to_owned();
    for round in 0..3 {
        let connected = timeout(STEP_LIMIT, client.connect(&to)).await??;
        let (mut our_read, mut our_write) = connected.split().ok_or("halves")?;
        let (mut socket, _) = timeout(STEP_LIMIT, listener.accept()).await??;
        if !silent {
            let from = public(client.destination())?.to_base64();
            let line = format!("{from} FROM_PORT=0 TO_PORT=0\n");
            let mut header = vec![0; line.len()];
            timeout(STEP_LIMIT, socket.read_exact(&mut header)).await??;
            same("the peer", String::from_utf8(header)?, line)?;
        }
        let data = noise(round, 10_000);
        let mut arrived = vec![0; data.len()];
        our_write.write_all(&data).await?;
        timeout(STEP_LIMIT, socket.read_exact(&mut arrived)).await??;
        same("what arrived", arrived == data, true)?;
        socket.write_all(&data).await?;
        timeout(STEP_LIMIT, our_read.read_exact(&mut arrived)).await??;
        same("what came back", arrived == data, true)?;
    }
    Ok(())
}

async fn repliable_datagrams_are_answered(lab: Arc<Lab>) -> Outcome {
    let (server, mut client) = pair::<Repliable>(&lab).await?;
    let to = server.destination().to_owned();
    // The server answers to the reported sender, so an answer proves that the reported sender is
    // correct.
    let echo = tokio::spawn(echo(server));
    for number in 0..3 {
        let data = noise(number, 1_000);
        let answer = exchange(&mut client, &to, &data).await?;
        same("the answer", answer == data, true)?;
    }
    echo.abort();
    Ok(())
}

/// Echoes datagrams until an error occurs.
async fn echo(mut session: Session<Repliable>) -> Error {
    let mut buffer = [0; 4096];
    loop {
        let (len, peer) = match session.recv_from(&mut buffer).await {
            Ok(received) => received,
            Err(error) => return error,
        };
        if let Err(error) = session.send_to(&buffer[..len], &peer).await {
            return error;
        }
    }
}

/// Sends a datagram until it is answered.
async fn exchange(
    client: &mut Session<Repliable>,
    to: &str,
    data: &[u8],
) -> Result<Vec<u8>, Failed> {
    let mut buffer = [0; 4096];
    for _ in 0..3 {
        client.send_to(data, to).await?;
        if let Ok(received) = timeout(RESEND, client.recv_from(&mut buffer)).await {
            let (len, peer) = received?;
            same("who answers", peer, public(to)?.to_base64())?;
            return Ok(buffer[..len].to_vec());
        }
    }
    Err("no answer to three datagrams".into())
}

async fn anonymous_datagrams_arrive(lab: Arc<Lab>) -> Outcome {
    let (mut server, mut client) = pair::<Anonymous>(&lab).await?;
    let to = server.destination().to_owned();
    for number in 0..3 {
        let data = noise(number, 1_000);
        client.send_to(&data, &to).await?;
        let arrived = receive(&mut server).await?;
        same("what arrived", arrived == data, true)?;
    }
    Ok(())
}

/// yosemite sends the options as words without names, which have no meaning for a bridge.
async fn datagrams_with_options_arrive(lab: Arc<Lab>) -> Outcome {
    let (mut server, mut client) = pair::<Anonymous>(&lab).await?;
    let to = server.destination().to_owned();
    let data = noise(7, 100);
    client
        .send_to_with_options(&data, &to, DatagramOptions::default())
        .await?;
    let arrived = receive(&mut server).await?;
    same("what arrived", arrived == data, true)
}

async fn receive(server: &mut Session<Anonymous>) -> Result<Vec<u8>, Failed> {
    let mut buffer = [0; 4096];
    let len = timeout(STEP_LIMIT, server.recv(&mut buffer)).await??;
    Ok(buffer[..len].to_vec())
}

async fn subsessions_share_a_destination(lab: Arc<Lab>) -> Outcome {
    let bridges = lab.bridges().await?;
    let (mut primary, mut streams, datagrams) = tokio::try_join!(
        session::<Primary>(bridges.first()),
        session::<Stream>(bridges.second()),
        session::<Repliable>(bridges.second()),
    )?;
    let mut stream_part = subsession::<Stream>(&mut primary, bridges.first()).await?;
    let mut datagram_part = subsession::<Repliable>(&mut primary, bridges.first()).await?;
    let me = public(primary.destination())?.to_base64();

    // From the subsessions to other sessions.
    let to = streams.destination().to_owned();
    let (mut accepted, mut connected) = timeout(STEP_LIMIT, async {
        tokio::try_join!(streams.accept(), stream_part.connect(&to))
    })
    .await??;
    let peer = accepted.remote_destination().to_owned();
    same("who connects", peer.split(' ').next(), Some(me.as_str()))?;
    let mut word = [0; 5];
    connected.write_all(b"hello").await?;
    timeout(STEP_LIMIT, accepted.read_exact(&mut word)).await??;
    same("what a stream carries", &word, b"hello")?;

    let to = datagrams.destination().to_owned();
    let echo = tokio::spawn(echo(datagrams));
    let answer = exchange(&mut datagram_part, &to, b"datagram").await?;
    same(
        "what a datagram carries",
        answer.as_slice(),
        b"datagram".as_slice(),
    )?;
    echo.abort();

    // From other sessions to the subsessions.
    let (_accepted, _connected) = timeout(STEP_LIMIT, async {
        tokio::try_join!(stream_part.accept(), streams.connect(&me))
    })
    .await??;
    Ok(())
}

async fn subsession<S: Subsession>(
    primary: &mut Session<Primary>,
    at: Place,
) -> Result<Session<S>, Failed> {
    Ok(timeout(STEP_LIMIT, primary.create_subsession::<S>(options(at))).await??)
}

async fn unknown_destinations_are_reported(lab: Arc<Lab>) -> Outcome {
    let at = lab.bridges().await?.first();
    let nobody = Hash::of(b"nobody has keys for this").to_b32();
    let mut session = session::<Stream>(at).await?;
    let router = RouterApi::new(at.tcp.port());
    let connected = timeout(STEP_LIMIT, session.connect(&nobody)).await?;
    same(
        "connecting",
        router_error(connected),
        Some(I2pError::CantReachPeer),
    )?;
    let found = timeout(STEP_LIMIT, router.lookup_name("nobody.i2p")).await?;
    same(
        "looking up",
        router_error(found),
        Some(I2pError::KeyNotFound),
    )?;
    // The session still works.
    let me = public(session.destination())?.to_b32();
    let found = timeout(STEP_LIMIT, router.lookup_name(&me)).await??;
    same("who I am", Destination::from_base64(&found)?.to_b32(), me)
}

fn router_error<T>(result: yosemite::Result<T>) -> Option<I2pError> {
    match result {
        Err(Error::Protocol(ProtocolError::Router(error))) => Some(error),
        _ => None,
    }
}
