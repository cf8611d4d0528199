//! Tests that run the program.

#[cfg(target_os = "linux")]
mod audit;
mod config;
#[cfg(unix)]
mod control;
mod errors;
mod help;
mod import;
mod keys;
#[cfg(unix)]
mod names;
mod network;
mod run;
#[cfg(unix)]
mod sam;
mod usage;
#[cfg(unix)]
mod users;
