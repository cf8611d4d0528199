//! Reading of fields from bytes that may be incomplete.

/// Reads fields from the front of some bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// The bytes end before the field does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Incomplete;

impl<'a> Fields<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The number of bytes that were read.
    pub(crate) const fn position(self) -> usize {
        self.at
    }

    /// The bytes that were not read.
    pub(crate) fn rest(self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], Incomplete> {
        let end = self.at.checked_add(count).ok_or(Incomplete)?;
        let field = self.bytes.get(self.at..end).ok_or(Incomplete)?;
        self.at = end;
        Ok(field)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Incomplete> {
        let field = self.take(N)?;
        field.try_into().map_err(|_| Incomplete)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Incomplete> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    pub(crate) fn port(&mut self) -> Result<u16, Incomplete> {
        self.array().map(u16::from_be_bytes)
    }

    /// A field with its length in the first byte.
    pub(crate) fn counted(&mut self) -> Result<&'a [u8], Incomplete> {
        let count = self.byte()?;
        self.take(usize::from(count))
    }

    /// A field that ends with a zero byte, without the zero. `None` if it is longer than `limit`.
    pub(crate) fn terminated(&mut self, limit: usize) -> Result<Option<&'a [u8]>, Incomplete> {
        let rest = self.rest();
        match rest.iter().take(limit + 1).position(|byte| *byte == 0) {
            Some(end) => {
                let field = self.take(end)?;
                self.byte()?;
                Ok(Some(field))
            }
            None if rest.len() > limit => Ok(None),
            None => Err(Incomplete),
        }
    }
}
