use proptest::prelude::*;

use super::*;

fn sent(filter: &mut ClientFilter, line: &str) -> Option<String> {
    let mut output = Vec::new();
    filter.receive_from_client(format!("{line}\r\n").as_bytes(), &mut output);
    text(output)
}

fn received(filter: &mut ClientFilter, line: &str) -> Option<String> {
    let mut output = Vec::new();
    filter.receive_from_server(format!("{line}\r\n").as_bytes(), &mut output);
    text(output)
}

fn text(output: Vec<u8>) -> Option<String> {
    let text = String::from_utf8(output).expect("UTF-8");
    (!text.is_empty()).then(|| text.strip_suffix("\r\n").expect("a line end").to_owned())
}

fn assert_sent(line: &str, expected: Option<&str>) {
    let filtered = sent(&mut ClientFilter::new(), line);
    assert_eq!(filtered.as_deref(), expected, "{line:?}");
}

fn assert_received(line: &str, expected: Option<&str>) {
    let filtered = received(&mut ClientFilter::new(), line);
    assert_eq!(filtered.as_deref(), expected, "{line:?}");
}

#[test]
fn commands_of_the_list_pass_in_any_case() {
    for line in [
        "NICK me",
        "join #i2p,#x  key",
        "CAP LS 302",
        "NS identify secret",
        "PRIVMSG #i2p :hello: there",
        "NOTICE you :hi",
        "PRIVMSG",
        "WHOIS",
    ] {
        assert_sent(line, Some(line));
    }
    for line in [
        "STARTTLS",
        "WEBIRC pass gateway host 1.2.3.4",
        "TAGMSG #x",
        "XYZZY",
        ":me NICK other",
        ": NICK other",
        " NICK other",
        "@a",
        "PRIVMSG #x :a\0b",
    ] {
        assert_sent(line, None);
    }
}

#[test]
fn the_host_of_the_client_is_replaced() {
    for (line, expected) in [
        (
            "USER me desktop irc.local :Real Name",
            "USER me hostname localhost :Real Name",
        ),
        ("USER me 8 * :Real: Name", "USER me 8 * :Real: Name"),
        ("user me 0 irc.local real", "USER me 0 localhost :real"),
        ("USER me 192.168.1.2 * real", "USER me hostname * :real"),
        ("USER me", "USER me hostname localhost :user"),
        ("USER", "USER user hostname localhost :user"),
        ("USER me h s :", "USER me hostname localhost :user"),
    ] {
        assert_sent(line, Some(expected));
    }
    let mut filter = ClientFilter::new().hide_user(true);
    let hidden = sent(&mut filter, "USER jane 0 * :Jane Doe");
    assert_eq!(hidden.as_deref(), Some("USER user 0 * :user"));
}

#[test]
fn texts_that_clients_add_themselves_are_replaced() {
    assert_sent("QUIT :WeeChat 4.1 on Debian", Some("QUIT :leaving"));
    assert_sent("quit", Some("QUIT :leaving"));
    assert_sent("PART #x,#y :client text", Some("PART #x,#y :leaving"));
    assert_sent("PART #x", Some("PART #x :leaving"));
    assert_sent("PART", None);
}

#[test]
fn pings_of_the_client_lose_the_address_of_the_tunnel() {
    let mut filter = ClientFilter::new();
    let ping = sent(&mut filter, "PING 12345 127.0.0.1");
    assert_eq!(ping.as_deref(), Some("PING 12345"));
    let pong = received(&mut filter, ":irc.i2p PONG irc.i2p :12345");
    assert_eq!(pong.as_deref(), Some("PONG 127.0.0.1 :12345"));
    // The next answer is not changed.
    let line = ":irc.i2p PONG irc.i2p :12346";
    assert_eq!(received(&mut filter, line).as_deref(), Some(line));
    assert_eq!(
        sent(&mut filter, "PING :LAG1").as_deref(),
        Some("PING LAG1")
    );
    assert_eq!(received(&mut filter, line).as_deref(), Some(line));
    assert_eq!(sent(&mut filter, "PING").as_deref(), Some("PING"));
    assert_eq!(sent(&mut filter, "PING :a b").as_deref(), Some("PING :a b"));
}

