use std::path::Path;

use eepkit_services::{options::File, sam::SamConfig, service::Definition as _};

use super::*;
use crate::{args::RouterChoice, config::Config};

fn import(files: &[&str]) -> Result<Imported, ImportError> {
    let files: Vec<_> = files
        .iter()
        .map(|text| ConfigFile::parse(text).expect("a file"))
        .collect();
    Imported::from_files(&files, "sam.config", "sam-users.json")
}

/// Returns the router of the imported configuration.
fn router(imported: &Imported) -> Option<RouterChoice> {
    let config = Config::parse(&imported.config, Path::new(""));
    let config = config.unwrap_or_else(|error| panic!("{error}\n{}", imported.config));
    config.router.router
}

fn attached(address: &str) -> Option<RouterChoice> {
    Some(RouterChoice::Attached(address.to_owned()))
}

/// Returns an option of the bridge in the imported configuration, or an empty text if it has no
/// default and is not set.
fn sam(imported: &Imported, key: &str) -> String {
    let file = File::parse(&imported.config, "").expect("TOML");
    let sections = file.sections("sam").expect("a section");
    let config = SamConfig::table().read(&sections[0]).expect("valid");
    let option = SamConfig::table().find(key).expect(key);
    (option.access.get)(&config).unwrap_or_default()
}

#[test]
fn the_file_of_a_bridge_without_settings_has_the_defaults() {
    let clients = "clientApp.0.args=sam.keys 127.0.0.1 7656 i2cp.tcp.host=127.0.0.1 i2cp.tcp.port=7654\n\
                   clientApp.0.delay=120\n\
                   clientApp.0.main=net.i2p.sam.SAMBridge\n\
                   clientApp.0.name=SAM application bridge\n\
                   clientApp.0.startOnLoad=true\n";
    let imported = import(&[clients]).expect("a bridge");
    assert_eq!(router(&imported), attached("i2cp://127.0.0.1:7654"));
    assert_eq!(sam(&imported, "listen"), "[\"127.0.0.1:7656\"]");
    for key in ["udp", "users", "overrides"] {
        let option = SamConfig::table().find(key).expect(key);
        let default = SamConfig::table().default_of(option).unwrap_or_default();
        assert_eq!(sam(&imported, key), default, "{key}");
    }
    assert_eq!(imported.left_out.len(), 1, "{:?}", imported.left_out);
    assert!(imported.left_out[0].starts_with("sam.keyfile: the keys of SAM 1 and 2"));
}

#[test]
fn every_setting_with_an_equivalent_is_imported() {
    let imported = import(&["\
        sam.tcp.host=0.0.0.0\n\
        sam.tcp.port=7777 # a comment\n\
        sam.udp.host=localhost\n\
        sam.udp.port=7778\n\
        sam.auth=true\n\
        sam.auth.foo.shash=AAECAwQFBgcICQoLDA0OD-SAyCqVBiD41fc5exhKbuYMzpxHAxJDrA8ep0~cE8KM\n\
        sam.auth.a.b.shash=other\n\
        i2cp.tcp.host=192.0.2.1\n\
        i2cp.tcp.port=1234\n\
        i2cp.username=me\n\
        i2cp.password=sesame\n\
        inbound.length=2\n\
        inbound.nickname=my \"shop\"\n\
        i2cp.leaseSetEncType=4,0\n\
        i2p.streaming.maxConnsPerHour=9\n\
        shouldBundleReplyInfo=false\n"])
    .expect("a bridge");
    assert_eq!(imported.left_out, Vec::<String>::new());
    assert!(imported.password_required);
    let names: Vec<_> = imported.users.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, ["a.b", "foo"]);
    assert!(imported.users[1].1.starts_with("AAECAwQF"));

    assert_eq!(
        router(&imported),
        attached("i2cp://me:sesame@192.0.2.1:1234")
    );
    assert_eq!(sam(&imported, "listen"), "[\"0.0.0.0:7777\"]");
    assert_eq!(sam(&imported, "udp"), "[\"127.0.0.1:7778\"]");
    assert_eq!(sam(&imported, "users"), "\"sam-users.json\"");
    assert_eq!(
        sam(&imported, "overrides"),
        "{ \"i2cp.leaseSetEncType\" = \"4,0\", \"i2p.streaming.maxConnsPerHour\" = \"9\", \
         \"inbound.length\" = \"2\", \"inbound.nickname\" = 'my \"shop\"', \
         shouldBundleReplyInfo = \"false\" }"
    );
}

