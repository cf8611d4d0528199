use std::fmt::Write as _;

use super::*;

fn source(name: &str, text: &str) -> Source {
    Source {
        name: name.to_owned(),
        text: text.to_owned(),
    }
}

fn i2pd(text: &str) -> Imported {
    let files = [source("tunnels.conf", text)];
    Imported::from_i2pd(&files, Path::new("/var/lib/i2pd")).expect("it can be read")
}

fn java(text: &str) -> Imported {
    let files = [source("i2ptunnel.config", text)];
    Imported::from_java(&files, Path::new("/var/lib/i2p")).expect("it can be read")
}

/// The notes with an outcome, without file and tunnel.
fn notes(imported: &Imported, outcome: Outcome) -> Vec<String> {
    let wanted = imported
        .notes()
        .iter()
        .filter(|note| note.outcome == outcome);
    let shown = wanted.map(|note| {
        let key = note.key.as_deref().unwrap_or("tunnel");
        format!("{} {key}: {}", note.line, note.text)
    });
    shown.collect()
}

#[test]
fn client_tunnels_of_i2pd_keep_their_meaning() {
    let imported = i2pd(
        "\
; a comment
[IRC-ILITA]
type = client
address = 127.0.0.1
port = 6668
destination = irc.ilita.i2p
destinationport = 6667
keys = irc-keys.dat
i2p.streaming.profile=2
inbound.length = 2
connecttimeout = 30
keepaliveinterval = 60
signaturetype = 7
cryptotype = 4
gzip = true
matchtunnels = true

[SMTP]
type = client
port = 7659
destination = smtp.postman.i2p
keys = transient-mail
",
    );
    assert_eq!(
        imported.to_toml(),
        "\
[[client-tunnel]]
name = \"IRC-ILITA\"
listen = \"127.0.0.1:6668\"
destination = \"irc.ilita.i2p:6667\"
connect_timeout = \"30s\"
keep_alive = \"60s\"
keys = \"/var/lib/i2pd/irc-keys.dat\"
options = { \"inbound.length\" = \"2\" }

[[client-tunnel]]
name = \"SMTP\"
listen = \"127.0.0.1:7659\"
destination = \"smtp.postman.i2p\"
shared = \"transient-mail\"
"
    );
    assert_eq!(
        notes(&imported, Outcome::Refused),
        [
            "15 gzip: i2pd does not use it there either",
            "16 matchtunnels: tunnels cannot be made to end at the router of the destination",
        ]
    );
    let changed = notes(&imported, Outcome::Changed);
    assert!(
        changed[0].starts_with("9 i2p.streaming.profile: it has no effect any more"),
        "{changed:?}"
    );
    assert_eq!(imported.tunnels(), 2);
    let files: Vec<_> = imported.key_files().collect();
    assert_eq!(files, [Path::new("/var/lib/i2pd/irc-keys.dat")]);
}

#[test]
fn server_tunnels_of_i2pd_keep_their_port_and_their_access_list() {
    let peer = "a".repeat(51) + "a";
    let imported = i2pd(&format!(
        "\
[ssh]
type = server
host = 127.0.0.1
port = 22
keys = ssh.dat
accesslist = {peer}, {peer}.b32.i2p
i2cp.leaseSetEncType = 4
[irc]
type = irc
host = 127.0.0.1
port = 6667
inport = 6668
keys = irc.dat
webircpassword = secret
ssl = true
enableuniquelocal = false
[dns]
type = udpserver
host = 127.0.0.1
port = 53
keys = dns.dat
gzip = true
"
    ));
    assert_eq!(
        imported.to_toml(),
        format!(
            "\
[[server-tunnel]]
name = \"ssh\"
target = \"127.0.0.1:22\"
port = 22
unique_local = true
allow = [\"{peer}.b32.i2p\", \"{peer}.b32.i2p\"]
keys = \"/var/lib/i2pd/ssh.dat\"
options = {{ \"i2cp.gzip\" = \"false\", \"i2cp.leaseSetEncType\" = \"4\" }}

[[irc-server]]
name = \"irc\"
target = \"tls:127.0.0.1:6667\"
port = 6668
unique_local = false
webirc_password = \"secret\"
keys = \"/var/lib/i2pd/irc.dat\"
options = {{ \"i2cp.gzip\" = \"false\" }}

[[udp-server]]
name = \"dns\"
target = \"127.0.0.1:53\"
port = 53
unique_local = true
keys = \"/var/lib/i2pd/dns.dat\"
options = {{ \"i2cp.gzip\" = \"true\" }}
"
        )
    );
    // No password is in the report.
    let report: String = imported
        .notes()
        .iter()
        .map(|note| format!("{note}\n"))
        .collect();
    assert!(!report.contains("secret"), "{report}");
    assert!(
        report.contains(
            "tunnels.conf, line 2: [ssh] type taken over: the section in [server-tunnel]"
        )
    );
}

#[test]
fn tunnels_that_would_be_less_safe_are_refused() {
    for (text, why) in [
        (
            "type = server\nhost = 127.0.0.1\nport = 1\nkeys = a\naccesslist = x!\n",
            "accesslist has an entry",
        ),
        (
            "type = server\nhost = example.org\nport = 1\nkeys = a\n",
            "no IP address",
        ),
        (
            "type = server\nhost = 127.0.0.1\nport = 0\nkeys = a\n",
            "its port is no port",
        ),
        (
            "type = server\nhost = 127.0.0.1\nport = 80\n",
            "it has no keys",
        ),
        ("type = client\nport = 80\n", "it has no destination"),
        (
            "type = client\nport = 80\ndestination = example.org\n",
            "destination cannot be used",
        ),
        ("type = websocks\nport = 80\n", "WebSocket"),
        ("type = magic\n", "there is no type"),
        ("port = 80\n", "it has no type"),
        (
            "type = server\nhost = 192.0.2.1\nport = 443\nssl = true\nkeys = a\n",
            "invalid",
        ),
    ] {
        let imported = i2pd(&format!("[x]\n{text}"));
        assert_eq!(imported.to_toml(), "", "{text}");
        let refused = notes(&imported, Outcome::Refused);
        assert!(
            refused.iter().any(|note| note.contains(why)),
            "{text}: {refused:?}"
        );
        assert_noted(&imported, &format!("[x]\n{text}"));
    }
}

#[test]
fn files_that_i2pd_cannot_read_are_errors_with_their_line() {
    for (text, line) in [
        ("[a\n", 1),
        ("port = 1\n", 1),
        ("[a]\nx\n", 2),
        ("[a]\nx = 1\nx = 2\n", 3),
        ("[a]\n\n[a]\n", 3),
        ("[a]\n= 1\n", 2),
    ] {
        let files = [source("tunnels.conf", text)];
        let error = Imported::from_i2pd(&files, Path::new("/")).expect_err(text);
        assert_eq!(error.line, line, "{error}");
    }
}

#[test]
fn proxies_of_i2pd_use_no_proxy_on_the_public_internet() {
    let imported = i2pd(
        "\
[web]
type = httpproxy
port = 4445
outproxy = http://exit.i2p:8888/
addresshelper = false
[tor]
type = socks
port = 4448
outproxy = 127.0.0.1
destinationport = 9050
keys = socks.dat
",
    );
    assert_eq!(
        imported.to_toml(),
        "\
[[http-proxy]]
name = \"web\"
listen = \"127.0.0.1:4445\"
outproxies = [\"exit.i2p:8888\"]
address_helper = false

[[socks]]
name = \"tor\"
listen = \"127.0.0.1:4448\"
"
    );
    let refused = notes(&imported, Outcome::Refused);
    assert_eq!(refused.len(), 3, "{refused:?}");
}

const JAVA: &str = "\
# NOTE: This I2P config file must use UTF-8 encoding
tunnel.0.name=Irc2P
tunnel.0.description=IRC tunnel
tunnel.0.type=ircclient
tunnel.0.sharedClient=false
tunnel.0.interface=127.0.0.1
tunnel.0.listenPort=6668
tunnel.0.targetDestination=irc.00.i2p:6667,irc.postman.i2p:6667
tunnel.0.i2cpHost=127.0.0.1
tunnel.0.i2cpPort=7654
tunnel.0.option.inbound.nickname=Irc2P
tunnel.0.option.i2cp.closeIdleTime=1200000
tunnel.0.option.i2cp.closeOnIdle=true
tunnel.0.option.i2cp.delayOpen=true
tunnel.0.option.i2cp.destination.sigType=7
tunnel.0.option.i2cp.newDestOnResume=true
tunnel.0.option.i2cp.reduceIdleTime=600000
tunnel.0.option.i2cp.reduceOnIdle=true
tunnel.0.option.i2cp.reduceQuantity=1
tunnel.0.option.i2p.streaming.connectDelay=1000
tunnel.0.option.i2p.streaming.maxWindowSize=16
tunnel.0.option.inbound.length=3
tunnel.0.option.outbound.priority=15
tunnel.0.option.i2ptunnel.ircclient.enableDCC=true
tunnel.0.startOnLoad=true
tunnel.1.name=ssh
tunnel.1.type=server
tunnel.1.targetHost=localhost
tunnel.1.targetPort=22
tunnel.1.privKeyFile=ssh.dat
tunnel.1.option.enableUniqueLocal=true
tunnel.1.option.targetForPort.80=127.0.0.1:8080
tunnel.1.option.i2cp.enableBlackList=true
tunnel.1.option.i2cp.accessList=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=
tunnel.1.option.i2ptunnel.usePool=true
tunnel.1.startOnLoad=false
tunnel.2.name=web
tunnel.2.type=httpclient
tunnel.2.listenPort=4444
tunnel.2.proxyList=false.i2p
tunnel.2.option.i2ptunnel.httpclient.sendReferer=true
tunnel.2.option.i2cp.reduceOnIdle=true
tunnel.2.option.proxyAuth=digest
tunnel.2.option.proxy.auth.me.sha256=0123
tunnel.3.name=mail
tunnel.3.type=client
tunnel.3.listenPort=7659
tunnel.3.targetDestination=smtp.postman.i2p:25
";

#[test]
fn tunnels_of_java_keep_their_meaning() {
    let imported = java(JAVA);
    assert_eq!(imported.to_toml(), "\
# IRC tunnel
[[irc-client]]
name = \"Irc2P\"
listen = \"127.0.0.1:6668\"
destination = [\"irc.00.i2p:6667\", \"irc.postman.i2p:6667\"]
reduce_idle = \"600000ms\"
close_idle = \"1200000ms\"
reduce_quantity = 1
delay_open = true
new_keys = true
options = { \"i2cp.destination.sigType\" = \"7\", \"i2p.streaming.maxWindowSize\" = \"16\", \"inbound.length\" = \"3\", \"outbound.priority\" = \"15\" }

[[server-tunnel]]
name = \"ssh\"
enabled = false
target = \"127.0.0.1:22\"
deny = [\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.b32.i2p\"]
keys = \"/var/lib/i2p/ssh.dat\"
unique_local = true
targets = { \"80\" = \"127.0.0.1:8080\" }

[[http-proxy]]
name = \"web\"
enabled = false
listen = \"127.0.0.1:4444\"
send_referer = true
options = { \"i2cp.reduceOnIdle\" = \"true\" }

[[client-tunnel]]
name = \"mail\"
listen = \"127.0.0.1:7659\"
destination = [\"smtp.postman.i2p:25\"]
shared = \"shared clients\"
");
    assert_noted(&imported, JAVA);
    let refused = notes(&imported, Outcome::Refused);
    assert!(
        refused.iter().any(|note| note.contains("enableDCC")),
        "{refused:?}"
    );
    assert!(
        refused.iter().any(|note| note.contains("option.proxyAuth")),
        "{refused:?}"
    );
}

#[test]
fn split_files_of_java_have_one_tunnel_without_prefix() {
    let files = [
        source(
            "00-a.config",
            "type=client\nname=same\nlistenPort=1\ntargetDestination=a.i2p\n",
        ),
        source(
            "01-b.config",
            "type=client\nname=same\nlistenPort=2\ntargetDestination=b.i2p\nsharedClient=false\n",
        ),
    ];
    let imported = Imported::from_java(&files, Path::new("/")).expect("it can be read");
    assert_eq!(imported.sections(), 2);
    // All of them can be used together.
    assert!(check(&imported.to_toml()).is_ok(), "{}", imported.to_toml());
    assert!(imported.to_toml().contains("name = \"same-2\""));
}

#[test]
fn servers_of_irc_and_streams_of_java_are_taken_over() {
    let imported = java(
        "\
tunnel.0.name=irc
tunnel.0.type=ircserver
tunnel.0.targetPort=6667
tunnel.0.privKeyFile=irc.dat
tunnel.0.option.ircserver.method=webirc
tunnel.0.option.ircserver.webircPassword=secret
tunnel.0.option.ircserver.fakeHostname=%c.i2p
tunnel.0.option.ircserver.cloakKey=key
tunnel.1.name=radio
tunnel.1.type=streamrserver
tunnel.1.listenPort=5000
tunnel.1.privKeyFile=radio.dat
tunnel.2.name=listener
tunnel.2.type=streamrclient
tunnel.2.targetHost=127.0.0.1
tunnel.2.targetPort=5001
tunnel.2.targetDestination=radio.i2p
",
    );
    assert_eq!(
        imported.to_toml(),
        "\
[[irc-server]]
name = \"irc\"
target = \"127.0.0.1:6667\"
keys = \"/var/lib/i2p/irc.dat\"
webirc_password = \"secret\"
host = \"%c.i2p\"
cloak_key = \"key\"

[[streamr-server]]
name = \"radio\"
listen = \"127.0.0.1:5000\"
keys = \"/var/lib/i2p/radio.dat\"

[[streamr-client]]
name = \"listener\"
target = \"127.0.0.1:5001\"
destination = \"radio.i2p\"
shared = \"shared clients\"
"
    );
}

/// With the digests of `me:I2P HTTP Proxy:open` and `me:I2P SOCKS Proxy:open`.
const LOGINS: &str = "\
tunnel.0.name=web proxy
tunnel.0.type=httpclient
tunnel.0.listenPort=4444
tunnel.0.proxyList=exit.i2p,other.i2p:8888
tunnel.0.option.outproxyAuth=true
tunnel.0.option.outproxyUsername=all
tunnel.0.option.outproxyPassword=\\secret
tunnel.0.option.outproxyUsername.other.i2p=one
tunnel.0.option.outproxyPassword.other.i2p=a:b
tunnel.0.option.proxyAuth=digest
tunnel.0.option.proxy.auth.me.md5=00
tunnel.0.option.proxy.auth.me.sha256=3d501d9ef1a444d9cfe322b5e96fcbb936174838f5e9bd6c460bbfb99479d9ed
tunnel.1.type=sockstunnel
tunnel.1.name=socks
tunnel.1.listenPort=4447
tunnel.1.option.proxyAuth=true
tunnel.1.option.proxy.auth.me.sha256=d6a23f75b7d5211063a186a3781920f2a7a8cc2baa9311b3e8183a75cf63581d
tunnel.1.option.outproxyAuth=false
tunnel.1.option.outproxyUsername=unused
tunnel.2.type=httpserver
tunnel.2.name=site
tunnel.2.targetHost=127.0.0.1
tunnel.2.targetPort=80
tunnel.2.privKeyFile=new.dat
tunnel.2.option.altPrivKeyFile=old.dat
tunnel.2.spoofedHost=www.example.i2p
tunnel.2.spoofedHost.81=forum.example.i2p
tunnel.2.spoofedHost.x=forum.example.i2p
tunnel.2.option.i2ptunnel.gzip=false
";

#[test]
fn logins_and_second_destinations_of_java_are_taken_over() {
    let imported = java(LOGINS);
    assert_eq!(
        imported.to_toml(),
        "\
[[http-proxy]]
name = \"web proxy\"
listen = \"127.0.0.1:4444\"
outproxies = [\"exit.i2p\", \"other.i2p:8888\"]
outproxy_logins = { \"exit.i2p\" = 'all:\\secret', \"other.i2p:8888\" = \"one:a:b\" }
users = \"http-proxy-web-proxy-users.json\"
require_password = true

[[socks]]
name = \"socks\"
listen = \"127.0.0.1:4447\"
users = \"socks-socks-users.json\"
require_password = true

[[http-server-tunnel]]
name = \"site\"
target = \"127.0.0.1:80\"
keys = \"/var/lib/i2p/new.dat\"
alternative_keys = [\"/var/lib/i2p/old.dat\"]
host = \"www.example.i2p\"
hosts = { 81 = \"forum.example.i2p\" }
compress = false
"
    );
    assert_noted(&imported, LOGINS);
    let users: Vec<_> = imported.users().collect();
    assert_eq!(users.len(), 2);
    for (file, users) in users {
        assert!(imported.to_toml().contains(file), "{file}");
        assert!(
            users.verify("me", "open") && !users.verify("me", "Open"),
            "{file}"
        );
    }
    assert_eq!(imported.key_files().count(), 2);
    let refused = notes(&imported, Outcome::Refused);
    assert_eq!(refused, ["28 spoofedHost.x: it is no port"], "{refused:?}");
}

/// Checks that each setting of a text has a note.
fn assert_noted(imported: &Imported, text: &str) {
    for (index, line) in text.lines().enumerate() {
        let is_setting = line.contains('=') && !line.starts_with(['#', ';']);
        let is_noted = imported.notes().iter().any(|note| note.line == index + 1);
        let mut report = String::new();
        for note in imported.notes() {
            let _ = writeln!(report, "{note}");
        }
        assert!(!is_setting || is_noted, "{line}\n{report}");
    }
}
