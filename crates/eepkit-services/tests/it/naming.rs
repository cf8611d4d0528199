//! Look-ups: names, addresses of every kind, options of lease sets.

use std::time::Duration;

use eepkit_wire::{BlindedAddress, Destination, SignatureType};
use tokio::time::sleep;

use crate::lab::Lab;

fn parsed(destination: &str) -> Destination {
    Destination::from_base64(destination).expect("a destination")
}

/// The address of a destination with an encrypted lease set.
fn b33(destination: &str) -> String {
    let key = parsed(destination).signing_key().clone();
    BlindedAddress::new(key, SignatureType::REDDSA)
        .expect("Ed25519 can be blinded")
        .to_b33()
}

#[tokio::test(start_paused = true)]
async fn names_are_looked_up_with_and_without_a_session() {
    let lab = Lab::new().await;
    let (mut a, destination) = lab.session("a", "STYLE=STREAM").await;
    let mut client = lab.client("3.1").await;
    let b32 = parsed(&destination).to_b32();
    let lookup = format!("NAMING LOOKUP NAME={b32}");
    let found = format!("NAMING REPLY RESULT=OK NAME={b32} VALUE={destination}");
    assert_eq!(client.ask(&lookup).await, found);
    assert_eq!(a.ask(&lookup).await, found);
    for client in [&mut client, &mut a] {
        assert_eq!(
            client.ask("NAMING LOOKUP NAME=nobody.i2p").await,
            "NAMING REPLY RESULT=KEY_NOT_FOUND NAME=nobody.i2p \
             MESSAGE=\"'nobody.i2p' is in no address book\""
        );
    }
    drop((a, client));
    // The session for look-ups is closed when it is idle for some time.
    sleep(Duration::from_secs(700)).await;
    lab.empties().await;
}

#[tokio::test(start_paused = true)]
async fn options_of_a_lease_set_are_returned_on_request() {
    let lab = Lab::new().await;
    let (_plain, plain) = lab.session("plain", "STYLE=STREAM").await;
    let (mut with, destination) = lab
        .session(
            "with",
            "STYLE=STREAM i2cp.leaseSetOption.0=\"_smtp._tcp=1 86400 0 0 25 x.b32.i2p\" \
             i2cp.leaseSetOption.1=plain=1",
        )
        .await;
    let options = " OPTION:_smtp._tcp=\"1 86400 0 0 25 x.b32.i2p\" OPTION:plain=1";
    let b32 = parsed(&destination).to_b32();
    let mut outside = lab.client("3.1").await;
    for client in [&mut outside, &mut with] {
        for name in [&destination, &b32] {
            let found = format!("NAMING REPLY RESULT=OK NAME={name} VALUE={destination}");
            assert_eq!(
                client
                    .ask(&format!("NAMING LOOKUP NAME={name} OPTIONS=true"))
                    .await,
                format!("{found}{options}")
            );
            for rest in ["", " OPTIONS=false"] {
                let lookup = format!("NAMING LOOKUP NAME={name}{rest}");
                assert_eq!(client.ask(&lookup).await, found);
            }
        }
        assert_eq!(
            client
                .ask(&format!("NAMING LOOKUP NAME={plain} OPTIONS=true"))
                .await,
            format!("NAMING REPLY RESULT=OK NAME={plain} VALUE={plain}")
        );
    }
    assert_eq!(
        with.ask("NAMING LOOKUP NAME=ME OPTIONS=true").await,
        format!("NAMING REPLY RESULT=OK NAME=ME VALUE={destination}{options}")
    );
}

#[tokio::test(start_paused = true)]
async fn options_of_an_offline_destination_are_not_found() {
    let lab = Lab::new().await;
    let mut client = lab.client("3.3").await;
    let reply = client.ask("DEST GENERATE").await;
    let (public, _) = reply
        .strip_prefix("DEST REPLY PUB=")
        .and_then(|reply| reply.split_once(' '))
        .expect(&reply);
    let reply = client
        .ask(&format!("NAMING LOOKUP NAME={public} OPTIONS=true"))
        .await;
    let expected = format!("NAMING REPLY RESULT=LEASESET_NOT_FOUND NAME={public} MESSAGE=");
    assert!(reply.starts_with(&expected), "{reply}");
    // Without options, a destination needs no look-up.
    assert_eq!(
        client.ask(&format!("NAMING LOOKUP NAME={public}")).await,
        format!("NAMING REPLY RESULT=OK NAME={public} VALUE={public}")
    );
}

#[tokio::test(start_paused = true)]
async fn addresses_of_encrypted_lease_sets_are_reported_as_unsupported() {
    let lab = Lab::new().await;
    let (_a, destination) = lab.session("a", "STYLE=STREAM").await;
    let b33 = b33(&destination);
    let why = "MESSAGE=\"addresses of encrypted lease sets (b33) are not supported\"";
    let mut client = lab.client("3.1").await;
    for rest in ["", " OPTIONS=true"] {
        assert_eq!(
            client.ask(&format!("NAMING LOOKUP NAME={b33}{rest}")).await,
            format!("NAMING REPLY RESULT=KEY_NOT_FOUND NAME={b33} {why}")
        );
    }
    // A malformed address has another result.
    let mistaken = b33.replacen(b33.chars().next().unwrap_or('a'), "b", 1);
    let mistaken = if mistaken == b33 {
        b33.replacen('b', "c", 1)
    } else {
        mistaken
    };
    let reply = client.ask(&format!("NAMING LOOKUP NAME={mistaken}")).await;
    let invalid = format!("NAMING REPLY RESULT=INVALID_KEY NAME={mistaken} MESSAGE=");
    assert!(reply.starts_with(&invalid), "{reply}");
    assert_eq!(
        client
            .ask(&format!("STREAM CONNECT ID=a DESTINATION={b33}"))
            .await,
        format!("STREAM STATUS RESULT=I2P_ERROR {why}")
    );
    assert_eq!(client.rest().await, b"");

    let (mut raw, _) = lab.session("raw", "STYLE=RAW").await;
    let socket = tokio::net::UdpSocket::bind(crate::lab::LOOPBACK)
        .await
        .expect("a port");
    socket
        .send_to(format!("3.0 raw {b33}\nhello").as_bytes(), lab.udp())
        .await
        .expect("sent");
    lab.settles(|stats| stats.datagrams_dropped == 1).await;
    raw.write(format!("RAW SEND DESTINATION={b33} SIZE=5\nhello").as_bytes())
        .await;
    lab.settles(|stats| stats.datagrams_dropped == 2).await;
    assert_eq!(raw.ask("PING").await, "PONG");
}
