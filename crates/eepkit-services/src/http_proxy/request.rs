//! What a program requests: a site, a tunnel, or a page of the proxy itself.

use std::net::IpAddr;

use http::{
    Method, Request, Uri, Version,
    header::HOST,
    uri::{Authority, PathAndQuery, Scheme},
};

use super::problem::Problem;
use crate::{target::Target, web::message::is_ambiguous};

/// The name of the proxy's own pages.
pub(super) const OWN_HOST: &str = "proxy.i2p";

/// What a request is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Someone opened the address of the proxy in a browser.
    Landing,
    /// A page of [`OWN_HOST`].
    Own(PathAndQuery),
    /// A resource of a site.
    Site(Place, PathAndQuery),
    /// A tunnel to a site, requested with CONNECT.
    Tunnel(Place),
}

/// A host with a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) target: Target,
    /// The host as in the request, in lower case unless it is a destination.
    pub(super) host: String,
    pub(super) port: u16,
}

impl Wanted {
    /// Interprets the target of a request. The header `Host` must agree with it.
    pub(super) fn of<B>(request: &Request<B>) -> Result<Self, Problem> {
        if is_ambiguous(request.headers()) {
            return Err(Problem::BadRequest(
                "the length of the request is ambiguous: Transfer-Encoding must be chunked, once, \
                 without Content-Length",
            ));
        }
        let uri = request.uri();
        if request.method() == Method::CONNECT {
            let authority = uri.authority().ok_or(NO_HOST)?;
            return Place::of(authority, 443).map(Self::Tunnel);
        }
        let hosts: Vec<_> = request.headers().get_all(HOST).iter().collect();
        let host = match *hosts {
            [host] => Some(host.to_str().map_err(|_| BAD_HOST)?),
            [] if request.version() < Version::HTTP_11 => None,
            [] => return Err(Problem::BadRequest("the request has no Host header")),
            _ => {
                return Err(Problem::BadRequest(
                    "the request has more than one Host header",
                ));
            }
        };
        let Some(authority) = uri.authority() else {
            return origin_form(request.method(), uri, host);
        };
        match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTP => {}
            Some(scheme) if *scheme == Scheme::HTTPS => return Err(Problem::Https),
            _ => return Err(Problem::Protocol),
        }
        let place = Place::of(authority, 80)?;
        if let Some(host) = host {
            let named = host.parse::<Authority>().map_err(|_| BAD_HOST)?;
            if Place::of(&named, 80)? != place {
                return Err(Problem::BadRequest(
                    "the Host header is not the host of the URL",
                ));
            }
        }
        let path = uri.path_and_query().cloned();
        let path = path.unwrap_or_else(|| PathAndQuery::from_static("/"));
        // OPTIONS without a path is for the server as a whole, which has no absolute form here.
        if path.as_str() == "*" {
            return Err(NO_HOST);
        }
        match place.host == OWN_HOST {
            true => Ok(Self::Own(path)),
            false => Ok(Self::Site(place, path)),
        }
    }
}

/// A request as to a web server. A page of another origin, whose name was made to resolve to this
/// machine, must get nothing from it.
fn origin_form(method: &Method, uri: &Uri, host: Option<&str>) -> Result<Wanted, Problem> {
    let host = host.unwrap_or_default();
    let name = host
        .parse::<Authority>()
        .map(|authority| authority.host().to_ascii_lowercase());
    let name = name.unwrap_or_default();
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    let is_ours = name == "localhost" || bare.parse::<IpAddr>().is_ok();
    match is_ours && (method == Method::GET || method == Method::HEAD) && uri.path() != "*" {
        true => Ok(Wanted::Landing),
        false => Err(Problem::NotAServer),
    }
}

impl Place {
    fn of(authority: &Authority, default_port: u16) -> Result<Self, Problem> {
        let host = authority.host();
        let text = authority.as_str();
        if text.contains('@') {
            return Err(Problem::BadRequest("the URL contains a user name"));
        }
        if host.is_empty() || host == "[]" {
            return Err(NO_HOST);
        }
        let port = match text.get(host.len()..).unwrap_or_default() {
            "" | ":" => default_port,
            rest => rest
                .strip_prefix(':')
                .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
                .and_then(|digits| digits.parse().ok())
                .filter(|port| *port != 0)
                .ok_or(Problem::BadRequest("the port is not between 1 and 65535"))?,
        };
        // A destination in base64 depends on its case, unlike a name.
        if host.len() >= MIN_DESTINATION && !host.contains('.') {
            return Ok(Self {
                target: Target::I2p(host.to_owned()),
                host: host.to_owned(),
                port,
            });
        }
        let target = Target::of(host);
        let host = match &target {
            Target::I2p(name) => name.clone(),
            _ => host.trim_end_matches('.').to_ascii_lowercase(),
        };
        Ok(Self { target, host, port })
    }

    /// The host with its port, unless the port is 80.
    pub(super) fn with_port(&self, host: &str) -> String {
        match self.port {
            80 => host.to_owned(),
            port => format!("{host}:{port}"),
        }
    }
}

const NO_HOST: Problem = Problem::BadRequest("the request names no host");
const BAD_HOST: Problem = Problem::BadRequest("the Host header is not valid");

/// The smallest length of a destination in base64.
const MIN_DESTINATION: usize = 516;

