//! The options that clients set for their sessions, and the selection that is passed on.

use eepkit::{EndpointConfig, LinkError, OpenError, StreamConfig};
use eepkit_sam::{Failure, SessionParams, Style};
use tracing::debug;

use super::SamConfig;
use crate::client_options::{ENCRYPTION, passed};

/// The options of a session, in the order in which they are set: later ones take precedence.
pub(super) fn of_session(config: &SamConfig, params: &SessionParams) -> Vec<(String, String)> {
    let asked = params.options.iter();
    let asked = asked.map(|(key, value)| (key.as_str(), value.as_str()));
    let (defaults, overrides) = (config.defaults().iter(), config.overrides().iter());
    let mut options = Vec::new();
    for (key, value) in defaults.chain(asked).chain(overrides) {
        match passed(key, value) {
            Some(value) => options.push((key.to_owned(), value)),
            None => debug!(key, "left an option of a client out"),
        }
    }
    if !options.iter().any(|(key, _)| NICKNAMES.contains(&&**key)) {
        let nickname = match params.style.is_datagrams() {
            true => DATAGRAM_NICKNAME,
            false => STREAM_NICKNAME,
        };
        options.extend(NICKNAMES.map(|key| (key.to_owned(), nickname.to_owned())));
    }
    if params.style == Style::Primary {
        // Incoming messages are distinguished by protocol, and subsessions rely on a published
        // lease set. Java I2P also sets both, whatever the client requests.
        options.retain(|(key, _)| key != DONT_PUBLISH);
        options.push((ENFORCE_PROTOCOL.to_owned(), "true".to_owned()));
    }
    options
}

/// The stream configuration of a subsession that has its own streaming options. Options that it
/// does not set are those of its primary session. Incoming streams use those of the primary
/// session.
///
/// # Errors
///
/// [`Failure`] for an invalid value.
pub(super) fn streams_of_subsession(
    config: &SamConfig,
    primary: &SessionParams,
    params: &SessionParams,
) -> Result<Option<StreamConfig>, Failure> {
    let own: Vec<(&String, String)> = params
        .options
        .iter()
        .filter(|(key, _)| key.starts_with(STREAMING))
        .filter_map(|(key, value)| Some((key, passed(key, value)?)))
        .collect();
    if own.is_empty() || params.style != Style::Stream {
        return Ok(None);
    }
    let mut streams = EndpointConfig::default();
    for (key, value) in of_session(config, primary) {
        // These options were valid when the session was opened.
        let _ = streams.set(&key, &value);
    }
    for (key, value) in own {
        streams
            .set(key, &value)
            .map_err(|error| Failure::error(format!("session option {error}")))?;
    }
    Ok(Some(streams.stream().clone()))
}

/// Returns a replacement for an option that the router refuses, if one also works for the client.
pub(super) fn amended(
    error: &OpenError,
    config: &SamConfig,
    params: &SessionParams,
) -> Option<(&'static str, &'static str)> {
    let OpenError::Router(error) = error else {
        return None;
    };
    let LinkError::BadOption { key: refused, .. } = &**error else {
        return None;
    };
    let (_, asked) = of_session(config, params)
        .into_iter()
        .rfind(|(key, _)| key == refused)?;
    match refused.as_str() {
        // Bitcoin and libtorrent request "4,0", and emissary does not accept ElGamal besides
        // X25519.
        ENCRYPTION => {
            let modern = asked.contains(',') && asked.split(',').any(|kind| kind == MODERN);
            modern.then_some((ENCRYPTION, MODERN))
        }
        // Java I2P's own clients and the tests of sam3 and go-sam-go request tunnels without hops,
        // which emissary does not build. One hop works for them. It only adds delay.
        INBOUND_LENGTH if asked.parse() == Ok(0) => Some((INBOUND_LENGTH, "1")),
        OUTBOUND_LENGTH if asked.parse() == Ok(0) => Some((OUTBOUND_LENGTH, "1")),
        _ => None,
    }
}

/// The encryption type that every router accepts: X25519.
const MODERN: &str = "4";

