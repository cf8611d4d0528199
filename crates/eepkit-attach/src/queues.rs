//! The queues between a link and the task that owns its connection.

use std::task::{Context, Poll, ready};

use eepkit_link::{Command, Event, LostReason};
use tokio::sync::mpsc;
use tokio_util::sync::PollSender;

/// The side of the link.
pub(super) struct Queues {
    commands: PollSender<Command>,
    /// Whether there is room for the next command.
    reserved: bool,
    events: mpsc::Receiver<Event>,
    ended: bool,
}

/// The side of the task.
pub(super) struct TaskQueues {
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) events: mpsc::Sender<Event>,
}

impl Queues {
    /// Creates both sides.
    pub(super) fn new() -> (Self, TaskQueues) {
        let (command_sender, commands) = mpsc::channel(COMMANDS);
        let (events, event_receiver) = mpsc::channel(EVENTS);
        let queues = Self {
            commands: PollSender::new(command_sender),
            reserved: false,
            events: event_receiver,
            ended: false,
        };
        (queues, TaskQueues { commands, events })
    }

    /// As [`Link::poll_ready`](eepkit_link::Link::poll_ready).
    pub(super) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // Once the task has ended commands are ignored, so there is nothing to wait for.
        self.reserved = ready!(self.commands.poll_reserve(cx)).is_ok();
        Poll::Ready(())
    }

    /// As [`Link::submit`](eepkit_link::Link::submit).
    pub(super) fn submit(&mut self, command: Command) {
        if std::mem::take(&mut self.reserved) {
            // Fails only if the task has ended since, and then the command has no effect.
            let _ = self.commands.send_item(command);
        }
    }

    /// As [`Link::poll_event`](eepkit_link::Link::poll_event).
    pub(super) fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        if self.ended {
            return Poll::Pending;
        }
        let event = ready!(self.events.poll_recv(cx));
        // A task that ends without a last event was dropped with its runtime.
        let event = event.unwrap_or(Event::Lost(LostReason::Stopped));
        self.ended = matches!(event, Event::Lost(_) | Event::Refused(_));
        Poll::Ready(event)
    }

    /// Whether the last event was returned.
    pub(super) const fn has_ended(&self) -> bool {
        self.ended
    }
}

/// Commands queued for the task. Chosen so that the task always has enough to fill the socket; with
/// packets of a stream this is about 100 KB.
const COMMANDS: usize = 64;

/// Events queued for the application. When the queue is full the task stops reading from the
/// router, so at most 4 MB of messages wait here.
const EVENTS: usize = 64;
