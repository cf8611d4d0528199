//! Long and large runs on the simulated network, in virtual time. Each takes seconds of real time.
//!
//! They check that nothing accumulates: tasks of the runtime, sessions of the network, and the memory
//! of the process. Memory is measured for the process, so that the tests run one after the other.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use eepkit::{
    ConnectOptions, Listener, Preset, Router, Session, SessionStage,
    sim::{Builder, Profile, SimNet},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    runtime::Handle,
    task::JoinHandle,
    time::{sleep, timeout},
};

/// Held by each test while it runs.
static SERIAL: Mutex<()> = Mutex::new(());

fn serial() -> MutexGuard<'static, ()> {
    SERIAL.lock().unwrap_or_else(PoisonError::into_inner)
}

fn in_virtual_time(work: impl Future<Output = ()>) {
    let _serial = serial();
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime")
        .block_on(work);
}

/// The bytes of every exchange: more than a packet, less than the first cwnd.
const EXCHANGE: usize = 4 * 1024;

#[test]
fn a_day_of_traffic_survives_loss_failing_tunnels_and_restarts() {
    in_virtual_time(async {
        // Streaming selects the paths. It leaves tunnels that lose everything without notice.
        let net = live().tunnel_blackholes(Duration::from_secs(7200)).start();
        let routers = [Router::new(net.router()), Router::new(net.router())];
        a_day(&net, routers).await;
    });
}

#[test]
fn a_day_over_i2cp_survives_loss_failing_tunnels_and_restarts() {
    in_virtual_time(async {
        let net = live().start();
        let routers = [
            Router::new(net.i2cp_router()),
            Router::new(net.i2cp_router()),
        ];
        a_day(&net, routers).await;
    });
}

fn live() -> Builder {
    SimNet::builder()
        .profile(Profile::Live)
        .tunnel_failures(Duration::from_secs(1800))
        .failure_notice(Duration::from_secs(20))
}

/// An exchange every five minutes for a day. Every two hours one of the two loses its session.
async fn a_day(net: &SimNet, [near, far]: [Router; 2]) {
    let (client, server) = (session(&near, 1).await, session(&far, 2).await);
    let echo = serve(server.listen(1).expect("the port is free"));
    let mut tasks = 0;
    for turn in 0..24 * 12 {
        if turn % 24 == 12 {
            let loser = [&client, &server][turn / 24 % 2];
            assert!(net.lose_session(loser.destination()), "turn {turn}");
            let lost = loser.watch();
            lost.reached(SessionStage::Lost, Duration::from_secs(5))
                .await;
            let ready = loser.watch().ready(Duration::from_secs(120));
            ready
                .await
                .unwrap_or_else(|error| panic!("turn {turn}: {error}"));
        }
        exchange(&client, &server, turn).await;
        sleep(Duration::from_secs(300)).await;
        if turn == 0 {
            tasks = alive_tasks();
        }
    }
    assert_eq!(alive_tasks(), tasks, "tasks were left behind");
    let stats = net.stats();
    assert!(
        stats.dropped.total() > 0 && stats.tunnels_failed > 10,
        "{stats:?}"
    );
    echo.abort();
    net.stop();
}

#[test]
fn a_thousand_sessions_leave_nothing_behind() {
    in_virtual_time(async {
        let net = SimNet::new(Profile::Local);
        let (direct, over_i2cp) = (Router::new(net.router()), Router::new(net.i2cp_router()));
        let server = session(&direct, 1).await;
        let echo = serve(server.listen(1).expect("the port is free"));

        let mut tasks = 0;
        let mut memory = None;
        for cycle in 0..1_000 {
            let router = [&direct, &over_i2cp][cycle % 2];
            let client = session(router, 2 + cycle as u64).await;
            let listener = client.listen(1).expect("the port is free");
            exchange(&client, &server, cycle).await;
            client.close().await;
            drop(listener);
            if cycle == 99 {
                // Streams end a while after their session, and the network forgets lease sets.
                sleep(Duration::from_secs(1200)).await;
                (tasks, memory) = (alive_tasks(), resident_bytes());
            }
        }
        sleep(Duration::from_secs(1200)).await;
        assert_eq!(alive_tasks(), tasks, "tasks were left behind");
        if let (Some(before), Some(after)) = (memory, resident_bytes()) {
            // 900 sessions with a leak of 16 KiB each would have 14 MiB.
            let grown = after.saturating_sub(before) / 1024;
            assert!(grown < 8 * 1024, "memory grew by {grown} KiB");
        }
        echo.abort();
        net.stop();
    });
}

#[test]
fn ten_thousand_streams_are_open_at_the_same_time() {
    in_virtual_time(async {
        let net = SimNet::new(Profile::Local);
        let router = Router::new(net.router());
        // By default, one peer may have 4,096.
        let open = async |seed| {
            let builder = router.session().preset(Preset::Test).seed(seed);
            let limit = "i2p.streaming.maxConcurrentStreamsPerPeer";
            builder.option(limit, 16_384).open().await.expect("opens")
        };
        let (server, client) = (open(1).await, open(2).await);
        let listener = server.listen_with(1, 4_096).expect("the port is free");
        let mut ends = Vec::new();
        for _ in 0..10_000 {
            let (near, far) =
                tokio::join!(client.connect((server.destination(), 1)), listener.accept());
            ends.push((near.expect("connects"), far.expect("accepts")));
        }
        // Every stream carries its own number, in both directions, while all others are open.
        for (number, (near, far)) in (0_u32..).zip(&mut ends) {
            near.write_u32(number).await.expect("writes");
            far.write_u32(!number).await.expect("writes");
        }
        for (number, (near, far)) in (0_u32..).zip(&mut ends) {
            assert_eq!(far.read_u32().await.expect("reads"), number);
            assert_eq!(near.read_u32().await.expect("reads"), !number);
        }
        net.stop();
    });
}

async fn session(router: &Router, seed: u64) -> Session {
    let builder = router
        .session()
        .preset(Preset::Test)
        .tunnel_quantity(3)
        .seed(seed);
    builder.open().await.expect("a session opens")
}

/// Returns what arrives on every stream.
fn serve(listener: Listener) -> JoinHandle<()> {
    tokio::spawn(async move {
        loop {
            let stream = listener.accept().await.expect("the listener lives");
            tokio::spawn(async move {
                let (mut reader, mut writer) = stream.into_split();
                // The client sees a failure.
                let _ = tokio::io::copy(&mut reader, &mut writer).await;
                let _ = writer.shutdown().await;
            });
        }
    })
}

/// Sends [`EXCHANGE`] bytes to the echo server and checks the answer, within three minutes.
async fn exchange(client: &Session, server: &Session, turn: usize) {
    let data: Vec<u8> = (turn..).map(|at| at as u8).take(EXCHANGE).collect();
    let exchanging = async {
        let options = ConnectOptions::new().timeout(Duration::from_secs(120));
        let to = (server.destination(), 1);
        let mut stream = client.connect_with(to, &options).await?;
        stream.write_all(&data).await?;
        stream.shutdown().await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok::<_, eepkit::Error>(answer)
    };
    let answer = timeout(Duration::from_secs(180), exchanging).await;
    let answer = answer.unwrap_or_else(|_| panic!("turn {turn} takes more than three minutes"));
    let answer = answer.unwrap_or_else(|error| panic!("turn {turn}: {error}"));
    assert!(answer == data, "turn {turn}: the answer differs");
}

fn alive_tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

/// Resident memory of this process, on systems with `/proc`.
fn resident_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}
