//! Programs of the system: how they are found, run, and observed.

use std::{
    fmt::Write as _,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::Stdio,
    time::Duration,
};

use libtest_mimic::Failed;
use tokio::{
    net::TcpStream,
    process::{Child, Command},
    time::{sleep, timeout},
};

/// The addresses to which a program and its children sent something or connected.
pub(crate) type Connections = Vec<SocketAddr>;

/// A program with its arguments.
#[derive(Debug)]
pub(crate) struct Program {
    name: String,
    args: Vec<String>,
    env: Vec<(String, String)>,
    limit: Duration,
}

/// How long a program may run.
pub(crate) const LIMIT: Duration = Duration::from_secs(90);

/// Directories of programs that are not in the search path of every user.
const SYSTEM: [&str; 2] = ["/usr/sbin", "/sbin"];

/// The path of a program.
pub(crate) fn path_of(program: &str) -> Option<String> {
    let path = std::env::var_os("PATH")?;
    let dirs = std::env::split_paths(&path).chain(SYSTEM.map(PathBuf::from));
    dirs.map(|dir| dir.join(program))
        .find(|file| file.is_file())
        .map(|file| file.display().to_string())
}

/// The first of these programs that is not installed.
pub(crate) fn missing(programs: &[&str]) -> Option<String> {
    let missing = programs.iter().find(|program| path_of(program).is_none());
    missing.map(|program| (*program).to_owned())
}

/// A port that is free.
pub(crate) fn free_port() -> Result<u16, Failed> {
    Ok(eepkit_interop::free_port(Ipv4Addr::LOCALHOST)?)
}

/// Waits until a program listens on a TCP port.
pub(crate) async fn listens(port: u16) -> Result<(), Failed> {
    let waiting = async {
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    let waited = timeout(LIMIT, waiting).await;
    waited.map_err(|_| format!("no program listens on port {port}").into())
}

impl Program {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            args: Vec::new(),
            env: Vec::new(),
            limit: LIMIT,
        }
    }

    pub(crate) fn arg(mut self, arg: &str) -> Self {
        self.args.push(arg.to_owned());
        self
    }

    pub(crate) fn args<'a>(
        mut self,
        args: impl IntoIterator<Item = &'a (impl AsRef<str> + ?Sized + 'a)>,
    ) -> Self {
        self.args
            .extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    pub(crate) fn env(mut self, key: &str, value: &str) -> Self {
        self.env.push((key.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.name);
        command.args(&self.args);
        // A proxy of the environment must not be used.
        for variable in ["http_proxy", "https_proxy", "all_proxy", "no_proxy"] {
            command.env_remove(variable);
            command.env_remove(variable.to_uppercase());
        }
        command.envs(self.env.iter().map(|(key, value)| (key, value)));
        command.kill_on_drop(true).stdin(Stdio::null());
        command
    }

    /// Starts the program. It is killed when the result is dropped.
    pub(crate) fn spawn(&self) -> Result<Child, Failed> {
        Ok(self.command().stdout(Stdio::null()).spawn()?)
    }

    /// Runs the program, and returns its output if it succeeds.
    pub(crate) async fn output(&self) -> Result<String, Failed> {
        let running = self.command().output();
        let output = timeout(self.limit, running)
            .await
            .map_err(|_| format!("{} took longer than {:?}", self.name, self.limit))??;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            return Ok(text);
        }
        let mut why = format!("{} {:?}: {}", self.name, self.args, output.status);
        let _ = write!(why, "\n{text}{}", String::from_utf8_lossy(&output.stderr));
        Err(why.into())
    }

    /// Runs the program, and also returns the Internet addresses that it and its children dialled.
    pub(crate) async fn traced(&self) -> Result<(String, Connections), Failed> {
        let dir = tempfile::tempdir()?;
        let log = dir.path().join("log");
        let mut traced = Self::new("strace")
            .args([
                "-f",
                "-qq",
                "-e",
                "trace=connect,sendto,sendmsg,sendmmsg",
                "-o",
            ])
            .arg(&log.display().to_string())
            .arg(&self.name)
            .args(&self.args)
            .limit(self.limit);
        traced.env.clone_from(&self.env);
        let output = traced.output().await?;
        let log = std::fs::read_to_string(log)?;
        Ok((output, log.lines().filter_map(dialled).collect()))
    }
}

/// The address in a line of strace, such as
/// `connect(5, {sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr("192.0.2.1")}, 16) = 0`.
fn dialled(line: &str) -> Option<SocketAddr> {
    let between = |from: &str, to: &str| {
        let (_, rest) = line.split_once(from)?;
        Some(rest.split_once(to)?.0)
    };
    let port = between("port=htons(", ")")?.parse().ok()?;
    let ip = between("inet_addr(\"", "\"").or_else(|| between("inet_pton(AF_INET6, \"", "\""))?;
    Some(SocketAddr::new(ip.parse().ok()?, port))
}
