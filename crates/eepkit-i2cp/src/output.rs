//! The buffer of encoded bytes that have not been sent yet.

/// A queue of bytes: frames are appended at the end, and the driver sends from the start.
///
/// No byte is copied while the connection sends everything before the next frame is appended. The
/// driver bounds the length: it passes no further input while too many bytes are unsent.
#[derive(Debug, Default)]
pub(crate) struct OutputBuffer {
    bytes: Vec<u8>,
    /// The number of bytes at the start that were sent.
    sent: usize,
}

impl OutputBuffer {
    /// The buffer to append to.
    ///
    /// Removes the sent bytes once they are more than half of the buffer. At most one byte is
    /// therefore moved per byte sent, and the buffer is at most twice as long as its unsent part.
    pub(crate) fn append(&mut self) -> &mut Vec<u8> {
        if self.sent > self.bytes.len() / 2 {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
        &mut self.bytes
    }

    /// The bytes that were not sent yet, in order.
    pub(crate) fn unsent(&self) -> &[u8] {
        self.bytes.get(self.sent..).unwrap_or_default()
    }

    /// Removes `length` bytes that were sent.
    pub(crate) fn consume(&mut self, length: usize) {
        self.sent = self.sent.saturating_add(length);
        if self.sent >= self.bytes.len() {
            self.bytes.clear();
            self.sent = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn bytes_are_sent_in_order_and_memory_is_at_most_twice_the_unsent_bytes(
            steps in prop::collection::vec((0..200usize, 0..200usize), 0..50),
        ) {
            let mut buffer = OutputBuffer::default();
            let (mut appended, mut sent) = (0, 0);
            for (length, taken) in steps {
                let out = buffer.append();
                out.extend((appended..appended + length).map(|number: usize| number as u8));
                appended += length;
                let taken = taken.min(appended - sent);
                let expected = (sent..sent + taken).map(|number| number as u8);
                prop_assert!(buffer.unsent().iter().copied().take(taken).eq(expected));
                buffer.consume(taken);
                sent += taken;
                prop_assert_eq!(buffer.unsent().len(), appended - sent);
                buffer.append();
                prop_assert!(buffer.bytes.len() <= 2 * buffer.unsent().len());
            }
        }
    }
}
