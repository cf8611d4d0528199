use super::*;

fn granted() -> Reply {
    Reply::Granted(Address::new(Host::Ip([127, 0, 0, 1].into()), 1))
}

/// The request in this input, and the output up to it.
fn request(authentication: Authentication, input: &[u8]) -> (Request, Vec<u8>, Server) {
    let mut server = Server::new(authentication);
    let event = server.receive(input).expect("valid");
    let Some(Event::Request(request)) = event else {
        panic!("no request: {event:?}");
    };
    let output = server.output();
    (request, output, server)
}

/// The error of this input, and the output.
fn failure(authentication: Authentication, input: &[u8]) -> (ProtocolError, Vec<u8>) {
    let mut server = Server::new(authentication);
    let error = server.receive(input).expect_err("invalid");
    (error, server.output())
}

#[test]
fn socks_4_with_an_ip_address_and_4a_with_a_name_are_accepted() {
    let (asked, output, mut server) = request(
        Authentication::Optional,
        b"\x04\x01\x00\x50\x0a\x01\x02\x03me\x00GET",
    );
    assert_eq!(asked.protocol, Protocol::Socks4);
    assert_eq!(asked.command, Command::Connect);
    assert_eq!(asked.target.to_string(), "10.1.2.3:80");
    assert_eq!(asked.credentials, Credentials::new(b"me", b""));
    assert!(output.is_empty());
    server.reply(&granted());
    assert_eq!(server.output(), b"\x00\x5a\x00\x01\x7f\x00\x00\x01");
    assert_eq!(server.into_rest(), b"GET");

    let (asked, _, mut server) = request(
        Authentication::Optional,
        b"\x04\x01\x1a\x0b\x00\x00\x00\x07\x00irc.site.i2p\x00",
    );
    assert_eq!(asked.protocol, Protocol::Socks4a);
    assert_eq!(asked.target.to_string(), "irc.site.i2p:6667");
    assert_eq!(asked.credentials, None);
    server.reply(&Reply::TimedOut);
    assert_eq!(server.output(), b"\x00\x5b\x00\x00\x00\x00\x00\x00");
}

#[test]
fn socks_5_is_accepted_without_and_with_a_password() {
    let (asked, output, mut server) = request(
        Authentication::Optional,
        b"\x05\x01\x00\x05\x01\x00\x03\x08site.i2p\x01\xbb",
    );
    assert_eq!(asked.protocol, Protocol::Socks5);
    assert_eq!(asked.credentials, None);
    assert_eq!(asked.target.to_string(), "site.i2p:443");
    assert_eq!(output, b"\x05\x00");
    server.reply(&Reply::HostUnreachable);
    assert_eq!(server.output(), b"\x05\x04\x00\x01\x00\x00\x00\x00\x00\x00");

    let mut server = Server::new(Authentication::Required);
    assert_eq!(server.receive(b"\x05\x02\x00\x02"), Ok(None));
    assert_eq!(server.output(), b"\x05\x02");
    let event = server.receive(b"\x01\x02me\x06secret").expect("valid");
    let Some(Event::Authenticate(named)) = event else {
        panic!("no password: {event:?}");
    };
    assert_eq!(Some(named), Credentials::new(b"me", b"secret"));
    // The request may arrive before the password is verified.
    assert_eq!(
        server.receive(b"\x05\x01\x00\x03\x08site.i2p\x00\x50"),
        Ok(None)
    );
    let event = server.authenticate(true).expect("valid");
    let Some(Event::Request(asked)) = event else {
        panic!("no request: {event:?}");
    };
    assert_eq!(asked.credentials, Credentials::new(b"me", b"secret"));
    assert_eq!(server.output(), b"\x01\x00");
}

#[test]
fn the_method_with_a_name_is_preferred_because_it_separates_users() {
    // curl with a user name offers both, and Kerberos.
    let mut server = Server::new(Authentication::Optional);
    assert_eq!(server.receive(b"\x05\x03\x00\x01\x02"), Ok(None));
    assert_eq!(server.output(), b"\x05\x02");
    let event = server.receive(b"\x01\x03two\x00\x05\x01\x00\x03\x01a\x00\x50");
    let Ok(Some(Event::Request(asked))) = event else {
        panic!("no request: {event:?}");
    };
    assert_eq!(asked.credentials, Credentials::new(b"two", b""));
    assert_eq!(server.output(), b"\x01\x00");
}

#[test]
fn a_wrong_password_ends_the_connection_with_the_answer_of_rfc_1929() {
    let mut server = Server::new(Authentication::Required);
    let event = server.receive(b"\x05\x01\x02\x01\x02me\x05wrong");
    assert!(matches!(event, Ok(Some(Event::Authenticate(_)))));
    assert_eq!(
        server.authenticate(false),
        Err(ProtocolError::WrongPassword)
    );
    assert_eq!(server.output(), b"\x05\x02\x01\x01");
    assert_eq!(server.receive(b"x"), Err(ProtocolError::WrongPassword));
}

