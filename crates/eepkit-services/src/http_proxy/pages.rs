//! Pages of the proxy.
//!
//! An error page is in the origin of the requested site. Therefore it contains no script and no form,
//! and forbids both with its content security policy. Everything in a page is escaped.

use std::fmt::{self, Write as _};

use bytes::Bytes;
use eepkit_naming::{HostName, JumpService};
use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode,
    header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, PROXY_AUTHENTICATE, RETRY_AFTER},
};

use super::problem::{Account, Problem};
use crate::web::body::{self, Body};

/// Text, escaped for HTML content and quoted attributes.
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for char in self.0.chars() {
            match char {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                char => f.write_char(char)?,
            }
        }
        Ok(())
    }
}

/// Whether the program displays HTML. Others get plain text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Html,
    Text,
}

impl Form {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let is_html = headers.get_all(ACCEPT).iter().any(|value| {
            value
                .to_str()
                .is_ok_and(|value| value.contains("text/html"))
        });
        if is_html { Self::Html } else { Self::Text }
    }
}

/// The page for a problem. `jump` looks up an unknown name.
pub(super) fn problem(problem: &Problem, form: Form, jump: &[JumpService]) -> Response<Body> {
    let Account {
        status,
        code,
        title,
        text,
        hint,
    } = problem.account();
    let mut response = match form {
        Form::Text => {
            let mut plain = format!("{title}\n\n{text}\n");
            if let Some(hint) = hint {
                let _ = writeln!(plain, "Hint: {hint}.");
            }
            for link in links(problem, jump) {
                let _ = writeln!(plain, "Look up: {link}");
            }
            text_page(status, plain)
        }
        Form::Html => html_page(status, title, &html(problem, jump), "form-action 'none'"),
    };
    let headers = response.headers_mut();
    headers.insert(ERROR, HeaderValue::from_static(code));
    match status {
        StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
            let scheme = HeaderValue::from_static(CHALLENGE);
            headers.insert(PROXY_AUTHENTICATE, scheme);
        }
        StatusCode::SERVICE_UNAVAILABLE => {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("10"));
        }
        _ => {}
    }
    response
}

/// The content of the page for a problem.
pub(super) fn html(problem: &Problem, jump: &[JumpService]) -> String {
    let Account { text, hint, .. } = problem.account();
    let mut content = format!("<p>{}</p>", Escaped(&text));
    if let Some(hint) = hint {
        let _ = write!(content, "<p class=\"hint\">Hint: {}.</p>", Escaped(hint));
    }
    let links = links(problem, jump);
    if !links.is_empty() {
        content.push_str("<p>Sites that look up names:</p><ul>");
        for link in links {
            let link = Escaped(&link);
            let _ = write!(content, "<li><a href=\"{link}\">{link}</a></li>");
        }
        content.push_str("</ul>");
    }
    content
}

/// The URLs that look up an unknown name.
fn links(problem: &Problem, jump: &[JumpService]) -> Vec<String> {
    let Problem::UnknownName(name) = problem else {
        return Vec::new();
    };
    let Ok(name) = name.parse::<HostName>() else {
        return Vec::new();
    };
    jump.iter().map(|service| service.url_for(&name)).collect()
}

/// An HTML page. `policy` is added to a content security policy that allows nothing but text.
pub(super) fn html_page(
    status: StatusCode,
    title: &str,
    content: &str,
    policy: &str,
) -> Response<Body> {
    let title = Escaped(title);
    let html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
         <style>{STYLE}</style></head>\n<body><main><h1>{title}</h1>\n{content}\n\
         <footer>eepkit HTTP proxy</footer></main></body></html>\n"
    );
    let mut response = page(status, "text/html; charset=utf-8", html);
    let policy = format!(
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; \
         frame-ancestors 'none'; {policy}"
    );
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        let headers = response.headers_mut();
        headers.insert("content-security-policy", policy);
        headers.insert("x-frame-options", HeaderValue::from_static("DENY"));
    }
    response
}

fn text_page(status: StatusCode, text: String) -> Response<Body> {
    page(status, "text/plain; charset=utf-8", text)
}

fn page(status: StatusCode, content_type: &'static str, text: String) -> Response<Body> {
    let mut response = Response::new(body::full(Bytes::from(text)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let fixed = [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-resource-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
    ];
    for (name, value) in fixed {
        headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    response
}

/// The page at the address of the proxy.
pub(super) fn landing() -> Response<Body> {
    html_page(
        StatusCode::OK,
        "eepkit HTTP proxy",
        "<p>This is an HTTP proxy for I2P. Set this address as the HTTP and HTTPS proxy of the \
         browser, and open a site on I2P.</p>",
        "form-action 'none'",
    )
}

/// The header with the code of a problem: [`HTTP_FIELD`](crate::errors::HTTP_FIELD) in lower case.
pub(super) const ERROR: HeaderName = HeaderName::from_static("x-eepkit-error");
const CHALLENGE: &str = "Basic realm=\"eepkit HTTP proxy\", charset=\"UTF-8\"";

const STYLE: &str = "body{font:1rem/1.5 sans-serif;margin:2rem;color:#222;background:#fff}\
    main{max-width:42rem;margin:auto}h1{font-size:1.5rem}\
    code{overflow-wrap:anywhere}.hint,footer{color:#666}\
    footer{margin-top:3rem;font-size:.8rem}button{margin:.2rem 0}\
    .warning{border-left:.3rem solid #c00;padding-left:1rem}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_with_a_meaning_is_escaped() {
        let text = "<a href='x' onclick=\"y\">&</a>";
        assert_eq!(
            Escaped(text).to_string(),
            "&lt;a href=&#39;x&#39; onclick=&quot;y&quot;&gt;&amp;&lt;/a&gt;"
        );
    }
}
