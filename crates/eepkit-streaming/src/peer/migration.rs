//! The paths of a peer. They are formed from tunnels and leases and assigned to path states. A path
//! state migrates when its path fails.

use std::time::{Duration, Instant};

use super::Peer;
use crate::{
    path::{Path, PathId},
    path_state::PathState,
    path_table::{InUse, Migration},
    tunnels::Tunnels,
};

impl Peer {
    /// Forms the paths again if tunnels or leases have changed.
    pub(crate) fn form_paths(&mut self, now: Instant, tunnels: &Tunnels) {
        if let Some(paths) = self.leases.form_paths(now, tunnels, &self.paths) {
            self.set_paths(now, &paths);
        }
    }

    /// Replaces the paths.
    pub(crate) fn set_paths(&mut self, now: Instant, paths: &[Path]) {
        self.paths.set(paths);
        for index in 0..self.states.len() {
            let in_use = self.in_use_except(index);
            let active = &mut self.states[index].active;
            let migration = self.paths.replace_gone(now, active, &in_use);
            self.on_migration(now, index, migration);
        }
        self.assign(now);
    }

    /// The path with this id.
    pub(crate) fn path(&self, id: PathId) -> Option<&Path> {
        self.paths.path(id)
    }

    /// Records that a packet is sent over `path`.
    pub(crate) fn on_path_used(&mut self, path: PathId) {
        if let Some(path) = self.paths.path(path) {
            self.leases.on_used(path);
        }
    }

    /// The path of the next packet of a path state.
    pub(super) fn next_path(&mut self, now: Instant, index: usize) -> PathId {
        let in_use = self.in_use_except(index);
        let active = &mut self.states[index].active;
        let migration = self.paths.renew(now, active, &in_use);
        self.on_migration(now, index, migration);
        let path = self
            .paths
            .next(now, &mut self.states[index].active, &in_use);
        if self.max_active > 1 && now.saturating_duration_since(self.assigned_at) >= ASSIGN_SPACING
        {
            self.assign(now);
        }
        path
    }

    /// The tunnels and leases of all path states except `except`, which need not exist yet.
    fn in_use_except(&self, except: usize) -> InUse {
        if self.has_one_state() && except == 0 {
            return InUse::default();
        }
        let others = self.states.iter().enumerate();
        let others = others.filter(|(index, _)| *index != except);
        self.paths.in_use(others.map(|(_, state)| &state.active))
    }

    /// Assigns paths to path states without one. Adds path states while there are paths that share
    /// no tunnel and no lease with the active ones.
    fn assign(&mut self, now: Instant) {
        if self.max_active == 1 {
            return;
        }
        self.assigned_at = now;
        for index in 0..self.max_active {
            let in_use = self.in_use_except(index);
            if let Some(state) = self.states.get_mut(index) {
                if state.active.id().is_any() {
                    let migration = self.paths.assign(now, &mut state.active, &in_use);
                    self.on_migration(now, index, migration);
                }
                continue;
            }
            let mut state = PathState::new(now, &self.config);
            let Some(migration) = self.paths.assign(now, &mut state.active, &in_use) else {
                return;
            };
            // The estimate of the peer is used until there is a sample.
            state.rtt = self.rtt.clone();
            self.states.push(state);
            self.on_migration(now, index, Some(migration));
        }
        self.choose_lead();
    }

    /// Handles the acknowledgement of a packet that the path state `index` sent at `sent_at`. Path
    /// states that were probed earlier and got no answer in time have failed.
    pub(super) fn check_probed(&mut self, now: Instant, index: usize, sent_at: Instant) {
        for other in 0..self.states.len() {
            if other != index && self.states[other].is_outlived(now, sent_at) {
                self.abandon(now, other);
            }
        }
    }

    /// Handles the failure of a path: its path state migrates to an unused path, or waits for one.
    pub(super) fn abandon(&mut self, now: Instant, index: usize) {
        let in_use = self.in_use_except(index);
        let state = &mut self.states[index];
        let migration = self.paths.abandon(now, &mut state.active, &in_use);
        if state.active.id().is_any() {
            state.on_timeout(now);
        }
        self.on_migration(now, index, migration);
        self.choose_lead();
    }

    /// Replaces the lead if it cannot be used.
    fn choose_lead(&mut self) {
        if !self.is_usable(self.lead)
            && let Some(index) = (0..self.states.len()).find(|index| self.is_usable(*index))
        {
            self.lead = index;
        }
    }

    /// Handles the failure of the path that carries acknowledgements: uses another one if there is
    /// one.
    pub(crate) fn give_up_path(&mut self, now: Instant) {
        let count = self.states.len();
        let mut others = (1..count).map(|step| (self.lead + step) % count);
        if let Some(next) = others.find(|index| self.is_usable(*index)) {
            self.lead = next;
            return;
        }
        let in_use = self.in_use_except(self.lead);
        let active = &mut self.states[self.lead].active;
        let migration = self.paths.give_up(now, active, &in_use);
        self.on_migration(now, self.lead, migration);
    }

    pub(super) fn on_migration(
        &mut self,
        now: Instant,
        index: usize,
        migration: Option<Migration>,
    ) {
        let Some(migration) = migration else { return };
        let only = self.has_one_state();
        if let Some(rtt) = migration.rtt.filter(|_| only) {
            self.rtt.on_path_change(rtt);
        }
        self.states[index].on_migration(now, migration, only);
    }

    /// The number of path failures, and the path that failed last.
    pub(crate) const fn failures(&self) -> (u32, PathId) {
        (self.paths.failures, self.paths.last_failed)
    }

    /// The path of packets without data.
    pub(crate) fn lead_path(&self) -> PathId {
        self.states[self.lead].active.id()
    }
}

/// How often path states without a path look for one.
const ASSIGN_SPACING: Duration = Duration::from_secs(1);
