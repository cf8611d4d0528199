use std::{path::Path, time::Duration};

use eepkit::sim::SimNet;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    sync::mpsc,
    time::timeout,
};

use super::*;
use crate::Services;

struct Lab {
    _dir: tempfile::TempDir,
    path: PathBuf,
    daemon: Daemon,
    orders: mpsc::Receiver<Order>,
    control: Control,
}

impl Lab {
    async fn start() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("control.sock");
        let (daemon, orders) = Daemon::new(Setup {
            version: "1.2.3".to_owned(),
            config: Some("/etc/eepkit.toml".into()),
            router: "sim".to_owned(),
            embedded: false,
        });
        let control = Control::bind(path.clone(), Arc::new(daemon.clone()));
        Self {
            control: control.await.expect("free"),
            _dir: dir,
            path,
            daemon,
            orders,
        }
    }

    async fn client(&self) -> Client {
        Client::connect(&self.path).await.expect("it listens")
    }

    /// Reports a router that answers, and no services.
    async fn run(&self) -> eepkit::Router {
        let router = eepkit::Router::new(SimNet::builder().start());
        self.daemon.set_router(router.clone());
        self.daemon
            .set_services(Arc::new(Services::new(router.clone())));
        self.daemon.enter(Phase::Running);
        let watching = self.daemon.clone();
        tokio::spawn(async move { watching.watch_router().await });
        router
    }
}

async fn call(client: &mut Client, method: &str, params: Value) -> Result<Value, ClientError> {
    client.call(method, params, Duration::from_secs(20)).await
}

fn refused(result: Result<Value, ClientError>) -> ControlError {
    match result.expect_err("refused") {
        ClientError::Refused(error) => error,
        other => panic!("{other:?}"),
    }
}

async fn raw(path: &Path, text: &[u8]) -> String {
    let mut socket = UnixStream::connect(path).await.expect("it listens");
    // The program may close the connection before everything is written.
    let _ = socket.write_all(text).await;
    let _ = socket.shutdown().await;
    let mut answer = Vec::new();
    let reading = socket.read_to_end(&mut answer);
    let _ = timeout(Duration::from_secs(20), reading)
        .await
        .expect("it closes the connection");
    String::from_utf8(answer).expect("UTF-8")
}

#[tokio::test]
async fn the_status_has_the_program_the_router_the_services_and_the_sessions() {
    let lab = Lab::start().await;
    let mut client = lab.client().await;
    let starting = call(&mut client, "status", Value::Null).await.expect("ok");
    let report: Report = serde_json::from_value(starting).expect("a report");
    assert_eq!(report.program.phase, "starting");
    assert!(!report.ready && report.router.stage == "unknown");

    let router = lab.run().await;
    let session = router
        .session()
        .nickname("mine")
        .open()
        .await
        .expect("open");
    let ready = call(&mut client, "wait_ready", json!({"verified": true})).await;
    let report: Report = serde_json::from_value(ready.expect("ready")).expect("a report");
    assert!(report.ready && report.waiting_for.is_empty());
    assert_eq!(report.program.config.as_deref(), Some("/etc/eepkit.toml"));
    assert_eq!(report.router.stage, "reachable");
    let [seen] = &*report.sessions else {
        panic!("{:?}", report.sessions);
    };
    assert_eq!(seen.b32, session.destination().to_b32());
    assert_eq!(seen.nickname.as_deref(), Some("mine"));
    assert_eq!(
        (seen.stage.as_str(), seen.verified.as_str()),
        ("ready", "found")
    );
    let stages: Vec<&str> = seen.stages.iter().map(|step| step.stage.as_str()).collect();
    assert_eq!(
        stages,
        [
            "connecting",
            "opening",
            "building_tunnels",
            "lease_set_sent",
            "ready"
        ]
    );

    session.close().await;
    let after = call(&mut client, "status", Value::Null).await.expect("ok");
    assert_eq!(after["sessions"], json!([]));
}

#[tokio::test]
async fn a_wait_that_times_out_states_what_it_waits_for() {
    let lab = Lab::start().await;
    let mut client = lab.client().await;
    let waiting = call(&mut client, "wait_ready", json!({"timeout_ms": 300})).await;
    let error = refused(waiting);
    assert_eq!(error.code, "timeout");
    assert_eq!(
        error.message,
        "not ready after 300ms: router sim: not contacted yet"
    );

    lab.run().await;
    let params = json!({"timeout_ms": 1500, "sessions": true});
    let error = refused(call(&mut client, "wait_ready", params).await);
    assert_eq!(
        error.message,
        "not ready after 1.5s: a session: there is none yet"
    );
    lab.daemon.enter(Phase::Stopping);
    let error = refused(call(&mut client, "wait_ready", Value::Null).await);
    assert_eq!(error.code, "failed");
}

#[tokio::test]
async fn changes_are_streamed_until_everything_has_stopped() {
    let lab = Lab::start().await;
    let mut client = lab.client().await;
    client.start("watch", Value::Null).await.expect("sent");
    let mut phases = Vec::new();
    for step in 0.. {
        match client.next_event().await.expect("an event") {
            Some(event) => phases.push(event["program"]["phase"].to_string()),
            None => break,
        }
        match step {
            0 => lab.daemon.enter(Phase::Running),
            1 => lab.daemon.enter(Phase::Stopped),
            _ => {}
        }
    }
    assert_eq!(phases, ["\"starting\"", "\"running\"", "\"stopped\""]);
}

