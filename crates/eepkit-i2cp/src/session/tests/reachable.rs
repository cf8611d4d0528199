//! Tests of sessions that peers cannot reach, and of routers that do not answer.

use super::*;

/// A session with a lease set that ends in 600 s, on a router that answers GetDate.
fn ready() -> Bench {
    let mut bench = Bench::ready("0.9.66");
    bench.answers_date = true;
    bench
}

/// Answers a reported request.
fn answer(bench: &mut Bench) {
    bench.command(publish(Handle::PRIMARY));
    bench.pass(LEASE_SET_DELAY);
}

fn wanted(events: &[Event]) -> usize {
    let is_wanted = |event: &&Event| matches!(event, Event::LeaseSetWanted { .. });
    events.iter().filter(is_wanted).count()
}

fn unreachable(events: &[Event]) -> Vec<UnreachableReason> {
    events
        .iter()
        .filter_map(|event| match event {
            Event::Unreachable { reason, .. } => Some(*reason),
            _ => None,
        })
        .collect()
}

#[test]
fn a_request_for_tunnels_that_have_ended_does_not_end_a_session_with_a_valid_lease_set() {
    let mut bench = ready();
    bench.pass(Duration::from_secs(10));
    bench.request(-1);
    assert!(
        matches!(bench.sent().as_slice(), [Message::GetDate(_)]),
        "the clock may have been set"
    );
    bench.tell_date();
    assert_eq!(wanted(&bench.events), 0);
    assert_eq!(unreachable(&bench.events), []);
    bench.pass(Duration::from_secs(60));
    assert!(!bench.session.is_closed());

    bench.request(600);
    assert_eq!(wanted(&bench.events()), 1, "the next request is answered");
}

#[test]
fn a_first_request_for_tunnels_that_have_ended_is_reported_and_the_next_one_answered() {
    let mut bench = Bench::new(&[]);
    bench.greet("0.9.66", BandwidthLimits::default());
    bench.router(&Message::SessionStatus {
        session: ID,
        status: SessionStatus::CREATED,
    });
    bench.events();
    bench.request(-3);
    assert_eq!(
        unreachable(&bench.events()),
        [UnreachableReason::TunnelsEnded { ago_s: 3 }]
    );
    bench.pass(Duration::from_secs(5));
    bench.request(600);
    assert_eq!(wanted(&bench.events()), 1);
    answer(&mut bench);
    assert!(matches!(
        bench.events().as_slice(),
        [Event::LeaseSetSent(_)]
    ));
    bench.answers_date = true;
    bench.pass(Duration::from_secs(300));
    assert!(!bench.session.is_closed());
}

#[test]
fn a_router_that_requests_nothing_better_loses_the_session_after_30_seconds() {
    let mut bench = Bench::new(&[]);
    bench.greet("0.9.66", BandwidthLimits::default());
    bench.router(&Message::SessionStatus {
        session: ID,
        status: SessionStatus::CREATED,
    });
    for _ in 0..30 {
        assert!(!bench.session.is_closed());
        bench.request(-3);
        bench.tell_date();
        bench.pass(Duration::from_secs(1));
    }
    assert_eq!(
        bench.closed(),
        SessionCloseReason::Unreachable(UnreachableReason::TunnelsEnded { ago_s: 3 })
    );
    assert_eq!(bench.sent().last(), Some(&Message::DestroySession(ID)));
}

#[test]
fn a_request_is_answered_after_the_routers_clock_was_set_back() {
    let mut bench = ready();
    bench.pass(Duration::from_secs(100));
    bench.sent();
    bench.clock_set = -3600;
    // On the clock as it was known, these tunnels ended 50 minutes ago.
    bench.request(600);
    assert_eq!(wanted(&bench.events()), 0);
    assert!(matches!(bench.sent().as_slice(), [Message::GetDate(_)]));
    bench.tell_date();
    let router_time = bench.router_time();
    let requested = bench.events().into_iter().any(|event| {
        matches!(event, Event::LeaseSetWanted { router_time: time, .. } if time == router_time)
    });
    assert!(requested);
    answer(&mut bench);
    bench.pass(Duration::from_secs(500));
    assert!(!bench.session.is_closed());
    assert_eq!(unreachable(&bench.events), []);
}

