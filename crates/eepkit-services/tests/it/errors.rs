//! Each cell of the table of errors, by a fault of the network, the peer, the router or the caller.
//!
//! The same fault is met through the library, the SAM bridge and the SOCKS proxy. The table of
//! faults in the documentation is what these tests observe.

use std::{fmt::Write as _, net::SocketAddr, time::Duration};

use eepkit::{
    Error, ErrorKind, Hash, Listener, Preset, PrivateKeys, Router, Session, SessionBuilder,
    StreamError,
    sim::{Builder, SimNet},
};
use eepkit_services::{
    errors::{Attempt, Denial, Report},
    socks::{SocksConfig, SocksProxy},
    users::Users,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::{
    docs::compare,
    lab::{Client, Lab},
};

/// A fault as it was observed.
struct Observed {
    fault: &'static str,
    kind: ErrorKind,
    text: String,
}

/// One test for each fault, and one that compares all of them with the documentation.
macro_rules! faults {
    ($($name:ident),* $(,)?) => {
        $(
            #[tokio::test(start_paused = true)]
            async fn $name() {
                fault::$name().await;
            }
        )*

        #[tokio::test(start_paused = true)]
        async fn the_documented_faults_are_those_that_were_observed() {
            let mut table = String::from("| what is wrong | kind | text of the library |\n|---|---|---|\n");
            $(
                let Observed { fault, kind, text } = fault::$name().await;
                let _ = writeln!(table, "| {fault} | `{kind}` | {text} |");
            )*
            compare("docs/errors.md", &table, "faults");
        }
    };
}

faults!(
    an_unknown_name,
    a_destination_without_a_lease_set,
    an_encrypted_lease_set_without_a_key,
    an_address_of_an_encrypted_lease_set,
    a_malformed_destination,
    no_encryption_in_common,
    a_port_without_a_listener,
    a_full_backlog,
    a_rejected_caller,
    a_silent_peer,
    too_many_streams,
    no_tunnels,
    a_router_that_stopped,
    a_router_that_stops_meanwhile,
    a_session_in_use_elsewhere,
    a_wrong_login,
    a_reset_stream,
    a_peer_that_vanishes_from_a_stream,
);

mod fault {
    use super::*;

    pub(super) async fn an_unknown_name() -> Observed {
        let all = All::new().await;
        all.look_up("nobody.i2p", ErrorKind::NameNotFound).await;
        all.connect("an unknown name", "nobody.i2p", 80, ErrorKind::NameNotFound)
            .await
    }

    pub(super) async fn a_destination_without_a_lease_set() -> Observed {
        let all = All::new().await;
        let host = Hash::of(b"nobody").to_b32();
        let kind = ErrorKind::LeaseSetNotFound;
        all.look_up(&host, kind).await;
        all.connect("a destination that is offline", &host, 80, kind)
            .await
    }

    pub(super) async fn an_encrypted_lease_set_without_a_key() -> Observed {
        let all = All::new().await;
        let peer = all.lab.peer().await;
        all.lab.net.encrypt_lease_set(peer.destination());
        let host = peer.destination().to_b32();
        all.look_up(&host, ErrorKind::Locked).await;
        all.connect(
            "an encrypted destination without a key",
            &host,
            80,
            ErrorKind::Locked,
        )
        .await
    }

    pub(super) async fn an_address_of_an_encrypted_lease_set() -> Observed {
        let all = All::new().await;
        let host = "rj4s2aabaibqibiga4eascqlbqgq4dyqcejbgfavcylrqgi2dmob2hq7.b32.i2p";
        let fault = "the address of an encrypted lease set (b33)";
        all.connect(fault, host, 80, ErrorKind::Unsupported).await
    }

    pub(super) async fn a_malformed_destination() -> Observed {
        let all = All::new().await;
        let host = format!("{}.b32.i2p", "1".repeat(52));
        let kind = ErrorKind::BadInput;
        let text = all.rust(&host, 80, kind).await;
        // SAM has its own text.
        all.sam_connect(&host, 80, kind, None).await;
        all.socks(&host, 80, kind).await;
        Observed::new("a malformed destination", kind, &text)
    }

    pub(super) async fn no_encryption_in_common() -> Observed {
        let all = All::with(SimNet::builder(), &[("i2cp.leaseSetEncType", "4")]).await;
        let router = Router::new(all.lab.net.router());
        let peer = router
            .session()
            .preset(Preset::Test)
            .option("i2cp.leaseSetEncType", 0)
            .open()
            .await
            .expect("opens");
        let _listener = peer.listen(80).expect("free");
        let kind = ErrorKind::IncompatibleEncryption;
        all.connect(
            "no encryption type in common",
            &peer.destination().to_b32(),
            80,
            kind,
        )
        .await
    }

    pub(super) async fn a_port_without_a_listener() -> Observed {
        let all = All::new().await;
        let peer = all.lab.peer().await;
        let host = peer.destination().to_b32();
        all.connect(
            "a port on which the peer does not listen",
            &host,
            81,
            ErrorKind::Refused,
        )
        .await
    }

    pub(super) async fn a_full_backlog() -> Observed {
        let all = All::new().await;
        let router = Router::new(all.lab.net.router());
        let builder = router.session().preset(Preset::Test).backlog(1);
        let peer = builder.open().await.expect("opens");
        let _listener = peer.listen(80).expect("free");
        let host = peer.destination().to_b32();
        let (session, to) = (all.session.clone(), host.clone());
        // The peer answers once it accepts.
        let filling = tokio::spawn(async move { session.connect((to, 80)).await });
        sleep(Duration::from_secs(1)).await;
        let kind = ErrorKind::Refused;
        let observed = all.connect("a peer whose backlog is full", &host, 80, kind);
        let observed = observed.await;
        filling.abort();
        observed
    }

    pub(super) async fn a_rejected_caller() -> Observed {
        let all = All::new().await;
        let router = Router::new(all.lab.net.router());
        let builder = router
            .session()
            .preset(Preset::Test)
            .option("i2cp.enableAccessList", true)
            .option("i2cp.accessList", Hash::of(b"somebody else").to_base64());
        let peer = builder.open().await.expect("opens");
        let _listener = peer.listen(80).expect("free");
        let host = peer.destination().to_b32();
        let fault = "a peer that ignores the caller";
        all.connect(fault, &host, 80, ErrorKind::Timeout).await
    }

    pub(super) async fn a_silent_peer() -> Observed {
        let all = All::new().await;
        let peer = all.lab.peer().await;
        let _listener = peer.listen(80).expect("free");
        all.lab.net.cut_off(peer.destination());
        let host = peer.destination().to_b32();
        all.connect("a peer that does not answer", &host, 80, ErrorKind::Timeout)
            .await
    }

    pub(super) async fn too_many_streams() -> Observed {
        let all = All::with(
            SimNet::builder(),
            &[("i2p.streaming.maxConcurrentStreams", "1")],
        )
        .await;
        let peer = all.lab.peer().await;
        accept_all(peer.listen(80).expect("free"));
        let host = peer.destination().to_b32();
        let _stream = all.session.connect((&host, 80)).await.expect("the first");
        let mut sam = all.lab.client("3.2").await;
        let said = sam.ask(&connect_line(&host, 80)).await;
        assert_eq!(said, "STREAM STATUS RESULT=OK");
        let _socks = all.socks_5(&host, 80).await.expect("the first");
        all.connect(
            "as many streams as the session allows",
            &host,
            80,
            ErrorKind::Limit,
        )
        .await
    }

    pub(super) async fn no_tunnels() -> Observed {
        let never = Duration::from_secs(1_000_000);
        let all = All::starting(SimNet::builder().build_time(never), &[]).await;
        let kind = ErrorKind::NoTunnels;
        all.create(all.builder(), &keys(), kind).await;
        let text = all.rust("nobody.i2p", 80, kind).await;
        all.socks("nobody.i2p", 80, kind).await;
        Observed::new("a router that has no tunnels", kind, &text)
    }

    pub(super) async fn a_router_that_stopped() -> Observed {
        let all = All::new().await;
        all.lab.net.stop();
        sleep(Duration::from_secs(1)).await;
        let kind = ErrorKind::RouterUnreachable;
        all.create(all.builder(), &keys(), kind).await;
        all.connect("a router that is not there", "nobody.i2p", 80, kind)
            .await
    }

    pub(super) async fn a_router_that_stops_meanwhile() -> Observed {
        let kind = ErrorKind::SessionLost;
        let (mut last, mut peers) = (None, Vec::new());
        for protocol in 0..3 {
            let all = All::new().await;
            let peer = all.lab.peer().await;
            all.lab.net.cut_off(peer.destination());
            let host = peer.destination().to_b32();
            let net = all.lab.net.clone();
            tokio::spawn(async move {
                sleep(Duration::from_secs(20)).await;
                net.stop();
            });
            match protocol {
                0 => last = Some(all.rust(&host, 80, kind).await),
                1 => all.sam_connect(&host, 80, kind, None).await,
                _ => all.socks(&host, 80, kind).await,
            }
            peers.push(peer);
        }
        let text = last.expect("observed");
        Observed::new(
            "a router that stops while the stream is opened",
            kind,
            &text,
        )
    }

    pub(super) async fn a_session_in_use_elsewhere() -> Observed {
        let all = All::new().await;
        let keys = keys();
        let router = Router::new(all.lab.net.i2cp_router());
        let first = router.session().keys(keys.clone()).open().await;
        let _first = first.expect("opens");
        let kind = ErrorKind::AddressInUse;
        let text = all.create(router.session(), &keys, kind).await;
        Observed::new("a destination that another program uses", kind, &text)
    }

    pub(super) async fn a_wrong_login() -> Observed {
        // The bridge is the router here, because the simulated network has no passwords.
        let mut users = Users::new();
        users.add("me", "right").expect("added");
        users.set_required(true).expect("set");
        let lab = Lab::with(|config| config.users(users)).await;
        let address = format!("sam://me:wrong@{}", lab.tcp());
        let router = Router::attach(&address).expect("an address");
        let error = router.session().open().await.expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Denied);
        let text = text(error.into());
        Observed::new("a wrong password for the router", ErrorKind::Denied, &text)
    }

    pub(super) async fn a_reset_stream() -> Observed {
        let kind = ErrorKind::Reset;
        let all = All::new().await;
        let peer = all.lab.peer().await;
        let listener = peer.listen(80).expect("free");
        tokio::spawn(async move {
            while let Ok(stream) = listener.accept().await {
                tokio::spawn(async move {
                    sleep(BETWEEN * 3).await;
                    stream.reset();
                });
            }
        });
        let host = peer.destination().to_b32();
        let text = all.interrupted(&host, kind).await;
        Observed::new("an open stream that the peer resets", kind, &text)
    }

    pub(super) async fn a_peer_that_vanishes_from_a_stream() -> Observed {
        let kind = ErrorKind::PeerUnreachable;
        let all = All::new().await;
        let peer = all.lab.peer().await;
        accept_all(peer.listen(80).expect("free"));
        let (net, destination) = (all.lab.net.clone(), peer.destination().clone());
        let host = destination.to_b32();
        let cut = async {
            sleep(BETWEEN / 2).await;
            net.cut_off(&destination);
        };
        let (text, ()) = tokio::join!(all.interrupted(&host, kind), cut);
        Observed::new("an open stream whose peer is gone", kind, &text)
    }
}

