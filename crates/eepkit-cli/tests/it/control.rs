//! Tests of `eepkit status`, `wait-ready`, `reload`, `stop` and `doctor`.

use std::{fs, path::PathBuf, process::Command};

use insta::assert_snapshot;
use serde_json::Value;

use crate::run::{Running, eepkit, report};

/// A directory with a configuration file and a control socket.
struct Lab {
    directory: tempfile::TempDir,
}

impl Lab {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().expect("a directory"),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A command that uses the control socket of this directory.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = eepkit();
        command
            .current_dir(self.directory.path())
            .env("EEPKIT_CONTROL", self.path("control.sock"))
            .args(arguments);
        command
    }

    /// The report of a command, without what differs between runs.
    fn report(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().expect("runs");
        report(&output).replace(&self.path("").display().to_string(), "DIR/")
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.command(arguments).output().expect("runs");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", report(&output)))
    }

    fn write(&self, text: &str) {
        fs::write(self.path("eepkit.toml"), text).expect("written");
    }

    /// Runs the configuration file.
    fn run(&self) -> Running {
        Running::start(self.command(&["run", "--config", "eepkit.toml"]))
    }
}

/// A configuration with a router that does not exist, and a bridge.
const NO_ROUTER: &str = "[router]\nrouter = \"i2cp://127.0.0.1:1\"\n\
                         [sam]\nlisten = []\nlisten_unix = \"sam.sock\"\nudp = []\n";

