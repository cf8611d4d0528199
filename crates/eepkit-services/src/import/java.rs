//! The tunnels of Java I2P's `i2ptunnel.config`.

use std::{collections::BTreeMap, path::Path};

use eepkit_wire::ConfigFile;

use super::{
    Draft, ImportError, Outcome, Setting, Settings, Source, draft::quoted, ini::MAX_TUNNELS, kinds,
    options,
};

/// Reads the tunnels of a file: those with the prefix `tunnel.N.`, or one without prefix, as in
/// `i2ptunnel.config.d`.
///
/// # Errors
///
/// [`ImportError`] if the file is too long.
pub(super) fn read(file: &Source) -> Result<Vec<(String, usize, Settings)>, ImportError> {
    let wrong = |line, why: String| ImportError {
        file: file.name.clone(),
        line,
        why,
    };
    // The limits of the format.
    ConfigFile::parse(&file.text).map_err(|error| wrong(1, error.to_string()))?;
    let mut tunnels: BTreeMap<Option<u32>, Settings> = BTreeMap::new();
    for (index, line) in file.text.lines().enumerate() {
        let Ok(parsed) = ConfigFile::parse(line) else {
            continue;
        };
        let Some((key, value)) = parsed.iter().next() else {
            continue;
        };
        // Editors of Java I2P write the comment of the file as such a line.
        let (number, key) = match key
            .strip_prefix("tunnel.")
            .and_then(|rest| rest.split_once('.'))
        {
            Some((number, key)) => match number.parse() {
                Ok(number) => (Some(number), key),
                Err(_) => {
                    return Err(wrong(
                        index + 1,
                        "the number of the tunnel is no number".to_owned(),
                    ));
                }
            },
            None => (None, key),
        };
        if tunnels.len() == MAX_TUNNELS && !tunnels.contains_key(&number) {
            return Err(wrong(
                index + 1,
                format!("there are more than {MAX_TUNNELS} tunnels"),
            ));
        }
        let settings = tunnels.entry(number).or_default();
        // The last of several values counts.
        settings.retain(|setting| setting.key != key);
        settings.push(Setting {
            key: key.to_owned(),
            value: value.to_owned(),
            line: index + 1,
        });
    }
    let tunnels = tunnels.into_iter().map(|(number, settings)| {
        let name = match number {
            Some(number) => format!("tunnel.{number}"),
            None => "tunnel".to_owned(),
        };
        let line = settings.first().map_or(1, |setting| setting.line);
        (name, line, settings)
    });
    Ok(tunnels.collect())
}

/// Converts a tunnel.
pub(super) fn convert(mut draft: Draft, directory: &Path) -> Draft {
    if let Some(setting) = draft.take("name") {
        draft.rename(&setting.value);
        draft.changed(&setting, "the name of the section");
    }
    if let Some(setting) = draft.take("description") {
        draft.set_comment(&setting.value);
        draft.changed(&setting, "a comment");
    }
    let Some(kind) = draft.take("type") else {
        draft.refuse("it has no type");
        return draft;
    };
    let name = match kind.value.as_str() {
        "client" => kinds::CLIENT,
        "httpclient" => kinds::HTTP_PROXY,
        "ircclient" => kinds::IRC_CLIENT,
        "sockstunnel" => kinds::SOCKS,
        "connectclient" => {
            draft.set_raw("connect_only", "true".to_owned());
            kinds::HTTP_PROXY
        }
        "socksirctunnel" => {
            draft.set_raw("irc_filter", "true".to_owned());
            kinds::SOCKS
        }
        "streamrclient" => kinds::STREAMR_CLIENT,
        "server" => kinds::SERVER,
        "httpserver" => kinds::HTTP_SERVER,
        "httpbidirserver" => {
            draft.remark(
                Outcome::Changed,
                "only the server is taken over: an HTTP proxy has a destination of its own",
            );
            kinds::HTTP_SERVER
        }
        "ircserver" => kinds::IRC_SERVER,
        "streamrserver" => kinds::STREAMR_SERVER,
        other => {
            let why = format!(
                "there is no type {:?}",
                other.chars().take(40).collect::<String>()
            );
            draft.refused(&kind, &why);
            draft.refuse(why);
            return draft;
        }
    };
    draft.set_kind(name);
    draft.taken(&kind, "the section");
    if let Some((setting, starts)) = draft.flag("startOnLoad", flag) {
        draft.set_enabled(starts);
        draft.taken(&setting, "enabled");
    }
    let converted = ends(&mut draft, name).and_then(|()| access(&mut draft, directory));
    if let Err(why) = converted {
        draft.refuse(why);
        return draft;
    }
    for key in ["i2cpHost", "i2cpPort", "configFile"] {
        if let Some(setting) = draft.take(key) {
            draft.changed(&setting, "the router is that of [router]");
        }
    }
    session(&mut draft, name, directory);
    match name {
        kinds::HTTP_PROXY => http_proxy(&mut draft),
        kinds::SOCKS => socks(&mut draft),
        _ => {}
    }
    match name {
        kinds::HTTP_SERVER => http_server(&mut draft),
        kinds::IRC_SERVER => irc_server(&mut draft),
        _ => {}
    }
    rest(&mut draft);
    draft
}

