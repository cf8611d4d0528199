//! The client and the bridge, connected with each other.

use std::{sync::Arc, time::Instant};

use eepkit_wire::{PrivateKeys, SignatureType};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};

use super::*;
use crate::{
    Command, Database, Limits, Nickname, Stage,
    server::{self, Answer, Config, Connection, Request},
};

fn keys(seed: u64, kind: SignatureType) -> PrivateKeys {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    PrivateKeys::generate(kind, &mut rng).expect("can be made")
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test needs some instant to begin with"
)]
fn now() -> Instant {
    Instant::now()
}

/// A procedure and a bridge. The test plays the driver of the bridge.
struct Pair {
    now: Instant,
    setup: Setup,
    bridge: Connection,
    events: Vec<SetupEvent>,
    wake: Option<Instant>,
    can_start: bool,
}

impl Pair {
    fn new(wanted: Wanted) -> Self {
        let now = now();
        Self {
            now,
            setup: Setup::new(wanted, [3; 32], now),
            bridge: Connection::new(Arc::new(Config::default()), [4; 32]),
            events: Vec::new(),
            wake: None,
            can_start: true,
        }
    }

    fn run(&mut self, database: &mut Database) {
        loop {
            let mut is_idle = true;
            while let Some(output) = self.bridge.poll_output() {
                is_idle = false;
                match output {
                    server::Output::Send(text) => {
                        self.setup.handle_bytes(self.now, text.as_bytes());
                    }
                    server::Output::Request(Request::Start(nick)) => {
                        let result = match self.can_start {
                            true => Ok(()),
                            false => Err("the port is in use".to_owned()),
                        };
                        if result.is_err() {
                            database.set_stage(&nick, Stage::Idle);
                        }
                        self.bridge.handle_answer(database, Answer::Started(result));
                    }
                    server::Output::Request(_) => {}
                    server::Output::Close => self.setup.handle_end(self.now),
                }
            }
            loop {
                match self.setup.poll_output() {
                    SetupEvent::Transmit(text) => {
                        is_idle = false;
                        self.bridge.handle_bytes(database, text.as_bytes());
                    }
                    SetupEvent::Timeout(at) => {
                        self.wake = at;
                        break;
                    }
                    event => self.events.push(event),
                }
            }
            if is_idle {
                return;
            }
        }
    }

    /// Advances the time to the deadline of the procedure.
    fn pass(&mut self, database: &mut Database) {
        self.now = self.wake.expect("it waits");
        self.setup.handle_timeout(self.now);
        self.run(database);
    }
}

fn wanted(keys: Keys) -> Wanted {
    let mut wanted = Wanted::new("chat").expect("a nickname");
    wanted.keys = keys;
    wanted.outbound = Some(("127.0.0.1".to_owned(), 6667));
    wanted.inbound = Some(("127.0.0.1".to_owned(), 6668));
    wanted.options = vec![("inbound.length".to_owned(), "1".to_owned())];
    wanted.quiet = true;
    wanted
}

fn nick(text: &str) -> Nickname {
    Nickname::new(text).expect("a nickname")
}

#[test]
fn a_tunnel_is_brought_online_and_removed() {
    let mut database = Database::new(Limits::default());
    let mut pair = Pair::new(wanted(Keys::New(Some(SignatureType::ECDSA_SHA256_P256))));
    pair.run(&mut database);
    assert_eq!(database.stage(&nick("chat")), Some(Stage::Starting));
    pair.pass(&mut database);
    assert!(pair.events.is_empty());
    database.set_stage(&nick("chat"), Stage::Running);
    pair.pass(&mut database);
    let tunnel = database.tunnel(&nick("chat")).expect("it is there").clone();
    let keys = tunnel.keys.clone().expect("it has keys");
    assert_eq!(
        keys.destination().signature_type(),
        SignatureType::ECDSA_SHA256_P256
    );
    assert_eq!(pair.setup.keys(), Some(&keys));
    assert_eq!(
        pair.events,
        [SetupEvent::Running(keys.destination().clone())]
    );
    assert_eq!(
        (tunnel.in_port, tunnel.out_port, tunnel.quiet),
        (Some(6668), Some(6667), true)
    );
    assert!(
        tunnel
            .options
            .iter()
            .any(|(key, value)| key == "inbound.length" && **value == "1")
    );
    // It is removed once it is idle.
    pair.setup.remove();
    pair.run(&mut database);
    assert_eq!(database.stage(&nick("chat")), Some(Stage::Stopping));
    pair.pass(&mut database);
    database.set_stage(&nick("chat"), Stage::Idle);
    pair.pass(&mut database);
    assert_eq!(pair.events.last(), Some(&SetupEvent::Removed));
    assert!(database.is_empty());
}

