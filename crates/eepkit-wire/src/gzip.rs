//! The gzip frame around every message between destinations, which also carries the ports.
//!
//! I2CP wraps each payload in a gzip member (RFC 1952) and puts ports and protocol into header
//! fields that gzip does not need: the time stamp and the operating system. See the I2CP overview,
//! section "Format" of the payload.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use crate::codec::{DecodeError, Reader};

/// What the frame says about its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Header {
    /// I2CP protocol number: 6 streaming, 17 to 20 datagrams, 0 unspecified.
    pub protocol: u8,
    /// Port of the sender; 0 means none.
    pub from_port: u16,
    /// Port of the receiver; 0 means any.
    pub to_port: u16,
}

/// Length of the frame around a body of up to 65535 bytes that is not deflated.
pub const OVERHEAD: usize = HEADER_LEN + STORED_HEADER_LEN + TRAILER_LEN;

/// Frames `body`.
///
/// With `deflate` the body is compressed, unless that makes it longer; without, it is copied into
/// stored blocks, in a single allocation.
pub fn encode(header: Header, body: &[u8], deflate: bool) -> Vec<u8> {
    if deflate && let Some(out) = deflated(header, body) {
        return out;
    }
    let blocks = body.len().div_ceil(STORED_MAX).max(1);
    let length = HEADER_LEN + blocks * STORED_HEADER_LEN + body.len() + TRAILER_LEN;
    let mut out = Vec::with_capacity(length);
    put_header(&mut out, header);
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
            break;
        }
    }
    put_trailer(&mut out, body);
    out
}

/// Takes the frame off, and returns what it said and the body.
///
/// Checks length and CRC-32, and that nothing follows the frame.
///
/// # Errors
///
/// [`DecodeError::TooLong`] when the body has more than `limit` bytes, found without making more
/// than that; otherwise what is wrong with the frame.
pub fn decode(bytes: &[u8], limit: usize) -> Result<(Header, Vec<u8>), DecodeError> {
    let mut r = Reader::new(bytes);
    let header = read_header(&mut r)?;
    let deflated = r.rest();
    let (body, used) = match stored(deflated) {
        Some((body, _)) if body.len() > limit => return Err(too_long(limit)),
        Some((body, used)) => (body.to_vec(), used),
        None => inflate(deflated, limit)?,
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

/// Reads the header only, without looking at the body.
///
/// # Errors
///
/// The bytes do not begin with a gzip header.
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
    // Modulo 2^32, as RFC 1952 has it.
    out.extend_from_slice(&(body.len() as u32).to_le_bytes());
}

/// The frame with a compressed body; none when that would not be shorter than a stored one.
fn deflated(header: Header, body: &[u8]) -> Option<Vec<u8>> {
    let capacity = HEADER_LEN + STORED_HEADER_LEN + body.len();
    let mut out = Vec::with_capacity(capacity + TRAILER_LEN);
    put_header(&mut out, header);
    // The compressor writes until its output is full.
    let mut room = vec![0; capacity - HEADER_LEN];
    let mut compress = Compress::new(Compression::default(), false);
    let status = compress.compress(body, &mut room, FlushCompress::Finish);
    if !matches!(status, Ok(Status::StreamEnd)) {
        return None;
    }
    let used = usize::try_from(compress.total_out()).ok()?;
    out.extend_from_slice(room.get(..used)?);
    put_trailer(&mut out, body);
    Some(out)
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

/// Fields that gzip allows and no I2P software writes: RFC 1952, section 2.3.
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

/// The body and length of a single stored block, as senders that do not compress write it; none
/// for anything else.
fn stored(deflated: &[u8]) -> Option<(&[u8], usize)> {
    let (&[first, a, b, c, d], rest) = deflated.split_first_chunk()?;
    let length = u16::from_le_bytes([a, b]);
    // Bit 0 is set in the last block, bits 1 and 2 are zero in a stored one.
    if first & 0b111 != 1 || u16::from_le_bytes([c, d]) != !length {
        return None;
    }
    let body = rest.get(..usize::from(length))?;
    Some((body, STORED_HEADER_LEN + body.len()))
}

/// The inflated body, and how many bytes it took.
fn inflate(deflated: &[u8], limit: usize) -> Result<(Vec<u8>, usize), DecodeError> {
    let mut inflate = Decompress::new(false);
    // The frame ends with the length of the body. That may be a lie, so it is only believed as
    // far as deflate can go, and to the limit. One byte more than the limit tells the bomb from
    // the body that just fits.
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
            // Stuck although there is room: the data ends too early.
            _ if before == (used, body.len()) && body.len() < body.capacity() => {
                return Err(DecodeError::MissingData("gzip body"));
            }
            _ if body.len() == body.capacity() => {
                // Doubles, within the bounds; there is room for one byte at least.
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

/// Longest stored block in bytes: RFC 1951, section 3.2.4.
const STORED_MAX: usize = u16::MAX as usize;

/// The only compression method of gzip.
const DEFLATE: u8 = 8;

/// What Java I2P and i2pd write in the field for extra flags.
const EXTRA_FLAGS: u8 = 2;

/// Deflate makes at most 258 bytes of two bits.
const DEFLATE_MAX_RATIO: usize = 1_032;

/// How much the output grows at least, in bytes, when the announced length was a lie. Chosen
/// because most messages are shorter.
const GROWTH: usize = 4_096;

#[cfg(test)]
mod tests;
