//! IRC over tunnels: ngircd as the server, irssi as the client.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use eepkit_services::{
    service::{Context, Definition as _},
    tunnel::{IrcClientConfig, IrcServerConfig, Target},
};
use libtest_mimic::Failed;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    process::Child,
    time::{sleep, timeout},
};

use crate::{
    Lab, Outcome,
    run::{LIMIT, Program, free_port, listens, path_of},
    same,
};

pub(crate) const PROGRAMS: &[&str] = &["ngircd", "irssi", "script"];

/// Two users talk over tunnels. A third one uses the server without I2P, and sends requests that
/// would reveal something.
pub(crate) async fn conversation(lab: Arc<Lab>) -> Outcome {
    let dir = tempfile::tempdir()?;
    let port = free_port()?;
    let config = dir.path().join("ngircd.conf");
    std::fs::write(&config, server_config(port))?;
    let ngircd = path_of("ngircd").ok_or("no ngircd")?;
    let _ngircd = Program::new(&ngircd)
        .args(["--nodaemon", "--config"])
        .arg(&config.display().to_string())
        .spawn()?;
    listens(port).await?;

    let recorder = Recorder::start(port).await?;
    let server = IrcServerConfig::new()
        .name("irc")
        .keys(dir.path().join("irc.dat"))
        .webirc_password("password")
        .target(Target::Tcp(recorder.address))
        .option("inbound.length", 1)
        .option("outbound.length", 1)
        .launch(&Context::new(lab.far()))
        .await?;
    let client = IrcClientConfig::new()
        .name("irc")
        .listen([([127, 0, 0, 1], 0).into()])
        .destination(server.address().to_string().parse()?)
        .hide_user()
        .option("inbound.length", 1)
        .option("outbound.length", 1)
        .launch(&Context::new(lab.near()))
        .await?;
    let address = client.destination().to_b32();
    let local = client.tcp_addrs()[0].port();

    let alice = Irssi::start(&dir.path().join("alice"), "alice", local)?;
    alice.receives(" 376 ").await?;
    alice.enters("join #test")?;
    alice.receives("JOIN :#test").await?;
    let bob = Irssi::start(&dir.path().join("bob"), "bob", local)?;
    bob.receives(" 376 ").await?;
    bob.enters("join #test")?;
    alice.receives(":bob!").await?;

    alice.enters("msg #test hello")?;
    bob.receives("PRIVMSG #test :hello").await?;
    bob.enters("action #test waves")?;
    alice.receives("PRIVMSG #test :\u{1}ACTION waves").await?;

    // What the server has as the host of a user is the address of the tunnel.
    alice.enters("whois bob")?;
    let whois = alice.receives(" 311 ").await?;
    let expected = format!(":irc.test.i2p 311 alice bob cgiirc {address} * :user");
    same("whois", &whois, &expected)?;

    // Requests over the tunnel.
    let file = dir.path().join("file");
    std::fs::write(&file, "content")?;
    alice.enters("ctcp bob version")?;
    alice.enters("dcc chat bob")?;
    alice.enters(&format!("dcc send bob {}", file.display()))?;
    alice.enters("msg bob after the requests")?;
    bob.receives("PRIVMSG bob :after the requests").await?;
    // Requests of a user without a tunnel.
    let mut mallory = Mallory::connect(port).await?;
    mallory.sends("\u{1}VERSION\u{1}").await?;
    mallory.sends("\u{1}TIME\u{1}").await?;
    mallory
        .sends("\u{1}DCC SEND file 3221225985 99 7\u{1}")
        .await?;
    mallory.sends("after the requests").await?;
    alice.receives("PRIVMSG alice :after the requests").await?;

    alice.enters("part #test I am on 192.0.2.7")?;
    same(
        "what the channel sees",
        &bob.receives(" PART ").await?,
        &format!(":alice!cgiirc@{address} PART #test :leaving"),
    )?;
    alice.enters("quit I am on 192.0.2.7")?;
    bob.enters("quit")?;
    recorder.ended(2).await?;
    client.stop().await;
    server.stop().await;

    for user in [&alice, &bob] {
        let received = user.received()?;
        let requests: Vec<_> = received
            .lines()
            .filter(|line| line.contains('\u{1}') && !line.contains("ACTION"))
            .collect();
        same("requests of others", &requests, &Vec::new())?;
    }
    same("what arrived", &recorder.lines(0), &arrived(&address))
}

