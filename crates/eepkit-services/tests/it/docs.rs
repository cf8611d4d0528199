//! The documentation contains the tables of options of the code.

use std::{env, fs, path::Path};

use eepkit_services::{KINDS, errors, http_proxy::header_table, tunnel::http_header_table};

/// The page of the table of each kind of service, which is between two marks, and the command with
/// its flags.
const PLACES: [(&str, &str, &str); 14] = [
    ("sam", "docs/sam.md", "eepkit sam"),
    ("bob", "docs/bob.md", "eepkit bob"),
    ("http-proxy", "docs/http-proxy.md", "eepkit http-proxy"),
    ("socks", "docs/socks.md", "eepkit socks-proxy"),
    ("client-tunnel", "docs/tunnels.md", "eepkit tunnel client"),
    ("server-tunnel", "docs/tunnels.md", "eepkit tunnel server"),
    (
        "http-server-tunnel",
        "docs/tunnels.md",
        "eepkit tunnel http-server",
    ),
    ("site", "docs/tunnels.md", "eepkit serve"),
    ("irc-client", "docs/tunnels.md", "eepkit tunnel irc"),
    ("irc-server", "docs/tunnels.md", "eepkit tunnel irc-server"),
    ("udp-client", "docs/tunnels.md", "eepkit tunnel udp"),
    ("udp-server", "docs/tunnels.md", "eepkit tunnel udp-server"),
    ("streamr-client", "docs/tunnels.md", "eepkit tunnel streamr"),
    (
        "streamr-server",
        "docs/tunnels.md",
        "eepkit tunnel streamr-server",
    ),
];

/// With `EEPKIT_UPDATE_DOCS=1` in the environment, the tests write the tables.
#[test]
fn option_tables_of_the_documentation_match_the_code() {
    for kind in KINDS {
        let place = PLACES.iter().find(|(name, ..)| *name == kind.name);
        let (name, page, command) = place.unwrap_or_else(|| panic!("{} has no page", kind.name));
        let table = (kind.markdown)(command);
        compare(page, &table, &format!("options of {name}"));
    }
}

#[test]
fn the_table_of_headers_matches_the_code() {
    compare("docs/http-proxy.md", &header_table(), "headers of requests");
}

#[test]
fn the_table_of_headers_of_web_servers_matches_the_code() {
    compare("docs/tunnels.md", &http_header_table(), "dropped headers");
}

#[test]
fn the_table_of_errors_matches_the_code() {
    compare("docs/errors.md", &errors::markdown(), "errors");
}

/// Compares a table with the one between two marks of a page.
pub(crate) fn compare(page: &str, table: &str, name: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(page);
    let text = fs::read_to_string(&file).expect(page);
    let (begin, end) = (
        format!("<!-- {name} -->\n\n"),
        format!("\n<!-- end of the {name} -->"),
    );
    let at = text.find(&begin).expect(&begin) + begin.len();
    let until = at + text[at..].find(&end).expect(&end);
    if text[at..until] == *table {
        return;
    }
    assert!(
        env::var_os("EEPKIT_UPDATE_DOCS").is_some(),
        "{page} is out of date; run this test with EEPKIT_UPDATE_DOCS=1"
    );
    let new = format!("{}{table}{}", &text[..at], &text[until..]);
    fs::write(&file, new).expect(page);
}
