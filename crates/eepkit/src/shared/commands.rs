//! Commands for the link, except those that send messages.

use std::collections::VecDeque;

use eepkit_link::Command;

/// Commands that wait for the link. Bounded by [`super::Shared::lookup_permits`], by the number of
/// datagram sockets, and by the commands that the driver adds for events of the link.
#[derive(Debug, Default)]
pub(crate) struct Commands(VecDeque<Command>);

impl Commands {
    pub(crate) fn push(&mut self, command: Command) {
        self.0.push_back(command);
    }

    /// Adds a command before all others.
    pub(crate) fn push_first(&mut self, command: Command) {
        self.0.push_front(command);
    }

    pub(crate) fn pop(&mut self) -> Option<Command> {
        self.0.pop_front()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Requests other numbers of tunnels. Only the newest such command is kept.
    pub(super) fn set_quantity(&mut self, inbound: u8, outbound: u8) {
        self.cancel_quantity();
        self.push(Command::Quantity {
            inbound: inbound.clamp(1, MAX_TUNNELS),
            outbound: outbound.clamp(1, MAX_TUNNELS),
        });
    }

    pub(super) fn cancel_quantity(&mut self) {
        self.0
            .retain(|command| !matches!(command, Command::Quantity { .. }));
    }

    /// Starts or stops incoming streams. Only the newest such command is kept.
    pub(super) fn set_listening(&mut self, listening: bool) {
        self.0
            .retain(|command| !matches!(command, Command::Listen(_)));
        self.push(Command::Listen(listening));
    }
}

/// Most tunnels in each direction (I2CP overview, `inbound.quantity`).
const MAX_TUNNELS: u8 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_newest_quantity_is_sent_and_within_bounds() {
        let mut commands = Commands::default();
        commands.set_quantity(3, 3);
        commands.set_quantity(0, 200);
        let command = commands.pop();
        assert!(matches!(
            command,
            Some(Command::Quantity {
                inbound: 1,
                outbound: 16
            })
        ));
        assert!(commands.is_empty());
    }

    #[test]
    fn only_the_newest_state_of_listening_is_sent() {
        let mut commands = Commands::default();
        commands.set_listening(true);
        commands.set_listening(false);
        assert!(matches!(commands.pop(), Some(Command::Listen(false))));
        assert!(commands.is_empty());
    }
}
