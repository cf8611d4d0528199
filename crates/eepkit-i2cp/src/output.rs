//! The bytes that wait to be sent.

/// Appends at one end and sends from the other, without copying where the connection keeps up.
///
/// Its length is bounded by the driver, which passes no more input while too much waits.
#[derive(Debug, Default)]
pub(crate) struct OutputBuffer {
    bytes: Vec<u8>,
    /// Bytes at the start that are sent.
    sent: usize,
}

impl OutputBuffer {
    /// The buffer to append to.
    ///
    /// Drops bytes that are sent once they are at least half of all. A byte is therefore moved only
    /// where another one was sent, and memory use stays within twice what waits.
    pub(crate) fn append(&mut self) -> &mut Vec<u8> {
        if self.sent > self.bytes.len() / 2 {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
        &mut self.bytes
    }

    /// The bytes that wait to be sent, in order.
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
        fn bytes_leave_in_order_and_memory_stays_in_proportion(
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
