//! Restarts of routers on a private network of real routers in this process, in real time.
//!
//! After a restart a router has none of the encryption sessions that other routers have with it.
//! These tests check that the peers of its sessions reach them again by themselves.

use std::time::Duration;

use eepkit::{ConnectOptions, Devnet, Preset, Router, Session, SessionStage};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    runtime::Handle,
    sync::{Mutex, MutexGuard},
    task::AbortHandle,
    time::{Instant, sleep, timeout},
};

/// How long a session may take to reach a peer after the peer's session is ready again. Measured in
/// 400 restarts, on a machine with four times as many runnable threads as processors: 1.9 s as a
/// rule, and at most 6.1 s.
const BACK: Duration = Duration::from_secs(30);

/// How long a session may take to become ready after its router was restarted.
const READY: Duration = Duration::from_secs(60);

async fn session(net: &Devnet, router: usize) -> Session {
    Router::new(net.router(router))
        .session()
        .preset(Preset::Test)
        .tunnel_length(2)
        .open()
        .await
        .expect("a session opens")
}

/// Echoes one byte on each stream to port 80, until the returned task is aborted.
fn serve(session: &Session) -> AbortHandle {
    let listener = session.listen(80).expect("free");
    tokio::spawn(async move {
        loop {
            let Ok(mut stream) = listener.accept().await else {
                return;
            };
            tokio::spawn(async move {
                while let Ok(byte) = stream.read_u8().await {
                    if stream.write_u8(byte).await.is_err() {
                        return;
                    }
                }
            });
        }
    })
    .abort_handle()
}

/// Connects to `to`, and retries until a byte was echoed. Returns how long it took.
async fn reach(from: &Session, to: &Session) -> Duration {
    let began = Instant::now();
    let once = async || {
        let options = ConnectOptions::new().timeout(READY);
        let mut stream = from.connect_with((to.destination(), 80), &options).await?;
        stream.write_u8(7).await?;
        assert_eq!(stream.read_u8().await?, 7);
        Ok::<(), Box<dyn std::error::Error>>(())
    };
    let reached = timeout(READY, async { while once().await.is_err() {} });
    reached.await.expect("the peer is reached");
    began.elapsed()
}

/// Kills and restarts a router, and waits until `session`, which runs on it, is ready again.
async fn restart(net: &Devnet, router: usize, session: &Session) {
    let watch = session.watch();
    net.router(router).kill().await;
    watch.reached(SessionStage::Lost, READY).await;
    net.router(router)
        .restart()
        .await
        .expect("the router is back");
    watch.ready(READY).await.expect("the session is back");
}

