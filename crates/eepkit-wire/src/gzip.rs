//! The gzip frame around every message between destinations. It also contains the ports.
//!
//! Each I2CP payload is a gzip member (RFC 1952). The ports and the protocol number replace two
//! fields of the gzip header: the modification time and the operating system. See the I2CP
//! overview, section "Format" of the payload.

use std::borrow::Cow;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use crate::codec::{DecodeError, Reader};

/// The protocol number and the ports of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Header {
    /// I2CP protocol number: 6 streaming, 17 to 20 datagrams, 0 unspecified.
    pub protocol: u8,
    /// Port of the sender; 0 means none.
    pub from_port: u16,
    /// Port of the receiver; 0 means any.
    pub to_port: u16,
}

/// The number of bytes that the frame adds to an uncompressed body of up to 65535 bytes.
pub const OVERHEAD: usize = HEADER_LEN + STORED_HEADER_LEN + TRAILER_LEN;

/// Returns the frame around `body`; see [`encode_into`].
pub fn encode(header: Header, body: &[u8], deflate: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(stored_length(body));
    encode_into(&mut out, header, body, deflate);
    out
}

/// Appends the frame around `body` to `out`.
///
/// If `deflate` is true, the body is compressed unless that makes it longer. Otherwise the body is
/// copied into stored blocks.
pub fn encode_into(out: &mut Vec<u8>, header: Header, body: &[u8], deflate: bool) {
    out.reserve(stored_length(body));
    put_header(out, header);
    if !(deflate && put_deflated(out, body)) {
        put_stored(out, body);
    }
    put_trailer(out, body);
}

/// Removes the frame, and returns its header and the body.
///
/// If the sender did not compress the body, it is a slice of `bytes`. The function checks length
/// and CRC-32, and that no bytes follow the frame.
///
/// # Errors
///
/// [`DecodeError::TooLong`] if the body has more than `limit` bytes; no more than `limit` plus one
/// bytes are inflated. Other errors if the frame is malformed.
pub fn decode(bytes: &[u8], limit: usize) -> Result<(Header, Cow<'_, [u8]>), DecodeError> {
    let mut r = Reader::new(bytes);
    let header = read_header(&mut r)?;
    let deflated = r.rest();
    let (body, used) = match stored(deflated) {
        Some((body, _)) if body.len() > limit => return Err(too_long(limit)),
        Some((body, used)) => (Cow::Borrowed(body), used),
        None => {
            let (body, used) = inflate(deflated, limit)?;
            (Cow::Owned(body), used)
        }
    };
    r.take(used, "gzip body")?;
    let trailer = |r: &mut Reader<'_>| r.array("gzip trailer").map(u32::from_le_bytes);
    let crc = trailer(&mut r)?;
    let length = trailer(&mut r)?;
    r.finish("gzip frame")?;
    if crc != crc32fast::hash(&body) {
        return Err(invalid("the checksum does not match the body"));
    }
    if length != body.len() as u32 {
        return Err(invalid("the length does not match the body"));
    }
    Ok((header, body))
}

/// Decodes the header, and ignores the body.
///
/// # Errors
///
/// If the bytes do not begin with a gzip header.
pub fn peek(bytes: &[u8]) -> Result<Header, DecodeError> {
    read_header(&mut Reader::new(bytes))
}

fn put_header(out: &mut Vec<u8>, header: Header) {
    out.extend_from_slice(&[0x1f, 0x8b, DEFLATE, 0]);
    out.extend_from_slice(&header.from_port.to_be_bytes());
    out.extend_from_slice(&header.to_port.to_be_bytes());
    out.extend_from_slice(&[EXTRA_FLAGS, header.protocol]);
}

fn put_trailer(out: &mut Vec<u8>, body: &[u8]) {
    out.extend_from_slice(&crc32fast::hash(body).to_le_bytes());
    // RFC 1952 defines the length modulo 2^32.
    out.extend_from_slice(&(body.len() as u32).to_le_bytes());
}

/// The length of the frame with an uncompressed body.
fn stored_length(body: &[u8]) -> usize {
    let blocks = body.len().div_ceil(STORED_MAX).max(1);
    HEADER_LEN + blocks * STORED_HEADER_LEN + body.len() + TRAILER_LEN
}

/// Appends the body in stored blocks.
fn put_stored(out: &mut Vec<u8>, body: &[u8]) {
    let mut rest = body;
    loop {
        let (block, after) = rest.split_at(rest.len().min(STORED_MAX));
        let length = block.len() as u16;
        out.push(u8::from(after.is_empty()));
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&(!length).to_le_bytes());
        out.extend_from_slice(block);
        rest = after;
        if rest.is_empty() {
            return;
        }
    }
}

/// Appends the compressed body. If it would not be shorter than a stored one, appends nothing and
/// returns false.
fn put_deflated(out: &mut Vec<u8>, body: &[u8]) -> bool {
    let start = out.len();
    // The compressor stops when its output is full.
    out.resize(start + STORED_HEADER_LEN + body.len(), 0);
    let mut compress = Compress::new(Compression::default(), false);
    let status = compress.compress(body, &mut out[start..], FlushCompress::Finish);
    let is_complete = matches!(status, Ok(Status::StreamEnd));
    // The conversion is lossless, because this is at most the length of the output.
    let used = if is_complete {
        compress.total_out() as usize
    } else {
        0
    };
    out.truncate(start + used);
    is_complete
}