#[test]
fn a_burst_of_requests_is_answered_once_a_second() {
    let mut bench = ready();
    bench.pass(Duration::from_secs(10));
    for _ in 0..1_000 {
        bench.request(600);
    }
    assert_eq!(wanted(&bench.events()), 1);
    bench.request(300);
    bench.pass(Duration::from_secs(1));
    match bench.events().as_slice() {
        [Event::LeaseSetWanted { leases, .. }] => {
            let left = Duration::from_millis(leases[0].end).saturating_sub(bench.router_time());
            assert_eq!(left.as_secs(), 299, "the last request counts");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_session_whose_lease_set_expires_is_reported_and_then_replaced() {
    let mut bench = ready();
    bench.pass(Duration::from_secs(599));
    assert_eq!(unreachable(&bench.events()), []);
    bench.pass(Duration::from_secs(1));
    let expired = UnreachableReason::LeaseSetExpired;
    assert_eq!(unreachable(&bench.events()), [expired]);
    bench.pass(Duration::from_secs(29));
    assert!(!bench.session.is_closed());
    bench.sent();
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.closed(), SessionCloseReason::Unreachable(expired));
    assert_eq!(bench.sent(), [Message::DestroySession(ID)]);
}

#[test]
fn a_late_request_makes_the_session_reachable_again() {
    let mut bench = ready();
    bench.pass(Duration::from_secs(610));
    assert_eq!(unreachable(&bench.events()).len(), 1);
    bench.request(600);
    assert_eq!(wanted(&bench.events()), 1);
    // The lease set of this helper ends at the same time as the first one, but its end is known
    // from the request.
    answer(&mut bench);
    assert!(matches!(
        bench.events().as_slice(),
        [Event::LeaseSetSent(_)]
    ));
    bench.pass(Duration::from_secs(500));
    assert!(!bench.session.is_closed());
}

#[test]
fn the_router_is_asked_for_its_clock_before_a_lease_set_counts_as_expired() {
    let mut bench = ready();
    bench.clock_set = -300;
    bench.answers_date = false;
    // Traffic, so that nothing else asks for the date.
    for _ in 0..60 {
        bench.pass(Duration::from_secs(10));
        if bench
            .sent()
            .iter()
            .any(|sent| matches!(sent, Message::GetDate(_)))
        {
            break;
        }
        bench.router(&Message::SessionStatus {
            session: ID,
            status: SessionStatus::UPDATED,
        });
    }
    assert_eq!(unreachable(&bench.events()), []);
    bench.tell_date();
    bench.answers_date = true;
    bench.pass(Duration::from_secs(290));
    assert_eq!(unreachable(&bench.events()), [], "its clock was set back");
    bench.pass(Duration::from_secs(20));
    assert_eq!(unreachable(&bench.events()).len(), 1);
}

#[test]
fn a_silent_router_is_asked_and_then_given_up() {
    let mut bench = Bench::ready("0.9.66");
    let login = bench.session.core.login.clone();
    bench.pass(Duration::from_secs(60).saturating_sub(LEASE_SET_DELAY));
    match bench.sent().as_slice() {
        [Message::GetDate(asked)] => assert_eq!(asked.login, login),
        other => panic!("{other:?}"),
    }
    bench.pass(Duration::from_secs(29));
    assert!(!bench.session.is_closed());
    bench.pass(Duration::from_secs(1));
    let silent = Duration::from_secs(90);
    assert_eq!(bench.closed(), SessionCloseReason::Silent(silent));
}

#[test]
fn an_answering_router_is_asked_once_a_minute() {
    let mut bench = ready();
    bench.pass(Duration::from_secs(580));
    let asked = bench.sent().len();
    assert_eq!(asked, 9);
    assert!(!bench.session.is_closed());
}

#[test]
fn a_router_is_not_given_up_while_nothing_is_read() {
    let mut bench = Bench::ready("0.9.66");
    for _ in 0..10 {
        bench.pass(Duration::from_secs(40));
        bench.input(Input::NotReading);
    }
    assert!(!bench.session.is_closed());
    assert_eq!(bench.sent(), []);
}

#[test]
fn a_lease_set_that_expires_while_nothing_is_read_does_not_end_the_session() {
    let mut bench = ready();
    for _ in 0..700 {
        bench.pass(Duration::from_secs(1));
        bench.input(Input::NotReading);
    }
    assert_eq!(unreachable(&bench.events()), [], "a request may be unread");
    bench.request(600);
    assert_eq!(wanted(&bench.events()), 1);
    answer(&mut bench);
    bench.pass(Duration::from_secs(300));
    assert!(!bench.session.is_closed());
}

#[test]
fn a_process_that_was_stopped_asks_before_it_gives_up() {
    let mut bench = Bench::ready("0.9.66");
    bench.pass(Duration::from_secs(70));
    assert!(matches!(bench.sent().as_slice(), [Message::GetDate(_)]));
    // Stopped for longer than the router may take to answer.
    bench.now += Duration::from_secs(400);
    bench.input(Input::Timeout);
    assert!(!bench.session.is_closed());
    assert!(matches!(bench.sent().as_slice(), [Message::GetDate(_)]));
    bench.tell_date();
    bench.answers_date = true;
    bench.pass(Duration::from_secs(60));
    assert!(!bench.session.is_closed());
}

#[test]
fn a_session_that_expired_while_the_process_was_stopped_is_replaced_at_once() {
    let mut bench = ready();
    bench.now += Duration::from_secs(690);
    bench.input(Input::Timeout);
    assert!(matches!(bench.sent().as_slice(), [Message::GetDate(_)]));
    bench.tell_date();
    let expired = UnreachableReason::LeaseSetExpired;
    assert_eq!(unreachable(&bench.events), [expired]);
    assert_eq!(bench.closed(), SessionCloseReason::Unreachable(expired));
}

#[test]
fn a_changed_clock_of_the_system_makes_the_machine_read_the_routers() {
    let mut bench = ready();
    bench.input(Input::ClockChanged);
    assert!(matches!(bench.sent().as_slice(), [Message::GetDate(_)]));
    bench.clock_set = 7200;
    bench.tell_date();
    let time = bench.router_time();
    assert!(
        bench
            .events()
            .iter()
            .any(|event| matches!(event, Event::RouterClock(clock) if *clock == time))
    );
}
