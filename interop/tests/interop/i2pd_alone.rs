//! A test of i2pd with i2pd, without eepkit. If it fails, the cause is the network and not our
//! code.

use std::sync::Arc;

use eepkit_interop::Peer;
use libtest_mimic::Trial;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{
    lab::{Lab, Outcome, STEP_LIMIT, noise, same},
    net::OURS,
};

pub(crate) fn add(lab: &Arc<Lab>, trials: &mut Vec<Trial>) {
    lab.add(
        trials,
        &[Peer::I2pd],
        "i2pd_exchanges_a_mebibyte_with_itself",
        itself,
    );
}

async fn itself(lab: Arc<Lab>, peer: Peer) -> Outcome {
    let net = lab.net(peer).await?;
    let (server, client) = tokio::try_join!(net.sam_on(OURS), net.sam())?;
    let accepting = server.accept().await?;
    let mut outgoing = client.connect(server.destination(), STEP_LIMIT).await?;
    let (mut incoming, peer) = accepting.accepted(STEP_LIMIT).await?;
    same(
        "the peer's destination",
        peer.as_str(),
        client.destination(),
    )?;

    let data = noise(1, 1 << 20);
    outgoing.write_all(&data).await?;
    let mut received = vec![0; data.len()];
    incoming.read_exact(&mut received).await?;
    same("what arrived", received == data, true)?;
    // i2pd has no half close. The data that arrives after the end must be empty.
    drop(outgoing);
    same(
        "bytes after the end",
        incoming.read(&mut received).await?,
        0,
    )?;
    Ok(())
}
