//! The pages of `proxy.i2p`: adding names to the address book.
//!
//! A name is added only by a form that was displayed to the user, which is sent with POST and
//! contains a nonce. Other sites can neither read the form nor send it.

use std::fmt::Write as _;

use eepkit_naming::{AddressHelper, Book, HelperError};
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode,
    header::{CONTENT_TYPE, LOCATION, ORIGIN},
    uri::PathAndQuery,
};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::{
    forms::Offer,
    pages::{self, ERROR, Escaped},
    problem::Problem,
    request::OWN_HOST,
    shared::Shared,
};
use crate::{
    naming::{Known, readable},
    web::body::{self, Body},
};

/// Answers a request for a page.
pub(super) async fn serve(
    shared: &Shared,
    request: Request<Incoming>,
    path: &PathAndQuery,
) -> Result<Response<Body>, Problem> {
    let is_read = request.method() == Method::GET || request.method() == Method::HEAD;
    match path.path() {
        "/" if is_read => Ok(home(shared)),
        "/helper" if is_read => confirm(shared, path.query().unwrap_or_default()).await,
        "/helper" if request.method() == Method::POST => add(shared, request).await,
        _ => Err(Problem::NoPage),
    }
}

/// The redirect from a link with an address helper to the page on which the user confirms it.
pub(super) fn redirect_to_confirmation(url: &str) -> Response<Body> {
    let url = utf8_percent_encode(url, IN_QUERY);
    redirect(
        StatusCode::FOUND,
        &format!("http://{OWN_HOST}/helper?url={url}"),
    )
}

pub(super) fn redirect(status: StatusCode, url: &str) -> Response<Body> {
    let mut response = Response::new(body::empty());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    // URLs are made of parts that were parsed as such.
    if let Ok(url) = HeaderValue::from_str(url) {
        headers.insert(LOCATION, url);
    }
    let no_store = HeaderValue::from_static("no-store");
    headers.insert(http::header::CACHE_CONTROL, no_store);
    response
}

fn home(shared: &Shared) -> Response<Body> {
    let mut content = String::from(
        "<p>The proxy works. Sites on I2P can be opened by their names or by their .b32.i2p \
         addresses.</p>",
    );
    let once = shared.names.once_names();
    if !once.is_empty() {
        content.push_str("<p>Names that are used until the proxy ends:</p><ul>");
        for name in once {
            let _ = write!(content, "<li>{}</li>", Escaped(name.as_str()));
        }
        content.push_str("</ul>");
    }
    pages::html_page(
        StatusCode::OK,
        "eepkit HTTP proxy",
        &content,
        "form-action 'none'",
    )
}

/// The page on which the user confirms an address helper.
async fn confirm(shared: &Shared, query: &str) -> Result<Response<Body>, Problem> {
    let url = parameter(query, "url").ok_or(Problem::NoPage)?;
    let helper = AddressHelper::from_url(&url)
        .map_err(Problem::Helper)?
        .ok_or(Problem::NoPage)?;
    let known = shared
        .names
        .compare(&helper)
        .await
        .map_err(|error| Problem::Store(error.to_string()))?;
    let then = url_without_helper(&url, &helper)?;
    let name = helper.name.to_unicode();
    let host = helper.name.as_str().to_owned();
    let address = readable(&helper.target);
    let (status, title, text) = match &known {
        Known::Same => return Ok(redirect(StatusCode::FOUND, &then)),
        Known::New => (
            StatusCode::OK,
            "New name",
            format!(
                "<p>The link gives the name <strong>{}</strong> this destination:</p>\
                 <p><code>{}</code></p>\
                 <p>The name is not in the address book. Whoever made the link chose the \
                 destination.</p>",
                Escaped(&name),
                Escaped(&address)
            ),
        ),
        Known::Other(target) => (
            StatusCode::CONFLICT,
            "The name has another destination",
            format!(
                "<p class=\"warning\">The link gives the name <strong>{}</strong> a destination that \
                 differs from that in the address book. It may be an attempt to lead you to another \
                 site.</p>\
                 <p>In the link:<br><code>{}</code></p><p>In the address book:<br><code>{}</code></p>\
                 <p><a href=\"{}\">Open the site of the address book</a></p>",
                Escaped(&name),
                Escaped(&address),
                Escaped(&readable(target)),
                Escaped(&then)
            ),
        ),
    };
    let replaces = matches!(known, Known::Other(_));
    let nonce = shared.forms.add(Offer {
        helper,
        then,
        replaces,
    });
    let mut content = format!(
        "{text}<form method=\"post\" action=\"/helper\">\
         <input type=\"hidden\" name=\"nonce\" value=\"{}\">",
        Escaped(&nonce)
    );
    content.push_str(
        "<p><button name=\"book\" value=\"once\">Open it once</button> uses the destination until \
         the proxy ends.</p>",
    );
    if shared.names.has_books() {
        let verb = if replaces { "Replace" } else { "Add" };
        for (book, what) in [
            (Book::User, "your names"),
            (Book::Private, "private names, which are never published"),
        ] {
            let _ = write!(
                content,
                "<p><button name=\"book\" value=\"{book}\">{verb} in the book {book}</button>: \
                 {what}.</p>",
            );
        }
    }
    content.push_str("</form>");
    // Browsers apply the policy also to the redirect after the form.
    let policy = format!("form-action 'self' http://{host}:*");
    let mut response = pages::html_page(status, title, &content, &policy);
    if replaces {
        let code = HeaderValue::from_static("address_conflict");
        response.headers_mut().insert(ERROR, code);
    }
    Ok(response)
}

