//! Tests of the messages for wrong usage, and of how fast they appear.

use std::{net::TcpListener, time::Duration};

use insta::assert_snapshot;
use tokio::time::Instant;

use crate::run::{report, run_in};

fn here(arguments: &[&str]) -> String {
    let directory = tempfile::tempdir().expect("a directory");
    report(&run_in(directory.path(), arguments))
}

/// Returns a port of loopback without a listener. Another program may bind it, but hardly within
/// the fraction of a second in which it is used.
fn unused_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    listener.local_addr().expect("bound").port()
}

#[test]
fn an_invalid_address_is_explained() {
    assert_snapshot!(here(&["connect", "example.com"]), @r#"
    exit code: 2
    ----- stdout -----

    ----- stderr -----
    error: "example.com" is not a name on I2P
    hint: give a destination in base64, a .b32.i2p address, or a name ending in .i2p, each with :port if wanted
    "#);
    assert_snapshot!(here(&["lookup", "http://echo.i2p/"]), @r#"
    exit code: 2
    ----- stdout -----

    ----- stderr -----
    error: "http://echo.i2p/" is a URL, not a destination
    hint: leave out what is before and behind the host name, as in echo.i2p or echo.i2p:80
    "#);
    assert_snapshot!(here(&["ping", "echo.i2p:http"]), @r#"
    exit code: 2
    ----- stdout -----

    ----- stderr -----
    error: "http" is not a port (0 to 65535)
    hint: give a destination in base64, a .b32.i2p address, or a name ending in .i2p, each with :port if wanted
    "#);
    assert_snapshot!(here(&["connect", "short.b32.i2p"]), @r"
    exit code: 2
    ----- stdout -----

    ----- stderr -----
    error: this is not a .b32.i2p address: b32 address has 5 characters, expected 52, or 56 and more for encrypted lease sets
    hint: give a destination in base64, a .b32.i2p address, or a name ending in .i2p, each with :port if wanted
    ");
}

#[test]
fn an_invalid_router_is_explained() {
    assert_snapshot!(here(&["connect", "echo.i2p", "--router", "127.0.0.1:7654"]), @r"
    exit code: 2
    ----- stdout -----

    ----- stderr -----
    error: invalid value '127.0.0.1:7654' for '--router <ROUTER>': expected `embedded`, `i2cp://HOST:PORT` or `sam://HOST:PORT`

    For more information, try '--help'.
    ");
    assert_snapshot!(here(&["connect", "echo.i2p", "--router", "i2cp://example.com:7654"]), @r#"
    exit code: 2
    ----- stdout -----

    ----- stderr -----
    error: --router: this is not the address of a router: "example.com" is not an IP address: names are not looked up, because that would reveal them; use the IP address, or localhost
    "#);
}

#[test]
fn an_invalid_option_is_explained() {
    assert_snapshot!(here(&["listen", "-o", "inbound.length=many"]), @r#"
    exit code: 2
    ----- stdout -----

    ----- stderr -----
    connecting to the router at i2cp://127.0.0.1:7654 ...
    error: cannot get online: session option inbound.length: option inbound.length cannot be "many": allowed is 0 to 7
    "#);
}

#[test]
fn what_a_service_lacks_is_named_by_its_flag() {
    for (arguments, said) in [
        (
            &["tunnel", "client"][..],
            "needs an address for local programs: --listen 127.0.0.1:PORT",
        ),
        (
            &["tunnel", "client", "-l", "127.0.0.1:0"],
            "needs a destination: --destination HOST.i2p:PORT",
        ),
        (
            &["tunnel", "server"],
            "needs a target: --target 127.0.0.1:PORT",
        ),
        (
            &["tunnel", "http-server"],
            "needs a target: --target 127.0.0.1:PORT",
        ),
        (
            &[
                "tunnel",
                "http-server",
                "-t",
                "127.0.0.1:1",
                "--host",
                "a b",
            ],
            "--host cannot be \"a b\": expected HOST or HOST:PORT",
        ),
        (
            &[
                "tunnel",
                "server",
                "--target-for-port",
                "1=127.0.0.1:1",
                "--target-for-port",
                "1=127.0.0.1:2",
            ],
            "--target-for-port has port 1 twice",
        ),
        (
            &["tunnel", "server", "-t", "tls:192.0.2.1:1"],
            "--trust is needed for the target tls:192.0.2.1:1 on another machine: the certificates",
        ),
        (
            &["tunnel", "server", "-t", "192.0.2.1:1", "--unique-local"],
            "--unique-local needs targets on 127.0.0.1",
        ),
        (
            &["tunnel", "irc"],
            "needs an address for local programs: --listen 127.0.0.1:PORT",
        ),
        (
            &["tunnel", "irc", "-l", "127.0.0.1:0"],
            "needs a destination: --destination HOST.i2p:6667",
        ),
        (
            &["tunnel", "irc-server"],
            "needs a target: --target 127.0.0.1:PORT",
        ),
        (
            &["tunnel", "udp"],
            "needs an address for local programs: --listen 127.0.0.1:PORT",
        ),
        (
            &["tunnel", "udp", "-l", "127.0.0.1:0"],
            "needs a destination: --destination HOST.i2p:PORT",
        ),
        (
            &["tunnel", "udp-server"],
            "needs a local server: --target 127.0.0.1:PORT",
        ),
        (
            &["tunnel", "streamr"],
            "needs a local program: --target 127.0.0.1:PORT",
        ),
        (
            &["tunnel", "streamr", "-t", "127.0.0.1:1"],
            "needs a destination: --destination HOST.i2p",
        ),
        (
            &["tunnel", "streamr-server"],
            "needs an address for local programs: --listen 127.0.0.1:PORT",
        ),
        (
            &["tunnel", "connect", "--require-password"],
            "--users <FILE>",
        ),
        (&["http-proxy", "--require-password"], "--users <FILE>"),
        (&["socks-proxy", "--require-password"], "--users <FILE>"),
        (
            &["http-proxy", "--outproxy", "exit.com"],
            "the outproxy \"exit.com\" is no address on I2P",
        ),
        (
            &["serve", "--port", "80", "--host", "a b"],
            "--host cannot be \"a b\"",
        ),
    ] {
        let report = here(arguments);
        assert!(
            report.starts_with("exit code: 2\n"),
            "{arguments:?}: {report}"
        );
        assert!(report.contains(said), "{arguments:?}: {report}");
    }
}

#[test]
fn a_missing_key_file_is_explained() {
    assert_snapshot!(here(&["connect", "--keys", "none.dat", "echo.i2p"]), @r"
    exit code: 7
    ----- stdout -----

    ----- stderr -----
    error: private key file none.dat: No such file or directory (os error 2)
    hint: make one with `eepkit keys new none.dat`
    ");
}

#[test]
fn a_missing_router_is_explained_within_seconds() {
    let router = format!("i2cp://127.0.0.1:{}", unused_port());
    for arguments in [
        &["listen"][..],
        &["connect", "echo.i2p"],
        &["ping", "echo.i2p"],
        &["lookup", "echo.i2p"],
    ] {
        let started = Instant::now();
        let mut arguments = arguments.to_vec();
        arguments.extend(["--router", &router]);

        let report = here(&arguments);

        assert!(
            started.elapsed() < Duration::from_secs(5),
            "{arguments:?} took {:?}",
            started.elapsed()
        );
        insta::with_settings!({filters => vec![(r"127\.0\.0\.1:\d+", "127.0.0.1:PORT")]}, {
            assert_snapshot!("no_router", report);
        });
    }
}

#[cfg(unix)]
#[test]
fn a_login_on_the_command_line_is_warned_of_and_one_in_a_file_is_not() {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("login"), "me:p@ss?word/\n").expect("written");
    let port = unused_port();
    let run = |arguments: &[&str]| report(&run_in(directory.path(), arguments));
    let warning = "warning: other users can read the login in --router";

    let visible = format!("i2cp://me:secret@127.0.0.1:{port}");
    let shown = run(&["listen", "--router", &visible]);
    assert!(
        shown.contains(warning) && !shown.contains("secret"),
        "{shown}"
    );

    let hidden = format!("i2cp://127.0.0.1:{port}");
    let shown = run(&["listen", "--router", &hidden, "--login-file", "login"]);
    assert!(
        !shown.contains(warning) && shown.contains("exit code: 3"),
        "{shown}"
    );
    assert!(!shown.contains("p@ss"), "{shown}");

    std::fs::write(directory.path().join("login"), "no login\n").expect("written");
    let shown = run(&["listen", "--router", &hidden, "--login-file", "login"]);
    assert!(
        shown.contains("exit code: 7") && shown.contains("must be USER:PASSWORD"),
        "{shown}"
    );
}

#[test]
fn invalid_options_of_a_bridge_are_reported_before_it_runs() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path();
    let config = "[sam]\nlisten = []\nlisten_tls = \"127.0.0.1:0\"\ntls_certificate = \"x.crt\"\n\
                  tls_key = \"x.key\"\n";
    std::fs::write(path.join("tls.toml"), config).expect("written");
    let config = "[sam]\nusers = \"none.json\"\nrequire_password = true\n";
    std::fs::write(path.join("users.toml"), config).expect("written");
    std::fs::write(path.join("notes.txt"), "notes").expect("written");
    for (arguments, code, said) in [
        (
            &["sam", "-l", "7656"][..],
            2,
            "expected IP:PORT, such as 127.0.0.1:7656 or [::1]:7656",
        ),
        (
            &["sam", "-o", "inbound.length=99"],
            2,
            "error: invalid value 'inbound.length=99' for '--option <KEY=VALUE>': option inbound.length",
        ),
        (
            &["run", "--check", "--config", "tls.toml"],
            7,
            "error: cannot offer SAM: cannot speak TLS: cannot read x.crt: No such file",
        ),
        (
            &["run", "--check", "--config", "users.toml"],
            2,
            "hint: add one to the file of users: eepkit users add FILE NAME",
        ),
        (
            &[
                "sam",
                "--router",
                "i2cp://127.0.0.1:1",
                "--no-udp",
                "--unix",
                "notes.txt",
            ],
            7,
            "hint: only sockets are replaced: choose another path",
        ),
        (
            &["run", "--config", "/dev/zero"],
            7,
            "error: cannot read /dev/zero: the file is longer than 1024 KiB",
        ),
    ] {
        let output = run_in(path, arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
        assert!(stderr.contains(said), "{arguments:?}: {stderr}");
    }
    assert!(!path.join("none.json").exists(), "a check changes nothing");
    let notes = std::fs::read_to_string(path.join("notes.txt"));
    assert_eq!(notes.expect("no file is deleted"), "notes");
}
