//! Access filters: a file with rules for peers, in the language of Java I2P's tunnels.
//!
//! Each line is a rule. The first rule that names the peer decides, or else the default. `allow` and
//! `deny` are absolute. `N/S` refuses the Nth stream of a peer within S seconds, and further ones.
//! A `record` rule adds peers that reach its rate, and that no other rule names, to a file.
//!
//! ```text
//! # Friends may do what they want.
//! allow file friends.txt
//! deny explicit ukeu3k5oycgaauneqgtnvselmt4yemvoilkln7jpvamvfx7dnkdq.b32.i2p
//! 15/60 default
//! 60/60 record busy.txt
//! ```

pub(crate) mod language;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use eepkit::Hash;
use tokio::time::Instant;
use tracing::{debug, warn};

use self::language::{FilterRules, Names, Rate, Threshold};
use crate::{files, service::ServiceError};

/// A filter of a running tunnel.
#[derive(Debug)]
pub(crate) struct Filter {
    definition: FilterRules,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The content of each file that a rule names.
    files: HashMap<PathBuf, HashSet<Hash>>,
    /// The recent attempts of each peer.
    attempts: HashMap<Hash, VecDeque<Instant>>,
    /// Peers that are not written to the file of a `record` rule yet.
    unwritten: HashMap<PathBuf, HashSet<Hash>>,
}

impl Filter {
    /// Reads a filter file, and the files that it names. Relative paths in it are relative to its
    /// directory.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Invalid`] with the file and the line.
    pub(crate) fn open(file: &Path) -> Result<Self, ServiceError> {
        let name = file.display();
        let text = files::read_text(file, MAX_FILE).map_err(|error| {
            ServiceError::Invalid(format!("cannot read the filter {name}: {error}"))
        })?;
        let directory = file.parent().unwrap_or_else(|| Path::new(""));
        let definition = FilterRules::parse(&text, directory)
            .map_err(|error| ServiceError::Invalid(format!("{name}, {error}")))?;
        let filter = Self {
            definition,
            state: Mutex::default(),
        };
        filter.read_files();
        Ok(filter)
    }

    /// Counts an attempt of a peer. Returns whether it may connect.
    pub(crate) fn admits(&self, peer: Hash) -> bool {
        let now = Instant::now();
        let mut state = self.lock();
        let state = &mut *state;
        let rule = self.definition.rules.iter().find(|rule| match &rule.names {
            Names::One(hash) => *hash == peer,
            Names::File(path) => state
                .files
                .get(path)
                .is_some_and(|list| list.contains(&peer)),
        });
        let threshold = rule.map_or(self.definition.default, |rule| rule.threshold);
        let recorders = match rule {
            Some(_) => &[][..],
            None => &self.definition.recorders[..],
        };
        let rates = recorders.iter().map(|recorder| recorder.rate);
        let rates: Vec<Rate> = rates.chain(threshold.rate()).collect();
        if rates.is_empty() {
            return threshold == Threshold::Allow;
        }
        let most = rates.iter().map(|rate| rate.attempts).max().unwrap_or(1);
        state.make_room(now, peer, self.definition.longest());
        let attempts = state.attempts.entry(peer).or_default();
        attempts.push_back(now);
        while attempts.len() > most {
            attempts.pop_front();
        }
        for recorder in recorders {
            if recorder.rate.is_breached(attempts, now) {
                let list = state.unwritten.entry(recorder.file.clone()).or_default();
                list.insert(peer);
            }
        }
        match threshold {
            Threshold::Allow => true,
            Threshold::Deny => false,
            Threshold::Rate(rate) => !rate.is_breached(attempts, now),
        }
    }

    /// Reads the files of the rules again and writes those of recorders, at intervals, without end.
    pub(crate) async fn run(&self) {
        loop {
            tokio::time::sleep(INTERVAL).await;
            self.write_files();
            self.read_files();
        }
    }

    fn read_files(&self) {
        for path in self
            .definition
            .rules
            .iter()
            .filter_map(|rule| match &rule.names {
                Names::File(path) => Some(path),
                Names::One(_) => None,
            })
        {
            match files::read_text(path, MAX_FILE) {
                Ok(text) => {
                    self.lock().files.insert(path.clone(), hashes(&text));
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    // A recorder may create it.
                    self.lock().files.remove(path);
                }
                Err(error) => {
                    // The old content stays in use.
                    debug!(file = %path.display(), %error, "cannot read a file of a filter");
                }
            }
        }
    }

    fn write_files(&self) {
        let unwritten = std::mem::take(&mut self.lock().unwritten);
        for (path, peers) in unwritten {
            let old = match files::read_text(&path, MAX_FILE) {
                Ok(text) => text,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
                Err(error) => {
                    warn!(file = %path.display(), %error, "cannot record peers");
                    continue;
                }
            };
            let known = hashes(&old);
            let mut text = old;
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            let before = text.len();
            for peer in peers.difference(&known) {
                text.push_str(&peer.to_b32());
                text.push('\n');
            }
            if text.len() == before {
                continue;
            }
            if text.len() > MAX_FILE {
                warn!(file = %path.display(), "the list of recorded peers is full");
                continue;
            }
            if let Err(error) = eepkit_files::replace(&path, text.as_bytes()) {
                warn!(file = %path.display(), %error, "cannot record peers");
            }
        }
    }

    /// A panic while the lock is held leaves the tables consistent: each change is one insertion or
    /// removal.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Forgets peers without recent attempts if the table is full, and else the one whose last attempt
    /// was first.
    fn make_room(&mut self, now: Instant, peer: Hash, longest: Duration) {
        if self.attempts.contains_key(&peer) || self.attempts.len() < MAX_PEERS {
            return;
        }
        self.attempts.retain(|_, attempts| {
            let last = attempts.back();
            last.is_some_and(|last| now.duration_since(*last) < longest)
        });
        if self.attempts.len() < MAX_PEERS {
            return;
        }
        let oldest = self.attempts.iter().min_by_key(|(_, list)| list.back());
        if let Some(oldest) = oldest.map(|(peer, _)| *peer) {
            self.attempts.remove(&oldest);
        }
    }
}

impl Rate {
    /// Whether the last attempts, which include the current one, reach the rate.
    fn is_breached(&self, attempts: &VecDeque<Instant>, now: Instant) -> bool {
        let recent = attempts
            .iter()
            .rev()
            .take_while(|at| now.duration_since(**at) < self.span);
        recent.count() >= self.attempts
    }
}

/// The addresses of a list, one per line. Other lines are left out.
fn hashes(text: &str) -> HashSet<Hash> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| Hash::from_b32(line).ok())
        .collect()
}

/// How often files are read and written. Source: Java's filters notice changes within ten seconds.
const INTERVAL: Duration = Duration::from_secs(10);
/// The largest file. Chosen because it has ten thousand addresses.
const MAX_FILE: usize = 1 << 20;
/// The most peers whose attempts are counted.
const MAX_PEERS: usize = 16_384;

#[cfg(test)]
mod tests;
