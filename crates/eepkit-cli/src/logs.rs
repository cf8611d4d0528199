//! Log lines on standard error.

use std::{env, io};

use tracing_subscriber::EnvFilter;

use crate::args::Global;

/// Starts logging according to `-v`, `-q` or RUST_LOG.
pub(crate) fn start(global: &Global) {
    let filter = match env::var("RUST_LOG") {
        Ok(filter) if !filter.is_empty() => EnvFilter::builder().parse_lossy(filter),
        _ => EnvFilter::new(directives(global)),
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_target(global.verbose > 1)
        .with_ansi(anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never)
        .init();
}

/// The embedded router logs much more than eepkit, and warns of conditions that are normal on its
/// network. It is therefore logged only from -vv.
fn directives(global: &Global) -> &'static str {
    match (global.quiet, global.verbose) {
        (true, _) => "off",
        (false, 0) => "error,emissary=off",
        (false, 1) => "info,emissary=error",
        (false, 2) => "debug,emissary=info",
        (false, _) => "trace",
    }
}
