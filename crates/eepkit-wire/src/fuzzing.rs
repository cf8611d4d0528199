//! What the fuzz targets run. Each function takes any bytes, and panics where a parser breaks a
//! promise; that a parser must not panic itself goes without saying.

use crate::{
    Address, BlindedAddress, Certificate, Codec, ConfigFile, DecodeError, Destination,
    EncryptionPublicKey, LeaseSet, LeaseSet2, Mapping, PrivateKeys, RouterAddress, RouterIdentity,
    RouterInfo, base32, base64, gzip,
};

/// What a fuzz target does with its input.
pub type Target = fn(&[u8]);

/// Every parser, by the name of its fuzz target.
pub const TARGETS: [(&str, Target); 9] = [
    ("wire_address", address),
    ("wire_base64", base64_text),
    ("wire_config_file", config_file),
    ("wire_destination", destination),
    ("wire_gzip", gzip_frame),
    ("wire_key_file", key_file),
    ("wire_lease_set", lease_set),
    ("wire_mapping", mapping),
    ("wire_router_info", router_info),
];

/// An address that parses is written in a way that parses to it.
pub fn address(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(address) = text.parse::<Address>() {
        assert_eq!(address.to_string().parse(), Ok(address));
    }
    if let Ok(address) = BlindedAddress::from_b33(text) {
        assert_eq!(BlindedAddress::from_b33(&address.to_b33()), Ok(address));
    }
}

/// One value has one text, but for the case of base32.
pub fn base64_text(data: &[u8]) {
    assert_eq!(base64::decode(&base64::encode(data)).as_deref(), Ok(data));
    assert_eq!(base32::decode(&base32::encode(data)).as_deref(), Ok(data));
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(bytes) = base64::decode(text) {
        assert_eq!(base64::encode(&bytes), text);
    }
    if let Ok(bytes) = base32::decode(text) {
        assert_eq!(base32::encode(&bytes), text.to_ascii_lowercase());
    }
}

/// What was read from a file is the same after writing and reading it.
pub fn config_file(data: &[u8]) {
    if let Ok(file) = ConfigFile::from_bytes(data) {
        let again = ConfigFile::parse(&file.to_string());
        // A key that looks like the beginning of a comment or file once it is the first on its
        // line cannot be written; the reader sees it only behind other characters.
        let writable = file
            .iter()
            .all(|(key, value)| ConfigFile::new().set(key, value).is_ok());
        if writable {
            assert_eq!(again, Ok(file));
        }
    }
}

/// A destination keeps its bytes.
pub fn destination(data: &[u8]) {
    keeps_its_bytes::<Certificate>(data);
    keeps_its_bytes::<Destination>(data);
    if let Ok(destination) = Destination::from_bytes(data) {
        assert_eq!(
            Destination::from_base64(&destination.to_base64()),
            Ok(destination)
        );
    }
}

/// A body has no more bytes than the limit, and is the same after framing it again.
pub fn gzip_frame(data: &[u8]) {
    const LIMIT: usize = 10_000;
    if let Ok((header, body)) = gzip::decode(data, LIMIT) {
        assert!(body.len() <= LIMIT);
        for deflate in [false, true] {
            let frame = gzip::encode(header, &body, deflate);
            assert_eq!(gzip::decode(&frame, LIMIT), Ok((header, body.clone())));
        }
    }
}

/// Keys that load can sign, and are written as they were read.
pub fn key_file(data: &[u8]) {
    if let Ok(keys) = PrivateKeys::from_bytes(data) {
        assert_eq!(keys.to_bytes().as_slice(), data);
        let signature = keys.sign(b"message");
        assert_eq!(
            keys.signing_key()
                .public_key()
                .verify(b"message", &signature),
            Ok(())
        );
    }
}

/// Lease sets keep their bytes and can be checked.
pub fn lease_set(data: &[u8]) {
    keeps_its_bytes::<EncryptionPublicKey>(data);
    keeps_its_bytes::<LeaseSet>(data);
    keeps_its_bytes::<LeaseSet2>(data);
    if let Ok(set) = LeaseSet::from_bytes(data) {
        let _ = set.verify();
    }
    if let Ok(set) = LeaseSet2::from_bytes(data) {
        let _ = set.verify(1_700_000_000);
    }
}

/// A mapping is the same after writing and reading it, and written in one way only.
pub fn mapping(data: &[u8]) {
    if let Ok(mapping) = Mapping::from_bytes(data) {
        let bytes = mapping.to_bytes();
        assert_eq!(bytes.len(), data.len());
        assert_eq!(Mapping::from_bytes(&bytes), Ok(mapping));
    }
}

/// Router infos and identities keep their bytes and can be verified; an address is the same after
/// writing and reading it.
pub fn router_info(data: &[u8]) {
    keeps_its_bytes::<RouterIdentity>(data);
    keeps_its_bytes::<RouterInfo>(data);
    if let Ok(info) = RouterInfo::from_bytes(data) {
        let _ = info.verify();
        let _ = (info.network_id(), info.capabilities());
    }
    if let Ok(address) = RouterAddress::from_bytes(data) {
        let _ = (address.host(), address.port(), address.static_key());
        assert_eq!(RouterAddress::from_bytes(&address.to_bytes()), Ok(address));
    }
}

fn keeps_its_bytes<T: Codec>(data: &[u8]) {
    let read: Result<T, DecodeError> = T::from_bytes(data);
    if let Ok(value) = read {
        assert_eq!(value.to_bytes(), data);
    }
}

#[cfg(test)]
mod tests;
