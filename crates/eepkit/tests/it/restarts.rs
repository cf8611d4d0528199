//! Peers that lose their router and come back.
//!
//! A restored session has other tunnels and none of the keys of its encryption sessions. Its peers
//! still have the old lease set and the old encryption session.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use eepkit::{
    ConnectOptions, Destination, Listener, PrivateKeys, Session, SessionStage, SignatureType,
    sim::SimNet,
};
use eepkit_i2cp::ApiVersion;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng as _};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    runtime::Handle,
    task::AbortHandle,
    time::{Instant, sleep, timeout},
};

use crate::lab::{Lab, Link, over_both_links, within};

over_both_links!(
    a_standing_session_reaches_a_server_that_came_back,
    a_session_that_came_back_reaches_a_server_that_knew_it,
    a_session_that_came_back_reaches_a_server_that_was_sending_to_it,
    a_server_whose_own_message_was_lost_is_reached_within_a_minute,
    a_connection_attempt_from_before_the_restart_succeeds_after_it,
    a_connection_attempt_continues_when_its_session_is_opened_anew,
    a_stream_that_only_ends_does_not_prevent_that_its_session_is_opened_anew,
    a_stream_to_a_silent_peer_is_not_sacrificed,
    a_server_whose_new_lease_set_appears_late_is_reached,
    a_restart_of_one_peer_does_not_disturb_the_streams_to_another,
    a_server_is_reachable_after_each_of_a_hundred_restarts_under_load,
);

/// How long a session may take to reach a peer that is ready again. Over I2CP the router has no
/// operation that renews a peer.
const fn limit(link: Link) -> Duration {
    match link {
        Link::Direct => Duration::from_secs(10),
        Link::I2cp => Duration::from_secs(60),
    }
}

/// How long one attempt to reach a peer may take. A stream that was accepted before a restart may
/// never get an answer.
const ATTEMPT: Duration = Duration::from_secs(35);

/// Echoes bytes on each stream, until the returned task is aborted.
fn echo(listener: Listener) -> AbortHandle {
    let serving = async move {
        while let Ok(mut stream) = listener.accept().await {
            tokio::spawn(async move {
                while let Ok(byte) = stream.read_u8().await {
                    if stream.write_u8(byte).await.is_err() {
                        return;
                    }
                }
            });
        }
    };
    tokio::spawn(serving).abort_handle()
}

/// Opens a stream to `to` and exchanges a byte, once.
async fn exchange(from: &Session, to: &Destination) -> Result<(), Box<dyn std::error::Error>> {
    let options = ConnectOptions::new().timeout(Duration::from_secs(60));
    let mut stream = from.connect_with((to, 1), &options).await?;
    stream.write_u8(7).await?;
    assert_eq!(stream.read_u8().await?, 7);
    Ok(())
}

/// Retries [`exchange`] until it succeeds. Returns how long it took.
async fn reach(from: &Session, to: &Destination) -> Duration {
    let began = Instant::now();
    let trying = async {
        while !matches!(timeout(ATTEMPT, exchange(from, to)).await, Ok(Ok(()))) {
            sleep(Duration::from_millis(100)).await;
        }
    };
    within(Duration::from_secs(120), trying).await;
    began.elapsed()
}

/// Breaks the link of a session, and waits until the session is ready again.
async fn restart(net: &SimNet, session: &Session) {
    let watch = session.watch();
    assert!(net.lose_session(session.destination()));
    watch
        .reached(SessionStage::Lost, Duration::from_secs(10))
        .await;
    watch
        .ready(Duration::from_secs(60))
        .await
        .expect("comes back");
}

async fn a_standing_session_reaches_a_server_that_came_back(link: Link) {
    let lab = Lab::new(link);
    let (client, server) = lab.pair().await;
    echo(server.listen(1).expect("free"));
    for _ in 0..5 {
        reach(&client, server.destination()).await;
        restart(&lab.net, &server).await;
        let took = reach(&client, server.destination()).await;
        assert!(took < limit(link), "{took:?}");
    }
}

async fn a_session_that_came_back_reaches_a_server_that_knew_it(link: Link) {
    let lab = Lab::new(link);
    let (client, server) = lab.pair().await;
    echo(server.listen(1).expect("free"));
    for _ in 0..5 {
        reach(&client, server.destination()).await;
        restart(&lab.net, &client).await;
        let took = reach(&client, server.destination()).await;
        assert!(took < limit(link), "{took:?}");
    }
}

