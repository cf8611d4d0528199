//! Sessions on routers that fail in ways that leave the connection open, or that ask for what cannot
//! be done; and clocks that are wrong.

use std::{sync::Arc, time::Duration};

use bytes::BytesMut;
use eepkit::{
    ErrorKind, I2cpRouter, LostReason, OpenError, PrivateKeys, Router, Session, SessionProblem,
    SessionStage, SignatureType, clock,
};
use eepkit_i2cp::{
    ApiVersion, BandwidthLimits, FrameReader, Message, MessageType, SessionId, SessionStatus,
    SetDate, Text,
};
use eepkit_wire::{Hash, Lease};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream},
    sync::mpsc,
    time::{Instant, sleep_until, timeout},
};

use crate::lab::{Lab, Link, join, over_both_links, receive, send, within};

const ID: SessionId = SessionId(0x1234);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// What a connection of the scripted router does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Conduct {
    /// Requests a lease set for 600 s every 480 s.
    Good,
    /// Becomes silent after it has received a lease set.
    Silent,
    /// Requests no further lease set.
    NoMoreRequests,
    /// Requests lease sets for tunnels that ended this number of seconds ago, and only those.
    Ended(u64),
    /// As [`Conduct::Ended`], but only after a good request.
    LaterEnded(u64),
    /// Sends this number of requests at once.
    Burst(u32),
    /// Ends the connection with this text before the session is open.
    Disconnects(&'static str),
    /// Refuses the session with this status.
    Refuses(SessionStatus),
    /// Has a clock that is this number of seconds behind that of the first request.
    SetBack(u64),
    /// Requests a lease set at once and then never reads again.
    ReadsNothing,
}

/// The router's end of a connection.
struct Far {
    stream: DuplexStream,
    frames: FrameReader,
    received: BytesMut,
    conduct: Conduct,
    behind: Duration,
    has_lease_set: bool,
}

impl Far {
    fn now(&self) -> Duration {
        clock::unix_now().saturating_sub(self.behind)
    }

    async fn send(&mut self, message: Message) {
        let frame = message.to_frame().expect("fits");
        // The client may have closed the connection.
        let _ = self.stream.write_all(&frame).await;
    }

    /// Requests a lease set for a tunnel that ends `left` seconds from now.
    async fn request(&mut self, left: i64) {
        let now = u64::try_from(self.now().as_millis()).expect("fits");
        self.send(Message::RequestVariableLeaseSet {
            session: ID,
            leases: vec![Lease {
                gateway: Hash::new([9; 32]),
                tunnel: 5,
                end: now.saturating_add_signed(left * 1000),
            }],
        })
        .await;
    }

    /// Returns the next message; `None` at the end.
    async fn receive(&mut self) -> Option<Message> {
        loop {
            if let Some(frame) = self.frames.next_frame(&mut self.received).expect("framed") {
                let message = Message::decode(MessageType(frame.kind), &frame.body);
                return message.expect("valid");
            }
            if let Ok(0) | Err(_) = self.stream.read_buf(&mut self.received).await {
                return None;
            }
        }
    }

    async fn run(mut self) {
        let mut next_request = None;
        loop {
            let at = next_request.unwrap_or_else(|| Instant::now() + MINUTE * 60 * 24 * 30);
            let message = tokio::select! {
                message = self.receive() => message,
                () = sleep_until(at) => {
                    next_request = self.request_again().await;
                    continue;
                }
            };
            let Some(message) = message else { return };
            if self.has_lease_set && self.conduct == Conduct::Silent {
                continue;
            }
            match message {
                Message::GetDate(_) => {
                    let date = u64::try_from(self.now().as_millis()).expect("fits");
                    let version = Text::new(&ApiVersion::OURS.to_string());
                    self.send(Message::SetDate(SetDate { date, version })).await;
                    if let Conduct::Disconnects(text) = self.conduct {
                        let text = Text::truncated(text);
                        self.send(Message::Disconnect(text)).await;
                        return;
                    }
                }
                Message::GetBandwidthLimits => {
                    let limits = BandwidthLimits::default();
                    self.send(Message::BandwidthLimits(limits)).await;
                }
                Message::CreateSession(_) => {
                    let status = match self.conduct {
                        Conduct::Refuses(status) => status,
                        _ => SessionStatus::CREATED,
                    };
                    let session = ID;
                    self.send(Message::SessionStatus { session, status }).await;
                    self.first_requests().await;
                    if self.conduct == Conduct::ReadsNothing {
                        return std::future::pending().await;
                    }
                }
                Message::CreateLeaseSet2(_) => {
                    self.has_lease_set = true;
                    if self.conduct != Conduct::NoMoreRequests {
                        next_request = Some(Instant::now() + SECOND * 480);
                    }
                }
                Message::DestroySession(_) => return,
                _ => {}
            }
        }
    }

