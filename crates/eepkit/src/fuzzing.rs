//! The function of the fuzz target. It accepts any bytes, and panics if it finds a bug.

mod net;

use std::{
    future::Future,
    sync::{Arc, OnceLock},
    time::Duration,
};

use eepkit_link::LinkLookupError;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    runtime::{Builder, Handle},
    task::{JoinSet, yield_now},
    time::{sleep, timeout},
};

use crate::{
    DatagramSocket, Format, Listener, PrivateKeys, Router, Session, SignatureType, Stream,
};
use net::Net;

/// Runs two sessions on a router that reports what the input demands, in any order with operations
/// of the applications and with time.
///
/// Data of streams arrives unchanged while packets are only lost, repeated and reordered. Every
/// operation ends in time, a session closes in time, and no task is left.
///
/// The first byte selects properties of the router. Then an operation has two bytes: what happens,
/// and its argument.
///
/// # Panics
///
/// If a check fails.
pub fn link(data: &[u8]) {
    let (flags, mut script) = data.split_first().map_or((0, data), |(f, rest)| (*f, rest));
    paused(async move {
        let net = Net::new(flags);
        let mut room = Room::new(net.clone());
        while let [operation, argument, rest @ ..] = script {
            script = rest;
            let side = usize::from(operation >> 7);
            match operation & 31 {
                operation @ 0..=15 => script = net.play(side, operation, *argument, script),
                operation => room.play(side, operation, *argument).await,
            }
            settle().await;
        }
        room.finish().await;
    });
}

/// The sessions and what the applications do with them.
struct Room {
    net: Net,
    sessions: Vec<Session>,
    listeners: Vec<Listener>,
    sockets: Vec<DatagramSocket>,
    /// Operations that end by themselves.
    tasks: JoinSet<()>,
    /// Loops that accept streams and read them.
    servers: JoinSet<()>,
}

impl Room {
    fn new(net: Net) -> Self {
        let router = Router::new(net.connector());
        let session = |number: usize| {
            let session = router.session().keys(keys(number).as_ref().clone());
            session
                .seed(number as u64)
                .linger(LINGER)
                .start()
                .expect("valid keys and options")
        };
        Self {
            sessions: (0..2).map(session).collect(),
            net,
            listeners: Vec::new(),
            sockets: Vec::new(),
            tasks: JoinSet::new(),
            servers: JoinSet::new(),
        }
    }

    /// Performs an operation of an application.
    async fn play(&mut self, side: usize, operation: u8, argument: u8) {
        let session = &self.sessions[side];
        let peer = self.sessions[1 - side].destination().clone();
        let port = u16::from(argument & 3);
        let busy = self.tasks.len() >= MAX_TASKS;
        match operation {
            16 => sleep(Duration::from_secs(u64::from(argument))).await,
            17 if self.listeners.len() < MAX_TASKS => {
                if let Ok(listener) = session.listen_with(port, 1 + usize::from(argument >> 4)) {
                    self.listeners.push(listener);
                }
            }
            18 if self.servers.len() < MAX_TASKS => {
                if let Some(listener) = self.listeners.pop() {
                    self.servers.spawn(serve(listener, self.net.clone()));
                }
            }
            19 | 20 if !busy => {
                let (session, net) = (session.clone(), self.net.clone());
                let length = usize::from(argument) * 64;
                self.tasks.spawn(in_time(async move {
                    if let Ok(stream) = session.connect((peer, port)).await {
                        write(stream, length, &net).await;
                    }
                }));
            }
            21 if self.sockets.len() < MAX_TASKS => {
                let format = FORMATS[usize::from(argument) % 4];
                self.sockets.extend(session.datagrams(format).bind(port));
            }
            22 if !busy => {
                if let Some(socket) = self.sockets.pop() {
                    let payload = vec![argument; usize::from(argument) * 16];
                    self.tasks.spawn(in_time(async move {
                        let _ = socket.send_to(&payload, (peer, port)).await;
                        while let Ok(Some(_)) = socket.try_recv_from() {}
                        let _ = timeout(Duration::from_secs(60), socket.recv_from()).await;
                    }));
                }
            }
            23 if !busy => {
                let session = session.clone();
                self.tasks.spawn(in_time(async move {
                    let _ = session.ping(peer).await;
                }));
            }
            24 if !busy => {
                let session = session.clone();
                let name = match argument & 1 {
                    0 => format!("name-{argument}.i2p"),
                    _ => peer.to_b32(),
                };
                self.tasks.spawn(in_time(async move {
                    let _ = session.lookup(name.as_str()).await;
                }));
            }
            25 => {
                let _ = session.set_tunnel_quantity(argument & 31, argument >> 4);
            }
            26 => drop(self.listeners.pop()),
            // Cancels every operation in progress.
            27 if argument & 7 == 0 => self.tasks.abort_all(),
            28 if argument & 15 == 0 => {
                let session = session.clone();
                self.tasks
                    .spawn(in_time(async move { session.close().await }));
            }
            _ => sleep(Duration::from_millis(u64::from(argument))).await,
        }
        while let Some(ended) = self.tasks.try_join_next() {
            check(ended);
        }
    }

