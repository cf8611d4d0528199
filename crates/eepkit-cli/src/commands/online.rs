//! Puts a destination online: starts the router and the session, and reports progress.

use std::{
    convert::Infallible,
    path::{Path, PathBuf},
    time::Duration,
};

use eepkit::{
    Address, AddressBook, Destination, EmbeddedRouter, ErrorKind, HostBook, OpenError, PrivateKeys,
    Reseed, ReseedError, Router, RouterWatch, Session, SessionBuilder, SessionStage, StartError,
};
use eepkit_files::Lock;
use eepkit_services::control::Daemon;
use eepkit_wire::Zeroizing;
use tokio::time::{Instant, timeout_at};

use super::{keys, names, router_clock};
use crate::{
    args::{InOut, KeyValue, RouterArgs, RouterChoice, SessionArgs},
    exit::Exit,
    failure::Failure,
    stop::Stop,
    ui::{self, Step, Ui},
};

/// A session and its router.
#[derive(Debug)]
pub(super) struct Online {
    pub(super) session: Session,
    router: Router,
    /// Held until the session is closed.
    _claim: Option<Lock>,
}

impl Online {
    /// Puts a destination online on the selected router: the one of `keys`, or a new one.
    pub(super) async fn open(
        args: &RouterArgs,
        session: &SessionArgs,
        keys: Option<PrivateKeys>,
        ui: &Ui,
    ) -> Result<Self, Failure> {
        match &args.router {
            Some(RouterChoice::Embedded) => Self::embed(args, session, keys, ui).await,
            Some(RouterChoice::Attached(_)) | None => Self::attach(args, session, keys, ui).await,
        }
    }

    /// Reports when peers cannot reach the session any more, with the reason, and when they can again.
    pub(super) async fn report_reachability(&self, ui: &Ui) -> Infallible {
        let mut watch = self.session.watch();
        let mut reachable = true;
        while let Some(status) = watch.changed().await {
            match (status.is_ready(), status.problem()) {
                (false, Some(problem)) if reachable => {
                    reachable = false;
                    ui.warn(format_args!(
                        "peers cannot connect for now: {problem}; trying again"
                    ));
                }
                (true, _) if !reachable => {
                    reachable = true;
                    ui.note("peers can connect again");
                }
                _ => {}
            }
        }
        std::future::pending().await
    }

    async fn attach(
        args: &RouterArgs,
        session: &SessionArgs,
        keys: Option<PrivateKeys>,
        ui: &Ui,
    ) -> Result<Self, Failure> {
        let router = attached(args, ui)?.with_names(names::on_demand(args));
        let claim = match &keys {
            Some(keys) => claim(keys.destination(), &router.name())?,
            None => None,
        };
        let limit = args.start_timeout.map_or(ATTACHED_LIMIT, |limit| limit.0);
        // Unlike the address of the command line, the name contains no password.
        let name = router.name();
        let mut step = ui.step(format!("connecting to the router at {name}"));
        let session = start(configure(router.session(), session, keys), limit, &mut step)
            .await
            .map_err(|error| no_session(&error, &name, args.router.is_none()))?;
        step.done(format_args!("online through the router at {name}"))?;
        warn_about_clock(&session, ui);
        Ok(Self {
            session,
            router,
            _claim: claim,
        })
    }

    async fn embed(
        args: &RouterArgs,
        session: &SessionArgs,
        keys: Option<PrivateKeys>,
        ui: &Ui,
    ) -> Result<Self, Failure> {
        let limit = args
            .start_timeout
            .map_or(RouterArgs::EMBEDDED_LIMIT, |limit| limit.0);
        let end = Instant::now() + limit;
        let mut step = ui.step("starting a router in this process");
        let router = start_embedded(args, None, limit, &mut step, |_| {}).await?;
        let router = router.with_names(names::on_demand(args));
        let left = end
            .saturating_duration_since(Instant::now())
            .max(SESSION_LIMIT);
        let session = start(configure(router.session(), session, keys), left, &mut step)
            .await
            .map_err(|error| no_session(&error, "this process", false))?;
        step.done("online through a router in this process")?;
        // The lock of the state directory excludes other programs.
        Ok(Self {
            session,
            router,
            _claim: None,
        })
    }

    /// Sends the remaining data, takes the destination offline and stops the router if it runs in
    /// this process. A signal ends this early.
    pub(super) async fn close_or_stop(self, stop: &mut Stop) {
        drop(self.session);
        tokio::select! {
            () = self.router.shutdown() => {}
            () = stop.insisted() => {}
        }
    }
}