fn read_header(r: &mut Reader<'_>) -> Result<Header, DecodeError> {
    let magic: [u8; 2] = r.array("gzip header")?;
    if magic != [0x1f, 0x8b] {
        return Err(invalid("it does not begin with 1f 8b"));
    }
    if r.u8("gzip header")? != DEFLATE {
        return Err(invalid("the compression method is not deflate"));
    }
    let flags = r.u8("gzip header")?;
    let from_port = r.u16("gzip header")?;
    let to_port = r.u16("gzip header")?;
    r.u8("gzip header")?;
    let protocol = r.u8("gzip header")?;
    skip_optional_fields(r, flags)?;
    Ok(Header {
        protocol,
        from_port,
        to_port,
    })
}

/// Skips optional fields, which no I2P software writes: RFC 1952, section 2.3.
fn skip_optional_fields(r: &mut Reader<'_>, flags: u8) -> Result<(), DecodeError> {
    const TEXT: u8 = 1 << 0;
    const HEADER_CRC: u8 = 1 << 1;
    const EXTRA: u8 = 1 << 2;
    const NAME: u8 = 1 << 3;
    const COMMENT: u8 = 1 << 4;

    if flags & !(TEXT | HEADER_CRC | EXTRA | NAME | COMMENT) != 0 {
        return Err(invalid("reserved flags are set"));
    }
    if flags & EXTRA != 0 {
        let length = r.array("gzip extra field").map(u16::from_le_bytes)?;
        r.take(usize::from(length), "gzip extra field")?;
    }
    for flag in [NAME, COMMENT] {
        if flags & flag != 0 {
            while r.u8("gzip name or comment")? != 0 {}
        }
    }
    if flags & HEADER_CRC != 0 {
        r.u16("gzip header checksum")?;
    }
    Ok(())
}

/// The body of a single stored block and the length of the block. Senders that do not compress
/// write such a block. `None` for anything else.
fn stored(deflated: &[u8]) -> Option<(&[u8], usize)> {
    let (&[first, a, b, c, d], rest) = deflated.split_first_chunk()?;
    let length = u16::from_le_bytes([a, b]);
    // Bit 0 is set in the last block. Bits 1 and 2 are zero in a stored block.
    if first & 0b111 != 1 || u16::from_le_bytes([c, d]) != !length {
        return None;
    }
    let body = rest.get(..usize::from(length))?;
    Some((body, STORED_HEADER_LEN + body.len()))
}

/// The inflated body, and the number of compressed bytes.
fn inflate(deflated: &[u8], limit: usize) -> Result<(Vec<u8>, usize), DecodeError> {
    let mut inflate = Decompress::new(false);
    // The trailer announces the length of the body. It may be wrong, so the allocation is also
    // bounded by the largest possible ratio and by the limit. One byte more than the limit
    // distinguishes a body that is too long from one that just fits.
    let announced = deflated
        .last_chunk()
        .map_or(0, |end| u32::from_le_bytes(*end) as usize);
    let possible = deflated.len().saturating_mul(DEFLATE_MAX_RATIO);
    let most = limit.saturating_add(1);
    let mut body = Vec::with_capacity(announced.saturating_add(1).min(possible).min(most));
    loop {
        let used = inflate.total_in() as usize;
        let before = (used, body.len());
        let status = inflate
            .decompress_vec(&deflated[used..], &mut body, FlushDecompress::None)
            .map_err(|_| invalid("the compressed data is corrupt"))?;
        if body.len() > limit {
            return Err(too_long(limit));
        }
        let used = inflate.total_in() as usize;
        match status {
            Status::StreamEnd => return Ok((body, used)),
            // There is no progress although the output is not full, so the data is truncated.
            _ if before == (used, body.len()) && body.len() < body.capacity() => {
                return Err(DecodeError::MissingData("gzip body"));
            }
            _ if body.len() == body.capacity() => {
                // The capacity doubles, within the bounds. The limit was checked above, so at least
                // one byte is added.
                let room = body.len().max(GROWTH).min(most - body.len());
                body.reserve_exact(room);
            }
            _ => {}
        }
    }
}

fn invalid(why: &'static str) -> DecodeError {
    DecodeError::Invalid {
        what: "gzip frame",
        why,
    }
}

fn too_long(limit: usize) -> DecodeError {
    DecodeError::TooLong {
        what: "inflated payload",
        length: limit.saturating_add(1),
        limit,
    }
}

const HEADER_LEN: usize = 10;
const STORED_HEADER_LEN: usize = 5;
const TRAILER_LEN: usize = 8;

/// The longest stored block, in bytes: RFC 1951, section 3.2.4.
const STORED_MAX: usize = u16::MAX as usize;

/// The only compression method of gzip.
const DEFLATE: u8 = 8;

/// The value that Java I2P and i2pd write into the field for extra flags.
const EXTRA_FLAGS: u8 = 2;

/// The largest compression ratio: Deflate encodes at most 258 bytes in two bits.
const DEFLATE_MAX_RATIO: usize = 1_032;

/// The smallest growth of the output in bytes if the announced length was wrong. Chosen because
/// most messages are shorter.
const GROWTH: usize = 4_096;

#[cfg(test)]
mod tests;
