//! Assumptions of this module about emissary-core, checked against its source.
//!
//! emissary-core does not report which of its tasks requests a timer. `runtime` identifies some of
//! them by the duration, which works only as long as no other task requests the same one. These
//! tests read the source of the version that is built. They fail when an upgrade changes a duration
//! or adds a timer of the same length.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use super::{
    renewal::{
        BEGINNING_AT, BEGUN_AT, ESTABLISHED_AT, LEASE_SETS, PEER_TYPE, RECEIVED_AT, SESSION,
        SESSIONS,
    },
    runtime::{BACKUP_INTERVAL, MAINTENANCE_INTERVAL, METERS, POOL_START},
    tunnels::{
        ANSWER_TIMEOUT, POOL, POOL_INTERVAL, PUBLICATION, QUERY_TIMEOUT, TUNNEL_LIFETIME,
        TUNNEL_RENEWAL,
    },
};

/// Returns the source files of emissary-core by their path below `src`, without the code that is
/// built only for tests. Prints a line and returns `None` if the source is not on this machine.
fn source() -> Option<BTreeMap<String, String>> {
    let Some(root) = source_directory() else {
        println!("SKIP: the source of emissary-core is not on this machine");
        return None;
    };
    let mut files = BTreeMap::new();
    collect(&root, &root, &mut files);
    assert!(
        files.len() > 50,
        "{} is not the source of a crate",
        root.display()
    );
    Some(files)
}

/// Gets the directory from cargo, which has downloaded the source to build this test.
fn source_directory() -> Option<PathBuf> {
    let output = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["metadata", "--offline", "--locked", "--format-version", "1"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .ok()?;
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
    let packages = metadata.get("packages")?.as_array()?;
    let package = packages
        .iter()
        .find(|package| package["name"] == "emissary-core")?;
    let manifest = Path::new(package["manifest_path"].as_str()?);
    let source = manifest.parent()?.join("src");
    source.is_dir().then_some(source)
}

fn collect(root: &Path, dir: &Path, files: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(root, &path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(root).unwrap().to_string_lossy();
            let text = fs::read_to_string(&path).unwrap();
            // Test modules are at the end of the files.
            let built = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
            files.insert(name.replace('\\', "/"), built.to_owned());
        }
    }
}

/// Finds the calls of the timer function `name`. Each entry has the file, the argument, and the
/// durations that the argument may denote. It has no durations if the argument is computed.
fn timers(files: &BTreeMap<String, String>, name: &str) -> Vec<(String, String, Vec<Duration>)> {
    let call = format!("R::{name}(");
    let mut found = Vec::new();
    for (file, text) in files {
        for (at, _) in text.match_indices(&call) {
            let argument = argument(&text[at + call.len()..]);
            let durations = duration(&argument).map_or_else(
                || constants(files, file, &argument),
                |duration| vec![duration],
            );
            found.push((file.clone(), argument, durations));
        }
    }
    assert!(!found.is_empty(), "emissary-core has no R::{name}");
    found
}

/// Returns the text up to the closing parenthesis of a call.
fn argument(rest: &str) -> String {
    let mut depth = 1;
    let end = rest.find(|character| {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        depth == 0
    });
    rest[..end.unwrap()].trim().to_owned()
}

/// Returns the values of a constant: the one of the file, or else those of all files that define
/// the name.
fn constants(files: &BTreeMap<String, String>, file: &str, name: &str) -> Vec<Duration> {
    let declaration = format!("const {name}: Duration = ");
    let value = |text: &String| {
        let (_, rest) = text.split_once(&declaration)?;
        duration(rest.split_once(';')?.0)
    };
    match value(&files[file]) {
        Some(value) => vec![value],
        None => files.values().filter_map(value).collect(),
    }
}

/// Evaluates `Duration::from_secs(..)` or `Duration::from_millis(..)` with a sum of products.
fn duration(expression: &str) -> Option<Duration> {
    let (unit, rest) = expression
        .strip_prefix("Duration::from_")?
        .split_once('(')?;
    let number: u64 = rest
        .strip_suffix(')')?
        .split('+')
        .map(|product| {
            product
                .split('*')
                .map(|factor| factor.trim().parse::<u64>().ok())
                .product::<Option<u64>>()
        })
        .sum::<Option<u64>>()?;
    match unit {
        "secs" => Some(Duration::from_secs(number)),
        "millis" => Some(Duration::from_millis(number)),
        _ => None,
    }
}

