//! Which peers may open streams to a server tunnel: lists, and limits per peer and in total.

use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use eepkit::{Address, Hash, Host, Session};
use tokio::time::{Instant, sleep};
use tracing::{debug, warn};

use super::filter::Filter;
use crate::{
    options::{Access, Opt},
    service::ServiceError,
};

/// Who may connect, and how often.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct AdmissionConfig {
    pub(crate) allow: Vec<Address>,
    pub(crate) deny: Vec<Address>,
    pub(crate) filter: Option<PathBuf>,
    pub(crate) per_peer: RateConfig,
    pub(crate) total: RateConfig,
    pub(crate) ban: Option<Duration>,
    pub(crate) max_streams: usize,
    pub(crate) max_peer_streams: usize,
}

/// The most streams in spans of time.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct RateConfig {
    pub(crate) minute: Option<usize>,
    pub(crate) hour: Option<usize>,
    pub(crate) day: Option<usize>,
}

impl AdmissionConfig {
    /// The defaults: everybody, with a limit on open streams.
    pub(crate) fn new() -> Self {
        Self {
            allow: Vec::new(),
            deny: Vec::new(),
            filter: None,
            per_peer: RateConfig::default(),
            total: RateConfig::default(),
            ban: None,
            max_streams: MAX_STREAMS,
            max_peer_streams: MAX_PEER_STREAMS,
        }
    }

    /// Checks the combination of options.
    ///
    /// # Errors
    ///
    /// A sentence that describes the conflict.
    pub(crate) fn validate(&self) -> Result<(), String> {
        if self.ban.is_some() && self.per_peer == RateConfig::default() {
            return Err("ban needs a limit per peer, such as peer_per_minute".to_owned());
        }
        Ok(())
    }
}

impl RateConfig {
    fn limits(self) -> [Option<usize>; 3] {
        [self.minute, self.hour, self.day]
    }
}

/// Why a stream is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The peer is not allowed, or is denied.
    Denied,
    /// The peer or all peers together have opened too many streams.
    TooMany,
}

/// Decides about the streams of peers.
#[derive(Debug)]
pub(crate) struct Admission {
    config: AdmissionConfig,
    filter: Option<Filter>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    allowed: HashSet<Hash>,
    denied: HashSet<Hash>,
    open: usize,
    open_of_peers: HashMap<Hash, usize>,
    rate: Rates,
    peers: HashMap<Hash, Rates>,
}

/// A stream that counts as open until the value is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    admission: Arc<Admission>,
    peer: Hash,
}

impl Admission {
    /// Reads the filter.
    ///
    /// # Errors
    ///
    /// [`ServiceError`] if it cannot be used.
    pub(crate) fn open(config: AdmissionConfig) -> Result<Self, ServiceError> {
        let filter = config.filter.as_deref().map(Filter::open).transpose()?;
        let hashes = |list: &[Address]| list.iter().filter_map(hash_of).collect();
        let state = State {
            allowed: hashes(&config.allow),
            denied: hashes(&config.deny),
            open: 0,
            open_of_peers: HashMap::new(),
            rate: Rates::new(Instant::now()),
            peers: HashMap::new(),
        };
        Ok(Self {
            config,
            filter,
            state: Mutex::new(state),
        })
    }

    /// Decides about a stream of a peer.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if the stream must not be served.
    pub(crate) fn admit(self: &Arc<Self>, peer: Hash) -> Result<Place, Refusal> {
        let config = &self.config;
        let mut state = self.lock();
        let is_allowed = config.allow.is_empty() || state.allowed.contains(&peer);
        if !is_allowed || state.denied.contains(&peer) {
            return Err(Refusal::Denied);
        }
        if self
            .filter
            .as_ref()
            .is_some_and(|filter| !filter.admits(peer))
        {
            return Err(Refusal::Denied);
        }
        let now = Instant::now();
        let within = state.rate.count(now, config.total, None);
        if !(state.count_peer(now, peer, config) && within) {
            return Err(Refusal::TooMany);
        }
        let open_of_peer = state.open_of_peers.get(&peer).copied().unwrap_or_default();
        if state.open >= config.max_streams || open_of_peer >= config.max_peer_streams {
            return Err(Refusal::TooMany);
        }
        state.open += 1;
        *state.open_of_peers.entry(peer).or_default() += 1;
        Ok(Place {
            admission: self.clone(),
            peer,
        })
    }

