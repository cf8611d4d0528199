//! Limits on incoming streams, access rules, ports and accept queues.

use std::collections::HashSet;

use eepkit_streaming::{Access, DialError, EndpointConfig, LimitAction, PortError, RateLimits};

use super::*;

fn limited(config: EndpointConfig) -> Pair {
    let mut pair = Pair::with_config(
        LinkConfig::delay(MS(50)),
        EndpointConfig::default(),
        config,
        1,
    );
    pair.b.endpoint.listen(0, 4).unwrap();
    pair
}

fn one_per_minute(limit_action: LimitAction) -> EndpointConfig {
    EndpointConfig::default()
        .with_per_peer(RateLimits::default().with_per_minute(1))
        .with_limit_action(limit_action)
}

fn outcome(pair: &mut Pair, id: StreamId) -> Result<(), CloseReason> {
    let mut result = None;
    pair.run_until(SECONDS(65), |pair| {
        pair.accept();
        if pair.a.saw(&Event::Connected(id)) {
            result = Some(Ok(()));
        }
        let ended = pair.a.events.iter().find_map(|event| match event {
            Event::Closed { id: closed, reason } if *closed == id => Some(*reason),
            _ => None,
        });
        result = result.or_else(|| ended.map(Err));
        result.is_some()
    });
    result.unwrap()
}

#[test]
fn streams_beyond_a_limit_are_reset_and_far_beyond_it_ignored() {
    let mut pair = limited(one_per_minute(LimitAction::Reset));
    let mut outcomes = Vec::new();
    for _ in 0..4 {
        let id = open(&mut pair, &StreamConfig::default());
        outcomes.push(outcome(&mut pair, id));
    }
    assert_eq!(outcomes[0], Ok(()));
    assert_eq!(outcomes[1..3], [Err(CloseReason::Refused); 2]);
    assert_eq!(outcomes[3], Err(CloseReason::ConnectTimeout));
    assert!(pair.b.endpoint.stats().limited >= 3);
    // A minute later, streams are accepted again.
    let id = open(&mut pair, &StreamConfig::default());
    assert_eq!(outcome(&mut pair, id), Ok(()));
}

#[test]
fn streams_beyond_a_limit_can_be_dropped() {
    let mut pair = limited(one_per_minute(LimitAction::Drop));
    let id = open(&mut pair, &StreamConfig::default());
    assert_eq!(outcome(&mut pair, id), Ok(()));
    let config = StreamConfig::default().with_connect_timeout(Some(SECONDS(10)));
    let id = open(&mut pair, &config);
    assert_eq!(outcome(&mut pair, id), Err(CloseReason::ConnectTimeout));
}

#[test]
fn streams_beyond_a_limit_can_get_a_response() {
    for (action, start) in [
        (LimitAction::Http, "HTTP/1.1 429 "),
        (LimitAction::Custom("go away\r\n".into()), "go away\r\n"),
    ] {
        let mut pair = limited(one_per_minute(action));
        let id = open(&mut pair, &StreamConfig::default());
        assert_eq!(outcome(&mut pair, id), Ok(()));
        let id = open(&mut pair, &StreamConfig::default());
        assert_eq!(outcome(&mut pair, id), Ok(()));
        let mut text = Vec::new();
        assert!(pair.run_until(SECONDS(5), |pair| {
            let (bytes, end) = read_all(&mut pair.a, pair.now, id);
            text.extend(bytes);
            end
        }));
        let text = String::from_utf8(text).unwrap();
        assert!(text.starts_with(start), "{text}");
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            assert!(
                head.contains(&format!("Content-Length: {}", body.len())),
                "{text}"
            );
        }
        pair.a.endpoint.release(pair.now, id);
        pair.run(SECONDS(5));
        // Only the accepted stream is left.
        assert_eq!(pair.b.endpoint.stream_count(), 1);
    }
}

#[test]
fn on_port_443_an_http_response_is_a_reset() {
    let mut pair = limited(one_per_minute(LimitAction::Http));
    let id = open(&mut pair, &StreamConfig::default());
    assert_eq!(outcome(&mut pair, id), Ok(()));
    let to = pair.address_b();
    let ports = Ports {
        local: 0,
        remote: 443,
    };
    let id = pair
        .a
        .endpoint
        .connect(pair.now, &to, ports, &StreamConfig::default())
        .unwrap();
    assert_eq!(outcome(&mut pair, id), Err(CloseReason::Refused));
}

