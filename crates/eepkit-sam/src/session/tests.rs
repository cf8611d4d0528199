use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};

use super::*;
use crate::{Message, Syntax};

fn params(text: &str) -> Params {
    Message::parse_params(text, Syntax::CURRENT).expect(text)
}

fn create(text: &str) -> Result<(SessionParams, NewDestination), Failure> {
    SessionParams::create(&params(text), Version::NEWEST)
}

fn add(text: &str) -> Result<SessionParams, Failure> {
    SessionParams::add(&params(text), Version::NEWEST)
}

/// The answer to a CREATE that fails.
fn refusal(text: &str) -> String {
    create(text).expect_err(text).to_string()
}

fn add_refusal(text: &str) -> String {
    add(text).expect_err(text).to_string()
}

#[test]
fn options_are_forwarded_and_parameters_of_the_bridge_are_not() {
    let (session, destination) = create(
        "STYLE=STREAM ID=x DESTINATION=TRANSIENT SIGNATURE_TYPE=7 inbound.length=1 \
         FROM_PORT=5 i2cp.leaseSetEncType=4,0 i2p.streaming.answerPings CRYPTO_TYPE=0 \
         sam.udp.port=7655 TO_PORT=",
    )
    .expect("valid");
    let options = [
        ("inbound.length", "1"),
        ("i2cp.leaseSetEncType", "4,0"),
        ("i2p.streaming.answerPings", "true"),
    ];
    let options: Vec<_> = options
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    assert_eq!(session.options, options);
    assert_eq!((session.from_port, session.to_port), (5, 0));
    assert_eq!(session.udp_port, Some(7655));
    assert_eq!(session.listen_port, 0, "a plain session takes every port");
    assert!(matches!(
        destination,
        NewDestination::Transient(Some(SignatureType::ED25519))
    ));
}

#[test]
fn a_missing_parameter_is_named() {
    assert_eq!(
        refusal("ID=x DESTINATION=TRANSIENT"),
        "I2P_ERROR: STYLE is missing"
    );
    assert_eq!(
        refusal("STYLE=STREAM DESTINATION=TRANSIENT"),
        "I2P_ERROR: ID is missing"
    );
    assert_eq!(
        refusal("STYLE=STREAM ID=x"),
        "I2P_ERROR: DESTINATION is missing"
    );
    assert_eq!(
        refusal("STYLE=STREAMS ID=x DESTINATION=TRANSIENT"),
        "I2P_ERROR: STYLE is STREAM, DATAGRAM, DATAGRAM2, DATAGRAM3, RAW or PRIMARY"
    );
}

#[test]
fn parameters_of_other_styles_are_refused() {
    let refused = |style: &str, parameter: &str| {
        refusal(&format!(
            "STYLE={style} ID=x DESTINATION=TRANSIENT {parameter}"
        ))
    };
    assert_eq!(
        refused("STREAM", "PORT=1"),
        "I2P_ERROR: PORT is not for STYLE=STREAM"
    );
    assert_eq!(
        refused("STREAM", "HOST=127.0.0.1"),
        "I2P_ERROR: HOST is not for STYLE=STREAM"
    );
    assert_eq!(
        refused("DATAGRAM", "PROTOCOL=18"),
        "I2P_ERROR: PROTOCOL is not for styles other than RAW"
    );
    assert_eq!(
        refused("DATAGRAM2", "HEADER=true"),
        "I2P_ERROR: HEADER is not for styles other than RAW"
    );
    for parameter in ["PORT", "HOST", "FROM_PORT", "TO_PORT", "PROTOCOL", "HEADER"] {
        assert_eq!(
            refused("PRIMARY", &format!("{parameter}=1")),
            format!("I2P_ERROR: {parameter} is not for STYLE=PRIMARY")
        );
    }
    for parameter in ["LISTEN_PORT", "LISTEN_PROTOCOL"] {
        assert_eq!(
            refused("RAW", &format!("{parameter}=1")),
            format!("I2P_ERROR: {parameter} is not for SESSION CREATE")
        );
    }
}

#[test]
fn reserved_protocols_are_refused() {
    for protocol in [6, 17, 19, 20, 256] {
        assert_eq!(
            refusal(&format!(
                "STYLE=RAW ID=x DESTINATION=TRANSIENT PROTOCOL={protocol}"
            )),
            "I2P_ERROR: PROTOCOL must be a number from 0 to 255, but not 6, 17, 19 or 20"
        );
    }
    let (session, _) = create("STYLE=RAW ID=x DESTINATION=TRANSIENT PROTOCOL=77").expect("valid");
    assert_eq!((session.protocol, session.listen_protocol), (77, 0));
    let (session, _) = create("STYLE=RAW ID=x DESTINATION=TRANSIENT").expect("valid");
    assert_eq!(session.protocol, 18);
}

#[test]
fn datagrams_are_forwarded_if_a_port_is_given() {
    let forward = |text: &str| {
        let (session, _) =
            create(&format!("STYLE=DATAGRAM ID=x DESTINATION=TRANSIENT {text}")).expect("valid");
        session.forward
    };
    assert_eq!(forward(""), None);
    let to = |host: Option<&str>, port: u16| {
        Some(ForwardTo {
            host: host.map(str::to_owned),
            port,
        })
    };
    assert_eq!(forward("PORT=9"), to(None, 9));
    assert_eq!(forward("PORT=9 HOST=127.0.0.1"), to(Some("127.0.0.1"), 9));
    assert_eq!(forward("PORT=0 HOST=127.0.0.1"), to(Some("127.0.0.1"), 0));
    assert_eq!(
        refusal("STYLE=RAW ID=x DESTINATION=TRANSIENT PORT=65536"),
        "I2P_ERROR: PORT must be a number from 0 to 65535"
    );
}

