//! Functions that the fuzz targets call. Each accepts arbitrary bytes, and panics if a property of
//! a parser does not hold or the parser itself panics.

use crate::{
    Address, BlindedAddress, Certificate, Codec, ConfigFile, DecodeError, Destination,
    EncryptionPublicKey, LeaseSet, LeaseSet2, Mapping, PrivateKeys, RouterAddress, RouterIdentity,
    RouterInfo, base32, base64, gzip,
};

/// The function of a fuzz target.
pub type Target = fn(&[u8]);

/// All targets with their names.
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

/// Checks that formatting and parsing an address returns the same address.
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

/// Checks that each value has exactly one text, except for the case of base32.
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

/// Checks that encoding and decoding a configuration file returns the same file.
pub fn config_file(data: &[u8]) {
    if let Ok(file) = ConfigFile::from_bytes(data) {
        let again = ConfigFile::parse(&file.to_string());
        // A key that begins with `;` or with a byte order mark can be parsed after white space, but
        // cannot be written at the start of a line.
        let writable = file
            .iter()
            .all(|(key, value)| ConfigFile::new().set(key, value).is_ok());
        if writable {
            assert_eq!(again, Ok(file));
        }
    }
}

/// Checks that encoding a destination returns the decoded bytes.
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

/// Checks that a body is not longer than the limit, and is the same after framing it again.
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

/// Checks that encoding a key file returns the decoded bytes, that its keys can sign, and that each
/// text form of a key file has the same keys.
pub fn key_file(data: &[u8]) {
    if let Ok(keys) = PrivateKeys::from_file_bytes(data) {
        let lines: Vec<String> = keys
            .to_base64()
            .as_bytes()
            .chunks(64)
            .map(|line| String::from_utf8_lossy(line).into_owned())
            .collect();
        let text = lines.join("\r\n").replace('~', "/").replace('=', "");
        assert_eq!(PrivateKeys::from_file_bytes(text.as_bytes()), Ok(keys));
    }
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

/// Checks that encoding a lease set returns the decoded bytes, and that verifying it does not
/// panic.
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

/// Checks that encoding and decoding a mapping returns the same mapping, with the same length.
pub fn mapping(data: &[u8]) {
    if let Ok(mapping) = Mapping::from_bytes(data) {
        let bytes = mapping.to_bytes();
        assert_eq!(bytes.len(), data.len());
        assert_eq!(Mapping::from_bytes(&bytes), Ok(mapping));
    }
}

/// Checks that encoding a router info or identity returns the decoded bytes, that verifying a
/// router info does not panic, and that encoding and decoding a router address returns the same
/// address.
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
