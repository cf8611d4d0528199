//! The file `eepkit.toml`: what `eepkit run` does.
//!
//! A table of keys drives reading, the messages about what is wrong, and the file that `eepkit run
//! --print-config` prints.

mod keys;
mod reader;

use std::{net::SocketAddr, path::PathBuf};

use eepkit::SignatureType;

use self::reader::Section;
pub(crate) use self::{keys::documented, reader::ConfigError};
use crate::args::{KeyValue, Place, RouterChoice, Span};

/// What the file says, with the defaults filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    pub(crate) router: RouterConfig,
    /// A bridge each.
    pub(crate) sam: Vec<SamConfig>,
}

/// The router that the services use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RouterConfig {
    pub(crate) router: RouterChoice,
    pub(crate) state_dir: Option<PathBuf>,
    pub(crate) reseed_file: Option<PathBuf>,
    pub(crate) start_timeout: Option<Span>,
}

/// A SAM bridge.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct SamConfig {
    /// None for the default addresses.
    pub(crate) listen: Option<Vec<SocketAddr>>,
    pub(crate) listen_tls: Vec<SocketAddr>,
    pub(crate) listen_unix: Vec<PathBuf>,
    /// None for the default address.
    pub(crate) udp: Option<Vec<SocketAddr>>,
    /// Certificates and private key for `listen_tls`.
    pub(crate) tls: Option<(PathBuf, PathBuf)>,
    /// Certificates to trust where streams are forwarded by TLS.
    pub(crate) trust: Option<PathBuf>,
    pub(crate) users: Option<PathBuf>,
    pub(crate) require_password: bool,
    pub(crate) auth_commands: Option<bool>,
    pub(crate) signature_type: Option<SignatureType>,
    pub(crate) forward_anywhere: bool,
    pub(crate) ping_after: Option<Span>,
    pub(crate) hello_timeout: Option<Span>,
    pub(crate) command_timeout: Option<Span>,
    pub(crate) open_timeout: Option<Span>,
    pub(crate) max_connections: Option<usize>,
    pub(crate) max_sessions: Option<usize>,
    /// Options of sessions that their clients do not set.
    pub(crate) options: Vec<KeyValue>,
    /// Options of sessions whatever their clients set.
    pub(crate) overrides: Vec<KeyValue>,
}

impl Config {
    /// What holds without a file: a router in this process, and a SAM bridge where clients expect
    /// one.
    pub(crate) fn new() -> Self {
        Self {
            router: RouterConfig {
                router: RouterChoice::Embedded,
                state_dir: None,
                reseed_file: None,
                start_timeout: None,
            },
            sam: vec![SamConfig::default()],
        }
    }

    /// Reads the text of a file.
    pub(crate) fn parse(text: &str) -> Result<Self, ConfigError> {
        let file = reader::File::parse(text)?;
        file.check_sections(&keys::SECTIONS, keys::section_of)?;
        let mut config = Self::new();
        for section in file.sections("router", keys::ROUTER)? {
            config.router = router(&section)?;
        }
        let bridges = file.sections("sam", keys::SAM)?;
        if !bridges.is_empty() {
            config.sam = bridges
                .iter()
                .map(sam)
                .collect::<Result<Vec<_>, _>>()?
                .into_iter()
                .flatten()
                .collect();
        }
        Ok(config)
    }
}

fn router(section: &Section<'_>) -> Result<RouterConfig, ConfigError> {
    Ok(RouterConfig {
        router: section.parsed("router")?.unwrap_or(RouterChoice::Embedded),
        state_dir: section.text("state_dir")?.map(PathBuf::from),
        reseed_file: section.text("reseed_file")?.map(PathBuf::from),
        start_timeout: section.parsed("start_timeout")?,
    })
}

/// The bridge of a section; none where it is switched off.
fn sam(section: &Section<'_>) -> Result<Option<SamConfig>, ConfigError> {
    let places = |key| -> Result<Option<Vec<SocketAddr>>, ConfigError> {
        let places: Option<Vec<Place>> = section.list(key)?;
        Ok(places.map(|places| places.into_iter().map(|place| place.0).collect()))
    };
    let listen_tls = places("listen_tls")?.unwrap_or_default();
    let listen_unix: Vec<PathBuf> = section.list("listen_unix")?.unwrap_or_default();
    let listen = places("listen")?;
    let tls = match (section.text("tls_certificate")?, section.text("tls_key")?) {
        (Some(certificate), Some(key)) => Some((certificate.into(), key.into())),
        (None, None) if listen_tls.is_empty() => None,
        _ => {
            return Err(section.error(
                "listen_tls needs both tls_certificate and tls_key, and they need listen_tls",
            ));
        }
    };
    if tls.is_some() && listen_tls.is_empty() {
        return Err(section
            .error("listen_tls needs both tls_certificate and tls_key, and they need listen_tls"));
    }
    let nowhere = listen.as_ref().is_some_and(Vec::is_empty)
        && listen_tls.is_empty()
        && listen_unix.is_empty();
    if nowhere {
        return Err(section.error("a bridge has to listen somewhere, or enabled = false"));
    }
    let config = SamConfig {
        listen,
        listen_tls,
        listen_unix,
        udp: places("udp")?,
        tls,
        trust: section.text("trust")?.map(PathBuf::from),
        users: section.text("users")?.map(PathBuf::from),
        require_password: section.flag("require_password")?.unwrap_or(false),
        auth_commands: section.flag("auth_commands")?,
        signature_type: section.parsed("signature_type")?,
        forward_anywhere: section.flag("forward_anywhere")?.unwrap_or(false),
        ping_after: section.parsed("ping_after")?,
        hello_timeout: section.parsed("hello_timeout")?,
        command_timeout: section.parsed("command_timeout")?,
        open_timeout: section.parsed("open_timeout")?,
        max_connections: section.count("max_connections")?,
        max_sessions: section.count("max_sessions")?,
        options: section.options("options")?,
        overrides: section.options("overrides")?,
    };
    Ok(section.flag("enabled")?.unwrap_or(true).then_some(config))
}

#[cfg(test)]
mod tests;
