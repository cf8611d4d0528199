//! How a session ends.

use super::*;

#[test]
fn every_end_answers_the_lookups_that_wait() {
    for end in 0..3 {
        let mut bench = Bench::ready("0.9.57");
        bench.command(lookup(1, LookupTarget::Hash(peer().hash())));
        match end {
            0 => bench.input(Input::Eof),
            1 => bench.router(&Message::Disconnect(Text::truncated("shutting down"))),
            _ => bench.command(Command::Close(Handle::PRIMARY)),
        }
        let reason = bench.closed();
        assert_eq!(
            reason,
            match end {
                0 => CloseReason::Eof,
                1 => CloseReason::Disconnected("shutting down".to_owned()),
                _ => CloseReason::Local,
            }
        );
        assert_eq!(bench.answers(), [(1, Err(LookupFailure::Closed))]);
        bench.command(lookup(2, LookupTarget::Hash(peer().hash())));
        assert_eq!(bench.answers(), [(2, Err(LookupFailure::Closed))]);
    }
}

#[test]
fn closing_says_goodbye_and_waits_for_nothing() {
    let mut bench = Bench::ready("0.9.66");
    bench.command(Command::Close(Handle::PRIMARY));
    assert_eq!(bench.sent(), [Message::DestroySession(ID)]);
    assert_eq!(bench.closed(), CloseReason::Local);
    bench.router(&Message::SessionStatus {
        session: ID,
        status: SessionStatus::DESTROYED,
    });
    assert!(bench.events().is_empty());
}

#[test]
fn a_destroyed_session_is_over() {
    let mut bench = Bench::ready("0.9.66");
    bench.router(&Message::SessionStatus {
        session: ID,
        status: SessionStatus::DESTROYED,
    });
    assert_eq!(bench.closed(), CloseReason::Destroyed);
}
