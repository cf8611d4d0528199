//! Keys in the tables of an endpoint. A key is never reused for another entry.

use slotmap::new_key_type;

new_key_type! {
    /// Identifies a stream of an endpoint.
    pub(crate) struct StreamKey;
    /// Identifies a peer of an endpoint.
    pub(super) struct PeerKey;
}
