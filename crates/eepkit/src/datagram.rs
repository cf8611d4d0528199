//! Datagram sockets: single messages to and from peers, beside the streams of a session.

mod builder;
mod options;
mod received;
mod socket;

pub use builder::DatagramBuilder;
pub use options::DatagramOptions;
pub use received::ReceivedDatagram;
pub use socket::DatagramSocket;
