//! Streams.

use std::{io::IoSlice, time::Duration};

use eepkit::{
    ConnectOptions, ErrorKind, StreamError,
    sim::{SimNet, netem::Rate},
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::lab::{Lab, Link, join, over_both_links, receive, send, within};

over_both_links!(
    both_ends_report_peers_and_ports,
    text_destinations_and_base32_reach_the_peer,
    reading_continues_after_writing_is_shut_down,
    halves_work_in_different_tasks_and_reunite,
    dropping_the_write_half_ends_the_peers_reading,
    vectored_writes_arrive_in_order,
    flush_sends_a_small_write_at_once,
    acked_does_not_wait_for_the_peers_application,
    a_reset_fails_the_peers_reads_with_its_reason,
    a_dropped_stream_still_delivers,
    a_slow_reader_blocks_the_writer,
    a_slow_link_blocks_the_writer,
    reads_end_at_the_time_limit_of_the_stream,
    early_data_arrives_with_the_first_packet,
    early_data_of_any_length_arrives_whole,
    a_session_can_connect_to_itself,
    reads_are_cancel_safe,
    info_reports_the_round_trip_time,
);

async fn both_ends_report_peers_and_ports(link: Link) {
    let lab = Lab::new(link);
    let (client, server) = lab.pair().await;
    let listener = server.listen(80).expect("free");
    let options = ConnectOptions::new().local_port(1234);
    let connecting = client.connect_with((server.destination(), 80), &options);
    let (near, far) = tokio::join!(connecting, listener.accept());
    let (near, far) = (near.expect("connects"), far.expect("accepts"));
    assert_eq!(near.peer(), server.destination());
    assert_eq!(near.local(), client.destination());
    assert_eq!((near.local_port(), near.peer_port()), (1234, 80));
    assert_eq!(far.peer(), client.destination());
    assert_eq!((far.local_port(), far.peer_port()), (80, 1234));
}

async fn text_destinations_and_base32_reach_the_peer(link: Link) {
    let lab = Lab::new(link);
    let (client, server) = lab.pair().await;
    let listener = server.listen(7).expect("free");
    let base64 = format!("{}:7", server.destination().to_base64());
    let base32 = format!("{}:7", server.destination().to_b32());
    for address in [base64, base32] {
        let (_, far) = join(&client, &address, &listener).await;
        assert_eq!(far.local_port(), 7);
    }
}

async fn reading_continues_after_writing_is_shut_down(link: Link) {
    let mut ends = Lab::new(link).stream().await;
    ends.near.write_all(b"question").await.expect("writes");
    ends.near.shutdown().await.expect("shuts down");
    let mut question = String::new();
    ends.far
        .read_to_string(&mut question)
        .await
        .expect("reads to the end");
    assert_eq!(question, "question");
    ends.far.write_all(b"answer").await.expect("writes");
    ends.far.shutdown().await.expect("shuts down");
    let mut answer = String::new();
    ends.near
        .read_to_string(&mut answer)
        .await
        .expect("reads to the end");
    assert_eq!(answer, "answer");
    let error = ends
        .near
        .write_all(b"more")
        .await
        .expect_err("writing is shut down");
    assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
}

async fn halves_work_in_different_tasks_and_reunite(link: Link) {
    let ends = Lab::new(link).stream().await;
    let (mut reader, mut writer) = ends.near.into_split();
    let (mut far_reader, mut far_writer) = ends.far.into_split();
    let echo = tokio::spawn(async move {
        let mut line = [0; 5];
        far_reader.read_exact(&mut line).await.expect("reads");
        far_writer.write_all(&line).await.expect("writes");
        (far_reader, far_writer)
    });
    let writing = tokio::spawn(async move {
        writer.write_all(b"hello").await.expect("writes");
        writer
    });
    let mut line = [0; 5];
    reader.read_exact(&mut line).await.expect("reads");
    assert_eq!(&line, b"hello");
    let writer = writing.await.expect("writes");
    let (far_reader, _far_writer) = echo.await.expect("echoes");
    let error = far_reader
        .reunite(writer)
        .expect_err("halves of different ends");
    let mut whole = reader.reunite(error.1).expect("the same stream");
    whole.write_all(b"again").await.expect("still open");
}

async fn dropping_the_write_half_ends_the_peers_reading(link: Link) {
    let mut ends = Lab::new(link).stream().await;
    let (_reader, mut writer) = ends.near.into_split();
    writer.write_all(b"all").await.expect("writes");
    drop(writer);
    let mut text = String::new();
    ends.far
        .read_to_string(&mut text)
        .await
        .expect("reads to the end");
    assert_eq!(text, "all");
}

async fn vectored_writes_arrive_in_order(link: Link) {
    let mut ends = Lab::new(link).stream().await;
    let parts = [
        IoSlice::new(b"one "),
        IoSlice::new(b""),
        IoSlice::new(b"two"),
    ];
    let written = ends.near.write_vectored(&parts).await.expect("writes");
    assert_eq!(written, 7);
    ends.near.shutdown().await.expect("shuts down");
    let mut text = String::new();
    ends.far.read_to_string(&mut text).await.expect("reads");
    assert_eq!(text, "one two");
}

async fn flush_sends_a_small_write_at_once(link: Link) {
    let mut ends = Lab::new(link).stream().await;
    let begin = tokio::time::Instant::now();
    ends.near.write_all(b"x").await.expect("writes");
    ends.near.flush().await.expect("flushes");
    ends.far.read_u8().await.expect("reads");
    let took = begin.elapsed();
    assert!(
        took < Duration::from_millis(60),
        "50 ms one way, took {took:?}"
    );
}

async fn acked_does_not_wait_for_the_peers_application(link: Link) {
    let mut ends = Lab::new(link).stream().await;
    ends.near.write_all(&[7; 5000]).await.expect("writes");
    within(Duration::from_secs(10), ends.near.acked())
        .await
        .expect("acknowledged");
    // The data was acknowledged although the peer's application has not read it yet.
    let mut data = vec![0; 5000];
    ends.far.read_exact(&mut data).await.expect("reads");
}

async fn a_reset_fails_the_peers_reads_with_its_reason(link: Link) {
    let mut ends = Lab::new(link).stream().await;
    ends.near.write_all(b"x").await.expect("writes");
    ends.near.acked().await.expect("acknowledged");
    ends.near.reset();
    let error = within(
        Duration::from_secs(10),
        ends.far.read_to_end(&mut Vec::new()),
    )
    .await
    .expect_err("reset");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!(StreamError::of(&error), Some(&StreamError::Reset));
    assert_eq!(eepkit::Error::from(error).kind(), ErrorKind::Reset);
    let error = ends.near.read_u8().await.expect_err("reset here");
    assert_eq!(StreamError::of(&error), Some(&StreamError::Closed));
}

async fn a_dropped_stream_still_delivers(link: Link) {
    let mut ends = Lab::new(link).stream().await;
    send(&mut ends.near, 100_000).await.expect("sends");
    drop(ends.near);
    let received = within(Duration::from_secs(60), receive(&mut ends.far)).await;
    assert_eq!(received.expect("receives"), 100_000);
}

async fn a_slow_reader_blocks_the_writer(link: Link) {
    let mut ends = Lab::new(link).stream().await;
    let mut accepted = 0_u64;
    let chunk = vec![1; 16 * 1024];
    // Writes until nothing more is accepted for a minute.
    while let Ok(result) =
        tokio::time::timeout(Duration::from_secs(60), ends.near.write(&chunk)).await
    {
        accepted += result.expect("writes") as u64;
        assert!(accepted < 4 * 1024 * 1024, "nothing holds the writer back");
    }
    assert!(accepted > 64 * 1024, "buffers take {accepted} bytes only");
    // Writing continues when the reader reads.
    let mut sink = vec![0; 64 * 1024];
    let mut read = 0_u64;
    let reading = async {
        while read < accepted {
            read += ends.far.read(&mut sink).await.expect("reads") as u64;
        }
    };
    within(Duration::from_secs(120), reading).await;
    within(Duration::from_secs(120), ends.near.write_all(&chunk))
        .await
        .expect("writes again");
}

async fn a_slow_link_blocks_the_writer(link: Link) {
    let slow = Rate::kib_per_second(16);
    let network = SimNet::builder().delay(Duration::from_millis(50));
    let mut ends = Lab::of(link, network.host_rate(slow, None)).stream().await;
    let chunk = vec![1; 16 * 1024];
    let mut accepted = 0_u64;
    let writing = async {
        loop {
            accepted += ends.near.write(&chunk).await.expect("writes") as u64;
        }
    };
    let minute = Duration::from_secs(60);
    tokio::time::timeout(minute, writing)
        .await
        .expect_err("writing goes on");
    // The sum of the traffic in a minute, the buffers and a cwnd.
    assert!(accepted < 2 * 1024 * 1024, "{accepted} bytes accepted");
    assert!(accepted > 500 * 1024, "{accepted} bytes accepted");
}

async fn reads_end_at_the_time_limit_of_the_stream(link: Link) {
    let lab = Lab::new(link);
    let server = lab.session().await;
    let client = lab
        .builder()
        .option("i2p.streaming.readTimeout", 3000)
        .open()
        .await
        .expect("opens");
    let listener = server.listen(0).expect("free");
    let (mut near, mut far) = join(&client, server.destination(), &listener).await;
    for _ in 0..2 {
        let begin = tokio::time::Instant::now();
        let error = near.read_u8().await.expect_err("nothing comes");
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
        assert_eq!(begin.elapsed().as_secs(), 3);
    }
    // The stream itself still works.
    far.write_u8(1).await.expect("writes");
    assert_eq!(near.read_u8().await.expect("reads"), 1);
}

async fn early_data_arrives_with_the_first_packet(link: Link) {
    let lab = Lab::new(link);
    let (client, server) = lab.pair().await;
    let listener = server.listen(0).expect("free");
    let begin = tokio::time::Instant::now();
    let options = ConnectOptions::new().early_data(&b"GET /"[..]);
    let connecting = client.connect_with(server.destination(), &options);
    let serving = async {
        let mut far = listener.accept().await.expect("accepts");
        let mut request = [0; 5];
        far.read_exact(&mut request).await.expect("reads");
        assert_eq!(&request, b"GET /");
        let took = begin.elapsed();
        assert!(
            took < Duration::from_millis(70),
            "one way is 50 ms, took {took:?}"
        );
        far
    };
    let (near, _far) = tokio::join!(connecting, serving);
    near.expect("connects");
}

async fn early_data_of_any_length_arrives_whole(link: Link) {
    let lab = Lab::new(link);
    let (client, server) = lab.pair().await;
    let listener = server.listen(0).expect("free");
    let mut data = Vec::new();
    send(&mut data, 1_000_000)
        .await
        .expect("a vector takes all");
    let options = ConnectOptions::new().early_data(data);
    let connecting = async {
        let stream = client.connect_with(server.destination(), &options).await;
        drop(stream.expect("connects"));
    };
    let serving = async {
        let mut far = listener.accept().await.expect("accepts");
        receive(&mut far).await.expect("receives")
    };
    let ((), received) = tokio::join!(connecting, serving);
    assert_eq!(received, 1_000_000);
}

async fn a_session_can_connect_to_itself(link: Link) {
    let lab = Lab::new(link);
    let session = lab.session().await;
    let listener = session.listen(9).expect("free");
    let address = format!("{}:9", session.destination().to_b32());
    let (mut near, mut far) = join(&session, &address, &listener).await;
    assert_eq!(far.peer(), session.destination());
    let sending = async {
        send(&mut near, 300_000).await.expect("sends");
        near.shutdown().await.expect("shuts down");
    };
    let (received, ()) = tokio::join!(receive(&mut far), sending);
    assert_eq!(received.expect("receives"), 300_000);
    let rtt = session.ping(session.destination()).await;
    rtt.expect("answers itself");
}

async fn reads_are_cancel_safe(link: Link) {
    let mut ends = Lab::new(link).stream().await;
    let sending = async {
        for byte in 0..100_u8 {
            ends.near.write_u8(byte).await.expect("writes");
            ends.near.flush().await.expect("flushes");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        ends.near.shutdown().await.expect("shuts down");
    };
    let receiving = async {
        let mut all = Vec::new();
        let mut chunk = [0; 3];
        loop {
            // The timeout cancels the read repeatedly.
            let read = tokio::time::timeout(Duration::from_millis(3), ends.far.read(&mut chunk));
            match read.await {
                Err(_) => {}
                Ok(Ok(0)) => return all,
                Ok(result) => all.extend_from_slice(&chunk[..result.expect("reads")]),
            }
        }
    };
    let ((), all) = tokio::join!(sending, receiving);
    assert_eq!(all, (0..100).collect::<Vec<u8>>());
}

async fn info_reports_the_round_trip_time(link: Link) {
    let mut ends = Lab::new(link).stream().await;
    ends.near.write_all(&[0; 1000]).await.expect("writes");
    ends.near.acked().await.expect("acknowledged");
    let info = ends.near.info().expect("open");
    let rtt = info.rtt.expect("measured");
    assert!(
        (100..400).contains(&rtt.as_millis()),
        "50 ms one way, yet {rtt:?}"
    );
}