#[test]
fn pongs_of_the_client_contain_only_what_the_server_sent() {
    let mut filter = ClientFilter::new();
    // Without a ping, the client has nothing to answer.
    assert_eq!(sent(&mut filter, "PONG 192.168.1.2"), None);
    for token in [":cookie", "irc.i2p", "a b"] {
        let line = format!("PING {token}");
        assert_eq!(received(&mut filter, &line), Some(line));
    }
    for token in [":cookie", "irc.i2p", "a b"] {
        let pong = sent(&mut filter, "PONG 192.168.1.2");
        assert_eq!(pong, Some(format!("PONG {token}")));
    }
    assert_eq!(sent(&mut filter, "PONG 192.168.1.2"), None);
    for number in 0..20 {
        received(&mut filter, &format!("PING {number}"));
    }
    assert_eq!(sent(&mut filter, "PONG x").as_deref(), Some("PONG 12"));
}

#[test]
fn of_ctcp_only_one_action_passes_in_both_directions() {
    for (text, passes) in [
        (":\x01ACTION waves\x01", true),
        (":\x01ACTION\x01", true),
        (":\x01VERSION\x01", false),
        (":\x01PING 1\x01", false),
        (":\x01DCC SEND file 3232235777 1024 99\x01", false),
        (":\x01XDCC SEND 1\x01", false),
        (":\x01ACTION waves", false),
        (":\x01ACTION a\x01\x01VERSION\x01", false),
        (":hi \x01VERSION\x01", false),
        (":hi \x01ACTION waves\x01", false),
        (":\x01action waves\x01", false),
        (":\x01ACTIONX\x01", false),
        ("\x01VERSION\x01", false),
        (":\x01", false),
    ] {
        for verb in ["PRIVMSG", "notice"] {
            let line = format!("{verb} #x {text}");
            assert_sent(&line, passes.then_some(line.as_str()));
            let line = format!("@time=1 :n!u@h {verb} me {text}");
            assert_received(&line, passes.then_some(line.as_str()));
        }
    }
    assert_sent("PRIVMSG #x,\x01VERSION\x01 :hi", None);
    // Nor does the mark pass in any other command.
    assert_sent("PING ::hi\x01DCC", None);
    assert_sent("TOPIC #x :\x01VERSION\x01", None);
    assert_sent("NOTICE you :DCC Send file (192.168.1.2)", None);
    assert_sent("NOTICE you :dcc chat (192.168.1.2)", None);
    assert_sent("PRIVMSG you :DCC is off", Some("PRIVMSG you :DCC is off"));
}

#[test]
fn replies_and_commands_of_the_list_pass_from_the_server() {
    for line in [
        ":irc.i2p 001 me :Welcome",
        ":n!u@h JOIN #x",
        "@time=2026-01-01T00:00:00Z;msgid=a :n!u@h PRIVMSG #x :hello",
        "ERROR :Closing Link",
        ":irc.i2p CAP * LS * :multi-prefix sasl=PLAIN",
        "AUTHENTICATE +",
        ":n!u@h invite me #x",
    ] {
        assert_received(line, Some(line));
    }
    for line in [
        ":irc.i2p XYZZY me",
        ":irc.i2p 01 me",
        ":irc.i2p",
        "",
        ":irc.i2p SSLINFO x",
    ] {
        assert_received(line, None);
    }
}

#[test]
fn servers_cannot_move_a_client_to_tls() {
    for (line, expected) in [
        (
            ":irc.i2p CAP * LS :sasl sts=port=6697,duration=9 multi-prefix tls",
            ":irc.i2p CAP * LS :sasl multi-prefix",
        ),
        ("CAP me NEW :sts=port=6697", "CAP me NEW :"),
        ("@a=b :s CAP me LS * :tls x", "@a=b :s CAP me LS * :x"),
        ("CAP me LS sts", "CAP me LS :"),
    ] {
        assert_received(line, Some(expected));
    }
    let line = ":s CAP me LS :stsx xtls";
    assert_received(line, Some(line));
}

