//! Tests of our datagrams with those of other implementations, and over other routers.

use std::{sync::Arc, time::Duration};

use eepkit::{DatagramSocket, Dialect, Error, Format, ReceivedDatagram};
use eepkit_interop::{Peer, SamDatagram, SamDatagrams};
use libtest_mimic::{Failed, Trial};
use tokio::{
    io::AsyncWriteExt as _,
    time::{Instant, timeout},
};

use crate::lab::{Lab, Outcome, STEP_LIMIT, connect, read_to_end, same};

pub(crate) fn add(lab: &Arc<Lab>, trials: &mut Vec<Trial>) {
    use Peer::{Emissary, I2pd};
    let all = &[Emissary, I2pd];
    lab.add(trials, all, "raw_datagrams_cross_both_ways", raw);
    lab.add(trials, all, "datagram1_crosses_both_ways", datagram1);
    lab.add(
        trials,
        all,
        "datagram2_of_theirs_is_in_their_dialect",
        their_datagram2,
    );
    lab.add(
        trials,
        all,
        "all_formats_and_a_stream_share_two_destinations",
        ours_to_ours,
    );
}

/// How long a datagram is awaited before it is sent again, because datagrams are lost, mostly the
/// first ones between two new destinations.
const ANSWER: Duration = Duration::from_secs(4);

async fn raw(lab: Arc<Lab>, peer: Peer) -> Outcome {
    both_ways(lab, peer, Format::Raw, "RAW").await
}

async fn datagram1(lab: Arc<Lab>, peer: Peer) -> Outcome {
    both_ways(lab, peer, Format::Datagram1, "DATAGRAM").await
}

async fn both_ways(lab: Arc<Lab>, peer: Peer, format: Format, style: &str) -> Outcome {
    let net = lab.net(peer).await?;
    let (session, mut sam) = tokio::try_join!(net.session(), net.sam_datagrams(style))?;
    let socket = session.datagrams(format).bind(0)?;
    let ours = session.destination().to_base64();

    let received = they_send(&mut sam, &ours, b"from them", &socket).await?;
    same(
        "what we received",
        received.payload().as_ref(),
        b"from them",
    )?;
    let sender = received.sender().map(eepkit::Destination::to_base64);
    let expected = format
        .is_authenticated()
        .then(|| sam.destination().to_owned());
    same("who we think it is from", sender, expected)?;

    let received = we_send(&socket, b"from us", &mut sam).await?;
    same("what they received", received.payload, b"from us".to_vec())?;
    let expected = format.is_authenticated().then_some(ours);
    same("who they think it is from", received.from, expected)
}

async fn their_datagram2(lab: Arc<Lab>, peer: Peer) -> Outcome {
    let net = lab.net(peer).await?;
    let (session, sam) = tokio::join!(net.session(), net.sam_datagrams("DATAGRAM2"));
    let session = session?;
    let mut sam = match sam {
        // i2pd supports this style since 2.58.
        Err(error) if format!("{error:?}").contains("Unknown STYLE") => return Ok(()),
        sam => sam?,
    };
    let dialect = match peer {
        Peer::I2pd => Dialect::I2pd,
        Peer::Emissary => Dialect::Emissary,
    };
    let ours = session.destination().to_base64();
    let strict = session.datagrams(Format::Datagram2).bind(0)?;
    let deadline = Instant::now() + STEP_LIMIT;
    while strict.stats().other_dialect == 0 {
        if Instant::now() > deadline {
            return Err(format!("no datagram in their dialect: {:?}", strict.stats()).into());
        }
        sam.send(&ours, b"from them").await?;
        // No datagram is accepted. Reading verifies them.
        if let Ok(taken) = timeout(ANSWER, strict.recv_from()).await {
            return Err(format!("taken although not as specified: {taken:?}").into());
        }
    }
    drop(strict);
    let builder = session.datagrams(Format::Datagram2);
    let lenient = builder.accept_dialect(dialect).bind(0)?;
    let received = they_send(&mut sam, &ours, b"from them", &lenient).await?;
    same(
        "what we received",
        received.payload().as_ref(),
        b"from them",
    )?;
    same(
        "who sent it",
        received.sender().map(eepkit::Destination::to_base64),
        Some(sam.destination().to_owned()),
    )?;
    if peer == Peer::Emissary {
        // The router does not support Datagram2.
        return Ok(());
    }
    let received = we_send(&lenient, b"as specified", &mut sam).await?;
    same(
        "what they received",
        received.payload,
        b"as specified".to_vec(),
    )
}

