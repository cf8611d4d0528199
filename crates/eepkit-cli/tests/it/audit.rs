//! All that `eepkit run` sends to the network, and opens to resolve a name, while its services are
//! used. strace records it.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    process::Command,
    thread,
    time::Duration,
};

use serde_json::Value;
use tokio::time::Instant;

use crate::{
    network::Net,
    run::{Running, eepkit},
};

#[test]
fn a_program_with_all_services_resolves_no_name_and_dials_only_loopback() {
    if Command::new("strace").arg("-V").output().is_err() {
        let is_required = std::env::var("EEPKIT_INTEROP").is_ok_and(|value| value == "required");
        assert!(!is_required, "strace is not installed");
        let _ = writeln!(std::io::stdout(), "SKIP: strace is not installed");
        return;
    }
    let net = Net::start();
    let web = web_server();
    let echo = udp_echo();
    let path = |name: &str| net.file(name).display().to_string();
    let [site, dns] = ["site.dat", "dns.dat"].map(|file| {
        let made = eepkit()
            .args(["keys", "new", "--json", &path(file)])
            .output();
        let made = made.expect("runs");
        let made: Value = serde_json::from_slice(&made.stdout).expect("JSON");
        made["b32"].as_str().expect("an address").to_owned()
    });
    let text = configuration(net.i2cp(0), web, echo, &site, &dns);
    fs::write(net.file("eepkit.toml"), text).expect("written");
    let mut command = Command::new("strace");
    command
        .args([
            "-f",
            "-qq",
            "-s",
            "300",
            "-e",
            "trace=%network,openat,open",
            "-o",
            &path("log"),
        ])
        .arg(eepkit().get_program())
        .args(["run", "--json", "--config", &path("eepkit.toml")])
        .env("EEPKIT_ADDRESSBOOK", path("names.redb"))
        .env("EEPKIT_CONTROL", path("control.sock"));
    let mut running = Running::start_for_output(command);
    let line = running.wait_for_line("");
    let addresses: Value = serde_json::from_str(&line).expect("one JSON object on one line");
    let at = |kind: &str, transport: &str| -> SocketAddr {
        let address = addresses[kind][0][transport][0].as_str();
        let address = address.unwrap_or_else(|| panic!("{kind} {transport}: {line}"));
        address.parse().expect("an address")
    };
    let subscribed = eepkit()
        .args(["addressbook", "subscribe", "http://unknown.i2p/hosts.txt"])
        .env("EEPKIT_ADDRESSBOOK", path("names.redb"))
        .env("EEPKIT_CONTROL", path("control.sock"))
        .output()
        .expect("runs");
    assert!(subscribed.status.success(), "{subscribed:?}");

    // The site is reached over the proxies and a client tunnel.
    let proxy = at("http-proxy", "tcp");
    let get = |host: &str| {
        ask(
            proxy,
            &format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"),
        )
    };
    let end = Instant::now() + Duration::from_secs(90);
    while !get(&site).contains("hello") {
        assert!(Instant::now() < end, "{}", get(&site));
        thread::park_timeout(Duration::from_millis(200));
    }
    let request = format!("GET / HTTP/1.1\r\nHost: {site}\r\nConnection: close\r\n\r\n");
    assert!(ask(at("client-tunnel", "tcp"), &request).contains("hello"));
    let socks = at("socks", "tcp");
    assert!(socks5(socks, &site, 80, &request).contains("hello"));
    let datagram = UdpSocket::bind("127.0.0.1:0").expect("a port");
    datagram
        .set_read_timeout(Some(Duration::from_secs(1)))
        .expect("can be set");
    let arrived = (0..60).any(|_| {
        datagram
            .send_to(b"datagram", at("udp-client", "udp"))
            .expect("sent");
        datagram.recv(&mut [0; 100]).is_ok()
    });
    assert!(arrived, "no datagram came back");

    // Nothing of this is on I2P.
    for host in [
        "example.com",
        "192.0.2.1",
        "[2001:db8::1]",
        "localhost",
        "unknown.i2p",
        "eepkit",
    ] {
        assert!(!get(host).contains("hello"), "{host}");
        let connect = format!("CONNECT {host}:443 HTTP/1.1\r\nConnection: close\r\n\r\n");
        assert!(!ask(proxy, &connect).starts_with("HTTP/1.1 200"), "{host}");
        assert_eq!(socks5(socks, host, 80, &request), "", "{host}");
    }
    // SOCKS 4 and 4a, Tor's RESOLVE, UDP associations.
    for bytes in [
        &b"\x04\x01\x00\x50\xc0\x00\x02\x01\x00"[..],
        b"\x04\x01\x00\x50\x00\x00\x00\x01\x00example.com\x00",
        b"\x05\x01\x00\x05\xf0\x00\x03\x0bexample.com\x00\x50",
        b"\x05\x01\x00\x05\x03\x00\x03\x0bexample.com\x00\x50",
    ] {
        let mut client = TcpStream::connect(socks).expect("it listens");
        client.write_all(bytes).expect("written");
        client
            .set_read_timeout(Some(Duration::from_secs(10)))
            .expect("can be set");
        assert!(
            client.read(&mut [0; 100]).is_ok_and(|count| count > 0),
            "{bytes:?}"
        );
    }
    for line in [
        "NAMING LOOKUP NAME=example.com",
        "NAMING LOOKUP NAME=unknown.i2p",
    ] {
        let mut client = BufReader::new(TcpStream::connect(at("sam", "tcp")).expect("it listens"));
        client
            .get_mut()
            .write_all(b"HELLO VERSION\n")
            .expect("written");
        client
            .get_mut()
            .write_all(format!("{line}\n").as_bytes())
            .expect("written");
        let mut said = String::new();
        client.read_line(&mut said).expect("an answer");
        client.read_line(&mut said).expect("an answer");
        assert!(said.contains("NAMING REPLY RESULT="), "{said}");
    }

    let stopped = eepkit()
        .args(["stop", "--control", &path("control.sock")])
        .output()
        .expect("runs");
    assert!(stopped.status.success(), "{stopped:?}");
    running.wait_for_success();
    check(
        &fs::read_to_string(net.file("log")).expect("a log"),
        net.i2cp(0),
        web,
    );
}