/// Where programs connect, and what is reached.
fn ends(draft: &mut Draft, kind: &'static str) -> Result<(), String> {
    let is_server = kinds::is_server(kind);
    // The streamr tunnels have the ends of UDP: the server of the stream listens, the client sends.
    let listens = match kind {
        kinds::STREAMR_CLIENT => false,
        kinds::STREAMR_SERVER => true,
        _ => !is_server,
    };
    let interface = draft.take("interface");
    let port = draft.take("listenPort");
    if listens {
        let port = match (port, kind) {
            (Some(port), _) => Some(port),
            // The port of a server of the stream is its target port.
            (None, kinds::STREAMR_SERVER) => draft.take("targetPort"),
            (None, _) => None,
        };
        let port = port.ok_or("it has no listenPort")?;
        let number = number(draft, &port)?;
        let host = interface
            .as_ref()
            .map_or("127.0.0.1", |one| &one.value)
            .to_owned();
        draft.socket("listen", &host, number)?;
        draft.taken(&port, "listen");
        if let Some(interface) = &interface {
            draft.taken(interface, "listen");
            if !matches!(host.as_str(), "127.0.0.1" | "::1" | "localhost") {
                draft.changed(
                    interface,
                    "others than this machine can use it: is that intended?",
                );
            }
        }
    } else {
        for setting in [interface, port].into_iter().flatten() {
            draft.changed(&setting, "nothing listens there");
        }
    }
    let targets = match kind {
        kinds::STREAMR_SERVER => false,
        kinds::STREAMR_CLIENT => true,
        _ => is_server,
    };
    if targets {
        let host = draft.take("targetHost");
        let port = draft.take("targetPort").ok_or("it has no targetPort")?;
        let number = number(draft, &port)?;
        let name = host
            .as_ref()
            .map_or("127.0.0.1", |one| &one.value)
            .to_owned();
        draft.socket("target", &name, number)?;
        draft.taken(&port, "target");
        if let Some(host) = &host {
            draft.taken(host, "target");
        }
    }
    if matches!(
        kind,
        kinds::CLIENT | kinds::IRC_CLIENT | kinds::STREAMR_CLIENT
    ) {
        destinations(draft)?;
    }
    Ok(())
}

fn destinations(draft: &mut Draft) -> Result<(), String> {
    let setting = draft
        .take("targetDestination")
        .ok_or("it has no targetDestination")?;
    let mut addresses = Vec::new();
    for word in setting
        .value
        .split([',', ' '])
        .filter(|word| !word.is_empty())
    {
        match word.parse::<eepkit::Address>() {
            Ok(_) => addresses.push(word.to_owned()),
            Err(error) => {
                let shown: String = word.chars().take(60).collect();
                draft.refused(&setting, &format!("without {shown:?}: {error}"));
            }
        }
    }
    if addresses.is_empty() {
        return Err("none of its destinations can be used".to_owned());
    }
    if draft.kind() == kinds::STREAMR_CLIENT {
        draft.set("destination", &addresses[0]);
        if addresses.len() > 1 {
            draft.changed(&setting, "only the first destination is used");
        }
    } else {
        draft.set_list("destination", &addresses);
    }
    draft.taken(&setting, "destination");
    Ok(())
}

