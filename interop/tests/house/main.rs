//! Repository rules that no compiler checks: dependencies between crates and modules, and the form
//! of files.

mod api;
mod layers;
mod limits;
mod modules;
mod source;
mod tidy;
