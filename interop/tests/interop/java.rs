//! Tests of our streaming with Java I2P's streaming library 2.7.0, in both roles. Both are clients of
//! one simulated network over I2CP.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use eepkit::{PeerKind, Preset, Router, Session, Stream, sim::SimNet};
use eepkit_interop::JavaStreaming;
use libtest_mimic::{Failed, Trial};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, ChildStdin, Command},
    sync::{Mutex as AsyncMutex, mpsc, oneshot},
    task::JoinSet,
    time::{Instant, timeout},
};

use crate::lab::{Lab, Outcome, STEP_LIMIT, noise, read_to_end, read_until, same, say, whole};

/// The delay of the simulated network in one direction. The round trip is 20 ms.
const DELAY: Duration = Duration::from_millis(10);

/// The number of bytes of the large exchange.
const MEBIBYTE: usize = 1 << 20;

/// How often the time to open a stream is measured. The first times include the compilation of Java's
/// code.
const MEASURED: usize = 5;

/// The number of chunks that our echo keeps. Chosen so that a mebibyte fits, in chunks of one packet.
const ECHOED_CHUNKS: usize = 1024;

/// The number of streams that are opened at once.
const STREAMS: usize = 20;

pub(crate) fn add(lab: &Arc<Lab>, trials: &mut Vec<Trial>) {
    let missing = JavaStreaming::prerequisites().err();
    macro_rules! add {
        ($($name:ident),* $(,)?) => {
            $(
                let name = concat!("java::", stringify!($name));
                lab.add_java(trials, name, missing.clone(), move |lab| async move {
                    match lab.java().await {
                        Ok(java) => $name(java).await,
                        Err(error) if lab.is_required() => Err(error),
                        Err(error) => {
                            let why = error.message().unwrap_or_default();
                            say(&format!("SKIP: {}: {why}", name));
                            Ok(())
                        }
                    }
                });
            )*
        };
    }
    add!(
        it_echoes_a_mebibyte,
        we_echo_a_mebibyte,
        it_echoes_on_twenty_streams_at_once,
        we_echo_on_twenty_streams_at_once,
        we_read_all_data_sent_before_its_close,
        its_reset_ends_our_stream,
        our_reset_ends_its_stream,
        it_asks_us_for_a_reset,
        it_resets_a_stream_to_us,
        pings_are_answered_in_both_directions,
        it_is_recognised_as_java_however_much_it_remembers,
    );
}

/// A running `Peer.java`, and our own session on the same network.
#[derive(Debug)]
pub(crate) struct JavaPeer {
    /// Killed when this value is dropped. The program also ends with its input.
    _child: Child,
    input: AsyncMutex<ChildStdin>,
    destination: String,
    commands: AtomicU64,
    answers: Arc<Mutex<HashMap<u64, oneshot::Sender<String>>>>,
    /// How its streams that wait for the end ended.
    ends: AsyncMutex<mpsc::Receiver<String>>,
    session: Session,
    _net: SimNet,
}

impl JavaPeer {
    pub(crate) async fn start() -> Result<Arc<Self>, String> {
        let fetch = || JavaStreaming::fetch(Path::new(env!("CARGO_TARGET_TMPDIR")));
        let fetched = tokio::task::spawn_blocking(fetch).await;
        let library = fetched.map_err(|error| error.to_string())??;
        let started = timeout(STEP_LIMIT, Self::start_with(&library)).await;
        let started = started.map_err(|_| format!("it did not start within {STEP_LIMIT:?}"))?;
        started
            .map(Arc::new)
            .map_err(|error| error.message().unwrap_or("it did not start").to_owned())
    }

    async fn start_with(library: &JavaStreaming) -> Result<Self, Failed> {
        let net = SimNet::builder()
            .delay(DELAY)
            .build_time(Duration::from_millis(50))
            .start();
        let router: SocketAddr = net.i2cp_listen((Ipv4Addr::LOCALHOST, 0)).await?;
        let mut child = Command::from(library.peer(router.port()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let input = child.stdin.take().ok_or("its input is piped")?;
        let stdout = child.stdout.take().ok_or("its output is piped")?;
        let mut lines = BufReader::new(stdout).lines();
        let first = lines.next_line().await?;
        let destination = first.ok_or("it ended before it had a session")?;

        let answers: Arc<Mutex<HashMap<u64, oneshot::Sender<String>>>> = Arc::default();
        let (ended, ends) = mpsc::channel(STREAMS);
        let waiting = answers.clone();
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let (number, text) = line.split_once(' ').unwrap_or((&line, ""));
                if let Ok(number) = number.parse() {
                    let waiter = waiting.lock().ok().and_then(|mut all| all.remove(&number));
                    if let Some(waiter) = waiter {
                        let _ = waiter.send(text.to_owned());
                    }
                } else if number == "end" {
                    let _ = ended.send(text.to_owned()).await;
                }
            }
        });

