//! Tests of each application on the simulated network, in paused time.

mod ask;
mod chat;
mod counter;
mod embed;
mod gossip;
mod site;
mod transfer;

use std::time::Duration;

use eepkit::{
    Preset, Router, Session,
    sim::{Builder, SimNet},
};

/// A network with a one-way delay of 50 ms.
fn net() -> Builder {
    SimNet::builder().delay(Duration::from_millis(50))
}

async fn session(net: &SimNet) -> Session {
    let router = Router::new(net.router());
    router
        .session()
        .preset(Preset::Test)
        .open()
        .await
        .expect("a session opens")
}
