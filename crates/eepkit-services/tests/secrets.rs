//! Private keys do not stay in memory after the SAM session that used them.
//!
//! The test searches the memory of its own process. It therefore keeps the text that it searches
//! for only in a disguised form, and runs alone in its process.
#![cfg(target_os = "linux")]

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use eepkit::{PrivateKeys, Router, SignatureType, sim::SimNet};
use eepkit_services::sam::{SamBridge, SamConfig};
use eepkit_wire::Zeroizing;
use rand::SeedableRng as _;

#[test]
fn no_copy_of_a_private_key_survives_a_closed_sam_session() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let (at, started) = std::sync::mpsc::channel();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = std::thread::spawn(move || {
        runtime.block_on(async {
            let net = SimNet::builder().start();
            let config = SamConfig::new().listen("127.0.0.1:0".parse().expect("an address"));
            let bridge = SamBridge::start(Router::new(net.i2cp_router()), config)
                .await
                .expect("starts");
            at.send(bridge.tcp_addrs()[0]).expect("awaited");
            let _ = stopped.await;
            bridge.stop().await;
        });
    });
    let address = started.recv().expect("started");

    let needles = [given(address), transient(address), generated(address)];

    // The bridge closes the sessions after the sockets.
    // Chosen because a session on a simulated network closes in milliseconds.
    let mut attempts = 200;
    loop {
        let found: Vec<usize> = needles.iter().map(occurrences).collect();
        if found == [0, 0, 0] {
            break;
        }
        attempts -= 1;
        assert!(attempts > 0, "copies: {found:?}");
        std::thread::park_timeout(Duration::from_millis(100));
    }
    stop.send(()).expect("awaited");
    server.join().expect("no panic");
}

/// A part of a private key in base64, disguised.
struct Needle(Vec<u8>);

const DISGUISE: u8 = 0x55;

impl Needle {
    /// A part of the private signing key in a text of private keys.
    fn of(text: &str) -> Self {
        let text = text.trim_end_matches('=').as_bytes();
        let part = &text[text.len() - 36..text.len() - 4];
        Self(part.iter().map(|byte| byte ^ DISGUISE).collect())
    }

    fn is_at(&self, memory: &[u8]) -> bool {
        let mut pairs = memory.iter().zip(&self.0);
        memory.len() >= self.0.len() && pairs.all(|(a, b)| a ^ DISGUISE == *b)
    }
}

/// A session with keys that the client sends.
fn given(at: SocketAddr) -> Needle {
    let mut rng = rand::rngs::StdRng::seed_from_u64(1);
    let keys = PrivateKeys::generate(SignatureType::ED25519, &mut rng).expect("generated");
    let text = keys.to_base64();
    drop(keys);
    let mut line = Zeroizing::new(Vec::with_capacity(2048));
    line.extend_from_slice(b"SESSION CREATE STYLE=STREAM ID=given DESTINATION=");
    line.extend_from_slice(text.as_bytes());
    line.extend_from_slice(b" inbound.length=0 outbound.length=0\n");
    let mut client = Client::new(at);
    // In pieces, so that the bridge's buffer grows with a part of the key in it.
    for piece in line.chunks(300) {
        client.socket.get_mut().write_all(piece).expect("written");
        std::thread::park_timeout(Duration::from_millis(20));
    }
    let reply = client.line();
    assert!(reply.starts_with("SESSION STATUS RESULT=OK"), "refused");
    Needle::of(&text)
}

/// A session with keys that the bridge makes and returns.
fn transient(at: SocketAddr) -> Needle {
    let mut client = Client::new(at);
    client.send("SESSION CREATE STYLE=STREAM ID=new DESTINATION=TRANSIENT SIGNATURE_TYPE=7");
    let reply = client.line();
    let (_, text) = reply.trim_end().split_once("DESTINATION=").expect("keys");
    Needle::of(text)
}

/// Keys without a session.
fn generated(at: SocketAddr) -> Needle {
    let mut client = Client::new(at);
    client.send("DEST GENERATE SIGNATURE_TYPE=7");
    let reply = client.line();
    let (_, text) = reply.trim_end().split_once("PRIV=").expect("keys");
    let needle = Needle::of(text);
    assert!(occurrences(&needle) > 0, "the search finds the reply");
    needle
}

/// A client that keeps no copies. Dropping it closes the socket, which ends the session.
struct Client {
    socket: BufReader<TcpStream>,
}

impl Client {
    fn new(at: SocketAddr) -> Self {
        let socket = TcpStream::connect(at).expect("it listens");
        socket.set_nodelay(true).expect("can be set");
        // Each byte is read on its own, so that no buffer keeps them.
        let mut client = Self {
            socket: BufReader::with_capacity(1, socket),
        };
        client.send("HELLO VERSION MIN=3.3 MAX=3.3");
        assert!(client.line().starts_with("HELLO REPLY RESULT=OK"));
        client
    }

    fn send(&mut self, line: &str) {
        let socket = self.socket.get_mut();
        socket.write_all(line.as_bytes()).expect("written");
        socket.write_all(b"\n").expect("written");
    }

    fn line(&mut self) -> Zeroizing<String> {
        // A string that grows leaves copies behind.
        let mut line = Zeroizing::new(String::with_capacity(8192));
        self.socket.read_line(&mut line).expect("a line");
        line
    }
}

/// Counts the copies of a text in the memory of this process.
fn occurrences(needle: &Needle) -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("readable");
    let mut memory = File::open("/proc/self/mem").expect("readable");
    let mut copies = 0;
    let mut buffer = Zeroizing::new(Vec::new());
    for map in maps.lines() {
        let mut words = map.split_whitespace();
        let (range, rights) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        // Only memory that was written may contain a copy.
        if !rights.starts_with("rw") || map.ends_with("[vvar]") {
            continue;
        }
        let (begin, end) = range.split_once('-').expect("a range");
        let begin = u64::from_str_radix(begin, 16).expect("a number");
        let end = u64::from_str_radix(end, 16).expect("a number");
        buffer.resize(usize::try_from(end - begin).expect("fits"), 0);
        memory.seek(SeekFrom::Start(begin)).expect("can seek");
        if memory.read_exact(&mut buffer).is_err() {
            continue;
        }
        copies += buffer
            .windows(needle.0.len())
            .filter(|window| needle.is_at(window))
            .count();
        buffer.fill(0);
    }
    copies
}
