//! Tests of progress and graceful shutdown.

use std::{cell::RefCell, time::Duration};

use eepkit::{Router, SessionStage, Status};
use eepkit_apps::embed::{PORT, run, until_ready};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::oneshot,
};

use crate::{net, session};

#[tokio::test(start_paused = true)]
async fn progress_is_reported_until_the_program_is_online_and_open_streams_are_drained() {
    let net = net()
        .build_time(Duration::from_secs(3))
        .publish_time(Duration::from_secs(1))
        .start();
    let client = session(&net).await;
    let router = Router::new(net.router());
    let (online, here) = oneshot::channel();
    let (stop, stopping) = oneshot::channel::<()>();
    let lines = RefCell::new(Vec::new());

    let program = run(
        &router,
        |line| lines.borrow_mut().push(line.to_owned()),
        |session| {
            online
                .send(session.destination().clone())
                .expect("the test waits")
        },
        async {
            stopping.await.expect("the test stops it");
        },
    );
    let user = async {
        let server = here.await.expect("the program comes online");
        let mut stream = client.connect((&server, PORT)).await.expect("connects");
        stream.write_all(b"half of it").await.expect("writes");
        let mut text = [0; 10];
        stream.read_exact(&mut text).await.expect("reads");
        stop.send(()).expect("the program runs");
        // The shutdown waits for open streams.
        tokio::time::sleep(Duration::from_secs(2)).await;
        stream.write_all(b" and the rest").await.expect("writes");
        stream.shutdown().await.expect("ends");
        let mut rest = String::new();
        stream.read_to_string(&mut rest).await.expect("reads");
        rest
    };
    let (drained, rest) = tokio::join!(program, user);

    assert_eq!(drained.expect("runs").aborted(), 0);
    assert_eq!(rest, " and the rest");
    let lines = lines.into_inner();
    let at = |text: &str| lines.iter().position(|line| line.contains(text));
    assert!(at("building tunnels") < at("ready"), "{lines:#?}");
    assert!(
        at("building tunnels").is_some() && at("shutting down").is_some(),
        "{lines:#?}"
    );
}

#[tokio::test(start_paused = true)]
async fn waiting_ends_at_the_limit_with_the_missing_stage() {
    let net = net().build_time(Duration::from_secs(3600)).start();
    let session = Router::new(net.router()).session().start().expect("starts");

    let mut stages = Vec::new();
    let show = |status: &Status<SessionStage>| stages.push(status.stage());
    let error = until_ready(session.watch(), Duration::from_secs(30), show)
        .await
        .expect_err("there are no tunnels");

    assert!(error.to_string().contains("tunnels"), "{error}");
    assert_eq!(stages.last(), Some(&SessionStage::BuildingTunnels));
}
