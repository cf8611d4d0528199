//! `eepkit run`: runs a router and the services of a configuration file.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use eepkit::{ErrorKind, Router};
use eepkit_services::{
    Action, Applied, ApplyError, KINDS, Services,
    control::{Client, Control, ControlError, Daemon, Order, Outcome, Phase, Places, Setup},
    files,
    service::{Context, Service, ServiceError, State},
};
use serde::Serialize;
use serde_json::{Map, Value};
use tokio::sync::mpsc;

use super::{
    control::{Reloaded, ReloadedService},
    daemon, keys, names, online,
};
use crate::{
    args::{CONTROL, NAMES, ROUTER, RunArgs},
    config::{self, Config},
    exit::Exit,
    failure::Failure,
    stop::{HangUp, Reload, Stop},
    ui::Ui,
};

pub(super) async fn run(args: RunArgs, ui: &Ui) -> Result<(), Failure> {
    if args.print_config {
        return ui.data(config::documented().trim_end());
    }
    let (config, file) = config::load(args.config.as_deref())?;
    if let Some(file) = &file {
        if online::contains_login(&config.router) {
            keys::warn_if_open_to_others(file, ui);
        }
        ui.note(format_args!("configuration: {}", file.display()));
    }
    if args.check {
        for plan in &config.services {
            plan.check()
                .map_err(|error| cannot_start(plan.kind(), &error))?;
        }
        return ui.data("the configuration can be used");
    }
    let control = match args.no_control || !config.control.enabled {
        true => None,
        false => Some(Place {
            named: args.control.or_else(|| config.control.socket.clone()),
            config: file.map(|file| std::path::absolute(&file).unwrap_or(file)),
        }),
    };
    serve(config, Source::File(args.config), control, args.json, ui).await
}

/// Where the control socket is, and the configuration file that it reports.
pub(super) struct Place {
    /// `None` for the default socket.
    named: Option<PathBuf>,
    config: Option<PathBuf>,
}

/// The source of a configuration.
pub(super) enum Source {
    /// The command line, which cannot be reloaded.
    Arguments,
    /// The given file, or the default one.
    File(Option<PathBuf>),
}

/// Starts the router and the services, and runs them until a signal or an order to stop arrives.
pub(super) async fn serve(
    config: Config,
    source: Source,
    place: Option<Place>,
    json: bool,
    ui: &Ui,
) -> Result<(), Failure> {
    let (mut stop, mut reload) = match source {
        Source::Arguments => (Stop::new()?, Reload::never()),
        Source::File(_) => (Stop::without_hangup()?, Reload::new()?),
    };
    let (daemon, mut orders) = Daemon::new(Setup {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        config: place.as_ref().and_then(|place| place.config.clone()),
        router: online::name(&config.router),
        embedded: config.router.is_embedded(),
    });
    let control = match place {
        Some(place) => listen(place.named, &daemon, ui).await?,
        None => None,
    };
    let (names, books) = match &source {
        Source::File(_) => names::open(&config.names, &config.router, ui)?,
        Source::Arguments => (names::on_demand(&config.router), None),
    };
    daemon.set_further_methods(Arc::new(names.clone()));
    let served = async {
        let router = {
            let starting = online::router(&config.router, books.as_ref(), &daemon, ui);
            tokio::select! {
                router = stop.or(starting) => router?,
                // Nothing runs yet, so there is nothing to stop.
                () = ordered_to_stop(&mut orders) => return Ok(()),
            }
        };
        daemon.set_router(router.clone());
        let fetching = tokio::spawn({
            let (names, router) = (names.clone(), router.with_names(names.clone()));
            async move { names.fetch_subscriptions(router).await }
        });
        let context = Context::new(router.clone()).names(names.clone());
        let services = Arc::new(Services::new(context));
        daemon.set_services(services.clone());
        let started = stop.or(start(&services, config.services.clone())).await;
        if let Err(failure) = started {
            services.stop().await;
            return Err(failure);
        }
        daemon.enter(Phase::Running);
        report(&router, &services, json, ui)?;
        // A file can be given another service with a reload.
        let is_of_arguments = matches!(source, Source::Arguments);
        loop {
            tokio::select! {
                _ = stop.received() => break,
                meaning = reload.received() => match (meaning, &source) {
                    (HangUp::Stop, _) => break,
                    (HangUp::Reload, Source::File(named)) => {
                        reload_and_report(&services, &config, named.as_deref(), ui).await;
                    }
                    (HangUp::Reload, Source::Arguments) => {}
                },
                Some(order) = orders.recv() => match order {
                    Order::Stop => break,
                    Order::Reload(reply) => {
                        let outcome = match &source {
                            Source::File(named) => {
                                reloaded(&services, &config, named.as_deref()).await
                            }
                            Source::Arguments => Err(Failure::usage("there is no file to reload")),
                        };
                        // The client may have gone.
                        let _ = reply.send(outcome_of(outcome));
                    }
                },
                () = all_ended(&services), if is_of_arguments => {
                    ui.note("the service has ended by itself");
                    break;
                }
                () = daemon.watch_router() => {}
            }
        }
        fetching.abort();
        daemon.enter(Phase::Stopping);
        let step = ui.step("stopping");
        tokio::select! {
            () = async {
                services.stop().await;
                router.shutdown().await;
            } => step.done("stopped"),
            // A second signal ends the shutdown.
            () = stop.insisted() => Ok(()),
        }
    };
    let result = served.await;
    daemon.enter(Phase::Stopped);
    if let Some(control) = control {
        control.close().await;
    }
    result
}