#[tokio::test]
async fn orders_reach_the_program_and_their_results_the_client() {
    let mut lab = Lab::start().await;
    let mut client = lab.client().await;
    let mut other = lab.client().await;
    let (daemon, mut orders) = (lab.daemon.clone(), lab.orders);
    let program = tokio::spawn(async move {
        while let Some(order) = orders.recv().await {
            match order {
                Order::Reload(reply) => {
                    reply
                        .send(Err(ControlError::new("io", "no such file").hint("make one")))
                        .expect("it waits");
                }
                Order::Stop => {
                    daemon.enter(Phase::Stopped);
                    return;
                }
            }
        }
    });
    let error = refused(call(&mut client, "reload", Value::Null).await);
    assert_eq!(
        (error.code.as_str(), error.to_string()),
        ("io", "no such file".to_owned())
    );
    assert_eq!(error.hint.as_deref(), Some("make one"));
    let stopped = call(&mut client, "stop", Value::Null).await.expect("ok");
    assert_eq!(stopped, json!({"stopped": true}));
    program.await.expect("ended");
    // The program does not take orders any more.
    let error = refused(call(&mut other, "reload", Value::Null).await);
    assert_eq!(error.code, "closed");
    lab.orders = mpsc::channel(1).1;
    lab.control.close().await;
    assert!(!lab.path.exists(), "the file is removed");
}

#[tokio::test]
async fn malformed_requests_get_errors_and_endless_ones_are_cut_off() {
    let lab = Lab::start().await;
    let answer = raw(&lab.path, b"nonsense\n{\"id\":7,\"method\":\"dance\"}\n").await;
    let lines: Vec<Reply> = answer
        .lines()
        .map(|line| serde_json::from_str(line).expect(line))
        .collect();
    let codes: Vec<_> = lines
        .iter()
        .map(|reply| {
            (
                reply.id,
                reply.error.as_ref().expect("refused").code.as_str(),
            )
        })
        .collect();
    assert_eq!(codes, [(None, "bad_request"), (Some(7), "unknown_method")]);
    let hint = lines[1].error.as_ref().and_then(|error| error.hint.clone());
    assert!(hint.expect("there is one").contains("wait_ready"));

    let answer = raw(&lab.path, &vec![b'x'; 200_000]).await;
    assert!(answer.contains("longer than 65536 bytes"), "{answer}");
    let answer = raw(
        &lab.path,
        b"{\"id\":1,\"method\":\"wait_ready\",\"params\":{\"timeout\":1}}\n",
    )
    .await;
    assert!(answer.contains("\"bad_params\""), "{answer}");
    assert!(answer.contains("unknown field `timeout`"), "{answer}");
    assert!(raw(&lab.path, b"").await.is_empty());
}

#[tokio::test]
async fn a_client_that_goes_ends_its_request_and_too_many_are_refused() {
    let lab = Lab::start().await;
    let mut clients = Vec::new();
    for _ in 0..slots::MAX_REQUESTS {
        let mut client = lab.client().await;
        client.start("watch", Value::Null).await.expect("sent");
        client.next_event().await.expect("the first status");
        clients.push(client);
    }
    let mut late = lab.client().await;
    let wait = json!({"timeout_ms": 1, "sessions": true});
    let error = refused(call(&mut late, "wait_ready", wait.clone()).await);
    assert_eq!(
        error.message,
        "64 requests are in progress, which is the most"
    );
    // What is answered at once needs no place.
    let answer = call(&mut late, "version", Value::Null).await;
    assert!(answer.is_ok(), "{answer:?}");
    drop(clients);
    let served = async {
        while refused(call(&mut late, "wait_ready", wait.clone()).await).code == "limit" {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(20), served)
        .await
        .expect("their places are free again");
}

#[tokio::test]
async fn connections_without_a_request_make_room_for_others() {
    let lab = Lab::start().await;
    let mut silent = lab.client().await;
    let answer = call(&mut silent, "version", Value::Null).await;
    assert!(answer.is_ok(), "{answer:?}");
    let mut half = Vec::new();
    for _ in 0..slots::MAX_WAITING + 1 {
        let mut socket = UnixStream::connect(&lab.path).await.expect("it listens");
        socket.write_all(b"{\"id\":1,").await.expect("is open");
        half.push(socket);
        let mut client = lab.client().await;
        let answer = call(&mut client, "version", Value::Null).await;
        assert!(answer.is_ok(), "{answer:?}");
    }
    let event = silent.next_event().await;
    let error = refused(event.map(|event| event.expect("an error")));
    assert_eq!(
        error.message,
        "other connections wait for a request, and this one for longest"
    );
    assert!(lab.control.server.handle().connections() <= slots::MAX_WAITING + 2);
}

#[tokio::test]
async fn only_one_program_listens_on_a_socket() {
    let lab = Lab::start().await;
    let second = Control::bind(lab.path.clone(), Arc::new(lab.daemon.clone())).await;
    let error = second.expect_err("in use");
    assert_eq!(error.source.kind(), std::io::ErrorKind::AddrInUse);
    let gone = Client::connect(&lab.path.with_extension("none")).await;
    assert!(matches!(gone, Err(ClientError::NotRunning { .. })));
}
