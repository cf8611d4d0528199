//! Fetching a resource from a site.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use eepkit_naming::AddressHelper;
use http::{
    HeaderMap, Method, Request, Response, StatusCode, Uri, Version,
    header::{CONTENT_ENCODING, CONTENT_LENGTH, PROXY_AUTHORIZATION, TRANSFER_ENCODING},
    uri::PathAndQuery,
};
use hyper::{
    body::{Body as _, Incoming},
    upgrade::OnUpgrade,
};
use tracing::debug;

use super::{
    headers::{self, Length, Site},
    own_pages,
    peer::Peer,
    problem::Problem,
    program::{Program, User},
    request::Place,
    shared::Shared,
    tunnel,
    upstream::Upstream,
};
use crate::web::{
    body::{self, Body, Progress},
    message,
};
use crate::{naming::Known, target::Target};

/// Fetches a resource.
pub(super) async fn fetch(
    program: &Arc<Program>,
    mut request: Request<Incoming>,
    place: &Place,
    path: &PathAndQuery,
    user: &User,
) -> Result<Response<Body>, Problem> {
    let shared = &program.shared;
    let mut path = path.as_str().to_owned();
    if shared.config.address_helper
        && let Target::I2p(_) = &place.target
        && let Some(helper) =
            AddressHelper::from_request(&place.host, &path).map_err(Problem::Helper)?
    {
        match follow_helper(shared, request.method(), place, &helper).await? {
            Some(redirect) => return Ok(redirect),
            None => path = helper.path,
        }
    }
    let peer = Peer::of(shared, place, user).await?;
    let upgrade = (message::can_upgrade(request.version())
        && message::wanted_upgrade(request.headers()).is_some())
    .then(|| hyper::upgrade::on(&mut request));
    let outgoing = outgoing(shared, request, place, &path, &peer)?;
    let is_reusable = outgoing.head.method == Method::GET || outgoing.head.method == Method::HEAD;
    let (response, upstream) = exchange(shared, outgoing, &peer).await?;
    if response.status() == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
        // A browser would ask its user for the password of this proxy.
        return Err(match peer.is_outproxy {
            true => Problem::OutproxyRefused(response.status()),
            false => Problem::BadResponse("it asks for a login as if it were a proxy".to_owned()),
        });
    }
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return switch(program, response, upgrade, upstream);
    }
    let abandoned = upstream.abandoned.clone();
    if is_reusable {
        shared.pool.put(upstream);
    }
    Ok(incoming(program, response, abandoned))
}

/// Returns a redirect, or `None` if the helper is removed and the request continues.
async fn follow_helper(
    shared: &Shared,
    method: &Method,
    place: &Place,
    helper: &AddressHelper,
) -> Result<Option<Response<Body>>, Problem> {
    let known = shared
        .names
        .compare(helper)
        .await
        .map_err(|error| Problem::Store(error.to_string()))?;
    let is_read = *method == Method::GET || *method == Method::HEAD;
    let host = place.with_port(helper.name.as_str());
    match (known, is_read) {
        (Known::Same, true) => Ok(Some(own_pages::redirect(
            StatusCode::FOUND,
            &format!("http://{host}{}", helper.path),
        ))),
        (Known::Same, false) => Ok(None),
        (_, true) => {
            let (separator, path) = match helper.path.contains('?') {
                true => ('&', &helper.path),
                false => ('?', &helper.path),
            };
            let parameter = AddressHelper::PARAMETER;
            let url = format!(
                "http://{host}{path}{separator}{parameter}={}",
                helper.target
            );
            Ok(Some(own_pages::redirect_to_confirmation(&url)))
        }
        // A request with a body cannot be repeated after the confirmation.
        (_, false) => Err(Problem::Unconfirmed(helper.name.clone())),
    }
}

/// A request for a site.
struct Outgoing {
    head: Head,
    body: Body,
    progress: Progress,
}

#[derive(Clone)]
struct Head {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
}

fn outgoing(
    shared: &Shared,
    request: Request<Incoming>,
    place: &Place,
    path: &str,
    peer: &Peer,
) -> Result<Outgoing, Problem> {
    let (parts, body) = request.into_parts();
    let named = place.with_port(&place.host);
    let host = match peer.is_outproxy || shared.config.send_host_name {
        true => named.clone(),
        false => place.with_port(&peer.destination.hash().to_b32()),
    };
    let uri = match peer.is_outproxy {
        true => headers::absolute(&named, path),
        false => path.parse().ok(),
    };
    let uri = uri.ok_or(Problem::BadRequest("the path is not valid"))?;
    let has_body_header =
        parts.headers.contains_key(CONTENT_LENGTH) || parts.headers.contains_key(TRANSFER_ENCODING);
    let length = match (has_body_header, body.size_hint().exact()) {
        (false, _) => Length::Empty,
        (true, Some(length)) => Length::Known(length),
        (true, None) => Length::Unknown,
    };
    let site = Site {
        named: &named,
        host: &host,
        is_clearnet: peer.is_outproxy,
    };
    let config = &shared.config;
    let mut headers = headers::for_site(config, &parts.method, &parts.headers, &site, length);
    if let Some(login) = &peer.login {
        headers.insert(PROXY_AUTHORIZATION, login.clone());
    }
    let progress = Progress::new();
    let body = match length {
        Length::Empty => body::empty(),
        _ => body::upload(body, &progress),
    };
    Ok(Outgoing {
        head: Head {
            method: parts.method,
            uri,
            headers,
        },
        body,
        progress,
    })
}