#[cfg(test)]
mod tests {
    use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};

    use super::*;

    fn wanted(method: &str, uri: &str, host: Option<&str>) -> Result<Wanted, Problem> {
        let mut request = Request::builder().method(method).uri(uri);
        if let Some(host) = host {
            request = request.header(HOST, host);
        }
        Wanted::of(&request.body(()).expect(uri))
    }

    fn i2p(name: &str, port: u16) -> Place {
        Place {
            target: Target::I2p(name.to_owned()),
            host: name.to_owned(),
            port,
        }
    }

    #[test]
    fn a_url_names_the_site_the_port_and_the_path() {
        for (uri, host, place, path) in [
            ("http://a.i2p/", "a.i2p", i2p("a.i2p", 80), "/"),
            ("http://a.i2p", "A.I2P.", i2p("a.i2p", 80), "/"),
            ("http://A.i2p.:81/x?y", "a.i2p:81", i2p("a.i2p", 81), "/x?y"),
            ("http://a.i2p:/?y", "a.i2p:80", i2p("a.i2p", 80), "/?y"),
            ("HTTP://a.i2p.alt/", "a.i2p.alt", i2p("a.i2p", 80), "/"),
        ] {
            let path = PathAndQuery::from_static(path);
            assert_eq!(
                wanted("GET", uri, Some(host)),
                Ok(Wanted::Site(place, path)),
                "{uri}"
            );
        }
        let own = Wanted::Own(PathAndQuery::from_static("/x"));
        assert_eq!(
            wanted("GET", "http://Proxy.i2p/x", Some("proxy.i2p")),
            Ok(own)
        );
    }

    #[test]
    fn connect_names_a_host_and_a_port() {
        for (uri, place) in [
            ("a.i2p:22", i2p("a.i2p", 22)),
            ("A.i2p:443", i2p("a.i2p", 443)),
        ] {
            assert_eq!(
                wanted("CONNECT", uri, None),
                Ok(Wanted::Tunnel(place)),
                "{uri}"
            );
        }
        for uri in ["a.i2p:0", "a.i2p:x", "a.i2p:65536", "user@a.i2p:1"] {
            let wanted = wanted("CONNECT", uri, None);
            assert!(
                matches!(wanted, Err(Problem::BadRequest(_))),
                "{uri} {wanted:?}"
            );
        }
    }

    #[test]
    fn requests_that_others_could_read_in_another_way_are_refused() {
        for (uri, host) in [
            ("http://a.i2p/", Some("b.i2p")),
            ("http://a.i2p/", Some("a.i2p:81")),
            ("http://a.i2p:81/", Some("a.i2p")),
            ("http://a.i2p/", Some("")),
            ("http://a.i2p/", Some("a.i2p, b.i2p")),
            ("http://a.i2p/", None),
            ("http://user:password@a.i2p/", Some("a.i2p")),
            ("http://a.i2p:0/", Some("a.i2p:0")),
            ("http://a.i2p:99999/", Some("a.i2p:99999")),
        ] {
            let wanted = wanted("GET", uri, host);
            assert!(
                matches!(wanted, Err(Problem::BadRequest(_))),
                "{uri} {wanted:?}"
            );
        }
        assert_eq!(
            wanted("GET", "https://a.i2p/", Some("a.i2p")),
            Err(Problem::Https)
        );
        assert_eq!(
            wanted("GET", "ftp://a.i2p/", Some("a.i2p")),
            Err(Problem::Protocol)
        );
        let request = Request::get("http://a.i2p/")
            .header(HOST, "a.i2p")
            .header(HOST, "a.i2p")
            .body(());
        let wanted = Wanted::of(&request.expect("valid"));
        assert!(matches!(wanted, Err(Problem::BadRequest(_))));
    }

    #[test]
    fn a_request_as_to_a_web_server_gets_a_static_page_at_most() {
        for host in [
            "127.0.0.1:4444",
            "localhost:4444",
            "[::1]:4444",
            "192.168.1.2",
        ] {
            assert_eq!(
                wanted("GET", "/any", Some(host)),
                Ok(Wanted::Landing),
                "{host}"
            );
            assert_eq!(
                wanted("POST", "/any", Some(host)),
                Err(Problem::NotAServer),
                "{host}"
            );
        }
        for host in ["evil.com", "proxy.i2p", "a.i2p", "localhost.evil.com", ""] {
            assert_eq!(
                wanted("GET", "/", Some(host)),
                Err(Problem::NotAServer),
                "{host}"
            );
        }
    }

    #[test]
    fn ambiguous_lengths_are_refused() {
        for headers in [
            &[(TRANSFER_ENCODING, "chunked"), (CONTENT_LENGTH, "3")][..],
            &[
                (TRANSFER_ENCODING, "chunked"),
                (TRANSFER_ENCODING, "chunked"),
            ],
            &[(TRANSFER_ENCODING, "gzip, chunked")],
            &[(TRANSFER_ENCODING, "xchunked")],
        ] {
            let mut request = Request::post("http://a.i2p/").header(HOST, "a.i2p");
            for (name, value) in headers {
                request = request.header(name, *value);
            }
            let wanted = Wanted::of(&request.body(()).expect("valid"));
            assert!(matches!(wanted, Err(Problem::BadRequest(_))), "{headers:?}");
        }
    }
}
