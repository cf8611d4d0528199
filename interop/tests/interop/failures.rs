//! Tests of failures of other routers, and of how they are reported.

use std::{sync::Arc, time::Duration};

use eepkit::{Error, ErrorKind, Hash, Session, SessionStage, Stream, StreamError};
use eepkit_interop::Peer;
use libtest_mimic::{Failed, Trial};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::{Instant, timeout},
};

use crate::{
    lab::{Lab, Outcome, STEP_LIMIT, connect, same},
    net::Net,
};

/// The number of attempts of an operation for which the network may not be ready after a router was
/// killed.
const ATTEMPTS: usize = 4;

pub(crate) fn add(lab: &Arc<Lab>, trials: &mut Vec<Trial>) {
    let both = [Peer::Emissary, Peer::I2pd];
    lab.add(trials, &both, "an_unused_destination_is_not_found", nobody);
    lab.add(
        trials,
        &both,
        "a_session_survives_the_loss_of_its_router",
        death,
    );
}

async fn nobody(lab: Arc<Lab>, peer: Peer) -> Outcome {
    let session = lab.net(peer).await?.session().await?;
    let began = Instant::now();
    let error = match session.connect(Hash::of(b"nobody has keys for this")).await {
        Ok(_) => return Err("connected to nobody".into()),
        Err(error) => Error::from(error),
    };
    same(
        "the kind of the error",
        error.kind(),
        ErrorKind::LeaseSetNotFound,
    )?;
    // The session's own limit for connecting.
    same(
        "ended in time",
        began.elapsed() < Duration::from_secs(65),
        true,
    )
}

/// Uses its own network, because the killed router is a hop of other routers' tunnels.
async fn death(_lab: Arc<Lab>, peer: Peer) -> Outcome {
    let net = Net::start(peer).await?;
    let session = net.session().await?;
    let mut stream = exchange(&net, &session).await?;

    let watch = session.watch();
    net.kill_ours().await;
    let state = watch
        .reached(SessionStage::Lost, Duration::from_secs(10))
        .await;
    same(
        "the session is lost",
        state.stage() >= SessionStage::Lost,
        true,
    )?;
    let mut byte = [0];
    match timeout(Duration::from_secs(10), stream.read(&mut byte)).await? {
        Ok(_) => return Err("the stream survived its session".into()),
        Err(error) => {
            let kind = StreamError::of(&error).map(|error| Error::from(error.clone()).kind());
            same("the stream's error", kind, Some(ErrorKind::SessionLost))?;
        }
    }

    net.restart_ours().await?;
    session.watch().ready(STEP_LIMIT).await?;
    // Tunnels of the other routers that passed through the killed one do not work, but have not
    // been replaced yet. Lease sets and look-ups in them are lost for a while.
    let mut result = exchange(&net, &session).await;
    for _ in 1..ATTEMPTS {
        if result.is_ok() {
            break;
        }
        result = exchange(&net, &session).await;
    }
    result.map(drop)
}

/// Opens a stream to a new destination of the other software, and sends a few bytes in each
/// direction.
async fn exchange(net: &Net, session: &Session) -> Result<Stream, Failed> {
    let sam = net.sam().await?;
    let accepting = sam.accept().await?;
    let mut stream = connect(session, sam.destination()).await?;
    let (mut socket, from) = accepting.accepted(STEP_LIMIT).await?;
    same("who connected", from, session.destination().to_base64())?;
    let (mut here, mut there) = ([0; 4], [0; 4]);
    stream.write_all(b"ping").await?;
    stream.flush().await?;
    timeout(STEP_LIMIT, socket.read_exact(&mut there)).await??;
    socket.write_all(b"pong").await?;
    timeout(STEP_LIMIT, stream.read_exact(&mut here)).await??;
    same("what was exchanged", (&there, &here), (b"ping", b"pong"))?;
    Ok(stream)
}
