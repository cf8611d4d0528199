//! The fuzz target of requests to the HTTP proxy.

use eepkit_naming::AddressHelper;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};

use super::{
    HttpProxyConfig,
    headers::{self, Length, REQUEST, Rule, Site},
    pages::{self, Form},
    problem::Problem,
    request::Wanted,
};

/// Interprets a request: a line with a method and a target, then header lines.
///
/// # Panics
///
/// If a header that must not reach a site does, if something unescaped is in a page, or if a local
/// host is taken for a site.
pub fn http_request(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let mut lines = text.lines();
    let Some((method, target)) = lines.next().and_then(|line| line.split_once(' ')) else {
        return;
    };
    let mut given = HeaderMap::new();
    for line in lines {
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value.trim())) {
            given.append(name, value);
        }
    }
    let (Ok(method), Ok(uri)) = (Method::from_bytes(method.as_bytes()), target.parse()) else {
        return;
    };
    let mut request = Request::new(());
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.headers_mut() = given;
    match Wanted::of(&request) {
        Ok(Wanted::Site(place, path)) => {
            assert_ne!(place.host, "localhost");
            match AddressHelper::from_request(&place.host, path.as_str()) {
                Ok(Some(helper)) => {
                    let again = AddressHelper::from_url(&helper.to_url());
                    assert_eq!(again, Ok(Some(helper)));
                }
                Ok(None) => {}
                Err(error) => check_page(&Problem::Helper(error)),
            }
            check_headers(&request, &place.with_port(&place.host));
        }
        Ok(_) => {}
        Err(problem) => check_page(&problem),
    }
    check_page(&Problem::UnknownName(target.to_owned()));
}

fn check_headers(request: &Request<()>, named: &str) {
    let config = HttpProxyConfig::new();
    let site = Site {
        named,
        host: "hash.b32.i2p",
        is_clearnet: false,
    };
    let given = request.headers();
    let sent = headers::for_site(&config, request.method(), given, &site, Length::Empty);
    let first = sent
        .iter()
        .next()
        .map(|(name, value)| (name.as_str(), value.as_bytes()));
    assert_eq!(first, Some(("host", b"hash.b32.i2p".as_slice())));
    for (name, _) in &sent {
        let row = REQUEST.iter().find(|row| match row.name.strip_suffix('*') {
            Some(prefix) => name.as_str().starts_with(prefix),
            None => row.name == name.as_str(),
        });
        let is_kept = row.is_none_or(|row| !matches!(row.rule, Rule::Consumed | Rule::Dropped));
        assert!(is_kept, "{name}");
        assert!(sent.get_all("host").iter().count() == 1, "{sent:?}");
    }
    let mut received = given.clone();
    headers::for_program(&mut received, false);
    for dropped in ["connection", "proxy-authenticate", "x-eepkit-error"] {
        assert!(!received.contains_key(dropped), "{dropped}");
    }
}

fn check_page(problem: &Problem) {
    for form in [Form::Html, Form::Text] {
        let page = pages::problem(problem, form, &[]);
        assert!(page.status().is_client_error() || page.status().is_server_error());
        assert!(page.headers().contains_key(pages::ERROR));
    }
    let html = pages::html(problem, &[]);
    assert!(
        !html.to_lowercase().contains("<script") && !html.contains("<form"),
        "{html}"
    );
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn arbitrary_requests_reveal_no_bug(
            method in "GET|POST|CONNECT|OPTIONS",
            target in "(http://)?[a-z0-9.:@\\[\\]-]{0,12}(\\.i2p)?(:[0-9]{0,5})?(/[ -~]{0,40})?",
            headers in "([A-Za-z0-9-]{1,12}: ?[ -~]{0,20}\n){0,6}",
        ) {
            http_request(format!("{method} {target}\n{headers}").as_bytes());
        }

        #[test]
        fn arbitrary_helpers_reveal_no_bug(value in "[ -~]{0,80}") {
            let target = format!("GET http://a.i2p/?i2paddresshelper={value}\nHost: a.i2p\n");
            http_request(target.as_bytes());
        }
    }
}
