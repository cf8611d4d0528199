//! The client's side of BOB.
//!
//! A [`Client`] is one connection to a bridge: it sends commands and returns their answers. A
//! [`Setup`] is the procedure that brings a tunnel online and waits until it runs, which takes a
//! dozen commands. It finds a tunnel again that an earlier run of the program has started.

mod connection;
mod setup;
#[cfg(test)]
mod tests;

pub use self::{
    connection::{Client, Closed, Output, Reply},
    setup::{Keys, Setup, SetupError, SetupEvent, Wanted},
};