    async fn first_requests(&mut self) {
        match self.conduct {
            Conduct::Ended(ago) => self.request(-i64::try_from(ago).expect("fits")).await,
            Conduct::Burst(count) => {
                for _ in 0..count {
                    self.request(600).await;
                }
            }
            _ => self.request(600).await,
        }
    }

    async fn request_again(&mut self) -> Option<Instant> {
        match self.conduct {
            Conduct::LaterEnded(ago) => self.request(-i64::try_from(ago).expect("fits")).await,
            Conduct::SetBack(seconds) => {
                self.behind = Duration::from_secs(seconds);
                self.request(600).await;
            }
            _ => self.request(600).await,
        }
        Some(Instant::now() + SECOND * 480)
    }
}

/// A router whose connections behave as the script states, in this order. Further connections are
/// good.
fn router(script: &[Conduct]) -> (Router, Arc<std::sync::Mutex<u32>>) {
    let (sender, mut accepted) = mpsc::channel::<DuplexStream>(8);
    let script = script.to_vec();
    let count = Arc::new(std::sync::Mutex::new(0));
    let counted = count.clone();
    tokio::spawn(async move {
        let mut script = script.into_iter();
        while let Some(stream) = accepted.recv().await {
            *counted.lock().expect("no panic") += 1;
            let far = Far {
                stream,
                frames: FrameReader::for_router(),
                received: BytesMut::new(),
                conduct: script.next().unwrap_or(Conduct::Good),
                behind: Duration::ZERO,
                has_lease_set: false,
            };
            tokio::spawn(far.run());
        }
    });
    let connector = I2cpRouter::in_process("scripted", move || {
        let sender = sender.clone();
        async move {
            let (near, far) = tokio::io::duplex(64 * 1024);
            sender.send(far).await.map_err(std::io::Error::other)?;
            Ok(near)
        }
    })
    .stopped_when(|| false);
    (Router::new(connector), count)
}

async fn ready(session: &Session, limit: Duration) {
    let ready = session.watch().ready(limit).await;
    ready.expect("the session becomes ready");
}

/// Waits until the session is not ready, and returns the problem.
async fn problem(session: &Session, limit: Duration) -> SessionProblem {
    let mut watch = session.watch();
    let found = async {
        let mut status = watch.current();
        loop {
            if let Some(problem) = status.problem() {
                return problem.clone();
            }
            status = watch.changed().await.expect("the session lives");
        }
    };
    timeout(limit, found).await.expect("there is a problem")
}

