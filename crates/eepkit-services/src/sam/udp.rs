//! Datagrams of clients.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use eepkit::{Address, Datagram, DatagramOptions, ReceivedDatagram};
use eepkit_sam::{ForwardTo, Received, SendOptions, Sender, Style, server::SendDatagram};
use tokio::{net::UdpSocket, time::sleep};
use tracing::debug;

use super::{
    shared::{Live, Shared},
    streams,
};

/// Receives datagrams of clients on a socket.
pub(super) async fn serve(shared: Arc<Shared>, socket: Arc<UdpSocket>) {
    let mut buffer = vec![0; LARGEST_PACKET];
    loop {
        let received = tokio::select! {
            () = shared.server.closing().cancelled() => return,
            received = socket.recv_from(&mut buffer) => received,
        };
        let count = match received {
            Ok((count, _)) => count,
            // Some systems report here that an earlier packet of the socket was refused.
            Err(error) => {
                debug!(%error, "the UDP socket of SAM reported an error");
                sleep(ERROR_PAUSE).await;
                continue;
            }
        };
        let packet = Bytes::copy_from_slice(buffer.get(..count).unwrap_or_default());
        let datagram = shared.directory().datagram(&packet);
        match datagram {
            Ok(datagram) => send(&shared, datagram),
            Err(error) => shared.drop_datagram(&error),
        }
    }
}

/// Sends a datagram of a client, after looking up its destination if necessary.
pub(super) fn send(shared: &Arc<Shared>, datagram: SendDatagram) {
    let Some(socket) = shared
        .live(datagram.session)
        .and_then(|live| live.datagrams)
    else {
        return shared.drop_datagram(&"its session is gone");
    };
    let options = options(&datagram);
    if let eepkit_wire::Host::Destination(to) = &datagram.to {
        if let Err(error) = socket.send_now(&datagram.payload, to, datagram.to_port, &options) {
            shared.drop_datagram(&error);
        }
        return;
    }
    let host = match streams::host(datagram.to) {
        Ok(host) => host,
        Err(failure) => return shared.drop_datagram(&failure),
    };
    let Ok(permit) = shared.unresolved.clone().try_acquire_owned() else {
        return shared.drop_datagram(&"too many wait for their destination to be looked up");
    };
    let bridge = shared.clone();
    shared.server.spawn(async move {
        let to = Address::new(host).with_port(datagram.to_port);
        let sent = tokio::select! {
            sent = socket.send_with(&datagram.payload, to, &options) => sent,
            () = bridge.server.closing().cancelled() => return,
        };
        if let Err(error) = sent {
            bridge.drop_datagram(&error);
        }
        drop(permit);
    });
}

fn options(datagram: &SendDatagram) -> DatagramOptions {
    let SendOptions {
        send_tags,
        tag_threshold,
        expires,
        send_lease_set,
        ..
    } = datagram.options;
    let tags = |tags: u16| u8::try_from(tags).unwrap_or(u8::MAX);
    let mut options = DatagramOptions::new()
        .from_port(datagram.from_port)
        .omit_lease_set(send_lease_set == Some(false));
    if datagram.style == Style::Raw {
        options = options.protocol(datagram.protocol);
    }
    if let Some(send_tags) = send_tags {
        options = options.tags_to_send(tags(send_tags));
    }
    if let Some(threshold) = tag_threshold {
        options = options.tag_threshold(tags(threshold));
    }
    if let Some(expires) = expires {
        options = options.expiry(expires.clamp(MIN_EXPIRY, MAX_EXPIRY));
    }
    options
}

/// Forwards the datagrams of a session over UDP until the session ends, if its client requested it.
pub(super) fn start_forwarding(shared: &Arc<Shared>, live: &Live) {
    let (Some(socket), Some(forward)) = (live.datagrams.clone(), &live.params.forward) else {
        return;
    };
    if forward.port == 0 {
        return;
    }
    let to = SocketAddr::new(place(forward), forward.port);
    let (style, version, header) = (live.params.style, live.version, live.params.header);
    let token = live.token.clone();
    let bridge = shared.clone();
    shared.server.spawn(async move {
        loop {
            let received = tokio::select! {
                received = socket.recv_from() => received,
                () = token.cancelled() => return,
                () = bridge.server.closing().cancelled() => return,
            };
            let Ok(datagram) = received else {
                return;
            };
            let packet = self::received(&datagram).to_packet(style, version, header);
            let sent = match bridge.udp.towards(to).await {
                Ok(socket) => socket.send_to(&packet, to).await,
                Err(error) => Err(error),
            };
            if let Err(error) = sent {
                debug!(%error, "cannot forward a datagram to its client");
            }
        }
    });
}

/// The address of a host, which the machine has checked.
fn place(forward: &ForwardTo) -> IpAddr {
    forward
        .host
        .as_deref()
        .and_then(|host| {
            host.trim_start_matches('[')
                .trim_end_matches(']')
                .parse()
                .ok()
        })
        .unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

/// Converts a datagram of the library to one of SAM.
pub(super) fn received(datagram: &ReceivedDatagram) -> Received {
    let sender = match datagram.datagram() {
        Datagram::Anonymous(_) => Sender::Unknown,
        Datagram::Authenticated(datagram) => Sender::Verified(datagram.sender().clone()),
        Datagram::Claimed(datagram) => Sender::Claimed(datagram.claimed_sender().hash()),
    };
    Received {
        sender,
        from_port: datagram.from_port(),
        to_port: datagram.to_port(),
        protocol: datagram.protocol(),
        payload: datagram.payload().clone(),
    }
}

/// The largest UDP packet, in bytes.
const LARGEST_PACKET: usize = 65_536;

/// The range of the expiry that a client may set. Chosen because routers drop datagrams after some
/// minutes.
const MIN_EXPIRY: Duration = Duration::from_secs(1);
const MAX_EXPIRY: Duration = Duration::from_secs(600);

/// The pause after an error. Chosen so that repeated errors use almost no CPU time.
const ERROR_PAUSE: Duration = Duration::from_millis(10);
