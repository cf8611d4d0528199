//! A link over I2CP to a router that sends anything.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::{Buf as _, BytesMut};
use eepkit_i2cp::{
    ApiVersion, BandwidthLimits, DeliveryStatus, FrameReader, HostReply, HostResult, LeaseSetMaker,
    Message, MessagePayload, MessageStatus, MessageType, Options, SessionId, SessionStatus,
    SetDate, Text,
};
use eepkit_link::{Command, clock};
use eepkit_wire::{Hash, Lease, gzip};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};
use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex},
    time::sleep,
};

use super::{Client, Script, filler, keys, paused, peer};
use crate::i2cp::I2cpRouter;

/// Runs a session and its subsessions on a router that sends what the input demands, in any order
/// with commands of the application and with time.
///
/// The client sends only valid messages, the session opens or fails in time, each look-up ends
/// once, each message is reported at most once, nothing follows the end of the session, and no task
/// is left.
///
/// # Panics
///
/// If a check fails.
pub fn i2cp(data: &[u8]) {
    let mut script = Script(data);
    let flags = script.byte().unwrap_or(0);
    paused(async move {
        let (near, far) = duplex(if flags & 1 == 0 { 64 * 1024 } else { 64 });
        let near = Arc::new(Mutex::new(Some(near)));
        let connect = move || {
            let taken = near.lock().ok().and_then(|mut near| near.take());
            async move { taken.ok_or_else(|| io::ErrorKind::ConnectionRefused.into()) }
        };
        let connector =
            I2cpRouter::in_process("fuzzed", connect).stopped_when(move || flags & 2 != 0);
        let mut client = Client::open(&connector, 0);
        let mut router = Router::new(far);
        let mut subsessions = Vec::new();
        if flags & 4 == 0 {
            client.settle(|| router.exchange()).await;
            router.accept();
        }
        while let (Some(operation), Some(argument)) = (script.byte(), script.byte()) {
            match operation % 20 {
                0..=9 => router.play(operation % 20, argument, &mut script),
                10 => client.send(argument, filler(argument).to_vec()).await,
                11 => client.send(argument, script.bytes()).await,
                12 => client.look_up(argument).await,
                13 => {
                    let mut rng = ChaCha20Rng::seed_from_u64(3);
                    let maker = LeaseSetMaker::new(keys(0), &Options::new(), &mut rng);
                    let leases = leases(argument);
                    if let Ok(lease_set) = maker
                        .expect("valid options")
                        .make(&leases, clock::unix_now())
                    {
                        client.submit(Command::PublishLeaseSet(lease_set)).await;
                    }
                }
                14 => {
                    let (inbound, outbound) = (argument % 18, argument / 18);
                    let command = Command::Quantity { inbound, outbound };
                    client.submit(command).await;
                }
                15 => {
                    let subsession = client.link.as_ref().and_then(|link| link.subsessions());
                    if let Some(connector) = subsession
                        && subsessions.len() < 8
                    {
                        subsessions.push(Client::open(&*connector, 1 + argument % 3));
                    }
                }
                16 => client.link = None,
                17 => drop(subsessions.pop()),
                18 => sleep(Duration::from_secs(u64::from(argument))).await,
                _ => sleep(Duration::from_millis(u64::from(argument))).await,
            }
            client.settle(|| router.exchange()).await;
            for subsession in &mut subsessions {
                subsession.settle(|| router.exchange()).await;
            }
        }
        router.reads = true;
        for subsession in subsessions {
            subsession.finish(|| router.exchange()).await;
        }
        client.finish(|| router.exchange()).await;
    });
}

/// The router's end of the connection.
struct Router {
    socket: Option<DuplexStream>,
    /// Whether it reads. One that does not read fills the connection.
    reads: bool,
    reader: FrameReader,
    received: BytesMut,
    /// Bytes for which the connection had no room yet.
    outgoing: BytesMut,
    /// Look-ups and messages of the client that have no answer yet, the last ones.
    requests: Vec<u32>,
    nonces: Vec<u32>,
    sessions: u16,
}

impl Router {
    fn new(socket: DuplexStream) -> Self {
        Self {
            socket: Some(socket),
            reads: true,
            reader: FrameReader::for_router(),
            received: BytesMut::new(),
            outgoing: BytesMut::new(),
            requests: Vec::new(),
            nonces: Vec::new(),
            sessions: 0,
        }
    }

    /// Reads and writes what is possible now.
    fn exchange(&mut self) {
        let Some(socket) = &mut self.socket else {
            return;
        };
        let mut cx = Context::from_waker(Waker::noop());
        while !self.outgoing.is_empty() {
            match Pin::new(&mut *socket).poll_write(&mut cx, &self.outgoing) {
                Poll::Ready(Ok(written)) => self.outgoing.advance(written),
                _ => break,
            }
        }
        let mut buffer = [0; 4096];
        while self.reads {
            let mut read = ReadBuf::new(&mut buffer);
            match Pin::new(&mut *socket).poll_read(&mut cx, &mut read) {
                Poll::Ready(Ok(())) if !read.filled().is_empty() => {
                    self.received.extend_from_slice(read.filled());
                }
                _ => break,
            }
        }
        while let Some(frame) = self
            .reader
            .next_frame(&mut self.received)
            .expect("the client sends frames")
        {
            let message = Message::decode(MessageType(frame.kind), &frame.body);
            match message.expect("the client sends valid messages") {
                Some(Message::HostLookup(lookup)) => self.requests.push(lookup.request),
                Some(Message::SendMessageExpires(sent)) => self.nonces.push(sent.message.nonce),
                Some(Message::CreateSession(_)) => self.sessions += 1,
                _ => {}
            }
        }
    }

