//! Tests of a network of twenty nodes.

use std::time::Duration;

use eepkit::{Destination, Session, sim::SimNet};
use eepkit_apps::gossip::{Node, Rumor};
use tokio::{
    sync::broadcast::{Receiver, error::TryRecvError},
    time::timeout,
};

use crate::{net, session};

const NODES: usize = 20;

async fn network(net: &SimNet) -> (Vec<Session>, Vec<Node>) {
    let mut sessions = Vec::new();
    for _ in 0..NODES {
        sessions.push(session(net).await);
    }
    let destinations: Vec<Destination> = sessions
        .iter()
        .map(|session| session.destination().clone())
        .collect();
    // Each node starts with only three others.
    let nodes = sessions.iter().enumerate().map(|(index, session)| {
        let peers = (1..=3).map(|step| destinations[(index + step * step) % NODES].clone());
        Node::start(session, peers).expect("the port is free")
    });
    let nodes = nodes.collect();
    (sessions, nodes)
}

async fn next(receiver: &mut Receiver<Rumor>) -> String {
    timeout(Duration::from_secs(120), receiver.recv())
        .await
        .expect("the rumor arrives")
        .expect("none is skipped")
        .text
}

#[tokio::test(start_paused = true)]
async fn a_rumor_reaches_every_node_once_although_datagrams_get_lost() {
    let net = net().loss(0.2).seed(11).start();
    let (_sessions, nodes) = network(&net).await;
    let mut receivers: Vec<_> = nodes.iter().map(Node::subscribe).collect();

    for (origin, text) in [(0, "first"), (7, "second"), (19, "third")] {
        nodes[origin].spread(text).await;
        for receiver in &mut receivers {
            assert_eq!(next(receiver).await, text);
        }
    }

    tokio::time::sleep(Duration::from_secs(60)).await;
    for receiver in &mut receivers {
        assert_eq!(receiver.try_recv().unwrap_err(), TryRecvError::Empty);
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_was_offline_gets_the_missed_rumors() {
    let net = net().start();
    let (sessions, nodes) = network(&net).await;
    let mut late = nodes[5].subscribe();
    let mut other = nodes[6].subscribe();
    assert!(net.lose_session(sessions[5].destination()));

    nodes[0].spread("news").await;

    assert_eq!(next(&mut other).await, "news");
    assert_eq!(next(&mut late).await, "news");
}