/// Listens on the control socket. If the default path cannot be used, the program runs without it.
async fn listen(
    named: Option<PathBuf>,
    daemon: &Daemon,
    ui: &Ui,
) -> Result<Option<Control>, Failure> {
    let is_default = named.is_none();
    let Some(path) = named.or_else(daemon::default_socket) else {
        ui.warn("no control socket: this user has no directory for it; see --control");
        return Ok(None);
    };
    if is_default && let Some(directory) = path.parent() {
        // If it fails, the error of the socket states the path.
        let _ = files::create_private_dir(directory);
    }
    let methods = Arc::new(daemon.clone());
    match Control::bind(path.clone(), methods).await {
        Ok(control) => Ok(Some(control)),
        Err(error) if error.source.kind() == std::io::ErrorKind::AddrInUse => {
            Err(runs_already(&path).await)
        }
        Err(error) if is_default => {
            let failure = Failure::from_error(Exit::File, "", &error);
            ui.warn(format_args!(
                "no control socket, so that `eepkit status` cannot find this program: {failure}"
            ));
            Ok(None)
        }
        Err(error) => Err(Failure::from_error(Exit::File, "control socket", &error)),
    }
}

/// The error of a second program with the same control socket.
async fn runs_already(path: &Path) -> Failure {
    let asking = async {
        let mut client = Client::connect(path).await?;
        client.call("version", Value::Null, ASK_LIMIT).await
    };
    let message = match asking.await {
        Ok(version) => format!("eepkit runs already, as process {}", version["pid"]),
        Err(_) => format!(
            "another program listens on the control socket {}",
            path.display()
        ),
    };
    Failure::new(Exit::Failed, message)
        .hint("`eepkit status` shows what it does, `eepkit reload` and `eepkit stop` control it")
        .hint("a second one needs a socket of its own: --control PATH, or --no-control")
}

/// Waits for an order to stop. Orders to reload are refused meanwhile.
async fn ordered_to_stop(orders: &mut mpsc::Receiver<Order>) {
    while let Some(order) = orders.recv().await {
        match order {
            Order::Stop => return,
            Order::Reload(reply) => {
                let error = ControlError::of_kind(ErrorKind::NoTunnels, "the router is starting");
                let _ = reply.send(Err(error));
            }
        }
    }
    std::future::pending().await
}

/// Waits until all services have ended by themselves.
async fn all_ended(services: &Services) {
    for service in services.list() {
        let mut states = service.states();
        // The channel is open as long as the service exists.
        let _ = states.wait_for(|state| *state == State::Stopped).await;
    }
}

fn outcome_of(result: Result<Reloaded, Failure>) -> Outcome {
    match result {
        Ok(reloaded) => serde_json::to_value(reloaded)
            .map_err(|error| ControlError::new("failed", error.to_string())),
        Err(failure) => {
            let code = match failure.exit() {
                Exit::File => "io",
                Exit::Usage => "bad_input",
                _ => "failed",
            };
            let error = ControlError::new(code, format!("nothing was reloaded: {failure}"));
            Err(match failure.hints() {
                [] => error,
                hints => error.hint(hints.join("; ")),
            })
        }
    }
}

