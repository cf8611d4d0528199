//! I2P datagrams: single messages between destinations, in the four formats that I2P has.
//!
//! | [`Format`] | protocol | says who sent it | proves it | to whom, too |
//! |---|---|---|---|---|
//! | [`Raw`](Format::Raw) | 18 | no | | |
//! | [`Datagram1`](Format::Datagram1) | 17 | yes | yes | no |
//! | [`Datagram2`](Format::Datagram2) | 19 | yes | yes | yes |
//! | [`Datagram3`](Format::Datagram3) | 20 | by hash | no | no |
//!
//! The formats are those of the datagram specification (API 0.9.66). This crate reads and writes
//! them and makes and checks their signatures; it has no sockets, clock or queues. What is in a
//! packet does not tell its format: the protocol number of the message that carried it does.
//!
//! A sender that is proven and one that is only claimed are different types, see [`Datagram`].
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
//!     other => panic!("nothing else comes out of this format: {other:?}"),
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is not protected
//!
//! Ports and protocol number lie outside of every signature. Datagram1 does not name its receiver:
//! whoever gets one can send it on to others, and again. Datagram2 does, but the same packet can
//! come to the same receiver again; where that matters, the payload has to carry a number or a time
//! stamp. Neither signature covers the unused bytes of the sender's destination: what is proven is
//! its signing key. `docs/spec/datagrams.md` has the details.

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
