//! Tests of the group chat on the simulated network.

use std::time::Duration;

use eepkit::{Address, Preset, Router, Session, SessionStage, serve, sim::SimNet};
use eepkit_apps::chat::{Event, Member, Room};
use tokio::time::timeout;

async fn session(net: &SimNet, seed: u64) -> Session {
    let builder = Router::new(net.i2cp_router()).session().seed(seed);
    builder.preset(Preset::Test).open().await.expect("opens")
}

/// Reads events until a line with `text`, and returns the lines until then.
async fn hear(member: &mut Member, text: &str) -> Vec<String> {
    let mut heard = Vec::new();
    let hearing = async {
        while let Some(event) = member.event().await {
            if let Event::Line { name, text: line } = event {
                heard.push(format!("{name}: {line}"));
                if line == text {
                    return;
                }
            }
        }
        panic!("the chat ended");
    };
    timeout(Duration::from_secs(600), hearing)
        .await
        .expect("it is heard in time");
    heard
}

#[tokio::test(start_paused = true)]
async fn members_reconnect_after_the_servers_router_restarted_and_miss_nothing() {
    let net = SimNet::builder().delay(Duration::from_millis(200)).start();
    let host = session(&net, 1).await;
    let server = serve(host.listen(0).expect("free"), Room::default()).start();
    let place = Address::new(host.destination());
    let mut alice = Member::join(session(&net, 2).await, place.clone(), "alice");
    let mut bob = Member::join(session(&net, 3).await, place, "bob");
    assert_eq!(alice.event().await, Some(Event::Joined));
    assert_eq!(bob.event().await, Some(Event::Joined));
    // Joined means that the server has accepted the stream. It subscribes the member when the name
    // arrives.
    tokio::time::sleep(Duration::from_secs(2)).await;

    alice.say("hello").await;
    assert_eq!(hear(&mut bob, "hello").await, ["alice: hello"]);
    assert_eq!(hear(&mut alice, "hello").await, ["alice: hello"]);

    for round in 0..3 {
        let watch = host.watch();
        assert!(net.lose_session(host.destination()));
        let lost = watch.reached(SessionStage::Lost, Duration::from_secs(5));
        assert_eq!(lost.await.stage(), SessionStage::Lost);
        // The loss has not been detected yet, so this is written to a stream that has ended.
        let text = format!("still there? {round}");
        alice.say(&text).await;
        assert_eq!(hear(&mut alice, &text).await, [format!("alice: {text}")]);
        // Bob may have reconnected after the line was sent.
        tokio::time::sleep(Duration::from_secs(200)).await;
        let text = format!("yes {round}");
        bob.say(&text).await;
        assert_eq!(hear(&mut alice, &text).await, [format!("bob: {text}")]);
        let heard = hear(&mut bob, &text).await;
        assert_eq!(heard.last(), Some(&format!("bob: {text}")));
    }
    assert!(server.stats().accepted >= 8, "{:?}", server.stats());

    let drained = server.shutdown(Duration::from_secs(10)).await;
    assert_eq!(drained.aborted(), 0);
    while let Some(event) = alice.event().await {
        if matches!(event, Event::Away(_)) {
            return;
        }
    }
    panic!("nobody noticed");
}