/// Waits for the other tests of this process. One of them counts the descriptors of the process.
async fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::const_new(());
    let _ = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .try_init();
    TURN.lock().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standing_session_reaches_a_server_that_came_back() {
    let _alone = alone().await;
    let net = Devnet::start(6).await.expect("the network starts");
    let server = session(&net, 0).await;
    let client = session(&net, 1).await;
    serve(&server);
    reach(&client, &server).await;

    for round in 0..2 {
        restart(&net, 0, &server).await;
        let took = reach(&client, &server).await;
        eprintln!("round {round}: reached after {took:?}");
        assert!(took < BACK, "{took:?}");
    }
    net.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_came_back_reaches_a_server_that_knew_it() {
    let _alone = alone().await;
    let net = Devnet::start(6).await.expect("the network starts");
    let server = session(&net, 0).await;
    let client = session(&net, 1).await;
    serve(&server);
    reach(&client, &server).await;

    for round in 0..2 {
        restart(&net, 1, &client).await;
        let took = reach(&client, &server).await;
        eprintln!("round {round}: reached after {took:?}");
        assert!(took < BACK, "{took:?}");
    }
    net.stop().await;
}

/// The number of restarts under load. A hundred take seven minutes in real time; the simulated
/// network has as many in every run.
const RESTARTS: usize = 3;

/// The variable of the environment that sets another number.
const RESTARTS_VARIABLE: &str = "EEPKIT_TEST_RESTARTS";

/// Tasks that one restart may leave behind. The tunnels of all routers are replaced, and the
/// routers in between keep the old ones until they expire, ten minutes after they were built.
const TASKS_PER_RESTART: usize = 150;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_reachable_after_each_restart_under_load() {
    let _alone = alone().await;
    let net = Devnet::start(6).await.expect("the network starts");
    let server = session(&net, 0).await;
    let serving = serve(&server);
    let probe = session(&net, 1).await;
    let mut load = Vec::new();
    for router in [2, 3] {
        let (client, to) = (session(&net, router).await, server.destination().clone());
        let running = async move {
            let options = ConnectOptions::new().timeout(READY);
            loop {
                if let Ok(mut stream) = client.connect_with((&to, 80), &options).await {
                    for _ in 0..20 {
                        if stream.write_u8(1).await.is_err() || stream.read_u8().await.is_err() {
                            break;
                        }
                    }
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        load.push(tokio::spawn(running));
    }
    reach(&probe, &server).await;

    let (mut tasks, mut sockets) = (Vec::new(), Vec::new());
    let restarts = std::env::var(RESTARTS_VARIABLE).map_or(RESTARTS, |restarts| {
        restarts.parse().expect("a number of restarts")
    });
    let began = Instant::now();
    for number in 0..restarts {
        // The restarts meet the load at different points.
        sleep(Duration::from_millis(300 + 170 * (number as u64 % 10))).await;
        restart(&net, 0, &server).await;
        let took = reach(&probe, &server).await;
        tasks.push(Handle::current().metrics().num_alive_tasks());
        sockets.push(open_descriptors());
        let memory = resident_memory() / 1024;
        eprintln!("restart {number}: {took:?}, {memory} KiB");
        assert!(took < BACK, "restart {number}: {took:?}");
    }
    eprintln!(
        "{:?}: tasks {tasks:?}, descriptors {sockets:?}",
        began.elapsed()
    );
    // The first restart includes connections between routers that are made once.
    for pair in tasks.windows(2) {
        assert!(pair[1] < pair[0] + TASKS_PER_RESTART, "{tasks:?}");
    }
    let (first, last) = (sockets[0], sockets[restarts - 1]);
    assert!(last < first + 20, "{sockets:?}");
    for client in &load {
        client.abort();
    }
    serving.abort();
    net.stop().await;
}

/// A session that is opened again with the keys of one that was just closed. The routers of its
/// peers have an encryption session with the closed one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_is_opened_again_at_once_is_reached() {
    let _alone = alone().await;
    let net = Devnet::start(6).await.expect("the network starts");
    let client = session(&net, 1).await;
    let dir = tempfile::tempdir().expect("a directory");
    let attached = net.router(0).i2cp_addr().expect("it offers I2CP");
    let attached = Router::attach(&format!("i2cp://{attached}")).expect("an address");
    for (number, router) in [Router::new(net.router(0)), attached].iter().enumerate() {
        let keys = dir.path().join(format!("{number}.dat"));
        for round in 0..2 {
            let opening = router.session().preset(Preset::Test).tunnel_length(2);
            let server = opening.key_file(&keys).open().await.expect("opens at once");
            let serving = serve(&server);
            let took = reach(&client, &server).await;
            eprintln!("{} {round}: {took:?}", router.name());
            assert!(took < BACK, "{took:?}");
            serving.abort();
            server.close().await;
        }
    }
    net.stop().await;
}

/// The resident memory of this process in bytes, or 0 if it cannot be determined.
fn resident_memory() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split_whitespace().nth(1).map(str::parse::<usize>);
    pages.and_then(Result::ok).unwrap_or_default() * 4096
}

/// The number of open descriptors of this process, or 0 if it cannot be determined.
fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}
