//! `eepkit run`: runs a router and the services of a configuration file.

use std::path::{Path, PathBuf};

use eepkit::Router;
use eepkit_services::{
    Action, Applied, KINDS, Services, files,
    serve::Addresses,
    service::{Service, ServiceError},
};
use serde::Serialize;
use serde_json::{Map, Value};

use super::online;
use crate::{
    args::RunArgs,
    config::{self, Config},
    exit::Exit,
    failure::Failure,
    stop::{Reload, Stop},
    ui::Ui,
};

pub(super) async fn run(args: RunArgs, ui: &Ui) -> Result<(), Failure> {
    if args.print_config {
        return ui.data(config::documented().trim_end());
    }
    let config = load(args.config.as_deref(), ui)?;
    if args.check {
        for plan in &config.services {
            plan.check()
                .map_err(|error| cannot_start(plan.kind(), &error))?;
        }
        return ui.data("the configuration can be used");
    }
    serve(config, Source::File(args.config), args.json, ui).await
}

/// The source of a configuration.
pub(super) enum Source {
    /// The command line, which cannot be reloaded.
    Arguments,
    /// The given file, or the default one.
    File(Option<PathBuf>),
}

/// Reads the given file, or the default one if it exists.
fn load(named: Option<&Path>, ui: &Ui) -> Result<Config, Failure> {
    let Some(file) = config_file(named) else {
        return Ok(Config::new());
    };
    let name = file.display();
    let text = files::read_text(&file, files::MAX_CONFIG)
        .map_err(|error| Failure::from_error(Exit::File, &format!("cannot read {name}"), &error))?;
    let directory = file.parent().unwrap_or_else(|| Path::new(""));
    let config = Config::parse(&text, directory).map_err(|error| {
        let failure = Failure::new(Exit::File, format!("{name}, {error}"));
        match error.hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    })?;
    ui.note(format_args!("configuration: {name}"));
    Ok(config)
}

/// Returns the given file, or the one in the user's configuration directory if it exists.
fn config_file(named: Option<&Path>) -> Option<PathBuf> {
    match named {
        Some(file) => Some(file.to_owned()),
        None => {
            let file = dirs::config_dir()?.join("eepkit").join("eepkit.toml");
            file.exists().then_some(file)
        }
    }
}

/// Starts the router and the services, and runs them until a signal arrives.
pub(super) async fn serve(
    config: Config,
    source: Source,
    json: bool,
    ui: &Ui,
) -> Result<(), Failure> {
    let mut stop = Stop::new()?;
    let mut reload = match source {
        Source::Arguments => Reload::never(),
        Source::File(_) => Reload::new()?,
    };
    let router = stop.or(online::router(&config.router, ui)).await?;
    let services = Services::new(router.clone());
    let started = stop.or(start(&services, config.services.clone())).await;
    if let Err(failure) = started {
        services.stop().await;
        return Err(failure);
    }
    report(&router, &services, json, ui)?;
    loop {
        tokio::select! {
            _ = stop.received() => break,
            () = reload.received() => {
                if let Source::File(named) = &source {
                    reloaded(&services, &config, named.as_deref(), ui).await;
                }
            }
        }
    }
    let step = ui.step("stopping");
    tokio::select! {
        () = async {
            services.stop().await;
            router.shutdown().await;
        } => step.done("stopped"),
        // A second signal ends the shutdown.
        _ = stop.received() => Ok(()),
    }
}

/// Starts the services. Fails if one of them cannot be started.
async fn start(
    services: &Services,
    plans: Vec<std::sync::Arc<dyn eepkit_services::Plan>>,
) -> Result<(), Failure> {
    for Applied {
        service, result, ..
    } in services.apply(plans).await
    {
        result.map_err(|error| cannot_start(service.kind(), &error))?;
    }
    Ok(())
}

