//! Sessions and subsessions, users, sockets of every kind.

use std::{sync::Arc, time::Duration};

use eepkit_services::users::Users;
use tokio::time::{Instant, sleep};

use crate::lab::{LOOPBACK, Lab};

#[tokio::test(start_paused = true)]
async fn everything_ends_within_a_second_of_the_control_socket() {
    let lab = Lab::new().await;
    let (_a, _) = lab.session("a", "STYLE=STREAM").await;
    let (b, destination) = lab.session("b", "STYLE=STREAM").await;
    let mut joined = lab.client("3.1").await;
    joined.ask("STREAM ACCEPT ID=b").await;
    let mut connecting = lab.client("3.1").await;
    connecting
        .ask(&format!("STREAM CONNECT ID=a DESTINATION={destination}"))
        .await;
    joined.line().await;
    let mut waiting = lab.client("3.1").await;
    waiting.ask("STREAM ACCEPT ID=b").await;
    let mut silent = lab.client("3.1").await;
    silent.say("STREAM ACCEPT ID=b SILENT=true").await;
    let mut forwarded = lab.session("c", "STYLE=STREAM").await.0;
    let mut forwarding = lab.client("3.1").await;
    forwarding.ask("STREAM FORWARD ID=c PORT=9").await;

    drop(b);
    forwarded.say("QUIT").await;
    let began = Instant::now();
    assert_eq!(
        waiting.line().await,
        "STREAM STATUS RESULT=I2P_ERROR MESSAGE=\"the session is over\""
    );
    assert_eq!(waiting.rest().await, b"");
    assert_eq!(silent.rest().await, b"");
    assert_eq!(joined.rest().await, b"");
    assert_eq!(
        forwarding.line().await,
        "STREAM STATUS RESULT=I2P_ERROR MESSAGE=\"the session is over\""
    );
    assert!(
        began.elapsed() < Duration::from_secs(1),
        "{:?}",
        began.elapsed()
    );
    drop((joined, connecting, waiting, silent, forwarding, forwarded));
    lab.settles(|stats| stats.sessions == 1 && stats.streams == 0)
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_killed_client_can_reconnect_immediately_with_its_id_and_keys() {
    let lab = Lab::new().await;
    let mut first = lab.client("3.1").await;
    let reply = first.ask("DEST GENERATE SIGNATURE_TYPE=7").await;
    let keys = reply.split_once("PRIV=").expect("keys").1.to_owned();
    drop(first);
    for _ in 0..20 {
        let mut client = lab.client("3.1").await;
        let create = format!("SESSION CREATE STYLE=STREAM ID=same DESTINATION={keys}");
        assert_eq!(
            client.ask(&create).await,
            format!("SESSION STATUS RESULT=OK DESTINATION={keys}")
        );
        socket2::SockRef::from(&client.socket)
            .set_linger(Some(Duration::ZERO))
            .expect("can be set");
    }
}

#[tokio::test(start_paused = true)]
async fn ids_and_destinations_are_unique() {
    let lab = Lab::new().await;
    let mut first = lab.client("3.1").await;
    let reply = first.ask("DEST GENERATE SIGNATURE_TYPE=7").await;
    let keys = reply.split_once("PRIV=").expect("keys").1.to_owned();
    let create = format!("SESSION CREATE STYLE=STREAM ID=one DESTINATION={keys}");
    assert!(
        first
            .ask(&create)
            .await
            .starts_with("SESSION STATUS RESULT=OK ")
    );
    let mut second = lab.client("3.1").await;
    assert_eq!(
        second.ask(&create).await,
        "SESSION STATUS RESULT=DUPLICATED_ID"
    );
    let create = format!("SESSION CREATE STYLE=STREAM ID=two DESTINATION={keys}");
    assert_eq!(
        second.ask(&create).await,
        "SESSION STATUS RESULT=DUPLICATED_DEST"
    );
}

#[tokio::test(start_paused = true)]
async fn subsessions_share_a_destination_and_receive_by_port() {
    let lab = Lab::new().await;
    let (mut primary, destination) = lab.session("p", "STYLE=PRIMARY").await;
    for (id, port) in [("s80", 80), ("s0", 0)] {
        assert_eq!(
            primary
                .ask(&format!(
                    "SESSION ADD STYLE=STREAM ID={id} FROM_PORT={port}"
                ))
                .await,
            format!("SESSION STATUS RESULT=OK ID={id} MESSAGE=\"ADD {id}\"")
        );
    }
    let (_a, _) = lab.session("a", "STYLE=STREAM").await;
    for (port, id) in [(80, "s80"), (81, "s0"), (0, "s0")] {
        let mut accepting = lab.client("3.3").await;
        accepting.ask(&format!("STREAM ACCEPT ID={id}")).await;
        let mut connecting = lab.client("3.3").await;
        let connect = format!("STREAM CONNECT ID=a DESTINATION={destination} TO_PORT={port}");
        assert_eq!(connecting.ask(&connect).await, "STREAM STATUS RESULT=OK");
        let peer = accepting.line().await;
        assert!(peer.ends_with(&format!(" TO_PORT={port}")), "{peer}");
    }
    // When a subsession is removed, its sockets are closed. The others stay open.
    let mut accepting = lab.client("3.3").await;
    accepting.ask("STREAM ACCEPT ID=s80").await;
    assert_eq!(
        primary.ask("SESSION REMOVE ID=s80").await,
        "SESSION STATUS RESULT=OK ID=s80 MESSAGE=\"REMOVE s80\""
    );
    assert!(
        accepting
            .line()
            .await
            .starts_with("STREAM STATUS RESULT=I2P_ERROR")
    );
    let mut connecting = lab.client("3.3").await;
    let connect = format!("STREAM CONNECT ID=s0 DESTINATION={destination} TO_PORT=80");
    connecting.say(&connect).await;
    let mut accepting = lab.client("3.3").await;
    accepting.ask("STREAM ACCEPT ID=s0").await;
    accepting.line().await;
    assert_eq!(connecting.line().await, "STREAM STATUS RESULT=OK");
    assert_eq!(primary.me().await, destination);
    drop((primary, _a, accepting, connecting));
    lab.empties().await;
}

#[tokio::test]
async fn users_need_their_password() {
    let mut users = Users::new();
    users.add("foo", "b a\"r").expect("added");
    users.set_required(true).expect("set");
    let lab = Lab::with(|builder| builder.users(users)).await;
    let mut client = lab.raw().await;
    assert_eq!(
        client
            .ask("HELLO VERSION USER=foo PASSWORD=\"b a\\\"r\"")
            .await,
        "HELLO REPLY RESULT=OK VERSION=3.3"
    );
    for hello in [
        "HELLO VERSION",
        "HELLO VERSION USER=foo PASSWORD=bar",
        "HELLO VERSION USER=bar PASSWORD=\"b a\\\"r\"",
    ] {
        let mut client = lab.raw().await;
        let reply = client.ask(hello).await;
        assert!(reply.starts_with("HELLO REPLY RESULT=I2P_ERROR"), "{reply}");
        assert_eq!(client.rest().await, b"");
    }
    assert_eq!(
        client.ask("AUTH ADD USER=new PASSWORD=x").await,
        "AUTH STATUS RESULT=OK"
    );
    let mut other = lab.raw().await;
    assert_eq!(
        other.ask("HELLO VERSION USER=new PASSWORD=x").await,
        "HELLO REPLY RESULT=OK VERSION=3.3"
    );
    assert_eq!(client.ask("AUTH DISABLE").await, "AUTH STATUS RESULT=OK");
    lab.client("3.1").await;
}

#[tokio::test]
async fn users_imported_from_java_i2p_keep_their_passwords() {
    let mut users = Users::new();
    // The hash of `sésame`.
    users
        .add_from_java(
            "foo",
            "AAECAwQFBgcICQoLDA0OD-SAyCqVBiD41fc5exhKbuYMzpxHAxJDrA8ep0~cE8KM",
        )
        .expect("a hash");
    users.set_required(true).expect("set");
    let lab = Lab::with(|builder| builder.users(users)).await;
    // The first login replaces the hash.
    for _ in 0..2 {
        let mut client = lab.raw().await;
        assert_eq!(
            client.ask("HELLO VERSION USER=foo PASSWORD=sésame").await,
            "HELLO REPLY RESULT=OK VERSION=3.3"
        );
        let mut client = lab.raw().await;
        assert_eq!(
            client.ask("HELLO VERSION USER=foo PASSWORD=sesame").await,
            "HELLO REPLY RESULT=I2P_ERROR MESSAGE=\"USER or PASSWORD is wrong\""
        );
    }
}

#[tokio::test]
async fn passwords_cannot_be_required_without_users() {
    let lab = Lab::new().await;
    let mut client = lab.client("3.2").await;
    assert_eq!(
        client.ask("AUTH ENABLE").await,
        "AUTH STATUS RESULT=I2P_ERROR MESSAGE=\"add a user first, or nobody could connect any more\""
    );
    assert!(
        client
            .ask("AUTH REMOVE USER=x")
            .await
            .contains("no such user")
    );
}

#[tokio::test]
async fn a_bridge_serves_tls() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio_rustls::{TlsConnector, rustls};

    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("made");
    let certificate = made.cert.der().clone();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der())
        .expect("a key");
    let server = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .expect("they fit");
    let address = LOOPBACK.parse().expect("an address");
    let lab = Lab::with(|builder| builder.listen_tls(address, Arc::new(server))).await;

    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).expect("a certificate");
    let client = rustls::ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let socket = tokio::net::TcpStream::connect(lab.bridge.tcp_addrs()[1])
        .await
        .expect("it listens");
    let name = "localhost".try_into().expect("a name");
    let mut socket = TlsConnector::from(Arc::new(client))
        .connect(name, socket)
        .await
        .expect("TLS works");
    socket.write_all(b"HELLO VERSION\n").await.expect("written");
    let mut reply = [0; 34];
    socket.read_exact(&mut reply).await.expect("an answer");
    assert_eq!(&reply, b"HELLO REPLY RESULT=OK VERSION=3.3\n");
}

