//! Credits of outbound tunnels: how many more messages each of them accepts.

use std::collections::HashMap;

use eepkit_link::{Direction, Event, TunnelId};

/// The credits of a session's outbound tunnels. Empty on a link that exposes no tunnels.
#[derive(Debug, Default)]
pub(crate) struct Credits {
    /// `None` while the link has set no limit. Bounded by the number of tunnels of the link.
    tunnels: HashMap<TunnelId, Option<u32>>,
}

impl Credits {
    /// Handles an event of the link.
    pub(crate) fn on_event(&mut self, event: &Event) {
        match *event {
            Event::TunnelUp {
                tunnel,
                direction: Direction::Outbound,
                ..
            } if tunnel != TunnelId::ANY => {
                self.tunnels.entry(tunnel).or_default();
            }
            Event::TunnelDown { tunnel, .. } => {
                self.tunnels.remove(&tunnel);
            }
            Event::Credit { tunnel, messages } => {
                if let Some(credit) = self.tunnels.get_mut(&tunnel) {
                    *credit = Some(credit.unwrap_or(0).saturating_add(messages));
                }
            }
            _ => {}
        }
    }

    /// Whether the link exposes its tunnels.
    pub(crate) fn expose_tunnels(&self) -> bool {
        !self.tunnels.is_empty()
    }

    /// Whether no tunnel currently accepts a message.
    pub(crate) fn are_exhausted(&self) -> bool {
        !self.tunnels.is_empty() && self.tunnels.values().all(|credit| *credit == Some(0))
    }

    /// Uses one credit of a tunnel; `false` if it has none left.
    pub(crate) fn take(&mut self, tunnel: TunnelId) -> bool {
        let Some(Some(credit)) = self.tunnels.get_mut(&tunnel) else {
            return true;
        };
        let left = credit.checked_sub(1);
        *credit = left.unwrap_or(0);
        left.is_some()
    }
}

#[cfg(test)]
mod tests {
    use eepkit_link::TunnelDownReason;

    use super::*;

    fn up(tunnel: u64) -> Event {
        Event::TunnelUp {
            tunnel: TunnelId(tunnel),
            direction: Direction::Outbound,
            expires: None,
            hops: 1,
            lease: None,
        }
    }

    fn credit(tunnel: u64, messages: u32) -> Event {
        Event::Credit {
            tunnel: TunnelId(tunnel),
            messages,
        }
    }

    #[test]
    fn a_tunnel_without_credits_accepts_no_message_until_it_gets_more() {
        let mut credits = Credits::default();
        for event in [up(1), up(2), credit(1, 2), credit(2, 1)] {
            credits.on_event(&event);
        }
        assert!(credits.take(TunnelId(1)) && credits.take(TunnelId(1)));
        assert!(!credits.take(TunnelId(1)));
        assert!(!credits.are_exhausted(), "the other one has some");
        assert!(credits.take(TunnelId(2)));
        assert!(credits.are_exhausted());
        credits.on_event(&credit(1, 1));
        assert!(!credits.are_exhausted());
        assert!(credits.take(TunnelId(1)));
    }

    #[test]
    fn a_link_without_credits_sets_no_limit() {
        let mut credits = Credits::default();
        assert!(!credits.are_exhausted());
        assert!(credits.take(TunnelId(7)));
        credits.on_event(&up(1));
        assert!(credits.take(TunnelId(1)) && !credits.are_exhausted());
    }

    #[test]
    fn credits_of_a_removed_tunnel_are_not_counted() {
        let mut credits = Credits::default();
        for event in [up(1), up(2), credit(1, 0), credit(2, 1)] {
            credits.on_event(&event);
        }
        credits.on_event(&Event::TunnelDown {
            tunnel: TunnelId(2),
            reason: TunnelDownReason::Expired,
        });
        assert!(credits.are_exhausted());
    }
}
