use crate::{
    options::{
        File, FileError,
        testing::{assert_defaults, assert_keys},
    },
    service::Definition,
    site::SiteConfig,
    tunnel::{ClientTunnelConfig, HttpServerTunnelConfig, ServerTunnelConfig},
};

/// Reads a section of a kind, and checks its combination of options.
fn read<D: Definition>(text: &str) -> Result<D, FileError> {
    let text = format!("[{}]\n{text}\n", D::KIND);
    let file = File::parse(&text, "/etc/eepkit")?;
    let sections = file.sections(D::KIND)?;
    let config = D::table().read(&sections[0])?;
    config.validate().map_err(|why| sections[0].error(why))?;
    Ok(config)
}

#[test]
fn every_documented_default_is_the_effective_default() {
    assert_defaults(ClientTunnelConfig::table());
    assert_defaults(ServerTunnelConfig::table());
    assert_defaults(HttpServerTunnelConfig::table());
    assert_defaults(SiteConfig::table());
}

#[test]
fn every_key_of_a_client_tunnel_changes_only_its_own_option() {
    assert_keys(
        ClientTunnelConfig::table(),
        &[
            ("enabled", "false"),
            ("name", "\"x\""),
            ("listen", "[\"127.0.0.1:1\"]"),
            ("listen_unix", "[\"/s\"]"),
            ("tls_certificate", "\"/c\""),
            ("tls_key", "\"/k\""),
            ("destination", "[\"a.i2p\", \"b.i2p:6667\"]"),
            ("connect_timeout", "\"7s\""),
            ("idle_timeout", "\"8s\""),
            ("keep_alive", "\"9s\""),
            ("max_connections", "8"),
            ("keys", "\"/k.dat\""),
            ("shared", "\"g\""),
            ("preset", "\"bulk\""),
            ("reduce_idle", "\"10m\""),
            ("reduce_quantity", "2"),
            ("close_idle", "\"11m\""),
            ("new_keys", "true"),
            ("delay_open", "true"),
            ("options", "{ \"inbound.length\" = \"1\" }"),
        ],
    );
}

/// The keys of server tunnels before those that web servers have in addition.
const FIRST: &[(&str, &str)] = &[
    ("enabled", "false"),
    ("name", "\"x\""),
    ("target", "\"unix:/s\""),
    (
        "targets",
        "{ 22 = \"127.0.0.1:22\", 443 = \"tls:127.0.0.1:443\" }",
    ),
    ("keys", "\"/k.dat\""),
    ("alternative_keys", "[\"/old.dat\"]"),
    ("port", "80"),
];

/// The keys of server tunnels behind those.
const LAST: &[(&str, &str)] = &[
    ("trust", "\"/c\""),
    ("unique_local", "true"),
    ("connect_timeout", "\"7s\""),
    ("idle_timeout", "\"8s\""),
    ("allow", "[\"a.i2p\"]"),
    ("deny", "[\"b.i2p\"]"),
    ("filter", "\"/f\""),
    ("max_streams", "8"),
    ("max_peer_streams", "9"),
    ("peer_per_minute", "1"),
    ("peer_per_hour", "2"),
    ("peer_per_day", "3"),
    ("total_per_minute", "4"),
    ("total_per_hour", "5"),
    ("total_per_day", "6"),
    ("ban", "\"10m\""),
    ("shared", "\"g\""),
    ("preset", "\"bulk\""),
    ("reduce_idle", "\"10m\""),
    ("reduce_quantity", "2"),
    ("options", "{ \"inbound.length\" = \"1\" }"),
];

#[test]
fn every_key_of_a_server_tunnel_changes_only_its_own_option() {
    assert_keys(ServerTunnelConfig::table(), &[FIRST, LAST].concat());
    let web: &[(&str, &str)] = &[
        ("host", "\"a.example\""),
        ("hosts", "{ 81 = \"b.example\" }"),
        ("compress", "false"),
        ("peer_headers", "false"),
        ("reject_inproxy", "true"),
        ("reject_referer", "true"),
        ("reject_user_agents", "[\"Bot\"]"),
        ("max_posts", "3"),
        ("max_total_posts", "4"),
        ("post_window", "\"60s\""),
        ("post_ban", "\"2m\""),
        ("post_total_ban", "\"3m\""),
        ("response_timeout", "\"9s\""),
    ];
    assert_keys(
        HttpServerTunnelConfig::table(),
        &[FIRST, web, LAST].concat(),
    );
}

#[test]
fn a_tunnel_needs_both_of_its_ends_and_options_that_fit_together() {
    let client = "listen = \"127.0.0.1:1\"\ndestination = \"a.i2p\"\n";
    assert!(read::<ClientTunnelConfig>(client).is_ok());
    for (text, word) in [
        ("destination = \"a.i2p\"", "listen"),
        ("listen = \"127.0.0.1:1\"", "destination"),
        (&format!("{client}new_keys = true"), "close_idle"),
        (
            &format!("{client}close_idle = \"10m\"\nnew_keys = true\nkeys = \"k\""),
            "new_keys excludes keys",
        ),
        (&format!("{client}close_idle = \"1s\""), "closeIdleTime"),
        (&format!("{client}reduce_quantity = 1"), "reduce_idle"),
        (&format!("{client}keys = \"k\"\nshared = \"g\""), "shared"),
        (
            &format!("{client}keep_alive = \"1m\"\nclose_idle = \"10m\""),
            "keep_alive",
        ),
        (&format!("{client}tls_key = \"k\""), "tls_certificate"),
        ("destination = \"example.com\"", "line 2: destination"),
    ] {
        let error = read::<ClientTunnelConfig>(text).expect_err(text);
        assert!(error.to_string().contains(word), "{text}: {error}");
    }
    let server = "target = \"127.0.0.1:80\"\n";
    assert!(read::<ServerTunnelConfig>(server).is_ok());
    for (text, word) in [
        ("", "target"),
        ("target = \"localhost\"", "line 2: target cannot be"),
        ("targets = { 0 = \"127.0.0.1:1\" }", "not a port"),
        (&format!("{server}ban = \"1m\""), "ban"),
        (&format!("{server}port = 0"), "port takes a port"),
    ] {
        let error = read::<ServerTunnelConfig>(text).expect_err(text);
        assert!(error.to_string().contains(word), "{text}: {error}");
    }
    for host in ["", "a b", "user@a.i2p", "a/b"] {
        let text = format!("{server}host = \"{host}\"");
        let error = read::<HttpServerTunnelConfig>(&text).expect_err(host);
        assert!(error.to_string().contains("host cannot be"), "{error}");
        let text = format!("{server}hosts = {{ 81 = \"{host}\" }}");
        let error = read::<HttpServerTunnelConfig>(&text).expect_err(host);
        assert!(
            error.to_string().contains("the host of port 81 cannot be"),
            "{error}"
        );
    }
    let text = format!("{server}hosts = {{ 0 = \"a.i2p\" }}");
    let error = read::<HttpServerTunnelConfig>(&text).expect_err("no port");
    assert!(error.to_string().contains("line 3: "), "{error}");
}
