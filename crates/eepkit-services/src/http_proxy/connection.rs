//! One connection of a program.

use std::{
    convert::Infallible,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use http::{Method, Request, Response, StatusCode};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use rand::RngExt as _;
use tokio::time::sleep;
use tracing::{debug, trace};

use super::{
    own_pages,
    pages::{self, Form},
    problem::Problem,
    program::Program,
    request::Wanted,
    shared::Shared,
    site, tunnel,
};
use crate::web::{
    body::{self, Body},
    message::{MAX_BUFFER, MAX_HEADER_SIZE, MAX_HEADERS},
    resettable::Local,
};
use crate::{proxy::HasFrame as _, serve::Connection};

/// Serves a connection until it ends.
pub(super) async fn serve(shared: Arc<Shared>, connection: Connection) {
    let failed = Arc::new(AtomicBool::new(false));
    let local = Local::new(connection.socket, failed.clone());
    let program = Arc::new(Program::new(shared.clone(), failed));
    let service = service_fn(move |request| handle(program.clone(), request));
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(shared.config.proxy.request_timeout)
        .max_headers(MAX_HEADERS)
        .max_header_size(MAX_HEADER_SIZE)
        .max_buf_size(MAX_BUFFER)
        .title_case_headers(true)
        .auto_date_header(false);
    let connection = builder.serve_connection(TokioIo::new(local), service);
    let mut connection = std::pin::pin!(connection.with_upgrades());
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shared.frame().server.closing().cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.as_mut().await
        }
    };
    if let Err(error) = ended {
        debug!(%error, "HTTP proxy: a connection of a program ended");
    }
}

async fn handle(
    program: Arc<Program>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let form = Form::of(request.headers());
    let is_head = request.method() == Method::HEAD;
    let mut response = match answer(&program, request).await {
        Ok(response) => response,
        Err(problem) => {
            debug!(?problem, "HTTP proxy: refused a request");
            if is_measurable(&problem) {
                // The time must not show a site whether the user's address book has a name.
                let pause = rand::rng().random_range(PAUSE_MS);
                sleep(Duration::from_millis(pause)).await;
            }
            let jump = match problem {
                Problem::UnknownName(_) => program.shared.jump_services().await,
                _ => Vec::new(),
            };
            pages::problem(&problem, form, &jump)
        }
    };
    if is_head && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        *response.body_mut() = body::empty();
    }
    Ok(response)
}

async fn answer(
    program: &Arc<Program>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Problem> {
    let wanted = Wanted::of(&request)?;
    trace!(method = %request.method(), "HTTP proxy: request");
    if wanted == Wanted::Landing {
        return Ok(pages::landing());
    }
    if program.shared.config.connect_only && !matches!(wanted, Wanted::Tunnel(_)) {
        return Err(Problem::ConnectOnly);
    }
    let user = program.user(request.headers()).await?;
    match wanted {
        Wanted::Landing => Ok(pages::landing()),
        Wanted::Own(path) => own_pages::serve(&program.shared, request, &path).await,
        Wanted::Site(place, path) => site::fetch(program, request, &place, &path, &user).await,
        Wanted::Tunnel(place) => tunnel::open(program, request, &place, &user).await,
    }
}

/// Whether the time until the answer depends on what only the user knows.
fn is_measurable(problem: &Problem) -> bool {
    matches!(
        problem,
        Problem::UnknownName(_) | Problem::Local | Problem::NoOutproxy | Problem::BadName(_)
    )
}

/// Source: Java's proxy.
const PAUSE_MS: std::ops::Range<u64> = 400..650;
