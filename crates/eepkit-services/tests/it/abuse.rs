//! Misbehaving clients, and the state that remains after them.

use std::time::Duration;

use eepkit_services::users::Users;
use tokio::time::{sleep, timeout};

use crate::lab::{Client, Lab};

/// Uses a session from beginning to end.
async fn a_session_works(lab: &Lab) {
    let (control, destination) = lab.session("works", "STYLE=STREAM").await;
    let mut accepting = lab.client("3.1").await;
    accepting.ask("STREAM ACCEPT ID=works").await;
    let mut connecting = lab.client("3.1").await;
    let connect = format!("STREAM CONNECT ID=works DESTINATION={destination}");
    assert_eq!(connecting.ask(&connect).await, "STREAM STATUS RESULT=OK");
    accepting.line().await;
    connecting.write(b"x").await;
    assert_eq!(accepting.exactly(1).await, b"x");
    drop((control, accepting, connecting));
    lab.empties().await;
}

#[tokio::test(start_paused = true)]
async fn invalid_input_is_answered_or_closed_and_leaves_no_state() {
    let lab = Lab::new().await;
    let oversized = [b'x'; 40_000];
    let junk: [&[u8]; 9] = [
        b"\0\0\0\0\n",
        b"\xff\xfe\xfd\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n",
        b"SESSION CREATE STYLE=STREAM ID=x DESTINATION=TRANSIENT\n",
        b"HELLO VERSION MIN=x\n",
        b"HELLO VERSION\nNAMING LOOKUP NAME=\"\n",
        b"HELLO VERSION\n\0\n",
        &oversized,
    ];
    for bytes in junk {
        let mut client = lab.raw().await;
        client.write(bytes).await;
        let said = client.rest().await;
        let said = String::from_utf8(said).expect("text");
        assert!(
            said.ends_with('\n') && said.contains("I2P_ERROR"),
            "{bytes:?}: {said}"
        );
    }
    lab.empties().await;
    a_session_works(&lab).await;
}

#[tokio::test(start_paused = true)]
async fn invalid_keys_and_destinations_are_reported() {
    let lab = Lab::new().await;
    let (mut control, destination) = lab.session("there", "STYLE=STREAM").await;
    let mut keys = control.ask("DEST GENERATE").await;
    let keys = keys.split_off(keys.find("PRIV=").expect("keys") + 5);
    let bad = [
        "!".to_owned(),
        "AAAA".to_owned(),
        "A".repeat(515),
        "A".repeat(517),
        "=".repeat(600),
        "~".repeat(884),
        "\u{fffd}".repeat(600),
        // Wrong alphabet, trailing bytes, truncated, and with a flipped bit.
        keys.replace(['-', '~'], "+"),
        format!("{keys}AAAA"),
        keys[..keys.len() - 8].to_owned(),
        keys.replacen('A', "", 1),
    ];
    for bad in &bad {
        let mut client = lab.client("3.3").await;
        // Twice, because the socket can try again. The keys of a destination are not a destination.
        for key in [bad, &destination] {
            assert_eq!(
                client
                    .ask(&format!(
                        "SESSION CREATE STYLE=RAW ID=bad DESTINATION={key}"
                    ))
                    .await,
                "SESSION STATUS RESULT=INVALID_KEY",
                "{key}"
            );
        }
        if bad.len() < 884 {
            let reply = client.ask(&format!("NAMING LOOKUP NAME={bad}")).await;
            assert!(
                reply.starts_with("NAMING REPLY RESULT=INVALID_KEY NAME=")
                    || reply.starts_with("NAMING REPLY RESULT=KEY_NOT_FOUND NAME="),
                "{reply}"
            );
            let connect = format!("STREAM CONNECT ID=there DESTINATION={bad}");
            let reply = client.ask(&connect).await;
            assert!(
                reply.starts_with("STREAM STATUS RESULT=INVALID_KEY MESSAGE="),
                "{reply}"
            );
            assert_eq!(client.rest().await, b"");
        }
    }
    drop(control);
    lab.empties().await;
    a_session_works(&lab).await;
}