/// Warns if the router's clock differs from that of this machine.
fn warn_about_clock(session: &Session, ui: &Ui) {
    let status = session.status();
    let router = status.activity().router.as_ref();
    if let Some(ahead) = router
        .and_then(|router| router.clock_ahead_ms)
        .filter(|ahead| router_clock::is_wrong(*ahead))
    {
        let difference = router_clock::describe(ahead);
        ui.warn(format_args!(
            "the router's clock is {difference} the clock of this machine; peers may fail to connect"
        ));
        ui.note(format_args!("hint: {}", router_clock::HINT));
    }
}

/// The name of the selected router, before it is started or contacted. It contains no password.
pub(super) fn name(args: &RouterArgs) -> String {
    if args.is_embedded() {
        return "embedded".to_owned();
    }
    attach(args).map_or_else(|_| "unknown".to_owned(), |router| router.name())
}

/// The selected router in another process, which has not been contacted.
pub(super) fn attach(args: &RouterArgs) -> Result<Router, Failure> {
    let address = address_of(args);
    let router = match &args.login_file {
        None => Router::attach(address),
        Some(file) => {
            let login = login(file)?;
            // Checked by `login`.
            let (user, password) = login.split_once(':').unwrap_or_default();
            Router::attach_with_login(address, user, password)
        }
    };
    router.map_err(|error| Failure::from_error(Exit::Usage, "--router", &error))
}

/// The address of the selected router in another process.
fn address_of(args: &RouterArgs) -> &str {
    match &args.router {
        Some(RouterChoice::Attached(address)) => address,
        _ => DEFAULT_ROUTER,
    }
}

/// Returns the selected router without a session. A router in this process is ready, and reports
/// its status to `daemon` from its start on. A router in another process has not been contacted.
pub(super) async fn router(
    args: &RouterArgs,
    books: Option<&AddressBook>,
    daemon: &Daemon,
    ui: &Ui,
) -> Result<Router, Failure> {
    if !args.is_embedded() {
        let router = attached(args, ui)?;
        ui.note(format_args!("using the router at {}", router.name()));
        return Ok(router);
    }
    let limit = args
        .start_timeout
        .map_or(RouterArgs::EMBEDDED_LIMIT, |limit| limit.0);
    let mut step = ui.step("starting a router in this process");
    let watched = |watch: &RouterWatch| daemon.set_router_watch(watch.clone());
    let router = start_embedded(args, books, limit, &mut step, watched).await?;
    step.done("a router runs in this process")?;
    Ok(router)
}

/// Returns the selected router of another process, which has not been contacted. Warns of a login
/// that others can read.
fn attached(args: &RouterArgs, ui: &Ui) -> Result<Router, Failure> {
    warn_of_visible_login(address_of(args), std::env::args_os(), ui);
    if let Some(file) = &args.login_file {
        keys::warn_if_open_to_others(file, ui);
    }
    attach(args)
}

/// Claims a destination on a router for this program. Most routers refuse a second session for a
/// destination, but emissary opens it, and each message then reaches only one of the two.
///
/// Returns `None` if there is no directory for the claim.
fn claim(destination: &Destination, router: &str) -> Result<Option<Lock>, Failure> {
    let Some(cache) = dirs::runtime_dir().or_else(dirs::cache_dir) else {
        return Ok(None);
    };
    let directory = cache.join("eepkit").join("online");
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let router: String = router.chars().map(plain).take(100).collect();
    let file = directory.join(format!("{}.{router}.lock", destination.to_b32()));
    let claimed = eepkit_files::create_private_dir(&directory).and_then(|()| Lock::acquire(&file));
    match claimed {
        Ok(Some(lock)) => Ok(Some(lock)),
        Ok(None) => Err(Failure::new(
            Exit::Failed,
            "another eepkit is online with these keys on this router",
        )
        .hint("stop it, or use other keys: a destination can be in one place only")),
        // Going online matters more than the check.
        Err(_) => Ok(None),
    }
}

