use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::*;

const HOUR: u64 = 60 * 60;

fn url(of: &str) -> SubscriptionUrl {
    format!("http://{of}.i2p/hosts.txt").parse().unwrap()
}

fn rng() -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(1)
}

fn ok() -> Response {
    Response {
        status: 200,
        ..Response::default()
    }
}

fn subscribed(names: &[&str], now: u64) -> Subscriptions {
    let mut subscriptions = Subscriptions::default();
    for of in names {
        subscriptions.add(url(of), None, now).unwrap();
    }
    subscriptions
}

fn fetch(subscriptions: &mut Subscriptions, now: u64) -> Fetch {
    match subscriptions.poll(now) {
        Some(SubscriptionEvent::Fetch(fetch)) => fetch,
        other => panic!("{other:?}"),
    }
}

fn header<'a>(fetch: &'a Fetch, name: &str) -> Option<&'a str> {
    let mut headers = fetch.headers.iter();
    headers
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value.as_str())
}

#[test]
fn a_new_subscription_is_fetched_soon_and_a_known_one_at_its_time() {
    let mut subscriptions = Subscriptions::default();
    let known = |fetched| {
        Some(SubscriptionState {
            fetched: Some(fetched),
            ..SubscriptionState::default()
        })
    };
    let now = 100 * HOUR;
    for (of, state, due) in [
        ("new", None, now + 15),
        ("recent", known(now - HOUR), now + 11 * HOUR),
        ("late", known(now - 20 * HOUR), now + 180),
        ("future", known(now + 500 * HOUR), now + 180),
    ] {
        subscriptions.add(url(of), state, now).unwrap();
        assert_eq!(subscriptions.status().last().unwrap().next, due, "{of}");
    }
    assert_eq!(subscriptions.next_poll(), Some(now + 15));
    assert_eq!(subscriptions.poll(now + 14), None);
    assert_eq!(fetch(&mut subscriptions, now + 15).url, url("new"));
    assert_eq!(subscriptions.poll(now + 15), None);
    assert!(matches!(
        subscriptions.add(url("new"), None, now),
        Err(SubscribeError::Exists)
    ));
}

#[test]
fn the_next_request_has_the_validators_of_the_list_that_was_merged() {
    let mut subscriptions = subscribed(&["a"], 0);
    let first = fetch(&mut subscriptions, 15);
    assert_eq!(header(&first, "If-None-Match"), None);
    let response = Response {
        etag: Some("\"1\"".to_owned()),
        last_modified: Some("Sun, 06 Nov 1994 08:49:37 GMT".to_owned()),
        content_encoding: Some("gzip".to_owned()),
        content_length: Some(500),
        ..ok()
    };
    let Answer::Download(plan) = subscriptions.respond(first.id, &response, 16) else {
        panic!();
    };
    assert!(plan.is_gzip);
    assert_eq!((plan.length, plan.limit), (Some(500), 32 << 20));
    let (_, state) = subscriptions
        .finish(first.id, Ok("5 added"), 20, &mut rng())
        .unwrap();
    assert_eq!(state.etag.as_deref(), Some("\"1\""));
    assert_eq!((state.fetched, state.failures), (Some(20), 0));
    assert_eq!(state.result, "5 added");
    let due = subscriptions.next_poll().unwrap();
    assert!((20 + 12 * HOUR..=20 + 12 * HOUR * 11 / 10).contains(&due));

    let second = fetch(&mut subscriptions, due);
    assert_eq!(header(&second, "If-None-Match"), Some("\"1\""));
    let time = header(&second, "If-Modified-Since");
    assert_eq!(time, Some("Sun, 06 Nov 1994 08:49:37 GMT"));
    let response = Response {
        status: 304,
        ..Response::default()
    };
    let answer = subscriptions.respond(second.id, &response, due);
    assert_eq!(answer, Answer::NotModified);
    let (_, state) = subscriptions
        .finish(second.id, Ok("not modified"), due, &mut rng())
        .unwrap();
    assert_eq!(state.etag.as_deref(), Some("\"1\""));
    assert_eq!((state.fetched, state.failures), (Some(due), 0));
}

#[test]
fn validators_of_a_download_that_failed_are_not_kept() {
    let mut subscriptions = subscribed(&["a"], 0);
    let first = fetch(&mut subscriptions, 15);
    let response = Response {
        etag: Some("\"1\"".to_owned()),
        ..ok()
    };
    subscriptions.respond(first.id, &response, 16);
    let (_, state) = subscriptions
        .finish(first.id, Err("the connection was cut"), 20, &mut rng())
        .unwrap();
    assert_eq!(state.etag, None);
    assert_eq!((state.fetched, state.failures), (None, 1));
    // Values that cannot be sent in a header are not kept either.
    let due = subscriptions.next_poll().unwrap();
    let again = fetch(&mut subscriptions, due);
    let response = Response {
        etag: Some("\"1\"\r\nHost: x".to_owned()),
        last_modified: Some("x".repeat(5000)),
        ..ok()
    };
    subscriptions.respond(again.id, &response, due);
    let finished = subscriptions.finish(again.id, Ok(""), due, &mut rng());
    let (_, state) = finished.unwrap();
    assert_eq!((state.etag, state.last_modified), (None, None));
}

