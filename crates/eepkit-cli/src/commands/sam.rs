//! `eepkit sam` and `eepkit run`: services for other programs.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use eepkit::Router;
use eepkit_services::{
    sam::{SamBridge, SamBuilder, StartError, Users},
    tls,
};
use serde::Serialize;

use super::online;
use crate::{
    args::{KeyValue, RouterArgs, RouterChoice, RunArgs, SamArgs},
    config::{self, Config, RouterConfig, SamConfig},
    exit::Exit,
    failure::Failure,
    options::cannot_be,
    stop::Stop,
    ui::Ui,
};

/// The object that `--json` prints.
#[derive(Debug, Serialize)]
struct Serving {
    version: u32,
    router: String,
    sam: Vec<Bridge>,
}

#[derive(Debug, Serialize)]
struct Bridge {
    tcp: Vec<String>,
    udp: Vec<String>,
    unix: Vec<String>,
}

impl From<&SamBridge> for Bridge {
    fn from(bridge: &SamBridge) -> Self {
        Self {
            tcp: bridge.tcp_addrs().iter().map(ToString::to_string).collect(),
            udp: bridge.udp_addrs().iter().map(ToString::to_string).collect(),
            unix: bridge
                .unix_paths()
                .map(|path| path.display().to_string())
                .collect(),
        }
    }
}

pub(super) async fn run(args: SamArgs, ui: &Ui) -> Result<(), Failure> {
    for KeyValue { key, value } in &args.options {
        if let Some(why) = cannot_be(key, value) {
            return Err(Failure::usage(format!("--option {key}={value}: {why}")));
        }
    }
    let tls = args.tls_certificate.zip(args.tls_key);
    let listen = (!args.listen.is_empty()).then_some(args.listen);
    // Who asks for TLS or a Unix socket only does not want TCP without.
    let elsewhere = !args.listen_tls.is_empty() || !args.unix.is_empty();
    let config = SamConfig {
        listen: listen.or_else(|| elsewhere.then(Vec::new)),
        listen_tls: args.listen_tls,
        listen_unix: args.unix,
        udp: if args.no_udp {
            Some(Vec::new())
        } else {
            (!args.udp.is_empty()).then_some(args.udp)
        },
        tls,
        trust: args.trust,
        users: args.users,
        require_password: args.require_password,
        options: args.options,
        ..SamConfig::default()
    };
    serve(&args.router, &[config], args.json, ui).await
}

pub(super) async fn run_file(args: RunArgs, ui: &Ui) -> Result<(), Failure> {
    if args.print_config {
        return ui.data(config::documented().trim_end());
    }
    let (config, dir) = match config_file(args.config.as_deref()) {
        None => (Config::new(), None),
        Some(file) => {
            let config = read(&file)?;
            ui.note(format_args!("configuration: {}", file.display()));
            (config, file.parent().map(Path::to_owned))
        }
    };
    let RouterConfig {
        router,
        state_dir,
        reseed_file,
        start_timeout,
    } = config.router;
    let beside = |path: PathBuf| match &dir {
        Some(dir) => dir.join(path),
        None => path,
    };
    let router = RouterArgs {
        router: Some(router),
        state_dir: state_dir.map(beside),
        reseed_file: reseed_file.map(beside),
        start_timeout,
    };
    let bridges: Vec<SamConfig> = config
        .sam
        .into_iter()
        .map(|bridge| SamConfig {
            listen_unix: bridge.listen_unix.into_iter().map(beside).collect(),
            tls: bridge
                .tls
                .map(|(certificate, key)| (beside(certificate), beside(key))),
            trust: bridge.trust.map(beside),
            users: bridge.users.map(beside),
            ..bridge
        })
        .collect();
    if args.check {
        for bridge in &bridges {
            Files::read(bridge)?;
        }
        return ui.data("the configuration can be used");
    }
    serve(&router, &bridges, args.json, ui).await
}

/// The file that was named, or the one in the user's configuration directory if there is one.
fn config_file(named: Option<&Path>) -> Option<PathBuf> {
    match named {
        Some(file) => Some(file.to_owned()),
        None => {
            let file = dirs::config_dir()?.join("eepkit").join("eepkit.toml");
            file.exists().then_some(file)
        }
    }
}

fn read(file: &Path) -> Result<Config, Failure> {
    let name = file.display();
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::from_error(Exit::File, &format!("cannot read {name}"), &error))?;
    Config::parse(&text).map_err(|error| {
        let failure = Failure::new(Exit::File, format!("{name}, {error}"));
        match error.hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    })
}

/// Starts the router and the services, and serves until a signal comes.
async fn serve(
    router: &RouterArgs,
    bridges: &[SamConfig],
    json: bool,
    ui: &Ui,
) -> Result<(), Failure> {
    let mut stop = Stop::new()?;
    let router = stop.or(online::router(router, ui)).await?;
    let mut running = Vec::new();
    for config in bridges {
        running.push(start(router.clone(), config).await?);
    }
    if json {
        ui.json(&Serving {
            version: 1,
            router: router.name(),
            sam: running.iter().map(Bridge::from).collect(),
        })?;
    } else {
        for bridge in &running {
            tell(bridge, ui);
        }
        if running.is_empty() {
            ui.note("no service is enabled");
        }
    }
    stop.told().await;
    let step = ui.step("stopping");
    tokio::select! {
        () = async {
            for bridge in &running {
                bridge.stop().await;
            }
            router.shutdown().await;
        } => step.done("stopped"),
        // A second signal does not wait.
        _ = stop.told() => Ok(()),
    }
}