    /// Answers the greeting and accepts the session, as routers do.
    fn accept(&mut self) {
        let date = u64::try_from(clock::unix_now().as_millis()).unwrap_or(0);
        let version = Text::new(&ApiVersion::OURS.to_string());
        self.send(&Message::SetDate(SetDate { date, version }));
        self.send(&Message::BandwidthLimits(BandwidthLimits::default()));
        self.send(&Message::SessionStatus {
            session: FIRST,
            status: SessionStatus::CREATED,
        });
    }

    fn send(&mut self, message: &Message) {
        if let Ok(frame) = message.to_frame() {
            self.write(&frame);
        }
    }

    /// Queues bytes. A router that writes more than the client reads is limited by its socket.
    fn write(&mut self, bytes: &[u8]) {
        if self.outgoing.len() < MAX_OUTGOING {
            self.outgoing.extend_from_slice(bytes);
        }
    }

    fn play(&mut self, operation: u8, argument: u8, script: &mut Script<'_>) {
        let session = SessionId(FIRST.0 + u16::from(argument & 1));
        match operation {
            0 => self.write(&script.bytes()),
            // A frame of this type with the ID of a session and any content.
            1 => {
                let mut body = session.0.to_be_bytes().to_vec();
                body.extend(script.bytes());
                let length = u32::try_from(body.len()).unwrap_or(0);
                self.write(&length.to_be_bytes());
                self.write(&[argument >> 1]);
                self.write(&body);
            }
            2 => self.send(&Message::SessionStatus {
                session,
                status: SessionStatus(argument >> 1),
            }),
            3 => self.send(&Message::RequestVariableLeaseSet {
                session,
                leases: leases(argument),
            }),
            4 => {
                let header = gzip::Header {
                    protocol: if argument & 2 == 0 { 6 } else { argument },
                    from_port: 1,
                    to_port: u16::from(argument),
                };
                let body = match argument & 4 {
                    0 => script.bytes(),
                    _ => vec![0; usize::from(argument) * 280],
                };
                self.send(&Message::MessagePayload(MessagePayload {
                    session,
                    message: u32::from(argument),
                    payload: gzip::encode(header, &body, argument & 8 != 0).into(),
                }));
            }
            5 => {
                let nonce = self.nonces.pop().unwrap_or_else(|| u32::from(argument));
                self.send(&Message::MessageStatus(MessageStatus {
                    session,
                    message: 1,
                    status: DeliveryStatus(argument >> 1),
                    size: 0,
                    nonce,
                }));
            }
            6 => {
                let request = self.requests.pop().unwrap_or_else(|| u32::from(argument));
                let result = HostResult(argument >> 1);
                let found = result == HostResult::SUCCESS || argument & 2 != 0;
                self.send(&Message::HostReply(HostReply {
                    session,
                    request,
                    result,
                    destination: found.then(|| peer(argument)),
                    options: None,
                }));
            }
            7 => self.reads = argument & 1 == 0,
            8 if argument & 7 == 0 => self.socket = None,
            _ => self.accept(),
        }
    }
}

/// Leases that end before, at or after this time.
fn leases(argument: u8) -> Vec<Lease> {
    let now = u64::try_from(clock::unix_now().as_millis()).unwrap_or(0);
    let lease = |number: u8| Lease {
        gateway: Hash::new([number; 32]),
        tunnel: u32::from(number),
        end: (now + u64::from(argument) * 10_000).saturating_sub(300_000),
    };
    (0..argument % 20).map(lease).collect()
}

/// The ID of the first session.
const FIRST: SessionId = SessionId(0x1234);

/// The most bytes that wait for room in the connection.
const MAX_OUTGOING: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    #[test]
    fn an_accepted_session_with_traffic_reveals_no_bug() {
        // Accepted at once; lease set; message to the peer and its report; look-up and its answer.
        i2cp(&[
            0, 3, 61, 13, 61, 10, 9, 5, 8, 12, 30, 6, 0, 4, 0, 2, 1, 2, 18, 200,
        ]);
        // A router that does not read.
        i2cp(&[1, 7, 1, 10, 255, 10, 255, 10, 255, 12, 3, 18, 60]);
        // A silent one.
        i2cp(&[4]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn arbitrary_input_reveals_no_bug(data in vec(any::<u8>(), 0..300)) {
            i2cp(&data);
        }

        #[test]
        fn operations_in_any_order_reveal_no_bug(
            flags in 0..8_u8,
            operations in vec((0..20_u8, any::<u8>()), 0..60),
        ) {
            let operations = operations.into_iter().flat_map(|(what, how)| [what, how]);
            i2cp(&[vec![flags], operations.collect()].concat());
        }
    }
}
