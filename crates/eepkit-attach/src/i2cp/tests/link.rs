use eepkit_i2cp::{
    DeliveryStatus, HostReply, HostResult, LookupKey, MessagePayload, MessageStatus,
};
use eepkit_link::{DropReason, LinkLookupError, LookupTarget, LostReason, TunnelId};
use eepkit_wire::gzip;

use super::*;

fn received(number: u32, body: &[u8]) -> Message {
    let header = gzip::Header {
        protocol: 6,
        from_port: 7,
        to_port: 8,
    };
    Message::MessagePayload(MessagePayload {
        session: ID,
        message: number,
        payload: gzip::encode(header, body, false).into(),
    })
}

fn sent_body(message: Option<Message>) -> Vec<u8> {
    match message {
        Some(Message::SendMessageExpires(sent)) => gzip::decode(&sent.message.payload, 70_000)
            .expect("framed")
            .1
            .into_owned(),
        other => panic!("{other:?}"),
    }
}

/// Returns the nonce and the body of the next message that was sent.
async fn sent(far: &mut Peer<DuplexStream>) -> (u32, Vec<u8>) {
    let message = far.recv().await;
    let Some(Message::SendMessageExpires(sent)) = &message else {
        panic!("{message:?}")
    };
    (sent.message.nonce, sent_body(message))
}

async fn report(far: &mut Peer<DuplexStream>, nonce: u32, status: DeliveryStatus) {
    far.send(&Message::MessageStatus(MessageStatus {
        session: ID,
        message: 1,
        status,
        size: 0,
        nonce,
    }))
    .await;
}

/// Completes the first contact with the peer, so that no message is held.
async fn make_contact(link: &mut dyn Link, far: &mut Peer<DuplexStream>) {
    submit(link, send(0, b"first contact")).await;
    let (nonce, _) = sent(far).await;
    report(far, nonce, DeliveryStatus::GUARANTEED_SUCCESS).await;
    assert!(matches!(next(link).await, Event::Sent { token: 0 }));
}