fn tell(bridge: &SamBridge, ui: &Ui) {
    let lines = Bridge::from(bridge);
    let mut places = lines.tcp;
    places.extend(lines.unix);
    ui.note(format_args!("SAM at {}", places.join(", ")));
    if !lines.udp.is_empty() {
        ui.note(format_args!("SAM datagrams at {}", lines.udp.join(", ")));
    }
}

/// Starts a bridge.
pub(super) async fn start(router: Router, config: &SamConfig) -> Result<SamBridge, Failure> {
    let mut builder = SamBridge::builder(router);
    for address in config.listen.iter().flatten() {
        builder = builder.listen(*address);
    }
    if config.listen.is_none() && !(config.listen_tls.is_empty() && config.listen_unix.is_empty()) {
        builder = builder.listen_default();
    }
    let Files { tls, trust, users } = Files::read(config)?;
    if let Some(tls) = tls {
        for address in &config.listen_tls {
            builder = builder.listen_tls(*address, tls.clone());
        }
    }
    for path in &config.listen_unix {
        builder = builder.listen_unix(path);
    }
    match &config.udp {
        None => {}
        Some(addresses) if addresses.is_empty() => builder = builder.without_udp(),
        Some(addresses) => {
            for address in addresses {
                builder = builder.udp(*address);
            }
        }
    }
    if let Some(trust) = trust {
        builder = builder.forward_tls(trust);
    }
    builder = builder.users(required(users, config)?);
    for KeyValue { key, value } in &config.options {
        builder = builder.default_option(key, value);
    }
    for KeyValue { key, value } in &config.overrides {
        builder = builder.option(key, value);
    }
    configure(builder, config)
        .start()
        .await
        .map_err(|error| cannot_start(&error))
}

fn configure(mut builder: SamBuilder, config: &SamConfig) -> SamBuilder {
    if let Some(limit) = config.open_timeout {
        builder = builder.open_timeout(limit.0);
    }
    if let Some(connections) = config.max_connections {
        builder = builder.max_connections(connections);
    }
    builder.configure(|speaks| {
        speaks.forward_anywhere = config.forward_anywhere;
        speaks.ping_after = config.ping_after.map(|span| span.0);
        speaks.command_timeout = config.command_timeout.map(|span| span.0);
        if let Some(limit) = config.hello_timeout {
            speaks.hello_timeout = limit.0;
        }
        if let Some(allowed) = config.auth_commands {
            speaks.auth_commands = allowed;
        }
        if let Some(kind) = config.signature_type {
            speaks.default_signature_type = kind;
        }
        if let Some(sessions) = config.max_sessions {
            speaks.max_sessions = sessions;
        }
    })
}

/// What the files hold that a bridge is given.
struct Files {
    tls: Option<Arc<tls::ServerConfig>>,
    trust: Option<Arc<tls::ClientConfig>>,
    users: Users,
}

impl Files {
    fn read(config: &SamConfig) -> Result<Self, Failure> {
        let cannot =
            |error: &tls::TlsError| Failure::from_error(Exit::File, "cannot speak TLS", error);
        let tls = config.tls.as_ref();
        let tls = tls.map(|(certificate, key)| tls::server(certificate, key));
        let trust = config.trust.as_deref().map(tls::client);
        let users = match &config.users {
            None => Users::new(),
            Some(file) => Users::load(file)
                .map_err(|error| Failure::from_error(Exit::File, "cannot use users", &error))?,
        };
        if config.require_password && users.is_empty() {
            return Err(Failure::new(
                Exit::Usage,
                "a password is required, and there are no users",
            )
            .hint(
                "start without that once, and say AUTH ADD USER=... PASSWORD=... to the bridge",
            ));
        }
        Ok(Self {
            tls: tls.transpose().map_err(|error| cannot(&error))?,
            trust: trust.transpose().map_err(|error| cannot(&error))?,
            users,
        })
    }
}

/// The users, asked for their password if the configuration says so.
fn required(mut users: Users, config: &SamConfig) -> Result<Users, Failure> {
    if config.require_password && !users.is_required() {
        users
            .set_required(true)
            .map_err(|error| Failure::from_error(Exit::File, "cannot use users", &error))?;
    }
    Ok(users)
}

fn cannot_start(error: &StartError) -> Failure {
    let failure = Failure::from_error(Exit::Failed, "cannot offer SAM", error);
    match error {
        StartError::Listen { source, .. } if source.kind() == std::io::ErrorKind::AddrInUse => {
            failure.hint("another SAM bridge runs there, perhaps that of i2pd or Java I2P: stop it, or choose other ports")
        }
        _ => failure,
    }
}

/// A bridge for a router of a private network.
pub(super) fn of_devnet(
    index: usize,
    base: Option<u16>,
    length: Option<u8>,
) -> Result<SamConfig, Failure> {
    let port = |offset: usize| -> Result<u16, Failure> {
        let Some(base) = base else {
            return Ok(0);
        };
        u16::try_from(usize::from(base) + offset + index).map_err(|_| {
            Failure::usage(
                "--sam-base is too high for so many routers, and their UDP ports at +1000",
            )
        })
    };
    let at = |port| std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let hops = length.unwrap_or(2).to_string();
    let option = |key: &str| KeyValue {
        key: key.to_owned(),
        value: hops.clone(),
    };
    Ok(SamConfig {
        listen: Some(vec![at(port(0)?)]),
        udp: Some(vec![at(port(UDP_OFFSET)?)]),
        options: vec![option("inbound.length"), option("outbound.length")],
        ..SamConfig::default()
    })
}

/// How far the UDP ports of a private network's bridges are from their TCP ports.
const UDP_OFFSET: usize = 1000;

impl RouterArgs {
    /// Whether the router is one in this process.
    pub(super) fn is_embedded(&self) -> bool {
        self.router == Some(RouterChoice::Embedded)
    }
}
