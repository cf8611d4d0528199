//! One transfer, at the sender and at the receiver.

use std::{sync::Mutex, time::Duration};

use eepkit::clock::unix_now;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use sha2::{Digest as _, Sha256};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::{Instant, MissedTickBehavior, interval, timeout, timeout_at},
};

use super::{
    Answers, lock,
    session::{Outgoing, Session},
};
use crate::wire::{Answer, Received, Sample, Sent};

/// The interval of a receiver's records. Chosen because it is below any RTT of interest.
pub(crate) const STEP: Duration = Duration::from_millis(100);

/// The interval of a sender's samples of our streaming.
const SAMPLE_STEP: Duration = Duration::from_millis(250);

/// The maximum number of samples, for ten minutes.
const MAX_SAMPLES: usize = 2400;

/// The number of bytes per read or write.
const CHUNK: usize = 32 * 1024;

/// The data and its destination.
pub(super) struct Parcel {
    /// Destination in base64.
    pub(super) to: String,
    pub(super) bytes: u64,
    /// Seed of the bytes, which do not compress.
    pub(super) seed: u64,
}

/// Accepts one stream and reads `bytes` bytes.
pub(super) async fn receive(
    session: &Session,
    bytes: u64,
    limit: Duration,
    answers: &Answers,
) -> Result<(), String> {
    let deadline = Instant::now() + limit;
    let mut stream = session
        .accept(limit, answers.send(Answer::Listening))
        .await?;
    let mut hash = Sha256::new();
    let mut series = Vec::new();
    let mut got = 0;
    let mut buffer = vec![0; CHUNK];
    let mut noted = Instant::now();
    while got < bytes {
        let room = CHUNK.min(usize::try_from(bytes - got).unwrap_or(CHUNK));
        let read = match timeout_at(deadline, stream.read(&mut buffer[..room])).await {
            Ok(Ok(0)) => return Err(format!("the stream ended after {got} bytes")),
            Ok(Ok(read)) => read,
            Ok(Err(error)) => return Err(format!("after {got} bytes: {error}")),
            Err(_) => return Err(format!("only {got} bytes within {} s", limit.as_secs())),
        };
        hash.update(&buffer[..read]);
        got += read as u64;
        if series.is_empty() || noted.elapsed() >= STEP || got == bytes {
            noted = Instant::now();
            series.push((unix_now(), got));
            answers.send(Answer::Progress { bytes: got }).await;
        }
    }
    let received = Received {
        sha256: hex(hash),
        series,
    };
    answers.send(Answer::Received(received)).await;
    Ok(())
}

/// Opens a stream and writes the data. Then keeps the stream open and takes samples until the task
/// is aborted, because a router may drop undelivered data when a stream ends.
pub(super) async fn send(
    session: &Session,
    parcel: Parcel,
    limit: Duration,
    answers: &Answers,
    samples: &Mutex<Vec<Sample>>,
) -> Result<(), String> {
    let began = unix_now();
    let mut stream = session.connect(&parcel.to, limit).await?;
    let connected = unix_now();
    let mut ticks = interval(SAMPLE_STEP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);

    let mut rng = StdRng::seed_from_u64(parcel.seed);
    let mut hash = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    let mut left = parcel.bytes;
    while left > 0 {
        let len = CHUNK.min(usize::try_from(left).unwrap_or(CHUNK));
        rng.fill_bytes(&mut chunk[..len]);
        hash.update(&chunk[..len]);
        let mut written = 0;
        while written < len {
            tokio::select! {
                result = stream.writer().write(&chunk[written..len]) => match result {
                    Ok(0) => return Err("the stream takes nothing more".to_owned()),
                    Ok(more) => written += more,
                    Err(error) => return Err(error.to_string()),
                },
                _ = ticks.tick() => sample(&stream, samples),
            }
        }
        left -= len as u64;
    }
    let flushed = timeout(limit, stream.writer().flush()).await;
    flushed
        .map_err(|_| "not flushed in time".to_owned())?
        .map_err(|error| error.to_string())?;
    let sent = Sent {
        sha256: hex(hash),
        began,
        connected,
    };
    answers.send(Answer::Sent(sent)).await;
    loop {
        ticks.tick().await;
        sample(&stream, samples);
    }
}

fn sample(stream: &Outgoing, samples: &Mutex<Vec<Sample>>) {
    let Some(info) = stream.info() else {
        return;
    };
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    let mut samples = lock(samples);
    if samples.len() < MAX_SAMPLES {
        samples.push(Sample {
            at: unix_now(),
            rtt_ms: info.rtt.map(ms),
            rto_ms: ms(info.rto),
            window: info.cwnd,
            in_flight: info.in_flight,
            pacing: info.pacing_rate,
            mtu: info.mtu,
            unsent: info.unsent,
            choked: info.choked,
            sent: info.packets_sent,
            resent: info.packets_resent,
            received: info.packets_received,
        });
    }
}

fn hex(hash: Sha256) -> String {
    use std::fmt::Write as _;

    let mut text = String::new();
    for byte in hash.finalize() {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