#[test]
fn what_cannot_be_used_is_refused_with_the_code_of_the_protocol() {
    let optional = Authentication::Optional;
    let cases: [(&[u8], ProtocolError, &[u8]); 9] = [
        (b"\x06", ProtocolError::Version(6), b""),
        (b"\x05\x01\x01", ProtocolError::NoMethod, b"\x05\xff"),
        (b"\x05\x00", ProtocolError::NoMethod, b"\x05\xff"),
        (
            b"\x05\x01\x00\x05\x02\x00\x03\x01a\x00\x50",
            ProtocolError::Command(2),
            b"\x05\x00\x05\x07\x00\x01\x00\x00\x00\x00\x00\x00",
        ),
        (
            b"\x05\x01\x00\x05\x01\x00\x02",
            ProtocolError::AddressType(2),
            b"\x05\x00\x05\x08\x00\x01\x00\x00\x00\x00\x00\x00",
        ),
        (
            b"\x05\x01\x00\x05\x01\x00\x03\x00\x00\x50",
            ProtocolError::Invalid("host name"),
            b"\x05\x00\x05\x01\x00\x01\x00\x00\x00\x00\x00\x00",
        ),
        (
            b"\x05\x01\x00\x05\x01\x00\x03\x01a\x00\x00",
            ProtocolError::Invalid("port"),
            b"\x05\x00\x05\x01\x00\x01\x00\x00\x00\x00\x00\x00",
        ),
        (
            b"\x04\x02\x00\x50\x7f\x00\x00\x01\x00",
            ProtocolError::Command(2),
            b"\x00\x5b\x00\x00\x00\x00\x00\x00",
        ),
        (
            b"\x04\x01\x00\x50\x00\x00\x00\x01\x00\x00",
            ProtocolError::Invalid("host name"),
            b"\x00\x5b\x00\x00\x00\x00\x00\x00",
        ),
    ];
    for (input, error, output) in cases {
        assert_eq!(
            failure(optional, input),
            (error, output.to_vec()),
            "{input:?}"
        );
    }
    let required = Authentication::Required;
    let (error, output) = failure(required, b"\x04\x01\x00\x50\x7f\x00\x00\x01me\x00");
    assert_eq!(error, ProtocolError::PasswordRequired);
    assert_eq!(output, b"\x00\x5b\x00\x00\x00\x00\x00\x00");
    let (error, output) = failure(required, b"\x05\x01\x00");
    assert_eq!(
        (error, &output[..]),
        (ProtocolError::NoMethod, &b"\x05\xff"[..])
    );
}

#[test]
fn a_browser_that_speaks_http_gets_a_page_that_explains_it() {
    for method in ["GET", "CONNECT", "HEAD", "POST"] {
        let text = format!("{method} http://site.i2p/ HTTP/1.1\r\n");
        let (error, output) = failure(Authentication::Optional, text.as_bytes());
        assert_eq!(error, ProtocolError::Http);
        let page = String::from_utf8(output).expect("text");
        assert!(page.starts_with("HTTP/1.0 501 "), "{page}");
        assert!(page.contains("Configure it as a SOCKS proxy"), "{page}");
    }
}

#[test]
fn tors_commands_and_the_relay_of_datagrams_are_reported() {
    for (code, command) in [
        (3, Command::Associate),
        (0xf0, Command::Resolve),
        (0xf1, Command::ResolvePtr),
    ] {
        let input = [&b"\x05\x01\x00\x05"[..], &[code], b"\x00\x03\x01a\x00\x00"].concat();
        let (asked, ..) = request(Authentication::Optional, &input);
        assert_eq!(asked.command, command);
    }
    let (asked, ..) = request(
        Authentication::Optional,
        b"\x04\xf0\x00\x00\x00\x00\x00\x01\x00a\x00",
    );
    assert_eq!(asked.command, Command::Resolve);
}

#[test]
fn an_ipv4_address_within_ipv6_is_that_address() {
    let mapped = b"\x05\x01\x00\x05\x01\x00\x04\
        \x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\x7f\x00\x00\x01\x00\x50";
    let (asked, ..) = request(Authentication::Optional, mapped);
    assert_eq!(asked.target.to_string(), "127.0.0.1:80");
}

#[test]
fn endless_fields_and_early_data_are_bounded() {
    let mut endless = b"\x04\x01\x00\x50\x7f\x00\x00\x01".to_vec();
    endless.extend([b'a'; 300]);
    let (error, _) = failure(Authentication::Optional, &endless);
    assert_eq!(error, ProtocolError::Invalid("user name"));

    let input = b"\x05\x01\x00\x05\x01\x00\x03\x08site.i2p\x00\x50";
    let (_, _, mut server) = request(Authentication::Optional, input);
    assert_eq!(server.receive(&vec![0; MAX_EARLY]), Ok(None));
    assert_eq!(server.receive(&[0]), Err(ProtocolError::TooEarly));
}

#[test]
fn calls_without_an_event_have_no_effect() {
    let mut server = Server::new(Authentication::Optional);
    server.reply(&granted());
    assert_eq!(server.authenticate(true), Ok(None));
    assert_eq!(server.output(), b"");
    assert_eq!(server.receive(b"\x05\x01\x00"), Ok(None));
    assert_eq!(server.output(), b"\x05\x00");
}
