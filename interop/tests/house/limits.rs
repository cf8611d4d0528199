//! The table of limits in the documentation has the values of the code.

use std::{env, fs};

use syn::{
    BinOp, Expr, Lit,
    visit::{self, Visit},
};

use crate::tidy::root;

/// A row of the table.
struct Row {
    what: &'static str,
    /// The default. Each `{}` stands for the value of a source, in their order.
    default: &'static str,
    sources: &'static [Source],
    option: &'static str,
    beyond: &'static str,
}

/// A number in the code.
struct Source {
    file: &'static str,
    place: Place,
}

enum Place {
    /// The constant of this name.
    Const(&'static str),
    /// The field of this name in a struct expression.
    Field(&'static str),
    /// The literal at this index in the function of this name.
    Literal(&'static str, usize),
}

use Place::{Const, Field, Literal};

const fn at(file: &'static str, place: Place) -> Source {
    Source { file, place }
}

const ROWS: &[Row] = &[
    Row {
        what: "streams of a session",
        default: "{}, which is also the most",
        sources: &[at("eepkit-streaming/src/config.rs", Const("MAX_STREAMS"))],
        option: "`i2p.streaming.maxConcurrentStreams`",
        beyond: "outgoing: an error; incoming: refused (`i2p.streaming.limitAction`)",
    },
    Row {
        what: "streams of a session with one peer",
        default: "{}",
        sources: &[at(
            "eepkit-streaming/src/config.rs",
            Const("MAX_STREAMS_PER_PEER"),
        )],
        option: "`i2p.streaming.maxConcurrentStreamsPerPeer`",
        beyond: "the same",
    },
    Row {
        what: "incoming streams per minute, hour and day, of one peer and of all",
        default: "none",
        sources: &[],
        option: "`i2p.streaming.maxConnsPerMinute`, `maxTotalConnsPerMinute`, ...",
        beyond: "refused",
    },
    Row {
        what: "streams that wait to be accepted, per port",
        default: "{}, {} with the preset for servers",
        sources: &[
            at("eepkit/src/presets.rs", Literal("backlog", 1)),
            at("eepkit/src/presets.rs", Literal("backlog", 0)),
            at("eepkit/src/shared/listeners.rs", Const("MAX_BACKLOG")),
        ],
        option: "`SessionBuilder::backlog`, 1 to {}",
        beyond: "refused",
    },
    Row {
        what: "received data that is not read, of all streams of a session",
        default: "{}",
        sources: &[at(
            "eepkit-streaming/src/config.rs",
            Field("receive_memory"),
        )],
        option: "`EndpointConfig::with_receive_memory`",
        beyond: "the peer waits",
    },
    Row {
        what: "tunnels in each direction",
        default: "{}, more with some presets",
        sources: &[at("eepkit/src/presets.rs", Literal("tunnels", 1))],
        option: "`inbound.quantity`, `outbound.quantity`, 1 to 16",
        beyond: "an error",
    },
    Row {
        what: "listening ports of a session",
        default: "{}",
        sources: &[at("eepkit/src/shared/listeners.rs", Const("MAX_PORTS"))],
        option: "",
        beyond: "an error",
    },
    Row {
        what: "datagram sockets of a session",
        default: "{}",
        sources: &[at("eepkit/src/shared/datagrams.rs", Const("MAX_SOCKETS"))],
        option: "",
        beyond: "an error",
    },
    Row {
        what: "pings without an answer",
        default: "{}",
        sources: &[at("eepkit/src/shared/pings.rs", Const("MAX_PINGS"))],
        option: "",
        beyond: "an error",
    },
    Row {
        what: "look-ups at a time",
        default: "{}",
        sources: &[at("eepkit/src/shared.rs", Const("MAX_LOOKUPS"))],
        option: "",
        beyond: "further ones wait",
    },
    Row {
        what: "sessions of a SAM bridge",
        default: "{}",
        sources: &[at("eepkit-sam/src/server/config.rs", Field("max_sessions"))],
        option: "`max_sessions` in `[sam]`",
        beyond: "an error",
    },
    Row {
        what: "sessions of one user of a SAM bridge, or of one address without a login",
        default: "three quarters of all",
        sources: &[],
        option: "`max_sessions_per_client` in `[sam]`",
        beyond: "an error",
    },
    Row {
        what: "subsessions of a SAM session",
        default: "{}",
        sources: &[at(
            "eepkit-sam/src/server/config.rs",
            Field("max_subsessions"),
        )],
        option: "",
        beyond: "an error",
    },
    Row {
        what: "ACCEPTs that wait for one SAM session",
        default: "{}",
        sources: &[at("eepkit-sam/src/server/config.rs", Field("max_accepts"))],
        option: "",
        beyond: "an error",
    },
    Row {
        what: "streams of a session of SAM 1 or 2",
        default: "{}",
        sources: &[at(
            "eepkit-sam/src/server/config.rs",
            Field("max_older_streams"),
        )],
        option: "",
        beyond: "outgoing: an error; incoming: they wait",
    },
    Row {
        what: "names of destinations of SAM 1 and 2",
        default: "{}",
        sources: &[at(
            "eepkit-services/src/sam/key_store.rs",
            Const("MAX_NAMES"),
        )],
        option: "",
        beyond: "an error",
    },
    Row {
        what: "connections of a SAM bridge",
        default: "{}",
        sources: &[at(
            "eepkit-services/src/sam/config.rs",
            Const("MAX_CONNECTIONS"),
        )],
        option: "`max_connections` in `[sam]`",
        beyond: "an error",
    },
    Row {
        what: "connections of one address with a SAM bridge",
        default: "three quarters of all",
        sources: &[],
        option: "`max_connections_per_client` in `[sam]`",
        beyond: "an error",
    },
    Row {
        what: "tunnels of a BOB bridge",
        default: "{}",
        sources: &[at(
            "eepkit-services/src/bob/config.rs",
            Const("MAX_TUNNELS"),
        )],
        option: "`max_tunnels` in `[bob]`",
        beyond: "the oldest without keys is removed, else an error",
    },
    Row {
        what: "connections of a BOB bridge, and of each of its tunnels",
        default: "{}",
        sources: &[at(
            "eepkit-services/src/bob/config.rs",
            Const("MAX_CONNECTIONS"),
        )],
        option: "`max_connections` in `[bob]`",
        beyond: "an error",
    },
    Row {
        what: "connections of a SOCKS or an HTTP proxy",
        default: "{}",
        sources: &[at(
            "eepkit-services/src/proxy/options.rs",
            Const("MAX_CONNECTIONS"),
        )],
        option: "`max_connections` in the section of the service",
        beyond: "closed, and a warning",
    },
    Row {
        what: "destinations of isolated users of a proxy",
        default: "{}",
        sources: &[at(
            "eepkit-services/src/proxy/options.rs",
            Const("MAX_SESSIONS"),
        )],
        option: "`max_sessions` in the section of the service",
        beyond: "an error of the protocol, and a warning",
    },
    Row {
        what: "connections of local programs with a tunnel to destinations",
        default: "{}",
        sources: &[at(
            "eepkit-services/src/tunnel/local.rs",
            Const("MAX_CONNECTIONS"),
        )],
        option: "`max_connections` in the section of the tunnel",
        beyond: "closed, and a warning",
    },
    Row {
        what: "streams of peers to a server tunnel; of one peer",
        default: "{}; {}",
        sources: &[
            at(
                "eepkit-services/src/tunnel/admission.rs",
                Const("MAX_STREAMS"),
            ),
            at(
                "eepkit-services/src/tunnel/admission.rs",
                Const("MAX_PEER_STREAMS"),
            ),
        ],
        option: "`max_streams`, `max_peer_streams` in the section of the tunnel",
        beyond: "reset; a web server tunnel answers 429",
    },
    Row {
        what: "answers to such streams at a time",
        default: "{}",
        sources: &[at(
            "eepkit-services/src/tunnel/incoming.rs",
            Const("MAX_REFUSALS"),
        )],
        option: "",
        beyond: "reset",
    },
    Row {
        what: "peers whose new streams and uploads are counted",
        default: "{} each",
        sources: &[at(
            "eepkit-services/src/tunnel/admission.rs",
            Const("MAX_COUNTED"),
        )],
        option: "",
        beyond: "further peers are not counted until others are forgotten",
    },
    Row {
        what: "connections of peers with a site, of one peer",
        default: "{}",
        sources: &[at(
            "eepkit-services/src/site.rs",
            Const("MAX_PEER_CONNECTIONS"),
        )],
        option: "",
        beyond: "refused",
    },
    Row {
        what: "headers of a request to a site; bytes of them",
        default: "{}; {}",
        sources: &[
            at("eepkit-services/src/site.rs", Const("MAX_HEADERS")),
            at("eepkit-services/src/site.rs", Const("MAX_HEAD")),
        ],
        option: "",
        beyond: "refused with 431",
    },
    Row {
        what: "headers of a message of a proxy or a web server tunnel; bytes of them",
        default: "{}; {}",
        sources: &[
            at("eepkit-services/src/web/message.rs", Const("MAX_HEADERS")),
            at(
                "eepkit-services/src/web/message.rs",
                Const("MAX_HEADER_SIZE"),
            ),
        ],
        option: "",
        beyond: "requests: refused with 431; responses: an error page",
    },
    Row {
        what: "connections that an HTTP proxy keeps for further requests; with one site",
        default: "{}; {}",
        sources: &[
            at(
                "eepkit-services/src/http_proxy/upstream.rs",
                Const("MAX_IDLE"),
            ),
            at(
                "eepkit-services/src/http_proxy/upstream.rs",
                Const("MAX_IDLE_PER_SITE"),
            ),
        ],
        option: "",
        beyond: "closed after their request",
    },
    Row {
        what: "local programs of a UDP client tunnel",
        default: "{}",
        sources: &[at(
            "eepkit-services/src/tunnel/udp_client.rs",
            Const("MAX_PROGRAMS"),
        )],
        option: "`max_programs` in the section of the tunnel",
        beyond: "datagrams are dropped",
    },
    Row {
        what: "datagrams of one program that wait to be sent",
        default: "{}",
        sources: &[at(
            "eepkit-services/src/tunnel/udp_client.rs",
            Const("QUEUE"),
        )],
        option: "",
        beyond: "dropped",
    },
    Row {
        what: "conversations of peers with a UDP server tunnel; of one peer",
        default: "{}; {}",
        sources: &[
            at(
                "eepkit-services/src/tunnel/udp_server.rs",
                Const("MAX_PEERS"),
            ),
            at(
                "eepkit-services/src/tunnel/udp_server.rs",
                Const("MAX_OF_A_PEER"),
            ),
        ],
        option: "`max_peers`, `max_ports_of_peer` in the section of the tunnel",
        beyond: "datagrams are dropped",
    },
    Row {
        what: "subscribers of a streamr server tunnel",
        default: "{}",
        sources: &[at(
            "eepkit-services/src/tunnel/streamr.rs",
            Const("MAX_SUBSCRIBERS"),
        )],
        option: "`max_subscribers` in the section of the tunnel",
        beyond: "ignored",
    },
    Row {
        what: "lines of a peer before its registration at an IRC server; bytes of one",
        default: "{}; {}",
        sources: &[
            at("eepkit-irc/src/server.rs", Const("MAX_LINES")),
            at("eepkit-irc/src/server.rs", Const("MAX_LINE")),
        ],
        option: "",
        beyond: "a message, and the stream is closed",
    },
    Row {
        what: "connections to the control socket that wait for a request",
        default: "{}",
        sources: &[at(
            "eepkit-services/src/control/slots.rs",
            Const("MAX_WAITING"),
        )],
        option: "",
        beyond: "the one that waits for longest is closed",
    },
    Row {
        what: "requests in progress on the control socket",
        default: "{}",
        sources: &[at(
            "eepkit-services/src/control/slots.rs",
            Const("MAX_REQUESTS"),
        )],
        option: "",
        beyond: "an error, unless the answer is ready at once",
    },
];

/// With `EEPKIT_UPDATE_DOCS=1` in the environment, the test writes the table.
#[test]
fn the_table_of_limits_has_the_values_of_the_code() {
    let mut table = "| what | default | option | beyond it |\n|---|---|---|---|\n".to_owned();
    for row in ROWS {
        let mut line = format!(
            "| {} | {} | {} | {} |\n",
            row.what, row.default, row.option, row.beyond
        );
        for source in row.sources {
            line = line.replacen("{}", &shown(source.value()), 1);
        }
        table.push_str(&line.replace("|  |", "| |"));
    }
    let file = root().join("docs/limits.md");
    let text = fs::read_to_string(&file).expect("the page");
    let (begin, end) = ("<!-- limits -->\n\n", "\n<!-- end of the limits -->");
    let at = text.find(begin).expect(begin) + begin.len();
    let until = at + text[at..].find(end).expect(end);
    if text[at..until] == table {
        return;
    }
    assert!(
        env::var_os("EEPKIT_UPDATE_DOCS").is_some(),
        "docs/limits.md is out of date; run this test with EEPKIT_UPDATE_DOCS=1"
    );
    let new = format!("{}{table}{}", &text[..at], &text[until..]);
    fs::write(&file, new).expect("the page");
}

impl Source {
    fn value(&self) -> u64 {
        let file = root().join("crates").join(self.file);
        let text = fs::read_to_string(&file).expect(self.file);
        let parsed = syn::parse_file(&text).expect(self.file);
        let mut search = Search {
            place: &self.place,
            found: None,
        };
        search.visit_file(&parsed);
        search
            .found
            .unwrap_or_else(|| panic!("{} has no number at the place", self.file))
    }
}

struct Search<'a> {
    place: &'a Place,
    found: Option<u64>,
}

impl Visit<'_> for Search<'_> {
    fn visit_item_const(&mut self, item: &syn::ItemConst) {
        if let Const(name) = self.place
            && item.ident == name
        {
            self.found = number(&item.expr);
        }
    }

    fn visit_field_value(&mut self, field: &syn::FieldValue) {
        if let (Field(name), syn::Member::Named(ident)) = (self.place, &field.member)
            && ident == name
            && self.found.is_none()
        {
            self.found = number(&field.expr);
        }
        visit::visit_field_value(self, field);
    }

    fn visit_impl_item_fn(&mut self, item: &syn::ImplItemFn) {
        if let Literal(name, index) = self.place
            && item.sig.ident == name
            && self.found.is_none()
        {
            let mut literals = Literals(Vec::new());
            literals.visit_block(&item.block);
            self.found = literals.0.get(*index).copied();
        }
        visit::visit_impl_item_fn(self, item);
    }
}

/// The integers of a function, in the order of the source.
struct Literals(Vec<u64>);

impl Visit<'_> for Literals {
    fn visit_lit_int(&mut self, literal: &syn::LitInt) {
        self.0.extend(literal.base10_parse::<u64>());
    }
}

/// The value of an expression of integers.
fn number(expr: &Expr) -> Option<u64> {
    match expr {
        Expr::Lit(lit) => match &lit.lit {
            Lit::Int(int) => int.base10_parse().ok(),
            _ => None,
        },
        Expr::Binary(binary) => {
            let (left, right) = (number(&binary.left)?, number(&binary.right)?);
            match binary.op {
                BinOp::Mul(_) => Some(left * right),
                BinOp::Shl(_) => Some(left << right),
                BinOp::Add(_) => Some(left + right),
                _ => None,
            }
        }
        _ => None,
    }
}

/// A number with separators, or of MiB.
fn shown(value: u64) -> String {
    if value >= 1 << 20 && value.is_multiple_of(1 << 20) {
        return format!("{} MiB", value >> 20);
    }
    let digits = value.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