    /// Keeps the lists and the filter up to date, without end.
    pub(crate) async fn run(&self, session: impl Fn() -> Session) {
        let filtering = async {
            match &self.filter {
                Some(filter) => filter.run().await,
                None => std::future::pending().await,
            }
        };
        tokio::join!(self.resolve(session), filtering);
    }

    /// Looks up the names of the lists, and repeats that for those that are not found. Returns when
    /// all are found.
    async fn resolve(&self, session: impl Fn() -> Session) {
        let names = |list: &[Address]| -> Vec<Address> {
            let unknown = list.iter().filter(|address| hash_of(address).is_none());
            unknown.cloned().collect()
        };
        let mut allow = names(&self.config.allow);
        let mut deny = names(&self.config.deny);
        let mut reported = false;
        while !(allow.is_empty() && deny.is_empty()) {
            for (list, is_allowed) in [(&mut allow, true), (&mut deny, false)] {
                let mut left = Vec::new();
                for name in list.drain(..) {
                    match session().lookup(&name).await {
                        Ok(found) => {
                            let mut state = self.lock();
                            match is_allowed {
                                true => state.allowed.insert(found.hash()),
                                false => state.denied.insert(found.hash()),
                            };
                        }
                        Err(error) => {
                            debug!(%name, %error, "a name of an access list is not found");
                            left.push(name);
                        }
                    }
                }
                *list = left;
            }
            let missing = allow.len() + deny.len();
            if missing > 0 {
                if !reported {
                    warn!(
                        missing,
                        "names of access lists are not found, and have no effect until they are"
                    );
                    reported = true;
                }
                sleep(RESOLVE_AGAIN).await;
            }
        }
    }

    /// A panic while the lock is held leaves the counters consistent enough: a stream may count as
    /// open that is not.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Counts a stream of a peer. Returns whether it is within the limits.
    fn count_peer(&mut self, now: Instant, peer: Hash, config: &AdmissionConfig) -> bool {
        if config.per_peer == RateConfig::default() {
            return true;
        }
        if !self.peers.contains_key(&peer) && self.peers.len() >= MAX_COUNTED {
            self.peers.retain(|_, rates| !rates.is_over(now));
            if self.peers.len() >= MAX_COUNTED {
                // A peer that cannot be counted is not refused. The limits in total apply.
                return true;
            }
        }
        let rates = self.peers.entry(peer).or_insert_with(|| Rates::new(now));
        rates.count(now, config.per_peer, config.ban)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.admission.lock();
        state.open = state.open.saturating_sub(1);
        if let Some(open) = state.open_of_peers.get_mut(&self.peer) {
            *open -= 1;
            if *open == 0 {
                state.open_of_peers.remove(&self.peer);
            }
        }
    }
}

/// The numbers of streams in the current minute, hour and day, each counted from its first stream.
#[derive(Debug)]
pub(crate) struct Rates {
    spans: [(Instant, usize); 3],
    banned_until: Option<Instant>,
}

impl Rates {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            spans: [(now, 0); 3],
            banned_until: None,
        }
    }

    /// Counts an event. Returns whether it is within the limits. One beyond a limit starts a ban of
    /// this length.
    pub(crate) fn count(
        &mut self,
        now: Instant,
        limits: RateConfig,
        ban: Option<Duration>,
    ) -> bool {
        if self.banned_until.is_some_and(|until| now < until) {
            return false;
        }
        let mut within = true;
        let spans = self.spans.iter_mut().zip(SPANS).zip(limits.limits());
        for (((since, count), length), limit) in spans {
            if now.duration_since(*since) >= length {
                (*since, *count) = (now, 0);
            }
            *count = count.saturating_add(1);
            within &= limit.is_none_or(|limit| *count <= limit);
        }
        self.banned_until = match within {
            true => None,
            false => ban.map(|length| now + length),
        };
        within
    }

    /// Whether the counters have no effect any more.
    fn is_over(&self, now: Instant) -> bool {
        self.banned_until.is_none_or(|until| until <= now)
            && self
                .spans
                .iter()
                .zip(SPANS)
                .all(|((since, _), length)| now.duration_since(*since) >= length)
    }
}

/// The hash of an address that needs no look-up.
fn hash_of(address: &Address) -> Option<Hash> {
    match &address.host {
        Host::Hash(hash) => Some(*hash),
        Host::Destination(destination) => Some(destination.hash()),
        _ => None,
    }
}

pub(crate) const fn allow<C>(access: Access<C>) -> Opt<C> {
    Opt::new(
        "allow",
        access,
        "The only peers that may connect: .b32.i2p addresses, destinations or names.\n\
         Default: everybody.",
    )
}

