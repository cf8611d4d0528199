//! Conversions between the stored state of a router and the types of emissary-core.

use std::time::Duration;

use emissary_core::runtime::Storage;

use crate::storage::{Keeper, Profile};

impl Storage for Keeper {
    fn save_to_disk(&self, routers: Vec<(String, Option<Vec<u8>>, emissary_core::Profile)>) {
        let routers = routers.into_iter();
        self.save(
            routers
                .map(|(name, info, profile)| (name, info, profile.into()))
                .collect(),
        );
    }
}

impl From<emissary_core::Profile> for Profile {
    fn from(profile: emissary_core::Profile) -> Self {
        Self {
            last_activity: profile.last_activity.as_secs(),
            last_declined: profile.last_declined.map(|time| time.as_secs()),
            last_dial_failure: profile.last_dial_failure.map(|time| time.as_secs()),
            accepted: profile.num_accepted,
            connections: profile.num_connection,
            dial_failures: profile.num_dial_failures,
            lookup_failures: profile.num_lookup_failures,
            lookup_no_responses: profile.num_lookup_no_responses,
            lookup_successes: profile.num_lookup_successes,
            rejected: profile.num_rejected,
            selected: profile.num_selected,
            test_failures: profile.num_test_failures,
            test_successes: profile.num_test_successes,
            unanswered: profile.num_unaswered,
        }
    }
}

impl From<Profile> for emissary_core::Profile {
    fn from(stored: Profile) -> Self {
        Self {
            last_activity: Duration::from_secs(stored.last_activity),
            last_declined: stored.last_declined.map(Duration::from_secs),
            // emissary-core considers a router permanently unreachable once a dial failed more than
            // three minutes ago. Without the entry it dials again.
            last_dial_failure: None,
            num_accepted: stored.accepted,
            num_connection: stored.connections,
            num_dial_failures: stored.dial_failures,
            num_lookup_failures: stored.lookup_failures,
            num_lookup_no_responses: stored.lookup_no_responses,
            num_lookup_successes: stored.lookup_successes,
            num_rejected: stored.rejected,
            num_selected: stored.selected,
            num_test_failures: stored.test_failures,
            num_test_successes: stored.test_successes,
            num_unaswered: stored.unanswered,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_survives_storage_except_for_a_failed_dial() {
        let profile = Profile {
            last_activity: 1,
            last_declined: Some(2),
            last_dial_failure: Some(3),
            accepted: 4,
            ..Profile::default()
        };

        let restored = Profile::from(emissary_core::Profile::from(profile.clone()));

        let expected = Profile {
            last_dial_failure: None,
            ..profile
        };
        assert_eq!(restored, expected);
    }
}
