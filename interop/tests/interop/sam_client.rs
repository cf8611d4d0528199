//! Tests of our sessions on other routers over SAM.

use std::sync::Arc;

use eepkit::{Format, Router, SamRouter, Session};
use eepkit_interop::Peer;
use libtest_mimic::{Failed, Trial};

use crate::{
    lab::{Lab, Outcome, STEP_LIMIT, same, whole},
    net::{Net, OURS, THEIRS},
};

#[path = "../../../crates/eepkit-services/tests/it/client_set.rs"]
mod client_set;

pub(crate) fn add(lab: &Arc<Lab>, trials: &mut Vec<Trial>) {
    use Peer::{Emissary, I2pd};
    let all = &[Emissary, I2pd];
    lab.add(trials, all, "sam_client_streams", streams);
    lab.add(trials, all, "sam_client_names", names);
    lab.add(trials, all, "sam_client_datagrams", datagrams);
}

async fn streams(lab: Arc<Lab>, peer: Peer) -> Outcome {
    let net = lab.net(peer).await?;
    let (client, server) = tokio::try_join!(session(net, OURS), session(net, THEIRS))?;
    client_set::streams_carry_bytes_both_ways(&client, &server).await;
    client_set::several_streams_are_accepted(&client, &server, 1).await;
    Ok(())
}

async fn names(lab: Arc<Lab>, peer: Peer) -> Outcome {
    let net = lab.net(peer).await?;
    let (client, server) = tokio::try_join!(session(net, OURS), session(net, THEIRS))?;
    client_set::names_are_looked_up(&client, &server).await;
    client_set::pings_are_refused(&client, &server).await;
    Ok(())
}

/// The formats of each router are listed in `docs/sam.md`.
async fn datagrams(lab: Arc<Lab>, peer: Peer) -> Outcome {
    let net = lab.net(peer).await?;
    let (client, server) = tokio::try_join!(session(net, OURS), session(net, THEIRS))?;
    for format in [Format::Raw, Format::Datagram1] {
        // emissary delivers raw datagrams that look signed.
        let proven = peer != Peer::Emissary;
        let arrived = client_set::datagrams_arrive(&client, &server, format, proven).await;
        same(&format.to_string(), arrived, Ok(()))?;
    }
    Ok(())
}

async fn session(net: &Net, router: usize) -> Result<Session, Failed> {
    let sam = match net {
        Net::I2pd(net) => SamRouter::tcp(net.routers()[router].sam()),
        Net::Emissary(net) => {
            let router = net.router(router);
            let sam = SamRouter::tcp(router.sam_addr().ok_or("the devnet serves no SAM")?);
            match router.sam_udp_addr() {
                Some(udp) => sam.udp(udp),
                None => sam,
            }
        }
    };
    let open = || {
        let builder = Router::new(sam.clone()).session();
        let builder = builder.tunnel_length(2).tunnel_quantity(3);
        async move { builder.open_timeout(STEP_LIMIT).open().await.map_err(whole) }
    };
    net.found(open, |session| session.destination().to_b32())
        .await
}
