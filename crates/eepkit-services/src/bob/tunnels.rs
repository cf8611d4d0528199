//! The tunnels that run. Each has a session, and the parts of `tunnel` for its directions.

use std::{net::SocketAddr, sync::Arc};

use eepkit::Preset;
use eepkit_bob::{Nickname, Stage, server::parse_host};
use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    active::Active,
    kinds::{Inward, Outward},
    shared::Shared,
};
use crate::{
    client_options::passed,
    serve::{Endpoint, Limits, Listeners},
    service::ServiceError,
    shared_sessions::SharedSession,
    tunnel::{ClientTunnel, ServerTunnel, Target, incoming::IncomingConfig},
};

/// Starts a tunnel whose state is starting. Returns when it listens. It runs once its session is
/// open.
///
/// # Errors
///
/// The reason, if it cannot be started. Its state is then idle.
pub(super) async fn start(shared: &Arc<Shared>, nick: &Nickname) -> Result<(), String> {
    match launch(shared, nick).await {
        Ok(active) => {
            let active = Arc::new(active);
            shared.add(nick.clone(), active.clone());
            let (bridge, nick) = (shared.clone(), nick.clone());
            shared
                .server
                .spawn(async move { run(&bridge, &nick, &active).await });
            Ok(())
        }
        Err(why) => {
            shared.set_stage(nick, Stage::Idle);
            Err(why)
        }
    }
}

/// Starts a tunnel of the state file.
pub(super) async fn resume(shared: &Arc<Shared>, nick: &Nickname) {
    shared.set_stage(nick, Stage::Starting);
    if let Err(why) = start(shared, nick).await {
        warn!(%nick, why, "cannot start a saved tunnel of BOB");
    }
}

/// Stops a tunnel whose state is stopping. Returns immediately.
pub(super) fn stop(shared: &Shared, nick: &Nickname) {
    match shared.find(nick) {
        Some(active) => active.stopping.cancel(),
        // It has just ended by itself.
        None => shared.set_stage(nick, Stage::Idle),
    }
}

/// Stops all tunnels, without a change of their states.
pub(super) async fn stop_all(shared: &Shared) {
    let all = shared.all();
    join_all(all.iter().map(|(_, active)| active.close())).await;
    for (nick, _) in &all {
        shared.remove(nick);
    }
}

/// Waits for `zap`, and then stops all tunnels and the bridge.
pub(super) async fn zap(shared: Arc<Shared>) {
    tokio::select! {
        () = shared.zapped.cancelled() => {}
        () = shared.server.closing().cancelled() => return,
    }
    info!("a client stops the BOB bridge");
    let all = shared.all();
    stop_all(&shared).await;
    for (nick, _) in &all {
        shared.set_stage(nick, Stage::Idle);
    }
    shared.server.closing().cancel();
}

/// Waits for the session of a tunnel, and for its end.
async fn run(shared: &Arc<Shared>, nick: &Nickname, active: &Active) {
    let watch = active.session.watch();
    let opening = watch.ready(shared.config.open_limit());
    let opened = tokio::select! {
        opened = opening => Some(opened.is_ok()),
        () = active.stopping.cancelled() => None,
        () = shared.server.closing().cancelled() => return,
    };
    match opened {
        Some(true) => {
            shared.set_stage(nick, Stage::Running);
            info!(%nick, "a tunnel of BOB runs");
            tokio::select! {
                () = active.session.closed() => warn!(%nick, "the session of a tunnel has ended"),
                () = active.stopping.cancelled() => {}
                () = shared.server.closing().cancelled() => return,
            }
        }
        Some(false) => warn!(%nick, "the session of a tunnel did not open"),
        None => {}
    }
    active.close().await;
    shared.remove(nick);
    shared.set_stage(nick, Stage::Idle);
}

async fn launch(shared: &Shared, nick: &Nickname) -> Result<Active, String> {
    let tunnel = shared.database().tunnel(nick).cloned();
    let (tunnel, keys) = tunnel
        .and_then(|mut tunnel| tunnel.keys.take().map(|keys| (tunnel, keys)))
        .ok_or("it has no keys")?;
    let address = |host: &str, port| {
        let host = parse_host(host, shared.protocol.anywhere)?;
        Ok::<_, String>(SocketAddr::new(host, port))
    };
    let listeners = match tunnel.in_port {
        Some(port) => {
            let endpoint = Endpoint::Tcp(address(&tunnel.in_host, port)?);
            let bound = Listeners::bind([endpoint]).await;
            Some(bound.map_err(|error| ServiceError::from(error).in_full())?)
        }
        None => None,
    };
    let target = match tunnel.out_port {
        Some(port) => Some(address(&tunnel.out_host, port)?),
        None => None,
    };
    let mut builder = shared
        .router
        .session()
        .preset(Preset::Standard)
        .keys(keys)
        .open_timeout(shared.config.open_limit());
    for (key, value) in &tunnel.options {
        if let Some(value) = passed(key, value) {
            builder = builder.option(key, value);
        }
    }
    let in_full = |error: eepkit::Error| ServiceError::from(error).in_full();
    let session = builder.start().map_err(|error| in_full(error.into()))?;
    let name = nick.as_str();
    let inward = match target {
        Some(target) => {
            let mut config = IncomingConfig::new();
            config.target.target = Some(Target::Tcp(target));
            let kind = Inward {
                quiet: tunnel.quiet,
            };
            let shared = SharedSession::of(session.clone());
            let launched = ServerTunnel::launch_on(shared, Vec::new(), name, &config, kind).await;
            Some(launched.map_err(|error| error.in_full())?)
        }
        None => None,
    };
    let outward = listeners.map(|listeners| {
        let kind = Outward {
            connect_timeout: shared.config.connect_limit(),
        };
        let limits = Limits::new(shared.config.connections());
        let shared = SharedSession::of(session.clone());
        ClientTunnel::launch_on(shared, name, listeners, limits, None, kind)
    });
    Ok(Active {
        session,
        outward,
        inward,
        stopping: CancellationToken::new(),
    })
}
