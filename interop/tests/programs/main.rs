//! Programs that people use, over the proxies and tunnels, on a private network of real routers.
//!
//! See `interop/README.md`. A test whose program is missing is skipped with a message, unless
//! `EEPKIT_INTEROP=required` is set.

mod dns;
mod gnupg;
mod host;
mod irc;
mod run;
mod websocket;

use std::{
    io::{self, Write as _},
    path::Path,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use eepkit::{Address, Devnet, Preset, Router};
use eepkit_interop::interop_is_required;
use eepkit_services::{
    http_proxy::{HttpProxy, HttpProxyConfig},
    naming::Names,
    service::{Context, Definition as _},
    socks::{SocksConfig, SocksProxy},
    tunnel::{ClientTunnelConfig, ServerTunnelConfig, Target},
};
use libtest_mimic::{Arguments, Failed, Trial};
use tokio::{runtime::Runtime, time::sleep};

use crate::{
    host::Host,
    run::{Connections, Program, free_port, missing},
};

type Outcome = Result<(), Failed>;

/// The proxies are on the first router of the network, and the servers on the second.
struct Lab {
    net: Devnet,
    proxy: HttpProxy,
    socks: SocksProxy,
}

/// The routers of the network.
const ROUTERS: usize = 4;

impl Lab {
    async fn start() -> Result<Self, Failed> {
        let net = Devnet::start(ROUTERS).await?;
        let any = || [([127, 0, 0, 1], 0).into()];
        let config = HttpProxyConfig::new().listen(any());
        let near = || Router::new(net.router(0));
        let proxy = HttpProxy::start(near(), Names::none(), config).await?;
        let socks = SocksProxy::start(near(), SocksConfig::new().listen(any())).await?;
        Ok(Self { net, proxy, socks })
    }

    fn near(&self) -> Router {
        Router::new(self.net.router(0))
    }

    fn far(&self) -> Router {
        Router::new(self.net.router(1))
    }

    /// A destination for a server.
    async fn host(&self) -> Result<Host, Failed> {
        let session = self.far().session().preset(Preset::Test).open().await?;
        Ok(Host::new(session))
    }

    fn proxy_address(&self) -> String {
        self.proxy.tcp_addrs()[0].to_string()
    }

    fn proxy_url(&self) -> String {
        format!("http://{}", self.proxy_address())
    }

    /// Returns when a destination answers.
    async fn found(&self, destination: &Address) -> Outcome {
        let session = self.near().session().preset(Preset::Test).open().await?;
        while session.ping(destination).await.is_err() {
            sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }
}

fn main() -> ExitCode {
    let mut args = Arguments::from_args();
    args.test_threads.get_or_insert(8);
    let runtime = match Runtime::new() {
        Ok(runtime) => Arc::new(runtime),
        Err(error) => {
            return give_up(&format!("no tokio runtime: {error}"));
        }
    };
    let lab = match runtime.block_on(Lab::start()) {
        Ok(lab) => Arc::new(lab),
        Err(error) => {
            return give_up(&format!("the network did not start: {error:?}"));
        }
    };
    let mut trials = Vec::new();
    let mut add = |name: &str, programs: &[&str], test: Test| {
        let missing = missing(programs).filter(|_| !interop_is_required());
        let (runtime, lab) = (runtime.clone(), lab.clone());
        let trial = Trial::test(name, move || match missing {
            Some(program) => {
                writeln!(io::stdout(), "SKIP: {program} is not installed")?;
                Ok(())
            }
            None => runtime.block_on(test(lab)),
        });
        trials.push(trial);
    };
    add("curl_sends_what_all_programs_send", &["curl"], |lab| {
        Box::pin(headers(lab))
    });
    add("curl_uploads_ten_mebibytes", &["curl"], |lab| {
        Box::pin(upload(lab))
    });
    add("curl_resolves_no_name", &["curl", "strace"], |lab| {
        Box::pin(curl_dials_the_proxy_only(lab))
    });
    add("curl_reaches_a_site_over_socks", &["curl"], |lab| {
        Box::pin(socks(lab))
    });
    add("git_clones_over_the_http_proxy", &["git"], |lab| {
        Box::pin(git(lab))
    });
    add(
        "ssh_runs_a_command_over_tunnels",
        &["ssh", "sshd", "ssh-keygen"],
        |lab| Box::pin(ssh(lab)),
    );
    add(
        "chromium_browses_a_site_and_dials_the_proxy_only",
        &["chromium", "strace"],
        |lab| Box::pin(chromium(lab)),
    );
    add(
        "irssi_talks_over_tunnels_to_ngircd_and_reveals_nothing",
        irc::PROGRAMS,
        |lab| Box::pin(irc::conversation(lab)),
    );
    add("dig_asks_dnsmasq_over_tunnels", dns::PROGRAMS, |lab| {
        Box::pin(dns::questions_and_answers(lab))
    });
    add(
        "python_speaks_websocket_through_the_proxy",
        websocket::PROGRAMS,
        |lab| Box::pin(websocket::echo(lab)),
    );
    add(
        "gnupg_uses_a_key_server_and_dials_the_proxy_only",
        gnupg::PROGRAMS,
        |lab| Box::pin(gnupg::key_server(lab)),
    );
    libtest_mimic::run(&args, trials).exit_code()
}

fn give_up(why: &str) -> ExitCode {
    // Nothing is left to do if this fails.
    let _ = writeln!(io::stderr(), "{why}");
    ExitCode::FAILURE
}

type Test = fn(Arc<Lab>) -> std::pin::Pin<Box<dyn Future<Output = Outcome> + Send>>;

fn same<T: PartialEq + std::fmt::Debug>(what: &str, is: &T, expected: &T) -> Outcome {
    if is == expected {
        return Ok(());
    }
    Err(format!("{what}: {is:#?} instead of {expected:#?}").into())
}

/// All that arrives at the server is compared, byte by byte.
async fn headers(lab: Arc<Lab>) -> Outcome {
    let host = lab.host().await?;
    host.answer_with_the_request(80)?;
    let name = host.name();
    let curl = Program::new("curl")
        .args([
            "-sS",
            "--proxy",
            &lab.proxy_url(),
            "--user-agent",
            "secret/1",
        ])
        .args(["--referer", "http://elsewhere.i2p/"])
        .args(["-H", "X-Forwarded-For: 192.0.2.1", "-H", "Via: 1.1 me"])
        .args(["-H", "DNT: 1", "-H", "X-Own: kept", "--cookie", "a=b"])
        .args(["-H", "Proxy-Authorization: Basic c2VjcmV0"])
        .arg(&format!("http://{name}/a%20b?c=d"));
    let arrived = curl.output().await?;
    let expected = format!(
        "GET /a%20b?c=d HTTP/1.1\r\nHost: {name}\r\nAccept: */*\r\nCookie: a=b\r\nX-Own: kept\r\n\
         X-Accept-Encoding: x-i2p-gzip;q=1.0, identity;q=0.5, deflate;q=0, gzip;q=0, *;q=0\r\n\
         User-Agent: MYOB/6.66 (AN/ON)\r\nConnection: keep-alive\r\n\r\n"
    );
    same("what arrived", &arrived, &expected)
}

async fn upload(lab: Arc<Lab>) -> Outcome {
    let host = lab.host().await?;
    host.count_uploads(80)?;
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("upload");
    std::fs::write(&file, vec![7; 10 << 20])?;
    let curl = Program::new("curl")
        .args(["-sS", "--proxy", &lab.proxy_url(), "--upload-file"])
        .arg(&file.display().to_string())
        .arg(&format!("http://{}/up", host.name()));
    same("bytes", &curl.output().await?, &(10 << 20).to_string())
}

async fn curl_dials_the_proxy_only(lab: Arc<Lab>) -> Outcome {
    let host = lab.host().await?;
    host.answer_with_the_request(80)?;
    let curl = Program::new("curl")
        .args(["-sS", "--proxy", &lab.proxy_url()])
        .arg(&format!("http://{}/", host.name()));
    let (output, connections) = curl.traced().await?;
    same("an answer", &output.starts_with("GET / HTTP/1.1"), &true)?;
    dialled_only(&connections, &[lab.proxy.tcp_addrs()[0]])
}

fn dialled_only(connections: &Connections, allowed: &[std::net::SocketAddr]) -> Outcome {
    same("connections were made", &connections.is_empty(), &false)?;
    let others: Vec<_> = connections
        .iter()
        .filter(|to| !allowed.contains(to))
        .collect();
    same("other connections", &others, &Vec::new())
}

async fn socks(lab: Arc<Lab>) -> Outcome {
    let host = lab.host().await?;
    host.answer_with_the_request(8080)?;
    let url = format!("http://{}:8080/over-socks", host.name());
    for scheme in ["socks5h", "socks4a"] {
        let proxy = format!("{scheme}://{}", lab.socks.tcp_addrs()[0]);
        let curl = Program::new("curl").args(["-sS", "--proxy", &proxy, &url]);
        let arrived = curl.output().await?;
        same(
            scheme,
            &arrived.starts_with("GET /over-socks HTTP/1.1\r\n"),
            &true,
        )?;
    }
    Ok(())
}

async fn git(lab: Arc<Lab>) -> Outcome {
    let dir = tempfile::tempdir()?;
    let at = |name: &str| dir.path().join(name).display().to_string();
    let work = at("work");
    let git = |args: &[&str]| {
        Program::new("git")
            .env("HOME", &at("home"))
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .args([
                "-c",
                "user.name=a",
                "-c",
                "user.email=a@b.i2p",
                "-c",
                "protocol.version=0",
            ])
            .args(args.iter().copied())
    };
    git(&["init", "--quiet", &work]).output().await?;
    std::fs::write(Path::new(&work).join("file"), vec![b'x'; 1 << 20])?;
    git(&["-C", &work, "add", "file"]).output().await?;
    git(&["-C", &work, "commit", "--quiet", "-m", "first"])
        .output()
        .await?;
    let bare = at("site/repo.git");
    git(&["clone", "--quiet", "--bare", &work, &bare])
        .output()
        .await?;
    git(&["-C", &bare, "update-server-info"]).output().await?;

    let host = lab.host().await?;
    host.serve_files(Path::new(&at("site")))?;
    let url = format!("http://{}/repo.git", host.name());
    let proxy = format!("http.proxy={}", lab.proxy_url());
    git(&["-c", &proxy, "clone", "--quiet", &url, &at("clone")])
        .output()
        .await?;
    same(
        "the file",
        &std::fs::read(Path::new(&at("clone/file")))?.len(),
        &(1 << 20),
    )
}

async fn ssh(lab: Arc<Lab>) -> Outcome {
    let dir = tempfile::tempdir()?;
    let at = |name: &str| dir.path().join(name).display().to_string();
    for key in ["host", "user"] {
        Program::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-f", &at(key)])
            .output()
            .await?;
    }
    std::fs::copy(at("user.pub"), at("authorized"))?;
    let port = free_port()?;
    let config = format!(
        "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nStrictModes no\n\
         UsePAM no\nPidFile none\nPasswordAuthentication no\n",
        at("host"),
        at("authorized")
    );
    std::fs::write(at("sshd_config"), config)?;
    // The directory of privilege separation, which the service of the system would create.
    let _ = std::fs::create_dir_all("/run/sshd");
    let sshd = run::path_of("sshd").ok_or("no sshd")?;
    let _sshd = Program::new(&sshd)
        .args(["-D", "-e", "-f", &at("sshd_config")])
        .spawn()?;

    let target = Target::Tcp(([127, 0, 0, 1], port).into());
    let server = ServerTunnelConfig::new()
        .name("ssh")
        .keys(at("server.dat"))
        .target(target)
        .launch(&Context::new(lab.far()))
        .await?;
    let client = ClientTunnelConfig::new()
        .name("ssh")
        .listen([([127, 0, 0, 1], 0).into()])
        .destination(server.address().to_string().parse()?)
        .launch(&Context::new(lab.near()))
        .await?;
    let local = client.tcp_addrs()[0].port().to_string();
    let ssh = Program::new("ssh")
        .args(["-F", "none", "-p", &local, "-i", &at("user")])
        .args(["-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no"])
        .args(["-o", &format!("UserKnownHostsFile={}", at("known"))])
        .args(["127.0.0.1", "head -c 1000000 /dev/zero | wc -c"]);
    let answer = ssh.output().await?;
    client.stop().await;
    server.stop().await;
    same(
        "the answer",
        &answer.trim().to_owned(),
        &"1000000".to_owned(),
    )
}

async fn chromium(lab: Arc<Lab>) -> Outcome {
    let dir = tempfile::tempdir()?;
    let site = dir.path().join("site");
    std::fs::create_dir(&site)?;
    let page = "<!doctype html><title>eepsite</title><p id=p>before</p>\
                <script src=script.js></script><img src=//elsewhere.example/a.png>";
    std::fs::write(site.join("index.html"), page)?;
    std::fs::write(
        site.join("script.js"),
        "document.getElementById('p').textContent = 'the script ran';",
    )?;
    let host = lab.host().await?;
    host.serve_files(&site)?;
    let profile = format!("--user-data-dir={}", dir.path().join("profile").display());
    let browser = Program::new("chromium")
        .env("HOME", &dir.path().display().to_string())
        .args([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
        ])
        .args([
            "--no-first-run",
            "--disable-background-networking",
            "--disable-sync",
        ])
        .args(["--disable-component-update", "--disable-domain-reliability"])
        .args([&format!("--proxy-server={}", lab.proxy_url()), &profile])
        .args([
            "--proxy-bypass-list=<-loopback>",
            "--virtual-time-budget=20000",
            "--dump-dom",
        ])
        .arg(&format!("http://{}/", host.name()))
        .limit(Duration::from_secs(120));
    let (dom, connections) = browser.traced().await?;
    same("the script ran", &dom.contains("the script ran"), &true)?;
    // Chromium connects a UDP socket to this address to learn whether there is a route. Nothing is sent.
    let probe = "[2001:4860:4860::8888]:443".parse()?;
    dialled_only(&connections, &[lab.proxy.tcp_addrs()[0], probe])
}