#[test]
fn a_running_tunnel_with_the_same_keys_is_found_again() {
    for kind in [SignatureType::DSA_SHA1, SignatureType::ED25519] {
        let mut database = Database::new(Limits::default());
        let keys = keys(1, kind);
        let given = || Keys::Given(Box::new(keys.clone()));
        let mut pair = Pair::new(wanted(given()));
        pair.run(&mut database);
        database.set_stage(&nick("chat"), Stage::Running);
        // The program is restarted.
        let mut pair = Pair::new(wanted(given()));
        pair.run(&mut database);
        assert_eq!(
            pair.events,
            [SetupEvent::Running(keys.destination().clone())]
        );
        assert_eq!(database.len(), 1);
    }
}

#[test]
fn the_nickname_of_another_program_is_avoided() {
    let mut database = Database::new(Limits::default());
    let mut pair = Pair::new(wanted(Keys::New(None)));
    pair.run(&mut database);
    database.set_stage(&nick("chat"), Stage::Running);
    let other = Keys::Given(Box::new(keys(2, SignatureType::ED25519)));
    for keys in [Keys::New(None), other] {
        let mut pair = Pair::new(wanted(keys));
        pair.run(&mut database);
        let own = pair.setup.nickname().clone();
        assert!(own.as_str().starts_with("chat-"), "{own}");
        database.set_stage(&own, Stage::Running);
        pair.pass(&mut database);
        assert!(matches!(pair.events[..], [SetupEvent::Running(_)]));
        let mut again = Pair::new(wanted(Keys::New(None)));
        again.setup = Setup::new(wanted(Keys::New(None)), [9; 32], again.now);
        again.run(&mut database);
        assert_ne!(again.setup.nickname(), &own);
    }
}

#[test]
fn failures_are_reported_with_their_reason() {
    let mut database = Database::new(Limits::default());
    let mut pair = Pair::new(wanted(Keys::New(None)));
    pair.can_start = false;
    pair.run(&mut database);
    let why = "starting tunnel: the port is in use".to_owned();
    let refused = SetupError::Refused {
        command: "start",
        why,
    };
    assert_eq!(pair.events, [SetupEvent::Failed(refused)]);
    // The session is lost while it is being opened.
    let mut pair = Pair::new(wanted(Keys::New(None)));
    pair.run(&mut database);
    database.set_stage(&nick("chat"), Stage::Idle);
    pair.pass(&mut database);
    assert_eq!(pair.events, [SetupEvent::Failed(SetupError::Stopped)]);
    // It never runs.
    let mut pair = Pair::new(wanted(Keys::New(None)));
    pair.run(&mut database);
    for _ in 0..1000 {
        if pair.events.is_empty() {
            pair.pass(&mut database);
        }
    }
    assert_eq!(pair.events, [SetupEvent::Failed(SetupError::Timeout)]);
}

#[test]
fn the_end_of_the_connection_ends_the_procedure() {
    let mut pair = Pair::new(wanted(Keys::New(None)));
    pair.setup.handle_end(pair.now);
    let failed = SetupEvent::Failed(SetupError::Closed(Closed::ByBridge));
    assert_eq!(pair.setup.poll_output(), failed);
    assert_eq!(pair.setup.poll_output(), SetupEvent::Timeout(None));
    let mut pair = Pair::new(wanted(Keys::New(None)));
    pair.setup.handle_bytes(pair.now, b"SSH-2.0\n");
    let failed = SetupEvent::Failed(SetupError::Closed(Closed::NotBob));
    assert_eq!(pair.setup.poll_output(), failed);
}

#[test]
fn commands_wait_for_the_greeting_and_for_each_other() {
    let start = now();
    let limit = std::time::Duration::from_secs(5);
    let mut client = Client::new(start);
    assert!(client.command(Command::List, limit));
    assert!(client.command(Command::Quit, limit));
    assert!(matches!(client.poll_output(), Output::Timeout(Some(_))));
    client.handle_bytes(start, b"BOB 00.00.10\nO");
    client.handle_bytes(start, b"K\n");
    assert_eq!(client.poll_output(), Output::Ready("00.00.10".to_owned()));
    assert_eq!(
        client.poll_output(),
        Output::Transmit("list\n".to_owned().into())
    );
    assert_eq!(client.poll_output(), Output::Timeout(Some(start + limit)));
    client.handle_bytes(
        start,
        b"DATA NICKNAME: a\r\nDATA NICKNAME: b\r\nOK Listing done\r\n",
    );
    let Output::Reply(reply) = client.poll_output() else {
        panic!("a reply");
    };
    assert_eq!(reply.data, ["NICKNAME: a", "NICKNAME: b"]);
    assert_eq!(reply.result, Ok("Listing done".to_owned().into()));
    assert_eq!(
        client.poll_output(),
        Output::Transmit("quit\n".to_owned().into())
    );
    client.handle_timeout(start + limit);
    assert_eq!(client.poll_output(), Output::Closed(Closed::Timeout));
    assert!(!client.command(Command::List, limit));
}
