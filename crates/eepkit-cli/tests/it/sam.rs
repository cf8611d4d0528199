//! Tests of other programs that use I2P through `eepkit sam` and `eepkit devnet --sam`.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use serde_json::Value;

use crate::run::{Running, eepkit, report};

/// A connection to a bridge after HELLO.
struct Sam {
    socket: BufReader<TcpStream>,
}

impl Sam {
    fn connect(address: &str) -> Self {
        let socket = TcpStream::connect(address).expect("the bridge listens");
        socket
            .set_read_timeout(Some(Duration::from_secs(120)))
            .expect("can be set");
        let mut sam = Self {
            socket: BufReader::new(socket),
        };
        assert_eq!(
            sam.ask("HELLO VERSION MIN=3.1 MAX=3.1"),
            "HELLO REPLY RESULT=OK VERSION=3.1"
        );
        sam
    }

    fn ask(&mut self, command: &str) -> String {
        let line = format!("{command}\n");
        self.socket
            .get_mut()
            .write_all(line.as_bytes())
            .expect("the bridge reads");
        self.line()
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.socket.read_line(&mut line).expect("an answer");
        line.trim_end_matches('\n').to_owned()
    }

    /// Creates a session on this socket and returns its destination.
    fn create(&mut self, id: &str) -> String {
        let reply = self.ask(&format!(
            "SESSION CREATE STYLE=STREAM ID={id} DESTINATION=TRANSIENT SIGNATURE_TYPE=7"
        ));
        assert!(reply.starts_with("SESSION STATUS RESULT=OK "), "{reply}");
        let reply = self.ask("NAMING LOOKUP NAME=ME");
        let value = reply.split_once("VALUE=").expect("a destination").1;
        value.to_owned()
    }
}

#[test]
fn programs_communicate_through_the_bridges_of_a_private_network() {
    let mut command = eepkit();
    command.args(["devnet", "-n", "6", "--sam", "--json", "--quiet"]);
    let mut devnet = Running::start_for_output(command);
    let network: Value = serde_json::from_str(&devnet.wait_for_line("")).expect("JSON");
    let sam = |router: usize| {
        network["routers"][router]["sam"]
            .as_str()
            .expect("a bridge")
    };

    let (mut server, mut client) = (Sam::connect(sam(0)), Sam::connect(sam(1)));
    let destination = server.create("server");
    client.create("client");
    let mut accepting = Sam::connect(sam(0));
    assert_eq!(
        accepting.ask("STREAM ACCEPT ID=server"),
        "STREAM STATUS RESULT=OK"
    );
    let mut connecting = Sam::connect(sam(1));
    assert_eq!(
        connecting.ask(&format!(
            "STREAM CONNECT ID=client DESTINATION={destination}"
        )),
        "STREAM STATUS RESULT=OK"
    );
    assert!(accepting.line().len() >= 516);
    connecting
        .socket
        .get_mut()
        .write_all(b"hello\n")
        .expect("written");
    assert_eq!(accepting.line(), "hello");
    accepting
        .socket
        .get_mut()
        .write_all(b"and you\n")
        .expect("written");
    assert_eq!(connecting.line(), "and you");

    // Closed together with its session.
    drop(server);
    let mut rest = Vec::new();
    connecting.socket.read_to_end(&mut rest).expect("the end");
    assert!(rest.is_empty());
    devnet.signal("INT");
    assert!(devnet.wait().success());
}

#[test]
fn a_bridge_runs_without_a_router_and_reports_this_to_its_clients() {
    let mut command = eepkit();
    command.args([
        "sam",
        "-l",
        "127.0.0.1:0",
        "--udp",
        "127.0.0.1:0",
        "--json",
        "--quiet",
    ]);
    // No router offers I2CP there.
    command.args(["--router", "i2cp://127.0.0.1:1"]);
    let mut bridge = Running::start_for_output(command);
    let served: Value = serde_json::from_str(&bridge.wait_for_line("")).expect("JSON");
    assert_eq!(served["version"], 1);
    let address = served["sam"][0]["tcp"][0].as_str().expect("an address");
    let mut client = Sam::connect(address);
    let reply = client.ask("SESSION CREATE STYLE=STREAM ID=x DESTINATION=TRANSIENT");
    assert!(
        reply.starts_with("SESSION STATUS RESULT=I2P_ERROR MESSAGE="),
        "{reply}"
    );
    bridge.signal("TERM");
    assert!(bridge.wait().success());
}