/// Reads the file again and applies the changes. Errors are reported, and no service ends because
/// of them.
async fn reloaded(services: &Services, first: &Config, named: Option<&Path>, ui: &Ui) {
    let config = match load(named, ui) {
        Ok(config) => config,
        Err(failure) => {
            ui.warn(format_args!("nothing was reloaded: {failure}"));
            return;
        }
    };
    if config.router != first.router {
        ui.warn("changes of [router] take effect when the program starts again");
    }
    for Applied {
        service,
        action,
        result,
        ..
    } in services.apply(config.services).await
    {
        let name = name(&*service);
        match (result, action) {
            (Err(error), _) => ui.warn(format_args!(
                "{name}: {}",
                cannot_start(service.kind(), &error)
            )),
            (Ok(()), Action::Kept) => ui.note(format_args!("{name}: not changed")),
            (Ok(()), Action::Stopped) => ui.note(format_args!("{name}: stopped")),
            (Ok(()), Action::Started) => ui.note(format_args!("{name}: started")),
            (Ok(()), Action::Restarted) => ui.note(format_args!("{name}: restarted")),
        }
    }
}

/// The JSON object that `--json` prints: the services by kind.
#[derive(Debug, Serialize)]
struct Serving {
    version: u32,
    router: String,
    #[serde(flatten)]
    services: Map<String, Value>,
}

#[derive(Debug, Serialize)]
struct Places {
    tcp: Vec<String>,
    udp: Vec<String>,
    unix: Vec<String>,
}

impl From<Addresses> for Places {
    fn from(addresses: Addresses) -> Self {
        let unix = addresses.unix.iter();
        Self {
            tcp: addresses.tcp.iter().map(ToString::to_string).collect(),
            udp: addresses.udp.iter().map(ToString::to_string).collect(),
            unix: unix.map(|path| path.display().to_string()).collect(),
        }
    }
}

/// Prints the addresses at which the services listen.
fn report(router: &Router, services: &Services, json: bool, ui: &Ui) -> Result<(), Failure> {
    let list = services.list();
    if json {
        let mut kinds = Map::new();
        for kind in KINDS {
            let of_kind = list.iter().filter(|service| service.kind() == kind.name);
            let places =
                of_kind.map(|service| serde_json::to_value(Places::from(service.addresses())));
            let places = places
                .collect::<Result<Vec<_>, _>>()
                .map_err(|error| Failure::output(&std::io::Error::other(error)))?;
            kinds.insert(kind.name.to_owned(), Value::Array(places));
        }
        return ui.json(&Serving {
            version: 1,
            router: router.name(),
            services: kinds,
        });
    }
    for service in &list {
        let Places { mut tcp, udp, unix } = service.addresses().into();
        let title = title(service.kind());
        tcp.extend(unix);
        if !tcp.is_empty() {
            ui.note(format_args!("{title} at {}", tcp.join(", ")));
        }
        if !udp.is_empty() {
            ui.note(format_args!("{title} datagrams at {}", udp.join(", ")));
        }
    }
    if list.is_empty() {
        ui.note("no service is enabled");
    }
    Ok(())
}

/// The name of a service in messages.
fn name(service: &dyn Service) -> String {
    match service.kind() == service.name() {
        true => title(service.kind()).to_owned(),
        false => format!("{} {}", title(service.kind()), service.name()),
    }
}

/// The title of a kind of service.
fn title(kind: &str) -> &str {
    let found = KINDS.iter().find(|known| known.name == kind);
    found.map_or(kind, |known| known.title)
}

/// Describes why a service of this kind does not start, with a hint.
pub(super) fn cannot_start(kind: &str, error: &ServiceError) -> Failure {
    use std::io::ErrorKind;

    let context = format!("cannot offer {}", title(kind));
    let failed = |exit| Failure::from_error(exit, &context, error);
    match error {
        ServiceError::Bind(bind) => match bind.source.kind() {
            ErrorKind::AddrInUse => failed(Exit::Failed).hint(
                "another program listens there, perhaps i2pd, Java I2P or another eepkit: stop it, \
                 or choose another address",
            ),
            ErrorKind::AlreadyExists => {
                failed(Exit::File).hint("only sockets are replaced: choose another path")
            }
            _ => failed(Exit::Failed),
        },
        ServiceError::Tls(_) | ServiceError::Users(_) | ServiceError::ChangeUsers(_) => {
            failed(Exit::File)
        }
        ServiceError::NoUsers => failed(Exit::Usage)
            .hint("start without that once, and say AUTH ADD USER=... PASSWORD=... to the bridge"),
        ServiceError::NoAddress | ServiceError::Invalid(_) => failed(Exit::Usage),
        ServiceError::Session(cause) => Failure::from_kind(cause.kind(), &context, error),
        _ => failed(Exit::Failed),
    }
}
