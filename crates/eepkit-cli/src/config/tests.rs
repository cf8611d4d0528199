use super::*;

fn parse(text: &str) -> Result<Config, FileErrors> {
    Config::parse(text, Path::new("/etc/eepkit"))
}

fn error(text: &str) -> String {
    let errors = parse(text).expect_err(text);
    let error = errors.first().expect_err(text);
    match &error.hint {
        Some(hint) => format!("{error}; {hint}"),
        None => error.to_string(),
    }
}

/// Whether two configurations are equal.
fn is_same(one: &Config, other: &Config) -> bool {
    let (ours, theirs) = (&one.services, &other.services);
    one.router == other.router
        && one.control == other.control
        && one.names == other.names
        && ours.len() == theirs.len()
        && ours.iter().zip(theirs).all(|(a, b)| a.is_same(&**b))
}

fn names(text: &str) -> Vec<String> {
    let config = parse(text).expect("valid");
    let names = config.services.iter().map(|plan| plan.name().to_owned());
    names.collect()
}

#[test]
fn without_a_file_all_services_run_and_with_one_those_that_it_names() {
    let names_of = |config: &Config| -> Vec<String> {
        let names = config.services.iter().map(|plan| plan.name().to_owned());
        names.collect()
    };
    assert_eq!(names_of(&Config::new()), ["sam", "http-proxy", "socks"]);
    assert_eq!(names(""), ["sam"]);
    assert_eq!(
        names("[http-proxy]\n[sam]\nenabled = false\n"),
        ["http-proxy"]
    );
}

#[test]
fn an_empty_file_and_the_documented_file_have_the_defaults() {
    let empty = parse("").expect("valid");
    for text in ["[router]\n[sam]\n", &documented()] {
        let config = parse(text).expect("valid");
        assert!(is_same(&config, &empty), "{config:?}");
    }
    assert_eq!(empty.router, Config::new().router);
}

