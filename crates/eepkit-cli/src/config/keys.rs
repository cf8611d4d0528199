//! Every key of the file: what it takes, what holds without it, and what it does.

/// A key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    pub(super) name: &'static str,
    /// A value as the file would have it; the default where there is one.
    example: &'static str,
    /// Whether the example is the default.
    is_default: bool,
    doc: &'static str,
}

const fn with_default(name: &'static str, example: &'static str, doc: &'static str) -> Key {
    Key {
        name,
        example,
        is_default: true,
        doc,
    }
}

const fn without_default(name: &'static str, example: &'static str, doc: &'static str) -> Key {
    Key {
        name,
        example,
        is_default: false,
        doc,
    }
}

/// The sections, in the order in which they are documented.
pub(super) const SECTIONS: [&str; 2] = ["router", "sam"];

const SECTION_DOCS: [(&str, &str, &[Key]); 2] = [
    ("router", "The router that all services use.", ROUTER),
    (
        "sam",
        "A SAM bridge. For several, write [[sam]] before each.",
        SAM,
    ),
];

/// The keys of `[router]`.
pub(super) const ROUTER: &[Key] = &[
    with_default(
        "router",
        "\"embedded\"",
        "\"embedded\" for a router in this process, which joins the live network, or\n\
         \"i2cp://HOST:PORT\" for one that runs, or \"sam://HOST:PORT\" for one that has only SAM.",
    ),
    without_default(
        "state_dir",
        "\"/var/lib/eepkit/router\"",
        "Where the embedded router keeps its identity and what it knows of the network. Default:\n\
         eepkit/router in the user's data directory.",
    ),
    without_default(
        "reseed_file",
        "\"i2pseeds.su3\"",
        "List of routers for the embedded router's first start, where reseed hosts cannot be reached.",
    ),
    with_default(
        "start_timeout",
        "\"3m\"",
        "Give up when the embedded router is not ready after this. A first start takes minutes.",
    ),
];

/// The keys of `[sam]`.
pub(super) const SAM: &[Key] = &[
    with_default("enabled", "true", "Whether there is a bridge."),
    with_default(
        "listen",
        "[\"127.0.0.1:7656\", \"[::1]:7656\"]",
        "Addresses for clients by TCP, without encryption. Whoever can connect can use the router.",
    ),
    with_default(
        "listen_tls",
        "[]",
        "Addresses for clients by TLS; they need tls_certificate and tls_key.",
    ),
    without_default(
        "tls_certificate",
        "\"sam.crt\"",
        "Certificates for listen_tls, as PEM.",
    ),
    without_default(
        "tls_key",
        "\"sam.key\"",
        "Private key for listen_tls, as PEM.",
    ),
    with_default(
        "listen_unix",
        "[]",
        "Paths of Unix sockets, which only the user of this process can connect to.",
    ),
    with_default(
        "udp",
        "[\"127.0.0.1:7655\", \"[::1]:7655\"]",
        "Addresses for datagrams of clients by UDP; [] for none.",
    ),
    without_default(
        "users",
        "\"sam-users.json\"",
        "File with names and hashes of passwords; made where it does not exist. Clients change it with\n\
         AUTH. Default: none is kept.",
    ),
    with_default(
        "require_password",
        "false",
        "Whether clients need a name and a password, whatever the file of users says. There have to\n\
         be users in it.",
    ),
    with_default(
        "auth_commands",
        "true",
        "Whether clients may change users with AUTH.",
    ),
    with_default(
        "signature_type",
        "\"7\"",
        "Signature type of new destinations where the client asks for none, by number or name.",
    ),
    with_default(
        "forward_anywhere",
        "false",
        "Whether streams and datagrams may be forwarded to any IP address, or only to loopback ones\n\
         and the client's own.",
    ),
    without_default(
        "trust",
        "\"trusted.pem\"",
        "Certificates to trust where a client has its streams forwarded with SSL=true, as PEM.\n\
         Default: that is refused.",
    ),
    without_default(
        "ping_after",
        "\"3m\"",
        "Send a PING to clients of SAM 3.2 and newer that are silent for this long, and close their\n\
         session if they do not answer. Default: never, as some do not answer.",
    ),
    with_default(
        "hello_timeout",
        "\"60s\"",
        "How long a client may take to say HELLO.",
    ),
    without_default(
        "command_timeout",
        "\"10m\"",
        "How long a client may take from HELLO to its first command. Default: for ever.",
    ),
    with_default(
        "open_timeout",
        "\"2m\"",
        "How long a client waits for the tunnels of its session at most.",
    ),
    with_default(
        "max_connections",
        "4096",
        "Sockets of clients at once, streams included.",
    ),
    with_default("max_sessions", "128", "Sessions at once."),
    without_default(
        "options",
        "{ \"inbound.quantity\" = 3, \"outbound.quantity\" = 3 }",
        "I2CP and streaming options of sessions whose clients do not set them.",
    ),
    without_default(
        "overrides",
        "{ \"inbound.length\" = 3, \"outbound.length\" = 3 }",
        "I2CP and streaming options of all sessions, whatever their clients set.",
    ),
];

/// The section that has this key.
pub(super) fn section_of(key: &str) -> Option<&'static str> {
    let has = |keys: &[Key]| keys.iter().any(|known| known.name == key);
    let (section, ..) = SECTION_DOCS.iter().find(|(_, _, keys)| has(keys))?;
    Some(section)
}

/// A file with every key, commented out where it is as if it were not there.
pub(crate) fn documented() -> String {
    let mut text = String::from(
        "# What `eepkit run` does. Every key is here; those behind a # are as if they were not there.\n\
         # Times have a unit: 500ms, 30s, 2m, 1h.\n",
    );
    for (section, doc, keys) in SECTION_DOCS {
        text += &format!("\n# {doc}\n[{section}]\n");
        for key in keys {
            for line in key.doc.lines() {
                text += &format!("\n# {}", line.trim_start());
            }
            let note = if key.is_default { "" } else { " (an example)" };
            text += &format!("{note}\n#{} = {}\n", key.name, key.example);
        }
    }
    text
}