pub(crate) const fn deny<C>(access: Access<C>) -> Opt<C> {
    Opt::new("deny", access, "Peers that may not connect.")
}

pub(crate) const fn filter<C>(access: Access<C>) -> Opt<C> {
    Opt::new(
        "filter",
        access,
        "File with rules for peers, in the language of Java I2P's access filters.\n\
         Default: none. The rules are read at the start, the lists that they name every ten seconds.",
    )
    .example("\"filter.txt\"")
}

pub(crate) const fn rate<C>(key: &'static str, access: Access<C>, doc: &'static str) -> Opt<C> {
    Opt::new(key, access, doc).example("100")
}

pub(crate) const fn ban<C>(access: Access<C>) -> Opt<C> {
    Opt::new(
        "ban",
        access,
        "How long a peer that exceeds a limit of its own is refused.\n\
         Default: until the minute, hour or day is over.",
    )
    .example("\"30m\"")
}

pub(crate) const fn max_streams<C>(access: Access<C>) -> Opt<C> {
    Opt::new(
        "max_streams",
        access,
        "Maximum number of open streams. Further ones are reset.",
    )
}

pub(crate) const fn max_peer_streams<C>(access: Access<C>) -> Opt<C> {
    Opt::new(
        "max_peer_streams",
        access,
        "Maximum number of open streams of one peer.",
    )
}

const SPANS: [Duration; 3] = [
    Duration::from_secs(60),
    Duration::from_secs(3600),
    Duration::from_secs(86_400),
];

/// Chosen because a stream and its connection take about 200 KiB, so that a tunnel takes about 200
/// MiB.
const MAX_STREAMS: usize = 1024;
/// Chosen above what any one program opens, and so that eight peers cannot block all others.
const MAX_PEER_STREAMS: usize = 128;
/// The most peers that are counted. Each takes about 150 bytes.
const MAX_COUNTED: usize = 16_384;
/// The pause before a name is looked up again. Chosen because address books change slowly.
const RESOLVE_AGAIN: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(number: u8) -> Hash {
        Hash::from([number; 32])
    }

    fn address(hash: Hash) -> Address {
        Address::new(hash)
    }

    fn admission(change: impl FnOnce(&mut AdmissionConfig)) -> Arc<Admission> {
        let mut config = AdmissionConfig::new();
        change(&mut config);
        Arc::new(Admission::open(config).expect("no filter"))
    }

    #[tokio::test(start_paused = true)]
    async fn lists_allow_and_deny() {
        let only = admission(|config| {
            config.allow = vec![address(peer(1)), address(peer(2))];
            config.deny = vec![address(peer(2))];
        });
        assert!(only.admit(peer(1)).is_ok());
        for number in [2, 3] {
            assert_eq!(only.admit(peer(number)).err(), Some(Refusal::Denied));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn limits_hold_per_peer_and_in_total() {
        let limited = admission(|config| {
            config.per_peer.minute = Some(2);
            config.total.hour = Some(5);
        });
        let admit = |number| limited.admit(peer(number)).is_ok();
        assert!(admit(1) && admit(1) && !admit(1) && admit(2));
        sleep(Duration::from_secs(61)).await;
        assert!(admit(1), "another minute");
        assert!(!admit(3), "the hour is used up");
        sleep(Duration::from_secs(3600)).await;
        assert!(admit(3));
    }

    #[tokio::test(start_paused = true)]
    async fn a_ban_lasts_longer_than_the_minute() {
        let banning = admission(|config| {
            config.per_peer.minute = Some(1);
            config.ban = Some(Duration::from_secs(600));
        });
        let admit = |number| banning.admit(peer(number)).is_ok();
        assert!(admit(1) && !admit(1) && admit(2));
        sleep(Duration::from_secs(599)).await;
        assert!(!admit(1));
        sleep(Duration::from_secs(2)).await;
        assert!(admit(1));
    }

    #[tokio::test(start_paused = true)]
    async fn open_streams_are_limited_until_they_end() {
        let limited = admission(|config| (config.max_streams, config.max_peer_streams) = (3, 2));
        let mut places: Vec<_> = [1, 1, 2].map(|number| limited.admit(peer(number))).into();
        assert!(places.iter().all(Result::is_ok));
        assert!(limited.admit(peer(3)).is_err());
        places.pop();
        assert!(limited.admit(peer(1)).is_err(), "two of its own are open");
        assert!(limited.admit(peer(3)).is_ok());
    }
}
