//! The tunnels of i2pd's `tunnels.conf`.

use std::path::Path;

use super::{Draft, Outcome, Setting, kinds, options};

/// Converts a section.
pub(super) fn convert(mut draft: Draft, directory: &Path) -> Draft {
    let Some(kind) = draft.take("type") else {
        draft.refuse("it has no type");
        return draft;
    };
    let converted = match kind.value.as_str() {
        "client" => client(&mut draft, &kind, kinds::CLIENT),
        "udpclient" => client(&mut draft, &kind, kinds::UDP_CLIENT),
        "httpproxy" => proxy(&mut draft, &kind, kinds::HTTP_PROXY),
        "socks" => proxy(&mut draft, &kind, kinds::SOCKS),
        "server" => server(&mut draft, &kind, kinds::SERVER),
        "http" => server(&mut draft, &kind, kinds::HTTP_SERVER),
        "irc" => server(&mut draft, &kind, kinds::IRC_SERVER),
        "udpserver" => server(&mut draft, &kind, kinds::UDP_SERVER),
        "websocks" => {
            Err("WebSocket proxies are no more; i2pd does not start them either".to_owned())
        }
        other => Err(format!(
            "there is no type {:?}",
            other.chars().take(40).collect::<String>()
        )),
    };
    if let Err(why) = converted {
        draft.refused(&kind, &why);
        draft.refuse(why);
        return draft;
    }
    session(&mut draft, directory);
    draft
}

/// Tunnels and proxies for local programs.
fn client(draft: &mut Draft, kind: &Setting, name: &'static str) -> Result<(), String> {
    draft.set_kind(name);
    draft.taken(kind, "the section");
    listen(draft)?;
    destination(draft)?;
    connect_timeout(draft);
    if let Some((setting, seconds)) = draft.number::<u32>("keepaliveinterval") {
        match (seconds, name == kinds::CLIENT) {
            (0, _) => draft.changed(&setting, "0 means that there is none"),
            (_, true) => {
                draft.set("keep_alive", &format!("{seconds}s"));
                draft.taken(&setting, "keep_alive");
            }
            (_, false) => draft.refused(&setting, "i2pd does not use it there either"),
        }
    }
    match name == kinds::UDP_CLIENT {
        true => datagram_version(draft),
        false => {
            if let Some(setting) = draft.take("gzip") {
                draft.refused(&setting, "i2pd does not use it there either");
            }
        }
    }
    Ok(())
}

fn proxy(draft: &mut Draft, kind: &Setting, name: &'static str) -> Result<(), String> {
    draft.set_kind(name);
    draft.taken(kind, "the section");
    listen(draft)?;
    connect_timeout(draft);
    if let Some(setting) = draft.take("outproxy") {
        outproxy(draft, &setting);
    }
    if name == kinds::HTTP_PROXY {
        for (key, ours) in [
            ("addresshelper", "address_helper"),
            ("senduseragent", "send_user_agent"),
        ] {
            if let Some((setting, flag)) = draft.flag(key, flag) {
                draft.set_raw(ours, flag.to_string());
                draft.taken(&setting, ours);
            }
        }
    }
    Ok(())
}

/// i2pd reaches SOCKS outproxies, and `socks://` of the HTTP proxy, over the public Internet.
fn outproxy(draft: &mut Draft, setting: &Setting) {
    let is_http = draft.kind() == kinds::HTTP_PROXY;
    let host = match setting.value.strip_prefix("http://") {
        Some(host) if is_http => Some(host.trim_end_matches('/')),
        _ => None,
    };
    match host.filter(|host| host.parse::<eepkit::Address>().is_ok()) {
        Some(host) => {
            draft.set_list("outproxies", &[host.to_owned()]);
            draft.taken(setting, "outproxies");
        }
        None => draft.refused(
            setting,
            "outproxies are HOST.i2p:PORT: a proxy on the public Internet is not used, because it \
             would be reached past I2P",
        ),
    }
}

