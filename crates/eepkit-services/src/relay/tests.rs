use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::time::sleep;

use super::*;

/// Two relayed connections, and the far end of each.
fn ends() -> (DuplexStream, DuplexStream, DuplexStream, DuplexStream) {
    let (a, far_a) = duplex(1024);
    let (b, far_b) = duplex(1024);
    (a, b, far_a, far_b)
}

async fn run(mut a: DuplexStream, mut b: DuplexStream, options: Options) -> Report {
    relay(&mut a, &mut b, &options, &Traffic::new()).await
}

/// A connection whose reads or writes fail.
struct Broken {
    reads: bool,
}

impl AsyncRead for Broken {
    fn poll_read(
        self: std::pin::Pin<&mut Self>,
        _cx: &mut std::task::Context<'_>,
        _buf: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.reads {
            true => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            false => Poll::Pending,
        }
    }
}

impl AsyncWrite for Broken {
    fn poll_write(
        self: std::pin::Pin<&mut Self>,
        _cx: &mut std::task::Context<'_>,
        _buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
    }

    fn poll_flush(
        self: std::pin::Pin<&mut Self>,
        _cx: &mut std::task::Context<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(
        self: std::pin::Pin<&mut Self>,
        _cx: &mut std::task::Context<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn the_end_of_one_direction_leaves_the_other_open() {
    let (a, b, mut far_a, mut far_b) = ends();
    let relaying = tokio::spawn(run(a, b, Options::new()));
    far_a.write_all(b"question").await.expect("open");
    far_a.shutdown().await.expect("open");
    let mut question = String::new();
    far_b.read_to_string(&mut question).await.expect("text");
    assert_eq!(question, "question");
    far_b.write_all(b"an answer").await.expect("still open");
    drop(far_b);
    let mut answer = String::new();
    far_a.read_to_string(&mut answer).await.expect("text");
    assert_eq!(answer, "an answer");

    let report = relaying.await.expect("no panic");
    assert!(
        report.is_clean() && report.a_ended && report.b_ended,
        "{report:?}"
    );
    assert_eq!((report.a_to_b, report.b_to_a), (8, 9));
}

#[tokio::test]
async fn the_side_that_failed_and_what_it_was_doing_are_reported() {
    for (reads, operation, kind) in [
        (true, Operation::Read, io::ErrorKind::ConnectionReset),
        (false, Operation::Write, io::ErrorKind::BrokenPipe),
    ] {
        let (mut a, mut far) = duplex(1024);
        if !reads {
            far.write_all(b"x").await.expect("open");
        }
        let mut broken = Broken { reads };
        let report = relay(&mut a, &mut broken, &Options::new(), &Traffic::new()).await;
        let End::Failed {
            side,
            operation: failed,
            error,
        } = &report.end
        else {
            panic!("{report:?}");
        };
        assert_eq!((*side, *failed, error.kind()), (Side::B, operation, kind));
        assert_eq!(report.failed_side(), Some(Side::B));
        assert!(!report.is_clean());

        let (mut b, mut far) = duplex(1024);
        far.write_all(b"x").await.expect("open");
        let report = relay(&mut broken, &mut b, &Options::new(), &Traffic::new()).await;
        assert_eq!(report.failed_side(), Some(Side::A), "{report:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_relay_ends_and_a_byte_in_either_direction_resets_the_limit() {
    let (a, b, mut far_a, mut far_b) = ends();
    let began = Instant::now();
    let limit = Duration::from_secs(60);
    let relaying = tokio::spawn(run(a, b, Options::new().idle(limit)));
    for _ in 0..3 {
        sleep(Duration::from_secs(50)).await;
        far_a.write_all(b"a").await.expect("open");
        sleep(Duration::from_secs(50)).await;
        far_b.write_all(b"b").await.expect("open");
    }
    let report = relaying.await.expect("no panic");
    assert!(matches!(report.end, End::Idle), "{report:?}");
    assert_eq!(began.elapsed().as_secs(), 360);
    assert_eq!((report.a_to_b, report.b_to_a), (3, 3));
}

#[tokio::test(start_paused = true)]
async fn a_half_closed_relay_ends_when_the_open_direction_is_idle() {
    let (a, b, mut far_a, mut far_b) = ends();
    let began = Instant::now();
    let limit = Duration::from_secs(90);
    let relaying = tokio::spawn(run(a, b, Options::new().half_closed(limit)));
    // The limit does not apply while both directions are open.
    sleep(Duration::from_secs(1000)).await;
    far_a.shutdown().await.expect("open");
    for _ in 0..3 {
        sleep(Duration::from_secs(80)).await;
        far_b.write_all(b"b").await.expect("open");
    }
    let report = relaying.await.expect("no panic");
    assert!(matches!(report.end, End::Idle), "{report:?}");
    assert!(report.a_ended && !report.b_ended, "{report:?}");
    assert_eq!(began.elapsed().as_secs(), 1000 + 3 * 80 + 90);
}

#[tokio::test(start_paused = true)]
async fn a_delayed_end_is_passed_on_once_the_side_is_silent() {
    let (a, b, mut far_a, mut far_b) = ends();
    let began = Instant::now();
    let quiet = Duration::from_secs(5);
    let relaying = tokio::spawn(run(a, b, Options::new().close_b_after(quiet)));
    far_a.shutdown().await.expect("open");
    for _ in 0..4 {
        sleep(Duration::from_secs(3)).await;
        far_b.write_all(b"more").await.expect("open");
    }
    assert_eq!(far_b.read(&mut [0; 8]).await.expect("the end"), 0);
    assert_eq!(began.elapsed().as_secs(), 12 + 5);
    drop(far_b);
    assert!(relaying.await.expect("no panic").is_clean());
}

#[tokio::test(start_paused = true)]
async fn a_relay_can_end_with_one_direction() {
    for until in [Until::AEnds, Until::BEnds] {
        let (a, b, mut far_a, mut far_b) = ends();
        let relaying = tokio::spawn(run(a, b, Options::new().until(until)));
        let (first, other) = match until {
            Until::AEnds => (&mut far_a, &mut far_b),
            _ => (&mut far_b, &mut far_a),
        };
        first.write_all(b"all").await.expect("open");
        first.shutdown().await.expect("open");
        let mut all = String::new();
        other.read_to_string(&mut all).await.expect("text");
        assert_eq!(all, "all");
        let report = relaying.await.expect("no panic");
        assert!(matches!(report.end, End::OneDirection), "{report:?}");
        assert!(report.is_clean());
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_are_read_only_as_fast_as_the_other_side_accepts_them() {
    let (a, b, mut far_a, _far_b) = ends();
    let relaying = tokio::spawn(run(a, b, Options::new().buffer(4096)));
    let flood = async {
        let mut taken = 0;
        while far_a.write_all(&[0; 1024]).await.is_ok() {
            taken += 1024;
            assert!(taken <= 4096 + 3 * 1024, "more than all buffers hold");
        }
    };
    let endless = tokio::time::timeout(Duration::from_secs(10), flood).await;
    assert!(endless.is_err(), "the relay ended");
    relaying.abort();
}

#[tokio::test]
async fn bytes_are_counted_while_the_relay_runs_and_after_it_was_dropped() {
    let (mut a, mut b, mut far_a, mut far_b) = ends();
    let traffic = Traffic::new();
    let options = Options::new();
    {
        let relaying = relay(&mut a, &mut b, &options, &traffic);
        let talking = async {
            far_a.write_all(b"12345").await.expect("open");
            far_b.read_exact(&mut [0; 5]).await.expect("five bytes");
        };
        tokio::select! {
            report = relaying => panic!("{report:?}"),
            () = talking => {}
        }
    }
    assert_eq!((traffic.a_to_b(), traffic.b_to_a()), (5, 0));
}

#[tokio::test]
async fn a_prefix_is_read_first() {
    let (a, mut far) = duplex(1024);
    far.write_all(b" and the rest").await.expect("open");
    drop(far);
    let mut prefixed = Prefixed::new(bytes::Bytes::from_static(b"the beginning"), a);
    let mut text = String::new();
    prefixed.read_to_string(&mut text).await.expect("text");
    assert_eq!(text, "the beginning and the rest");
}

#[test]
fn buffers_are_bounded() {
    assert_eq!(Options::new().buffer(0).buffer, 1024);
    assert_eq!(Options::new().buffer(usize::MAX).buffer, 1 << 20);
}