const STREAMING: &str = "i2p.streaming.";
const ENFORCE_PROTOCOL: &str = "i2p.streaming.enforceProtocol";
const DONT_PUBLISH: &str = "i2cp.dontPublishLeaseSet";
const INBOUND_LENGTH: &str = "inbound.length";
const OUTBOUND_LENGTH: &str = "outbound.length";

/// The options with the name under which the router lists a session. Peers do not see it.
const NICKNAMES: [&str; 2] = ["inbound.nickname", "outbound.nickname"];

/// Names for sessions whose clients set none; those of Java I2P.
const STREAM_NICKNAME: &str = "SAM TCP Client";
const DATAGRAM_NICKNAME: &str = "SAM UDP Client";

#[cfg(test)]
mod tests {
    use eepkit_sam::{Message, Syntax, Version};

    use super::*;

    fn settings(defaults: &[(&str, &str)], overrides: &[(&str, &str)]) -> SamConfig {
        let mut config = SamConfig::new();
        for (key, value) in defaults {
            config = config.default_option(key, value);
        }
        for (key, value) in overrides {
            config = config.option(key, value);
        }
        config
    }

    fn params(rest: &str) -> SessionParams {
        let line = format!("SESSION CREATE ID=x DESTINATION=TRANSIENT {rest}");
        let message = Message::parse(&line, Syntax::CURRENT).expect("a line");
        let (params, _) = SessionParams::create(&message.params, Version::V3_3).expect("valid");
        params
    }

    fn subsession(rest: &str) -> SessionParams {
        let line = format!("SESSION ADD STYLE=STREAM ID=x {rest}");
        let message = Message::parse(&line, Syntax::CURRENT).expect("a line");
        SessionParams::add(&message.params, Version::V3_3).expect("valid")
    }