impl Observed {
    fn new(fault: &'static str, kind: ErrorKind, text: &str) -> Self {
        // The account of the session has times that depend on the moment.
        let text = text.split(" (the session was").next().unwrap_or(text);
        Self {
            fault,
            kind,
            text: text.to_owned(),
        }
    }
}

/// All protocols on one network.
struct All {
    lab: Lab,
    proxy: SocksProxy,
    session: Session,
    /// The control socket of a session of SAM.
    control: Option<Client>,
    options: Vec<(&'static str, &'static str)>,
}

impl All {
    async fn new() -> Self {
        Self::with(SimNet::builder(), &[]).await
    }

    /// With these options for the sessions of all protocols, which are ready.
    async fn with(net: Builder, options: &[(&'static str, &'static str)]) -> Self {
        let mut all = Self::starting(net, options).await;
        let ready = all.session.watch().ready(Duration::from_secs(60)).await;
        ready.expect("the session is ready");
        all.lab.net.add_name("warm.i2p", all.session.destination());
        // The session of the proxy starts with its first request.
        let _ = all.socks_5("warm.i2p", 1).await;
        all.control = Some(all.lab.session("s", "STYLE=STREAM").await.0);
        all
    }

    async fn starting(net: Builder, options: &[(&'static str, &'static str)]) -> Self {
        let net = net.delay(Duration::from_millis(50));
        let lab = Lab::over(net, |config| {
            let add = |config: eepkit_services::sam::SamConfig, (key, value): &(&str, &str)| {
                config.default_option(key, value)
            };
            options.iter().fold(config, add)
        })
        .await;
        let config = SocksConfig::new().listen([SocketAddr::from(([127, 0, 0, 1], 0))]);
        let config = options
            .iter()
            .fold(config, |config, (key, value)| config.option(key, value));
        let router = Router::new(lab.net.i2cp_router());
        let proxy = SocksProxy::start(router.clone(), config).await;
        let mut builder = router.session().preset(Preset::Test);
        for (key, value) in options {
            builder = builder.option(key, value);
        }
        Self {
            lab,
            proxy: proxy.expect("a proxy starts"),
            session: builder.start().expect("valid options"),
            control: None,
            options: options.to_vec(),
        }
    }

