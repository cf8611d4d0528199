//! What the HTTP proxy and the tunnels for web servers have in common.

pub(crate) mod body;
pub(crate) mod message;
pub(crate) mod resettable;