#[tokio::test(start_paused = true)]
async fn one_of_many_concurrent_creates_succeeds() {
    let lab = Lab::new().await;
    let mut first = lab.client("3.1").await;
    let mut keys = first.ask("DEST GENERATE").await;
    let keys = keys.split_off(keys.find("PRIV=").expect("keys") + 5);
    for (what, lost) in [
        ("ID=same DESTINATION=TRANSIENT".to_owned(), "DUPLICATED_ID"),
        (format!("ID=@ DESTINATION={keys}"), "DUPLICATED_DEST"),
    ] {
        let mut clients = Vec::new();
        for number in 0..40 {
            let mut client = lab.client("3.1").await;
            let what = what.replace('@', &number.to_string());
            client
                .say(&format!("SESSION CREATE STYLE=STREAM {what}"))
                .await;
            clients.push(client);
        }
        let mut won = 0;
        for client in &mut clients {
            let reply = client.line().await;
            if reply.starts_with("SESSION STATUS RESULT=OK ") {
                won += 1;
            } else {
                assert_eq!(reply, format!("SESSION STATUS RESULT={lost}"));
            }
        }
        assert_eq!(won, 1);
        drop(clients);
        lab.settles(|stats| stats.connections == 1 && stats.sessions == 0)
            .await;
    }
    drop(first);
    lab.empties().await;
    a_session_works(&lab).await;
}

#[tokio::test(start_paused = true)]
async fn a_half_closed_socket_is_closed() {
    let lab = Lab::new().await;
    let (peer, destination) = lab.session("peer", "STYLE=STREAM").await;
    for last in [
        "",
        "DEST GENERATE",
        "SESSION CREATE STYLE=STREAM ID=half DESTINATION=TRANSIENT",
        "SESSION CREATE STYLE=STREAM ID=half DEST",
        "STREAM ACCEPT ID=peer",
        "STREAM FORWARD ID=peer PORT=9",
        "STREAM CONNECT ID=peer DESTINATION=nobody.i2p",
        "NAMING LOOKUP NAME=nobody.i2p",
    ] {
        for whole in [true, false] {
            let mut client = lab.client("3.1").await;
            let end = if whole { "\n" } else { "" };
            client.write(format!("{last}{end}").as_bytes()).await;
            tokio::io::AsyncWriteExt::shutdown(&mut client.socket)
                .await
                .expect("half closed");
            // The bridge may send lines before it closes the socket.
            client.rest().await;
        }
    }
    lab.settles(|stats| stats.connections == 1 && stats.sessions == 1)
        .await;
    // The session still accepts streams.
    let mut accepting = lab.client("3.1").await;
    assert_eq!(
        accepting.ask("STREAM ACCEPT ID=peer").await,
        "STREAM STATUS RESULT=OK"
    );
    let mut connecting = lab.client("3.1").await;
    let connect = format!("STREAM CONNECT ID=peer DESTINATION={destination}");
    assert_eq!(connecting.ask(&connect).await, "STREAM STATUS RESULT=OK");
    drop((peer, accepting, connecting));
    sleep(Duration::from_secs(700)).await;
    lab.empties().await;
    a_session_works(&lab).await;
}

#[tokio::test(start_paused = true)]
async fn hundreds_of_consecutive_sessions_leave_no_state() {
    let lab = Lab::new().await;
    for number in 0..200 {
        let (client, _) = lab.session("transient", "STYLE=PRIMARY").await;
        match number % 3 {
            0 => drop(client),
            1 => kill(client),
            _ => {
                let mut client = client;
                client.say("QUIT").await;
                client.rest().await;
            }
        }
    }
    lab.empties().await;
    a_session_works(&lab).await;
}

