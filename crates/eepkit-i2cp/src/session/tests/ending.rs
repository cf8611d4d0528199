//! Tests of the end of a session.

use super::*;

#[test]
fn every_end_of_a_session_fails_the_waiting_lookups() {
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
                0 => SessionCloseReason::Eof,
                1 => SessionCloseReason::Disconnected("shutting down".to_owned()),
                _ => SessionCloseReason::Local,
            }
        );
        assert_eq!(bench.answers(), [(1, Err(LookupFailure::Closed))]);
        bench.command(lookup(2, LookupTarget::Hash(peer().hash())));
        assert_eq!(bench.answers(), [(2, Err(LookupFailure::Closed))]);
    }
}

#[test]
fn closing_sends_destroy_session_and_does_not_wait_for_an_answer() {
    let mut bench = Bench::ready("0.9.66");
    bench.command(Command::Close(Handle::PRIMARY));
    assert_eq!(bench.sent(), [Message::DestroySession(ID)]);
    assert_eq!(bench.closed(), SessionCloseReason::Local);
    bench.router(&Message::SessionStatus {
        session: ID,
        status: SessionStatus::DESTROYED,
    });
    assert!(bench.events().is_empty());
}

#[test]
fn a_session_ends_when_the_router_destroys_it() {
    let mut bench = Bench::ready("0.9.66");
    bench.router(&Message::SessionStatus {
        session: ID,
        status: SessionStatus::DESTROYED,
    });
    assert_eq!(bench.closed(), SessionCloseReason::Destroyed);
}