#[test]
fn a_configuration_file_is_checked_and_run() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("eepkit.toml");
    let printed = eepkit()
        .args(["run", "--print-config"])
        .output()
        .expect("runs");
    fs::write(&file, &printed.stdout).expect("written");
    let run = |arguments: &[&str]| {
        let mut command = eepkit();
        command
            .arg("run")
            .arg("--config")
            .arg(&file)
            .args(arguments);
        command
    };
    let checked = run(&["--check"]).output().expect("runs");
    assert!(checked.status.success(), "{}", report(&checked));

    fs::write(&file, "[sam]\n\nlisten-tls = []\n").expect("written");
    let refused = run(&["--check"]).output().expect("runs");
    assert_eq!(refused.status.code(), Some(7));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        said.contains("line 3: [sam] has no key listen-tls")
            && said.contains("did you mean listen_tls?"),
        "{said}"
    );

    let text = "[router]\nrouter = \"i2cp://127.0.0.1:1\"\n\
                [[sam]]\nlisten = \"127.0.0.1:0\"\nudp = []\n\
                [[sam]]\nlisten = []\nlisten_unix = [\"sam.sock\"]\nudp = []\n";
    fs::write(&file, text).expect("written");
    let mut running = Running::start_for_output(run(&["--json", "--quiet"]));
    let served: Value = serde_json::from_str(&running.wait_for_line("")).expect("JSON");
    Sam::connect(served["sam"][0]["tcp"][0].as_str().expect("an address"));
    assert!(
        directory.path().join("sam.sock").exists(),
        "relative to the file"
    );
    running.signal("INT");
    assert!(running.wait().success());
    assert!(!directory.path().join("sam.sock").exists(), "it tidies up");
}

#[test]
fn a_hangup_restarts_only_changed_services() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("eepkit.toml");
    let write = |second: &str| {
        let text = format!(
            "[router]\nrouter = \"i2cp://127.0.0.1:1\"\n\
             [[sam]]\nlisten = []\nlisten_unix = \"stays.sock\"\nudp = []\n{second}"
        );
        fs::write(&file, text).expect("written");
    };
    let second = |path: &str| {
        format!("[[sam]]\nname = \"second\"\nlisten = []\nlisten_unix = \"{path}\"\nudp = []\n")
    };
    write(&second("old.sock"));
    let mut command = eepkit();
    command.arg("run").arg("--config").arg(&file);
    let mut running = Running::start(command);
    running.wait_for_line("SAM at ");
    running.wait_for_line("SAM at ");
    let path = |name: &str| directory.path().join(name);
    let mut client =
        std::os::unix::net::UnixStream::connect(path("stays.sock")).expect("it listens");

    write(&second("new.sock"));
    running.signal("HUP");
    running.wait_for_line("SAM: not changed");
    running.wait_for_line("SAM second: restarted");
    assert!(!path("old.sock").exists() && path("new.sock").exists());
    client.write_all(b"HELLO VERSION\n").expect("still open");
    let mut reply = [0; 12];
    client.read_exact(&mut reply).expect("an answer");
    assert_eq!(&reply, b"HELLO REPLY ");

    fs::write(&file, "[sam]\nelephant = 1\n").expect("written");
    running.signal("HUP");
    running.wait_for_line("warning: nothing was reloaded: ");

    write("");
    running.signal("HUP");
    running.wait_for_line("SAM second: stopped");
    assert!(!path("new.sock").exists());
    running.signal("TERM");
    running.wait_for_success();
    assert!(!path("stays.sock").exists());
}