#[tokio::test(start_paused = true)]
async fn slow_sockets_are_served_and_silent_ones_time_out() {
    let lab = Lab::new().await;
    let mut silent = lab.raw().await;
    let mut slow = lab.raw().await;
    for byte in b"HELLO VERSION MAX=3.1" {
        slow.write(&[*byte]).await;
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(slow.ask("").await, "HELLO REPLY RESULT=OK VERSION=3.1");
    assert_eq!(
        silent.line().await,
        "HELLO REPLY RESULT=I2P_ERROR MESSAGE=\"no command within the time limit\""
    );
    assert_eq!(silent.rest().await, b"");
    // After HELLO a socket may stay idle.
    sleep(Duration::from_secs(3600)).await;
    assert!(
        slow.ask("DEST GENERATE")
            .await
            .starts_with("DEST REPLY PUB=")
    );
}

#[tokio::test(start_paused = true)]
async fn five_hundred_concurrent_sockets_are_served() {
    let lab = Lab::new().await;
    let (control, _) = lab.session("a", "STYLE=STREAM").await;
    let mut clients = Vec::new();
    for number in 0..500 {
        let mut client = match number % 3 {
            0 => lab.raw().await,
            _ => lab.client("3.2").await,
        };
        if number % 3 == 2 {
            assert_eq!(
                client.ask("STREAM ACCEPT ID=a").await,
                "STREAM STATUS RESULT=OK"
            );
        }
        clients.push(client);
    }
    assert_eq!(lab.bridge.stats().connections, 501);
    assert!(clients[1].ask("PING").await == "PONG");
    drop((clients, control));
    lab.empties().await;
    a_session_works(&lab).await;
}

#[tokio::test(start_paused = true)]
async fn sockets_beyond_the_limit_get_an_error() {
    let lab = Lab::with(|builder| builder.max_connections(3)).await;
    let held = [lab.raw().await, lab.raw().await, lab.raw().await];
    lab.settles(|stats| stats.connections == 3).await;
    let mut refused = lab.raw().await;
    assert_eq!(
        refused.line().await,
        "HELLO REPLY RESULT=I2P_ERROR MESSAGE=\"the bridge has 3 connections, \
         the most that its option max_connections allows\""
    );
    drop((held, refused));
    lab.settles(|stats| stats.connections == 0 && stats.refused == 1)
        .await;
    a_session_works(&lab).await;
}

#[tokio::test(start_paused = true)]
async fn one_address_does_not_get_all_sockets() {
    let lab = Lab::with(|config| config.max_connections(4)).await;
    let held = [lab.raw().await, lab.raw().await, lab.raw().await];
    lab.settles(|stats| stats.connections == 3).await;
    let mut refused = lab.raw().await;
    assert_eq!(
        refused.line().await,
        "HELLO REPLY RESULT=I2P_ERROR MESSAGE=\"this address has 3 connections, the most that \
         the bridge's option max_connections_per_client allows\""
    );
    drop((held, refused));
    lab.settles(|stats| stats.connections == 0 && stats.refused == 1)
        .await;
    a_session_works(&lab).await;

    let lab = Lab::with(|config| config.max_connections(4).max_connections_per_client(4)).await;
    let _held = [
        lab.raw().await,
        lab.raw().await,
        lab.raw().await,
        lab.raw().await,
    ];
    lab.settles(|stats| stats.connections == 4).await;
}

#[tokio::test(start_paused = true)]
async fn sessions_beyond_the_limit_get_an_error_and_others_stay() {
    let lab = Lab::with(|config| config.max_sessions(1)).await;
    let (mut first, destination) = lab.session("first", "STYLE=PRIMARY").await;
    let mut second = lab.client("3.3").await;
    let create = "SESSION CREATE STYLE=STREAM ID=second DESTINATION=TRANSIENT";
    assert_eq!(
        second.ask(create).await,
        "SESSION STATUS RESULT=I2P_ERROR MESSAGE=\"the bridge has 1 sessions, \
         the most that its option max_sessions allows\""
    );
    for number in 0..64 {
        let add = format!(
            "SESSION ADD STYLE=STREAM ID=sub{number} LISTEN_PORT={}",
            number + 1
        );
        let said = first.ask(&add).await;
        assert!(said.starts_with("SESSION STATUS RESULT=OK"), "{said}");
    }
    assert_eq!(
        first
            .ask("SESSION ADD STYLE=STREAM ID=sub LISTEN_PORT=99")
            .await,
        "SESSION STATUS RESULT=I2P_ERROR MESSAGE=\"the session has 64 subsessions, which is the most\""
    );
    assert_eq!(first.me().await, destination);
    // The place of a session that ended is free.
    drop(first);
    lab.settles(|stats| stats.sessions == 0).await;
    let said = second.ask(create).await;
    assert!(said.starts_with("SESSION STATUS RESULT=OK"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn one_user_or_address_does_not_get_the_sessions_of_others() {
    let create = async |client: &mut Client, id: &str| {
        let create = format!("SESSION CREATE STYLE=STREAM ID={id} DESTINATION=TRANSIENT");
        client.ask(&create).await
    };
    let refused = |who: &str, limit: usize| {
        format!(
            "SESSION STATUS RESULT=I2P_ERROR MESSAGE=\"{who} has {limit} sessions, the most that \
             the bridge's option max_sessions_per_client allows\""
        )
    };
    let lab = Lab::with(|config| config.max_sessions(4)).await;
    let mut held = Vec::new();
    for number in 0..3 {
        let mut client = lab.client("3.3").await;
        let said = create(&mut client, &format!("id{number}")).await;
        assert!(said.starts_with("SESSION STATUS RESULT=OK"), "{said}");
        held.push(client);
    }
    let mut fourth = lab.client("3.3").await;
    assert_eq!(create(&mut fourth, "id3").await, refused("this address", 3));
    held.pop();
    lab.settles(|stats| stats.sessions == 2).await;
    let said = create(&mut fourth, "id3").await;
    assert!(said.starts_with("SESSION STATUS RESULT=OK"), "{said}");

    // Users that log in from one address are different clients.
    let mut users = Users::new();
    users.add("ann", "a").expect("added");
    users.add("bob", "b").expect("added");
    users.set_required(true).expect("there are users");
    let lab = Lab::with(|config| config.users(users).max_sessions_per_client(1)).await;
    let login = async |name: &str| {
        let mut client = lab.raw().await;
        let hello = format!("HELLO VERSION MIN=3.2 USER={name} PASSWORD={}", &name[..1]);
        let said = client.ask(&hello).await;
        assert!(said.starts_with("HELLO REPLY RESULT=OK"), "{said}");
        client
    };
    let mut ann = login("ann").await;
    let said = create(&mut ann, "ann").await;
    assert!(said.starts_with("SESSION STATUS RESULT=OK"), "{said}");
    let mut again = login("ann").await;
    assert_eq!(create(&mut again, "ann2").await, refused("this user", 1));
    let mut bob = login("bob").await;
    let said = create(&mut bob, "bob").await;
    assert!(said.starts_with("SESSION STATUS RESULT=OK"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn clients_killed_at_every_step_leave_no_state() {
    let lab = Lab::new().await;
    let (peer, destination) = lab.session("peer", "STYLE=STREAM").await;
    let steps = [
        "HELLO VERSION".to_owned(),
        "DEST GENERATE".to_owned(),
        "NAMING LOOKUP NAME=nobody.i2p".to_owned(),
        "SESSION CREATE STYLE=PRIMARY ID=killed DESTINATION=TRANSIENT".to_owned(),
        "SESSION ADD STYLE=STREAM ID=sub".to_owned(),
        "SESSION ADD STYLE=RAW ID=raw PORT=9".to_owned(),
        "SESSION REMOVE ID=raw".to_owned(),
    ];
    for end in 0..=steps.len() {
        for answered in [false, true] {
            let mut client = lab.raw().await;
            for (number, step) in steps.iter().take(end).enumerate() {
                client.say(step).await;
                if answered || number + 1 < end {
                    client.line().await;
                }
            }
            kill(client);
        }
    }
    for last in [
        format!("STREAM CONNECT ID=peer DESTINATION={destination}"),
        "STREAM CONNECT ID=peer DESTINATION=nobody.i2p".to_owned(),
        "STREAM ACCEPT ID=peer".to_owned(),
        "STREAM ACCEPT ID=peer SILENT=true".to_owned(),
        "STREAM FORWARD ID=peer PORT=9".to_owned(),
    ] {
        let mut client = lab.client("3.1").await;
        client.say(&last).await;
        sleep(Duration::from_millis(20)).await;
        kill(client);
    }
    lab.settles(|stats| stats.connections == 1 && stats.sessions == 1 && stats.subsessions == 0)
        .await;
    // A stream whose client ended before the stream was open is not passed to another client.
    drop(peer);
    sleep(Duration::from_secs(700)).await;
    lab.empties().await;
    a_session_works(&lab).await;
}

#[tokio::test(start_paused = true)]
async fn clients_killed_during_transfers_leave_no_state() {
    let lab = Lab::new().await;
    let (mut peer, destination) = lab.session("peer", "STYLE=DATAGRAM").await;
    // In the middle of a datagram.
    let (mut sender, _) = lab.session("sender", "STYLE=DATAGRAM").await;
    sender
        .write(format!("DATAGRAM SEND DESTINATION={destination} SIZE=30000\nhalf").as_bytes())
        .await;
    sleep(Duration::from_millis(20)).await;
    kill(sender);
    assert_eq!(peer.ask("PING").await, "PONG");
    // On either side of a stream, and of one that is forwarded.
    let (streams, destination) = lab.session("streams", "STYLE=STREAM").await;
    for side in 0..2 {
        let mut accepting = lab.client("3.1").await;
        accepting.ask("STREAM ACCEPT ID=streams").await;
        let mut connecting = lab.client("3.1").await;
        let connect = format!("STREAM CONNECT ID=streams DESTINATION={destination}");
        assert_eq!(connecting.ask(&connect).await, "STREAM STATUS RESULT=OK");
        accepting.line().await;
        let mut ends = [connecting, accepting];
        for end in &mut ends {
            end.write(&[7; 10_000]).await;
        }
        let [connecting, accepting] = ends;
        let (killed, mut left) = match side {
            0 => (connecting, accepting),
            _ => (accepting, connecting),
        };
        kill(killed);
        left.rest().await;
    }
    let server = tokio::net::TcpListener::bind(crate::lab::LOOPBACK)
        .await
        .expect("a port");
    let port = server.local_addr().expect("bound").port();
    let mut forwarding = lab.client("3.1").await;
    forwarding
        .ask(&format!("STREAM FORWARD ID=streams PORT={port}"))
        .await;
    let mut connecting = lab.client("3.1").await;
    let connect = format!("STREAM CONNECT ID=streams DESTINATION={destination}");
    assert_eq!(connecting.ask(&connect).await, "STREAM STATUS RESULT=OK");
    let (socket, _) = server.accept().await.expect("a stream");
    kill(Client { socket });
    connecting.rest().await;
    kill(forwarding);
    drop((peer, streams, connecting));
    lab.empties().await;
    a_session_works(&lab).await;
}

#[tokio::test]
async fn clients_of_tls_and_unix_sockets_leave_no_state() {
    use tokio_rustls::rustls::{ServerConfig, pki_types::PrivateKeyDer};

    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("made");
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let tls = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("they fit");
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("sam.sock");
    let lab = Lab::with(|builder| {
        let address = crate::lab::LOOPBACK.parse().expect("an address");
        let builder = builder.listen_tls(address, std::sync::Arc::new(tls));
        if cfg!(unix) {
            builder.listen_unix(&path)
        } else {
            builder
        }
    })
    .await;
    for said in [
        &b""[..],
        b"HELLO VERSION\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        &[0; 20_000],
    ] {
        let socket = tokio::net::TcpStream::connect(lab.bridge.tcp_addrs()[1])
            .await
            .expect("it listens");
        let mut client = Client { socket };
        client.write(said).await;
        kill(client);
    }
    #[cfg(unix)]
    for said in [
        &b""[..],
        b"HELLO VERSION\n",
        b"HELLO VERSION\nSESSION CREATE STYLE=STREAM ID=x DESTINATION=TRANSIENT\n",
        b"\0\n",
    ] {
        let mut socket = tokio::net::UnixStream::connect(&path)
            .await
            .expect("it listens");
        tokio::io::AsyncWriteExt::write_all(&mut socket, said)
            .await
            .expect("written");
    }
    // Two more tasks listen in this test.
    lab.settles(|stats| stats.connections == 0 && stats.sessions == 0 && stats.tasks <= 5)
        .await;
    let (control, _) = lab.session("works", "STYLE=STREAM").await;
    drop(control);
}

/// Ends a socket as the exit of a process with unread data does.
fn kill(client: Client) {
    socket2::SockRef::from(&client.socket)
        .set_linger(Some(Duration::ZERO))
        .expect("can be set");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_nothing_is_closed() {
    let lab = Lab::new().await;
    let mut client = lab.client("3.1").await;
    let line = format!("NAMING LOOKUP NAME={}\n", "x".repeat(10_000));
    let flood = async {
        loop {
            if tokio::io::AsyncWriteExt::write_all(&mut client.socket, line.as_bytes())
                .await
                .is_err()
            {
                break;
            }
        }
    };
    timeout(Duration::from_secs(600), flood)
        .await
        .expect("the bridge ends the socket");
    lab.empties().await;
    a_session_works(&lab).await;
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_datagrams_is_dropped_and_counted() {
    let lab = Lab::new().await;
    let (control, _) = lab.session("a", "STYLE=RAW").await;
    let socket = tokio::net::UdpSocket::bind(crate::lab::LOOPBACK)
        .await
        .expect("a port");
    for number in 0..500 {
        let packet = format!("3.0 a nobody{number}.i2p\nhello");
        socket
            .send_to(packet.as_bytes(), lab.udp())
            .await
            .expect("sent");
        tokio::task::yield_now().await;
    }
    lab.settles(|stats| stats.datagrams_dropped >= 400).await;
    drop(control);
    lab.empties().await;
    a_session_works(&lab).await;
}
