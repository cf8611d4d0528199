//! The SAM dialogues of Bitcoin Core and libtorrent, byte for byte. They accept fewer forms of
//! answers than the specification allows.

use std::{collections::HashMap, net::SocketAddr, sync::Arc};

use eepkit::{Destination, PrivateKeys};
use libtest_mimic::{Failed, Trial};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::lab::{Lab, Outcome, STEP_LIMIT, noise, read_until, same};

pub(crate) fn add(lab: &Arc<Lab>, trials: &mut Vec<Trial>) {
    macro_rules! add {
        ($($name:ident),* $(,)?) => {
            $(lab.add_client(trials, concat!("dialogues::", stringify!($name)), None, $name);)*
        };
    }
    add!(
        bitcoin_nodes_exchange_data,
        bitcoin_gets_the_end_of_its_session,
        libtorrent_peers_exchange_data,
    );
}

/// A socket that reads as these programs do: a line up to its newline, then data.
struct Socket(TcpStream);

impl Socket {
    /// Connects and sends HELLO, which both programs send in the same form.
    async fn open(at: SocketAddr) -> Result<Self, Failed> {
        let mut socket = Self(TcpStream::connect(at).await?);
        let reply = socket.ask("HELLO VERSION MIN=3.1 MAX=3.1").await?;
        same("HELLO", reply.as_str(), "HELLO REPLY RESULT=OK VERSION=3.1")?;
        Ok(socket)
    }

    async fn ask(&mut self, line: &str) -> Result<String, Failed> {
        self.0.write_all(format!("{line}\n").as_bytes()).await?;
        self.line().await
    }

    async fn line(&mut self) -> Result<String, Failed> {
        let mut line = Vec::new();
        loop {
            match timeout(STEP_LIMIT, self.0.read_u8()).await?? {
                b'\n' => return Ok(String::from_utf8(line)?),
                byte => line.push(byte),
            }
        }
    }
}

/// Parses an answer as Bitcoin does: words between single spaces, keys before the first `=`.
fn words(line: &str) -> HashMap<&str, Option<&str>> {
    line.split(' ')
        .map(|word| match word.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (word, None),
        })
        .collect()
}

fn get(line: &str, key: &str) -> Result<String, Failed> {
    let value = words(line).get(key).copied().flatten();
    Ok(value
        .ok_or_else(|| format!("no {key} in {line:?}"))?
        .to_owned())
}

/// The session of a Bitcoin node, and its address.
struct Node {
    at: SocketAddr,
    id: &'static str,
    _control: Socket,
    destination: Destination,
}

impl Node {
    /// Creates the session of a node that listens, with its own key.
    async fn listening(at: SocketAddr, id: &'static str) -> Result<Self, Failed> {
        let mut control = Socket::open(at).await?;
        let reply = control.ask("DEST GENERATE SIGNATURE_TYPE=7").await?;
        let key = get(&reply, "PRIV")?;
        let reply = control
            .ask(&format!(
                "SESSION CREATE STYLE=STREAM ID={id} DESTINATION={key} \
                 i2cp.leaseSetEncType=4,0 inbound.quantity=3 outbound.quantity=3"
            ))
            .await?;
        same("created", get(&reply, "RESULT")?.as_str(), "OK")?;
        Self::new(at, id, control, &key)
    }

    /// Creates the session of one outbound connection.
    async fn connecting(at: SocketAddr, id: &'static str) -> Result<Self, Failed> {
        let mut control = Socket::open(at).await?;
        let reply = control
            .ask(&format!(
                "SESSION CREATE STYLE=STREAM ID={id} DESTINATION=TRANSIENT SIGNATURE_TYPE=7 \
                 i2cp.leaseSetEncType=4,0 inbound.quantity=1 outbound.quantity=1"
            ))
            .await?;
        same("created", get(&reply, "RESULT")?.as_str(), "OK")?;
        let key = get(&reply, "DESTINATION")?;
        Self::new(at, id, control, &key)
    }

    fn new(at: SocketAddr, id: &'static str, control: Socket, key: &str) -> Result<Self, Failed> {
        // Bitcoin's decoder requires the padding.
        same("padded", key.len() % 4, 0)?;
        Ok(Self {
            at,
            id,
            _control: control,
            destination: PrivateKeys::from_base64(key)?.destination().clone(),
        })
    }

    async fn accept(&self) -> Result<Socket, Failed> {
        let mut socket = Socket::open(self.at).await?;
        let reply = socket
            .ask(&format!("STREAM ACCEPT ID={} SILENT=false", self.id))
            .await?;
        same("accepting", get(&reply, "RESULT")?.as_str(), "OK")?;
        Ok(socket)
    }

    async fn connect(&self, b32: &str) -> Result<Socket, Failed> {
        let mut socket = Socket::open(self.at).await?;
        let reply = socket.ask(&format!("NAMING LOOKUP NAME={b32}")).await?;
        same("looked up", get(&reply, "RESULT")?.as_str(), "OK")?;
        let to = get(&reply, "VALUE")?;
        let connect = format!(
            "STREAM CONNECT ID={} DESTINATION={to} SILENT=false",
            self.id
        );
        let reply = socket.ask(&connect).await?;
        same("connected", reply.as_str(), "STREAM STATUS RESULT=OK")?;
        Ok(socket)
    }
}