/// All that arrived at the server from the first user, without pings and questions about the channel,
/// whose times and order differ.
fn arrived(address: &str) -> Vec<String> {
    [
        &format!("WEBIRC password cgiirc {address} 127.0.0.1"),
        "CAP LS 302",
        "JOIN :",
        "CAP REQ :multi-prefix",
        "CAP END",
        "NICK alice",
        &format!("USER user {address} localhost :user"),
        "MODE alice +i",
        "JOIN #test",
        "PRIVMSG #test :hello",
        "WHOIS bob",
        "PRIVMSG bob :after the requests",
        "PART #test :leaving",
        "QUIT :leaving",
    ]
    .map(str::to_owned)
    .to_vec()
}

/// With DNS switched off, ngircd takes the IP address of WEBIRC for the name of the host.
fn server_config(port: u16) -> String {
    format!(
        "[Global]\nName = irc.test.i2p\nInfo = test\nListen = 127.0.0.1\nPorts = {port}\n\
         MotdPhrase = hello\n[Limits]\nMaxConnectionsIP = 0\nMaxPenaltyTime = 0\n\
         [Options]\nDNS = yes\nIdent = no\nPAM = no\nWebircPassword = password\n"
    )
}

/// irssi in a pseudo-terminal. A script of it writes the lines that arrive to a file, and enters those
/// of another file.
#[derive(Debug)]
struct Irssi {
    home: PathBuf,
    _program: Child,
}

impl Irssi {
    /// Starts irssi with a user name and a real name that nobody else may see.
    fn start(home: &Path, nick: &str, port: u16) -> Result<Self, Failed> {
        let scripts = home.join("scripts/autorun");
        std::fs::create_dir_all(&scripts)?;
        std::fs::write(scripts.join("remote.pl"), SCRIPT)?;
        let identity = format!("real_name = \"{nick} Person\"; user_name = \"{nick}-login\";");
        // irssi would otherwise pause for seconds between commands.
        let pace = "cmd_queue_speed = \"10msec\"; cmds_max_at_once = \"50\";";
        let config =
            format!("settings = {{ core = {{ {identity} }}; \"irc/core\" = {{ {pace} }}; }};\n");
        std::fs::write(home.join("config"), config)?;
        let command = format!(
            "exec irssi --home={} --connect=127.0.0.1 --port={port} --nick={nick}",
            home.display()
        );
        let program = Program::new("script")
            .env("TERM", "xterm")
            .args(["--quiet", "--return", "--command", &command, "/dev/null"])
            .spawn()?;
        Ok(Self {
            home: home.to_owned(),
            _program: program,
        })
    }

