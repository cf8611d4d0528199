//! A program that embeds a router. It shows the progress of the router and its session, serves, and
//! shuts down gracefully.

use std::{future::Future, io, time::Duration};

use eepkit::{
    Drained, Error, NotReady, Router, Session, Stage, Status, StatusWatch, Stream, serve,
};
use tokio::io::AsyncWriteExt as _;

/// Waits until `watch` reports readiness, and shows each status before it.
///
/// # Errors
///
/// When the subject can no longer become ready, or `limit` passes.
pub async fn until_ready<S: Stage>(
    mut watch: StatusWatch<S>,
    limit: Duration,
    mut show: impl FnMut(&Status<S>),
) -> Result<(), NotReady<S>> {
    let ready = watch.ready(limit);
    tokio::pin!(ready);
    show(&watch.current());
    loop {
        tokio::select! {
            biased;
            ready = &mut ready => {
                let status = ready?;
                show(&status);
                return Ok(());
            }
            Some(status) = watch.changed() => if !status.is_ready() { show(&status) },
        }
    }
}

/// Opens a session on `router`, shows its progress as lines, serves an echo until `stop` completes,
/// and shuts everything down.
///
/// # Errors
///
/// When the session cannot be opened or does not become ready.
pub async fn run(
    router: &Router,
    mut show: impl FnMut(&str),
    online: impl FnOnce(&Session),
    stop: impl Future<Output = ()>,
) -> Result<Drained, Error> {
    if let Some(watch) = router.watch() {
        until_ready(watch, READY_LIMIT, |status| {
            show(&format!("router: {status}"))
        })
        .await?;
    }
    let session = router.session().start()?;
    until_ready(session.watch(), READY_LIMIT, |status| {
        show(&format!("session: {status}"));
    })
    .await?;
    let server = serve(session.listen(PORT)?, echo).start();
    online(&session);
    stop.await;
    show("shutting down");
    let drained = server.shutdown(GRACE).await;
    session.close().await;
    router.shutdown().await;
    Ok(drained)
}

async fn echo(stream: Stream) -> io::Result<()> {
    let (mut reader, mut writer) = stream.into_split();
    tokio::io::copy(&mut reader, &mut writer).await?;
    writer.shutdown().await
}

/// The port of the echo.
pub const PORT: u16 = 7;
/// How long router and session may take to become ready. Chosen because the first start on the live
/// network takes minutes.
const READY_LIMIT: Duration = Duration::from_secs(600);
/// How long streams may take to end at the shutdown.
const GRACE: Duration = Duration::from_secs(10);
