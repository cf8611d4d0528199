//! A gossip node: it spreads short messages (rumors) among its peers over datagrams.
//!
//! A node has one destination, from which it sends to and receives from all peers. It pushes a new
//! rumor to some random peers. Because datagrams get lost and nodes go offline, it also sends the
//! list of its rumors to a random peer at intervals, and receives those that it lacks.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use eepkit::{DatagramSocket, Destination, Format, ReceiveError, Session};
use rand::{Rng as _, RngExt as _, rngs::StdRng, seq::IteratorRandom as _};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{broadcast, mpsc},
    task::JoinHandle,
    time::{Instant, sleep_until},
};

/// A message that is spread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rumor {
    /// A random number that identifies the rumor.
    pub id: u64,
    /// The text, at most [`MAX_TEXT`] bytes.
    pub text: String,
}

#[derive(Debug, Serialize, Deserialize)]
enum Packet {
    /// A new rumor.
    Push(Rumor),
    /// The rumors of the sender, which requests all others.
    Known(Vec<u64>),
}

/// A running node. Dropping it stops it.
#[derive(Debug)]
pub struct Node {
    rumors: broadcast::Sender<Rumor>,
    outgoing: mpsc::Sender<String>,
    task: JoinHandle<ReceiveError>,
}

impl Node {
    /// Starts a node on `session` with the initial `peers`. Nodes that send to it become peers,
    /// too.
    ///
    /// # Errors
    ///
    /// When the gossip port of this session is already in use.
    pub fn start(
        session: &Session,
        peers: impl IntoIterator<Item = Destination>,
    ) -> Result<Self, eepkit::BindError> {
        let socket = session.datagrams(Format::Datagram2).bind(PORT)?;
        let rumors = broadcast::Sender::new(MAX_KNOWN);
        let (outgoing, own) = mpsc::channel(16);
        let state = State {
            socket,
            me: session.destination().clone(),
            peers: HashSet::new(),
            known: HashMap::new(),
            order: VecDeque::new(),
            rumors: rumors.clone(),
            rng: rand::make_rng(),
        };
        let task = tokio::spawn(state.run(peers.into_iter().collect(), own));
        Ok(Self {
            rumors,
            outgoing,
            task,
        })
    }

    /// Spreads a text. It is truncated to [`MAX_TEXT`] bytes.
    pub async fn spread(&self, text: &str) {
        let mut end = text.len().min(MAX_TEXT);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        // An error means that the session has ended.
        let _ = self.outgoing.send(text[..end].to_owned()).await;
    }

    /// Returns a receiver that gets each rumor once, from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Rumor> {
        self.rumors.subscribe()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct State {
    socket: DatagramSocket,
    me: Destination,
    peers: HashSet<Arc<Destination>>,
    known: HashMap<u64, Rumor>,
    /// The known rumors, oldest first.
    order: VecDeque<u64>,
    rumors: broadcast::Sender<Rumor>,
    rng: StdRng,
}

impl State {
    async fn run(
        mut self,
        peers: Vec<Destination>,
        mut own: mpsc::Receiver<String>,
    ) -> ReceiveError {
        for peer in peers {
            self.add_peer(&peer);
        }
        let mut next_exchange = self.next_exchange();
        loop {
            tokio::select! {
                received = self.socket.recv_from() => match received {
                    Ok(datagram) => {
                        if let Some(sender) = datagram.sender().cloned() {
                            self.on_packet(&sender, datagram.payload()).await;
                        }
                    }
                    Err(error) => return error,
                },
                Some(text) = own.recv() => {
                    let id = self.rng.next_u64();
                    self.learn(Rumor { id, text }).await;
                }
                () = sleep_until(next_exchange) => {
                    next_exchange = self.next_exchange();
                    let known = self.order.iter().rev().take(MAX_LISTED).copied().collect();
                    let peer = self.peers.iter().choose(&mut self.rng).cloned();
                    if let Some(peer) = peer {
                        self.send(&peer, &Packet::Known(known)).await;
                    }
                }
            }
        }
    }

    async fn on_packet(&mut self, sender: &Destination, payload: &[u8]) {
        // The signature proves the sender, but the payload may be anything.
        let Ok(packet) = serde_json::from_slice(payload) else {
            return;
        };
        self.add_peer(sender);
        match packet {
            Packet::Push(rumor) if rumor.text.len() <= MAX_TEXT => self.learn(rumor).await,
            Packet::Push(_) => {}
            Packet::Known(theirs) => {
                let theirs: HashSet<u64> = theirs.into_iter().take(MAX_LISTED).collect();
                let listed: Vec<u64> = self.order.iter().rev().take(MAX_LISTED).copied().collect();
                let missing = listed
                    .iter()
                    .filter(|id| !theirs.contains(id))
                    .take(MAX_ANSWERS);
                let missing: Vec<Rumor> = missing
                    .filter_map(|id| self.known.get(id))
                    .cloned()
                    .collect();
                for rumor in missing {
                    self.send(sender, &Packet::Push(rumor)).await;
                }
                if theirs.iter().any(|id| !self.known.contains_key(id)) {
                    // Requests the rumors that only the peer has.
                    let packet = Packet::Known(listed);
                    self.send(sender, &packet).await;
                }
            }
        }
    }

    /// Records a rumor. If it is new, pushes it to some peers.
    async fn learn(&mut self, rumor: Rumor) {
        if self.known.contains_key(&rumor.id) {
            return;
        }
        if self.order.len() == MAX_KNOWN
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        self.order.push_back(rumor.id);
        self.known.insert(rumor.id, rumor.clone());
        // An error means that there are no subscribers.
        let _ = self.rumors.send(rumor.clone());
        let some = self.peers.iter().cloned().sample(&mut self.rng, FANOUT);
        for peer in some {
            self.send(&peer, &Packet::Push(rumor.clone())).await;
        }
    }

    fn add_peer(&mut self, peer: &Destination) {
        if self.peers.len() < MAX_PEERS && *peer != self.me {
            self.peers.insert(Arc::new(peer.clone()));
        }
    }

    async fn send(&self, to: &Destination, packet: &Packet) {
        if let Ok(bytes) = serde_json::to_vec(packet) {
            // A packet that is not sent is lost like any datagram. The next exchange compensates
            // for it.
            let _ = self.socket.send_to(&bytes, (to, PORT)).await;
        }
    }

    fn next_exchange(&mut self) -> Instant {
        Instant::now() + EXCHANGE.mul_f64(self.rng.random_range(0.5..1.5))
    }
}

/// The maximum length of a rumor's text in bytes.
pub const MAX_TEXT: usize = 1024;
const PORT: u16 = 4711;
/// The number of peers to which a new rumor is pushed. Chosen because with three, a rumor reaches
/// nearly all of a network, and exchanges reach the rest.
const FANOUT: usize = 3;
/// The mean time between two exchanges.
const EXCHANGE: Duration = Duration::from_secs(10);
/// The maximum number of rumors that a node stores.
const MAX_KNOWN: usize = 4096;
/// The maximum number of rumors in the list of an exchange. Chosen as the number that fits into a
/// datagram.
const MAX_LISTED: usize = 256;
/// The maximum number of rumors that are sent in answer to a list.
const MAX_ANSWERS: usize = 16;
/// The maximum number of peers that a node stores.
const MAX_PEERS: usize = 1024;
