//! Control packets, which are sent at once, regardless of cwnd.

/// Which control packets of a stream must be sent now.
#[derive(Debug, Default)]
pub(super) struct Due {
    /// The first packet: SYN, or the answer to it.
    pub(super) syn: bool,
    /// An acknowledgement.
    pub(super) ack: bool,
    /// Whether the next acknowledgement asks the peer for one.
    pub(super) ack_asks: bool,
    /// A reset.
    pub(super) reset: bool,
    /// A probe: the sequence number of a data packet, new or sent before.
    pub(super) probe: Option<u32>,
}

/// A control packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Control {
    Reset,
    Syn,
    Probe(u32),
    Ack,
}

impl Due {
    pub(super) const fn is_empty(&self) -> bool {
        !(self.syn || self.ack || self.reset || self.probe.is_some())
    }

    /// Removes and returns the next control packet.
    pub(super) fn next(&mut self) -> Option<Control> {
        if std::mem::take(&mut self.reset) {
            return Some(Control::Reset);
        }
        if std::mem::take(&mut self.syn) {
            return Some(Control::Syn);
        }
        if let Some(seq) = self.probe.take() {
            return Some(Control::Probe(seq));
        }
        std::mem::take(&mut self.ack).then_some(Control::Ack)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_packets_are_sent_once_in_order_of_priority() {
        let mut due = Due {
            syn: true,
            ack: true,
            ack_asks: false,
            reset: true,
            probe: Some(7),
        };
        let order: Vec<_> = std::iter::from_fn(|| due.next()).collect();
        let expected = [
            Control::Reset,
            Control::Syn,
            Control::Probe(7),
            Control::Ack,
        ];
        assert_eq!(order, expected);
        assert!(due.is_empty());
    }
}
