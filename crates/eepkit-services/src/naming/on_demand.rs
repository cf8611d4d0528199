//! Address books that another program may have open.

use std::{path::PathBuf, time::Duration};

use eepkit::ErrorKind;
use eepkit_naming::{AddressBook, StoreError};

use super::methods::{self, NameParams};
use crate::methods::{Client, ClientError, ControlError, Outcome};

/// The store of the address books, which is opened for each use. If the daemon has it open, the daemon
/// is asked over its control socket.
#[derive(Debug, Clone)]
pub(super) struct OnDemand {
    /// The file. It is created by the first change.
    pub(super) file: PathBuf,
    /// The control socket of the daemon, if there is a directory for it.
    pub(super) socket: Option<PathBuf>,
}

impl OnDemand {
    pub(super) async fn call(&self, method: &str, params: NameParams) -> Outcome {
        match self.try_store(method, &params).await {
            Err(Refused::InUse) => self.ask(method, &params).await,
            Err(Refused::Error(error)) => Err(error),
            Ok(value) => Ok(value),
        }
    }

    async fn try_store(
        &self,
        method: &str,
        params: &NameParams,
    ) -> Result<serde_json::Value, Refused> {
        let (file, method, params) = (self.file.clone(), method.to_owned(), params.clone());
        let calling = tokio::task::spawn_blocking(move || {
            let is_change = !matches!(
                method.as_str(),
                "names.resolve" | "names.compare" | "names.explain" | "names.list" | "names.status"
            );
            let books = match (file.exists(), is_change) {
                (false, false) => AddressBook::in_memory(),
                (false, true) => {
                    if let Some(directory) = file.parent() {
                        // If it fails, the error of the store states the path.
                        let _ = crate::files::create_private_dir(directory);
                    }
                    AddressBook::open(&file)
                }
                (true, _) => AddressBook::open(&file),
            };
            let books = books.map_err(|error| match error {
                StoreError::InUse => Refused::InUse,
                error => Refused::Error(methods::store(error)),
            })?;
            methods::call(&books, &method, &params).map_err(Refused::Error)
        });
        calling.await.unwrap_or_else(|_| {
            let error = ControlError::of_kind(ErrorKind::Closed, "the program is stopping");
            Err(Refused::Error(error))
        })
    }

    /// Asks the daemon.
    async fn ask(&self, method: &str, params: &NameParams) -> Outcome {
        let in_use = |why: &dyn std::fmt::Display| {
            let file = self.file.display();
            ControlError::of_kind(
                ErrorKind::Io,
                format!("another program has the address book {file} open, and {why}"),
            )
            .hint("if it is `eepkit run`, give its control socket: --control PATH")
        };
        let Some(socket) = &self.socket else {
            return Err(in_use(&"there is no directory for control sockets"));
        };
        let params = serde_json::to_value(params).unwrap_or_default();
        let asking = async {
            let mut client = Client::connect(socket).await?;
            client.call(method, params, ASK_LIMIT).await
        };
        match asking.await {
            Ok(value) => Ok(value),
            Err(ClientError::Refused(error)) => Err(error),
            Err(error) => Err(in_use(&error)),
        }
    }
}

enum Refused {
    /// Another program has the store open.
    InUse,
    Error(ControlError),
}

/// Chosen because an import of a million names takes less.
const ASK_LIMIT: Duration = Duration::from_secs(120);