#[test]
fn the_command_line_overrides_the_file_in_any_order() {
    let file = "sam.tcp.port=1111\ninbound.length=1\n";
    let clients = "clientApp.7.main=net.i2p.sam.SAMBridge\n\
                   clientApp.7.args=-s -c other.config my.keys 2222 inbound.length=2\n\
                   clientApp.8.main=net.i2p.i2ptunnel.TunnelControllerGroup\n\
                   clientApp.8.args=i2ptunnel.config\n";
    for files in [[file, clients], [clients, file]] {
        let imported = import(&files).expect("a bridge");
        assert_eq!(sam(&imported, "listen"), "[]");
        assert_eq!(sam(&imported, "listen_tls"), "[\"127.0.0.1:2222\"]");
        assert_eq!(
            sam(&imported, "overrides"),
            "{ \"inbound.length\" = \"2\" }"
        );
    }
}

#[test]
fn a_keystore_is_left_out_with_a_remedy_and_without_its_passwords() {
    let imported = import(&[
        "sam.useSSL=true\nsam.keystoreFile=sam-abc.ks\nsam.keyAlias=abc\n\
                             sam.keystorePassword=changeit\nsam.keyPassword=sesame\n",
    ])
    .expect("a bridge");
    assert_eq!(sam(&imported, "listen"), "[]");
    assert_eq!(sam(&imported, "listen_tls"), "[\"127.0.0.1:7656\"]");
    assert_eq!(sam(&imported, "tls_certificate"), "\"sam.crt\"");
    assert_eq!(sam(&imported, "tls_key"), "\"sam.key\"");
    assert_eq!(imported.left_out.len(), 1);
    assert!(imported.left_out[0].contains("-srckeystore sam-abc.ks"));
    assert!(!imported.config.contains("sesame") && !imported.config.contains("changeit"));
    // Without TLS, the keystore is not reported.
    let imported =
        import(&["sam.keystorePassword=changeit\nsam.keyAlias=abc\n"]).expect("a bridge");
    assert_eq!(imported.left_out, Vec::<String>::new());
}

#[test]
fn settings_that_cannot_be_imported_are_reported() {
    let imported = import(&["\
        sam.forceFlush=true\n\
        sam.newThing=1\n\
        loglevel=DEBUG\n\
        wrapper=1\n\
        i2cp.messageReliability=BestEffort\n\
        inbound.length=9\n\
        i2p.streaming.noSuchThing=1\n\
        i2cp.tcp.host=router.example\n\
        i2cp.username=me\n\
        i2cp.password=sesame\n"])
    .expect("a bridge");
    let left_out = imported.left_out.join("\n");
    for start in [
        "sam.forceFlush: ",
        "sam.newThing: is not known here",
        "loglevel: use -v or RUST_LOG",
        "wrapper: is no option of a session",
        "i2cp.messageReliability: ",
        "inbound.length: option inbound.length cannot be",
        "i2p.streaming.noSuchThing: ",
        "the router at router.example:7654: ",
    ] {
        assert!(
            left_out.lines().any(|line| line.starts_with(start)),
            "{start} is not in\n{left_out}"
        );
    }
    assert_eq!(imported.left_out.len(), 8);
    assert!(!imported.config.contains("sesame"), "{}", imported.config);
    assert_eq!(router(&imported), attached("i2cp://127.0.0.1:7654"));
    assert_eq!(sam(&imported, "overrides"), "");
}

#[test]
fn unusable_files_are_refused() {
    let error = |files: &[&str]| import(files).expect_err("refused").message();
    assert_eq!(
        error(&["sam.auth=true\n"]),
        "sam.auth=true asks for passwords, and there is no sam.auth.USER.shash"
    );
    assert_eq!(
        error(&["sam.tcp.port=many\n"]),
        "sam.tcp.port cannot be \"many\""
    );
    assert_eq!(
        error(&["sam.tcp.host=sam.example\n"]),
        "sam.tcp.host cannot be \"sam.example\""
    );
    assert_eq!(
        error(&["clientApp.0.main=net.i2p.sam.SAMBridge\nclientApp.0.args=a b c d\n"]),
        "the arguments of net.i2p.sam.SAMBridge cannot be \"a b c d\""
    );
    for files in [&[][..], &[""], &["clientApp.0.main=net.i2p.BOB\n"]] {
        assert_eq!(
            error(files),
            "no SAM bridge of Java I2P is configured there"
        );
    }
}
