//! Forged packets for a stream that is open, and the record of packets that they are made from.
//!
//! A packet does not identify its sender. A packet that ends a stream, in one direction or both, has
//! a signature. Every other packet is valid if it has the ids that the two ends chose, which only
//! they know, because messages are encrypted from end to end. The forgers here have read both.

use std::{
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use bytes::{BufMut as _, Bytes, BytesMut};
use eepkit::{Destination, PrivateKeys};
use eepkit_link::{BoxFuture, Command, Connector, Event, Layer, Link, LinkError, Setup};
use eepkit_wire::Codec as _;

/// A router that records the streaming packets of its sessions.
#[derive(Debug, Clone)]
pub(crate) struct Tap {
    router: Arc<dyn Connector>,
    sent: Arc<Mutex<Vec<Bytes>>>,
}

impl Tap {
    pub(crate) fn new(router: impl Connector) -> Self {
        Self {
            router: Arc::new(router),
            sent: Arc::default(),
        }
    }

    /// The first packet that was sent.
    pub(crate) fn first(&self) -> Bytes {
        let sent = self.sent.lock().expect("no panic");
        sent.first().expect("a packet").clone()
    }

    /// The last packet that was sent with the ids of both ends.
    pub(crate) fn last(&self) -> Ids {
        let sent = self.sent.lock().expect("no panic");
        let number = |packet: &Bytes, at: usize| {
            u32::from_be_bytes(packet[at..at + 4].try_into().expect("4 bytes"))
        };
        let last = sent.iter().rev().find(|packet| number(packet, 0) != 0);
        let last = last.expect("a packet after the first");
        let highest = sent.iter().map(|packet| number(packet, 8)).max();
        Ids {
            to: number(last, 0),
            from: number(last, 4),
            seq: highest.expect("a packet"),
        }
    }
}

impl Connector for Tap {
    fn open(&self, setup: Setup) -> BoxFuture<Result<Box<dyn Link>, LinkError>> {
        let opening = self.router.open(setup);
        let sent = self.sent.clone();
        Box::pin(async move {
            let link = opening.await?;
            Ok(Box::new(TapLink { link, sent }) as Box<dyn Link>)
        })
    }

    fn name(&self) -> String {
        self.router.name()
    }

    fn layer(&self) -> Layer {
        self.router.layer()
    }
}

#[derive(Debug)]
struct TapLink {
    link: Box<dyn Link>,
    sent: Arc<Mutex<Vec<Bytes>>>,
}

impl Link for TapLink {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.link.poll_ready(cx)
    }

    fn submit(&mut self, command: Command) {
        if let Command::Send(outgoing) = &command
            && outgoing.payload.protocol == 6
        {
            let body = outgoing.payload.body.clone();
            self.sent.lock().expect("no panic").push(body);
        }
        self.link.submit(command);
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        self.link.poll_event(cx)
    }
}

/// The ids of a stream in a packet of one end, and its highest sequence number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ids {
    pub(crate) to: u32,
    pub(crate) from: u32,
    pub(crate) seq: u32,
}

impl Ids {
    /// Those of a packet in the other direction.
    pub(crate) fn reversed(self) -> Self {
        Self {
            to: self.from,
            from: self.to,
            seq: self.seq,
        }
    }
}

/// A packet to be forged.
#[derive(Debug, Clone, Default)]
pub(crate) struct Forged<'a> {
    pub(crate) to: u32,
    pub(crate) from: u32,
    pub(crate) seq: u32,
    pub(crate) ack_through: u32,
    pub(crate) nacks: Vec<u32>,
    pub(crate) flags: u16,
    pub(crate) delay: Option<u16>,
    /// Signs with these keys, and includes their destination.
    pub(crate) signed: Option<&'a PrivateKeys>,
    /// Signs, and leaves out the destination.
    pub(crate) anonymous: bool,
    pub(crate) payload: Vec<u8>,
}

pub(crate) const SYN: u16 = 1;
pub(crate) const CLOSE: u16 = 1 << 1;
pub(crate) const RESET: u16 = 1 << 2;
const SIGNATURE: u16 = 1 << 3;
const FROM: u16 = 1 << 5;
const DELAY: u16 = 1 << 6;
pub(crate) const ECHO: u16 = 1 << 9;