#[cfg(unix)]
#[tokio::test]
async fn a_bridge_listens_on_a_unix_socket() {
    use std::os::unix::fs::PermissionsExt as _;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let dir = std::env::temp_dir().join(format!("eepkit-sam-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a directory");
    let path = dir.join("sam.sock");
    // The socket file of a crashed process is replaced.
    drop(std::os::unix::net::UnixListener::bind(&path));
    let lab = Lab::with(|builder| builder.listen_unix(&path)).await;
    let mode = std::fs::metadata(&path).expect("it is there").permissions();
    assert_eq!(mode.mode() & 0o777, 0o600, "nobody else can connect");
    let mut socket = tokio::net::UnixStream::connect(&path)
        .await
        .expect("it listens");
    socket.write_all(b"HELLO VERSION\n").await.expect("written");
    let mut reply = [0; 34];
    socket.read_exact(&mut reply).await.expect("an answer");
    assert_eq!(&reply, b"HELLO REPLY RESULT=OK VERSION=3.3\n");
    lab.bridge.stop().await;
    assert!(!path.exists(), "it tidies up");
    std::fs::remove_dir_all(&dir).expect("removed");
}

#[tokio::test(start_paused = true)]
async fn a_bridge_that_stops_closes_everything() {
    let lab = Lab::new().await;
    let (mut control, _) = lab.session("a", "STYLE=STREAM").await;
    let mut accepting = lab.client("3.1").await;
    accepting.ask("STREAM ACCEPT ID=a").await;
    lab.bridge.stop().await;
    assert_eq!(control.rest().await, b"");
    // The bridge may send the reason before it closes the socket.
    accepting.rest().await;
    let stats = lab.bridge.stats();
    let left = (stats.tasks, stats.sessions, stats.connections);
    assert_eq!(left, (0, 0, 0), "{stats:?}");
}

#[tokio::test(start_paused = true)]
async fn an_idle_session_is_closed_at_the_router_and_opened_by_its_next_use() {
    let lab = Lab::new().await;
    let peer = lab.peer().await;
    let listener = peer.listen(80).expect("free");
    let options = "i2cp.closeOnIdle=true i2cp.closeIdleTime=300000";
    let (mut control, destination) = lab
        .session("idle", &format!("STYLE=STREAM {options}"))
        .await;
    let destination: eepkit::Destination = destination.parse().expect("a destination");
    for _ in 0..2 {
        sleep(Duration::from_secs(700)).await;
        assert!(lab.net.tunnels(&destination).is_empty());
        assert_eq!(lab.bridge.stats().sessions, 1);
        assert_eq!(control.me().await, destination.to_base64());
        let mut connecting = lab.client("3.2").await;
        let host = peer.destination().to_b32();
        let connect = format!("STREAM CONNECT ID=idle DESTINATION={host} TO_PORT=80");
        let accepting = async { listener.accept().await.expect("arrives") };
        let (said, stream) = tokio::join!(connecting.ask(&connect), accepting);
        assert_eq!(said, "STREAM STATUS RESULT=OK");
        assert_eq!(stream.peer(), &destination);
    }
}

#[tokio::test(start_paused = true)]
async fn wrong_values_of_idle_options_are_refused() {
    let lab = Lab::new().await;
    for wrong in [
        "i2cp.closeIdleTime=1000",
        "i2cp.closeOnIdle=perhaps",
        "i2cp.reduceQuantity=9",
    ] {
        let mut client = lab.client("3.3").await;
        let create = format!("SESSION CREATE STYLE=STREAM ID=a DESTINATION=TRANSIENT {wrong}");
        let said = client.ask(&create).await;
        let key = wrong.split('=').next().expect("a key");
        assert!(
            said.starts_with("SESSION STATUS RESULT=I2P_ERROR MESSAGE=") && said.contains(key),
            "{said}"
        );
    }
}