    /// The effective value of an option.
    fn value<'a>(options: &'a [(String, String)], key: &str) -> Option<&'a str> {
        let (_, value) = options.iter().rev().find(|(there, _)| there == key)?;
        Some(value)
    }

    #[test]
    fn sessions_without_a_name_get_the_names_of_java_i2p() {
        let none = settings(&[], &[]);
        for (style, name) in [
            ("STREAM", "SAM TCP Client"),
            ("PRIMARY", "SAM TCP Client"),
            ("RAW", "SAM UDP Client"),
            ("DATAGRAM", "SAM UDP Client"),
            ("DATAGRAM2", "SAM UDP Client"),
            ("DATAGRAM3", "SAM UDP Client"),
        ] {
            let options = of_session(&none, &params(&format!("STYLE={style}")));
            for key in NICKNAMES {
                assert_eq!(value(&options, key), Some(name), "{style}");
            }
        }
    }

    #[test]
    fn a_given_name_is_kept() {
        let named = params("STYLE=STREAM outbound.nickname=mine");
        let options = of_session(&settings(&[], &[]), &named);
        assert_eq!(value(&options, "outbound.nickname"), Some("mine"));
        assert_eq!(value(&options, "inbound.nickname"), None);
        let options = of_session(
            &settings(&[("inbound.nickname", "the bridge's")], &[]),
            &params("STYLE=STREAM"),
        );
        assert_eq!(value(&options, "inbound.nickname"), Some("the bridge's"));
        assert_eq!(value(&options, "outbound.nickname"), None);
    }

    #[test]
    fn clients_override_defaults_and_the_bridge_overrides_clients() {
        let settings = settings(
            &[("inbound.length", "1"), ("inbound.quantity", "1")],
            &[("outbound.length", "3")],
        );
        let params = params("STYLE=STREAM inbound.length=2 outbound.length=0");
        let options = of_session(&settings, &params);
        assert_eq!(value(&options, "inbound.quantity"), Some("1"));
        assert_eq!(value(&options, "inbound.length"), Some("2"));
        assert_eq!(value(&options, "outbound.length"), Some("3"));
    }

    #[test]
    fn a_primary_session_is_always_published_and_distinguishes_protocols() {
        let params = params(
            "STYLE=PRIMARY i2p.streaming.enforceProtocol=false i2cp.dontPublishLeaseSet=true",
        );
        let options = of_session(&settings(&[], &[]), &params);
        assert_eq!(value(&options, ENFORCE_PROTOCOL), Some("true"));
        assert_eq!(value(&options, DONT_PUBLISH), None);
    }

    #[test]
    fn other_sessions_may_be_unpublished() {
        let params = params("STYLE=STREAM i2cp.dontPublishLeaseSet=true");
        let options = of_session(&settings(&[], &[]), &params);
        assert_eq!(value(&options, DONT_PUBLISH), Some("true"));
    }

    #[test]
    fn options_of_javas_client_library_and_of_the_router_connection_are_omitted() {
        let params = params(
            "STYLE=STREAM i2cp.messageReliability=BestEffort i2cp.fastReceive=false \
             i2cp.tcp.host=192.0.2.1 i2cp.tcp.port=1 i2cp.SSL=true i2cp.username=a i2cp.password=b \
             i2p.streaming.noSuchThing=1 sam.udp.host=127.0.0.1 sam.udp.port=7655",
        );
        let options = of_session(&settings(&[], &[]), &params);
        let left: Vec<_> = options
            .iter()
            .filter(|(key, _)| !NICKNAMES.contains(&&**key))
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }

    #[test]
    fn unknown_encryption_types_are_omitted_and_the_order_is_kept() {
        for (asked, told) in [
            ("4,0", "4,0"),
            ("0,4", "0,4"),
            ("6,4", "4"),
            ("6,4,0", "4,0"),
            ("99", "99"),
        ] {
            let params = params(&format!("STYLE=STREAM i2cp.leaseSetEncType={asked}"));
            let options = of_session(&settings(&[], &[]), &params);
            assert_eq!(value(&options, ENCRYPTION), Some(told), "{asked}");
        }
    }

    /// The replacement if a router refuses `key`.
    fn instead(key: &str, rest: &str) -> Option<(&'static str, &'static str)> {
        let refused = LinkError::BadOption {
            key: key.to_owned(),
            why: "not here".to_owned(),
        };
        let params = params(&format!("STYLE=STREAM {rest}"));
        amended(&refused.into(), &settings(&[], &[]), &params)
    }

    #[test]
    fn x25519_alone_replaces_a_refused_list_with_elgamal() {
        let modern = Some(("i2cp.leaseSetEncType", "4"));
        for (asked, expected) in [("4,0", modern), ("0,4", modern), ("0", None), ("4", None)] {
            let rest = format!("i2cp.leaseSetEncType={asked}");
            assert_eq!(instead("i2cp.leaseSetEncType", &rest), expected, "{asked}");
        }
    }

    #[test]
    fn one_hop_replaces_refused_tunnels_without_hops() {
        let rest = "inbound.length=0 outbound.length=0";
        for key in ["inbound.length", "outbound.length"] {
            assert_eq!(instead(key, rest), Some((key, "1")));
            assert_eq!(instead(key, "inbound.length=3 outbound.length=3"), None);
            assert_eq!(instead(key, ""), None);
        }
        // Other refused options have no replacement.
        assert_eq!(instead("inbound.quantity", "inbound.quantity=0"), None);
    }

    #[test]
    fn a_subsession_overrides_streaming_options_of_its_primary_session() {
        let primary = params(
            "STYLE=PRIMARY i2p.streaming.maxResends=5 i2p.streaming.maxMessageSize=1000 \
             inbound.length=1",
        );
        let none = settings(&[], &[]);
        let streams = |rest: &str| streams_of_subsession(&none, &primary, &subsession(rest));
        assert!(streams("inbound.length=2").expect("none").is_none());
        let config = streams("i2p.streaming.maxResends=3")
            .expect("valid")
            .expect("there are some");
        assert_eq!(config.max_resends(), 3);
        assert_eq!(config.max_message_size(), 1000);
        let failure = streams("i2p.streaming.maxResends=many").expect_err("no number");
        assert!(
            failure.message.starts_with("session option i2p.streaming"),
            "{failure}"
        );
    }
}
