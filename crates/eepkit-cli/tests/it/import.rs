//! Tests of `eepkit import`: the written files, and that they can be used.

use std::fs;

use insta::assert_snapshot;

use crate::run::{report, run_in};

const SAM_CONFIG: &str = "\
sam.auth=true
sam.auth.foo.shash=AAECAwQFBgcICQoLDA0OD-SAyCqVBiD41fc5exhKbuYMzpxHAxJDrA8ep0~cE8KM
sam.useSSL=true
sam.keystoreFile=sam-abc.ks
sam.keystorePassword=changeit
sam.keyPassword=sesame
inbound.quantity=3
inbound.length=9
";

const CLIENTS_CONFIG: &str = "\
clientApp.0.args=sam.keys 127.0.0.1 7656 i2cp.tcp.host=127.0.0.1 i2cp.tcp.port=7654
clientApp.0.main=net.i2p.sam.SAMBridge
clientApp.0.startOnLoad=true
";

#[test]
fn a_bridge_of_java_becomes_a_file_that_can_be_used() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path();
    fs::write(path.join("sam.config"), SAM_CONFIG).expect("written");
    fs::write(path.join("clients.config"), CLIENTS_CONFIG).expect("written");
    let import = ["import", "sam", "sam.config", "clients.config"];

    let printed = run_in(path, &[&import[..], &["--print"]].concat());
    assert_snapshot!("printed", report(&printed));
    assert!(!path.join("eepkit.toml").exists(), "it only printed");

    let made = run_in(path, &import);
    assert_snapshot!("made", report(&made));
    let config = fs::read_to_string(path.join("eepkit.toml")).expect("written");
    assert_eq!(config, String::from_utf8_lossy(&printed.stdout));
    let users = fs::read_to_string(path.join("sam-users.json")).expect("written");
    assert!(
        users.contains("\"required\": true") && users.contains("foo"),
        "{users}"
    );
    // The certificate does not exist yet, as the output stated.
    let checked = run_in(path, &["run", "--config", "eepkit.toml", "--check"]);
    assert_eq!(checked.status.code(), Some(7), "{}", report(&checked));
    assert!(report(&checked).contains("cannot read sam.crt"));

    let again = run_in(path, &import);
    assert_eq!(again.status.code(), Some(7));
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(
        said.contains("eepkit.toml exists already") && said.contains("hint: --force"),
        "{said}"
    );
    let forced = run_in(path, &[&import[..], &["--force", "--quiet"]].concat());
    assert!(forced.status.success(), "{}", report(&forced));

    let made = run_in(
        path,
        &["import", "sam", "clients.config", "--directory", ".", "-fq"],
    );
    assert!(made.status.success(), "{}", report(&made));
    let checked = run_in(path, &["run", "--config", "eepkit.toml", "--check"]);
    assert!(checked.status.success(), "{}", report(&checked));
}

#[cfg(unix)]
#[test]
fn only_the_owner_can_read_the_written_files() {
    use std::os::unix::fs::PermissionsExt as _;

    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path();
    fs::write(path.join("sam.config"), SAM_CONFIG).expect("written");
    let made = run_in(path, &["import", "sam", "sam.config"]);
    assert!(made.status.success(), "{}", report(&made));
    for file in ["eepkit.toml", "sam-users.json"] {
        let mode = fs::metadata(path.join(file)).expect(file).permissions();
        assert_eq!(mode.mode() & 0o777, 0o600, "{file}");
    }
}

#[test]
fn files_without_a_bridge_are_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path();
    fs::write(
        path.join("clients.config"),
        "clientApp.0.main=net.i2p.BOB\n",
    )
    .expect("written");
    for (files, said) in [
        #[cfg(unix)]
        (
            "/dev/zero",
            "cannot read /dev/zero: the file is longer than",
        ),
        (
            "clients.config",
            "no SAM bridge of Java I2P is configured there",
        ),
        ("none.config", "cannot read none.config"),
    ] {
        let refused = run_in(path, &["import", "sam", files]);
        assert_eq!(refused.status.code(), Some(7));
        let stderr = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(stderr.contains(said), "{stderr}");
    }
}

const TUNNELS_CONF: &str = "\
[irc]
type = client
port = 6668
destination = irc.ilita.i2p
destinationport = 6667
keys = irc-keys.dat

[web]
type = http
host = 127.0.0.1
port = 80
";

#[test]
fn tunnels_of_i2pd_become_a_file_that_can_be_used() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path();
    fs::write(path.join("tunnels.conf"), TUNNELS_CONF).expect("written");
    let split = path.join("tunnels.d");
    fs::create_dir(&split).expect("made");
    let dns = "[dns]\ntype = udpclient\nport = 5353\ndestination = dns.i2p\ndestinationport = 53\n";
    fs::write(split.join("dns.conf"), dns).expect("written");
    fs::write(split.join("README"), "no tunnel").expect("written");
    let made = run_in(path, &["import", "i2pd", "tunnels.conf", "tunnels.d"]);
    let said = report(&made).replace(&path.display().to_string(), "DIR");
    assert!(made.status.success(), "{said}");
    for part in [
        "tunnels.conf, line 2: [irc] type taken over: the section in [client-tunnel]",
        "irc-keys.dat does not exist, so its tunnel would get a new destination",
        "warning: tunnels.conf, line 8: [web] not taken over: it has no keys",
        "took 2 of 3 tunnels over",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let checked = run_in(path, &["config", "check", "eepkit.toml"]);
    assert!(checked.status.success(), "{}", report(&checked));
    let config = fs::read_to_string(path.join("eepkit.toml")).expect("written");
    assert!(config.contains("destination = \"dns.i2p:53\""), "{config}");
    let again = run_in(path, &["import", "i2pd", "tunnels.conf"]);
    assert_eq!(again.status.code(), Some(7), "{}", report(&again));
}

#[test]
fn tunnels_of_java_are_printed() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path();
    let text = "tunnel.0.name=mail\ntunnel.0.type=client\ntunnel.0.listenPort=7659\n\
                tunnel.0.targetDestination=smtp.postman.i2p:25\n";
    fs::write(path.join("i2ptunnel.config"), text).expect("written");
    let import = ["import", "i2ptunnel", "i2ptunnel.config", "--print"];
    assert_snapshot!(report(&run_in(path, &import)));
    fs::write(path.join("bad.conf"), "[a]\nx\n").expect("written");
    let bad = run_in(path, &["import", "i2pd", "bad.conf"]);
    assert_eq!(bad.status.code(), Some(7));
    assert!(
        report(&bad).contains("error: bad.conf, line 2: expected"),
        "{}",
        report(&bad)
    );
}