/// Tunnels to local programs.
fn server(draft: &mut Draft, kind: &Setting, name: &'static str) -> Result<(), String> {
    draft.set_kind(name);
    draft.taken(kind, "the section");
    let host = draft.take("host").ok_or("it has no host")?;
    let port = port(draft, "port")?.ok_or("it has no port")?;
    draft.socket("target", &host.value, port.1)?;
    draft.taken(&host, "target");
    draft.taken(&port.0, "target");
    // The port on I2P is that of the program unless it is set.
    match draft.number::<u16>("inport") {
        Some((setting, number)) => {
            in_port(draft, number);
            draft.taken(&setting, "port");
        }
        None => in_port(draft, port.1),
    }
    let is_loopback_v6 = host.value == "::1";
    match draft.flag("enableuniquelocal", flag) {
        Some((setting, flag)) => {
            draft.set_raw("unique_local", flag.to_string());
            draft.taken(&setting, "unique_local");
        }
        // The default of i2pd.
        None if is_loopback(&host.value) => {
            draft.set_raw("unique_local", (!is_loopback_v6).to_string());
        }
        None => {}
    }
    if let Some(setting) = draft.take("address") {
        draft.refused(
            &setting,
            "the source address of connections is chosen by the system, or by unique_local",
        );
    }
    access(draft)?;
    match name {
        kinds::UDP_SERVER => {
            if let Some(setting) = draft.take("datagramversion") {
                draft.changed(&setting, "peers select the version");
            }
        }
        _ => {
            if let Some((setting, ssl)) = draft.flag("ssl", flag) {
                if ssl {
                    draft.target_uses_tls();
                }
                draft.taken(&setting, "target");
            }
        }
    }
    if let Some(setting) = draft.take("hostoverride") {
        match name {
            kinds::HTTP_SERVER => {
                draft.set("host", &setting.value);
                draft.taken(&setting, "host");
            }
            _ => draft.refused(&setting, "i2pd uses it for HTTP only"),
        }
    }
    if let Some((setting, wanted)) = draft.flag("i2pheaders", flag) {
        match (name, wanted) {
            (kinds::HTTP_SERVER, _) => {
                draft.set_raw("peer_headers", wanted.to_string());
                draft.taken(&setting, "peer_headers");
            }
            _ => draft.refused(&setting, "i2pd uses it for HTTP only"),
        }
    }
    if let Some(setting) = draft.take("webircpassword") {
        match name {
            kinds::IRC_SERVER => {
                draft.set("webirc_password", &setting.value);
                draft.taken(&setting, "webirc_password");
            }
            _ => draft.refused(&setting, "i2pd uses it for IRC only"),
        }
    }
    Ok(())
}

/// An access list that cannot be read must not become none.
fn access(draft: &mut Draft) -> Result<(), String> {
    let lists = [draft.take("accesslist"), draft.take("whitelist")];
    let [first, second] = lists;
    let (used, unused) = match (first, second) {
        (Some(first), second) => (first, second),
        (None, Some(second)) => (second, None),
        (None, None) => return Ok(()),
    };
    if let Some(setting) = unused {
        draft.changed(&setting, "accesslist takes precedence");
    }
    let mut peers = Vec::new();
    for word in used
        .value
        .split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty())
    {
        let hash = word.strip_suffix(".b32.i2p").unwrap_or(word);
        let address = format!("{hash}.b32.i2p");
        if address.parse::<eepkit::Address>().is_err() {
            return Err(format!(
                "{} has an entry that is no base32 address",
                used.key
            ));
        }
        peers.push(address);
    }
    draft.set_list("allow", &peers);
    draft.taken(&used, "allow");
    Ok(())
}

fn in_port(draft: &mut Draft, number: u16) {
    if number != 0 {
        draft.set_raw("port", number.to_string());
    }
}

fn listen(draft: &mut Draft) -> Result<(), String> {
    let (port, number) = port(draft, "port")?.ok_or("it has no port")?;
    let address = draft.take("address");
    let host = address
        .as_ref()
        .map_or("127.0.0.1", |setting| &setting.value);
    let host = host.to_owned();
    draft.socket("listen", &host, number)?;
    draft.taken(&port, "listen");
    if let Some(address) = &address {
        draft.taken(address, "listen");
        if !is_loopback(&host) {
            draft.changed(
                address,
                "others than this machine can use it: is that intended?",
            );
        }
    }
    Ok(())
}

