//! Snapshots of `--help`.

use insta::assert_snapshot;

use crate::run::eepkit;

fn help(arguments: &[&str]) -> String {
    let output = eepkit().args(arguments).output().expect("the program runs");
    assert!(output.status.success(), "{arguments:?}");
    assert!(output.stderr.is_empty(), "help goes to standard output");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn short_help_lists_the_commands() {
    assert_snapshot!(help(&["-h"]));
}

#[test]
fn long_help_explains_first_steps_and_exit_codes() {
    assert_snapshot!(help(&["--help"]));
}

#[test]
fn every_command_explains_itself() {
    for command in [
        "demo",
        "devnet",
        "listen",
        "connect",
        "ping",
        "lookup",
        "resolve",
        "addressbook",
        "serve",
        "http-proxy",
        "socks-proxy",
        "tunnel",
        "sam",
        "bob",
        "run",
        "status",
        "wait-ready",
        "reload",
        "stop",
        "doctor",
        "config",
        "import",
        "keys",
        "users",
    ] {
        assert_snapshot!(format!("help_{command}"), help(&[command, "--help"]));
    }
    assert_snapshot!("help_config_check", help(&["config", "check", "--help"]));
    for origin in ["i2pd", "i2ptunnel"] {
        assert_snapshot!(
            format!("help_import_{origin}"),
            help(&["import", origin, "--help"])
        );
    }
    assert_snapshot!("help_import_sam", help(&["import", "sam", "--help"]));
    for kind in TUNNELS {
        assert_snapshot!(
            format!("help_tunnel_{kind}"),
            help(&["tunnel", kind, "--help"])
        );
    }
    assert_snapshot!("help_users", help(&["users", "--help"]));
    assert_snapshot!("help_users_add", help(&["users", "add", "--help"]));
    for command in ["new", "transient", "show"] {
        assert_snapshot!(
            format!("help_keys_{command}"),
            help(&["keys", command, "--help"])
        );
    }
}

#[test]
fn completions_and_manual_pages_are_made() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(help(&["completions", shell]).contains("devnet"), "{shell}");
    }
    assert!(help(&["man"]).contains(".SH NAME"));

    let directory = tempfile::tempdir().expect("a directory");
    help(&["man", &directory.path().to_string_lossy()]);
    assert!(directory.path().join("eepkit-keys-new.1").exists());
}

#[test]
fn every_line_of_help_fits_a_terminal() {
    for command in [
        "demo",
        "devnet",
        "listen",
        "connect",
        "ping",
        "lookup",
        "resolve",
        "addressbook",
        "http-proxy",
        "socks-proxy",
        "tunnel",
        "sam",
        "bob",
        "run",
        "status",
        "wait-ready",
        "reload",
        "stop",
        "doctor",
        "config",
        "import",
        "keys",
    ] {
        assert_fits(&[command, "--help"]);
    }
    for kind in TUNNELS {
        assert_fits(&["tunnel", kind, "--help"]);
    }
}

/// The kinds of `eepkit tunnel`.
const TUNNELS: [&str; 9] = [
    "client",
    "server",
    "http-server",
    "irc",
    "irc-server",
    "udp",
    "udp-server",
    "streamr",
    "streamr-server",
];

fn assert_fits(command: &[&str]) {
    for line in help(command).lines() {
        assert!(line.chars().count() <= 100, "{command:?}: {line}");
    }
}