/// Reads `USER:PASSWORD` from the first line of a file.
fn login(file: &Path) -> Result<Zeroizing<String>, Failure> {
    let name = file.display();
    let bytes = eepkit_files::read_secret(file, MAX_LOGIN)
        .map_err(|error| Failure::from_error(Exit::File, &format!("cannot read {name}"), &error))?;
    let text = std::str::from_utf8(&bytes).unwrap_or_default();
    let line = text.lines().next().unwrap_or_default().trim();
    match line.split_once(':') {
        Some((user, password)) if !user.is_empty() && !password.is_empty() => {
            Ok(Zeroizing::new(line.to_owned()))
        }
        _ => Err(Failure::new(
            Exit::File,
            format!("{name} contains no login: its first line must be USER:PASSWORD"),
        )),
    }
}

/// Whether the address of a router contains a login.
pub(super) fn contains_login(args: &RouterArgs) -> bool {
    matches!(&args.router, Some(RouterChoice::Attached(address)) if has_login(address))
}

fn has_login(address: &str) -> bool {
    let rest = address.split_once("://").map(|(_, rest)| rest);
    rest.is_some_and(|rest| rest.contains('@'))
}

/// Warns if the address in an argument of this process contains a login, because every user of the
/// machine can read the arguments.
fn warn_of_visible_login(
    address: &str,
    mut arguments: impl Iterator<Item = std::ffi::OsString>,
    ui: &Ui,
) {
    if has_login(address) && arguments.any(|argument| argument.to_string_lossy().ends_with(address))
    {
        ui.warn(
            "other users can read the login in --router in the list of processes: put USER:PASSWORD \
             into a file and give --login-file FILE, or set EEPKIT_ROUTER",
        );
    }
}

/// Starts a router in this process and reports its stages until it is ready.
pub(super) async fn start_embedded(
    args: &RouterArgs,
    books: Option<&AddressBook>,
    limit: Duration,
    step: &mut Step,
    watched: impl FnOnce(&RouterWatch),
) -> Result<Router, Failure> {
    let end = Instant::now() + limit;
    let mut builder = EmbeddedRouter::builder(state_dir(args)?);
    if let Some(file) = &args.reseed_file {
        builder = builder.reseed(Reseed::file(file));
    }
    if let Some(books) = books {
        // The router resolves the names that its own clients look up.
        builder = builder.hosts(HostBook::over(books.clone()));
    }
    let mut watch = builder.watch();
    watched(&watch);
    let last = watch.clone();
    let starting = async {
        let router = builder.start().await.map_err(no_router)?;
        let ready = router.watch().ready(limit).await;
        ready.map_err(|error| Failure::from_error(Exit::NoRouter, "", &error).hint(FIRST_START))?;
        Ok(router)
    };
    let report = async {
        while let Some(status) = watch.changed().await {
            step.update(match status.waiting_for() {
                Some(what) => format!(
                    "router in this process: {}, waiting for {what}",
                    status.stage()
                ),
                None => format!("router in this process: {}", status.stage()),
            });
        }
        // The result is that of the other future.
        std::future::pending().await
    };
    let started = tokio::select! {
        started = timeout_at(end, starting) => started,
        never = report => never,
    };
    let started = started.unwrap_or_else(|_| {
        let why = format!(
            "the router was not ready after {}: {}",
            ui::duration(limit),
            last.current().account()
        );
        Err(Failure::new(Exit::NoRouter, why).hint(FIRST_START))
    })?;
    Ok(Router::new(started))
}

/// The state directory of the embedded router.
fn state_dir(args: &RouterArgs) -> Result<PathBuf, Failure> {
    match (&args.state_dir, dirs::data_dir()) {
        (Some(directory), _) => Ok(directory.clone()),
        (None, Some(data)) => Ok(data.join("eepkit").join("router")),
        (None, None) => Err(
            Failure::new(Exit::File, "there is no directory for user data")
                .hint("say where the router may keep its state: --state-dir DIR"),
        ),
    }
}

/// Opens a session and reports each stage until peers can reach it.
///
/// Fails after the first attempt: if the router cannot be reached now, there is no retry.
pub(super) async fn start(
    builder: SessionBuilder,
    limit: Duration,
    step: &mut Step,
) -> Result<Session, OpenError> {
    let session = builder.open_timeout(limit).start()?;
    let mut watch = session.watch();
    let lost = async {
        loop {
            match watch.current().stage() {
                SessionStage::Opening => {
                    step.update("waiting for the router to accept the session")
                }
                SessionStage::BuildingTunnels => step.update("waiting for tunnels"),
                SessionStage::LeaseSetSent => step.update("publishing the lease set"),
                SessionStage::Lost => return,
                _ => {}
            }
            if watch.changed().await.is_none() {
                return;
            }
        }
    };
    tokio::select! {
        result = session.watch().ready(limit) => result.map(drop)?,
        // Returns the reason immediately.
        () = lost => session.watch().ready(Duration::ZERO).await.map(drop)?,
    }
    Ok(session)
}