fn destination(draft: &mut Draft) -> Result<(), String> {
    let destination = draft.take("destination").ok_or("it has no destination")?;
    let port = draft.number::<u16>("destinationport");
    let address = match &port {
        Some((_, number)) if *number != 0 => format!("{}:{number}", destination.value),
        _ => destination.value.clone(),
    };
    if let Err(error) = address.parse::<eepkit::Address>() {
        return Err(format!("its destination cannot be used: {error}"));
    }
    draft.set("destination", &address);
    draft.taken(&destination, "destination");
    if let Some((setting, _)) = &port {
        draft.taken(setting, "destination");
    }
    if let Some(setting) = draft.take("matchtunnels") {
        draft.refused(
            &setting,
            "tunnels cannot be made to end at the router of the destination",
        );
    }
    Ok(())
}

fn connect_timeout(draft: &mut Draft) {
    let Some((setting, seconds)) = draft.number::<u32>("connecttimeout") else {
        return;
    };
    match (seconds, draft.kind()) {
        (0, _) => draft.changed(&setting, "0 means the default"),
        (_, kinds::UDP_CLIENT) => draft.refused(&setting, "datagrams need no connection"),
        _ => {
            draft.set("connect_timeout", &format!("{seconds}s"));
            draft.taken(&setting, "connect_timeout");
        }
    }
}

fn datagram_version(draft: &mut Draft) {
    let Some((setting, version)) = draft.number::<u8>("datagramversion") else {
        return;
    };
    match version {
        1..=3 => {
            draft.set_raw("datagram", version.to_string());
            draft.taken(&setting, "datagram");
        }
        _ => draft.refused(&setting, "there are the versions 1, 2 and 3"),
    }
}

fn port(draft: &mut Draft, key: &str) -> Result<Option<(Setting, u16)>, String> {
    let Some(setting) = draft.take(key) else {
        return Ok(None);
    };
    match setting.value.parse() {
        Ok(number) if number != 0 => Ok(Some((setting, number))),
        _ => {
            draft.refused(&setting, "it is no port");
            Err(format!("its {key} is no port"))
        }
    }
}

/// The keys and the options of the session.
fn session(draft: &mut Draft, directory: &Path) {
    let is_server = kinds::is_server(draft.kind());
    let is_proxy = kinds::is_proxy(draft.kind());
    let keys = draft.take("keys");
    match keys.as_ref().map(|keys| keys.value.as_str()) {
        None if is_server => draft.refuse("it has no keys"),
        None | Some("transient") => {
            if let Some(keys) = &keys {
                draft.changed(keys, "the destination is new at each start");
            }
        }
        Some(_) if is_proxy => {
            if let Some(keys) = &keys {
                draft.refused(keys, "the destinations of proxies are new at each start");
            }
        }
        Some(name) if name == "shareddest" || name.starts_with("transient") => {
            draft.set("shared", name);
            if let Some(keys) = &keys {
                draft.taken(keys, "shared");
            }
        }
        Some(_) => {
            if let Some(keys) = &keys {
                draft.key_file(keys, directory);
            }
        }
    }
    if let Some(setting) = draft.take("signaturetype") {
        match setting.value.as_str() {
            "7" => draft.changed(&setting, "it is the default"),
            value => {
                let value = value.to_owned();
                draft.option(&setting, "i2cp.destination.sigType", &value);
            }
        }
    }
    if let Some(setting) = draft.take("cryptotype") {
        draft.changed(
            &setting,
            "it has no effect any more: i2cp.leaseSetEncType selects the encryption",
        );
    }
    if let Some((setting, gzip)) = draft.flag("gzip", flag) {
        draft.option(&setting, "i2cp.gzip", &gzip.to_string());
    } else if is_server {
        // The default of i2pd.
        draft.add_option("i2cp.gzip", "false");
    }
    options::convert(draft, |key| Some(key.to_owned()));
    if !draft.is_refused() && draft.has("unique_local") && cfg!(not(target_os = "linux")) {
        draft.remark(
            Outcome::Changed,
            "addresses 127.x.y.z must be added to the loopback interface of this system",
        );
    }
}

/// A flag as Boost reads it.
fn flag(text: &str) -> Option<bool> {
    match text {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback())
}