    fn builder(&self) -> SessionBuilder {
        let router = Router::new(self.lab.net.i2cp_router());
        let mut builder = router.session().preset(Preset::Test);
        for (key, value) in &self.options {
            builder = builder.option(key, value);
        }
        builder
    }

    /// Fails to open a stream with every protocol.
    async fn connect(
        &self,
        fault: &'static str,
        host: &str,
        port: u16,
        kind: ErrorKind,
    ) -> Observed {
        let text = self.rust(host, port, kind).await;
        let message = match kind {
            // Clients expect this message of Java I2P.
            ErrorKind::IncompatibleEncryption => "Unsupported encryption options",
            _ => &text,
        };
        self.sam_connect(host, port, kind, Some(message)).await;
        self.socks(host, port, kind).await;
        Observed::new(fault, kind, &text)
    }

    async fn rust(&self, host: &str, port: u16, kind: ErrorKind) -> String {
        let connecting = self.session.connect((host, port));
        let error = match timeout(LIMIT, connecting).await.expect("in time") {
            Ok(_) => panic!("{host} is reached"),
            Err(error) => Error::from(error),
        };
        assert_eq!(error.kind(), kind, "{error:?}");
        text(error)
    }

    /// The text is that of the library, or any if it has times.
    async fn sam_connect(&self, host: &str, port: u16, kind: ErrorKind, text: Option<&str>) {
        let mut client = self.lab.client("3.2").await;
        let said = client.ask(&connect_line(host, port)).await;
        let result = Report::of(kind).sam(Attempt::Connect);
        let start = format!("STREAM STATUS RESULT={result} MESSAGE=");
        let message = said.strip_prefix(&start).expect(&said);
        if let Some(text) = text.filter(|text| !text.contains("the session was")) {
            // MESSAGE has no double quotes inside.
            assert_eq!(message.trim_matches('"'), text.replace('"', "'"));
        }
    }