        let router = Router::attach(&format!("i2cp://{router}"))?;
        let session = router.session().preset(Preset::Test).open().await?;
        let listener = session.listen(0)?;
        tokio::spawn(async move {
            while let Ok(stream) = listener.accept().await {
                tokio::spawn(async move {
                    if let Err(error) = serve(stream).await {
                        say(&format!("java: {error:?}"));
                    }
                });
            }
        });
        let java = Self {
            _child: child,
            input: AsyncMutex::new(input),
            destination,
            commands: AtomicU64::new(0),
            answers,
            ends: AsyncMutex::new(ends),
            session,
            _net: net,
        };
        java.measure().await?;
        Ok(java)
    }

    /// Prints how long streams take to open in each direction, before the tests load the machine.
    async fn measure(&self) -> Outcome {
        for _ in 0..MEASURED {
            let began = Instant::now();
            let stream = self.open(b'e').await?;
            say(&format!("java: we connected in {:.1?}", began.elapsed()));
            echoed(stream, b"a few bytes").await?;
        }
        for _ in 0..MEASURED {
            let took = self.command("echo", "11").await?;
            say(&format!("java: it connected in {took} ms"));
        }
        Ok(())
    }

    /// Opens a stream to it whose first byte is `what`.
    async fn open(&self, what: u8) -> Result<Stream, Failed> {
        let connecting = self.session.connect(&*self.destination);
        let mut stream = timeout(STEP_LIMIT, connecting).await?.map_err(whole)?;
        stream.write_all(&[what]).await?;
        stream.flush().await?;
        Ok(stream)
    }

    /// Has it execute a command with our destination, and returns the time that it states.
    async fn command(&self, name: &str, argument: &str) -> Result<String, Failed> {
        let number = self.commands.fetch_add(1, Ordering::Relaxed);
        let (waiter, answer) = oneshot::channel();
        let poisoned = |_| Failed::from("another test panicked");
        self.answers
            .lock()
            .map_err(poisoned)?
            .insert(number, waiter);
        let ours = self.session.destination().to_base64();
        let line = format!("{number} {name} {ours} {argument}\n");
        self.input.lock().await.write_all(line.as_bytes()).await?;
        let answer = timeout(STEP_LIMIT, answer).await??;
        match answer.strip_prefix("ok ") {
            Some(took) => Ok(took.to_owned()),
            None => Err(answer.into()),
        }
    }
}

/// Does for it what `Peer.java` does for us.
async fn serve(mut stream: Stream) -> Outcome {
    match stream.read_u8().await? {
        b'e' => {
            let (mut read, mut write) = tokio::io::split(stream);
            // It is read whether or not it can be written. A stream that is read as slowly as it is
            // written chokes Java, which then acknowledges only twice a second.
            let (sender, mut receiver) = mpsc::channel(ECHOED_CHUNKS);
            let reader = tokio::spawn(async move {
                let mut chunk = vec![0; 16_384];
                loop {
                    let length = read.read(&mut chunk).await?;
                    if length == 0 {
                        return Ok::<_, Failed>(());
                    }
                    let _ = sender.send(chunk[..length].to_vec()).await;
                }
            });
            while let Some(chunk) = receiver.recv().await {
                write.write_all(&chunk).await?;
            }
            reader.await??;
            write.shutdown().await?;
        }
        b'r' => stream.reset(),
        b'w' => {
            stream.write_all(b"w").await?;
            stream.flush().await?;
            let end = timeout(STEP_LIMIT, stream.read_u8()).await?;
            let error = end.err().ok_or("it sent more")?;
            same("the end", error.kind(), std::io::ErrorKind::ConnectionReset)?;
        }
        other => return Err(format!("a stream that begins with {other}").into()),
    }
    Ok(())
}

