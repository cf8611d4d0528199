pub mod clock;
pub mod link;