async fn bitcoin_nodes_exchange_data(lab: Arc<Lab>) -> Outcome {
    let bridges = lab.bridges().await?;
    let (server, client) = tokio::try_join!(
        Node::listening(bridges.first().tcp, "0123456789"),
        Node::connecting(bridges.second().tcp, "abcdef0123"),
    )?;
    // One accept at a time, repeated after each peer.
    for round in 0..2 {
        let mut incoming = server.accept().await?;
        let mut outgoing = client.connect(&server.destination.to_b32()).await?;
        // The line contains only the destination.
        let peer = incoming.line().await?;
        same("the peer", peer, client.destination.to_base64())?;
        both_ways(&mut outgoing.0, &mut incoming.0, round).await?;
    }
    Ok(())
}

async fn both_ways(here: &mut TcpStream, there: &mut TcpStream, seed: u64) -> Outcome {
    let data = noise(seed, 20_000);
    here.write_all(&data).await?;
    let arrived = read_until(there, data.len()).await?;
    same("what arrived", arrived == data, true)?;
    there.write_all(&data).await?;
    let arrived = read_until(here, data.len()).await?;
    same("what came back", arrived == data, true)
}

/// Bitcoin opens a new session after INVALID_ID, or after I2P_ERROR on a socket that accepts. After
/// any other error it would retry forever.
async fn bitcoin_gets_the_end_of_its_session(lab: Arc<Lab>) -> Outcome {
    let bridges = lab.bridges().await?;
    let node = Node::listening(bridges.first().tcp, "fedcba9876").await?;
    let at = node.at;
    let mut waiting = node.accept().await?;
    drop(node);
    let mut rest = String::new();
    timeout(STEP_LIMIT, waiting.0.read_to_string(&mut rest)).await??;
    let said = rest.is_empty() || rest.contains("RESULT=I2P_ERROR");
    same(&format!("the end of accepting: {rest:?}"), said, true)?;
    let mut socket = Socket::open(at).await?;
    let reply = socket
        .ask("STREAM ACCEPT ID=fedcba9876 SILENT=false")
        .await?;
    same("the session", get(&reply, "RESULT")?.as_str(), "INVALID_ID")
}

/// The session of a torrent client, and its address.
struct Torrents {
    at: SocketAddr,
    id: &'static str,
    _control: Socket,
    me: String,
}

impl Torrents {
    async fn open(at: SocketAddr, id: &'static str) -> Result<Self, Failed> {
        let mut control = Socket::open(at).await?;
        let reply = control
            .ask(&format!(
                "SESSION CREATE STYLE=STREAM ID={id} DESTINATION=TRANSIENT SIGNATURE_TYPE=7 \
                 i2cp.leaseSetEncType=4,0 inbound.quantity=3 outbound.quantity=3 inbound.length=3 \
                 outbound.length=3 inbound.lengthVariance=0 outbound.lengthVariance=0"
            ))
            .await?;
        same("created", parse(&reply)?["RESULT"], "OK")?;
        let reply = control.ask("NAMING LOOKUP NAME=ME").await?;
        let me = parse(&reply)?["VALUE"].to_owned();
        Ok(Self {
            at,
            id,
            _control: control,
            me,
        })
    }

    async fn accept(&self) -> Result<Socket, Failed> {
        let mut socket = Socket::open(self.at).await?;
        let reply = socket.ask(&format!("STREAM ACCEPT ID={}", self.id)).await?;
        same("accepting", parse(&reply)?["RESULT"], "OK")?;
        Ok(socket)
    }

    async fn connect(&self, to: &str) -> Result<Socket, Failed> {
        let mut socket = Socket::open(self.at).await?;
        let connect = format!("STREAM CONNECT ID={} DESTINATION={to}", self.id);
        let reply = socket.ask(&connect).await?;
        same("connected", parse(&reply)?["RESULT"], "OK")?;
        Ok(socket)
    }
}

/// Parses an answer as libtorrent does: two words, then `key=value` without empty parts.
fn parse(line: &str) -> Result<HashMap<&str, &str>, Failed> {
    let wrong = || Failed::from(format!("libtorrent cannot read {line:?}"));
    let mut rest = line.splitn(3, ' ').skip(2);
    let mut pairs = HashMap::new();
    for word in rest.next().ok_or_else(wrong)?.split(' ') {
        let (key, value) = word.split_once('=').ok_or_else(wrong)?;
        if key.is_empty() || value.is_empty() {
            return Err(wrong());
        }
        pairs.insert(key, value);
    }
    Ok(pairs)
}

async fn libtorrent_peers_exchange_data(lab: Arc<Lab>) -> Outcome {
    let bridges = lab.bridges().await?;
    let (one, another) = tokio::try_join!(
        Torrents::open(
            bridges.first().tcp,
            "00112233445566778899aabbccddeeff00112233"
        ),
        Torrents::open(
            bridges.second().tcp,
            "ffeeddccbbaa99887766554433221100ffeeddcc"
        ),
    )?;
    let mut incoming = one.accept().await?;
    let mut outgoing = another.connect(&one.me).await?;
    let peer = incoming.line().await?;
    same("the peer", &peer, &another.me)?;
    both_ways(&mut outgoing.0, &mut incoming.0, 1).await?;

    // A tracker may send a client its own address.
    let mut incoming = one.accept().await?;
    let mut outgoing = one.connect(&one.me).await?;
    let peer = incoming.line().await?;
    same("oneself", &peer, &one.me)?;
    both_ways(&mut outgoing.0, &mut incoming.0, 2).await
}