/// Sends `data` and the end, and returns what comes back until the end.
async fn echoed(stream: Stream, data: &[u8]) -> Result<Vec<u8>, Failed> {
    let (mut read, mut write) = tokio::io::split(stream);
    let send = async {
        write.write_all(data).await?;
        write.shutdown().await?;
        Ok::<_, Failed>(())
    };
    let (back, ()) = tokio::try_join!(read_to_end(&mut read), send)?;
    Ok(back)
}

async fn it_echoes_a_mebibyte(java: Arc<JavaPeer>) -> Outcome {
    let data = noise(1, MEBIBYTE);
    let back = echoed(java.open(b'e').await?, &data).await?;
    same("what came back", back == data, true)
}

async fn we_echo_a_mebibyte(java: Arc<JavaPeer>) -> Outcome {
    java.command("echo", &MEBIBYTE.to_string()).await?;
    Ok(())
}

async fn it_echoes_on_twenty_streams_at_once(java: Arc<JavaPeer>) -> Outcome {
    let began = Instant::now();
    let mut all = JoinSet::new();
    for number in 0..STREAMS {
        let java = java.clone();
        all.spawn(async move {
            let data = noise(number as u64, 1000 * number);
            let back = echoed(java.open(b'e').await?, &data).await?;
            same("what came back", back == data, true)
        });
    }
    while let Some(ended) = all.join_next().await {
        ended??;
    }
    let took = began.elapsed();
    say(&format!(
        "java: our {STREAMS} streams at once took {took:.1?}"
    ));
    Ok(())
}

async fn we_echo_on_twenty_streams_at_once(java: Arc<JavaPeer>) -> Outcome {
    let took = java.command("many", &STREAMS.to_string()).await?;
    say(&format!(
        "java: its {STREAMS} streams at once took {took} ms"
    ));
    Ok(())
}

async fn we_read_all_data_sent_before_its_close(java: Arc<JavaPeer>) -> Outcome {
    let mut stream = java.open(b'c').await?;
    let data = read_to_end(&mut stream).await?;
    same("bytes before the end", data.len(), 100_000)?;
    stream.shutdown().await?;
    Ok(())
}

async fn its_reset_ends_our_stream(java: Arc<JavaPeer>) -> Outcome {
    let mut stream = java.open(b'r').await?;
    let end = timeout(STEP_LIMIT, stream.read_u8()).await?;
    let error = end.err().ok_or("it sent something")?;
    same("the end", error.kind(), std::io::ErrorKind::ConnectionReset)
}

async fn our_reset_ends_its_stream(java: Arc<JavaPeer>) -> Outcome {
    let mut stream = java.open(b'w').await?;
    same("its byte", read_until(&mut stream, 1).await?, b"w".to_vec())?;
    stream.reset();
    let end = timeout(STEP_LIMIT, async { java.ends.lock().await.recv().await }).await?;
    same("the end", end.as_deref(), Some("reset"))
}

async fn it_asks_us_for_a_reset(java: Arc<JavaPeer>) -> Outcome {
    java.command("reset", "").await?;
    Ok(())
}

async fn it_resets_a_stream_to_us(java: Arc<JavaPeer>) -> Outcome {
    java.command("abort", "").await?;
    Ok(())
}

async fn pings_are_answered_in_both_directions(java: Arc<JavaPeer>) -> Outcome {
    java.command("ping", "").await?;
    let took = java.session.ping(&*java.destination).await.map_err(whole)?;
    say(&format!("java: a ping took {took:.1?}"));
    Ok(())
}

/// Its first stream begins with a window of 3, later ones with what earlier ones reached.
async fn it_is_recognised_as_java_however_much_it_remembers(java: Arc<JavaPeer>) -> Outcome {
    let data = noise(2, 400_000);
    for _ in 0..4 {
        let stream = java.open(b'e').await?;
        let (mut read, mut write) = tokio::io::split(stream);
        let send = async {
            write.write_all(&data).await?;
            write.flush().await?;
            Ok::<_, Failed>(())
        };
        let (back, ()) = tokio::try_join!(read_until(&mut read, data.len()), send)?;
        same("what came back", back == data, true)?;
        let mut stream = read.unsplit(write);
        let kind = stream.info().map(|info| info.peer_kind);
        same("its kind", kind, Some(PeerKind::Java))?;
        stream.shutdown().await?;
        read_to_end(&mut stream).await?;
    }
    Ok(())
}