#[tokio::test(start_paused = true)]
async fn a_session_that_cannot_be_reached_says_so_and_comes_back() {
    // What the router does, how long the problem may remain unnoticed, and the time until the session
    // is back.
    let cases = [
        (Conduct::Silent, SECOND * 90, SECOND * 3),
        (Conduct::NoMoreRequests, SECOND * 600, SECOND * 33),
        (Conduct::LaterEnded(1), SECOND * 600, SECOND * 33),
        (Conduct::ReadsNothing, SECOND * 90, SECOND * 3),
    ];
    for (conduct, noticed, back) in cases {
        let (router, connections) = router(&[conduct]);
        let session = router.session().start().expect("starts");
        let listener = session.listen(1).expect("free");
        let address = session.destination().clone();
        ready(&session, MINUTE).await;
        let problem = problem(&session, noticed + SECOND).await;
        let expected = match conduct {
            Conduct::Silent | Conduct::ReadsNothing => {
                matches!(&problem, SessionProblem::Lost(LostReason::Connection(why))
                    if why.contains("not answered for 90s"))
            }
            _ => matches!(&problem, SessionProblem::Unreachable(_)),
        };
        assert!(expected, "{conduct:?}: {problem:?}");
        assert!(
            session.status().stage() != SessionStage::Ready,
            "{conduct:?}"
        );
        ready(&session, back).await;
        assert_eq!(*connections.lock().expect("no panic"), 2, "{conduct:?}");
        assert_eq!(*session.destination(), address);
        assert!(
            timeout(MINUTE * 60, listener.accept()).await.is_err(),
            "{conduct:?}: the listener survives"
        );
        assert_eq!(session.status().stage(), SessionStage::Ready, "{conduct:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_cannot_be_met_does_not_end_a_session() {
    for ago in [1, 900, 3600] {
        let (router, _) = router(&[Conduct::Ended(ago)]);
        let session = router.session().start().expect("starts");
        let problem = problem(&session, SECOND * 5).await;
        let SessionProblem::Unreachable(why) = &problem else {
            panic!("{problem:?}")
        };
        assert!(why.contains(&format!("ended {ago} s before")), "{why}");
        let error = session.watch().ready(SECOND).await.expect_err("not ready");
        assert!(matches!(OpenError::from(error), OpenError::Unreachable(_)));
        ready(&session, SECOND * 40).await;
    }
}

#[tokio::test(start_paused = true)]
async fn bursts_of_requests_and_clocks_that_are_set_back_change_nothing() {
    for conduct in [
        Conduct::Burst(5_000),
        Conduct::SetBack(3_600),
        Conduct::SetBack(10 * 365 * 24 * 3_600),
    ] {
        let (router, connections) = router(&[conduct]);
        let session = router.session().start().expect("starts");
        ready(&session, MINUTE).await;
        for _ in 0..60 {
            tokio::time::sleep(MINUTE).await;
            assert_eq!(session.status().stage(), SessionStage::Ready, "{conduct:?}");
        }
        assert_eq!(*connections.lock().expect("no panic"), 1, "{conduct:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn refusals_are_final_only_where_the_user_must_change_something() {
    // What the router does, and the kind of the error if it is final.
    let cases = [
        (Conduct::Disconnects("Router is shutting down"), None),
        (Conduct::Disconnects("Too many client sessions"), None),
        (Conduct::Disconnects("Duplicate destination"), None),
        (
            Conduct::Disconnects("Authorization required"),
            Some(ErrorKind::Denied),
        ),
        (Conduct::Refuses(SessionStatus::REFUSED), None),
        (Conduct::Refuses(SessionStatus::INVALID), None),
        (Conduct::Refuses(SessionStatus::DESTROYED), None),
    ];
    for (conduct, kind) in cases {
        let (router, connections) = router(&[conduct]);
        let session = router.session().start().expect("starts");
        let ended = session.watch().ready(MINUTE).await;
        match kind {
            None => {
                ended.expect("tried again");
                assert_eq!(*connections.lock().expect("no panic"), 2, "{conduct:?}");
            }
            Some(kind) => {
                let error = OpenError::from(ended.expect_err("final"));
                assert_eq!(error.kind(), kind, "{conduct:?}");
                assert_eq!(session.status().stage(), SessionStage::Failed);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_was_ready_is_refused_for_good_only_by_its_login() {
    let script = [
        Conduct::Silent,
        Conduct::Disconnects("Router is shutting down"),
        Conduct::Refuses(SessionStatus::INVALID),
    ];
    let (router, connections) = router(&script);
    let session = router.session().start().expect("starts");
    ready(&session, MINUTE).await;
    tokio::time::sleep(MINUTE * 3).await;
    ready(&session, MINUTE).await;
    assert_eq!(*connections.lock().expect("no panic"), 4);
}

over_both_links!(a_clock_that_is_set_while_a_session_runs_does_no_harm);

async fn a_clock_that_is_set_while_a_session_runs_does_no_harm(link: Link) {
    let hour = 3_600_000;
    for step in [hour, -hour, 10 * 365 * 24 * hour, -10 * 365 * 24 * hour] {
        let lab = Lab::new(link);
        let (client, server) = lab.pair().await;
        let listener = server.listen(1).expect("free");
        clock::step_simulated(step);
        for _ in 0..4 {
            tokio::time::sleep(MINUTE * 7).await;
            let (mut near, mut far) =
                within(MINUTE, join(&client, (server.destination(), 1), &listener)).await;
            let sent = async {
                send(&mut near, 10_000).await.expect("sent");
                near.shutdown().await.expect("closed");
            };
            let ((), received) =
                within(MINUTE, async { tokio::join!(sent, receive(&mut far)) }).await;
            assert_eq!(received.expect("received"), 10_000, "{step}");
        }
        for session in [&client, &server] {
            assert_eq!(session.status().stage(), SessionStage::Ready, "{step}");
            assert_eq!(session.status().attempt(), 1, "{step}");
        }
        clock::step_simulated(-step);
    }
}

/// Offline keys whose transient key is valid for this time from now.
fn offline_keys(valid: Duration) -> PrivateKeys {
    let mut rng = rand::rng();
    let keys = PrivateKeys::generate(SignatureType::ED25519, &mut rng).expect("can be made");
    let expires = u32::try_from((clock::unix_now() + valid).as_secs()).expect("fits");
    let keys = keys.with_transient(expires, SignatureType::ED25519, &mut rng);
    keys.expect("can be made")
}

#[tokio::test(start_paused = true)]
async fn a_transient_key_that_has_expired_is_named_before_the_start() {
    let keys = offline_keys(Duration::ZERO);
    let lab = Lab::new(Link::I2cp);
    let error = lab.builder().keys(keys).open().await.expect_err("expired");
    assert!(
        matches!(error, OpenError::TransientKeyExpired { .. }),
        "{error:?}"
    );
    assert!(error.to_string().contains("set the clock"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_transient_key_that_expires_while_the_session_runs_ends_it_with_that_reason() {
    let lab = Lab::new(Link::I2cp);
    let keys = offline_keys(MINUTE * 30);
    let session = lab.builder().keys(keys).open().await.expect("opens");
    tokio::time::sleep(MINUTE * 25).await;
    assert_eq!(session.status().stage(), SessionStage::Ready);
    tokio::time::sleep(MINUTE * 20).await;
    let error = session.watch().ready(SECOND).await.expect_err("failed");
    assert!(matches!(
        OpenError::from(error),
        OpenError::TransientKeyExpired { .. }
    ));
}
