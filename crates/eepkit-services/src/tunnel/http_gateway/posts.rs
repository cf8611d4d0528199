//! Limits on uploads.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use eepkit::Hash;
use tokio::time::Instant;

/// The limits.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PostsConfig {
    pub(crate) of_peer: Option<usize>,
    pub(crate) total: Option<usize>,
    pub(crate) window: Duration,
    pub(crate) ban: Duration,
    pub(crate) total_ban: Duration,
}

impl PostsConfig {
    /// The defaults: no limit. Source of the times: Java's tunnels.
    pub(crate) fn new() -> Self {
        Self {
            of_peer: None,
            total: None,
            window: Duration::from_secs(300),
            ban: Duration::from_secs(1800),
            total_ban: Duration::from_secs(600),
        }
    }
}

/// Counts uploads.
#[derive(Debug)]
pub(super) struct Posts {
    config: PostsConfig,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    total: Count,
    peers: HashMap<Hash, Count>,
}

#[derive(Debug)]
struct Count {
    since: Instant,
    posts: usize,
    banned_until: Option<Instant>,
}

impl Posts {
    pub(super) fn new(config: PostsConfig) -> Self {
        let state = State {
            total: Count::new(Instant::now()),
            peers: HashMap::new(),
        };
        Self {
            config,
            state: Mutex::new(state),
        }
    }

    /// Counts an upload of a peer.
    ///
    /// # Errors
    ///
    /// The time for which uploads are refused.
    pub(super) fn count(&self, peer: Hash) -> Result<(), Duration> {
        let config = &self.config;
        // A panic while the lock is held leaves the counters consistent.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if config.of_peer.is_some() {
            if !state.peers.contains_key(&peer) && state.peers.len() >= MAX_PEERS {
                state
                    .peers
                    .retain(|_, count| !count.is_over(now, config.window));
            }
            // A peer that cannot be counted is not refused. The limit in total applies.
            if state.peers.contains_key(&peer) || state.peers.len() < MAX_PEERS {
                let count = state.peers.entry(peer).or_insert_with(|| Count::new(now));
                count.count(now, config.window, config.of_peer, config.ban)?;
            }
        }
        state
            .total
            .count(now, config.window, config.total, config.total_ban)
    }
}

impl Count {
    fn new(now: Instant) -> Self {
        Self {
            since: now,
            posts: 0,
            banned_until: None,
        }
    }

    fn count(
        &mut self,
        now: Instant,
        window: Duration,
        limit: Option<usize>,
        ban: Duration,
    ) -> Result<(), Duration> {
        if let Some(until) = self.banned_until {
            if now < until {
                return Err(until - now);
            }
            *self = Self::new(now);
        }
        if now.duration_since(self.since) >= window {
            *self = Self::new(now);
        }
        self.posts = self.posts.saturating_add(1);
        if limit.is_some_and(|limit| self.posts > limit) {
            self.banned_until = Some(now + ban);
            return Err(ban);
        }
        Ok(())
    }

    fn is_over(&self, now: Instant, window: Duration) -> bool {
        self.banned_until.is_none_or(|until| until <= now)
            && now.duration_since(self.since) >= window
    }
}

/// The most peers that are counted. Each takes about 100 bytes.
const MAX_PEERS: usize = 16_384;

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn uploads_beyond_a_limit_are_refused_for_a_while() {
        let posts = Posts::new(PostsConfig {
            of_peer: Some(2),
            total: Some(4),
            ..PostsConfig::new()
        });
        let post = |number| posts.count(Hash::from([number; 32]));
        assert!(post(1).is_ok() && post(1).is_ok());
        assert_eq!(post(1), Err(Duration::from_secs(1800)));
        assert!(post(2).is_ok() && post(3).is_ok());
        assert_eq!(post(4), Err(Duration::from_secs(600)), "all together");
        sleep(Duration::from_secs(601)).await;
        assert!(post(4).is_ok());
        assert_eq!(post(1), Err(Duration::from_secs(1199)));
        sleep(Duration::from_secs(1200)).await;
        assert!(post(1).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_limit_all_uploads_pass() {
        let posts = Posts::new(PostsConfig::new());
        assert!((0..1000).all(|_| posts.count(Hash::from([1; 32])).is_ok()));
    }
}