/// Returns the calls that request exactly this duration.
fn places(timers: &[(String, String, Vec<Duration>)], duration: Duration) -> Vec<(&str, &str)> {
    timers
        .iter()
        .filter(|(_, _, durations)| durations.contains(&duration))
        .map(|(file, argument, _)| (file.as_str(), argument.as_str()))
        .collect()
}

#[test]
fn delays_that_identify_tasks_are_unique_to_those_tasks() {
    let Some(files) = source() else { return };
    let delays = timers(&files, "delay");

    for (file, argument, durations) in &delays {
        assert!(
            !durations.is_empty(),
            "{file}: R::delay({argument}) is not understood"
        );
    }
    assert_eq!(
        places(&delays, ANSWER_TIMEOUT),
        [
            ("tunnel/pool/listener.rs", "TUNNEL_BUILD_EXPIRATION"),
            ("tunnel/pool/mod.rs", "TUNNEL_TEST_EXPIRATION"),
        ],
        "the waits for the reply to a tunnel build or test"
    );
    assert_eq!(
        places(&delays, QUERY_TIMEOUT),
        [("netdb/mod.rs", "QUERY_TIMEOUT"); 8],
        "the waits for answers to look-ups"
    );
    assert_eq!(
        places(&delays, TUNNEL_RENEWAL),
        [("tunnel/pool/timer.rs", "TUNNEL_REBUILD_TIMEOUT"); 2],
        "the renewals of tunnels"
    );
    assert_eq!(
        places(&delays, TUNNEL_LIFETIME),
        [
            ("tunnel/hop/inbound.rs", "TUNNEL_EXPIRATION"),
            ("tunnel/pool/timer.rs", "TUNNEL_EXPIRATION"),
        ],
        "the ends of tunnels"
    );
    assert_eq!(
        places(&delays, BACKUP_INTERVAL),
        [("router/mod.rs", "PROFILE_STORAGE_BACKUP_INTERVAL")],
        "the backup of router infos"
    );
}

#[test]
fn the_only_timer_without_a_duration_is_that_of_a_new_tunnel_pool() {
    let Some(files) = source() else { return };

    assert_eq!(
        places(&timers(&files, "timer"), POOL_START),
        [("tunnel/pool/mod.rs", "Duration::from_secs(0)")]
    );
}

#[test]
fn the_meters_that_determine_readiness_exist() {
    let Some(files) = source() else { return };

    for (name, _) in METERS {
        let name = format!("\"{name}\"");
        assert!(
            files.values().any(|text| text.contains(&name)),
            "emissary-core has no meter {name}"
        );
    }
}

#[test]
fn the_i2cp_server_binds_the_configured_address_and_listens_permanently() {
    let Some(files) = source() else { return };
    let server = &files["i2cp/mod.rs"];

    for words in [
        "SocketAddr::new(host.parse::<IpAddr>()",
        "R::TcpListener::bind(address)",
        "self.listener.poll_accept(cx)",
        "self.listener.local_address()",
    ] {
        assert!(server.contains(words), "i2cp/mod.rs has no {words:?}");
    }
}

#[test]
fn only_the_verification_of_a_published_lease_set_measures_time_in_its_file() {
    let Some(files) = source() else { return };
    let publication = compact(&files[PUBLICATION]);

    assert_eq!(publication.matches(".elapsed()").count(), 1);
    assert!(publication.contains(
        "PublishState::VerifyStorage{started,timer}=>{\
         ifstarted.elapsed()>=STORAGE_VERIFICATION_TOTAL_TIMEOUT{"
    ));
}

#[test]
fn a_tunnel_pool_has_one_timer_of_the_length_of_its_maintenance() {
    let Some(files) = source() else { return };
    let timers = timers(&files, "timer");
    let mut places = places(&timers, POOL_INTERVAL);
    places.retain(|(file, _)| *file == POOL);

    assert_eq!(places, [(POOL, "TUNNEL_MAINTENANCE_INTERVAL")]);
}

/// The code of a file without white space, so that its layout does not matter.
fn compact(text: &str) -> String {
    text.split_whitespace().collect()
}

