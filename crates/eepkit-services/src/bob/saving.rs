//! Writing of the state file.

use std::{sync::Arc, time::Duration};

use tokio::{task::spawn_blocking, time::sleep};
use tracing::error;

use super::shared::Shared;

/// Saves the state a moment after each change, until the server stops.
pub(super) async fn keep(shared: Arc<Shared>) {
    loop {
        tokio::select! {
            () = shared.changed.notified() => {}
            () = shared.server.closing().cancelled() => return,
        }
        save(&shared).await;
        // Changes of the next moment are saved together.
        tokio::select! {
            () = sleep(BETWEEN) => {}
            () = shared.server.closing().cancelled() => return,
        }
    }
}

/// Saves the state, unless it is saved already.
pub(super) async fn save(shared: &Shared) {
    let Some(file) = shared.config.state_file() else {
        return;
    };
    let mut saved = shared.saved.lock().await;
    let (text, revision) = {
        let database = shared.database();
        if *saved == database.revision() {
            return;
        }
        (database.to_saved(), database.revision())
    };
    let path = file.to_owned();
    let writing = spawn_blocking(move || eepkit_files::replace(&path, text.as_bytes()));
    match writing.await {
        Ok(Ok(())) => *saved = revision,
        Ok(Err(problem)) => {
            error!(file = %file.display(), error = %problem, "cannot save the tunnels of BOB");
        }
        // The runtime is shutting down.
        Err(_) => {}
    }
}

/// The time between two writes. Chosen because a client sets up a tunnel with a dozen commands.
const BETWEEN: Duration = Duration::from_millis(300);
