//! Peers and routers that do not keep to the protocols.

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bytes::{BufMut as _, Bytes, BytesMut};
use eepkit::{Destination, I2cpRouter, Options, PrivateKeys, SignatureType, clock, sim::SimNet};
use eepkit_i2cp::{ApiVersion, BandwidthLimits, Message, SessionId, SessionStatus, SetDate, Text};
use eepkit_link::{
    Command, Connector as _, Link, Outgoing, PathChoice, Payload, Progress, SendOptions, Setup,
};
use eepkit_streaming::{Endpoint, EndpointConfig, Output, Ports, StreamConfig};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream},
    sync::mpsc,
    time::{Instant, sleep},
};

/// A session that sends packets as it likes and reads nothing.
pub(crate) struct Attacker {
    link: Box<dyn Link>,
    keys: Arc<PrivateKeys>,
    next: u64,
}

impl Attacker {
    pub(crate) async fn open(net: &SimNet, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let keys = PrivateKeys::generate(SignatureType::ED25519, &mut rng).expect("possible");
        let keys = Arc::new(keys);
        let setup = Setup {
            keys: keys.clone(),
            options: Options::new(),
            timeout: Duration::from_secs(60),
            progress: Progress::default(),
        };
        let link = net.router().open(setup).await.expect("opens");
        let next = seed << 32;
        Self { link, keys, next }
    }

    pub(crate) fn keys(&self) -> Arc<PrivateKeys> {
        self.keys.clone()
    }

    /// The signed first packet of a new stream.
    pub(crate) fn first_packet(&mut self, to: &Destination, port: u16) -> Bytes {
        self.next += 1;
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.next.to_be_bytes());
        let now = Instant::now().into_std();
        let config = EndpointConfig::default();
        let mut endpoint = Endpoint::new(self.keys.clone(), config, seed, now, clock::unix_now());
        let ports = Ports {
            local: 0,
            remote: port,
        };
        endpoint
            .connect(now, to, ports, &StreamConfig::default())
            .expect("there is room");
        // The first packet waits for data for a moment.
        let mut at = now;
        loop {
            match endpoint.poll_output(at) {
                Output::Transmit(mut packet) => {
                    packet.sign(&self.keys);
                    return packet.packet;
                }
                Output::Event(_) => {}
                Output::Timeout(next) => at = next.expect("there is a packet"),
            }
        }
    }

    pub(crate) async fn send(&mut self, to: &Destination, body: Bytes) {
        poll_fn(|cx| self.link.poll_ready(cx)).await;
        self.next += 1;
        self.link.submit(Command::Send(Outgoing {
            token: self.next,
            to: to.clone(),
            path: PathChoice::Auto,
            payload: Payload {
                protocol: 6,
                from_port: 0,
                to_port: 80,
                body,
            },
            compress: false,
            deadline: Instant::now() + Duration::from_secs(60),
            options: SendOptions::default(),
        }));
    }
}

/// A packet for the stream `id` that declares `missing` packets lost.
pub(crate) fn raw_packet(id: u32, missing: u8) -> Bytes {
    let mut packet = BytesMut::new();
    packet.put_u32(id);
    packet.put_u32(id.wrapping_mul(7));
    packet.put_u32(id.wrapping_add(5));
    packet.put_u32(1_000_000);
    packet.put_u8(missing);
    for number in 0..missing {
        packet.put_u32(1_000_000 - u32::from(number));
    }
    packet.put_u8(0);
    packet.put_u16(0);
    packet.put_u16(0);
    packet.freeze()
}

/// Random bytes of random length.
pub(crate) fn noise(seed: u64) -> Bytes {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut bytes = vec![0; (rng.next_u32() % 1500) as usize];
    rng.fill_bytes(&mut bytes);
    bytes.into()
}

/// What each connection of a hostile router does.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Misbehaviour {
    /// Answers nothing and keeps the connection.
    Silence,
    /// Closes every connection at once.
    Closes,
    /// Ends every connection before the session is open.
    Disconnects,
    /// Sends its date without end, and reads nothing.
    Dates,
    /// Sends messages for the session without end.
    Messages,
    /// Requests lease sets without end.
    Requests,
    /// Announces a message of 4 GiB.
    Length,
    /// Sends random bytes without end.
    Noise,
    /// Sends an answer byte by byte, one each second.
    Slow,
}

impl Misbehaviour {
    pub(crate) const ALL: [Self; 9] = [
        Self::Silence,
        Self::Closes,
        Self::Disconnects,
        Self::Dates,
        Self::Messages,
        Self::Requests,
        Self::Length,
        Self::Noise,
        Self::Slow,
    ];
}

pub(crate) struct HostileRouter {
    sender: mpsc::Sender<DuplexStream>,
    connections: Arc<AtomicU32>,
}