/// Checks what strace has recorded.
fn check(log: &str, router: &str, web: SocketAddr) {
    let mut dialled = Vec::new();
    for line in log.lines() {
        let between = |from: &str, to: &str| {
            let (_, rest) = line.split_once(from)?;
            Some(rest.split_once(to)?.0)
        };
        // The addresses of calls that send, as opposed to those that report addresses.
        let sends = ["connect(", "sendto(", "sendmsg(", "sendmmsg("];
        let is_sent = sends.iter().any(|call| line.contains(call));
        let ip = between("inet_addr(\"", "\"").or_else(|| between("inet_pton(AF_INET6, \"", "\""));
        if let Some(ip) = ip.filter(|_| is_sent) {
            let ip: std::net::IpAddr = ip.parse().expect("an address");
            assert!(ip.is_loopback(), "{line}");
            let port: u16 = between("port=htons(", ")")
                .and_then(|port| port.parse().ok())
                .expect(line);
            dialled.push(SocketAddr::new(ip, port));
        }
        if line.contains("bind(") && line.contains("AF_INET") {
            assert!(
                ip.is_some_and(|ip| ip == "127.0.0.1" || ip == "::1"),
                "{line}"
            );
        }
        // What resolving a name would open: the files of the C library, or the socket of a daemon.
        for of_a_resolver in [
            "resolv.conf",
            "/etc/hosts",
            "nsswitch.conf",
            "libnss",
            "nscd",
            "systemd/resolve",
        ] {
            assert!(!line.contains(of_a_resolver), "{line}");
        }
        let other_family = is_sent && (line.contains("AF_PACKET") || line.contains("AF_NETLINK"));
        assert!(!other_family, "{line}");
    }
    // The log has what was used.
    let router: SocketAddr = router.parse().expect("an address");
    assert!(
        dialled.contains(&router) && dialled.contains(&web),
        "{dialled:?}"
    );
}

