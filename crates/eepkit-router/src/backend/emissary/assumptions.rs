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
    runtime::{BACKUP_INTERVAL, METERS, POOL_START},
    tunnels::{ANSWER_TIMEOUT, TUNNEL_LIFETIME, TUNNEL_RENEWAL},
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
