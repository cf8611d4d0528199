//! An echo server with an embedded router: `embed STATE_DIRECTORY`. It shows the progress of the
//! router, and shuts down gracefully on Ctrl-C.

use std::{error::Error, time::Duration};

use eepkit::{EmbeddedRouter, Router};
use eepkit_apps::embed::{PORT, run, until_ready};
use indicatif::ProgressBar;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let state = std::env::args()
        .nth(1)
        .ok_or("usage: embed STATE_DIRECTORY")?;
    let bar = ProgressBar::new_spinner();
    bar.enable_steady_tick(Duration::from_millis(100));
    let own = EmbeddedRouter::builder(state);
    // The watch is created before the router starts, so that it also reports the download of a list
    // of routers.
    let watch = own.watch();
    let showing = tokio::spawn({
        let bar = bar.clone();
        async move {
            let show = |status: &_| bar.set_message(format!("router: {status}"));
            // If the router does not become ready, its start reports the reason, too.
            let _ = until_ready(watch, Duration::from_secs(600), show).await;
        }
    });
    let router = Router::start(own).await?;
    let drained = run(
        &router,
        |line| bar.set_message(line.to_owned()),
        |session| bar.println(format!("echo at {}:{PORT}", session.destination().to_b32())),
        async {
            // Without a signal handler the program runs until it is killed.
            let _ = tokio::signal::ctrl_c().await;
        },
    )
    .await?;
    showing.abort();
    bar.finish_with_message(format!(
        "stopped; {} streams were cut off",
        drained.aborted()
    ));
    Ok(())
}
