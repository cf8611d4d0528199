//! Tests of the link with scripted routers: in memory and paused time where time matters, over real
//! sockets where the transport matters.

mod link;
mod opening;
mod subsessions;
mod transports;

use std::{future::poll_fn, io, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use eepkit_i2cp::{
    ApiVersion, BandwidthLimits, FrameReader, LeaseSetMaker, Message, MessageType, Options,
    SessionId, SessionStatus, SetDate, Text,
};
use eepkit_link::{
    Command, Connector, Event, Link, LinkError, LinkStage, Outgoing, PathChoice, Payload,
    SendOptions, Setup, clock,
};
use eepkit_wire::{Destination, Hash, Lease, PrivateKeys, SignatureType};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    sync::mpsc,
    time::{Instant, timeout},
};

use super::I2cpRouter;

const ID: SessionId = SessionId(0x1234);

fn keys() -> Arc<PrivateKeys> {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    Arc::new(PrivateKeys::generate(SignatureType::ED25519, &mut rng).expect("can be made"))
}

fn peer() -> Destination {
    let mut rng = ChaCha20Rng::seed_from_u64(2);
    let keys = PrivateKeys::generate(SignatureType::ED25519, &mut rng).expect("can be made");
    keys.destination().clone()
}

fn setup() -> Setup {
    Setup {
        keys: keys(),
        options: Options::new(),
        timeout: Duration::from_secs(30),
        progress: eepkit_link::Progress::default(),
    }
}

fn leases() -> Vec<Lease> {
    let end = clock::unix_now() + Duration::from_secs(600);
    let end = u64::try_from(end.as_millis()).expect("fits");
    vec![Lease {
        gateway: Hash::new([9; 32]),
        tunnel: 5,
        end,
    }]
}

fn payload(body: &[u8]) -> Payload {
    Payload {
        protocol: 6,
        from_port: 7,
        to_port: 8,
        body: Bytes::copy_from_slice(body),
    }
}

fn send(token: u64, body: &[u8]) -> Command {
    Command::Send(Outgoing {
        token,
        to: peer(),
        path: PathChoice::Auto,
        payload: payload(body),
        compress: false,
        deadline: Instant::now() + Duration::from_secs(20),
        options: SendOptions::default(),
    })
}

async fn next(link: &mut dyn Link) -> Event {
    poll_fn(|cx| link.poll_event(cx)).await
}

async fn submit(link: &mut dyn Link, command: Command) {
    poll_fn(|cx| link.poll_ready(cx)).await;
    link.submit(command);
}

/// The router's end of a connection.
struct Peer<S> {
    stream: S,
    reader: FrameReader,
    received: BytesMut,
}

impl<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin> Peer<S> {
    fn new(stream: S) -> Self {
        Self {
            stream,
            reader: FrameReader::for_router(),
            received: BytesMut::new(),
        }
    }

    /// Returns the next message of the client, or `None` at the end of the connection.
    async fn recv(&mut self) -> Option<Message> {
        loop {
            if let Some(frame) = self.reader.next_frame(&mut self.received).expect("framed") {
                let message = Message::decode(MessageType(frame.kind), &frame.body);
                return message.expect("valid");
            }
            if let Ok(0) | Err(_) = self.stream.read_buf(&mut self.received).await {
                return None;
            }
        }
    }

    async fn send(&mut self, message: &Message) {
        let frame = message.to_frame().expect("fits");
        self.stream.write_all(&frame).await.expect("open");
    }

    /// Answers the client's greeting and accepts its session.
    async fn accept(&mut self) {
        assert!(matches!(self.recv().await, Some(Message::GetDate(_))));
        let date = u64::try_from(clock::unix_now().as_millis()).expect("fits");
        let version = Text::new(&ApiVersion::OURS.to_string());
        self.send(&Message::SetDate(SetDate { date, version }))
            .await;
        assert_eq!(self.recv().await, Some(Message::GetBandwidthLimits));
        self.send(&Message::BandwidthLimits(BandwidthLimits::default()))
            .await;
        assert!(matches!(self.recv().await, Some(Message::CreateSession(_))));
        let status = SessionStatus::CREATED;
        self.send(&Message::SessionStatus {
            session: ID,
            status,
        })
        .await;
    }
}

/// A router in memory, and the router's ends of the connections to it.
fn in_memory(buffer: usize) -> (I2cpRouter, mpsc::Receiver<Peer<DuplexStream>>) {
    let (sender, receiver) = mpsc::channel(8);
    let router = I2cpRouter::in_process("memory", move || {
        let sender = sender.clone();
        async move {
            let (near, far) = tokio::io::duplex(buffer);
            let stopped = |_| io::Error::from(io::ErrorKind::NotConnected);
            sender.send(Peer::new(far)).await.map_err(stopped)?;
            Ok(near)
        }
    });
    (router, receiver)
}

/// Opens a session.
async fn open(buffer: usize) -> (Box<dyn Link>, Peer<DuplexStream>) {
    let (router, mut connections) = in_memory(buffer);
    let accepting = async {
        let mut peer = connections.recv().await.expect("a connection");
        peer.accept().await;
        peer
    };
    let (link, peer) = tokio::join!(router.open(setup()), accepting);
    let mut link = link.expect("opened");
    assert!(matches!(
        next(&mut *link).await,
        Event::Stage(LinkStage::BuildingTunnels)
    ));
    (link, peer)
}

/// Opens a session that has a lease set.
async fn ready(buffer: usize) -> (Box<dyn Link>, Peer<DuplexStream>) {
    let (mut link, mut peer) = open(buffer).await;
    peer.send(&Message::RequestVariableLeaseSet {
        session: ID,
        leases: leases(),
    })
    .await;
    let Event::LeaseSetWanted { leases: wanted, .. } = next(&mut *link).await else {
        panic!("no request")
    };
    assert_eq!(wanted, leases());
    let mut rng = ChaCha20Rng::seed_from_u64(3);
    let mut maker = LeaseSetMaker::new(keys(), &Options::new(), &mut rng).expect("valid");
    let lease_set = maker.make(&wanted, clock::unix_now()).expect("made");
    submit(&mut *link, Command::PublishLeaseSet(lease_set.clone())).await;
    assert!(matches!(
        next(&mut *link).await,
        Event::Stage(LinkStage::LeaseSetSent)
    ));
    assert!(matches!(
        next(&mut *link).await,
        Event::Stage(LinkStage::Ready)
    ));
    match peer.recv().await {
        Some(Message::CreateLeaseSet2(message)) => assert_eq!(message.lease_set, lease_set),
        other => panic!("{other:?}"),
    }
    (link, peer)
}

/// Fails a test that would otherwise never end.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(60), future)
        .await
        .expect("within a minute")
}

async fn open_error(router: &I2cpRouter) -> LinkError {
    soon(router.open(setup())).await.expect_err("not opened")
}