#[test]
fn every_documented_example_can_be_read() {
    // Removes the comment marks of all lines that are not sentences.
    let text: String = documented()
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if !rest.starts_with(' ') => format!("{rest}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    // These options require others.
    let mut text = text
        .replace("listen_tls = []", "listen_tls = [\"127.0.0.1:7657\"]")
        .replace("outproxies = []", "outproxies = [\"exit.i2p:8888\"]")
        .replace("older_versions = false", "older_versions = true");
    // These options exclude others.
    for excluded in ["shared = \"clients\"\n", "keep_alive = \"60s\"\n"] {
        text = text.replace(excluded, "");
    }
    let config = parse(&text).expect(&text);
    let kinds: Vec<_> = config.services.iter().map(|plan| plan.kind()).collect();
    assert_eq!(
        kinds,
        [
            "sam",
            "bob",
            "http-proxy",
            "socks",
            "client-tunnel",
            "server-tunnel",
            "http-server-tunnel",
            "site",
            "irc-client",
            "irc-server",
            "udp-client",
            "udp-server",
            "streamr-client",
            "streamr-server"
        ]
    );
    assert_eq!(
        config.router.state_dir,
        Some("/var/lib/eepkit/router".into())
    );
}

#[test]
fn there_may_be_several_bridges_or_none() {
    assert_eq!(names("[[sam]]\n[[sam]]\nudp = []\n"), ["sam", "sam-2"]);
    assert!(names("[sam]\nenabled = false\n").is_empty());
}

#[test]
fn paths_are_relative_to_the_file() {
    let config = parse("[router]\nstate_dir = \"state\"\nreseed_file = \"/x.su3\"\n");
    let router = config.expect("valid").router;
    assert_eq!(router.state_dir, Some("/etc/eepkit/state".into()));
    assert_eq!(router.reseed_file, Some("/x.su3".into()));
}

#[test]
fn options_may_be_quoted_or_not() {
    let quoted = parse("[sam.options]\n\"inbound.length\" = 2\n\"x.y\" = true\n");
    let dotted = parse("[sam]\noptions.inbound.length = 2\noptions.x.y = \"true\"\n");
    assert!(is_same(&quoted.expect("valid"), &dotted.expect("the same")));
}

#[test]
fn unknown_keys_are_refused_with_their_line_and_a_suggestion() {
    assert_eq!(
        error("[sam]\n\nlisten-tls = []\n"),
        "line 3: [sam] has no key listen-tls; did you mean listen_tls?"
    );
    assert_eq!(
        error("[sam]\nmax_conections = 3\n"),
        "line 2: [sam] has no key max_conections; did you mean max_connections?"
    );
    assert_eq!(
        error("[sam]\nelephant = 3\n"),
        "line 2: [sam] has no key elephant; `eepkit run --print-config` shows every key"
    );
    assert_eq!(
        error("# x\n[samm]\n"),
        "line 2: there is no section [samm]; did you mean [sam]?"
    );
    assert_eq!(
        error("[proxy]\n"),
        "line 1: there is no section [proxy]; there are: router, control, address-book, sam, bob, http-proxy, socks, client-tunnel, server-tunnel, http-server-tunnel, site, \
         irc-client, irc-server, udp-client, udp-server, streamr-client, streamr-server"
    );
}

#[test]
fn invalid_values_are_reported_with_their_line() {
    for (text, expected) in [
        (
            "[sam]\nenabled = 1\n",
            "line 2: enabled takes true or false",
        ),
        (
            "[sam]\nmax_sessions = 0\n",
            "line 2: max_sessions takes a whole number, 1 or more",
        ),
        (
            "[sam]\nlisten = [\n  \"sam.example:7656\",\n]\n",
            "line 3: listen cannot be \"sam.example:7656\": expected IP:PORT, such as 127.0.0.1:7656 or [::1]:7656",
        ),
        (
            "[sam]\nlisten = 7656\n",
            "line 2: listen takes a list of texts in quotes",
        ),
        (
            "[sam]\nping_after = \"3 minutes\"\n",
            "line 2: ping_after cannot be \"3 minutes\": unknown unit \" minutes\"; use ms, s, m, h or d",
        ),
        (
            "[router]\nrouter = \"i2pd\"\n",
            "line 2: router cannot be \"i2pd\": expected `embedded`, `i2cp://HOST:PORT` or `sam://HOST:PORT`",
        ),
        ("sam = 3\n", "line 1: sam is a section: write [sam]"),
        (
            "# x\nlisten = \"127.0.0.1:1\"\n",
            "line 2: listen stands in no section; write it below [sam]",
        ),
        (
            "[sam]\noptions = { \"inbound.length\" = 99 }\n",
            "line 2: option inbound.length cannot be \"99\": allowed is 0 to 7",
        ),
        (
            "[sam.overrides]\n\n\"i2p.streaming.maxResends\" = \"many\"\n",
            "line 3: i2p.streaming.maxResends: `many` is not a whole number",
        ),
        (
            "[sam]\noptions = 3\n",
            "line 2: options takes a table: { \"inbound.length\" = 2 }",
        ),
        (
            "[sam]\nlisten_tls = [\"127.0.0.1:1\"]\n",
            "line 1: [sam]: listen_tls needs both tls_certificate and tls_key, and they need listen_tls",
        ),
        (
            "[sam]\nlisten = []\n",
            "line 1: [sam]: a bridge has to listen somewhere, or enabled = false",
        ),
    ] {
        assert_eq!(error(text), expected, "{text}");
    }
    assert!(error("[sam]\nx = \n").starts_with("line 2: "));
}

/// With `EEPKIT_UPDATE_DOCS=1` in the environment, the test writes the table.
#[test]
fn the_option_table_of_the_documentation_matches_the_code() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/cli.md");
    let text = std::fs::read_to_string(&page).expect("readable");
    let (before, rest) = text
        .split_once("<!-- options of router -->\n\n")
        .expect("the beginning is marked");
    let (table, after) = rest
        .split_once("\n<!-- end of the options of router -->")
        .expect("the end is marked");
    let expected = ROUTER.markdown("eepkit COMMAND");
    if table == expected {
        return;
    }
    assert!(
        std::env::var_os("EEPKIT_UPDATE_DOCS").is_some(),
        "docs/cli.md is out of date; run this test with EEPKIT_UPDATE_DOCS=1"
    );
    let marks = (
        "<!-- options of router -->\n\n",
        "\n<!-- end of the options of router -->",
    );
    let new = format!("{before}{}{expected}{}{after}", marks.0, marks.1);
    std::fs::write(&page, new).expect("writable");
}
