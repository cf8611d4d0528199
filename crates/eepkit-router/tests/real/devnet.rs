//! Tests of private networks.

use std::{
    collections::HashSet,
    net::{SocketAddr, TcpListener},
    process::Command,
    time::Duration,
};

use eepkit_link::{LinkError, LookupTarget, LostReason, RouterStage};
use eepkit_naming::HostBook;
use eepkit_router::{StartError, devnet::Devnet};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    runtime::Handle,
    time::timeout,
};

use crate::session::{DEADLINE, TestSession, log_to_stderr};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_sessions_exchange_messages_over_real_tunnels() {
    let net = Devnet::start(8).await.unwrap();
    let mut a = TestSession::open(&net.router(0)).await;
    let mut b = TestSession::open(&net.router(1)).await;

    a.deliver(&mut b, b"hello").await;
    b.deliver(&mut a, b"and back").await;

    net.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn routers_report_their_stages_and_where_they_listen() {
    let net = Devnet::builder()
        .routers(4)
        .floodfills(2)
        .start()
        .await
        .unwrap();

    let mut addresses = HashSet::new();
    for (index, router) in net.routers().iter().enumerate() {
        assert_eq!(router.index(), index);
        assert_eq!(router.is_floodfill(), index >= 2);
        let status = router.watch().current();
        assert_eq!(status.stage(), RouterStage::Ready);
        assert!(status.time_of(RouterStage::Ready) > status.time_of(RouterStage::Starting));
        assert!(status.activity().peers > 0, "{status}");
        let sam = router.sam_addr().unwrap();
        let i2cp = router.i2cp_addr().unwrap();
        for address in [i2cp, sam, router.ntcp2_addr()] {
            assert!(address.ip().is_loopback() && address.port() != 0);
            assert!(addresses.insert(address), "{address} is assigned twice");
        }
        assert!(router.sam_udp_addr().unwrap().ip().is_loopback());
        assert!(sam_answers(sam).await);
    }
    net.stop().await;
}

async fn sam_answers(address: SocketAddr) -> bool {
    let mut stream = BufReader::new(TcpStream::connect(address).await.unwrap());
    stream
        .get_mut()
        .write_all(b"HELLO VERSION\n")
        .await
        .unwrap();
    let mut answer = String::new();
    timeout(DEADLINE, stream.read_line(&mut answer))
        .await
        .unwrap()
        .unwrap();
    answer.starts_with("HELLO REPLY RESULT=OK")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_and_hashes_are_found_and_unknown_ones_are_not() {
    let hosts = HostBook::new();
    let net = Devnet::builder()
        .routers(5)
        .hosts(hosts.clone())
        .start()
        .await
        .unwrap();
    let mut a = TestSession::open(&net.router(0)).await;
    let b = TestSession::open(&net.router(1)).await;
    hosts.insert("b.i2p", b.destination()).unwrap();

    let answer = a
        .look_up(LookupTarget::Name("b.i2p".to_owned()))
        .await
        .unwrap();
    assert_eq!(answer.destination, b.destination());
    let answer = a
        .look_up(LookupTarget::Hash(b.destination().hash()))
        .await
        .unwrap();
    assert_eq!(answer.destination, b.destination());
    assert!(
        a.look_up(LookupTarget::Name("c.i2p".to_owned()))
            .await
            .is_err()
    );

    net.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn networks_of_one_process_are_isolated_from_each_other() {
    let (first, second) = tokio::join!(Devnet::start(4), Devnet::start(4));
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_ne!(first.network_id(), second.network_id());
    let mut a = TestSession::open(&first.router(0)).await;
    let mut b = TestSession::open(&first.router(1)).await;
    let mut stranger = TestSession::open(&second.router(0)).await;

    let hash = b.destination().hash();
    let (found, not_found) = tokio::join!(
        a.look_up(LookupTarget::Hash(hash)),
        stranger.look_up(LookupTarget::Hash(hash)),
    );
    assert!(found.is_ok());
    assert!(not_found.is_err());

    second.stop().await;
    a.deliver(&mut b, b"still here").await;
    first.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_router_loses_its_sessions_and_restarts_at_its_addresses() {
    log_to_stderr();
    let net = Devnet::start(6).await.unwrap();
    let router = net.router(0);
    let mut a = TestSession::open(&router).await;
    let before = (
        router.id(),
        router.i2cp_addr(),
        router.sam_addr(),
        router.ntcp2_addr(),
    );

    router.kill().await;

    assert!(matches!(a.lost().await, LostReason::Connection(_)));
    assert!(!router.is_running());
    assert_eq!(router.watch().stage(), RouterStage::Stopped);
    assert!(
        TcpListener::bind(router.i2cp_addr().unwrap()).is_ok(),
        "the port is still in use"
    );

    router.restart().await.unwrap();
    router.watch().ready(DEADLINE).await.unwrap();
    let after = (
        router.id(),
        router.i2cp_addr(),
        router.sam_addr(),
        router.ntcp2_addr(),
    );
    assert_eq!(after, before);

    let mut a = TestSession::open(&router).await;
    let mut b = TestSession::open(&net.router(1)).await;
    b.deliver(&mut a, b"welcome back").await;
    net.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_the_network_ends_sessions_and_frees_its_ports() {
    let net = Devnet::start(4).await.unwrap();
    let router = net.router(0);
    let mut a = TestSession::open(&router).await;

    net.stop().await;

    assert_eq!(a.lost().await, LostReason::Stopped);
    for address in [
        router.i2cp_addr().unwrap(),
        router.ntcp2_addr(),
        router.sam_addr().unwrap(),
    ] {
        TcpListener::bind(address).unwrap();
    }
    assert!(matches!(router.restart().await, Err(StartError::Stopped)));
    let error = open_error(&router).await;
    assert!(matches!(error, LinkError::Stopped), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_the_network_ends_sessions_too() {
    let net = Devnet::start(4).await.unwrap();
    let mut a = TestSession::open(&net.router(0)).await;

    drop(net);

    assert_eq!(a.lost().await, LostReason::Stopped);
}

async fn open_error(router: &eepkit_router::devnet::DevnetRouter) -> LinkError {
    use eepkit_link::{Connector, Setup};
    let keys =
        eepkit_wire::PrivateKeys::generate(eepkit_wire::SignatureType::ED25519, &mut rand::rng());
    let setup = Setup {
        keys: std::sync::Arc::new(keys.unwrap()),
        options: eepkit_i2cp::Options::new(),
        timeout: DEADLINE,
        progress: eepkit_link::Progress::default(),
    };
    router.open(setup).await.unwrap_err()
}

/// Runs in a separate process, because other tests open and close sockets at the same time.
#[test]
fn starting_and_stopping_leaves_no_tasks_and_no_sockets() {
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "devnet::twenty_cycles_leak_nothing", "--quiet"])
        .env(ALONE, "yes")
        .status()
        .unwrap();
    assert!(status.success());
}

/// The environment variable that is set in the separate process.
const ALONE: &str = "EEPKIT_TEST_ALONE";

#[tokio::test]
async fn twenty_cycles_leak_nothing() {
    if std::env::var_os(ALONE).is_none() {
        println!("run by another test, in a process of its own");
        return;
    }
    let cycle = || async {
        let net = Devnet::start(2).await.unwrap();
        net.stop().await;
    };
    cycle().await;
    let tasks = Handle::current().metrics().num_alive_tasks();
    let descriptors = open_descriptors();

    for _ in 0..20 {
        cycle().await;
    }

    assert_eq!(Handle::current().metrics().num_alive_tasks(), tasks);
    assert_eq!(open_descriptors(), descriptors);
}

/// The number of open descriptors of this process, or 0 if it cannot be determined.
fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

#[tokio::test]
async fn a_seed_determines_the_identities() {
    let ids = |seed| async move {
        let builder = Devnet::builder().routers(2).without_waiting();
        let net = builder.seed(seed).start().await.unwrap();
        let ids: Vec<_> = net.routers().iter().map(|router| router.id()).collect();
        net.stop().await;
        ids
    };

    let first = ids(1).await;

    assert_eq!(first, ids(1).await);
    assert_ne!(first, ids(2).await);
    assert_ne!(first[0], first[1]);
}

#[tokio::test]
async fn invalid_options_are_refused() {
    for (builder, option) in [
        (Devnet::builder().routers(1), "routers"),
        (Devnet::builder().routers(101), "routers"),
        (Devnet::builder().floodfills(0), "floodfills"),
        (Devnet::builder().routers(3).floodfills(4), "floodfills"),
        (
            Devnet::builder().routers(3).tunnel_length(3),
            "tunnel_length",
        ),
        (Devnet::builder().tunnel_length(0), "tunnel_length"),
    ] {
        let error = builder.start().await.unwrap_err();
        assert!(
            matches!(error, StartError::BadOption { option: named, .. } if named == option),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_missed_deadline_is_reported_with_the_stages_of_the_routers() {
    let builder = Devnet::builder()
        .routers(4)
        .deadline(Duration::from_millis(1));

    let error = builder.start().await.unwrap_err();

    assert!(error.to_string().contains("not ready after 1ms"), "{error}");
}
