//! The session of a tunnel: its keys, its tunnels through the network, and what it does when idle.

use std::{path::PathBuf, time::Duration};

use eepkit::Preset;

use crate::{
    options::{Access, Flag, Opt, SessionOptions, session_option_problem},
    service::ServiceError,
    shared_sessions::{SessionPlan, check_keys},
};

/// The session of a tunnel.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SessionConfig {
    pub(crate) keys: Option<PathBuf>,
    pub(crate) shared: Option<String>,
    pub(crate) preset: Preset,
    pub(crate) reduce_idle: Option<Duration>,
    pub(crate) reduce_quantity: Option<usize>,
    pub(crate) close_idle: Option<Duration>,
    pub(crate) new_keys: bool,
    pub(crate) delay_open: bool,
    pub(crate) options: SessionOptions,
}

impl SessionConfig {
    /// The defaults: a new destination at each start, which stays open.
    pub(crate) fn new(preset: Preset) -> Self {
        Self {
            keys: None,
            shared: None,
            preset,
            reduce_idle: None,
            reduce_quantity: None,
            close_idle: None,
            new_keys: false,
            delay_open: false,
            options: SessionOptions::new(),
        }
    }

    /// Checks the combination of options.
    ///
    /// # Errors
    ///
    /// A sentence that describes the conflict.
    pub(crate) fn validate(&self) -> Result<(), String> {
        if self.new_keys && self.close_idle.is_none() {
            return Err("new_keys needs close_idle: the keys change while it is closed".to_owned());
        }
        if self.new_keys && self.keys.is_some() {
            return Err("new_keys excludes keys, which keep the destination".to_owned());
        }
        if self.shared.is_some() && self.keys.is_some() {
            return Err(
                "shared excludes keys: tunnels with the same key file share a session anyway"
                    .to_owned(),
            );
        }
        if self.reduce_quantity.is_some() && self.reduce_idle.is_none() {
            return Err("reduce_quantity needs reduce_idle".to_owned());
        }
        for (key, value) in self.idle_options() {
            if let Some(why) = session_option_problem(key, &value) {
                return Err(why);
            }
        }
        Ok(())
    }

    /// Checks that the key file can be used.
    ///
    /// # Errors
    ///
    /// [`ServiceError`] if it exists and cannot be used.
    pub(crate) fn check(&self) -> Result<(), ServiceError> {
        let Some(file) = &self.keys else {
            return Ok(());
        };
        check_keys(file).map_err(|error| ServiceError::Session(error.into()))
    }

    /// How the session is opened. `nickname` is its name in the router's console.
    pub(crate) fn plan(&self, nickname: &str) -> SessionPlan {
        let mut options = SessionOptions::new();
        for (key, value) in self.idle_options() {
            options.push(key, value);
        }
        for (key, value) in self.options.iter() {
            options.push(key, value);
        }
        SessionPlan {
            nickname: nickname.to_owned(),
            keys: self.keys.clone(),
            group: self.shared.clone(),
            preset: self.preset,
            options,
            new_keys: self.new_keys,
        }
    }

    /// The session options that have keys of their own.
    fn idle_options(&self) -> Vec<(&'static str, String)> {
        let mut options = Vec::new();
        if let Some(after) = self.reduce_idle {
            options.push(("i2cp.reduceOnIdle", "true".to_owned()));
            options.push(("i2cp.reduceIdleTime", after.as_millis().to_string()));
        }
        if let Some(tunnels) = self.reduce_quantity {
            options.push(("i2cp.reduceQuantity", tunnels.to_string()));
        }
        if let Some(after) = self.close_idle {
            options.push(("i2cp.closeOnIdle", "true".to_owned()));
            options.push(("i2cp.closeIdleTime", after.as_millis().to_string()));
        }
        if self.delay_open {
            options.push(("i2cp.delayOpen", "true".to_owned()));
        }
        options
    }
}

pub(crate) const fn keys<C>(access: Access<C>) -> Opt<C> {
    Opt::new(
        "keys",
        access,
        "Private key file of the destination; created if it does not exist.\n\
         Default: a new destination at each start. Tunnels with the same file share a session.",
    )
    .example("\"tunnel.dat\"")
    .flag(Flag::new("keys", "FILE").short('K'))
}

pub(crate) const fn shared<C>(access: Access<C>) -> Opt<C> {
    Opt::new(
        "shared",
        access,
        "Name of a group of tunnels that share one session, and so one destination.\n\
         The session options of the tunnel that starts first apply. Default: its own session.",
    )
    .example("\"clients\"")
}

pub(crate) const fn preset<C>(access: Access<C>) -> Opt<C> {
    Opt::new(
        "preset",
        access,
        "Settings for a purpose: standard, interactive, bulk, server or test.\n\
         test gives no anonymity; it is for private networks.",
    )
    .flag(Flag::new("preset", "NAME"))
}

pub(crate) const fn reduce_idle<C>(access: Access<C>) -> Opt<C> {
    Opt::new(
        "reduce_idle",
        access,
        "Time without traffic after which the session keeps fewer tunnels, at least 5m.\n\
         Default: it keeps them.",
    )
    .example("\"20m\"")
}

pub(crate) const fn reduce_quantity<C>(access: Access<C>) -> Opt<C> {
    Opt::new(
        "reduce_quantity",
        access,
        "How many tunnels in each direction an idle session keeps.\n\
         Default: 1.",
    )
    .example("1")
}

pub(crate) const fn close_idle<C>(access: Access<C>) -> Opt<C> {
    Opt::new(
        "close_idle",
        access,
        "Time without traffic after which the session is closed until its next use, at least 5m.\n\
         Default: it stays open.",
    )
    .example("\"30m\"")
}

pub(crate) const fn new_keys<C>(access: Access<C>) -> Opt<C> {
    Opt::new(
        "new_keys",
        access,
        "Whether a session that was closed because it was idle comes back with a new destination.\n\
         Peers cannot link the two. Needs close_idle.",
    )
}

pub(crate) const fn delay_open<C>(access: Access<C>) -> Opt<C> {
    Opt::new(
        "delay_open",
        access,
        "Whether the session is opened by the first connection, which waits for it.",
    )
    .flag(Flag::new("delay-open", ""))
}

pub(crate) const fn options<C>(access: Access<C>) -> Opt<C> {
    Opt::new(
        "options",
        access,
        "I2CP and streaming options of the session.",
    )
    .example("{ \"inbound.length\" = 2, \"outbound.length\" = 2 }")
    .flag(Flag::new("option", "KEY=VALUE").short('o'))
}