/// Executes a form.
async fn add(shared: &Shared, request: Request<Incoming>) -> Result<Response<Body>, Problem> {
    check_origin(request.headers())?;
    let body = Limited::new(request.into_body(), MAX_FORM).collect().await;
    let body = body.map_err(|_| Problem::BadRequest("the form is too long"))?;
    let form = String::from_utf8_lossy(&body.to_bytes()).into_owned();
    let nonce = parameter(&form, "nonce").unwrap_or_default();
    let book = parameter(&form, "book").unwrap_or_default();
    let book = match book.as_str() {
        "once" => None,
        "user" => Some(Book::User),
        "private" => Some(Book::Private),
        _ => return Err(Problem::BadRequest("the form has no book")),
    };
    let offer = shared.forms.take(&nonce).ok_or(Problem::FormExpired)?;
    match book {
        None => shared.names.remember(&offer.helper),
        Some(book) => shared
            .names
            .add(book, &offer.helper)
            .await
            .map_err(|error| Problem::Store(error.to_string()))?,
    }
    Ok(redirect(StatusCode::SEE_OTHER, &offer.then))
}

/// Refuses forms that another site sends.
fn check_origin(headers: &HeaderMap) -> Result<(), Problem> {
    let own = format!("http://{OWN_HOST}");
    let is_foreign = headers.get(ORIGIN).is_some_and(|origin| *origin != own)
        || headers
            .get("sec-fetch-site")
            .is_some_and(|site| site != "same-origin");
    let is_form = headers.get(CONTENT_TYPE).is_some_and(|kind| {
        let kind = kind.to_str().unwrap_or_default();
        kind.split(';').next().unwrap_or_default().trim() == "application/x-www-form-urlencoded"
    });
    match (is_foreign, is_form) {
        (true, _) => Err(Problem::ForeignForm),
        (false, false) => Err(Problem::BadRequest("the form has an unknown type")),
        (false, true) => Ok(()),
    }
}

/// The URL of a link without its helper.
fn url_without_helper(url: &str, helper: &AddressHelper) -> Result<String, Problem> {
    let url: http::Uri = url
        .parse()
        .map_err(|_| Problem::Helper(HelperError::NotHttp))?;
    let port = match url.port_u16() {
        None | Some(80) => String::new(),
        Some(port) => format!(":{port}"),
    };
    Ok(format!("http://{}{port}{}", helper.name, helper.path))
}

/// A value of a query or a form.
fn parameter(text: &str, wanted: &str) -> Option<String> {
    text.split('&').find_map(|part| {
        let (key, value) = part.split_once('=')?;
        if key != wanted {
            return None;
        }
        let value = value.replace('+', " ");
        let decoded = percent_decode_str(&value).decode_utf8().ok()?;
        Some(decoded.into_owned())
    })
}

/// Everything but letters, digits and a few characters that need no escaping.
const IN_QUERY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The largest form, in bytes. Chosen as more than a nonce and a choice need.
const MAX_FORM: usize = 4096;
