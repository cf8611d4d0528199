//! `eepkit serve`: a folder or a local web server as a web site.

use std::{net::Ipv4Addr, path::Path, time::Duration};

use eepkit::{Server, Session, SessionProblem};
use eepkit_services::{
    service::Definition as _,
    site::{MAX_CONNECTIONS, Site},
    tunnel::{HttpServerTunnelConfig, ServerTunnel, Target},
};
use qrcode::{QrCode, render::unicode::Dense1x2};

use super::{describe::with_port, keys, online::Online, run::cannot_start};
use crate::{args::ServeArgs, exit::Exit, failure::Failure, stop::Stop, ui::Ui};

pub(super) async fn run(args: ServeArgs, ui: &Ui) -> Result<(), Failure> {
    let content = Content::of(&args, ui)?;
    let mut stop = Stop::new()?;
    let keys = match &args.keys {
        Some(file) => Some(keys::load_or_create(file, ui)?),
        None => None,
    };
    let online = stop
        .or(Online::open(&args.router, &args.session, keys, ui))
        .await?;
    let result = publish(&args, content, &online, &mut stop, ui).await;
    online.close_or_stop(&mut stop).await;
    match result {
        // A signal is the normal end.
        Err(failure) if failure.is_signal() => Ok(()),
        result => result,
    }
}

/// What is published.
enum Content {
    Folder(Site, String),
    Server(Box<HttpServerTunnelConfig>, String),
}

impl Content {
    fn of(args: &ServeArgs, ui: &Ui) -> Result<Self, Failure> {
        if let Some(folder) = &args.folder {
            return Ok(Self::Folder(
                open(folder, ui)?,
                folder.display().to_string(),
            ));
        }
        // clap requires one of them.
        let address = (Ipv4Addr::LOCALHOST, args.port.unwrap_or(80)).into();
        let mut config = HttpServerTunnelConfig::new().target(Target::Tcp(address));
        if let Some(host) = &args.host {
            config = config.host(host);
        }
        let wrong = |why: String| Failure::usage(HttpServerTunnelConfig::table().mistake(&why));
        config.validate().map_err(wrong)?;
        let name = format!("the web server at {address}");
        Ok(Self::Server(Box::new(config), name))
    }

    fn name(&self) -> &str {
        match self {
            Self::Folder(_, name) | Self::Server(_, name) => name,
        }
    }

    async fn start(self, session: &Session) -> Result<Publishing, Failure> {
        match self {
            Self::Folder(site, _) => {
                let listener = session
                    .listen(0)
                    .map_err(|error| Failure::from_kind(error.kind(), "cannot listen", &error))?;
                let server = eepkit::serve(listener, site)
                    .max_streams(MAX_CONNECTIONS)
                    .start();
                Ok(Publishing::Folder(server))
            }
            Self::Server(config, _) => match config.start_on(session).await {
                Ok(tunnel) => Ok(Publishing::Server(tunnel)),
                Err(error) => Err(cannot_start(HttpServerTunnelConfig::KIND, &error)),
            },
        }
    }
}

/// What is online.
enum Publishing {
    Folder(Server),
    Server(ServerTunnel),
}

impl Publishing {
    async fn stop(self) {
        match self {
            Self::Folder(server) => {
                server.shutdown(GRACE).await;
            }
            Self::Server(tunnel) => tunnel.stop().await,
        }
    }
}

fn open(folder: &Path, ui: &Ui) -> Result<Site, Failure> {
    let site = Site::open(folder).map_err(|error| Failure::new(Exit::File, error.to_string()))?;
    if !site.has_start_page() {
        ui.warn(format_args!(
            "{} has no index.html, so the address of the site alone will not be found",
            folder.display()
        ));
    }
    Ok(site)
}

async fn publish(
    args: &ServeArgs,
    content: Content,
    online: &Online,
    stop: &mut Stop,
    ui: &Ui,
) -> Result<(), Failure> {
    let session = &online.session;
    let name = content.name().to_owned();
    let publishing = content.start(session).await?;
    let address = format!("http://{}/", with_port(session.destination(), 0));
    ui.note(format_args!(
        "{name} is online until Ctrl-C, for everybody who knows this address:"
    ));
    ui.data(&address)?;
    if args.qr {
        ui.data(qr_code(&address)?)?;
    }
    let serving = async {
        tokio::select! {
            () = session.closed() => Err(ended(session)),
            never = online.report_reachability(ui) => match never {},
        }
    };
    let result = stop.or(serving).await;
    publishing.stop().await;
    result
}

/// Why a session has ended that nobody has closed.
fn ended(session: &Session) -> Failure {
    match session.status().problem() {
        Some(SessionProblem::Failed(error)) => {
            Failure::from_kind(error.kind(), "the site is offline", error)
        }
        _ => Failure::new(Exit::NoRouter, "the site is offline: its session has ended"),
    }
}

/// The QR code of a text, of light blocks: two rows of modules on each line.
fn qr_code(text: &str) -> Result<String, Failure> {
    let code = QrCode::new(text)
        .map_err(|error| Failure::from_error(Exit::Failed, "cannot make a QR code", &error))?;
    Ok(code
        .render::<Dense1x2>()
        .dark_color(Dense1x2::Light)
        .light_color(Dense1x2::Dark)
        .build())
}

/// How long answers may take when the program stops. Chosen because a user who presses Ctrl-C does not
/// wait for longer.
const GRACE: Duration = Duration::from_secs(3);
