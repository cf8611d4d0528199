//! Tests of the embedded router, on a private network instead of the live one.

use std::{fs, net::TcpListener, path::Path, time::Duration};

use eepkit_link::{LostReason, RouterStage};
use eepkit_router::{
    StartError, StateError,
    devnet::Devnet,
    embedded::{EmbeddedBuilder, EmbeddedRouter},
    reseed::Reseed,
};

use crate::{
    reseed_host::{Answer, Draft, SIGNER, host},
    session::{DEADLINE, TestSession},
};

/// A builder of a router that joins `net` when it gets the router infos of `net`.
fn builder(net: &Devnet, dir: &Path) -> EmbeddedBuilder {
    EmbeddedRouter::builder(dir)
        .network_id(net.network_id())
        .host([127, 0, 0, 1].into())
        .allow_local(true)
        .port_mapping(false)
        .ssu2(None)
}

async fn reseed_host(net: &Devnet) -> Reseed {
    let file = Draft::of(&net.router_infos()).signed();
    let (url, root) = host(Answer::File(file)).await;
    Reseed::hosts([url])
        .trust_root(&root)
        .unwrap()
        .trust_signer(SIGNER)
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_router_reseeds_joins_the_network_and_is_the_same_after_a_restart() {
    let net = Devnet::start(5).await.unwrap();
    let dir = tempfile::tempdir().unwrap();

    let first = builder(&net, dir.path())
        .i2cp_port(Some(0))
        .sam_port(Some(0))
        .reseed(reseed_host(&net).await);
    let watch = first.watch();
    assert_eq!(watch.stage(), RouterStage::Starting);
    let router = first.start().await.unwrap();
    let status = watch.ready(DEADLINE).await.unwrap();
    assert!(status.time_of(RouterStage::Reseeding).is_some());
    assert!(router.sam_addr().unwrap().ip().is_loopback());

    let mut here = TestSession::open(&router).await;
    let mut there = TestSession::open(&net.router(0)).await;
    here.deliver(&mut there, b"from outside").await;
    there.deliver(&mut here, b"from inside").await;

    let before = (router.id(), router.ntcp2_port());
    router.stop().await;
    assert_eq!(here.lost().await, LostReason::Stopped);
    assert_eq!(router.watch().stage(), RouterStage::Stopped);
    TcpListener::bind(router.i2cp_addr().unwrap()).unwrap();
    assert!(dir.path().join("profiles.json").exists());

    // Needs no reseed host, because it has stored the others.
    let again = builder(&net, dir.path())
        .reseed(Reseed::never())
        .start()
        .await
        .unwrap();
    again.watch().ready(DEADLINE).await.unwrap();
    assert_eq!((again.id(), again.ntcp2_port()), before);
    assert_eq!((again.i2cp_addr(), again.sam_addr()), (None, None));
    TestSession::open(&again).await;
    again.stop().await;
    net.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn embedded_routers_with_each_others_router_infos_form_a_private_network() {
    const NETWORK: u8 = 99;
    let dir = tempfile::tempdir().unwrap();
    let start = async |index: usize, others: Vec<Vec<u8>>| {
        EmbeddedRouter::builder(dir.path().join(index.to_string()))
            .private_network(NETWORK, others)
            .host([127, 0, 0, 1].into())
            .floodfill(index < 3)
            .ssu2(None)
            .start()
            .await
            .unwrap()
    };
    let mut infos = Vec::new();
    for index in 0..5 {
        let alone = start(index, Vec::new()).await;
        infos.push(alone.router_info().to_vec());
        alone.stop().await;
    }

    let mut routers = Vec::new();
    for index in 0..5 {
        routers.push(start(index, infos.clone()).await);
    }
    for router in &routers {
        router.watch().ready(DEADLINE).await.unwrap();
    }

    let mut here = TestSession::open(&routers[3]).await;
    let mut there = TestSession::open(&routers[4]).await;
    here.deliver(&mut there, b"over a private network").await;
    for router in &routers {
        router.stop().await;
    }
}

#[tokio::test]
async fn without_any_router_info_the_error_names_a_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let reseed = Reseed::hosts([format!("https://{closed}/")]);
    let builder = EmbeddedRouter::builder(dir.path())
        .port_mapping(false)
        .reseed(reseed);
    let watch = builder.watch();

    let error = tokio::time::timeout(DEADLINE, builder.start())
        .await
        .unwrap()
        .unwrap_err();

    assert!(matches!(error, StartError::Reseed(_)), "{error}");
    assert!(
        error
            .to_string()
            .contains("Check the connection to the Internet"),
        "{error}"
    );
    let waited = watch.ready(Duration::from_secs(1)).await.unwrap_err();
    assert_eq!(waited.status().stage(), RouterStage::Failed, "{waited}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_router_at_a_time_uses_a_directory_and_dropping_it_frees_its_port() {
    let net = Devnet::builder()
        .routers(3)
        .without_waiting()
        .start()
        .await
        .unwrap();
    let dir = tempfile::tempdir().unwrap();
    let reseed = reseed_host(&net).await;
    let router = builder(&net, dir.path())
        .reseed(reseed.clone())
        .i2cp_port(Some(0))
        .start()
        .await
        .unwrap();

    let second = builder(&net, dir.path())
        .reseed(reseed.clone())
        .start()
        .await
        .unwrap_err();
    assert!(
        matches!(second, StartError::State(StateError::InUse(_))),
        "{second}"
    );

    let i2cp = router.i2cp_addr().unwrap();
    let taken = builder(&net, tempfile::tempdir().unwrap().path())
        .reseed(reseed)
        .i2cp_port(Some(i2cp.port()))
        .start()
        .await
        .unwrap_err();
    let StartError::Bind { address, .. } = taken else {
        panic!("{taken}")
    };
    assert_eq!(address, i2cp);

    let watch = router.watch();
    drop(router);
    let stopped = watch.ready(DEADLINE).await;
    let stopped = stopped.unwrap_err();
    assert_eq!(stopped.status().stage(), RouterStage::Stopped, "{stopped}");
    net.stop().await;
}

#[tokio::test]
async fn a_port_that_is_in_use_at_a_restart_is_replaced() {
    let net = Devnet::builder()
        .routers(2)
        .without_waiting()
        .start()
        .await
        .unwrap();
    let dir = tempfile::tempdir().unwrap();
    let reseed = reseed_host(&net).await;
    let router = builder(&net, dir.path())
        .reseed(reseed.clone())
        .start()
        .await
        .unwrap();
    let port = router.ntcp2_port().unwrap();
    router.stop().await;
    let _taken = TcpListener::bind(("0.0.0.0", port)).unwrap();

    let router = builder(&net, dir.path())
        .reseed(reseed)
        .start()
        .await
        .unwrap();

    assert_ne!(router.ntcp2_port().unwrap(), port);
    router.stop().await;
    net.stop().await;
}

#[tokio::test]
async fn invalid_options_are_refused_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("router");
    let new = || EmbeddedRouter::builder(&path);
    for builder in [
        new().ntcp2(None).ssu2(None),
        new().tunnel_length(0),
        new().tunnel_length(8),
        new().bandwidth(0, 0.5),
        new().bandwidth(1000, 1.5),
    ] {
        let error = builder.start().await.unwrap_err();
        assert!(matches!(error, StartError::BadOption { .. }), "{error}");
    }
    assert!(!fs::exists(&path).unwrap());
}