#[test]
fn failures_are_repeated_ever_more_rarely_until_a_success() {
    let mut subscriptions = subscribed(&["a"], 0);
    let mut now = 15;
    let mut waits = Vec::new();
    for _ in 0..14 {
        let fetch = fetch(&mut subscriptions, now);
        subscriptions.finish(fetch.id, Err("unreachable"), now, &mut rng());
        let due = subscriptions.next_poll().unwrap();
        waits.push(due - now);
        now = due;
    }
    for (number, wait) in waits.iter().enumerate() {
        let expected = (60 << number).min(12 * HOUR);
        assert!(
            (expected..=expected * 11 / 10).contains(wait),
            "{number}: {wait}"
        );
    }
    let status = subscriptions.status().next().unwrap();
    assert_eq!(status.state.failures, 14);
    assert_eq!(status.state.result, "unreachable");
    let success = fetch(&mut subscriptions, now);
    subscriptions.finish(success.id, Ok(""), now, &mut rng());
    let fetch = fetch(&mut subscriptions, now + 14 * HOUR);
    subscriptions.finish(fetch.id, Err("x"), now, &mut rng());
    assert!(subscriptions.next_poll().unwrap() <= now + 66);
}

#[test]
fn one_that_fails_or_hangs_does_not_delay_others() {
    let mut subscriptions = subscribed(&["a", "b", "c", "d"], 0);
    let [a, b, c] = [15, 15, 15].map(|now| fetch(&mut subscriptions, now));
    assert_eq!(subscriptions.poll(15), None);
    assert_eq!(subscriptions.next_poll(), Some(15 + 600));
    subscriptions.finish(a.id, Err("unreachable"), 20, &mut rng());
    let d = fetch(&mut subscriptions, 20);
    assert_eq!(d.url, url("d"));
    subscriptions.finish(d.id, Ok(""), 30, &mut rng());
    // The others hang.
    let aborted = [subscriptions.poll(615), subscriptions.poll(615)];
    assert_eq!(
        aborted,
        [b.id, c.id].map(|id| Some(SubscriptionEvent::Abort(id)))
    );
    assert_eq!(subscriptions.finish(b.id, Ok(""), 616, &mut rng()), None);
    assert!(matches!(
        subscriptions.respond(c.id, &ok(), 616),
        Answer::Failed(_)
    ));
    let again = fetch(&mut subscriptions, 615);
    assert_eq!(again.url, url("a"));
}

#[test]
fn redirects_are_followed_within_i2p() {
    let mut subscriptions = subscribed(&["a"], 0);
    let first = fetch(&mut subscriptions, 15);
    let redirect = |location: &str| Response {
        status: 302,
        location: Some(location.to_owned()),
        ..Response::default()
    };
    let answer = subscriptions.respond(first.id, &redirect("http://b.i2p/x"), 16);
    let Answer::Redirect(second) = answer else {
        panic!("{answer:?}");
    };
    assert_eq!(
        (second.id, second.url.as_str()),
        (first.id, "http://b.i2p/x")
    );
    let answer = subscriptions.respond(first.id, &redirect("http://example.com/x"), 17);
    assert!(matches!(&answer, Answer::Failed(reason) if reason.contains("outside I2P")));
    for _ in 0..2 {
        subscriptions.respond(first.id, &redirect("/y"), 18);
    }
    let answer = subscriptions.respond(first.id, &redirect("/z"), 18);
    assert_eq!(answer, Answer::Failed("too many redirects".to_owned()));
}

#[test]
fn responses_that_cannot_be_used_are_failures() {
    let mut subscriptions = subscribed(&["a"], 0);
    let id = fetch(&mut subscriptions, 15).id;
    for response in [
        Response {
            status: 404,
            ..ok()
        },
        Response {
            status: 206,
            ..ok()
        },
        Response {
            status: 302,
            ..ok()
        },
        Response {
            content_length: Some((32 << 20) + 1),
            ..ok()
        },
        Response {
            content_encoding: Some("br".to_owned()),
            ..ok()
        },
    ] {
        let answer = subscriptions.respond(id, &response, 16);
        assert!(matches!(answer, Answer::Failed(_)), "{response:?}");
    }
}

#[test]
fn a_subscription_is_removed_also_while_it_is_fetched() {
    let mut subscriptions = subscribed(&["a", "b"], 0);
    let a = fetch(&mut subscriptions, 15);
    assert!(subscriptions.remove(&url("a")));
    assert!(subscriptions.remove(&url("b")));
    assert!(!subscriptions.remove(&url("a")));
    assert_eq!(subscriptions.status().count(), 0);
    assert_eq!(subscriptions.next_poll(), Some(0));
    let event = subscriptions.poll(16);
    assert_eq!(event, Some(SubscriptionEvent::Abort(a.id)));
    assert_eq!(subscriptions.next_poll(), None);
}

#[test]
fn intervals_are_at_least_an_hour_and_a_fetch_can_be_forced() {
    let config = SubscriptionConfig::default().with_interval(60);
    assert_eq!(config, SubscriptionConfig::default().with_interval(HOUR));
    let mut subscriptions = Subscriptions::new(config.with_first_delay(5).with_limit(7));
    let state = SubscriptionState {
        fetched: Some(90),
        ..SubscriptionState::default()
    };
    subscriptions.add(url("a"), Some(state), 100).unwrap();
    assert_eq!(subscriptions.next_poll(), Some(90 + HOUR));
    assert!(subscriptions.fetch_now(&url("a"), 101));
    assert!(!subscriptions.fetch_now(&url("b"), 101));
    let id = fetch(&mut subscriptions, 101).id;
    let Answer::Download(plan) = subscriptions.respond(id, &ok(), 102) else {
        panic!();
    };
    assert_eq!(plan.limit, 7);
    for n in 1..Subscriptions::MAX {
        subscriptions.add(url(&format!("n{n}")), None, 0).unwrap();
    }
    let error = subscriptions.add(url("last"), None, 0).unwrap_err();
    assert_eq!(error, SubscribeError::TooMany);
}