/// An access list that cannot be read must not become none.
fn access(draft: &mut Draft, directory: &Path) -> Result<(), String> {
    let allows = draft.flag("option.i2cp.enableAccessList", flag);
    let denies = draft.flag("option.i2cp.enableBlackList", flag);
    let list = draft.take("option.i2cp.accessList");
    let is_on = |flag: &Option<(Setting, bool)>| flag.as_ref().is_some_and(|(_, on)| *on);
    let key = match (is_on(&allows), is_on(&denies)) {
        (true, _) => Some("allow"),
        (false, true) => Some("deny"),
        (false, false) => None,
    };
    for (setting, on) in [allows, denies].into_iter().flatten() {
        match on {
            true => draft.taken(&setting, key.unwrap_or_default()),
            false => draft.changed(&setting, "it is off"),
        }
    }
    if let Some(list) = list {
        match key {
            None => draft.changed(&list, "the list is not used"),
            Some(key) => {
                let mut peers = Vec::new();
                for word in list.value.split([',', ' ']).filter(|word| !word.is_empty()) {
                    peers.push(peer(word).ok_or("its access list has an entry that is no peer")?);
                }
                draft.set_list(key, &peers);
                draft.taken(&list, key);
            }
        }
    } else if key == Some("allow") {
        return Err("its access list is on and empty, so nobody could use it".to_owned());
    }
    if let Some(setting) = draft.take("filterDefinition") {
        let path = directory.join(&setting.value);
        draft.set("filter", &path.display().to_string());
        draft.taken(&setting, "filter");
    }
    Ok(())
}

/// A peer of an access list: a hash in base64 or base32, a destination, or a name.
fn peer(word: &str) -> Option<String> {
    if let Ok(bytes) = eepkit_wire::base64::decode(word)
        && let Ok(hash) = <[u8; 32]>::try_from(bytes)
    {
        return Some(eepkit_wire::Hash::new(hash).to_b32());
    }
    let address = match word.len() {
        52 => format!("{word}.b32.i2p"),
        _ => word.to_owned(),
    };
    address
        .parse::<eepkit::Address>()
        .is_ok()
        .then_some(address)
}

/// The keys, the idle settings and what concerns the session alone.
fn session(draft: &mut Draft, kind: &'static str, directory: &Path) {
    let is_server = kinds::is_server(kind);
    let is_proxy = kinds::is_proxy(kind);
    let shared = draft.flag("sharedClient", flag);
    let persistent = draft.flag("option.persistentClientKey", flag);
    let keys = draft.take("privKeyFile");
    let is_persistent = persistent.as_ref().is_some_and(|(_, on)| *on);
    // Java I2P shares unless it is told otherwise.
    let is_shared = !is_server && shared.as_ref().is_none_or(|(_, on)| *on);
    match &keys {
        Some(keys) if is_server || is_persistent && !is_shared && !is_proxy => {
            draft.key_file(keys, directory);
        }
        Some(keys) => draft.changed(keys, "the destination is new at each start"),
        None if is_server => draft.remark(
            Outcome::Refused,
            "it has no privKeyFile, so its destination would be new at each start: set keys",
        ),
        None => {}
    }
    if is_shared && !is_proxy {
        draft.set("shared", SHARED);
    }
    if let Some((setting, on)) = &shared {
        match (is_proxy, on) {
            (false, true) if !is_server => draft.taken(setting, "shared"),
            (true, true) => draft.changed(setting, "proxies have sessions of their own"),
            _ => draft.changed(setting, "it has a session of its own"),
        }
    }
    if let Some((setting, on)) = &persistent {
        match *on && draft.has("keys") {
            true => draft.taken(setting, "keys"),
            false => draft.changed(setting, "the destination is new at each start"),
        }
    }
    if let Some(setting) = draft
        .take("option.altPrivKeyFile")
        .or_else(|| draft.take("altPrivKeyFile"))
    {
        match ["server-tunnel", "http-server-tunnel", "irc-server"].contains(&draft.kind()) {
            true => draft.alternative_key_file(&setting, directory),
            false => draft.changed(
                &setting,
                "only a server for streams has a second destination",
            ),
        }
    }
    idle(draft, is_proxy);
}