    /// Fails to look up a name with the library and SAM.
    async fn look_up(&self, host: &str, kind: ErrorKind) {
        let error = self.session.lookup(host).await.expect_err("not found");
        assert_eq!(error.kind(), kind);
        let mut client = self.lab.client("3.2").await;
        let said = client.ask(&format!("NAMING LOOKUP NAME={host}")).await;
        let result = Report::of(kind).sam(Attempt::LookUp);
        let start = format!("NAMING REPLY RESULT={result} NAME={host}");
        assert!(said.starts_with(&start), "{said}");
    }

    /// Fails to open a session with the library, and with SAM if the keys of the builder matter to
    /// nobody else. Returns the text of the library.
    async fn create(&self, builder: SessionBuilder, keys: &PrivateKeys, kind: ErrorKind) -> String {
        let opening = builder.keys(keys.clone()).open();
        let error = match timeout(LIMIT, opening).await.expect("in time") {
            Ok(_) => panic!("the session opens"),
            Err(error) => Error::from(error),
        };
        assert_eq!(error.kind(), kind, "{error:?}");
        let mut client = self.lab.client("3.2").await;
        let keys = keys.to_base64();
        let create = format!("SESSION CREATE STYLE=STREAM ID=new DESTINATION={}", &*keys);
        let said = client.ask(&create).await;
        let result = Report::of(kind).sam(Attempt::Open);
        let start = format!("SESSION STATUS RESULT={result}");
        assert!(said.starts_with(&start), "{said}");
        text(error)
    }