/// Starts the services. Fails if one of them cannot be started.
async fn start(
    services: &Services,
    plans: Vec<Arc<dyn eepkit_services::Plan>>,
) -> Result<(), Failure> {
    for Applied {
        service, result, ..
    } in services.apply(plans).await
    {
        result.map_err(|error| cannot_start(service.kind(), &error))?;
    }
    Ok(())
}

/// Reads the file again and applies the changes. An error of the file, or of a service that it adds
/// or changes, changes nothing.
async fn reloaded(
    services: &Services,
    first: &Config,
    named: Option<&Path>,
) -> Result<Reloaded, Failure> {
    let (config, file) = config::load(named)?;
    let mut warnings = Vec::new();
    for (section, keys) in [
        (
            ROUTER.section,
            ROUTER.differing(&config.router, &first.router),
        ),
        (
            CONTROL.section,
            CONTROL.differing(&config.control, &first.control),
        ),
        (NAMES.section, NAMES.differing(&config.names, &first.names)),
    ] {
        if !keys.is_empty() {
            warnings.push(format!(
                "{} in [{section}] changed, which takes effect when the program starts again",
                keys.join(", ")
            ));
        }
    }
    let applied = services.try_apply(config.services).await;
    let applied = applied.map_err(|error| not_applied(&error, file.as_deref()))?;
    let services = applied.into_iter().map(
        |Applied {
             service,
             action,
             result,
             ..
         }| {
            let action = match action {
                Action::Kept => "kept",
                Action::Started => "started",
                Action::Restarted => "restarted",
                Action::Stopped => "stopped",
            };
            ReloadedService {
                title: name(&*service),
                kind: service.kind().to_owned(),
                name: service.name().to_owned(),
                action: action.to_owned(),
                error: result
                    .err()
                    .map(|error| cannot_start(service.kind(), &error).to_string()),
            }
        },
    );
    Ok(Reloaded {
        version: 1,
        services: services.collect(),
        warnings,
    })
}

/// Why a configuration was not applied, and what became of the old one.
fn not_applied(error: &ApplyError, file: Option<&Path>) -> Failure {
    let mut failure = cannot_start(error.kind, &error.cause);
    let place = match (file, error.line) {
        (Some(file), Some(line)) => format!("{}, line {line}: ", file.display()),
        _ => String::new(),
    };
    failure = failure.context(&format!("{place}[{}] {}", error.kind, error.name));
    for lost in &error.lost {
        let why = lost.result.as_ref().err().map(ServiceError::in_full);
        failure = failure.hint(format!(
            "{} of the old configuration cannot run again: {}",
            name(&*lost.service),
            why.unwrap_or_default()
        ));
    }
    failure
}

/// Reloads because of a signal, and reports the result on standard error.
async fn reload_and_report(services: &Services, first: &Config, named: Option<&Path>, ui: &Ui) {
    match reloaded(services, first, named).await {
        Err(failure) => {
            ui.warn(format_args!("nothing was reloaded: {failure}"));
            for hint in failure.hints() {
                ui.warn(hint);
            }
        }
        Ok(reloaded) => {
            for warning in &reloaded.warnings {
                ui.warn(warning);
            }
            for service in &reloaded.services {
                match service.line() {
                    (line, true) => ui.warn(line),
                    (line, false) => ui.note(line),
                }
            }
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
        let Places {
            mut tcp,
            udp,
            unix,
            i2p,
            ..
        } = service.addresses().into();
        let title = title(service.kind());
        let example = tcp
            .first()
            .and_then(|address| example(service.kind(), address));
        tcp.extend(unix);
        if !tcp.is_empty() {
            ui.note(format_args!("{title} at {}", tcp.join(", ")));
        }
        if let Some(example) = example {
            ui.note(format_args!("    {example}"));
        }
        if !i2p.is_empty() {
            ui.note(format_args!("{title} on I2P at {}", i2p.join(", ")));
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

/// A command that uses a service of this kind.
fn example(kind: &str, address: &str) -> Option<String> {
    let found = KINDS.iter().find(|known| known.name == kind)?;
    (found.example_command)(address)
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
        ServiceError::NoUsers => {
            failed(Exit::Usage).hint("add one to the file of users: eepkit users add FILE NAME")
        }
        ServiceError::NoAddress | ServiceError::Invalid(_) => failed(Exit::Usage),
        ServiceError::Session(cause) => Failure::from_kind(cause.kind(), &context, error),
        _ => failed(Exit::Failed),
    }
}

/// The time that a running program has to state its process.
const ASK_LIMIT: Duration = Duration::from_secs(2);