fn idle(draft: &mut Draft, is_proxy: bool) {
    for (flag_key, time_key, ours) in [
        (
            "option.i2cp.reduceOnIdle",
            "option.i2cp.reduceIdleTime",
            "reduce_idle",
        ),
        (
            "option.i2cp.closeOnIdle",
            "option.i2cp.closeIdleTime",
            "close_idle",
        ),
    ] {
        let on = draft.flag(flag_key, flag);
        let time = draft.number::<u64>(time_key);
        let is_on = on.as_ref().is_some_and(|(_, on)| *on);
        if is_proxy {
            // Proxies have these options as options of their sessions.
            for (setting, value) in [
                on.map(|(setting, on)| (setting, on.to_string())),
                time.map(|(setting, time)| (setting, time.to_string())),
            ]
            .into_iter()
            .flatten()
            {
                let key = setting.key.trim_start_matches("option.").to_owned();
                draft.option(&setting, &key, &value);
            }
            continue;
        }
        if is_on {
            let millis = time.as_ref().map_or(DEFAULT_IDLE_MS, |(_, millis)| *millis);
            draft.set(ours, &format!("{millis}ms"));
        }
        for setting in [on.map(|(one, _)| one), time.map(|(one, _)| one)]
            .into_iter()
            .flatten()
        {
            match is_on {
                true => draft.taken(&setting, ours),
                false => draft.changed(&setting, "it is off"),
            }
        }
    }
    if !is_proxy {
        if let Some((setting, number)) = draft.number::<u8>("option.i2cp.reduceQuantity") {
            match draft.has("reduce_idle") && number > 0 {
                true => {
                    draft.set_raw("reduce_quantity", number.to_string());
                    draft.taken(&setting, "reduce_quantity");
                }
                false => draft.changed(&setting, "reduceOnIdle is off"),
            }
        }
        if let Some((setting, on)) = draft.flag("option.i2cp.delayOpen", flag) {
            draft.set_raw("delay_open", on.to_string());
            draft.taken(&setting, "delay_open");
        }
        if let Some((setting, on)) = draft.flag("option.i2cp.newDestOnResume", flag) {
            match on && draft.has("close_idle") && !draft.has("keys") {
                true => {
                    draft.set_raw("new_keys", "true".to_owned());
                    draft.taken(&setting, "new_keys");
                }
                false => draft.changed(&setting, "it is off, or the session is never closed"),
            }
        }
    }
}

fn http_proxy(draft: &mut Draft) {
    let mut outproxies: Vec<String> = Vec::new();
    for key in ["proxyList", "option.i2ptunnel.httpclient.SSLOutproxies"] {
        let Some(setting) = draft.take(key) else {
            continue;
        };
        let words = setting
            .value
            .split([',', ' '])
            .filter(|word| !word.is_empty());
        // The default of Java I2P, which is no host.
        let words: Vec<&str> = words.filter(|word| *word != "false.i2p").collect();
        if words.is_empty() {
            draft.changed(&setting, "there is no outproxy by default");
            continue;
        }
        for word in words {
            match word.parse::<eepkit::Address>() {
                Ok(_) if outproxies.iter().any(|other| other == word) => {}
                Ok(_) => outproxies.push(word.to_owned()),
                Err(error) => draft.refused(
                    &setting,
                    &format!(
                        "without {:?}: {error}",
                        word.chars().take(60).collect::<String>()
                    ),
                ),
            }
        }
        draft.taken(&setting, "outproxies");
    }
    if !outproxies.is_empty() {
        draft.set_list("outproxies", &outproxies);
    }
    logins(draft, &outproxies);
    for (theirs, ours, is_inverted) in [
        ("disableAddressHelper", "address_helper", true),
        ("sendAccept", "send_accept", false),
        ("sendReferer", "send_referer", false),
        ("sendUserAgent", "send_user_agent", false),
    ] {
        let key = format!("option.i2ptunnel.httpclient.{theirs}");
        if let Some((setting, on)) = draft.flag(&key, flag) {
            draft.set_raw(ours, (on != is_inverted).to_string());
            draft.taken(&setting, ours);
        }
    }
    if let Some(setting) = draft.take("option.i2ptunnel.httpclient.jumpServers") {
        let urls: Vec<String> = setting
            .value
            .split([',', ' '])
            .filter(|url| !url.is_empty())
            .map(str::to_owned)
            .collect();
        draft.set_list("jump_services", &urls);
        draft.taken(&setting, "jump_services");
    }
    for setting in draft.take_all("option.i2ptunnel.httpclient.") {
        match setting.key.rsplit('.').next() {
            Some("allowInternalSSL" | "sslManuallySet") => {
                draft.changed(&setting, "CONNECT to sites on I2P is always possible");
            }
            Some("sendVia") => draft.refused(&setting, "Via is never sent"),
            _ => draft.refused(&setting, "there is no such setting here"),
        }
    }
    if let Some(setting) = draft.take("option.i2ptunnel.useLocalOutproxy") {
        draft.refused(&setting, "there is no outproxy plugin");
    }
    let realm = match draft.has("connect_only") {
        true => "I2P SSL Proxy",
        false => "I2P HTTP Proxy",
    };
    users(draft, realm);
}

