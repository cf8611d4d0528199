use super::*;
use crate::{Authentication, Event, Host, Server};

fn site() -> Address {
    Address::new(Host::Name("site.i2p".to_owned()), 80)
}

fn bound() -> Address {
    Address::new(Host::Ip([127, 0, 0, 1].into()), 4447)
}

/// Runs a client against our own server. Returns the request and both results.
fn converse(
    mut client: Client,
    mut server: Server,
    reply: &Reply,
) -> (Option<Event>, Result<Option<Address>, ClientError>) {
    let mut request = None;
    let mut result = Ok(None);
    for _ in 0..4 {
        let mut event = server.receive(&client.output());
        if let Ok(Some(Event::Authenticate(named))) = &event {
            event = server.authenticate(named.password() == b"right");
        }
        if let Ok(Some(asked)) = event {
            request = Some(asked);
            server.reply(reply);
        }
        result = client.receive(&server.output());
    }
    (request, result)
}

#[test]
fn a_connection_opens_with_and_without_a_password() {
    let plain = Client::new(site(), None);
    let server = Server::new(Authentication::Optional);
    let (request, result) = converse(plain, server, &Reply::Granted(bound()));
    assert_eq!(result, Ok(Some(bound())));
    let Some(Event::Request(request)) = request else {
        panic!("no request");
    };
    assert_eq!((request.target, request.credentials), (site(), None));

    let named = Client::new(site(), Credentials::new(b"me", b"right"));
    let server = Server::new(Authentication::Required);
    let (request, result) = converse(named, server, &Reply::Granted(bound()));
    assert_eq!(result, Ok(Some(bound())));
    let Some(Event::Request(request)) = request else {
        panic!("no request");
    };
    assert_eq!(request.credentials, Credentials::new(b"me", b"right"));
}

#[test]
fn each_failure_of_the_proxy_is_reported() {
    for reply in [
        Reply::Failure,
        Reply::NotAllowed,
        Reply::NetworkUnreachable,
        Reply::HostUnreachable,
        Reply::Refused,
        Reply::TimedOut,
        Reply::CommandNotSupported,
        Reply::AddressNotSupported,
    ] {
        let server = Server::new(Authentication::Optional);
        let (_, result) = converse(Client::new(site(), None), server, &reply);
        assert_eq!(result, Err(ClientError::Refused(reply)));
    }
    let wrong = Client::new(site(), Credentials::new(b"me", b"wrong"));
    let (_, result) = converse(
        wrong,
        Server::new(Authentication::Required),
        &Reply::Failure,
    );
    assert_eq!(result, Err(ClientError::WrongPassword));
    let nobody = Client::new(site(), None);
    let (_, result) = converse(
        nobody,
        Server::new(Authentication::Required),
        &Reply::Failure,
    );
    assert_eq!(result, Err(ClientError::NoMethod));
}

#[test]
fn answers_of_other_protocols_are_an_error_and_data_after_the_answer_is_kept() {
    let mut client = Client::new(site(), None);
    assert_eq!(client.receive(b"HTTP/1.1 400"), Err(ClientError::NotSocks));
    assert_eq!(client.receive(b"\x05\x00"), Err(ClientError::NotSocks));

    let mut client = Client::new(site(), None);
    assert_eq!(client.receive(b"\x05"), Ok(None));
    assert_eq!(client.receive(b"\x00\x05\x00\x00\x01"), Ok(None));
    let end = client.receive(b"\x7f\x00\x00\x01\x11\x5fhello");
    assert_eq!(end, Ok(Some(bound())));
    assert_eq!(client.into_rest(), b"hello");

    let mut client = Client::new(site(), None);
    let unknown = client.receive(b"\x05\x00\x05\x63\x00");
    assert_eq!(unknown, Err(ClientError::UnknownCode(0x63)));
}

#[test]
fn a_name_or_password_that_does_not_fit_is_refused() {
    assert!(Credentials::new(&[b'a'; 255], &[b'b'; 255]).is_some());
    assert!(Credentials::new(&[b'a'; 256], b"").is_none());
    assert!(Credentials::new(b"", &[b'b'; 256]).is_none());
    let debug = format!("{:?}", Credentials::new(b"me", b"secret"));
    assert!(!debug.contains("secret"));
}
