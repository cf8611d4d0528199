//! The output form of destinations.

use eepkit::{Destination, SignatureType};
use serde::Serialize;

use crate::{
    failure::Failure,
    ui::{STRONG, Ui},
};

/// A destination in the JSON output of several commands.
#[derive(Debug, Serialize)]
pub(super) struct Described {
    b32: String,
    base64: String,
    signature_type: Named,
}

/// An algorithm by number and name.
#[derive(Debug, Serialize)]
pub(super) struct Named {
    pub(super) number: u16,
    pub(super) name: String,
}

impl From<&Destination> for Described {
    fn from(destination: &Destination) -> Self {
        Self {
            b32: destination.to_b32(),
            base64: destination.to_base64(),
            signature_type: destination.signature_type().into(),
        }
    }
}

impl From<SignatureType> for Named {
    fn from(signature: SignatureType) -> Self {
        Self {
            number: signature.0,
            name: signature.to_string(),
        }
    }
}

impl Described {
    /// Prints the destination as text. `between` prints lines before the long last line.
    pub(super) fn print(
        &self,
        ui: &Ui,
        between: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        ui.data(format_args!("address      {STRONG}{}{STRONG:#}", self.b32))?;
        let Named { number, name } = &self.signature_type;
        ui.data(format_args!("signatures   {name} (type {number})"))?;
        between()?;
        ui.data(format_args!("destination  {}", self.base64))
    }
}

/// Returns the address and port in the form that other commands accept, without the port if it is
/// 0.
pub(super) fn with_port(destination: &Destination, port: u16) -> String {
    let b32 = destination.to_b32();
    if port == 0 {
        b32
    } else {
        format!("{b32}:{port}")
    }
}
