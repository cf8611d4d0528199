//! Rules of the house that no compiler holds: which crate may use which, and how files look.

mod api;
mod layers;
mod modules;
mod source;
mod tidy;
