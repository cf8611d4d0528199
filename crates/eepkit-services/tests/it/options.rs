//! Options of sessions: which are passed on, which are refused, and their effects.

use std::time::Duration;

use tokio::time::Instant;

use crate::lab::Lab;

#[tokio::test(start_paused = true)]
async fn invalid_options_are_reported_and_unknown_ones_are_passed_on() {
    let lab = Lab::new().await;
    let mut client = lab.client("3.1").await;
    let reply = client
        .ask("SESSION CREATE STYLE=STREAM ID=x DESTINATION=TRANSIENT inbound.length=9")
        .await;
    assert_eq!(
        reply,
        "SESSION STATUS RESULT=I2P_ERROR MESSAGE=\"session option inbound.length: option \
         inbound.length cannot be '9': allowed is 0 to 7\""
    );
    let reply = client
        .ask(
            "SESSION CREATE STYLE=STREAM ID=x DESTINATION=TRANSIENT inbound.length=0 \
             outbound.length=0 inbound.lengthVariance=-1 outbound.backupQuantity=1 \
             i2cp.leaseSetEncType=6,4,0 i2p.streaming.somethingNew=1 i2cp.fastReceive=true \
             i2cp.tcp.host=192.0.2.1 shouldBundleReplyInfo=false some.thing=else",
        )
        .await;
    assert!(reply.starts_with("SESSION STATUS RESULT=OK "), "{reply}");
}

#[tokio::test(start_paused = true)]
async fn every_tunnel_option_of_libtorrent_is_accepted() {
    let lab = Lab::new().await;
    for (length, quantity, variance) in [(0, 1, -7), (7, 16, 7), (3, 3, 0)] {
        let rest = format!(
            "STYLE=STREAM inbound.length={length} outbound.length={length} \
             inbound.quantity={quantity} outbound.quantity={quantity} \
             inbound.lengthVariance={variance} outbound.lengthVariance={variance}"
        );
        let (mut session, _) = lab.session("x", &rest).await;
        session.say("QUIT").await;
        session.rest().await;
    }
    lab.empties().await;
}

#[tokio::test(start_paused = true)]
async fn incompatible_encryption_types_are_reported_immediately() {
    let lab = Lab::new().await;
    // The rest of a list that contains types newer than the router.
    let offers = [
        ("0", "0"),
        ("4", "4"),
        ("4,0", "40"),
        ("6,4", "4"),
        ("6,4,0", "40"),
    ];
    let mut sessions = Vec::new();
    for (number, (offer, known)) in offers.iter().enumerate() {
        let rest = format!("STYLE=STREAM i2cp.leaseSetEncType={offer}");
        let (control, destination) = lab.session(&number.to_string(), &rest).await;
        sessions.push((control, destination, *known));
    }
    for (from, (_, _, ours)) in sessions.iter().enumerate() {
        for (to, (_, destination, theirs)) in sessions.iter().enumerate() {
            let mut accepting = lab.client("3.1").await;
            accepting.ask(&format!("STREAM ACCEPT ID={to}")).await;
            let mut connecting = lab.client("3.1").await;
            let began = Instant::now();
            let reply = connecting
                .ask(&format!(
                    "STREAM CONNECT ID={from} DESTINATION={destination}"
                ))
                .await;
            if ours.contains(|kind| theirs.contains(kind)) {
                assert_eq!(reply, "STREAM STATUS RESULT=OK", "{ours} to {theirs}");
                accepting.line().await;
                connecting.write(b"x").await;
                assert_eq!(accepting.exactly(1).await, b"x");
            } else {
                assert_eq!(
                    reply,
                    "STREAM STATUS RESULT=CANT_REACH_PEER \
                     MESSAGE=\"Unsupported encryption options\"",
                    "{ours} to {theirs}"
                );
                let took = began.elapsed();
                assert!(took < Duration::from_secs(2), "{took:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_subsession_opens_streams_with_its_own_options() {
    let lab = Lab::new().await;
    let (mut primary, _) = lab.session("p", "STYLE=PRIMARY").await;
    assert_eq!(
        primary
            .ask("SESSION ADD STYLE=STREAM ID=bad i2p.streaming.maxResends=many")
            .await,
        "SESSION STATUS RESULT=I2P_ERROR MESSAGE=\"session option i2p.streaming.maxResends: \
         `many` is not a whole number\""
    );
    for add in [
        "ID=hasty FROM_PORT=1 i2p.streaming.connectTimeout=5000",
        "ID=patient FROM_PORT=2",
    ] {
        let reply = primary
            .ask(&format!("SESSION ADD STYLE=STREAM {add}"))
            .await;
        assert!(reply.starts_with("SESSION STATUS RESULT=OK ID="), "{reply}");
    }
    // An online session that does not accept streams in this time.
    let (_mute, destination) = lab.session("mute", "STYLE=STREAM").await;
    let mut took = Vec::new();
    for id in ["hasty", "patient"] {
        let mut connecting = lab.client("3.1").await;
        let began = Instant::now();
        let connect = format!("STREAM CONNECT ID={id} DESTINATION={destination}");
        let reply = connecting.ask(&connect).await;
        assert!(reply.starts_with("STREAM STATUS RESULT="), "{reply}");
        took.push(began.elapsed());
    }
    assert!(took[0] < Duration::from_secs(6), "{took:?}");
    assert!(took[1] > Duration::from_secs(25), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn the_connect_timeout_of_a_session_is_applied() {
    let lab = Lab::new().await;
    let (_mute, destination) = lab.session("mute", "STYLE=STREAM").await;
    let hasty = "STYLE=STREAM i2p.streaming.connectTimeout=5000";
    let (_hasty, _) = lab.session("hasty", hasty).await;
    let mut connecting = lab.client("3.1").await;
    let began = Instant::now();
    assert_eq!(
        connecting
            .ask(&format!(
                "STREAM CONNECT ID=hasty DESTINATION={destination}"
            ))
            .await,
        "STREAM STATUS RESULT=TIMEOUT MESSAGE=\"the destination did not answer within 5s (the session was ready for 5s)\""
    );
    assert!(began.elapsed() < Duration::from_secs(6));
}