#[test]
fn of_the_tags_of_a_client_only_the_label_passes() {
    assert_sent("@+typing=active;label=7 WHO #x", Some("@label=7 WHO #x"));
    assert_sent("@+typing=active WHO #x", Some("WHO #x"));
    assert_sent("@label= QUIT", Some("QUIT :leaving"));
    let long = format!("@label={} WHO", "x".repeat(65));
    assert_sent(&long, Some("WHO"));
}

#[test]
fn a_carriage_return_does_not_hide_a_line() {
    let mut filter = ClientFilter::new();
    let mut output = Vec::new();
    filter.receive_from_client(
        b"PRIVMSG #x :hi\rUSER me desk irc :R\rXYZZY\r\n",
        &mut output,
    );
    assert_eq!(
        output,
        b"PRIVMSG #x :hi\r\nUSER me hostname localhost :R\r\n"
    );
    assert_eq!(
        filter.dropped(),
        Dropped {
            from_client: 1,
            from_server: 0
        }
    );
}

#[test]
fn long_lines_are_dropped_and_the_next_ones_pass() {
    let mut filter = ClientFilter::new();
    let long = format!("PRIVMSG #x :{}", "x".repeat(1100));
    assert_eq!(sent(&mut filter, &long), None);
    assert_eq!(received(&mut filter, &long), None);
    assert_eq!(sent(&mut filter, "NICK me").as_deref(), Some("NICK me"));
    let tagged = format!("@a={} :s 001 me :hi", "x".repeat(8000));
    assert_eq!(
        received(&mut filter, &tagged).as_deref(),
        Some(tagged.as_str())
    );
    assert_eq!(
        filter.dropped(),
        Dropped {
            from_client: 1,
            from_server: 1
        }
    );
}

proptest! {
    #[test]
    fn what_a_client_adds_itself_never_passes(
        before in "[ -~\r\n]{0,20}",
        verb in prop::sample::select(vec!["USER", "User", "PONG", "QUIT", "PART", "PING"]),
        host_at in 0_usize..4,
        tags in prop::sample::select(vec!["", "@label=x ", "@+my.host "]),
    ) {
        let mut words = ["a", "b", "c", ":d"];
        words[host_at] = "my.host";
        let input = format!("{before}\n{tags}{verb} {}\n", words.join(" "));
        let mut output = Vec::new();
        let mut filter = ClientFilter::new();
        filter.receive_from_server(b"PING x\r\n", &mut output);
        output.clear();
        filter.receive_from_client(input.as_bytes(), &mut output);
        // What the user chooses: the own name, the channel, the token of a ping.
        let is_chosen = match verb {
            "USER" | "User" => matches!(host_at, 0 | 3),
            "PART" | "PING" => host_at == 0,
            _ => false,
        };
        let text = String::from_utf8_lossy(&output);
        prop_assert!(is_chosen || !text.contains("my.host"), "{text:?}");
    }

    #[test]
    fn requests_of_ctcp_never_pass(
        verb in prop::sample::select(vec!["PRIVMSG", "NOTICE", "privmsg"]),
        text in "[ :a-zA-Z\x01]{0,20}(ACTION )?[ :a-z\x01]{0,20}",
    ) {
        let line = format!("{verb} you {text}\r\n");
        let (mut up, mut down) = (Vec::new(), Vec::new());
        let mut filter = ClientFilter::new();
        filter.receive_from_client(line.as_bytes(), &mut up);
        filter.receive_from_server(line.as_bytes(), &mut down);
        prop_assert_eq!(&up, &down);
        let marks: Vec<_> = up.iter().enumerate().filter(|(_, byte)| **byte == 1).collect();
        if let Some((first, _)) = marks.first() {
            prop_assert_eq!(marks.len(), 2);
            prop_assert!(up[*first..].starts_with(b"\x01ACTION"));
        }
    }
}