async fn a_session_that_came_back_reaches_a_server_that_was_sending_to_it(link: Link) {
    let lab = Lab::new(link);
    let (client, server) = lab.pair().await;
    echo(server.listen(1).expect("free"));
    for _ in 0..3 {
        let mut streams = Vec::new();
        for _ in 0..30 {
            let to = (server.destination(), 1);
            streams.push(client.connect(to).await.expect("connects"));
        }
        for stream in &mut streams {
            stream.write_u8(7).await.expect("writes");
            stream.flush().await.expect("flushes");
        }
        // The server has answered, and nothing acknowledges that.
        sleep(Duration::from_millis(80)).await;
        restart(&lab.net, &client).await;
        let took = reach(&client, server.destination()).await;
        assert!(took < limit(link), "{took:?}");
    }
}

async fn a_server_whose_own_message_was_lost_is_reached_within_a_minute(link: Link) {
    let lab = Lab::new(link);
    let (client, server) = lab.pair().await;
    echo(server.listen(1).expect("free"));
    reach(&client, server.destination()).await;

    lab.net
        .partition(client.destination(), server.destination());
    restart(&lab.net, &server).await;
    sleep(Duration::from_secs(1)).await;
    lab.net.heal(client.destination(), server.destination());

    let took = reach(&client, server.destination()).await;
    assert!(took < limit(link), "{took:?}");
}

async fn a_connection_attempt_from_before_the_restart_succeeds_after_it(link: Link) {
    let lab = Lab::new(link);
    let (client, server) = lab.pair().await;
    echo(server.listen(1).expect("free"));
    reach(&client, server.destination()).await;

    lab.net.cut_off(server.destination());
    let to = server.destination().clone();
    let attempt =
        tokio::spawn(async move { exchange(&client, &to).await.map_err(|e| e.to_string()) });
    sleep(Duration::from_secs(20)).await;
    lab.net.reconnect(server.destination());
    restart(&lab.net, &server).await;

    let attempt = within(limit(link), attempt).await.expect("does not panic");
    assert_eq!(attempt, Ok(()));
}

async fn a_connection_attempt_continues_when_its_session_is_opened_anew(link: Link) {
    let lab = Lab::new(link);
    let (client, server) = lab.pair().await;
    echo(server.listen(1).expect("free"));
    let client = Arc::new(client);
    for _ in 0..2 {
        reach(&client, server.destination()).await;
        sleep(Duration::from_secs(60)).await;

        lab.net.cut_off(server.destination());
        let (watch, to) = (client.watch(), server.destination().clone());
        let connecting = Arc::clone(&client);
        let attempt = tokio::spawn(async move {
            let exchanged = exchange(&connecting, &to).await;
            exchanged.map_err(|error| error.to_string())
        });
        if link == Link::I2cp {
            let lost = watch.reached(SessionStage::Lost, Duration::from_secs(40));
            assert_eq!(lost.await.stage(), SessionStage::Lost);
        } else {
            sleep(Duration::from_secs(30)).await;
        }
        lab.net.reconnect(server.destination());

        let attempt = within(limit(link), attempt).await.expect("does not panic");
        assert_eq!(attempt, Ok(()));
    }
}

async fn a_stream_that_only_ends_does_not_prevent_that_its_session_is_opened_anew(link: Link) {
    let lab = Lab::new(link);
    let (client, server) = lab.pair().await;
    echo(server.listen(1).expect("free"));
    let to = server.destination();
    let mut stream = client.connect((to, 1)).await.expect("connects");
    stream.write_u8(1).await.expect("writes");
    assert_eq!(stream.read_u8().await.expect("reads"), 1);

    lab.net.cut_off(to);
    drop(stream);
    let watch = client.watch();
    let reconnecting = async {
        if link == Link::I2cp {
            let lost = watch.reached(SessionStage::Lost, Duration::from_secs(40));
            assert_eq!(lost.await.stage(), SessionStage::Lost);
        } else {
            sleep(Duration::from_secs(30)).await;
        }
        lab.net.reconnect(to);
    };
    let attempt = exchange(&client, to);
    let (attempt, ()) = tokio::join!(attempt, reconnecting);
    assert_eq!(attempt.map_err(|error| error.to_string()), Ok(()));
}

async fn a_server_whose_new_lease_set_appears_late_is_reached(link: Link) {
    let appears = Duration::from_secs(40);
    let builder = SimNet::builder().delay(Duration::from_millis(50));
    // The router cannot be asked for a newer lease set.
    let builder = builder.i2cp_version(ApiVersion::new(0, 9, 64));
    let lab = Lab::of(link, builder.publish_time(appears));
    let keys = PrivateKeys::generate(SignatureType::ED25519, &mut ChaCha8Rng::from_seed([9; 32]))
        .expect("supported");
    let open = || lab.builder().keys(keys.clone()).open();
    let server = open().await.expect("opens");
    let client = lab.session().await;
    echo(server.listen(1).expect("free"));
    reach(&client, server.destination()).await;

    // A new process does not know that the client exists.
    server.close().await;
    let server = open().await.expect("opens");
    echo(server.listen(1).expect("free"));
    let took = reach(&client, server.destination()).await;

    assert!(took < Duration::from_secs(100), "{took:?}");
}