    /// Fails to open a stream with SOCKS 5 and 4.
    async fn socks(&self, host: &str, port: u16, kind: ErrorKind) {
        let reply = Report::of(kind).socks().clone();
        let refused = self.socks_5(host, port).await.expect_err("refused");
        assert_eq!(refused, reply.code(), "SOCKS 5");
        let mut socket = self.socks_socket().await;
        let [high, low] = port.to_be_bytes();
        let head = [4, 1, high, low, 0, 0, 0, 1, 0];
        let request = [&head, host.as_bytes(), &[0]].concat();
        socket.write_all(&request).await.expect("written");
        let mut answer = [0; 8];
        let reading = timeout(LIMIT, socket.read_exact(&mut answer)).await;
        reading.expect("in time").expect("an answer");
        assert_eq!(answer[1], reply.code_4(), "SOCKS 4");
    }

    /// Opens a stream, or returns the code of the answer.
    async fn socks_5(&self, host: &str, port: u16) -> Result<TcpStream, u8> {
        let mut socket = self.socks_socket().await;
        let length = u8::try_from(host.len()).expect("fits");
        let head = [5, 1, 0, 5, 1, 0, 3, length];
        let request = [&head, host.as_bytes(), &port.to_be_bytes()].concat();
        socket.write_all(&request).await.expect("written");
        let mut answer = [0; 12];
        let reading = timeout(LIMIT, socket.read_exact(&mut answer)).await;
        reading.expect("in time").expect("an answer");
        assert_eq!(answer[..3], [5, 0, 5]);
        match answer[3] {
            0 => Ok(socket),
            code => Err(code),
        }
    }

    async fn socks_socket(&self) -> TcpStream {
        let socket = TcpStream::connect(self.proxy.tcp_addrs()[0]).await;
        let socket = socket.expect("it listens");
        // Delayed small writes would arrive late in paused time.
        socket.set_nodelay(true).expect("can be set");
        socket
    }

    /// Opens a stream with every protocol and reads until it fails. The sockets of programs are
    /// reset. Returns the text of the library.
    async fn interrupted(&self, host: &str, kind: ErrorKind) -> String {
        let rust = async {
            let mut stream = self.session.connect((host, 80)).await.expect("opens");
            for _ in 0..2 {
                let writing = stream.write_all(&[1; 1000]).await;
                writing.expect("there is room");
                sleep(BETWEEN).await;
            }
            let error = stream.read_u8().await.expect_err("interrupted");
            let error = StreamError::of(&error).expect("of the stream").clone();
            assert_eq!(error.kind(), kind);
            text(error.into())
        };
        let sam = async {
            let mut client = self.lab.client("3.2").await;
            let said = client.ask(&connect_line(host, 80)).await;
            assert_eq!(said, "STREAM STATUS RESULT=OK");
            is_reset(client.socket).await;
        };
        let socks = async {
            is_reset(self.socks_5(host, 80).await.expect("opens")).await;
        };
        let (text, (), ()) = tokio::join!(rust, sam, socks);
        text
    }
}

/// Reads until a reset. The end of a stream would look like a complete answer.
async fn is_reset(mut socket: TcpStream) {
    for _ in 0..2 {
        socket.write_all(&[1; 1000]).await.expect("there is room");
        sleep(BETWEEN).await;
    }
    let reading = timeout(LIMIT, socket.read_u8()).await.expect("in time");
    let error = reading.expect_err("nothing was sent");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

/// Accepts streams without end, and keeps them.
fn accept_all(listener: Listener) {
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok(stream) = listener.accept().await {
            kept.push(stream);
        }
    });
}

fn connect_line(host: &str, port: u16) -> String {
    format!("STREAM CONNECT ID=s DESTINATION={host} TO_PORT={port}")
}

fn keys() -> PrivateKeys {
    let keys = PrivateKeys::generate(eepkit::SignatureType::ED25519, &mut rand::rng());
    keys.expect("keys can be made")
}

/// The text of an error with its causes.
fn text(error: Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        let next = error.to_string();
        // Some errors repeat the text of their cause.
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}

#[tokio::test(start_paused = true)]
async fn requests_that_do_not_concern_i2p_are_denied() {
    let all = All::new().await;
    for (host, denial) in [
        ("example.com", Denial::NotI2p),
        ("1.1.1.1", Denial::NotI2p),
        ("localhost", Denial::Local),
        ("10.0.0.1", Denial::Local),
    ] {
        let code = all.socks_5(host, 80).await.expect_err("denied");
        assert_eq!(code, denial.socks().code(), "{host}");
    }
}

/// The time after which a fault must have been reported.
const LIMIT: Duration = Duration::from_secs(600);

/// The time between the data of interrupted streams.
const BETWEEN: Duration = Duration::from_secs(10);
