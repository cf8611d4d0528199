//! `eepkit addressbook` and `eepkit resolve`, and the address book of other commands.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use eepkit_naming::{AddressBook, StoreError};
use eepkit_services::{
    control::{Client, ControlError},
    naming::{NameParams, Names},
};
use serde_json::Value;

use super::daemon;
use crate::{
    args::{AddressBookArgs, AddressBookCommand, NamesConfig, ResolveArgs, RouterArgs, StoreArgs},
    config,
    exit::Exit,
    failure::Failure,
    ui::Ui,
};

/// The names of a program that serves others, which keeps the store open.
pub(super) fn open(
    config: &NamesConfig,
    router: &RouterArgs,
    ui: &Ui,
) -> Result<(Names, Option<AddressBook>), Failure> {
    if !config.enabled {
        return Ok((Names::none(), None));
    }
    let Some(file) = config.file.clone().or_else(|| default_file(router)) else {
        ui.warn("no address book: this user has no directory for it");
        return Ok((Names::none(), None));
    };
    if let Some(directory) = file.parent() {
        // If it fails, the error of the store states the path.
        let _ = eepkit_services::files::create_private_dir(directory);
    }
    match AddressBook::open(&file) {
        Ok(books) => Ok((Names::of(books.clone()), Some(books))),
        Err(StoreError::InUse) => {
            ui.warn(format_args!(
                "another program has the address book {} open: its names are asked for there",
                file.display()
            ));
            Ok((Names::on_demand(file, control_socket()), None))
        }
        Err(error) => {
            let context = format!("cannot use the address book {}", file.display());
            Err(Failure::from_error(Exit::File, &context, &error)
                .hint("move it away to begin a new one, or set enabled = false in [address-book]"))
        }
    }
}

/// The names of a program that uses the store only now and then.
pub(super) fn on_demand(router: &RouterArgs) -> Names {
    match default_file(router) {
        Some(file) => Names::on_demand(file, control_socket()),
        None => Names::none(),
    }
}

/// The control socket of the daemon that may have the store open.
fn control_socket() -> Option<PathBuf> {
    let given = std::env::var_os("EEPKIT_CONTROL").filter(|path| !path.is_empty());
    given.map(PathBuf::from).or_else(daemon::default_socket)
}

/// The default file.
fn default_file(router: &RouterArgs) -> Option<PathBuf> {
    if let Some(file) = std::env::var_os("EEPKIT_ADDRESSBOOK").filter(|file| !file.is_empty()) {
        return Some(file.into());
    }
    let directory = match &router.state_dir {
        Some(directory) => directory.clone(),
        None => dirs::data_dir()?.join("eepkit"),
    };
    Some(directory.join("addressbook.redb"))
}

/// Calls a method: of the running program, or with the file.
async fn call(store: &StoreArgs, method: &str, params: NameParams) -> Result<Value, Failure> {
    if store.store.is_none()
        && let Ok(socket) = daemon::socket(&store.control)
        && let Ok(mut client) = Client::connect(&socket).await
    {
        let params = serde_json::to_value(&params).unwrap_or_default();
        let called = client.call(method, params, CALL_LIMIT).await;
        return called.map_err(|error| match error {
            eepkit_services::control::ClientError::Refused(refused) => failure(refused),
            error => daemon::failure(&error),
        });
    }
    let names = match &store.store {
        Some(file) => Names::on_demand(file, daemon::socket(&store.control).ok()),
        None => {
            let (config, _) = config::load(store.control.config.as_deref())?;
            let file = config
                .names
                .file
                .clone()
                .or_else(|| default_file(&config.router));
            let file = file.ok_or_else(|| {
                Failure::new(Exit::File, "there is no directory for user data")
                    .hint("say where the address book is: --store FILE")
            })?;
            Names::on_demand(file, daemon::socket(&store.control).ok())
        }
    };
    names.call(method, params).await.map_err(failure)
}