async fn a_stream_to_a_silent_peer_is_not_sacrificed(link: Link) {
    let lab = Lab::new(link);
    let (client, server) = lab.pair().await;
    echo(server.listen(1).expect("free"));
    let mut stream = client
        .connect((server.destination(), 1))
        .await
        .expect("connects");
    lab.net.cut_off(server.destination());
    stream.write_u8(1).await.expect("writes");
    let attempt = exchange(&client, server.destination());
    let reconnecting = async {
        sleep(Duration::from_secs(30)).await;
        lab.net.reconnect(server.destination());
    };
    let (attempt, ()) = tokio::join!(attempt, reconnecting);
    assert_eq!(attempt.map_err(|error| error.to_string()), Ok(()));
    let answer = within(Duration::from_secs(60), stream.read_u8()).await;
    assert_eq!(answer.expect("the stream lives"), 1);
}

async fn a_restart_of_one_peer_does_not_disturb_the_streams_to_another(link: Link) {
    let lab = Lab::new(link);
    let (client, server) = lab.pair().await;
    let other = lab.session().await;
    for session in [&server, &other] {
        echo(session.listen(1).expect("free"));
    }
    reach(&client, server.destination()).await;
    let mut standing = client
        .connect((other.destination(), 1))
        .await
        .expect("connects");
    let mut round_trips = Vec::new();
    let disturbing = async {
        restart(&lab.net, &server).await;
        reach(&client, server.destination()).await
    };
    let standing = async {
        for _ in 0..100 {
            let began = Instant::now();
            standing.write_u8(1).await.expect("writes");
            assert_eq!(standing.read_u8().await.expect("reads"), 1);
            round_trips.push(began.elapsed());
            sleep(Duration::from_millis(100)).await;
        }
    };
    let (took, ()) = tokio::join!(disturbing, standing);
    assert!(took < limit(link), "{took:?}");
    round_trips.sort();
    // The round trip over the network takes 100 ms.
    assert!(
        round_trips[98] < Duration::from_millis(150),
        "{round_trips:?}"
    );
}

/// The clients that cause the load.
const CLIENTS: usize = 4;
const RESTARTS: usize = 100;

async fn a_server_is_reachable_after_each_of_a_hundred_restarts_under_load(link: Link) {
    let lab = Lab::new(link);
    let server = lab.session().await;
    let to = server.destination().clone();
    let serving = echo(server.listen(1).expect("free"));
    let probe = lab.session().await;
    let exchanges = Arc::new(AtomicU64::new(0));
    let mut load = Vec::new();
    for _ in 0..CLIENTS {
        let (client, to, exchanges) = (lab.session().await, to.clone(), exchanges.clone());
        let running = async move {
            loop {
                if let Ok(Ok(())) = timeout(ATTEMPT, exchange(&client, &to)).await {
                    exchanges.fetch_add(1, Ordering::Relaxed);
                }
                sleep(Duration::from_millis(50)).await;
            }
        };
        load.push(tokio::spawn(running));
    }
    reach(&probe, &to).await;

    let mut tasks = Vec::new();
    for number in 0..RESTARTS {
        // The restarts meet the load at different points.
        sleep(Duration::from_millis(500 + 37 * number as u64)).await;
        let before = exchanges.load(Ordering::Relaxed);
        restart(&lab.net, &server).await;
        let took = reach(&probe, &to).await;
        assert!(took < limit(link), "restart {number}: {took:?}");
        // The load continues as well.
        let loaded = async {
            while exchanges.load(Ordering::Relaxed) == before {
                sleep(Duration::from_millis(100)).await;
            }
        };
        within(2 * ATTEMPT, loaded).await;
        tasks.push(Handle::current().metrics().num_alive_tasks());
    }

    // Streams that were open at a restart end by themselves, so the number of tasks varies.
    let (first, last) = tasks.split_at(RESTARTS / 2);
    let most = |tasks: &[usize]| tasks.iter().copied().max().unwrap_or(0);
    assert!(most(last) <= most(first) + CLIENTS, "{tasks:?}");
    let stats = lab.net.stats();
    assert!(stats.in_flight < 100, "{stats:?}");
    for client in &load {
        client.abort();
    }
    serving.abort();
}
