//! Datagram sockets, which send and receive single messages.

mod builder;
mod options;
mod received;
mod socket;

pub use builder::DatagramBuilder;
pub use options::DatagramOptions;
pub use received::ReceivedDatagram;
pub use socket::DatagramSocket;
