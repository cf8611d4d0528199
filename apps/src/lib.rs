//! Small applications over the public interface of `eepkit`, each with a test on the simulated
//! network.
//!
//! * [`chat`]: a group chat whose members come back after the server's router has restarted.

pub mod chat;
