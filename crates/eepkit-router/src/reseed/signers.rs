//! The trusted signers of router lists.

use std::{collections::BTreeMap, time::Duration};

use eepkit_wire::{SignatureType, SigningPublicKey};
use x509_parser::{pem::parse_x509_pem, public_key::PublicKey};

/// The signature type of reseed hosts.
pub(super) const SIGNATURE_TYPE: SignatureType = SignatureType::RSA_SHA512_4096;

/// The signers that Java I2P and i2pd trust too. Their certificates are from i2pd's
/// `contrib/certificates/reseed`, and are public data.
const CERTIFICATES: &[&str] = &[
    include_str!("../../certificates/reseed/acetone_at_mail.i2p.crt"),
    include_str!("../../certificates/reseed/admin_at_stormycloud.org.crt"),
    include_str!("../../certificates/reseed/creativecowpat_at_mail.i2p.crt"),
    include_str!("../../certificates/reseed/echelon3_at_mail.i2p.crt"),
    include_str!("../../certificates/reseed/hankhill19580_at_gmail.com.crt"),
    include_str!("../../certificates/reseed/i2p-reseed_at_mk16.de.crt"),
    include_str!("../../certificates/reseed/igor_at_novg.net.crt"),
    include_str!("../../certificates/reseed/lazygravy_at_mail.i2p.crt"),
    include_str!("../../certificates/reseed/orignal_at_mail.i2p.crt"),
    include_str!("../../certificates/reseed/r4sas-reseed_at_mail.i2p.crt"),
    include_str!("../../certificates/reseed/rambler_at_mail.i2p.crt"),
    include_str!("../../certificates/reseed/reseed_at_diva.exchange.crt"),
];

/// A certificate does not belong to a valid signer of router lists.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not the certificate of a reseed signer: {0}")]
pub struct SignerError(&'static str);

impl SignerError {
    pub(super) const PEM: Self = Self("it is not in PEM form");
}

/// The public keys of signers by name.
#[derive(Debug, Clone, Default)]
pub(super) struct Signers {
    keys: BTreeMap<String, SigningPublicKey>,
}

impl Signers {
    /// Returns the built-in signers whose certificates are valid at `unix_now`.
    pub(super) fn built_in(unix_now: Duration) -> Self {
        let mut signers = Self::default();
        for certificate in CERTIFICATES {
            if let Err(error) = signers.add(certificate, unix_now) {
                tracing::debug!(%error, "a built-in reseed signer is not used");
            }
        }
        signers
    }

    /// Trusts the owner of a certificate in PEM form. The common name is the name of the signer.
    pub(super) fn add(&mut self, pem: &str, unix_now: Duration) -> Result<(), SignerError> {
        let (_, pem) =
            parse_x509_pem(pem.as_bytes()).map_err(|_| SignerError("it is not in PEM form"))?;
        let certificate = pem
            .parse_x509()
            .map_err(|_| SignerError("it is not an X.509 certificate"))?;
        let now = i64::try_from(unix_now.as_secs()).unwrap_or(i64::MAX);
        let validity = certificate.validity();
        if now < validity.not_before.timestamp() || now > validity.not_after.timestamp() {
            return Err(SignerError("it is expired, or not valid yet"));
        }
        let name = certificate
            .subject()
            .iter_common_name()
            .next()
            .and_then(|name| name.as_str().ok())
            .ok_or(SignerError("it has no common name"))?
            .to_owned();
        let Ok(PublicKey::RSA(key)) = certificate.public_key().parsed() else {
            return Err(SignerError("its key is not an RSA key"));
        };
        if key.try_exponent() != Ok(65_537) {
            return Err(SignerError("the exponent of its key is not 65537"));
        }
        // A DER integer has a zero byte before a leading bit of 1.
        let modulus = match key.modulus {
            [0, modulus @ ..] => modulus,
            modulus => modulus,
        };
        let key = SigningPublicKey::new(SIGNATURE_TYPE, modulus)
            .map_err(|_| SignerError("its key has not 4096 bits"))?;
        self.keys.insert(name, key);
        Ok(())
    }

    pub(super) fn key(&self, name: &str) -> Option<&SigningPublicKey> {
        self.keys.get(name)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }
}
