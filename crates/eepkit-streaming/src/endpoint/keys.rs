//! Names in the tables of an endpoint. A name is never reused for another entry.

use slotmap::new_key_type;

new_key_type! {
    /// Names a stream of an endpoint.
    pub(crate) struct StreamKey;
    /// Names a peer of an endpoint.
    pub(super) struct PeerKey;
}