fn socks(draft: &mut Draft) {
    let mut outproxies = Vec::new();
    for setting in draft.take_all("option.i2ptunnel.socks.proxy.") {
        for word in setting
            .value
            .split([',', ' '])
            .filter(|word| !word.is_empty())
        {
            if word.parse::<eepkit::Address>().is_ok() && !outproxies.iter().any(|one| one == word)
            {
                outproxies.push(word.to_owned());
            }
        }
        match setting.key.ends_with(".default") {
            true => draft.taken(&setting, "outproxies"),
            false => draft.changed(&setting, "outproxies are for all ports"),
        }
    }
    for setting in draft.take_all("option.ipmapping.") {
        draft.refused(&setting, "addresses are not mapped to names");
    }
    let kind = draft.take("option.outproxyType");
    let is_connect = kind.as_ref().is_some_and(|one| one.value == "connect");
    if let Some(setting) = &kind {
        match is_connect {
            true => draft.refused(setting, "outproxies of SOCKS are SOCKS proxies"),
            false => draft.taken(setting, "outproxies"),
        }
    }
    if is_connect {
        outproxies.clear();
    }
    if !outproxies.is_empty() {
        draft.set_list("outproxies", &outproxies);
    }
    logins(draft, &outproxies);
    if let Some(setting) = draft.take("proxyList") {
        draft.refused(&setting, "Java I2P does not use it there either");
    }
    users(draft, "I2P SOCKS Proxy");
}

/// The users of a proxy. Java I2P stores digests of their passwords.
fn users(draft: &mut Draft, realm: &str) {
    let auth = draft.take("option.proxyAuth");
    let is_on = auth
        .as_ref()
        .is_some_and(|one| !one.value.eq_ignore_ascii_case("false"));
    let mut count = 0;
    for setting in draft.take_all("option.proxy.auth.") {
        let named = setting
            .key
            .trim_start_matches("option.proxy.auth.")
            .rsplit_once('.');
        match named {
            _ if !is_on => draft.changed(&setting, "proxyAuth is off"),
            Some((user, "sha256")) => match draft.add_user(user, realm, &setting.value) {
                Ok(()) => {
                    count += 1;
                    draft.taken(&setting, "users");
                }
                Err(error) => draft.refused(&setting, &error.to_string()),
            },
            Some((_, "md5")) => draft.changed(&setting, "the digest with SHA-256 is used"),
            _ => draft.refused(&setting, "it is no digest of a password"),
        }
    }
    if let Some(setting) = &auth {
        match (is_on, count) {
            (false, _) => draft.changed(setting, "it is off"),
            (true, 0) => draft.refused(
                setting,
                "it has no digest of a password with SHA-256: make a file of users, and set users \
                 and require_password before you start it",
            ),
            (true, _) => draft.changed(setting, "require_password; the scheme is Basic"),
        }
    }
    if is_on && count == 0 {
        // Whoever could not use the proxy before must not be able to now.
        draft.set_enabled(false);
        draft.remark(
            Outcome::Changed,
            "it required a password, so it is not enabled: see option.proxyAuth",
        );
    }
    for prefix in ["option.proxyUsername", "option.proxyPassword"] {
        for setting in draft.take_all(prefix) {
            draft.refused(&setting, "passwords are in a file of users");
        }
    }
    for prefix in [
        "option.outproxyAuth",
        "option.outproxyUsername",
        "option.outproxyPassword",
    ] {
        for setting in draft.take_all(prefix) {
            draft.refused(&setting, "there is no such outproxy");
        }
    }
}