impl Forged<'_> {
    pub(crate) fn bytes(&self) -> Bytes {
        let mut options = BytesMut::new();
        let mut flags = self.flags;
        if let Some(delay) = self.delay {
            flags |= DELAY;
            options.put_u16(delay);
        }
        if let Some(keys) = self.signed.filter(|_| !self.anonymous) {
            flags |= FROM;
            let mut from = Vec::new();
            Destination::encode(keys.destination(), &mut from);
            options.put_slice(&from);
        }
        let place = options.len();
        if self.signed.is_some() {
            flags |= SIGNATURE;
            options.put_bytes(0, SIGNATURE_LENGTH);
        }
        let mut packet = BytesMut::new();
        for number in [self.to, self.from, self.seq, self.ack_through] {
            packet.put_u32(number);
        }
        packet.put_u8(u8::try_from(self.nacks.len()).expect("at most 255"));
        for nack in &self.nacks {
            packet.put_u32(*nack);
        }
        packet.put_u8(0);
        packet.put_u16(flags);
        packet.put_u16(u16::try_from(options.len()).expect("short"));
        let place = packet.len() + place;
        packet.put_slice(&options);
        packet.put_slice(&self.payload);
        if let Some(keys) = self.signed {
            let signature = keys.sign(&packet);
            packet[place..place + SIGNATURE_LENGTH].copy_from_slice(signature.as_bytes());
        }
        packet.freeze()
    }
}

/// Of Ed25519, in bytes.
const SIGNATURE_LENGTH: usize = 64;

/// Forgeries that must not have an effect on a stream, by name. `ids` are those of a packet to the
/// end that gets them, whose peer has sent `ids.seq`. `first` is the first packet of the stream.
pub(crate) fn forgeries(
    ids: Ids,
    first: &Bytes,
    keys: &PrivateKeys,
) -> Vec<(&'static str, Vec<Bytes>)> {
    let base = || Forged {
        to: ids.to,
        from: ids.from,
        ack_through: 1,
        ..Forged::default()
    };
    let with_flags = |flags: u16, seq: u32| {
        let plain = Forged {
            seq,
            flags,
            payload: vec![0xee; 20],
            ..base()
        };
        let mut foreign = plain.clone();
        foreign.signed = Some(keys);
        let mut anonymous = foreign.clone();
        anonymous.anonymous = true;
        let mut half = foreign.clone();
        half.from = 0;
        let mut wrong = foreign.clone();
        wrong.from ^= 1;
        [plain, foreign, anonymous, half, wrong].map(|forged| forged.bytes())
    };
    let next = ids.seq + 1;
    let of_flags = |flags: u16, seqs: &[u32]| -> Vec<Bytes> {
        seqs.iter()
            .flat_map(|seq| with_flags(flags, *seq))
            .collect()
    };
    let data = |seq: u32| Forged {
        seq,
        payload: vec![0xee; 1000],
        ..base()
    };
    let ack = |through: u32, nacks: Vec<u32>| {
        let ack = Forged {
            ack_through: through,
            nacks,
            ..base()
        };
        ack.bytes()
    };
    let mut modified = first.to_vec();
    *modified.last_mut().expect("not empty") ^= 1;
    vec![
        ("resets", of_flags(RESET, &[0, 1, next, u32::MAX])),
        ("closes", of_flags(CLOSE, &[next, next + 5, u32::MAX])),
        (
            "resets and closes",
            of_flags(RESET | CLOSE, &[0, next, u32::MAX]),
        ),
        ("SYNs for an open stream", of_flags(SYN, &[0, 1])),
        ("pings with ids", of_flags(ECHO, &[0, next])),
        ("first packets again", vec![first.clone(), modified.into()]),
        (
            "data that arrived before",
            (1..=ids.seq).map(|seq| data(seq).bytes()).collect(),
        ),
        (
            "data that is far away",
            [1 << 16, 1 << 24, 1 << 31, u32::MAX - ids.seq]
                .iter()
                .map(|far| data(ids.seq + far).bytes())
                .collect(),
        ),
        (
            "data with a wrong id",
            (0..32)
                .map(|bit| {
                    let mut wrong = data(next);
                    wrong.from ^= 1 << bit;
                    wrong.bytes()
                })
                .collect(),
        ),
        (
            "acknowledgements of what was not sent",
            vec![
                ack(u32::MAX, vec![]),
                ack(1 << 31, vec![]),
                ack(u32::MAX, (0..255).collect()),
                ack(ids.seq + (1 << 16), vec![u32::MAX; 255]),
            ],
        ),
        (
            "lists of missing packets",
            vec![
                ack(ids.seq, (0..255).collect()),
                ack(1, vec![0; 255]),
                ack(0, vec![u32::MAX]),
            ],
        ),
    ]
}
