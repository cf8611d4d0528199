//! Presets: combined settings for a use case.

use std::{fmt, str::FromStr};

use eepkit_i2cp::{Options, SessionOptionError};
use eepkit_streaming::{Profile, StreamConfig};

/// Combined settings for a use case; an argument of [`SessionBuilder::preset`].
///
/// | preset | hops | tunnels in + out | send buffer | receive buffer | small writes | backlog |
/// |---|---|---|---|---|---|---|
/// | `Standard` | 3 | 2 + 2 | 64 KiB | 512 KiB to 16 MiB | are coalesced | 64 |
/// | `Interactive` | 2 | 3 + 3 | 64 KiB | 128 KiB to 1 MiB | are sent at once | 64 |
/// | `Bulk` | 3 | 4 + 4 | 512 KiB | 2 MiB to 16 MiB | are coalesced | 64 |
/// | `Server` | 3 | 4 + 3 | 64 KiB | 256 KiB to 1 MiB | are coalesced | 512 |
/// | `Test` | 1 | 1 + 1 | 64 KiB | 512 KiB to 16 MiB | are coalesced | 64 |
///
/// A receive buffer grows within its range with the rate at which the application reads. Other
/// calls of the builder override single settings of a preset, before or after the call that sets
/// it.
///
/// [`SessionBuilder::preset`]: crate::SessionBuilder::preset
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Preset {
    /// For most programs. Three hops are the default of every I2P router. With two tunnels in each
    /// direction, one may fail.
    #[default]
    Standard,
    /// For chats and shells, where the round-trip time matters. Two hops instead of three reduce
    /// the round-trip time by a third and weaken anonymity: two colluding hops suffice to link both
    /// ends. A third tunnel reduces the effect of a failed one, which interactive users notice at
    /// once. Buffers are small, so that new input does not wait behind earlier output.
    Interactive,
    /// For large files. More tunnels have a larger total bandwidth. The initial receive buffer
    /// allows 4 MB/s at a round-trip time of half a second. The send buffer keeps a fast path in
    /// use while the program reads from a disk.
    Bulk,
    /// For services with many clients. The requests of all clients share the inbound tunnels, so
    /// there are more of them. The backlog is long. The receive buffer of one stream is limited, so
    /// that a single client cannot use much memory.
    Server,
    /// For private networks and tests: one tunnel of one hop in each direction, which is built
    /// fastest. **It gives no anonymity on the live network.**
    Test,
}

impl Preset {
    /// All presets, for example for a help text.
    pub const ALL: [Self; 5] = [
        Self::Standard,
        Self::Interactive,
        Self::Bulk,
        Self::Server,
        Self::Test,
    ];

    /// The preset's name in lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Interactive => "interactive",
            Self::Bulk => "bulk",
            Self::Server => "server",
            Self::Test => "test",
        }
    }

    /// Hops, tunnels inbound, tunnels outbound.
    const fn tunnels(self) -> (u8, u8, u8) {
        match self {
            Self::Standard => (3, 2, 2),
            Self::Interactive => (2, 3, 3),
            Self::Bulk => (3, 4, 4),
            Self::Server => (3, 4, 3),
            Self::Test => (1, 1, 1),
        }
    }

    pub(crate) const fn backlog(self) -> usize {
        match self {
            Self::Server => 512,
            // The Java streaming library's accept queue.
            _ => 64,
        }
    }

    pub(crate) fn apply_to_options(self, options: &mut Options) -> Result<(), SessionOptionError> {
        let (hops, inbound, outbound) = self.tunnels();
        options.set_inbound_length(hops)?;
        options.set_outbound_length(hops)?;
        options.set_inbound_quantity(inbound)?;
        options.set_outbound_quantity(outbound)
    }

    pub(crate) fn apply_to_streams(self, config: StreamConfig) -> StreamConfig {
        match self {
            Self::Standard | Self::Test => config,
            Self::Interactive => config
                .with_profile(Profile::Interactive)
                .with_receive_buffer(128 * KIB)
                .with_max_receive_buffer(1024 * KIB),
            Self::Bulk => config
                .with_send_buffer(512 * KIB)
                .with_receive_buffer(2048 * KIB),
            Self::Server => config
                .with_receive_buffer(256 * KIB)
                .with_max_receive_buffer(1024 * KIB),
        }
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Preset {
    type Err = UnknownPreset;

    fn from_str(text: &str) -> Result<Self, UnknownPreset> {
        Self::ALL
            .into_iter()
            .find(|preset| preset.as_str().eq_ignore_ascii_case(text))
            .ok_or(UnknownPreset)
    }
}

/// No preset has this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("presets are standard, interactive, bulk, server and test")]
pub struct UnknownPreset;

const KIB: usize = 1024;