/// The logins at outproxies: one for all, or one of its own for an outproxy.
fn logins(draft: &mut Draft, outproxies: &[String]) {
    let Some(auth) = draft.take("option.outproxyAuth") else {
        return;
    };
    let is_on = !auth.value.eq_ignore_ascii_case("false");
    let mut both = |suffix: &str| {
        let user = draft.take(&format!("option.outproxyUsername{suffix}"));
        let password = draft.take(&format!("option.outproxyPassword{suffix}"));
        user.map(|user| (user, password))
    };
    let common = both("");
    let mut of = Vec::new();
    for outproxy in outproxies {
        let host = outproxy.split(':').next().unwrap_or(outproxy);
        let own = both(&format!(".{outproxy}")).or_else(|| both(&format!(".{host}")));
        of.extend(
            own.or_else(|| common.clone())
                .map(|login| (outproxy, login)),
        );
    }
    let mut pairs = Vec::new();
    let mut settings = Vec::new();
    for (outproxy, (user, password)) in of {
        let word = password.as_ref().map_or("", |password| &password.value);
        let login = format!("{}:{word}", user.value);
        pairs.push(format!("{} = {}", quoted(outproxy), quoted(&login)));
        settings.push(user);
        settings.extend(password);
    }
    settings.extend(
        common
            .into_iter()
            .flat_map(|(user, password)| [Some(user), password])
            .flatten(),
    );
    settings.push(auth);
    for setting in settings {
        match (is_on, pairs.is_empty()) {
            (false, _) => draft.changed(&setting, "outproxyAuth is off"),
            (true, true) => draft.changed(&setting, "there is no outproxy to log in to"),
            (true, false) => draft.taken(&setting, "outproxy_logins"),
        }
    }
    if is_on && !pairs.is_empty() {
        draft.set_raw("outproxy_logins", format!("{{ {} }}", pairs.join(", ")));
    }
}

fn http_server(draft: &mut Draft) {
    if let Some(setting) = draft.take("spoofedHost") {
        draft.set("host", &setting.value);
        draft.taken(&setting, "host");
    }
    let mut hosts = Vec::new();
    for setting in draft.take_all("spoofedHost.") {
        let port = setting.key.trim_start_matches("spoofedHost.");
        match port.parse::<u16>() {
            Ok(port) if port > 0 => {
                hosts.push(format!("{port} = {}", quoted(&setting.value)));
                draft.taken(&setting, "hosts");
            }
            _ => draft.refused(&setting, "it is no port"),
        }
    }
    if !hosts.is_empty() {
        draft.set_raw("hosts", format!("{{ {} }}", hosts.join(", ")));
    }
    if let Some(setting) = draft.take("option.rejectUserAgents") {
        match flag(&setting.value) {
            Some(true) => draft.changed(&setting, "the list has the effect"),
            _ => {
                // The list is not used.
                if let Some(list) = draft.take("option.userAgentRejectList") {
                    draft.changed(&list, "rejectUserAgents is off");
                }
                draft.changed(&setting, "it is off");
            }
        }
    }
    for (theirs, ours, form) in kinds::JAVA_HTTP_SERVER {
        let Some(setting) = draft.take(&format!("option.{theirs}")) else {
            continue;
        };
        match form.value(&setting.value) {
            Some(value) => {
                draft.set_raw(ours, value);
                draft.taken(&setting, ours);
            }
            None => draft.changed(&setting, "it is off"),
        }
    }
}

fn irc_server(draft: &mut Draft) {
    let method = draft.take("option.ircserver.method");
    let is_webirc = method.as_ref().is_some_and(|one| one.value == "webirc");
    if let Some(setting) = &method {
        draft.taken(setting, if is_webirc { "webirc_password" } else { "host" });
    }
    for (theirs, ours) in [
        ("webircPassword", "webirc_password"),
        ("webircSpoofIP", "webirc_address"),
        ("fakeHostname", "host"),
        ("cloakKey", "cloak_key"),
    ] {
        let Some(setting) = draft.take(&format!("option.ircserver.{theirs}")) else {
            continue;
        };
        if theirs.starts_with("webirc") && !is_webirc {
            draft.changed(&setting, "ircserver.method is not webirc");
            continue;
        }
        draft.set(ours, &setting.value);
        draft.taken(&setting, ours);
    }
    if is_webirc && !draft.has("webirc_password") {
        draft.unset("webirc_address");
        draft.remark(
            Outcome::Refused,
            "ircserver.method=webirc needs ircserver.webircPassword",
        );
    }
}