impl HostileRouter {
    pub(crate) fn new(misbehaviour: Misbehaviour) -> Self {
        let (sender, mut accepted) = mpsc::channel::<DuplexStream>(8);
        let connections = Arc::new(AtomicU32::new(0));
        let counted = connections.clone();
        tokio::spawn(async move {
            while let Some(stream) = accepted.recv().await {
                let number = counted.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(misbehave(misbehaviour, stream, u64::from(number)));
            }
        });
        Self {
            sender,
            connections,
        }
    }

    pub(crate) fn connector(&self) -> I2cpRouter {
        let sender = self.sender.clone();
        I2cpRouter::in_process("hostile", move || {
            let sender = sender.clone();
            async move {
                let (near, far) = tokio::io::duplex(64 * 1024);
                sender.send(far).await.map_err(std::io::Error::other)?;
                Ok(near)
            }
        })
        .stopped_when(|| false)
    }

    pub(crate) fn connections(&self) -> u32 {
        self.connections.load(Ordering::Relaxed)
    }
}

/// Ends when the client has closed the connection.
async fn misbehave(how: Misbehaviour, mut stream: DuplexStream, number: u64) {
    match how {
        Misbehaviour::Closes => {}
        Misbehaviour::Silence => read_all(&mut stream).await,
        Misbehaviour::Disconnects => {
            write(&mut stream, &date()).await;
            let why = Text::truncated("go away");
            write(&mut stream, &frame(Message::Disconnect(why))).await;
        }
        Misbehaviour::Dates => flood(&mut stream, |_| date()).await,
        Misbehaviour::Messages => {
            open_session(&mut stream).await;
            flood(&mut stream, |round| {
                // A payload of type 31 with a random body.
                let body = noise(number << 32 | round);
                let mut message = BytesMut::new();
                message.put_u32(u32::try_from(body.len() + 10).expect("fits"));
                message.put_u8(31);
                message.put_u16(ID.0);
                message.put_u32(1);
                message.put_u32(u32::try_from(body.len()).expect("fits"));
                message.put(body);
                message.freeze()
            })
            .await;
        }
        Misbehaviour::Requests => {
            open_session(&mut stream).await;
            flood(&mut stream, |_| {
                let end = u64::try_from(clock::unix_now().as_millis()).expect("fits") + 600_000;
                let leases = vec![eepkit_wire::Lease {
                    gateway: eepkit::Hash::new([9; 32]),
                    tunnel: 5,
                    end,
                }];
                let session = ID;
                frame(Message::RequestVariableLeaseSet { session, leases })
            })
            .await;
        }
        Misbehaviour::Length => {
            write(&mut stream, b"\xff\xff\xff\xff\x21").await;
            flood(&mut stream, noise).await;
        }
        Misbehaviour::Noise => flood(&mut stream, |round| noise(number << 32 | round)).await,
        Misbehaviour::Slow => {
            for byte in date() {
                write(&mut stream, &[byte]).await;
                sleep(Duration::from_secs(1)).await;
            }
            read_all(&mut stream).await;
        }
    }
}

async fn read_all(stream: &mut DuplexStream) {
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
}

async fn write(stream: &mut DuplexStream, bytes: &[u8]) {
    let _ = stream.write_all(bytes).await;
}

/// Sends 500 messages each second without reading, until the connection ends.
async fn flood(stream: &mut DuplexStream, message: impl Fn(u64) -> Bytes) {
    for round in 0.. {
        if stream.write_all(&message(round)).await.is_err() {
            return;
        }
        if round % 50 == 0 {
            sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Answers as a router does until the session is open.
async fn open_session(stream: &mut DuplexStream) {
    let mut frames = eepkit_i2cp::FrameReader::for_router();
    let mut received = BytesMut::new();
    loop {
        while let Some(one) = frames.next_frame(&mut received).expect("framed") {
            match Message::decode(eepkit_i2cp::MessageType(one.kind), &one.body) {
                Ok(Some(Message::GetDate(_))) => write(stream, &date()).await,
                Ok(Some(Message::GetBandwidthLimits)) => {
                    let limits = BandwidthLimits::default();
                    write(stream, &frame(Message::BandwidthLimits(limits))).await;
                }
                Ok(Some(Message::CreateSession(_))) => {
                    let (session, status) = (ID, SessionStatus::CREATED);
                    write(stream, &frame(Message::SessionStatus { session, status })).await;
                    return;
                }
                _ => {}
            }
        }
        if let Ok(0) | Err(_) = stream.read_buf(&mut received).await {
            return;
        }
    }
}

fn date() -> Bytes {
    let date = u64::try_from(clock::unix_now().as_millis()).expect("fits");
    let version = Text::new(&ApiVersion::OURS.to_string());
    frame(Message::SetDate(SetDate { date, version }))
}

fn frame(message: Message) -> Bytes {
    message.to_frame().expect("fits").into()
}

const ID: SessionId = SessionId(0x1234);
