//! Tests of sessions that come back: on a router that was restarted, and with keys that were in use
//! a moment ago.

use std::{sync::Arc, time::Duration};

use eepkit::{ConnectOptions, Listener, Session, SessionStage};
use eepkit_interop::Peer;
use libtest_mimic::{Failed, Trial};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::{Instant, sleep, timeout},
};

use crate::{
    lab::{Lab, Outcome, STEP_LIMIT, same, say, whole},
    net::{Net, THEIRS},
};

/// How long a standing session may take to reach a peer that is ready again.
const BACK: Duration = Duration::from_secs(60);

/// The pause between attempts to reach a peer.
const PAUSE: Duration = Duration::from_millis(500);

pub(crate) fn add(lab: &Arc<Lab>, trials: &mut Vec<Trial>) {
    let both = [Peer::Emissary, Peer::I2pd];
    lab.add(
        trials,
        &both,
        "sessions_that_come_back_reach_their_peers_and_are_reached",
        restarts,
    );
    lab.add(
        trials,
        &both,
        "a_session_opens_again_at_once_with_the_same_keys",
        again,
    );
}

/// Uses its own network, because it kills a router.
async fn restarts(_lab: Arc<Lab>, peer: Peer) -> Outcome {
    let net = Net::start(peer).await?;
    let restarted = net.session().await?;
    let standing = net.session_at(net.i2cp(THEIRS)?).await?;
    for session in [&restarted, &standing] {
        echo(session.listen(0)?);
    }
    reach(&standing, &restarted).await?;
    reach(&restarted, &standing).await?;
    restart(&net, &restarted).await?;
    if !net.renews_quickly() {
        say("SKIP: this version of i2pd may take ten minutes to reach the restarted session");
        return Ok(());
    }
    for (name, from, to) in [
        ("the restarted session was reached", &standing, &restarted),
        ("it reached another", &restarted, &standing),
    ] {
        let took = reach(from, to).await?;
        say(&format!("{name} after {took:?}"));
        same("reached in time", took < BACK, true)?;
    }
    Ok(())
}

async fn again(_lab: Arc<Lab>, peer: Peer) -> Outcome {
    let net = Net::start(peer).await?;
    let client = net.session_at(net.i2cp(THEIRS)?).await?;
    let dir = tempfile::tempdir()?;
    let keys = dir.path().join("keys");
    let mut destination = None;
    for round in 0..2 {
        let began = Instant::now();
        let opening = net.builder()?.key_file(&keys);
        let opening = opening.open_timeout(STEP_LIMIT).open();
        let session = opening.await.map_err(whole)?;
        let opened = began.elapsed();
        let before = destination.replace(session.destination().clone());
        let is_same = before.is_none_or(|before| before == *session.destination());
        same("the destination", is_same, true)?;
        echo(session.listen(0)?);
        let took = reach(&client, &session).await?;
        say(&format!(
            "{round}: opened after {opened:?}, reached after {took:?}"
        ));
        // The first opening may meet a lease set that i2pd did not publish, see [`Net::found`].
        if round > 0 && net.renews_quickly() {
            same("reached in time", took < BACK, true)?;
        }
        session.close().await;
    }
    Ok(())
}

/// Kills and restarts the router of `session`, and waits until the session is ready again.
async fn restart(net: &Net, session: &Session) -> Outcome {
    let watch = session.watch();
    net.kill_ours().await;
    watch.reached(SessionStage::Lost, STEP_LIMIT).await;
    net.restart_ours().await?;
    watch.ready(STEP_LIMIT).await?;
    Ok(())
}

/// Echoes bytes on each stream until the session ends.
fn echo(listener: Listener) {
    tokio::spawn(async move {
        while let Ok(mut stream) = listener.accept().await {
            tokio::spawn(async move {
                while let Ok(byte) = stream.read_u8().await {
                    if stream.write_u8(byte).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
}

/// Opens a stream and exchanges a byte, as often as necessary. Returns how long it took.
async fn reach(from: &Session, to: &Session) -> Result<Duration, Failed> {
    let began = Instant::now();
    let trying = async {
        loop {
            let options = ConnectOptions::new().timeout(BACK);
            let once = async {
                let mut stream = from.connect_with(to.destination(), &options).await?;
                stream.write_u8(7).await?;
                stream.read_u8().await?;
                Ok::<_, Failed>(())
            };
            match once.await {
                Ok(()) => return,
                Err(error) => say(&format!("after {:?}: {error:?}", began.elapsed())),
            }
            sleep(PAUSE).await;
        }
    };
    timeout(3 * BACK, trying).await?;
    Ok(began.elapsed())
}