/// Settings of several kinds, and the options of the session.
fn rest(draft: &mut Draft) {
    let is_server = kinds::is_server(draft.kind());
    if let Some((setting, on)) = draft.flag("option.useSSL", flag) {
        match (on, is_server) {
            (false, _) => draft.changed(&setting, "it is off"),
            (true, true) => {
                draft.target_uses_tls();
                draft.taken(&setting, "target");
            }
            (true, false) => draft.refused(
                &setting,
                "keystores of Java cannot be read: set tls_certificate and tls_key",
            ),
        }
    }
    for prefix in ["option.keystore", "option.key"] {
        for setting in draft.take_all(prefix) {
            draft.refused(
                &setting,
                "keystores of Java cannot be read: set tls_certificate and tls_key",
            );
        }
    }
    if let Some((setting, on)) = draft.flag("option.enableUniqueLocal", flag) {
        match is_server {
            true => {
                draft.set_raw("unique_local", on.to_string());
                draft.taken(&setting, "unique_local");
            }
            false => draft.changed(&setting, "it is for servers"),
        }
    }
    let by_port = draft.take_all("option.targetForPort.");
    if !by_port.is_empty() {
        let mut pairs = Vec::new();
        for setting in &by_port {
            let port = setting.key.rsplit('.').next().unwrap_or_default();
            match (
                port.parse::<u16>(),
                setting
                    .value
                    .replace("localhost:", "127.0.0.1:")
                    .parse::<std::net::SocketAddr>(),
            ) {
                (Ok(port), Ok(target)) if is_server => {
                    pairs.push(format!(
                        "{} = {}",
                        quoted(&port.to_string()),
                        quoted(&target.to_string())
                    ));
                    draft.taken(setting, "targets");
                }
                _ => draft.refused(setting, "it takes a port, and IP:PORT"),
            }
        }
        if !pairs.is_empty() {
            draft.set_raw("targets", format!("{{ {} }}", pairs.join(", ")));
        }
    }
    for setting in draft.take_all("option.i2ptunnel.ircclient.enableDCC") {
        match flag(&setting.value) {
            Some(false) => draft.changed(&setting, "DCC is always refused"),
            _ => draft.refused(&setting, "DCC is refused: it tells peers an IP address"),
        }
    }
    for key in [
        "option.i2ptunnel.usePool",
        "option.i2ptunnel.blockingHandlerCount",
    ] {
        if let Some(setting) = draft.take(key) {
            draft.changed(
                &setting,
                "it has no effect any more: connections need no threads",
            );
        }
    }
    if let Some(setting) = draft.take("option.limitsManuallySet") {
        draft.changed(&setting, "limits are those that are set");
    }
    if let Some((setting, gzip)) = draft.flag("option.i2ptunnel.gzip", flag) {
        if draft.kind() == "http-server-tunnel" {
            draft.set_raw("compress", gzip.to_string());
            draft.taken(&setting, "compress");
        } else {
            draft.option(&setting, "i2cp.gzip", &gzip.to_string());
        }
    }
    for key in [
        "proxyList",
        "targetDestination",
        "targetHost",
        "targetPort",
        "spoofedHost",
    ] {
        if let Some(setting) = draft.take(key) {
            draft.changed(&setting, "a tunnel of this type does not use it");
        }
    }
    options::convert(draft, |key| key.strip_prefix("option.").map(str::to_owned));
}

fn number(draft: &mut Draft, setting: &Setting) -> Result<u16, String> {
    match setting.value.parse() {
        Ok(number) if number != 0 => Ok(number),
        _ => {
            draft.refused(setting, "it is no port");
            Err(format!("its {} is no port", setting.key))
        }
    }
}

/// A flag as Java reads it: everything but `true` is false.
fn flag(text: &str) -> Option<bool> {
    Some(text.eq_ignore_ascii_case("true"))
}

/// The group of the tunnels that share a session in Java I2P, which is also its name there.
const SHARED: &str = "shared clients";

/// Source: the default of `i2cp.closeIdleTime` and `i2cp.reduceIdleTime` in Java I2P's tunnels.
const DEFAULT_IDLE_MS: u64 = 1_800_000;