    /// Enters a command, without its slash.
    fn enters(&self, command: &str) -> Result<(), Failed> {
        use std::io::Write as _;
        let mut file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.home.join("commands"))?;
        Ok(writeln!(file, "{command}")?)
    }

    /// The lines that have arrived.
    fn received(&self) -> Result<String, Failed> {
        match std::fs::read(self.home.join("received")) {
            Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits for a line with this text.
    async fn receives(&self, text: &str) -> Result<String, Failed> {
        let waiting = async {
            loop {
                let received = self.received()?;
                if let Some(line) = received.lines().find(|line| line.contains(text)) {
                    return Ok::<_, Failed>(line.to_owned());
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        match timeout(LIMIT, waiting).await {
            Ok(line) => line,
            Err(_) => Err(format!("no {text:?} in {}", self.received()?).into()),
        }
    }
}

const SCRIPT: &str = r#"
use strict;
use Irssi;
my $home = Irssi::get_irssi_dir();
my $done = 0;
Irssi::signal_add('server incoming', sub {
    my ($server, $line) = @_;
    open(my $log, '>>', "$home/received") or return;
    print $log "$line\n";
});
Irssi::timeout_add(20, sub {
    open(my $file, '<', "$home/commands") or return;
    my @lines = <$file>;
    for my $line (@lines[$done .. $#lines]) {
        return unless $line =~ /\n$/;
        $done++;
        chomp $line;
        my ($server) = Irssi::servers();
        $server->command($line) if $server;
    }
}, undef);
"#;

/// A user of the server that sends messages to the first one.
#[derive(Debug)]
struct Mallory(BufReader<TcpStream>);

impl Mallory {
    async fn connect(port: u16) -> Result<Self, Failed> {
        let mut stream = BufReader::new(TcpStream::connect(("127.0.0.1", port)).await?);
        stream
            .write_all(b"NICK mallory\r\nUSER m m m :m\r\n")
            .await?;
        let mut line = String::new();
        while !line.contains(" 376 ") {
            line.clear();
            if timeout(LIMIT, stream.read_line(&mut line)).await?? == 0 {
                return Err("the IRC server closed the connection".into());
            }
        }
        Ok(Self(stream))
    }

    async fn sends(&mut self, text: &str) -> Result<(), Failed> {
        let line = format!("PRIVMSG alice :{text}\r\n");
        Ok(self.0.write_all(line.as_bytes()).await?)
    }
}

/// Forwards connections to a server, and records what is sent to it.
#[derive(Debug)]
struct Recorder {
    address: std::net::SocketAddr,
    connections: Arc<Mutex<Vec<Recorded>>>,
}

#[derive(Debug, Default)]
struct Recorded {
    bytes: Vec<u8>,
    has_ended: bool,
}

impl Recorder {
    async fn start(port: u16) -> Result<Self, Failed> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let connections: Arc<Mutex<Vec<Recorded>>> = Arc::default();
        let shared = connections.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let index = {
                    let mut connections = lock(&shared);
                    connections.push(Recorded::default());
                    connections.len() - 1
                };
                tokio::spawn(record(client, port, shared.clone(), index));
            }
        });
        Ok(Self {
            address,
            connections,
        })
    }

    /// The lines of a connection, without pings and questions about channels.
    fn lines(&self, index: usize) -> Vec<String> {
        let connections = lock(&self.connections);
        let text = connections
            .get(index)
            .map(|one| String::from_utf8_lossy(&one.bytes));
        let lines = text.iter().flat_map(|text| text.split_terminator("\r\n"));
        lines
            .filter(|line| !UNORDERED.iter().any(|start| line.starts_with(start)))
            .map(str::to_owned)
            .collect()
    }

    /// Waits for the end of the first connections.
    async fn ended(&self, count: usize) -> Outcome {
        let have = || {
            let connections = lock(&self.connections);
            connections
                .iter()
                .take(count)
                .filter(|one| one.has_ended)
                .count()
                == count
        };
        let waiting = async {
            while !have() {
                sleep(Duration::from_millis(20)).await;
            }
        };
        Ok(timeout(LIMIT, waiting).await?)
    }
}

/// The beginnings of lines that irssi sends by itself.
const UNORDERED: [&str; 4] = ["PING", "PONG", "MODE #", "WHO #"];

fn lock(connections: &Mutex<Vec<Recorded>>) -> MutexGuard<'_, Vec<Recorded>> {
    connections.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn record(
    client: TcpStream,
    port: u16,
    connections: Arc<Mutex<Vec<Recorded>>>,
    index: usize,
) -> std::io::Result<()> {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) =
        TcpStream::connect(("127.0.0.1", port)).await?.into_split();
    let change = |how: &(dyn Fn(&mut Recorded) + Sync)| {
        lock(&connections).get_mut(index).map(how);
    };
    let answers = async {
        let _ = tokio::io::copy(&mut from_server, &mut to_client).await;
        to_client.shutdown().await
    };
    let requests = async {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = from_client.read(&mut buffer).await {
            let part = buffer.get(..count).unwrap_or_default();
            change(&|recorded| recorded.bytes.extend_from_slice(part));
            to_server.write_all(part).await?;
        }
        to_server.shutdown().await
    };
    let ended = tokio::join!(answers, requests);
    change(&|recorded| recorded.has_ended = true);
    ended.0.and(ended.1)
}
