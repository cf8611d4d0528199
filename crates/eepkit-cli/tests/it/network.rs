//! Tests of programs that communicate over `eepkit devnet`.

use std::{
    fs::{self, File},
    io::Write as _,
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    thread,
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::run::{Running, eepkit, report};

/// A private network, the addresses of its routers, and a directory for files.
pub(crate) struct Net {
    devnet: Running,
    routers: Vec<Value>,
    directory: TempDir,
}

impl Net {
    pub(crate) fn start() -> Self {
        let mut command = eepkit();
        command.args(["devnet", "-n", "6", "--json", "--quiet"]);
        let devnet = Running::start_for_output(command);
        let line = devnet.wait_for_line("");
        let network: Value = serde_json::from_str(&line).expect("one JSON object on one line");
        assert_eq!(network["version"], 1);
        let routers = network["routers"].as_array().expect("a list").clone();
        assert_eq!(routers.len(), 6);
        Self {
            devnet,
            routers,
            directory: tempfile::tempdir().expect("a directory"),
        }
    }

    pub(crate) fn i2cp(&self, router: usize) -> &str {
        self.routers[router]["i2cp"].as_str().expect("an address")
    }

    /// A command with `arguments` on a router of this network, with short tunnels.
    fn command(&self, router: usize, arguments: &[&str]) -> Command {
        let mut command = eepkit();
        command
            .current_dir(self.directory.path())
            .args(arguments)
            .args(["--router", &format!("i2cp://{}", self.i2cp(router))])
            .args(["--length", "1", "--quantity", "1"]);
        command
    }

    fn run(&self, router: usize, arguments: &[&str]) -> Output {
        self.command(router, arguments)
            .output()
            .expect("the program runs")
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

#[test]
fn programs_communicate_over_a_private_network() {
    let mut net = Net::start();

    files_cross_between_two_routers(&net);
    a_command_serves_many_streams_until_it_is_interrupted(&net);
    a_folder_is_a_web_site(&net);
    datagrams_cross_and_are_answered(&net);
    missing_peers_have_their_own_exit_codes(&net);
    an_interrupted_stream_is_not_complete(&net);
    a_signal_ends_waiting(&net);
    a_closed_terminal_takes_the_destination_offline(&net);
    a_program_started_with_nohup_ignores_a_closed_terminal(&net);
    a_network_stops_at_a_signal(&mut net);
}

fn files_cross_between_two_routers(net: &Net) {
    // Longer than any buffer in between, and of different lengths, so that one direction is closed
    // long before the other.
    write_noise(&net.file("up"), 1_500_000, 1);
    write_noise(&net.file("down"), 300_000, 2);
    let mut listen = net.command(0, &["listen", "--port", "80", "--keys", "server.dat"]);
    let mut listen = Running::start(with_files(&mut listen, net, "down", "got-up"));
    let address = listen.wait_for_line("listening on ");
    assert!(address.ends_with(".b32.i2p:80"), "{address}");

    let mut connect = net.command(1, &["connect", &address]);
    let mut connect = Running::start(with_files(&mut connect, net, "up", "got-down"));

    connect.wait_for_success();
    listen.wait_for_success();
    assert!(fs::read(net.file("up")).ok() == fs::read(net.file("got-up")).ok());
    assert!(fs::read(net.file("down")).ok() == fs::read(net.file("got-down")).ok());
}

fn a_command_serves_many_streams_until_it_is_interrupted(net: &Net) {
    let script = "echo to port $EEPKIT_PORT; tr a-z A-Z";
    let mut command = net.command(
        2,
        &["listen", "-k", "--exec", script, "--keys", "server.dat"],
    );
    let mut server = Running::start(take(command.stdout(Stdio::null())));
    let address = server.wait_for_line("listening on ");

    let clients: Vec<_> = (1..=3)
        .map(|client| {
            let (input, output) = (format!("in-{client}"), format!("out-{client}"));
            fs::write(net.file(&input), format!("hello {client}\n")).expect("writable");
            let peer = format!("{address}:{client}");
            let mut command = net.command(client, &["connect", &peer]);
            Running::start(with_files(&mut command, net, &input, &output))
        })
        .collect();
    for (mut client, number) in clients.into_iter().zip(1..) {
        client.wait_for_success();
        let answer = fs::read_to_string(net.file(&format!("out-{number}"))).expect("readable");
        assert_eq!(answer, format!("to port {number}\nHELLO {number}\n"));
    }

    ping_and_lookup_find_a_server(net, &address);
    server.signal("INT");
    server.wait_for_success();
}

fn ping_and_lookup_find_a_server(net: &Net, address: &str) {
    let ping = net.run(3, &["ping", "-c", "3", "-i", "10ms", "--json", address]);
    assert!(ping.status.success(), "{}", report(&ping));
    let lines: Vec<Value> = String::from_utf8_lossy(&ping.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let (summary, pings) = lines.split_last().expect("a summary");
    assert_eq!(pings.len(), 3);
    assert_eq!(summary["event"], "summary");
    assert_eq!(summary["sent"], 3);
    assert!(
        summary["rtt_min_ms"].as_f64().is_some_and(|rtt| rtt > 0.0),
        "{summary}"
    );

    let lookup = net.run(3, &["lookup", "--json", address]);
    assert!(lookup.status.success(), "{}", report(&lookup));
    let found: Value = serde_json::from_slice(&lookup.stdout).expect("JSON");
    assert_eq!(found["b32"], address);
    let keys = net.run_plain(&["keys", "show", "--json", "server.dat"]);
    let keys: Value = serde_json::from_slice(&keys.stdout).expect("JSON");
    assert_eq!(found["base64"], keys["base64"]);

    // A full destination needs no router.
    let base64 = keys["base64"].as_str().expect("text");
    let again = net.run_plain(&["lookup", "--json", "--", base64]);
    let again: Value = serde_json::from_slice(&again.stdout).expect("JSON");
    assert_eq!(again["b32"], address);
}

fn a_folder_is_a_web_site(net: &Net) {
    fs::create_dir(net.file("public")).expect("created");
    fs::write(net.file("public/index.html"), "<h1>Hello</h1>\n").expect("writable");
    let site = net.command(0, &["serve", "public", "--qr"]);
    let mut site = Running::start_for_output(site);
    let url = site.wait_for_line("http://");
    let host = url.trim_end_matches('/');
    assert!(host.ends_with(".b32.i2p"), "{url}");
    // A QR code of 37 modules and a margin of 4, two rows on each line.
    let code = site.wait_for_line("");
    assert_eq!(code.chars().count(), 45, "{code}");

    let request = format!("GET / HTTP/1.0\r\nHost: {host}\r\n\r\n");
    fs::write(net.file("request"), request).expect("writable");
    let mut connect = net.command(1, &["connect", host]);
    let mut connect = Running::start(with_files(&mut connect, net, "request", "page"));
    connect.wait_for_success();
    let page = fs::read_to_string(net.file("page")).expect("text");
    assert!(page.starts_with("HTTP/1.0 200 OK\r\n"), "{page}");
    assert!(page.ends_with("\r\n\r\n<h1>Hello</h1>\n"), "{page}");
    site.signal("INT");
    site.wait_for_success();

    let missing = net.run(0, &["serve", "nothing"]);
    assert_eq!(missing.status.code(), Some(7), "{}", report(&missing));
    let error = String::from_utf8_lossy(&missing.stderr);
    assert!(error.contains("cannot publish nothing"), "{error}");
}

fn datagrams_cross_and_are_answered(net: &Net) {
    fs::write(net.file("lines"), "hello\r\n\x1b[2J\\\n").expect("writable");
    let mut listen = net.command(0, &["listen", "--datagram", "-k", "--port", "7"]);
    let heard = File::create(net.file("heard")).expect("writable");
    let mut listen = Running::start(take(listen.stdin(Stdio::piped()).stdout(heard)));
    let address = listen.wait_for_line("listening on ");
    let mut answer = listen.take_stdin();
    // Datagrams may be lost.
    let answered = (0..5).any(|_| {
        let mut connect = net.command(1, &["connect", "--datagram=1", &address]);
        let mut connect = Running::start(with_files(&mut connect, net, "lines", "answers"));
        connect.wait_for_line("done ");
        // The receiver of answers is known once a datagram has arrived.
        let heard =
            || fs::read_to_string(net.file("heard")).is_ok_and(|heard| heard.contains("hello"));
        let begun = Instant::now();
        while !heard() && begun.elapsed() < Duration::from_secs(5) {
            thread::park_timeout(Duration::from_millis(20));
        }
        answer.write_all(b"good-bye\n").expect("it reads");
        connect.wait_for_success();
        let read = |name| fs::read_to_string(net.file(name)).expect("readable");
        let (heard, answers) = (read("heard"), read("answers"));
        let payloads: Vec<_> = heard
            .lines()
            .filter_map(|line| line.split_once(".b32.i2p "))
            .map(|(_, payload)| payload)
            .collect();
        payloads.contains(&"hello") && payloads.contains(&"\\x1b[2J\\\\") && answers == "good-bye\n"
    });
    assert!(answered);
    listen.signal("INT");
    listen.wait_for_success();

    // Without --keep-open the program ends after the first datagram, and a raw one does not contain
    // its sender.
    let mut listen = net.command(2, &["listen", "--datagram=raw"]);
    let mut listen = Running::start(with_files(&mut listen, net, "lines", "raw"));
    let address = listen.wait_for_line("listening on ");
    let mut connect = net.command(3, &["connect", "--datagram=raw", "--wait", "1s", &address]);
    let mut connect = Running::start(with_files(&mut connect, net, "lines", "nothing"));
    listen.wait_for_success();
    connect.wait_for_success();
    let received = fs::read_to_string(net.file("raw")).expect("readable");
    assert!(received.starts_with("- "), "{received}");
    assert_eq!(received.lines().count(), 1);
}

fn missing_peers_have_their_own_exit_codes(net: &Net) {
    let code = |output: Output| {
        let report = report(&output);
        assert!(report.contains("\nerror: "), "{report}");
        (output.status.code(), report)
    };

    let (found, report) = code(net.run(1, &["lookup", "nobody-has-this-name.i2p"]));
    assert_eq!(found, Some(4), "{report}");

    // A valid address that no destination has.
    let b32 = format!("{}.b32.i2p", "a".repeat(52));
    let (found, report) = code(net.run(1, &["connect", &b32]));
    assert_eq!(found, Some(4), "{report}");

    // The peer exists, but does not listen on this port.
    let mut server = net.command(0, &["listen", "--port", "80", "--keys", "server.dat"]);
    let server = Running::start(take(&mut server));
    let address = server.wait_for_line("listening on ").replace(":80", ":81");
    let (refused, report) = code(net.run(1, &["connect", &address]));
    assert_eq!(refused, Some(5), "{report}");

    let (timed_out, report) = code(net.run(2, &["listen", "--timeout", "10ms"]));
    assert_eq!(timed_out, Some(6), "{report}");
}

fn an_interrupted_stream_is_not_complete(net: &Net) {
    let mut server = net.command(0, &["listen", "--keys", "server.dat"]);
    let server = server.stdin(Stdio::piped()).stdout(Stdio::null());
    let mut server = Running::start(take(server));
    let address = server.wait_for_line("listening on ");
    let mut client = net.command(1, &["connect", &address]);
    let client = client.stdin(Stdio::piped()).stdout(Stdio::null());
    let mut client = Running::start(take(client));
    server.wait_for_line("stream from ");
    client.wait_for_line("done ");

    client.signal("INT");

    assert_eq!(client.wait().code(), Some(130));
    server.wait_for_line("error: the stream failed: the peer reset the stream");
    assert_eq!(server.wait().code(), Some(5));
}

fn a_signal_ends_waiting(net: &Net) {
    let mut server = net.command(0, &["listen", "--keys", "server.dat"]);
    let mut server = Running::start(take(server.stdout(Stdio::null())));
    server.wait_for_line("listening on ");

    server.signal("TERM");

    assert_eq!(server.wait().code(), Some(143));
}

/// Whether this process ignores SIGHUP, as under `nohup`.
fn is_hangup_ignored() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // Bit 0 is signal 1, SIGHUP.
    mask.is_some_and(|mask| mask & 1 != 0)
}

/// The second server could not go online if the first one were still there.
fn a_closed_terminal_takes_the_destination_offline(net: &Net) {
    if is_hangup_ignored() {
        let why = "SKIP: the tests were started with SIGHUP ignored, which programs inherit";
        writeln!(std::io::stdout(), "{why}").expect("standard output is open");
        return;
    }
    for (options, code) in [(&["--keep-open"][..], 0), (&[][..], 129)] {
        let arguments = [&["listen", "--keys", "server.dat"], options].concat();
        let mut server = net.command(0, &arguments);
        let mut server = Running::start(take(server.stdout(Stdio::null())));
        server.wait_for_line("listening on ");

        // A shell whose terminal is closed sends the signal a second time.
        server.signal("HUP");
        server.signal("HUP");

        assert_eq!(server.wait().code(), Some(code), "{options:?}");
    }
}

fn a_program_started_with_nohup_ignores_a_closed_terminal(net: &Net) {
    if !cfg!(target_os = "linux") {
        return;
    }
    let server = net.command(0, &["listen", "--keys", "server.dat"]);
    let arguments: Vec<_> = server.get_args().map(ToOwned::to_owned).collect();
    let mut nohup = Command::new("nohup");
    nohup.arg(server.get_program()).args(arguments);
    for (name, value) in server.get_envs() {
        match value {
            Some(value) => nohup.env(name, value),
            None => nohup.env_remove(name),
        };
    }
    if let Some(directory) = server.get_current_dir() {
        nohup.current_dir(directory);
    }
    nohup.stdin(Stdio::null()).stdout(Stdio::null());
    let mut server = Running::start(nohup);
    server.wait_for_line("listening on ");

    server.signal("HUP");
    server.signal("TERM");

    assert_eq!(server.wait().code(), Some(143));
}

fn a_network_stops_at_a_signal(net: &mut Net) {
    net.devnet.signal("TERM");
    net.devnet.wait_for_success();

    assert!(
        TcpStream::connect(net.i2cp(0)).is_err(),
        "a router still listens"
    );
}

impl Net {
    /// Runs the program without a router.
    fn run_plain(&self, arguments: &[&str]) -> Output {
        crate::run::run_in(self.directory.path(), arguments)
    }
}

/// Redirects standard input and output of a command to files.
fn with_files(command: &mut Command, net: &Net, input: &str, output: &str) -> Command {
    command.stdin(File::open(net.file(input)).expect("readable"));
    command.stdout(File::create(net.file(output)).expect("writable"));
    take(command)
}

/// Returns the command as a value, after calls that return references.
fn take(command: &mut Command) -> Command {
    std::mem::replace(command, Command::new("true"))
}

/// Writes incompressible bytes, which are the same each time.
fn write_noise(file: &Path, length: usize, seed: u64) {
    let mut state = seed;
    let bytes: Vec<u8> = (0..length)
        .map(|_| {
            // Knuth's MMIX generator. Its high bits are good enough.
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            state.to_be_bytes()[0]
        })
        .collect();
    fs::write(file, bytes).expect("writable");
}
