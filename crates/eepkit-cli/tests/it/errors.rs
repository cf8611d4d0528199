//! The exit code of each error of the table, by a fault on a simulated network.

use std::{path::Path, process::Output, time::Duration};

use eepkit::{
    ErrorKind, Hash, Listener, Preset, PrivateKeys, Router, Session, SignatureType, sim::SimNet,
};
use eepkit_services::{
    errors::Report,
    sam::{SamBridge, SamConfig},
    users::Users,
};
use tokio::{task::spawn_blocking, time::sleep};

use crate::run::{eepkit, report};

/// A network on which programs can open sessions over I2CP.
struct Net {
    net: SimNet,
    router: String,
    directory: tempfile::TempDir,
}

impl Net {
    async fn new() -> Self {
        let net = SimNet::builder().delay(Duration::from_millis(5)).start();
        let address = net.i2cp_listen("127.0.0.1:0").await.expect("listens");
        Self {
            net,
            router: format!("i2cp://{address}"),
            directory: tempfile::tempdir().expect("a directory"),
        }
    }

    async fn peer(&self) -> Session {
        let router = Router::new(self.net.router());
        let session = router.session().preset(Preset::Test).open().await;
        session.expect("a session opens")
    }

    /// Fails to connect to a host, with further arguments.
    async fn fails(&self, host: &str, more: &[&str], kind: ErrorKind) {
        self.fails_at(&self.router, host, more, kind).await;
    }

    async fn fails_at(&self, router: &str, host: &str, more: &[&str], kind: ErrorKind) {
        let arguments = [&["connect", "--router", router, host][..], more].concat();
        let output = run(self.directory.path(), &arguments).await;
        let code = i32::from(Report::of(kind).exit_code());
        let report = report(&output);
        assert_eq!(output.status.code(), Some(code), "{kind}: {report}");
        assert!(report.contains("error: "), "{kind}: {report}");
        // Some errors have a hint of their own.
        let hinted = report.contains("hint: ");
        assert!(hinted || kind.hint().is_none(), "{kind}: {report}");
    }
}

/// Runs the program while the network runs on this thread.
async fn run(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = eepkit();
    command.current_dir(directory).args(arguments);
    let running = spawn_blocking(move || command.output());
    running.await.expect("no panic").expect("the program runs")
}

/// Accepts streams without end, and resets each once it is open.
fn reset_all(listener: Listener) {
    tokio::spawn(async move {
        while let Ok(stream) = listener.accept().await {
            tokio::spawn(async move {
                sleep(Duration::from_secs(1)).await;
                stream.reset();
            });
        }
    });
}

#[tokio::test]
async fn a_destination_that_cannot_be_found_has_an_exit_code() {
    let net = Net::new().await;
    let offline = Hash::of(b"nobody").to_b32();
    let encrypted = net.peer().await;
    net.net.encrypt_lease_set(encrypted.destination());
    let locked = encrypted.destination().to_b32();
    tokio::join!(
        net.fails("nobody.i2p", &[], ErrorKind::NameNotFound),
        net.fails(&offline, &["--timeout", "20s"], ErrorKind::LeaseSetNotFound),
        net.fails(&locked, &[], ErrorKind::Locked),
        net.fails("1.b32.i2p", &[], ErrorKind::BadInput),
    );
}

#[tokio::test]
async fn a_peer_that_does_not_accept_has_an_exit_code() {
    let net = Net::new().await;
    let (refusing, silent, resetting) = (net.peer().await, net.peer().await, net.peer().await);
    let host = |session: &Session| format!("{}:80", session.destination().to_b32());
    net.net.cut_off(silent.destination());
    reset_all(resetting.listen(80).expect("free"));
    let (silent, short) = (host(&silent), ["--timeout", "3s"]);
    let (refused, reset) = (host(&refusing), host(&resetting));
    tokio::join!(
        net.fails(&refused, &[], ErrorKind::Refused),
        net.fails(&silent, &short, ErrorKind::Timeout),
        net.fails(&reset, &[], ErrorKind::Reset),
    );
}

#[tokio::test]
async fn a_router_that_does_not_serve_has_an_exit_code() {
    let net = Net::new().await;
    let keys = PrivateKeys::generate(SignatureType::ED25519, &mut rand::rng());
    let keys = keys.expect("keys can be made");
    let file = net.directory.path().join("keys.dat");
    std::fs::write(&file, keys.to_bytes().as_slice()).expect("writable");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let private = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(&file, private).expect("set");
    }
    let router = Router::new(net.net.router());
    let _first = router.session().keys(keys).open().await.expect("opens");

    let mut users = Users::new();
    users.add("me", "right").expect("added");
    users.set_required(true).expect("set");
    let config = SamConfig::new()
        .listen("127.0.0.1:0".parse().expect("an address"))
        .without_udp()
        .users(users);
    let bridge = SamBridge::start(router, config).await.expect("starts");
    let login = format!("sam://me:wrong@{}", bridge.tcp_addrs()[0]);

    let slow = SimNet::builder()
        .build_time(Duration::from_secs(600))
        .start();
    let address = slow.i2cp_listen("127.0.0.1:0").await.expect("listens");
    let slow = format!("i2cp://{address}");

    let keys = ["--keys", "keys.dat"];
    tokio::join!(
        net.fails_at(
            "i2cp://127.0.0.1:1",
            "a.i2p",
            &[],
            ErrorKind::RouterUnreachable
        ),
        net.fails("a.i2p", &keys, ErrorKind::AddressInUse),
        net.fails_at(&login, "a.i2p", &[], ErrorKind::Denied),
        net.fails_at(
            &slow,
            "a.i2p",
            &["--start-timeout", "2s"],
            ErrorKind::NoTunnels
        ),
    );
}