/// Applies the options of the command line.
pub(super) fn configure(
    mut builder: SessionBuilder,
    args: &SessionArgs,
    keys: Option<PrivateKeys>,
) -> SessionBuilder {
    builder = builder.preset(args.preset);
    if let Some(keys) = keys {
        builder = builder.keys(keys);
    }
    for (name, value) in [("length", args.length), ("quantity", args.quantity)] {
        if let Some(InOut { inbound, outbound }) = value {
            builder = builder
                .option(&format!("inbound.{name}"), inbound)
                .option(&format!("outbound.{name}"), outbound);
        }
    }
    for KeyValue { key, value } in &args.options {
        builder = builder.option(key, value);
    }
    builder
}

fn no_router(error: StartError) -> Failure {
    let failure = match &error {
        // The errors of a dozen hosts are written only to the log.
        StartError::Reseed(ReseedError::Hosts(_)) => Failure::new(
            Exit::NoRouter,
            "cannot start a router: it knows no others yet, and no list of them could be downloaded",
        )
        .hint("-v shows what became of each reseed host"),
        _ => Failure::from_error(Exit::NoRouter, "cannot start a router", &error),
    };
    match eepkit::Error::from(error).kind() {
        ErrorKind::NetworkUnreachable => failure
            .hint("check the connection to the internet and the clock, or give a list: --reseed-file FILE")
            .hint("without the internet, `eepkit devnet` is a network to try things out on"),
        kind => failure.hint_of(kind),
    }
}

pub(super) fn no_session(error: &OpenError, router: &str, is_default: bool) -> Failure {
    match error.kind() {
        ErrorKind::RouterUnreachable => {
            let why = innermost(error);
            let failure = Failure::new(
                Exit::NoRouter,
                format!("no I2P router answers at {router}: {why}"),
            );
            if is_default {
                failure
                    .hint("start i2pd or Java I2P with I2CP enabled, or say where it is: --router i2cp://HOST:PORT")
                    .hint("or let this process be a router: --router embedded (needs the internet)")
                    .hint("or try things out on a private network: `eepkit devnet`, in another terminal")
            } else {
                failure.hint(
                    "see that the router runs, that I2CP (or SAM, as asked) is enabled in it, and on which port",
                )
            }
        }
        ErrorKind::Protocol => Failure::from_error(Exit::NoRouter, "", error)
            .hint("see which port the router offers I2CP (i2cp://) or SAM (sam://) on; HTTP and SOCKS have others"),
        kind => Failure::from_kind(kind, "cannot get online", error),
    }
}

/// Returns the innermost error, which is that of the operating system.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// Parses an address of the command line.
pub(super) fn address(text: &str) -> Result<Address, Failure> {
    if text.contains("://") {
        return Err(
            Failure::usage(format!("{text:?} is a URL, not a destination")).hint(
                "leave out what is before and behind the host name, as in echo.i2p or echo.i2p:80",
            ),
        );
    }
    text.parse::<Address>().map_err(|error| {
        let failure = Failure::from_error(Exit::Usage, "", &error);
        match error.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    })
}

/// Formats an address for messages. A full destination becomes its base32 form.
pub(super) fn shown(address: &Address) -> String {
    match &address.host {
        eepkit::Host::Destination(destination) => {
            super::describe::with_port(destination, address.port)
        }
        _ => address.to_string(),
    }
}

/// The default I2CP address of i2pd, Java I2P and I2P+.
const DEFAULT_ROUTER: &str = "i2cp://127.0.0.1:7654";

/// The limit for a running router to build tunnels for the session. Chosen because a router that is
/// up takes seconds. A router that starts takes minutes, and its user can set the limit.
const ATTACHED_LIMIT: Duration = Duration::from_secs(60);

/// The largest file with a login, in bytes. Chosen far above what routers accept.
const MAX_LOGIN: usize = 4096;

const FIRST_START: &str =
    "a first start takes minutes and needs the internet; --start-timeout gives it more time";

/// The limit for the session of a router in this process. Chosen because the router already has
/// tunnels.
const SESSION_LIMIT: Duration = Duration::from_secs(30);