#[tokio::test(start_paused = true)]
async fn messages_go_both_ways() {
    let (mut link, mut far) = ready(4096).await;
    let deadline = clock::unix_now() + Duration::from_secs(20);
    submit(&mut *link, send(1, b"hello")).await;
    match far.recv().await {
        Some(Message::SendMessageExpires(sent)) => {
            assert_eq!(sent.message.session, ID);
            assert_eq!(sent.message.to, peer());
            assert_eq!(u128::from(sent.expires), deadline.as_millis());
            let (header, body) = gzip::decode(&sent.message.payload, 100).expect("framed");
            assert_eq!(
                (header.protocol, header.from_port, header.to_port),
                (6, 7, 8)
            );
            assert_eq!(*body, *b"hello");
        }
        other => panic!("{other:?}"),
    }

    far.send(&received(1, b"hello yourself")).await;
    match next(&mut *link).await {
        Event::Received {
            payload: got,
            tunnel,
        } => {
            assert_eq!(got, payload(b"hello yourself"));
            assert_eq!(tunnel, TunnelId::ANY);
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn damaged_messages_are_dropped_alone() {
    let (mut link, mut far) = ready(4096).await;
    far.send(&Message::MessagePayload(MessagePayload {
        session: ID,
        message: 1,
        payload: Bytes::from_static(b"no gzip"),
    }))
    .await;
    let header = gzip::Header {
        protocol: 6,
        from_port: 0,
        to_port: 0,
    };
    far.send(&Message::MessagePayload(MessagePayload {
        session: ID,
        message: 2,
        payload: gzip::encode(header, &vec![0; 1_000_000], true).into(),
    }))
    .await;
    far.send(&received(3, b"good")).await;
    assert!(
        matches!(next(&mut *link).await, Event::Received { payload, .. } if payload.body == "good")
    );
}

#[tokio::test(start_paused = true)]
async fn a_slow_application_stops_the_router_without_loss() {
    const MESSAGES: u32 = 2_000;
    let (mut link, mut far) = ready(4096).await;
    let sending = tokio::spawn(async move {
        for number in 0..MESSAGES {
            let mut body = vec![7; 1_000];
            body[..4].copy_from_slice(&number.to_be_bytes());
            far.send(&received(number, &body)).await;
        }
        far
    });
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(!sending.is_finished(), "the router is held up");

    for number in 0..MESSAGES {
        match soon(next(&mut *link)).await {
            Event::Received { payload, .. } => assert_eq!(payload.body[..4], number.to_be_bytes()),
            other => panic!("{other:?}"),
        }
    }
    sending.await.expect("all was taken");
}

#[tokio::test(start_paused = true)]
async fn a_slow_router_stops_the_application_without_loss() {
    let (mut link, mut far) = ready(4096).await;
    make_contact(&mut *link, &mut far).await;
    let mut submitted = 0_u32;
    while timeout(Duration::from_secs(1), poll_fn(|cx| link.poll_ready(cx)))
        .await
        .is_ok()
    {
        let mut body = vec![7; 10_000];
        body[..4].copy_from_slice(&submitted.to_be_bytes());
        link.submit(send(submitted.into(), &body));
        submitted += 1;
        assert!(submitted < 1_000, "there is no end to it");
    }
    // 256 KiB of output, 64 commands in the channel, and the buffer of the pipe.
    assert!((80..=100).contains(&submitted), "{submitted}");

    for number in 0..submitted {
        assert_eq!(sent_body(soon(far.recv()).await)[..4], number.to_be_bytes());
    }
    soon(poll_fn(|cx| link.poll_ready(cx))).await;
}

#[tokio::test(start_paused = true)]
async fn a_router_that_floods_and_does_not_read_the_replies_is_not_read_from() {
    let (mut link, mut far) = ready(4096).await;
    let mut written = 0_u32;
    let flooded = async {
        // Each of these is answered with a request for the message.
        loop {
            report(&mut far, 0, DeliveryStatus::AVAILABLE).await;
            written += 1;
        }
    };
    timeout(Duration::from_secs(60), flooded)
        .await
        .expect_err("the link stops reading");
    // 384 KiB of replies of 11 bytes each, and what is in the buffers.
    assert!((20_000..60_000).contains(&written), "{written}");

    // Once the router reads, everything continues.
    for _ in 0..written - 1000 {
        let reply = soon(far.recv()).await.expect("open");
        assert!(
            matches!(reply, Message::ReceiveMessageBegin { .. }),
            "{reply:?}"
        );
    }
    submit(&mut *link, send(1, b"after the flood")).await;
    let last = async {
        loop {
            match far.recv().await.expect("open") {
                Message::ReceiveMessageBegin { .. } => {}
                other => return other,
            }
        }
    };
    assert_eq!(sent_body(Some(soon(last).await)), b"after the flood");
}

#[tokio::test(start_paused = true)]
async fn a_flood_from_the_router_does_not_delay_commands() {
    let (mut link, mut far) = ready(64 * 1024).await;
    make_contact(&mut *link, &mut far).await;
    let (mut read, mut write) = tokio::io::split(&mut far.stream);
    let flood = async {
        let frame = received(1, &[0; 1_000]).to_frame().expect("fits");
        loop {
            if write.write_all(&frame).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    let application = async {
        for token in 0..100 {
            submit(&mut *link, send(token, b"command")).await;
            next(&mut *link).await;
        }
    };
    let (mut reader, mut bytes) = (far.reader, far.received);
    // The protocol byte was read before.
    let router = async {
        let mut commands = 0;
        let mut buffer = vec![0; 4096];
        while commands < 100 {
            let len = read.read(&mut buffer).await.expect("open");
            bytes.extend_from_slice(&buffer[..len]);
            while reader.next_frame(&mut bytes).expect("framed").is_some() {
                commands += 1;
            }
        }
    };
    let work = async { tokio::join!(application, router) };
    tokio::select! {
        () = flood => {}
        result = timeout(Duration::from_secs(10), work) => {
            result.expect("commands get through");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn dropping_the_link_sends_submitted_messages_and_ends_the_session() {
    let (mut link, mut far) = ready(4096).await;
    for token in 0..50 {
        submit(&mut *link, send(token, &[7; 1_000])).await;
    }
    drop(link);
    for _ in 0..50 {
        sent_body(soon(far.recv()).await);
    }
    assert_eq!(soon(far.recv()).await, Some(Message::DestroySession(ID)));
    assert_eq!(soon(far.recv()).await, None);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_link_does_not_hang_on_a_router_that_does_not_read() {
    let (mut link, far) = ready(64).await;
    submit(&mut *link, send(1, &[7; 10_000])).await;
    let tasks = tokio::runtime::Handle::current().metrics();
    drop(link);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(tasks.num_alive_tasks(), 0, "the task has ended");
    drop(far);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_link_with_undelivered_messages_ends_the_task() {
    let (link, mut far) = ready(64 * 1024).await;
    for number in 0..500 {
        let message = received(number, b"nobody reads this");
        if timeout(Duration::from_secs(1), far.send(&message))
            .await
            .is_err()
        {
            break;
        }
    }
    drop(link);
    assert_eq!(soon(far.recv()).await, Some(Message::DestroySession(ID)));
    assert_eq!(soon(far.recv()).await, None);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_router_is_reported_once() {
    let (mut link, far) = ready(4096).await;
    drop(far);
    assert!(matches!(
        soon(next(&mut *link)).await,
        Event::Lost(LostReason::Stopped)
    ));
    let after = timeout(Duration::from_secs(60), next(&mut *link)).await;
    assert!(after.is_err(), "nothing follows");
    submit(&mut *link, send(1, b"void")).await;
    submit(&mut *link, send(2, b"void")).await;
}

#[tokio::test(start_paused = true)]
async fn the_reason_of_a_disconnect_is_reported() {
    let (mut link, mut far) = ready(4096).await;
    far.send(&received(1, b"before")).await;
    far.send(&Message::Disconnect(Text::truncated("restarting")))
        .await;
    assert!(matches!(next(&mut *link).await, Event::Received { .. }));
    match next(&mut *link).await {
        Event::Lost(LostReason::Closed(words)) => assert_eq!(words, "restarting"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_protocol_violation_is_reported() {
    let (mut link, mut far) = ready(4096).await;
    far.stream.write_all(&[0xff; 16]).await.expect("open");
    assert!(matches!(
        soon(next(&mut *link)).await,
        Event::Lost(LostReason::Protocol(_))
    ));
}

#[tokio::test(start_paused = true)]
async fn look_ups_are_answered_or_time_out() {
    let (mut link, mut far) = ready(4096).await;
    let lookup = |id, target| Command::Lookup {
        id,
        target,
        timeout: Duration::from_secs(15),
    };
    submit(&mut *link, lookup(1, LookupTarget::Hash(peer().hash()))).await;
    submit(
        &mut *link,
        lookup(2, LookupTarget::Name("a.i2p".to_owned())),
    )
    .await;
    submit(
        &mut *link,
        lookup(3, LookupTarget::Name("b.i2p".to_owned())),
    )
    .await;
    for _ in 0..3 {
        let Some(Message::HostLookup(asked)) = far.recv().await else {
            panic!("no look-up")
        };
        let reply = match asked.key {
            LookupKey::Hash(_) => HostReply::found(ID, asked.request, peer()),
            LookupKey::Name(name) if name.as_str() == "a.i2p" => {
                HostReply::failed(ID, asked.request, HostResult::FAILURE)
            }
            _ => continue,
        };
        far.send(&Message::HostReply(reply)).await;
    }
    match next(&mut *link).await {
        Event::LookupDone {
            id: 1,
            result: Ok(answer),
        } => assert_eq!(answer.destination, peer()),
        other => panic!("{other:?}"),
    }
    assert!(matches!(
        next(&mut *link).await,
        Event::LookupDone {
            id: 2,
            result: Err(LinkLookupError::NameNotFound)
        }
    ));
    let asked = Instant::now();
    assert!(matches!(
        next(&mut *link).await,
        Event::LookupDone {
            id: 3,
            result: Err(LinkLookupError::Timeout)
        }
    ));
    assert_eq!(asked.elapsed(), Duration::from_secs(15));
}

#[tokio::test(start_paused = true)]
async fn messages_wait_until_the_first_to_their_peer_is_reported_and_are_not_reported() {
    let (mut link, mut far) = ready(4096).await;
    let began = Instant::now();
    for (token, body) in [(100, b"first"), (101, b"other"), (102, b"third")] {
        submit(&mut *link, send(token, body)).await;
    }
    let (nonce, body) = sent(&mut far).await;
    assert_ne!(nonce, 0);
    assert_eq!(body, b"first");
    assert!(timeout(Duration::from_secs(1), far.recv()).await.is_err());
    report(&mut far, nonce, DeliveryStatus::ACCEPTED).await;
    assert_eq!(sent(&mut far).await, (0, b"other".to_vec()));
    assert_eq!(sent(&mut far).await, (0, b"third".to_vec()));
    assert!(began.elapsed() < Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn messages_behind_one_to_a_peer_without_lease_set_are_dropped_with_it() {
    let (mut link, mut far) = ready(4096).await;
    submit(&mut *link, send(100, b"first")).await;
    submit(&mut *link, send(101, b"other")).await;
    let (nonce, _) = sent(&mut far).await;
    report(&mut far, nonce, DeliveryStatus::NO_LEASE_SET).await;
    for expected in [100, 101] {
        let Event::Dropped { token, reason } = next(&mut *link).await else {
            panic!("not dropped");
        };
        assert_eq!((token, reason), (expected, DropReason::NoLeaseSet));
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_with_too_many_messages_at_the_gate_delays_no_other() {
    let (mut link, mut far) = ready(1 << 20).await;
    submit(&mut *link, send(0, b"first")).await;
    sent(&mut far).await;
    for token in 1..=256 {
        submit(&mut *link, send(token, b"held")).await;
    }
    submit(&mut *link, send(257, b"too many")).await;
    let Event::Dropped { token, reason } = next(&mut *link).await else {
        panic!("not dropped");
    };
    assert_eq!((token, reason), (257, DropReason::Overflow));

    let Command::Send(mut other) = send(258, b"to another peer") else {
        unreachable!()
    };
    other.to = keys().destination().clone();
    submit(&mut *link, Command::Send(other)).await;
    assert_eq!(sent(&mut far).await.1, b"to another peer");
}

#[tokio::test(start_paused = true)]
async fn a_router_that_does_not_report_delays_messages_by_seconds_at_most() {
    let (mut link, mut far) = ready(4096).await;
    submit(&mut *link, send(100, b"first")).await;
    submit(&mut *link, send(101, b"other")).await;
    sent(&mut far).await;
    let waited = Instant::now();
    assert_eq!(sent(&mut far).await.1, b"other");
    assert_eq!(waited.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn messages_that_cannot_be_sent_are_reported_as_dropped() {
    let (mut link, _far) = open(4096).await;
    submit(&mut *link, send(1, b"too early")).await;
    assert!(matches!(
        next(&mut *link).await,
        Event::Dropped {
            token: 1,
            reason: DropReason::NoTunnel
        }
    ));

    let (mut link, _far) = ready(4096).await;
    submit(&mut *link, send(2, &vec![0; 70_000])).await;
    assert!(matches!(
        next(&mut *link).await,
        Event::Dropped {
            token: 2,
            reason: DropReason::Refused
        }
    ));
    let Command::Send(mut late) = send(3, b"late") else {
        unreachable!()
    };
    late.deadline = Instant::now();
    submit(&mut *link, Command::Send(late)).await;
    assert!(matches!(
        next(&mut *link).await,
        Event::Dropped {
            token: 3,
            reason: DropReason::Expired
        }
    ));
}

#[tokio::test(start_paused = true)]
async fn the_number_of_tunnels_can_be_changed() {
    let (mut link, mut far) = ready(4096).await;
    submit(
        &mut *link,
        Command::Quantity {
            inbound: 4,
            outbound: 5,
        },
    )
    .await;
    match far.recv().await {
        Some(Message::ReconfigureSession {
            session: ID,
            config,
        }) => {
            assert_eq!(config.options.get("inbound.quantity"), Some("4"));
            assert_eq!(config.options.get("outbound.quantity"), Some("5"));
        }
        other => panic!("{other:?}"),
    }
}
