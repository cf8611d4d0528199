use super::*;
use crate::{
    args::{KeyValue, RouterChoice},
    config::Config,
};

fn import(files: &[&str]) -> Result<Imported, ImportError> {
    let files: Vec<_> = files
        .iter()
        .map(|text| ConfigFile::parse(text).expect("a file"))
        .collect();
    Imported::from_files(&files, "sam.config", "sam-users.json")
}

/// What the made file says.
fn config(imported: &Imported) -> Config {
    Config::parse(&imported.config).unwrap_or_else(|error| panic!("{error}\n{}", imported.config))
}

fn router(text: &str) -> RouterChoice {
    text.parse().expect("a router")
}

#[test]
fn the_file_of_a_bridge_that_was_only_switched_on_comes_to_the_defaults() {
    let clients = "clientApp.0.args=sam.keys 127.0.0.1 7656 i2cp.tcp.host=127.0.0.1 i2cp.tcp.port=7654\n\
                   clientApp.0.delay=120\n\
                   clientApp.0.main=net.i2p.sam.SAMBridge\n\
                   clientApp.0.name=SAM application bridge\n\
                   clientApp.0.startOnLoad=true\n";
    let imported = import(&[clients]).expect("a bridge");
    let config = config(&imported);
    assert_eq!(config.router.router, router("i2cp://127.0.0.1:7654"));
    let [sam] = &config.sam[..] else {
        panic!("{config:?}")
    };
    assert_eq!(sam.listen, Some(vec![([127, 0, 0, 1], 7656).into()]));
    assert_eq!(sam.udp, None);
    assert_eq!(sam.users, None);
    assert!(sam.overrides.is_empty());
    assert_eq!(imported.left_out.len(), 1, "{:?}", imported.left_out);
    assert!(imported.left_out[0].starts_with("sam.keyfile: the keys of SAM 1 and 2"));
}

#[test]
fn everything_that_has_a_counterpart_is_taken_over() {
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

    let config = config(&imported);
    assert_eq!(
        config.router.router,
        router("i2cp://me:sesame@192.0.2.1:1234")
    );
    let sam = &config.sam[0];
    assert_eq!(sam.listen, Some(vec![([0, 0, 0, 0], 7777).into()]));
    assert_eq!(sam.udp, Some(vec![([127, 0, 0, 1], 7778).into()]));
    assert_eq!(sam.users, Some("sam-users.json".into()));
    let options: Vec<_> = sam
        .overrides
        .iter()
        .map(|KeyValue { key, value }| format!("{key}={value}"))
        .collect();
    assert_eq!(
        options,
        [
            "i2cp.leaseSetEncType=4,0",
            "i2p.streaming.maxConnsPerHour=9",
            "inbound.length=2",
            "inbound.nickname=my \"shop\"",
            "shouldBundleReplyInfo=false",
        ]
    );
}

#[test]
fn the_command_line_trumps_the_file_whichever_comes_first() {
    let file = "sam.tcp.port=1111\ninbound.length=1\n";
    let clients = "clientApp.7.main=net.i2p.sam.SAMBridge\n\
                   clientApp.7.args=-s -c other.config my.keys 2222 inbound.length=2\n\
                   clientApp.8.main=net.i2p.i2ptunnel.TunnelControllerGroup\n\
                   clientApp.8.args=i2ptunnel.config\n";
    for files in [[file, clients], [clients, file]] {
        let config = config(&import(&files).expect("a bridge"));
        let sam = &config.sam[0];
        assert_eq!(sam.listen, Some(Vec::new()));
        assert_eq!(sam.listen_tls, [([127, 0, 0, 1], 2222).into()]);
        assert_eq!(sam.overrides[0].value, "2");
    }
}

#[test]
fn a_keystore_is_left_out_with_what_to_do_about_it_and_without_its_passwords() {
    let imported = import(&[
        "sam.useSSL=true\nsam.keystoreFile=sam-abc.ks\nsam.keyAlias=abc\n\
                             sam.keystorePassword=changeit\nsam.keyPassword=sesame\n",
    ])
    .expect("a bridge");
    let config = config(&imported);
    let sam = &config.sam[0];
    assert_eq!(sam.listen, Some(Vec::new()));
    assert_eq!(sam.listen_tls, [([127, 0, 0, 1], 7656).into()]);
    assert_eq!(sam.tls, Some(("sam.crt".into(), "sam.key".into())));
    assert_eq!(imported.left_out.len(), 1);
    assert!(imported.left_out[0].contains("-srckeystore sam-abc.ks"));
    assert!(!imported.config.contains("sesame") && !imported.config.contains("changeit"));
    // Without TLS nobody misses it.
    let imported =
        import(&["sam.keystorePassword=changeit\nsam.keyAlias=abc\n"]).expect("a bridge");
    assert_eq!(imported.left_out, Vec::<String>::new());
}

#[test]
fn what_cannot_be_taken_over_is_told() {
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
    let told = imported.left_out.join("\n");
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
            told.lines().any(|line| line.starts_with(start)),
            "{start} is not in\n{told}"
        );
    }
    assert_eq!(imported.left_out.len(), 8);
    assert!(!imported.config.contains("sesame"), "{}", imported.config);
    let config = config(&imported);
    assert_eq!(config.router.router, router("i2cp://127.0.0.1:7654"));
    assert!(config.sam[0].overrides.is_empty());
}

#[test]
fn files_that_nobody_could_use_are_refused() {
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