/// Sends a request and returns the head of the response. A connection that was closed since its last
/// request is replaced.
async fn exchange(
    shared: &Arc<Shared>,
    outgoing: Outgoing,
    peer: &Peer,
) -> Result<(Response<Incoming>, Upstream), Problem> {
    let Outgoing {
        head,
        body,
        progress,
    } = outgoing;
    // A site may close an idle connection while the next request is in flight. Only a request that
    // changes nothing and has no body is sent again.
    let is_repeatable = head.method == Method::GET || head.method == Method::HEAD;
    let mut repeated = is_repeatable
        .then(|| body.is_end_stream())
        .filter(|is_empty| *is_empty)
        .map(|_| head.clone().request(body::empty()));
    let mut request = head.request(body);
    let mut pooled = shared.pool.take(peer.key());
    loop {
        let mut upstream = match pooled.take() {
            Some(upstream) => upstream,
            None => peer.upstream(shared).await?,
        };
        let mut abandoning = Abandoning(Some(upstream.abandoned.clone()));
        let sending = upstream.sender.try_send_request(request);
        let sent = tokio::select! {
            sent = sending => sent,
            () = progress.stalled(shared.config.response_timeout) => {
                return Err(Problem::NoResponse);
            }
        };
        match sent {
            Ok(response) => {
                abandoning.0 = None;
                upstream.is_used = true;
                return Ok((response, upstream));
            }
            Err(mut error) => {
                let unsent = error.take_message();
                match unsent.or_else(|| repeated.take()) {
                    Some(message) if upstream.is_used => {
                        debug!("HTTP proxy: the site closed an idle connection");
                        request = message;
                        pooled = shared.pool.take(peer.key());
                    }
                    _ => return Err(failed(&error.into_error())),
                }
            }
        }
    }
}

/// Resets a stream when it is dropped before the response. The site would otherwise send all of it.
struct Abandoning(Option<Arc<AtomicBool>>);

impl Drop for Abandoning {
    fn drop(&mut self) {
        if let Some(abandoned) = &self.0 {
            abandoned.store(true, Ordering::Relaxed);
        }
    }
}

impl Head {
    fn request(self, body: Body) -> Request<Body> {
        let mut request = Request::new(body);
        *request.method_mut() = self.method;
        *request.uri_mut() = self.uri;
        *request.version_mut() = Version::HTTP_11;
        *request.headers_mut() = self.headers;
        request
    }
}

/// The problem of a connection that failed before the response.
fn failed(error: &hyper::Error) -> Problem {
    let mut cause = std::error::Error::source(error);
    while let Some(source) = cause {
        if let Some(io) = source.downcast_ref::<std::io::Error>()
            && let Some(stream) = eepkit::StreamError::of(io)
        {
            return Problem::Connect(stream.kind(), stream.to_string());
        }
        cause = source.source();
    }
    let why = match error.is_incomplete_message() {
        true => "it closed the connection before the response".to_owned(),
        false => error.to_string(),
    };
    Problem::BadResponse(why)
}

/// The response for the program.
fn incoming(
    program: &Program,
    response: Response<Incoming>,
    abandoned: Arc<AtomicBool>,
) -> Response<Body> {
    let (parts, body) = response.into_parts();
    let mut body = body::download(body, &program.failed, abandoned);
    let mut headers = parts.headers;
    headers::for_program(&mut headers, false);
    let is_i2p_gzip = headers
        .get(CONTENT_ENCODING)
        .is_some_and(|coding| coding.as_bytes().eq_ignore_ascii_case(b"x-i2p-gzip"));
    if is_i2p_gzip {
        headers.remove(CONTENT_ENCODING);
        headers.remove(CONTENT_LENGTH);
        if !body.is_end_stream() {
            body = body::gunzip(body, &program.failed);
        }
    }
    let mut response = Response::new(body);
    *response.status_mut() = parts.status;
    *response.headers_mut() = headers;
    if let Some(reason) = parts.extensions.get::<hyper::ext::ReasonPhrase>() {
        response.extensions_mut().insert(reason.clone());
    }
    response
}

/// Changes the protocol of both connections, and relays between them.
fn switch(
    program: &Arc<Program>,
    mut response: Response<Incoming>,
    upgrade: Option<OnUpgrade>,
    upstream: Upstream,
) -> Result<Response<Body>, Problem> {
    let Some(local) = upgrade else {
        return Err(Problem::BadResponse(
            "it changes the protocol, which was not requested".to_owned(),
        ));
    };
    let site = hyper::upgrade::on(&mut response);
    tunnel::relay_upgraded(program, local, site, upstream);
    let (parts, _) = response.into_parts();
    let mut headers = parts.headers;
    headers::for_program(&mut headers, true);
    let mut response = Response::new(body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *response.headers_mut() = headers;
    Ok(response)
}
