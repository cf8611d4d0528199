//! The table of tunnels of a bridge.

use std::{collections::BTreeMap, fmt};

use crate::{
    status::Status,
    tunnel::{Nickname, Stage, Tunnel},
};

/// The limits of a [`Database`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The most tunnels; 128 by default. Each running one has a session, which uses several tunnels
    /// of the router.
    pub tunnels: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { tunnels: 128 }
    }
}

/// All tunnels of a bridge, by their nicknames. The machines of all connections and the driver share
/// it. Tunnels belong to no connection.
#[derive(Default)]
pub struct Database {
    entries: BTreeMap<Nickname, Entry>,
    limits: Limits,
    /// Counts the changes that a saved state contains.
    revision: u64,
    /// Counts created tunnels.
    created: u64,
}

#[derive(Debug)]
struct Entry {
    tunnel: Tunnel,
    stage: Stage,
    /// The value of [`Database::created`] when the tunnel was created.
    number: u64,
}

impl Database {
    /// Creates an empty table.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    /// A number that changes with whatever a saved state contains.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The number of tunnels.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no tunnels.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The nicknames of all tunnels, in alphabetical order.
    pub fn nicknames(&self) -> impl Iterator<Item = &Nickname> {
        self.entries.keys()
    }

    /// The settings of a tunnel.
    pub fn tunnel(&self, nick: &Nickname) -> Option<&Tunnel> {
        self.entries.get(nick).map(|entry| &entry.tunnel)
    }

    /// The state of a tunnel.
    pub fn stage(&self, nick: &Nickname) -> Option<Stage> {
        self.entries.get(nick).map(|entry| entry.stage)
    }

    /// Sets the state of a tunnel, as the driver observes it.
    pub fn set_stage(&mut self, nick: &Nickname, stage: Stage) {
        if let Some(entry) = self.entries.get_mut(nick)
            && entry.stage != stage
        {
            entry.stage = stage;
            self.revision += 1;
        }
    }

    /// The description of a tunnel.
    pub fn status(&self, nick: &Nickname) -> Option<Status> {
        let entry = self.entries.get(nick)?;
        Some(Status::of(nick.as_str(), &entry.tunnel, entry.stage))
    }

    /// Adds a tunnel, or replaces an idle one. If there are too many, the oldest idle tunnel without
    /// keys is removed: its client has left it unfinished.
    ///
    /// # Errors
    ///
    /// [`DatabaseError`].
    pub fn insert(&mut self, nick: Nickname, tunnel: Tunnel) -> Result<(), DatabaseError> {
        match self.entries.get(&nick) {
            Some(entry) if entry.stage != Stage::Idle => return Err(DatabaseError::Active),
            None if self.entries.len() >= self.limits.tunnels => {
                let is_unfinished =
                    |entry: &Entry| entry.stage == Stage::Idle && entry.tunnel.keys.is_none();
                let oldest = self
                    .entries
                    .iter()
                    .filter(|(_, entry)| is_unfinished(entry))
                    .min_by_key(|(_, entry)| entry.number)
                    .map(|(nick, _)| nick.clone());
                let oldest = oldest.ok_or(DatabaseError::TooMany(self.limits.tunnels))?;
                self.entries.remove(&oldest);
            }
            _ => {}
        }
        self.created += 1;
        let entry = Entry {
            tunnel,
            stage: Stage::Idle,
            number: self.created,
        };
        self.entries.insert(nick, entry);
        self.revision += 1;
        Ok(())
    }

    /// Removes an idle tunnel.
    ///
    /// # Errors
    ///
    /// [`DatabaseError::Active`] and [`DatabaseError::Unknown`].
    pub fn remove(&mut self, nick: &Nickname) -> Result<(), DatabaseError> {
        self.idle(nick)?;
        self.entries.remove(nick);
        self.revision += 1;
        Ok(())
    }

    /// The settings of an idle tunnel, to change them.
    ///
    /// # Errors
    ///
    /// [`DatabaseError::Active`] and [`DatabaseError::Unknown`].
    pub fn change(&mut self, nick: &Nickname) -> Result<&mut Tunnel, DatabaseError> {
        self.idle(nick)?;
        self.revision += 1;
        let entry = self.entries.get_mut(nick).ok_or(DatabaseError::Unknown)?;
        Ok(&mut entry.tunnel)
    }

    fn idle(&self, nick: &Nickname) -> Result<(), DatabaseError> {
        match self.stage(nick).ok_or(DatabaseError::Unknown)? {
            Stage::Idle => Ok(()),
            _ => Err(DatabaseError::Active),
        }
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database")
            .field("tunnels", &self.entries.len())
            .field("revision", &self.revision)
            .finish_non_exhaustive()
    }
}

/// The reason why a tunnel cannot be changed. The text is that of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum DatabaseError {
    /// The tunnel starts, runs or stops.
    #[error("tunnel is active")]
    Active,
    /// There is no tunnel with this nickname.
    #[error("no nickname has been set")]
    Unknown,
    /// There are too many tunnels.
    #[error("the bridge has {0} tunnels, the most that its option max_tunnels allows")]
    TooMany(usize),
}

#[cfg(test)]
mod tests {
    use eepkit_wire::{PrivateKeys, SignatureType};
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};

    use super::*;

    fn nick(text: &str) -> Nickname {
        Nickname::new(text).expect("a nickname")
    }

    fn tunnel(has_keys: bool) -> Tunnel {
        let mut tunnel = Tunnel::new(&nick("x"), &[]);
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let keys = PrivateKeys::generate(SignatureType::ED25519, &mut rng);
        tunnel.keys = has_keys.then(|| keys.expect("can be made"));
        tunnel
    }

    #[test]
    fn unfinished_tunnels_make_room_and_others_do_not() {
        let mut database = Database::new(Limits { tunnels: 2 });
        assert_eq!(database.insert(nick("a"), tunnel(true)), Ok(()));
        assert_eq!(database.insert(nick("b"), tunnel(false)), Ok(()));
        assert_eq!(database.insert(nick("c"), tunnel(true)), Ok(()));
        assert!(database.tunnel(&nick("b")).is_none());
        assert_eq!(database.insert(nick("c"), tunnel(true)), Ok(()));
        let error = Err(DatabaseError::TooMany(2));
        assert_eq!(database.insert(nick("d"), tunnel(false)), error);
    }

    #[test]
    fn an_active_tunnel_is_not_changed() {
        let mut database = Database::new(Limits::default());
        assert_eq!(database.insert(nick("a"), tunnel(true)), Ok(()));
        for stage in [Stage::Starting, Stage::Running, Stage::Stopping] {
            database.set_stage(&nick("a"), stage);
            let active = DatabaseError::Active;
            assert_eq!(database.insert(nick("a"), tunnel(false)), Err(active));
            assert_eq!(database.remove(&nick("a")), Err(active));
            assert_eq!(database.change(&nick("a")).err(), Some(active));
        }
        let before = database.revision();
        database.set_stage(&nick("a"), Stage::Idle);
        assert_eq!(database.remove(&nick("a")), Ok(()));
        assert_ne!(database.revision(), before);
        assert_eq!(database.remove(&nick("a")), Err(DatabaseError::Unknown));
    }
}