#[test]
fn keys_are_parsed_and_their_text_is_kept() {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let keys = PrivateKeys::generate(SignatureType::ED25519, &mut rng).expect("can be made");
    let text = keys.to_base64();
    let unpadded = text.trim_end_matches('=');
    let (_, destination) = create(&format!(
        "STYLE=STREAM ID=x DESTINATION={unpadded} SIGNATURE_TYPE=nonsense"
    ))
    .expect("the signature type is ignored if keys are given");
    let NewDestination::Keys { keys: read, text } = destination else {
        panic!("keys were given");
    };
    assert_eq!(*read, keys);
    assert_eq!(text.as_str(), unpadded);
    assert!(
        refusal("STYLE=STREAM ID=x DESTINATION=nonsense").starts_with("INVALID_KEY: "),
        "no keys"
    );
}

#[test]
fn offline_keys_are_refused_only_for_datagrams_of_the_old_format() {
    let mut rng = ChaCha20Rng::seed_from_u64(2);
    let keys = PrivateKeys::generate(SignatureType::ED25519, &mut rng).expect("can be made");
    let text = keys
        .with_transient(2_000_000_000, SignatureType::ED25519, &mut rng)
        .expect("can be made")
        .to_base64();
    let with = |style: &str| create(&format!("STYLE={style} ID=x DESTINATION={}", *text));
    for style in ["STREAM", "RAW", "DATAGRAM2", "DATAGRAM3", "PRIMARY"] {
        assert!(with(style).is_ok(), "{style}");
    }
    assert_eq!(
        with("DATAGRAM").expect_err("unsupported").to_string(),
        "I2P_ERROR: offline keys cannot be used with STYLE=DATAGRAM, use DATAGRAM2"
    );
}

#[test]
fn signature_types_are_parsed_by_number_and_by_name_in_any_case() {
    let kind = |text: &str| signature_type(&params(&format!("SIGNATURE_TYPE={text}")));
    assert_eq!(kind("7"), Ok(Some(SignatureType::ED25519)));
    assert_eq!(
        kind("eddsa_sha512_ED25519"),
        Ok(Some(SignatureType::ED25519))
    );
    assert_eq!(kind("DSA_SHA1"), Ok(Some(SignatureType::DSA_SHA1)));
    assert_eq!(kind(""), Ok(None));
    for bad in ["4", "8", "12", "x"] {
        let failure = kind(bad).expect_err(bad);
        assert!(failure.message.starts_with("SIGNATURE_TYPE"), "{failure}");
    }
}

#[test]
fn the_listen_port_of_a_subsession_defaults_to_its_from_port() {
    let session = add("STYLE=STREAM ID=x FROM_PORT=80").expect("valid");
    assert_eq!(session.listen_port, 80);
    let session = add("STYLE=STREAM ID=x LISTEN_PORT=80").expect("valid");
    assert_eq!((session.from_port, session.listen_port), (0, 80));
    let session = add("STYLE=STREAM ID=x FROM_PORT=80 LISTEN_PORT=0").expect("valid");
    assert_eq!(session.listen_port, 0);
    assert_eq!(
        add_refusal("STYLE=STREAM ID=x FROM_PORT=80 LISTEN_PORT=81"),
        "I2P_ERROR: LISTEN_PORT must be 0 or FROM_PORT where STYLE=STREAM"
    );
    let session = add("STYLE=DATAGRAM ID=x PORT=9 FROM_PORT=80 LISTEN_PORT=81").expect("valid");
    assert_eq!((session.listen_port, session.listen_protocol), (81, 17));
    let session = add("STYLE=RAW ID=x PORT=9 PROTOCOL=40").expect("valid");
    assert_eq!((session.protocol, session.listen_protocol), (40, 40));
    let session = add("STYLE=RAW ID=x PORT=9 LISTEN_PROTOCOL=0").expect("valid");
    assert_eq!((session.protocol, session.listen_protocol), (18, 0));
}

#[test]
fn invalid_subsessions_are_refused() {
    let cases = [
        ("STYLE=PRIMARY ID=x", "a subsession cannot be PRIMARY"),
        (
            "STYLE=STREAM ID=x DESTINATION=TRANSIENT",
            "DESTINATION is not for SESSION ADD",
        ),
        ("STYLE=DATAGRAM ID=x", "PORT is missing"),
        ("STYLE=RAW ID=x", "PORT is missing"),
        (
            "STYLE=RAW ID=x PORT=9 LISTEN_PROTOCOL=6",
            "LISTEN_PROTOCOL must be a number from 0 to 255, but not 6",
        ),
        (
            "STYLE=DATAGRAM ID=x PORT=9 LISTEN_PROTOCOL=17",
            "LISTEN_PROTOCOL is not for styles other than RAW",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(
            add_refusal(text),
            format!("I2P_ERROR: {expected}"),
            "{text}"
        );
    }
}