    /// Waits for every operation, closes the sessions and drops everything.
    async fn finish(mut self) {
        while let Some(ended) = {
            settle().await;
            self.tasks.join_next().await
        } {
            check(ended);
        }
        for session in &self.sessions {
            let closing = timeout(LINGER + Duration::from_secs(5), session.close()).await;
            closing.expect("a session closes in time");
            assert!(session.status().stage().is_over(), "{:?}", session.status());
        }
        self.listeners.clear();
        self.sockets.clear();
        let mut servers = self.servers;
        while let Some(ended) = servers.join_next().await {
            check(ended);
        }
    }
}

/// Accepts streams until the session ends, and reads each.
async fn serve(listener: Listener, net: Net) {
    let mut streams = JoinSet::new();
    while let Ok(stream) = listener.accept().await {
        if streams.len() < 4 * MAX_TASKS {
            streams.spawn(read(stream, net.clone()));
        }
        while let Some(ended) = streams.try_join_next() {
            check(ended);
        }
    }
    while let Some(ended) = streams.join_next().await {
        check(ended);
    }
}

async fn read(mut stream: Stream, net: Net) {
    let mut position = 0;
    let mut buffer = [0; 1000];
    while let Ok(Ok(length)) = timeout(LONGEST, stream.read(&mut buffer)).await
        && length > 0
    {
        for byte in &buffer[..length] {
            assert!(
                *byte == pattern(position) || net.is_corrupt(),
                "at {position}"
            );
            position += 1;
        }
    }
}

async fn write(mut stream: Stream, length: usize, net: &Net) {
    let bytes: Vec<u8> = (0..length).map(pattern).collect();
    let written = async {
        stream.write_all(&bytes).await?;
        stream.shutdown().await
    };
    let written = timeout(LONGEST / 3, written).await;
    assert!(written.is_ok() || net.is_deaf(), "writing ends in time");
}

/// The byte at a position of every stream.
fn pattern(position: usize) -> u8 {
    (position % 251) as u8
}

/// An operation that must end within its own time limits.
async fn in_time(operation: impl Future<Output = ()>) {
    let ended = timeout(LONGEST, operation).await;
    ended.expect("the operation ends in time");
}

fn check(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        assert!(error.is_cancelled(), "{error}");
    }
}

/// Lets all tasks run.
async fn settle() {
    for _ in 0..ROUNDS {
        yield_now().await;
    }
}

/// Runs a future in paused time. No task may be left when it is done.
fn paused(future: impl Future<Output = ()>) {
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime can be built");
    runtime.block_on(async {
        future.await;
        sleep(LONGEST).await;
        let left = Handle::current().metrics().num_alive_tasks();
        assert_eq!(left, 0, "no task is left");
    });
}

/// One of several keys. They are generated once, because that takes longer than a run.
fn keys(number: usize) -> Arc<PrivateKeys> {
    static KEYS: OnceLock<Vec<Arc<PrivateKeys>>> = OnceLock::new();
    let keys = KEYS.get_or_init(|| {
        let generate = |seed| {
            let mut rng = ChaCha20Rng::seed_from_u64(seed);
            PrivateKeys::generate(SignatureType::ED25519, &mut rng)
        };
        let keys = (0..3).map(|seed| generate(seed).map(Arc::new));
        keys.collect::<Result<_, _>>().expect("keys can be made")
    });
    keys[number % keys.len()].clone()
}

const FORMATS: [Format; 4] = [
    Format::Raw,
    Format::Datagram1,
    Format::Datagram2,
    Format::Datagram3,
];

const LOOKUP_ERRORS: [LinkLookupError; 5] = [
    LinkLookupError::NameNotFound,
    LinkLookupError::LeaseSetNotFound,
    LinkLookupError::Locked,
    LinkLookupError::Unsupported,
    LinkLookupError::Timeout,
];

/// The most operations, listeners and sockets at a time.
const MAX_TASKS: usize = 12;

/// How often all tasks get their turn after an operation.
const ROUNDS: usize = 4;

const LINGER: Duration = Duration::from_secs(10);

/// Longer than every time limit of an operation.
const LONGEST: Duration = Duration::from_secs(1800);

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    #[test]
    fn a_stream_between_two_sessions_reveals_no_bug() {
        // Listens at the second session, serves, connects from the first.
        let script = [
            17 | 128,
            1,
            18,
            0,
            19,
            41,
            16,
            60,
            22,
            0,
            23,
            0,
            24,
            1,
            16,
            100,
        ];
        for flags in 0..8 {
            link(&[&[flags], &script[..]].concat());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn arbitrary_input_reveals_no_bug(data in vec(any::<u8>(), 0..200)) {
            link(&data);
        }

        #[test]
        fn operations_in_any_order_reveal_no_bug(
            flags in 0..16_u8,
            operations in vec((0..32_u8, any::<bool>(), any::<u8>()), 0..60),
        ) {
            let bytes = |(what, side, how): (u8, bool, u8)| [what | u8::from(side) << 7, how];
            let operations = operations.into_iter().flat_map(bytes);
            link(&[vec![flags], operations.collect()].concat());
        }
    }
}
