//! Listeners.

use std::time::Duration;

use eepkit::{AcceptError, ConnectError, ListenError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::lab::{Lab, Link, join, over_both_links, within};

over_both_links!(
    a_port_has_one_listener_at_a_time,
    the_listener_of_a_port_has_precedence_over_that_of_all_ports,
    a_dropped_listener_refuses,
    streams_beyond_the_backlog_are_refused,
    accepting_is_cancel_safe,
    two_tasks_accept_from_one_listener,
    closing_the_session_ends_accepting,
);

async fn a_port_has_one_listener_at_a_time(link: Link) {
    let session = Lab::new(link).session().await;
    let first = session.listen(5).expect("free");
    assert_eq!(session.listen(5).expect_err("taken"), ListenError::InUse(5));
    let _other = session.listen(6).expect("free");
    drop(first);
    let again = session.listen(5).expect("free again");
    assert_eq!(again.port(), 5);
    assert_eq!(
        session.listen_with(7, 0).expect_err("no room"),
        ListenError::Backlog(0)
    );
}

async fn the_listener_of_a_port_has_precedence_over_that_of_all_ports(link: Link) {
    let lab = Lab::new(link);
    let (client, server) = lab.pair().await;
    let all = server.listen(0).expect("free");
    let one = server.listen(80).expect("free");
    for (port, listener) in [(80, &one), (81, &all)] {
        let (_, far) = join(&client, (server.destination(), port), listener).await;
        assert_eq!(far.local_port(), port);
    }
    assert!(one.try_accept().expect("open").is_none());
    assert!(all.try_accept().expect("open").is_none());
}

async fn a_dropped_listener_refuses(link: Link) {
    let lab = Lab::new(link);
    let (client, server) = lab.pair().await;
    drop(server.listen(80).expect("free"));
    let error = within(
        Duration::from_secs(10),
        client.connect((server.destination(), 80)),
    )
    .await
    .expect_err("nobody listens");
    assert!(
        matches!(error, ConnectError::Refused { port: 80 }),
        "{error:?}"
    );
}

async fn streams_beyond_the_backlog_are_refused(link: Link) {
    let lab = Lab::new(link);
    let (client, server) = lab.pair().await;
    let listener = server.listen_with(1, 3).expect("free");
    let connecting = (0..5).map(|_| {
        let (client, to) = (client.clone(), server.destination().clone());
        tokio::spawn(async move { client.connect((to, 1)).await })
    });
    let connecting: Vec<_> = connecting.collect();
    // All five have arrived by then, and none was accepted.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut accepted = Vec::new();
    for _ in 0..3 {
        accepted.push(listener.accept().await.expect("accepts"));
    }
    let mut connected = Vec::new();
    let mut refused = 0;
    for one in connecting {
        match one.await.expect("no panic") {
            Ok(stream) => connected.push(stream),
            Err(ConnectError::Refused { .. }) => refused += 1,
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!((connected.len(), refused), (3, 2));
    // The backlog has room again.
    join(&client, (server.destination(), 1), &listener).await;
}

async fn accepting_is_cancel_safe(link: Link) {
    let lab = Lab::new(link);
    let (client, server) = lab.pair().await;
    let listener = server.listen(1).expect("free");
    let connecting = tokio::spawn({
        let to = server.destination().clone();
        async move {
            let mut streams = Vec::new();
            for number in 0..20_u8 {
                let mut stream = client.connect((&to, 1)).await.expect("connects");
                stream.write_u8(number).await.expect("writes");
                streams.push(stream);
            }
            streams
        }
    });
    let mut seen = Vec::new();
    while seen.len() < 20 {
        // The timeout cancels the call repeatedly.
        let accepted = tokio::time::timeout(Duration::from_millis(7), listener.accept()).await;
        if let Ok(stream) = accepted {
            seen.push(stream.expect("accepts").read_u8().await.expect("reads"));
        }
    }
    assert_eq!(seen, (0..20).collect::<Vec<u8>>());
    connecting.await.expect("connects");
}

async fn two_tasks_accept_from_one_listener(link: Link) {
    let lab = Lab::new(link);
    let (client, server) = lab.pair().await;
    let listener = server.listen(1).expect("free");
    let accept_two = async {
        let (first, second) = tokio::join!(listener.accept(), listener.accept());
        first.expect("accepts");
        second.expect("accepts");
    };
    let connect_two = async {
        for _ in 0..2 {
            client
                .connect((server.destination(), 1))
                .await
                .expect("connects");
        }
    };
    within(Duration::from_secs(10), async {
        tokio::join!(accept_two, connect_two)
    })
    .await;
}

async fn closing_the_session_ends_accepting(link: Link) {
    let session = Lab::new(link).session().await;
    let listener = session.listen(1).expect("free");
    let accepting = tokio::spawn(async move { listener.accept().await.map(drop) });
    tokio::task::yield_now().await;
    within(Duration::from_secs(5), session.close()).await;
    let error = accepting.await.expect("ends").expect_err("closed");
    assert!(matches!(error, AcceptError::Closed), "{error:?}");
    assert_eq!(session.listen(2).expect_err("closed"), ListenError::Closed);
}
