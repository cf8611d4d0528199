//! Names and hashes that can be resolved without the router.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use eepkit_wire::{Destination, Hash};
use tokio::time::Instant;

/// The host map of the application, and a cache of the router's answers.
#[derive(Debug)]
pub(crate) struct Names {
    hosts: HashMap<String, Destination>,
    cache: Mutex<Cache>,
}

#[derive(Debug, Default)]
struct Cache {
    names: HashMap<String, (Destination, Instant)>,
    hashes: HashMap<Hash, (Destination, Instant)>,
}

impl Names {
    pub(crate) fn new(hosts: HashMap<String, Destination>) -> Self {
        Self {
            hosts,
            cache: Mutex::default(),
        }
    }

    /// The destination of `name` in the host map.
    pub(crate) fn by_host_map(&self, name: &str) -> Option<Destination> {
        self.hosts.get(name).cloned()
    }

    /// The destination of `name` in the cache of the router's answers.
    pub(crate) fn by_name(&self, name: &str, now: Instant) -> Option<Destination> {
        let cache = self.lock();
        let (destination, learnt) = cache.names.get(name)?;
        // An address book may assign another destination to a name later.
        (now.saturating_duration_since(*learnt) < NAME_LIFE).then(|| destination.clone())
    }

    /// The destination with `hash`. It does not expire, because it cannot change.
    pub(crate) fn by_hash(&self, hash: &Hash) -> Option<Destination> {
        Some(self.lock().hashes.get(hash)?.0.clone())
    }

    pub(crate) fn learn_name(&self, name: &str, destination: &Destination, now: Instant) {
        let mut cache = self.lock();
        make_room(&mut cache.names);
        cache
            .names
            .insert(name.to_owned(), (destination.clone(), now));
    }

    pub(crate) fn learn(&self, destination: &Destination, now: Instant) {
        let mut cache = self.lock();
        make_room(&mut cache.hashes);
        cache
            .hashes
            .insert(destination.hash(), (destination.clone(), now));
    }

    fn lock(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes the oldest entry if the map is full.
fn make_room<K: Clone + Eq + std::hash::Hash>(map: &mut HashMap<K, (Destination, Instant)>) {
    if map.len() < MAX_CACHED {
        return;
    }
    let oldest = map
        .iter()
        .min_by_key(|(_, (_, learnt))| *learnt)
        .map(|(key, _)| key.clone());
    if let Some(key) = oldest {
        map.remove(&key);
    }
}

/// How long the router's answer for a name is cached. Chosen because address books change by hand,
/// or by a subscription every few hours, and a correction should take effect within minutes.
const NAME_LIFE: Duration = Duration::from_secs(600);

/// Entries of each cache; about half a kilobyte each, so at most 256 KiB for a session.
const MAX_CACHED: usize = 512;

#[cfg(test)]
mod tests {
    use eepkit_wire::{PrivateKeys, SignatureType};
    use rand::{SeedableRng as _, rngs::StdRng};

    use super::*;

    fn destination(seed: u64) -> Destination {
        let mut rng = StdRng::seed_from_u64(seed);
        PrivateKeys::generate(SignatureType::ED25519, &mut rng)
            .expect("Ed25519 keys can be made")
            .destination()
            .clone()
    }

    #[tokio::test(start_paused = true)]
    async fn names_expire_and_hashes_do_not() {
        let someone = destination(3);
        let names = Names::new(HashMap::new());
        names.learn_name("b.i2p", &someone, Instant::now());
        names.learn(&someone, Instant::now());
        assert!(names.by_name("b.i2p", Instant::now()).is_some());
        tokio::time::advance(NAME_LIFE).await;
        assert_eq!(names.by_name("b.i2p", Instant::now()), None);
        assert_eq!(names.by_hash(&someone.hash()), Some(someone));
    }

    #[tokio::test(start_paused = true)]
    async fn the_cache_stays_bounded() {
        let someone = destination(4);
        let names = Names::new(HashMap::new());
        for number in 0..MAX_CACHED + 10 {
            names.learn_name(&format!("{number}.i2p"), &someone, Instant::now());
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        assert_eq!(names.lock().names.len(), MAX_CACHED);
        assert_eq!(names.by_name("0.i2p", Instant::now()), None);
    }
}