async fn ours_to_ours(lab: Arc<Lab>, peer: Peer) -> Outcome {
    let net = lab.net(peer).await?;
    // Both are on one router: the network between them is the same, and i2pd needs both lease sets.
    let (client, server) = tokio::try_join!(net.session(), net.session())?;
    let listener = server.listen(0)?;
    // The first format is one that is answered. Until then, i2pd since 2.54 forwards nothing more
    // over I2CP.
    let repliable = Format::ALL
        .into_iter()
        .filter(|format| format.is_repliable());
    for format in repliable.chain([Format::Raw]) {
        let (near, far) = (
            client.datagrams(format).bind(1)?,
            server.datagrams(format).bind(2)?,
        );
        if (peer, format) == (Peer::Emissary, Format::Datagram3) {
            // The devnet's routers do not support such messages, so that our router does not
            // deliver any.
            near.send_to(b"question", (server.destination(), 2)).await?;
            tokio::time::sleep(ANSWER).await;
            same("undelivered", near.stats().undelivered, 1)?;
            continue;
        }
        let deadline = Instant::now() + STEP_LIMIT;
        let question = loop {
            near.send_to(b"question", (server.destination(), 2)).await?;
            match timeout(ANSWER, far.recv_from()).await {
                Ok(received) => break received?,
                Err(_) if Instant::now() > deadline => {
                    return Err(format!("no {format} arrived: {:?}", far.stats()).into());
                }
                Err(_) => {}
            }
        };
        same("the question", question.payload().as_ref(), b"question")?;
        same(
            "the ports",
            (question.from_port(), question.to_port()),
            (1, 2),
        )?;
        if !format.is_repliable() {
            continue;
        }
        let deadline = Instant::now() + STEP_LIMIT;
        let answer = loop {
            far.reply(&question, b"answer").await?;
            match timeout(ANSWER, near.recv_from()).await {
                Ok(received) => break received?,
                Err(_) if Instant::now() > deadline => {
                    return Err(format!("no answer to {format}: {:?}", near.stats()).into());
                }
                Err(_) => {}
            }
        };
        same("the answer", answer.payload().as_ref(), b"answer")?;
    }
    let to = server.destination().to_base64();
    let (stream, accepted) = tokio::join!(
        connect(&client, &to),
        timeout(STEP_LIMIT, listener.accept())
    );
    let (mut stream, mut accepted) = (stream?, accepted??);
    stream.write_all(b"a stream").await?;
    stream.shutdown().await?;
    same(
        "the stream",
        read_to_end(&mut accepted).await?,
        b"a stream".to_vec(),
    )
}

/// Makes the other implementation send until our socket receives.
async fn they_send(
    sam: &mut SamDatagrams,
    to: &str,
    payload: &[u8],
    socket: &DatagramSocket,
) -> Result<ReceivedDatagram, Failed> {
    let deadline = Instant::now() + STEP_LIMIT;
    loop {
        sam.send(to, payload).await?;
        match timeout(ANSWER, socket.recv_from()).await {
            Ok(received) => return Ok(received?),
            Err(_) if Instant::now() > deadline => {
                return Err(format!("nothing arrived here: {:?}", socket.stats()).into());
            }
            Err(_) => {}
        }
    }
}

/// Sends until the other implementation receives.
async fn we_send(
    socket: &DatagramSocket,
    payload: &[u8],
    sam: &mut SamDatagrams,
) -> Result<SamDatagram, Failed> {
    let deadline = Instant::now() + STEP_LIMIT;
    let to = sam.destination().to_owned();
    loop {
        socket
            .send_to(payload, to.as_str())
            .await
            .map_err(Error::from)?;
        match sam.receive(ANSWER).await {
            Ok(received) => return Ok(received),
            Err(error) if Instant::now() > deadline => {
                return Err(format!("nothing arrived there: {error}").into());
            }
            Err(_) => {}
        }
    }
}