fn failure(error: ControlError) -> Failure {
    let exit = match error.code.as_str() {
        "name_not_found" => Exit::NotFound,
        "bad_input" | "bad_params" => Exit::Usage,
        "io" => Exit::File,
        _ => Exit::Failed,
    };
    let failure = Failure::new(exit, error.message);
    match error.hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

pub(super) async fn resolve(args: ResolveArgs, ui: &Ui) -> Result<(), Failure> {
    let params = NameParams {
        name: Some(args.name.clone()),
        ..NameParams::default()
    };
    let found = call(&args.store, "names.explain", params).await?;
    let is_found = found["target"].is_string();
    if args.store.json {
        ui.json(&found)?;
    } else if args.explain {
        explain(&args.name, &found, ui)?;
    } else if let Some(address) = found["address"].as_str() {
        ui.data(address)?;
    }
    match is_found {
        true => Ok(()),
        false => Err(Failure::new(
            Exit::NotFound,
            format!("{} is not in the address book", args.name),
        )
        .hint("`eepkit lookup` asks the router; `eepkit addressbook add` adds a name")),
    }
}

fn explain(name: &str, found: &Value, ui: &Ui) -> Result<(), Failure> {
    let list = |key: &str| found[key].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    match found["address"].as_str() {
        Some(address) => ui.data(format_args!("{name} is {address}"))?,
        None => ui.data(format_args!("{name} is in no book"))?,
    }
    for (at, entry) in list("found").iter().enumerate() {
        let role = if at == 0 { "answers" } else { "has it, too" };
        for record in entry["records"].as_array().into_iter().flatten() {
            let source = record["properties"]["s"].as_str();
            let source = source
                .map(|source| format!(", from {source}"))
                .unwrap_or_default();
            ui.data(format_args!(
                "  book {}: {} ({role}{source})",
                text(&entry["book"]),
                text(&record["address"])
            ))?;
        }
    }
    for conflict in list("conflicts") {
        ui.data(format_args!(
            "  conflict: {} says {}",
            text(&conflict["source"]),
            text(&conflict["address"])
        ))?;
    }
    for other in list("other_names") {
        ui.data(format_args!(
            "  the same destination: {} (book {})",
            text(&other["name"]),
            text(&other["book"])
        ))?;
    }
    Ok(())
}

pub(super) async fn run(args: AddressBookArgs, ui: &Ui) -> Result<(), Failure> {
    match args.command {
        AddressBookCommand::Add {
            name,
            destination,
            book,
            replace,
            store,
        } => {
            let params = NameParams {
                name: Some(name),
                target: Some(destination),
                book: Some(book),
                replace,
                ..NameParams::default()
            };
            let done = call(&store, "names.add", params).await?;
            print(&store, &done, ui, |done| {
                format!(
                    "{} in the book {}: {}",
                    done["name"], done["book"], done["action"]
                )
            })
        }
        AddressBookCommand::Remove { name, book, store } => {
            let params = NameParams {
                name: Some(name),
                book,
                ..NameParams::default()
            };
            let done = call(&store, "names.remove", params).await?;
            print(&store, &done, ui, |done| {
                format!("{} was removed from {}", done["name"], done["books"])
            })
        }
        AddressBookCommand::List { book, store } => list(&store, book, None, ui).await,
        AddressBookCommand::Search { text, book, store } => {
            list(&store, book, Some(text), ui).await
        }
        AddressBookCommand::Import {
            file,
            from,
            book,
            replace,
            store,
        } => {
            let params = NameParams {
                file: Some(absolute(&file)),
                format: Some(from.as_str().to_owned()),
                book: Some(book),
                replace,
                ..NameParams::default()
            };
            let done = call(&store, "names.import", params).await?;
            for key in ["warnings", "problems"] {
                for line in done[key].as_array().into_iter().flatten() {
                    ui.warn(line.as_str().unwrap_or_default());
                }
            }
            print(&store, &done, ui, |done| {
                format!(
                    "{} names added, {} changed, {} unchanged, {} conflicts, {} refused",
                    done["added"],
                    done["changed"],
                    done["unchanged"],
                    done["conflicts"],
                    done["refused"]
                )
            })
        }
        AddressBookCommand::Export {
            file,
            book,
            full,
            store,
        } => {
            let params = NameParams {
                file: Some(absolute(&file)),
                book: Some(book),
                full,
                ..NameParams::default()
            };
            let done = call(&store, "names.export", params).await?;
            print(&store, &done, ui, |done| {
                format!("{} names written to {}", done["names"], done["file"])
            })
        }
        AddressBookCommand::Subscribe { url, store } => {
            let done = call(&store, "names.subscribe", with_url(url)).await?;
            print(&store, &done, ui, |done| {
                format!("subscription {}: {}", done["url"], done["action"])
            })
        }
        AddressBookCommand::Unsubscribe { url, store } => {
            let done = call(&store, "names.unsubscribe", with_url(url)).await?;
            print(&store, &done, ui, |done| {
                format!("subscription {}: {}", done["url"], done["action"])
            })
        }
        AddressBookCommand::Status { store } => {
            let status = call(&store, "names.status", NameParams::default()).await?;
            if store.json {
                return ui.json(&status);
            }
            print_status(&status, ui)
        }
    }
}

fn with_url(url: String) -> NameParams {
    NameParams {
        url: Some(url),
        ..NameParams::default()
    }
}

fn absolute(file: &Path) -> PathBuf {
    std::path::absolute(file).unwrap_or_else(|_| file.to_owned())
}

/// Prints a result: as JSON, or as a line without quotes.
fn print(
    store: &StoreArgs,
    done: &Value,
    ui: &Ui,
    line: impl Fn(&Value) -> String,
) -> Result<(), Failure> {
    match store.json {
        true => ui.json(done),
        false => ui.data(line(done).replace('"', "")),
    }
}

/// Lists the names of one book or of all.
async fn list(
    store: &StoreArgs,
    book: Option<String>,
    text: Option<String>,
    ui: &Ui,
) -> Result<(), Failure> {
    let books = match book {
        Some(book) => vec![book],
        None => eepkit_naming::Book::ALL
            .map(|book| book.as_str().to_owned())
            .to_vec(),
    };
    for book in books {
        let mut after = None;
        loop {
            let params = NameParams {
                book: Some(book.clone()),
                text: text.clone(),
                after: after.take(),
                ..NameParams::default()
            };
            let page = call(store, "names.list", params).await?;
            for entry in page["entries"].as_array().into_iter().flatten() {
                if store.json {
                    ui.json(entry)?;
                } else {
                    let field = |key: &str| entry[key].as_str().unwrap_or_default();
                    ui.data(format_args!(
                        "{}\t{}\t{book}",
                        field("unicode"),
                        field("address")
                    ))?;
                }
            }
            match page["next"].as_str() {
                Some(next) => after = Some(next.to_owned()),
                None => break,
            }
        }
    }
    Ok(())
}

fn print_status(status: &Value, ui: &Ui) -> Result<(), Failure> {
    for book in status["books"].as_array().into_iter().flatten() {
        let name = book["book"].as_str().unwrap_or_default();
        ui.data(format_args!("book {name}: {} names", book["names"]))?;
    }
    let now = eepkit::clock::unix_now().as_secs();
    for subscription in status["subscriptions"].as_array().into_iter().flatten() {
        let url = subscription["url"].as_str().unwrap_or_default();
        ui.data(format_args!("subscription {url}"))?;
        let result = subscription["result"].as_str().unwrap_or_default();
        let ago = subscription["attempted"]
            .as_u64()
            .map(|at| now.saturating_sub(at));
        match ago {
            Some(ago) => ui.data(format_args!(
                "  last attempt {} ago: {result}",
                crate::ui::duration(Duration::from_secs(ago))
            ))?,
            None => ui.data("  not fetched yet")?,
        }
        if subscription["running"] == true {
            ui.data("  is being fetched")?;
        } else if let Some(next) = subscription["next"].as_u64() {
            let left = Duration::from_secs(next.saturating_sub(now));
            ui.data(format_args!(
                "  next attempt in {}",
                crate::ui::duration(left)
            ))?;
        }
    }
    Ok(())
}

/// Chosen because an import of a million names takes less.
const CALL_LIMIT: Duration = Duration::from_secs(120);
