//! I2P datagrams: single messages between destinations, in the four formats of I2P.
//!
//! | [`Format`] | protocol number | contains the sender | proves the sender | proves the receiver |
//! |---|---|---|---|---|
//! | [`Raw`](Format::Raw) | 18 | no | | |
//! | [`Datagram1`](Format::Datagram1) | 17 | yes | yes | no |
//! | [`Datagram2`](Format::Datagram2) | 19 | yes | yes | yes |
//! | [`Datagram3`](Format::Datagram3) | 20 | by hash | no | no |
//!
//! The formats are those of the datagram specification (API 0.9.66). This crate encodes and decodes
//! them, and makes and verifies their signatures. It has no sockets, clock or queues. The format of
//! a packet cannot be determined from its bytes; the protocol number of its message determines it.
//!
//! Proven senders and claimed senders have different types; see [`Datagram`].
//!
//! ```
//! use eepkit_datagram::{Datagram, Format, Receiver, Sender};
//! # use eepkit_wire::{PrivateKeys, SignatureType};
//! # use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
//! # let mut rng = ChaCha20Rng::seed_from_u64(1);
//! # let (alice, bob) = (
//! #     PrivateKeys::generate(SignatureType::ED25519, &mut rng)?,
//! #     PrivateKeys::generate(SignatureType::ED25519, &mut rng)?,
//! # );
//! let to = bob.destination().hash();
//! let packet = Sender::new(&alice).seal(Format::Datagram2, &to, b"hello")?;
//!
//! let now = 1_700_000_000; // seconds since the epoch
//! match Receiver::new(to).open(Format::Datagram2, &packet, now)? {
//!     Datagram::Authenticated(datagram) => {
//!         assert_eq!(datagram.sender(), alice.destination());
//!         assert_eq!(datagram.payload().as_ref(), b"hello");
//!     }
//!     other => panic!("this format is always authenticated: {other:?}"),
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is not protected
//!
//! No signature covers the ports and the protocol number. The signature of Datagram1 does not cover
//! the receiver, so a receiver can replay a packet to other receivers. The signature of Datagram2
//! covers the receiver, but the same packet can still be delivered to it more than once. An
//! application for which this matters puts a sequence number or a time stamp into the payload.
//! Neither signature covers the unused bytes of the sender's destination: it proves the signing key
//! only. `docs/spec/datagrams.md` has the details.

mod datagram1;
mod datagram2;
mod datagram3;
mod dialect;
mod error;
mod format;
#[cfg(any(test, feature = "_fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod header;
mod length;
mod received;
mod receiver;
mod room;
mod sender;

pub use self::{
    datagram1::Datagram1,
    datagram2::Datagram2,
    datagram3::Datagram3,
    dialect::{Dialect, Dialects},
    error::{SealError, UnsealError},
    format::Format,
    length::{MAX_PACKET_LEN, MAX_RECEIVED_LEN, RECOMMENDED_PACKET_LEN},
    received::{Anonymous, Authenticated, Claimed, ClaimedSender, Datagram},
    receiver::Receiver,
    sender::Sender,
};
