//! The state of the first-contact gate of one peer.

/// The stream that opens before its peer was heard of, and those that wait for it; each by slot and
/// generation.
#[derive(Debug, Default)]
pub(crate) struct FirstContact {
    pub(crate) first: Option<(u32, u32)>,
    pub(crate) waiting: Vec<(u32, u32)>,
}
