//! Faults that leave connections open: links that forward nothing any more, and routers whose
//! process is stopped. The session must notice, say so, and come back with the same destination.
//!
//! The tests wait for the time after which a silent router is given up, 90 s. They run beside the
//! other tests, and do not make a run longer.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use eepkit::{Listener, Session, SessionStage, Stream};
use eepkit_interop::Peer;
use libtest_mimic::{Failed, Trial};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::{Instant, sleep, timeout},
};

use crate::{
    hole::Hole,
    lab::{Lab, Outcome, STEP_LIMIT, connect, same, say, soak, whole},
    net::{Net, OURS, THEIRS},
};

pub(crate) fn add(lab: &Arc<Lab>, trials: &mut Vec<Trial>) {
    let both = [Peer::Emissary, Peer::I2pd];
    lab.add(
        trials,
        &both,
        "a_link_that_forwards_nothing_is_noticed_and_replaced",
        black_hole,
    );
    lab.add(
        trials,
        &[Peer::I2pd],
        "a_stopped_router_is_noticed_and_its_session_comes_back",
        stopped,
    );
    if soak().is_some() {
        lab.add(
            trials,
            &both,
            "a_session_survives_fault_after_fault",
            faults,
        );
    }
}

async fn black_hole(_lab: Arc<Lab>, peer: Peer) -> Outcome {
    let net = Net::start(peer).await?;
    let hole = Hole::before(net.i2cp(OURS)?).await?;
    let (server, listener) = serve(&net, hole.address()).await?;
    meet(&net, &server, &listener).await?;

    hole.swallow();
    notices_silence(&server).await?;
    // i2pd has one session of a destination, until its connection ends.
    hole.mend();
    comes_back(&net, &server, &listener).await
}

/// i2pd's routers are processes, which can be stopped as a terminal or a debugger does.
async fn stopped(_lab: Arc<Lab>, peer: Peer) -> Outcome {
    let net = Net::start(peer).await?;
    let (server, listener) = serve(&net, net.i2cp(OURS)?).await?;
    let mut ends = meet(&net, &server, &listener).await?;

    // A stop that is shorter than the silence that a session accepts is only a delay.
    net.signal_ours("STOP").await?;
    sleep(SHORT_STOP).await;
    net.signal_ours("CONT").await?;
    ping_pong(&mut ends).await?;
    let status = server.status();
    same("the stage", status.stage(), SessionStage::Ready)?;
    same("the attempts", status.attempt(), 1)?;

    net.signal_ours("STOP").await?;
    let noticed = notices_silence(&server).await;
    net.signal_ours("CONT").await?;
    noticed?;
    comes_back(&net, &server, &listener).await
}

/// One fault after the other for the time that was requested. After each, the session of the same
/// server is reached again.
async fn faults(_lab: Arc<Lab>, peer: Peer) -> Outcome {
    let net = Net::start(peer).await?;
    let hole = Hole::before(net.i2cp(OURS)?).await?;
    let (server, listener) = serve(&net, hole.address()).await?;
    meet(&net, &server, &listener).await?;
    let end = Instant::now() + soak().unwrap_or_default();
    for round in 0.. {
        if Instant::now() > end {
            say(&format!("survived {round} faults"));
            break;
        }
        match (round % 3, peer) {
            (0, _) => {
                hole.swallow();
                notices_silence(&server).await?;
                hole.mend();
            }
            (1, Peer::I2pd) => {
                net.signal_ours("STOP").await?;
                let noticed = notices_silence(&server).await;
                net.signal_ours("CONT").await?;
                noticed?;
            }
            _ => {
                net.kill_ours().await;
                let lost = server.watch().reached(SessionStage::Lost, NOTICED).await;
                same("the stage", lost.stage(), SessionStage::Lost)?;
                net.restart_ours().await?;
            }
        }
        comes_back(&net, &server, &listener).await?;
    }
    Ok(())
}

/// Opens a session that listens on port 80.
async fn serve(net: &Net, router: SocketAddr) -> Result<(Session, Listener), Failed> {
    let session = net.session_at(router).await?;
    let listener = session.listen(80)?;
    Ok((session, listener))
}

/// A stream from a new session on another router, and its client session.
struct Ends {
    near: Stream,
    far: Stream,
    _client: Session,
}

/// Lets a new session on another router connect to the server.
async fn meet(net: &Net, server: &Session, listener: &Listener) -> Result<Ends, Failed> {
    let client = net.session_at(net.i2cp(THEIRS)?).await?;
    let to = format!("{}:80", server.destination().to_b32());
    let connecting = connect(&client, &to);
    let accepting = async { timeout(STEP_LIMIT, listener.accept()).await?.map_err(whole) };
    let (near, far) = tokio::try_join!(connecting, accepting)?;
    let mut ends = Ends {
        near,
        far,
        _client: client,
    };
    ping_pong(&mut ends).await?;
    Ok(ends)
}

async fn ping_pong(ends: &mut Ends) -> Outcome {
    for _ in 0..2 {
        let (from, to) = (&mut ends.near, &mut ends.far);
        let mut data = [0; 4];
        from.write_all(b"ping").await?;
        from.flush().await?;
        timeout(STEP_LIMIT, to.read_exact(&mut data)).await??;
        same("what arrived", &data, b"ping")?;
        // The other direction.
        std::mem::swap(&mut ends.near, &mut ends.far);
    }
    Ok(())
}

/// Waits until the session is lost, with a reason, because its router is silent.
async fn notices_silence(server: &Session) -> Outcome {
    let began = Instant::now();
    let status = server.watch().reached(SessionStage::Lost, NOTICED).await;
    same("the stage", status.stage(), SessionStage::Lost)?;
    let Some(problem) = status.problem() else {
        return Err("the status has no reason".into());
    };
    say(&format!("noticed after {:?}: {problem}", began.elapsed()));
    let text = problem.to_string();
    same(&text, text.contains("answer"), true)
}

/// Waits until the session is ready again, and reachable at its destination.
async fn comes_back(net: &Net, server: &Session, listener: &Listener) -> Outcome {
    let began = Instant::now();
    let destination = server.destination().clone();
    server.watch().ready(BACK).await?;
    say(&format!("ready again after {:?}", began.elapsed()));
    same("the destination", server.destination(), &destination)?;
    // Tunnels through a router that was killed do not work until they are replaced.
    let mut result = meet(net, server, listener).await;
    for _ in 1..ATTEMPTS {
        if result.is_err() {
            result = meet(net, server, listener).await;
        }
    }
    result?;
    say(&format!("reached again after {:?}", began.elapsed()));
    Ok(())
}

/// A stop that a session does not notice.
const SHORT_STOP: Duration = Duration::from_secs(15);

/// The time within which silence is noticed: 60 s until the router is asked, 30 s for the answer, and
/// some for a busy machine.
const NOTICED: Duration = Duration::from_secs(100);

/// The number of new sessions that try to reach the server.
const ATTEMPTS: usize = 3;

/// The time within which the session is ready again.
const BACK: Duration = Duration::from_secs(120);
