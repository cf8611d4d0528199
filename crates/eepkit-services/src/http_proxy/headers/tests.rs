use super::*;

fn site() -> Site<'static> {
    Site {
        named: "site.i2p",
        host: "hash.b32.i2p",
        is_clearnet: false,
    }
}

fn map(lines: &[(&'static str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in lines {
        map.append(*name, value.parse().expect("a value"));
    }
    map
}

fn text(headers: &HeaderMap) -> Vec<String> {
    headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().expect("text")))
        .collect()
}

fn sent(config: &HttpProxyConfig, lines: &[(&'static str, &str)]) -> Vec<String> {
    let headers = for_site(config, &Method::GET, &map(lines), &site(), Length::Empty);
    text(&headers)
}

/// What remains besides the headers of the proxy.
fn kept(lines: &[(&'static str, &str)]) -> Vec<String> {
    let sent = sent(&HttpProxyConfig::new(), lines);
    assert_eq!(sent[0], "host: hash.b32.i2p");
    let own = [
        format!("x-accept-encoding: {X_ACCEPT_ENCODING}"),
        format!("user-agent: {I2P_USER_AGENT}"),
        "connection: keep-alive".to_owned(),
    ];
    let at = sent.len() - own.len();
    assert_eq!(sent[at..], own);
    sent[1..at].to_vec()
}

#[test]
fn a_request_of_a_browser_gets_the_common_form() {
    let kept = kept(&[
        ("cookie", "a=b"),
        ("host", "site.i2p"),
        ("user-agent", "Browser/1 (My System)"),
        (
            "accept",
            "text/html,application/xhtml+xml,image/avif,*/*;q=0.8",
        ),
        ("accept-language", "tlh,en;q=0.5"),
        ("accept-encoding", "gzip, deflate, br"),
        ("referer", "http://site.i2p/page?x#part"),
        ("dnt", "1"),
        ("sec-ch-ua", "\"Browser\""),
        ("via", "1.1 office"),
        ("from", "me@example.com"),
        ("forwarded", "for=10.0.0.1"),
        ("x-forwarded-for", "10.0.0.1"),
        ("proxy-connection", "keep-alive"),
        ("proxy-authorization", "Basic eDp5"),
        ("tor-stream-isolation", "one"),
        ("connection", "keep-alive, x-hop"),
        ("x-hop", "1"),
        ("cache-control", "no-cache"),
        ("cookie", "c=d"),
    ]);
    assert_eq!(
        kept,
        [
            "accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            "accept-encoding: gzip, deflate, br",
            "cache-control: no-cache",
            "cookie: a=b",
            "cookie: c=d",
            "referer: /page?x",
        ]
    );
}

#[test]
fn duplicates_are_handled_like_single_headers() {
    for name in [
        "via",
        "user-agent",
        "x-forwarded-for",
        "host",
        "x-i2p-desthash",
    ] {
        assert_eq!(
            kept(&[(name, "a"), (name, "b"), (name, "c")]),
            [""; 0],
            "{name}"
        );
    }
}

#[test]
fn every_row_of_the_table_has_its_effect() {
    for Row { name, rule, .. } in REQUEST {
        let name: &'static str = match name.strip_suffix('*') {
            Some(prefix) => format!("{prefix}something").leak(),
            None => name,
        };
        let kept = kept(&[(name, "some value")]);
        match rule {
            Rule::Consumed | Rule::Dropped => assert_eq!(kept, [""; 0], "{name}"),
            Rule::Replaced | Rule::Passed => {}
        }
    }
    for name in [
        "x-custom",
        "range",
        "if-none-match",
        "git-protocol",
        "sec-websocket-key",
    ] {
        assert_eq!(
            kept(&[(name, "some value")]),
            [format!("{name}: some value")]
        );
    }
}

#[test]
fn referers_of_other_sites_are_dropped_and_origins_hidden() {
    for (given, expected) in [
        ("http://site.i2p/a", Some("/a")),
        ("http://SITE.i2p:80/a?b", Some("/a?b")),
        ("http://site.i2p", Some("/")),
        ("http://site.i2p?x", Some("/")),
        ("/a", Some("/a")),
        ("//other.i2p/a", None),
        ("http://other.i2p/a", None),
        ("http://site.i2p.other.i2p/a", None),
        ("http://site.i2p@other.i2p/", None),
        ("http://site.i2p:81/", None),
        ("https://site.i2p/", None),
        ("about:client", None),
        ("", None),
    ] {
        let expected: Vec<_> = expected
            .iter()
            .map(|path| format!("referer: {path}"))
            .collect();
        assert_eq!(kept(&[("referer", given)]), expected, "{given}");
    }
    for (given, expected) in [
        ("http://site.i2p", "http://hash.b32.i2p"),
        ("http://other.i2p", "null"),
        ("null", "null"),
    ] {
        assert_eq!(kept(&[("origin", given)]), [format!("origin: {expected}")]);
    }
}

#[test]
fn accept_has_one_of_a_few_values() {
    for (given, expected) in [
        ("text/html", ACCEPT_PAGE),
        ("Text/HTML;v=b3;q=0.7,image/png", ACCEPT_PAGE),
        ("image/avif,image/webp,*/*", ACCEPT_IMAGE),
        ("text/css,*/*;q=0.1", ACCEPT_STYLE),
        ("application/json", "application/json"),
        ("*/*", "*/*"),
    ] {
        assert_eq!(kept(&[("accept", given)]), [format!("accept: {expected}")]);
    }
}

#[test]
fn credentials_that_name_a_machine_are_dropped() {
    for scheme in ["NTLM", "ntlm", "Negotiate", "KERBEROS"] {
        assert_eq!(
            kept(&[("authorization", &format!("{scheme} abc"))]),
            [""; 0]
        );
    }
    assert_eq!(
        kept(&[("authorization", "Basic abc")]),
        ["authorization: Basic abc"]
    );
}

#[test]
fn options_pass_headers() {
    let config = HttpProxyConfig {
        send_user_agent: true,
        send_referer: true,
        send_accept: true,
        ..HttpProxyConfig::new()
    };
    let lines = [
        ("accept", "text/html"),
        ("accept-language", "tlh"),
        ("origin", "http://other.i2p"),
        ("referer", "http://other.i2p/"),
        ("user-agent", "Browser/1"),
    ];
    let sent = sent(&config, &lines);
    let expected: Vec<_> = lines
        .iter()
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    assert_eq!(sent[1..6], expected);
}

#[test]
fn an_upgrade_passes_with_its_headers() {
    let kept = sent(
        &HttpProxyConfig::new(),
        &[
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-key", "x"),
        ],
    );
    let expected = [
        "sec-websocket-key: x",
        "upgrade: websocket",
        &format!("x-accept-encoding: {X_ACCEPT_ENCODING}"),
        &format!("user-agent: {I2P_USER_AGENT}"),
        "connection: upgrade",
    ];
    assert_eq!(kept[1..], expected);
    // Without the connection header it is no upgrade.
    assert_eq!(self::kept(&[("upgrade", "websocket")]), [""; 0]);
}

#[test]
fn an_outproxy_sees_no_header_of_i2p() {
    let site = Site {
        named: "example.com",
        host: "example.com",
        is_clearnet: true,
    };
    let config = HttpProxyConfig::new();
    let headers = for_site(&config, &Method::POST, &map(&[]), &site, Length::Known(3));
    assert_eq!(
        text(&headers),
        [
            "host: example.com".to_owned(),
            "content-length: 3".to_owned(),
            format!("user-agent: {CLEARNET_USER_AGENT}"),
            "connection: close".to_owned(),
        ]
    );
}

#[test]
fn responses_lose_what_concerns_the_connection_and_wide_cookies() {
    let mut headers = map(&[
        ("server", "x"),
        ("connection", "close, x-hop"),
        ("x-hop", "1"),
        ("keep-alive", "timeout=5"),
        ("proxy-authenticate", "Basic"),
        ("proxy-connection", "close"),
        ("alt-svc", "h3=\":443\""),
        ("x-eepkit-error", "forged"),
        ("set-cookie", "a=b"),
        ("set-cookie", "a=b; Domain=.I2P"),
        ("set-cookie", "a=b; path=/; domain=b32.i2p"),
        ("set-cookie", "a=b; domain=site.i2p"),
    ]);
    for_program(&mut headers, false);
    assert_eq!(
        text(&headers),
        [
            "server: x",
            "set-cookie: a=b",
            "set-cookie: a=b; domain=site.i2p"
        ]
    );
}