#[test]
fn concurrent_streams_are_counted_in_both_directions() {
    let config = EndpointConfig::default().with_max_concurrent_streams(2);
    let mut pair = limited(config);
    let to = pair.address_a();
    let b = pair
        .b
        .endpoint
        .connect(pair.now, &to, Ports::default(), &StreamConfig::default())
        .unwrap();
    let id = open(&mut pair, &StreamConfig::default());
    assert_eq!(outcome(&mut pair, id), Ok(()));
    let late = open(&mut pair, &StreamConfig::default());
    assert_eq!(outcome(&mut pair, late), Err(CloseReason::Refused));
    let error = pair
        .b
        .endpoint
        .connect(pair.now, &to, Ports::default(), &StreamConfig::default());
    assert_eq!(error, Err(DialError::TooManyStreams { limit: 2 }));
    pair.b.endpoint.release(pair.now, b);
    pair.drain();
    let id = open(&mut pair, &StreamConfig::default());
    assert_eq!(outcome(&mut pair, id), Ok(()));
}

#[test]
fn streams_with_one_peer_are_counted_in_both_directions() {
    let config = EndpointConfig::default().with_max_streams_per_peer(1);
    let mut pair = limited(config);
    let to = pair.address_a();
    let id = open(&mut pair, &StreamConfig::default());
    assert_eq!(outcome(&mut pair, id), Ok(()));
    let late = open(&mut pair, &StreamConfig::default());
    assert_eq!(outcome(&mut pair, late), Err(CloseReason::Refused));
    let (now, ports) = (pair.now, Ports::default());
    let endpoint = &mut pair.b.endpoint;
    let error = endpoint.connect(now, &to, ports, &StreamConfig::default());
    assert_eq!(error, Err(DialError::TooManyWithPeer { limit: 1 }));
    let other = keys(9).destination().clone();
    let opened = endpoint.connect(now, &other, ports, &StreamConfig::default());
    assert!(opened.is_ok());
}

#[test]
fn access_rules_hold_before_anything_is_answered() {
    let alice = HashSet::from([keys(1).destination().hash()]);
    let nobody = HashSet::new();
    for (access, blacklist, admitted) in [
        (Access::Only(alice.clone()), nobody.clone(), true),
        (Access::Only(nobody.clone()), nobody.clone(), false),
        (Access::AllBut(alice.clone()), nobody.clone(), false),
        (Access::AllBut(nobody.clone()), nobody, true),
        (Access::Only(alice.clone()), alice, false),
    ] {
        let mut pair = limited(
            EndpointConfig::default()
                .with_access(access)
                .with_blacklist(blacklist),
        );
        open(&mut pair, &StreamConfig::default());
        pair.run(SECONDS(1));
        assert_eq!(pair.accept().is_some(), admitted);
        pair.run(SECONDS(1));
        assert_eq!(pair.sent.1 > 0, admitted);
    }
}

#[test]
fn a_full_queue_refuses_and_an_accepted_stream_makes_room() {
    let mut pair = limited(EndpointConfig::default());
    let ids: Vec<_> = (0..5)
        .map(|_| open(&mut pair, &StreamConfig::default()))
        .collect();
    // The other streams wait for the first one, until its SYN is retransmitted.
    pair.run(SECONDS(4));
    assert!(pair.a.saw(&closed(ids[4], CloseReason::Refused)));
    assert!(pair.accept().is_some());
    let id = open(&mut pair, &StreamConfig::default());
    pair.run(MS(200));
    assert!(!pair.a.saw(&closed(id, CloseReason::Refused)));
}

#[test]
fn ports_have_separate_listeners_and_port_0_all_others() {
    let mut pair = pair();
    pair.b.endpoint.listen(0, 4).unwrap();
    pair.b.endpoint.listen(80, 4).unwrap();
    assert_eq!(pair.b.endpoint.listen(80, 4), Err(PortError::PortTaken(80)));
    let to = pair.address_b();
    for remote in [80, 81] {
        let ports = Ports { local: 5, remote };
        pair.a
            .endpoint
            .connect(pair.now, &to, ports, &StreamConfig::default())
            .unwrap();
    }
    pair.run(SECONDS(4));
    assert_eq!(pair.b.endpoint.accept(pair.now, 80).unwrap().local_port, 80);
    assert_eq!(pair.b.endpoint.accept(pair.now, 0).unwrap().local_port, 81);
    assert!(pair.b.endpoint.accept(pair.now, 80).is_none());
}

#[test]
fn unlistening_refuses_waiting_streams() {
    let mut pair = limited(EndpointConfig::default());
    let id = open(&mut pair, &StreamConfig::default());
    pair.run(MS(60));
    pair.b.endpoint.unlisten(pair.now, 0);
    assert_eq!(outcome(&mut pair, id), Err(CloseReason::Refused));
    let id = open(&mut pair, &StreamConfig::default());
    assert_eq!(outcome(&mut pair, id), Err(CloseReason::Refused));
}