fn configuration(router: &str, web: SocketAddr, echo: SocketAddr, site: &str, dns: &str) -> String {
    let options = "options = { \"inbound.length\" = 1, \"outbound.length\" = 1, \
                   \"inbound.quantity\" = 1, \"outbound.quantity\" = 1 }";
    let sections = [
        "[http-proxy]\nlisten = \"127.0.0.1:0\"\njump_services = [\"http://jump.i2p/?a=\"]"
            .to_owned(),
        "[socks]\nlisten = \"127.0.0.1:0\"".to_owned(),
        "[sam]\nlisten = \"127.0.0.1:0\"\nudp = \"127.0.0.1:0\"".to_owned(),
        format!("[http-server-tunnel]\nkeys = \"site.dat\"\ntarget = \"{web}\""),
        format!("[client-tunnel]\nlisten = \"127.0.0.1:0\"\ndestination = \"{site}:80\""),
        format!("[udp-server]\nkeys = \"dns.dat\"\nport = 53\ntarget = \"{echo}\""),
        format!("[udp-client]\nlisten = \"127.0.0.1:0\"\ndestination = \"{dns}:53\""),
    ];
    let sections: Vec<_> = sections
        .iter()
        .map(|one| format!("{one}\n{options}\n"))
        .collect();
    format!(
        "[router]\nrouter = \"i2cp://{router}\"\n{}",
        sections.join("\n")
    )
}

/// A web server that answers each connection.
fn web_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    thread::spawn(move || {
        for mut client in listener.incoming().map_while(Result::ok) {
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n")
                && client.read(&mut byte).is_ok_and(|count| count > 0)
            {
                head.push(byte[0]);
            }
            let _ = client.write_all(
                b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
            );
        }
    });
    address
}

/// A UDP server that sends back each datagram.
fn udp_echo() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let address = socket.local_addr().expect("bound");
    thread::spawn(move || {
        let mut buffer = [0; 2000];
        while let Ok((count, from)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(&buffer[..count], from);
        }
    });
    address
}

/// Sends a request, and reads until the end or an error.
fn ask(to: SocketAddr, request: &str) -> String {
    let mut client = TcpStream::connect(to).expect("it listens");
    client.write_all(request.as_bytes()).expect("written");
    rest(client)
}

/// Sends a request over SOCKS 5. Nothing is returned if the connection is refused.
fn socks5(proxy: SocketAddr, host: &str, port: u16, request: &str) -> String {
    let mut client = TcpStream::connect(proxy).expect("it listens");
    let mut bytes = vec![
        5,
        1,
        0,
        5,
        1,
        0,
        3,
        u8::try_from(host.len()).expect("short"),
    ];
    bytes.extend(host.as_bytes());
    bytes.extend(port.to_be_bytes());
    client.write_all(&bytes).expect("written");
    let mut reply = [0; 12];
    client
        .set_read_timeout(Some(Duration::from_secs(90)))
        .expect("can be set");
    // The method, and the reply with an IPv4 address.
    let answered = client.read_exact(&mut reply).is_ok() && reply[3] == 0;
    if !answered || client.write_all(request.as_bytes()).is_err() {
        return String::new();
    }
    rest(client)
}

fn rest(mut client: TcpStream) -> String {
    client
        .set_read_timeout(Some(Duration::from_secs(90)))
        .expect("can be set");
    let mut bytes = Vec::new();
    // An error ends the answer, too.
    let _ = client.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}
