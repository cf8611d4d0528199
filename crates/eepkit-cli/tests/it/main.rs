//! Runs the program as its users do.

mod help;
mod keys;
#[cfg(unix)]
mod network;
mod run;
mod usage;
