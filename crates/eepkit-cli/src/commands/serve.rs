//! `eepkit serve`: a folder as a web site.

use std::{path::Path, time::Duration};

use eepkit::{Session, SessionProblem};
use eepkit_services::site::{MAX_CONNECTIONS, Site};
use qrcode::{QrCode, render::unicode::Dense1x2};

use super::{describe::with_port, keys, online::Online};
use crate::{args::ServeArgs, exit::Exit, failure::Failure, stop::Stop, ui::Ui};

pub(super) async fn run(args: ServeArgs, ui: &Ui) -> Result<(), Failure> {
    let site = open(&args.folder, ui)?;
    let mut stop = Stop::new()?;
    let keys = match &args.keys {
        Some(file) => Some(keys::load_or_create(file, ui)?),
        None => None,
    };
    let online = stop
        .or(Online::open(&args.router, &args.session, keys, ui))
        .await?;
    let result = publish(&args, site, &online, &mut stop, ui).await;
    online.close_or_stop(&mut stop).await;
    match result {
        // A signal is the normal end.
        Err(failure) if failure.is_signal() => Ok(()),
        result => result,
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
    site: Site,
    online: &Online,
    stop: &mut Stop,
    ui: &Ui,
) -> Result<(), Failure> {
    let session = &online.session;
    let listener = session
        .listen(0)
        .map_err(|error| Failure::from_kind(error.kind(), "cannot listen", &error))?;
    let server = eepkit::serve(listener, site)
        .max_streams(MAX_CONNECTIONS)
        .start();
    let address = format!("http://{}/", with_port(session.destination(), 0));
    ui.note(format_args!(
        "{} is online until Ctrl-C, for everybody who knows this address:",
        args.folder.display()
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
    server.shutdown(GRACE).await;
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