#[test]
fn commands_without_a_running_program_say_so() {
    let lab = Lab::new();
    let [status, reload, stop] = ["status", "reload", "stop"].map(|name| lab.report(&[name]));
    assert_snapshot!(status, @r"
    exit code: 3
    ----- stdout -----

    ----- stderr -----
    error: no `eepkit run` answers at DIR/control.sock
    hint: start one with `eepkit run`, or say where its control socket is: --control PATH
    ");
    assert_eq!((&reload, &stop), (&status, &status));
    let waited = lab.report(&["wait-ready", "--timeout", "300ms", "-q"]);
    assert!(waited.starts_with("exit code: 3\n"), "{waited}");
}

#[test]
fn a_reload_names_the_keys_that_need_a_restart() {
    let lab = Lab::new();
    lab.write(NO_ROUTER);
    let running = lab.run();
    running.wait_for_line("SAM at ");
    let changed = NO_ROUTER.replace("i2cp://127.0.0.1:1", "i2cp://127.0.0.1:2");
    lab.write(&format!(
        "{changed}[control]\nsocket = \"other.sock\"\n[address-book]\nfile = \"other.redb\"\n"
    ));
    let reloaded = lab.report(&["reload"]);
    assert!(reloaded.starts_with("exit code: 0\n"), "{reloaded}");
    for keys in [
        "router in [router]",
        "socket in [control]",
        "file in [address-book]",
    ] {
        let line = format!("{keys} changed, which takes effect when the program starts again");
        assert!(reloaded.contains(&line), "{reloaded}");
    }
    // Unchanged sections are not mentioned.
    lab.write(NO_ROUTER);
    let reloaded = lab.report(&["reload"]);
    assert!(!reloaded.contains("starts again"), "{reloaded}");
}

#[test]
fn a_running_program_is_shown_reloaded_and_stopped() {
    let lab = Lab::new();
    lab.write(NO_ROUTER);
    let mut running = lab.run();
    running.wait_for_line("SAM at ");
    let status = lab.json(&["status", "--json"]);
    assert_eq!(status["version"], 1);
    assert_eq!(status["program"]["phase"], "running");
    assert_eq!(status["services"][0]["state"], "running");
    assert_eq!(status["router"]["name"], "i2cp://127.0.0.1:1");
    assert_eq!(status["ready"], false);
    let shown = lab.report(&["status"]);
    for part in [
        "router i2cp://127.0.0.1:1",
        "sam: running at ",
        "not ready: router",
    ] {
        assert!(shown.contains(part), "{shown}");
    }

    let waited = lab.report(&["wait-ready", "--timeout", "1500ms", "-q"]);
    assert!(waited.starts_with("exit code: 6\n"), "{waited}");
    assert!(
        waited.contains("router i2cp://127.0.0.1:1: does not answer: ")
            && waited.contains("Connection refused"),
        "{waited}"
    );

    lab.write(&NO_ROUTER.replace("sam.sock", "new.sock"));
    let reloaded = lab.report(&["reload"]);
    assert!(reloaded.ends_with("SAM: restarted\n"), "{reloaded}");
    assert!(lab.path("new.sock").exists() && !lab.path("sam.sock").exists());
    lab.write("[sam]\nelephant = 1\n");
    let refused = lab.report(&["reload"]);
    assert!(refused.starts_with("exit code: 7\n"), "{refused}");
    assert!(
        refused.contains(
            "error: nothing was reloaded: eepkit.toml, line 2: [sam] has no key elephant"
        ),
        "{refused}"
    );
    assert!(lab.path("new.sock").exists(), "nothing has changed");

    // A service that cannot listen: the old configuration is in use again.
    let other = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = other.local_addr().expect("bound");
    lab.write(&format!(
        "{}[socks]\nlisten = \"{taken}\"\n",
        NO_ROUTER.replace("sam.sock", "third.sock")
    ));
    let refused = lab.report(&["reload"]);
    assert!(refused.starts_with("exit code: 1\n"), "{refused}");
    let line = NO_ROUTER.lines().count() + 1;
    let expected = format!(
        "error: nothing was reloaded: eepkit.toml, line {line}: [socks] socks: cannot offer SOCKS: "
    );
    assert!(refused.contains(&expected), "{refused}");
    assert!(lab.path("new.sock").exists() && !lab.path("third.sock").exists());
    let status = lab.json(&["status", "--json"]);
    assert_eq!(status["services"].as_array().map(Vec::len), Some(1));
    assert_eq!(status["services"][0]["state"], "running");

    let stopped = lab.command(&["stop"]).output().expect("runs");
    assert!(stopped.status.success(), "{}", report(&stopped));
    running.wait_for_success();
    assert!(!lab.path("new.sock").exists() && !lab.path("control.sock").exists());
}

#[test]
fn a_second_program_on_a_control_socket_names_the_first() {
    let lab = Lab::new();
    lab.write(NO_ROUTER);
    let mut first = lab.run();
    first.wait_for_line("SAM at ");
    let second = lab.command(&["run", "--config", "eepkit.toml"]).output();
    let second = report(&second.expect("runs"));
    assert!(second.starts_with("exit code: 1\n"), "{second}");
    assert!(
        second.contains("error: eepkit runs already, as process "),
        "{second}"
    );
    let checked = lab
        .command(&["run", "--config", "eepkit.toml", "--check"])
        .output();
    assert!(
        checked.expect("runs").status.success(),
        "a check needs no socket"
    );
    first.signal("TERM");
    first.wait_for_success();
}

#[test]
fn the_control_socket_of_the_configuration_file_is_found() {
    let lab = Lab::new();
    lab.write(&format!("[control]\nsocket = \"own.sock\"\n{NO_ROUTER}"));
    let command = |arguments: &[&str]| {
        let mut command = lab.command(arguments);
        command
            .env_remove("EEPKIT_CONTROL")
            .env("EEPKIT_CONFIG", lab.path("eepkit.toml"));
        command
    };
    let mut running = Running::start(command(&["run"]));
    running.wait_for_line("SAM at ");
    assert!(lab.path("own.sock").exists());
    let status = command(&["status"]).output().expect("runs");
    assert!(status.status.success(), "{}", report(&status));
    assert!(command(&["stop"]).status().expect("runs").success());
    running.wait_for_success();
}

#[test]
fn the_doctor_names_the_first_stage_that_fails() {
    let lab = Lab::new();
    let examined = lab.report(&["doctor", "--router", "i2cp://127.0.0.1:1", "-q"]);
    assert!(examined.starts_with("exit code: 3\n"), "{examined}");
    for part in [
        "clock: ",
        "address: i2cp://127.0.0.1:1",
        "connection: no I2P router answers at i2cp://127.0.0.1:1: Connection refused",
        "error: the stage \"connection\" failed: ",
        "hint: ",
    ] {
        assert!(examined.contains(part), "{examined}");
    }
    assert!(
        !examined.contains("protocol:"),
        "it stops there: {examined}"
    );

    // A program that is not a router.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback");
    let at = listener.local_addr().expect("bound");
    let serving = std::thread::spawn(move || {
        if let Ok((mut socket, _)) = listener.accept() {
            let _ = std::io::Write::write_all(&mut socket, b"HTTP/1.0 400 Bad Request\r\n\r\n");
        }
    });
    let router = format!("i2cp://{at}");
    let output = lab
        .command(&["doctor", "--json", "-q", "--router", &router])
        .output();
    let output = output.expect("runs");
    serving.join().expect("no panic");
    assert_eq!(output.status.code(), Some(3), "{}", report(&output));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let last: Value = serde_json::from_str(text.lines().last().expect("lines")).expect("JSON");
    assert_eq!(last["event"], "result");
    assert_eq!(
        (&last["ok"], &last["failed_stage"]),
        (&false.into(), &"protocol".into())
    );
}