#[test]
fn maintenance_reads_the_times_of_encryption_sessions_in_the_order_that_renewal_expects() {
    let Some(files) = source() else { return };
    let sessions = compact(&files[SESSIONS]);

    assert_eq!(sessions.matches(".elapsed()").count(), 2);
    assert!(sessions.contains(
        "(session.last_received.elapsed()>ES_RECEIVE_TAGSET_TIMEOUT\
         &&session.last_sent.elapsed()>ES_SEND_TAGSET_TIMEOUT)"
    ));
    // The time of the last message sent is recorded with a message that carries the lease set.
    assert!(sessions.contains(
        "session.insert_outbound_ack_request(tag_set_id,tag_index);session.last_sent=R::now();"
    ));
    // Encryption sessions that are not established come before the established ones.
    let maintain = sessions.split_once("fnmaintain(&mutself){").unwrap().1;
    let position = |text| maintain.find(text).unwrap();
    assert!(position("session.is_expired()") < position("last_received.elapsed()"));
    assert!(position("last_received.elapsed()") < position("session.session.maintain()"));
    let session = &files[SESSION];
    assert!(compact(session).contains("self.created.elapsed()>PENDING_SESSION_MAX_AGE"));
    for (at, name) in [(BEGUN_AT, "new_outbound("), (RECEIVED_AT, "new_inbound(")] {
        let (line, function) = line_of(session, at);
        assert_eq!(line, "created: R::now(),");
        assert!(function.contains(name), "{function}");
    }
}

/// A line, and the declaration of the function that contains it.
fn line_of(text: &str, number: u32) -> (&str, &str) {
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    let at = number as usize - 1;
    let before = lines[..at].iter().rev();
    let function = before.copied().find(|line| line.contains("fn "));
    (lines[at], function.unwrap_or_default())
}

#[test]
fn each_message_that_begins_an_encryption_session_is_checked_with_the_clock_once() {
    let Some(files) = source() else { return };
    let sessions = &files[SESSIONS];

    let (line, function) = line_of(sessions, ESTABLISHED_AT);
    assert_eq!(line, "last_received: R::now(),");
    assert!(
        function.contains("pub fn new(session: Session<R>)"),
        "{function}"
    );
    assert_eq!(sessions.matches(line).count(), 1);

    let (line, function) = line_of(sessions, BEGINNING_AT);
    assert_eq!(line, "let now = R::time_since_epoch();");
    assert!(function.contains("fn decrypt("), "{function}");
    assert_eq!(sessions.matches(line).count(), 1);
    // The one that is stored is the first that has no answer.
    assert!(compact(sessions).contains("matchself.pending.get_mut(&destination_id){None=>{"));
}

#[test]
fn only_the_expiry_of_lease_sets_reads_the_clock_in_their_file() {
    let Some(files) = source() else { return };
    let lease_sets = compact(&files[LEASE_SETS]);

    assert_eq!(lease_sets.matches("R::time_since_epoch()").count(), 1);
    assert!(
        lease_sets
            .contains("pubfnis_expired<R:Runtime>(&self)->bool{letnow=R::time_since_epoch();")
    );
}

#[test]
fn sessions_have_the_only_timers_of_the_length_of_their_maintenance() {
    let Some(files) = source() else { return };
    let timers = timers(&files, "timer");
    let mut places = places(&timers, MAINTENANCE_INTERVAL);
    // Timers of connections between routers belong to other tasks.
    places.retain(|(file, _)| !file.starts_with("transport/"));
    places.dedup();

    assert_eq!(
        places,
        [
            ("destination/mod.rs", "LEASE_SET_PRUNE_INTERVAL"),
            ("destination/session/mod.rs", "MAINTENANCE_INTERVAL"),
        ]
    );
}

#[test]
fn the_timers_that_send_a_lease_set_to_peers_are_identified_by_their_type() {
    let Some(files) = source() else { return };

    assert!(files[SESSIONS].contains("lease_set_publish_timers: R::JoinSet<DestinationId>"));
    assert_eq!(PEER_TYPE, "DestinationId");
}

#[test]
fn a_client_session_handles_a_message_before_it_reads_the_next() {
    let Some(files) = source() else { return };
    let session = compact(&files["i2cp/session.rs"]);

    assert!(session.contains(
        "matchself.socket.poll_next_unpin(cx){Poll::Pending=>break,\
         Poll::Ready(None)=>returnPoll::Ready(()),\
         Poll::Ready(Some(message))=>self.on_message(message),}"
    ));
    let socket = compact(&files["i2cp/socket.rs"]);
    assert!(socket.contains("&mutthis.read_buffer[offset..I2CP_HEADER_SIZE]"));
}
