use std::io::{BufReader, Read};

use eepkit_wire::{PrivateKeys, SignatureType};

use super::*;

fn base64() -> String {
    let keys = PrivateKeys::generate(SignatureType::ED25519, &mut rand::rng()).unwrap();
    keys.destination().to_base64()
}

fn read(text: &[u8]) -> Vec<NumberedLine> {
    // A small buffer, so that lines are read in pieces.
    HostsReader::new(BufReader::with_capacity(7, text))
        .collect::<Result<_, _>>()
        .unwrap()
}

#[test]
fn entries_are_read_with_their_line_numbers() {
    let destination = base64();
    let text = format!(
        "\u{feff}A.i2p={destination}\r\n# comment\n\n  b.i2p = {destination} # note\n\
         c.i2p={destination}#!a=1#notes=two words\nno line\nd.com={destination}\n\
         e.i2p={}\n#!action=remove#name=x.i2p\n#!\nf.i2p={destination}#!a=1#a=2\n\
         g.i2p={destination}",
        &destination[..500]
    );
    let lines = read(text.as_bytes());
    let seen: Vec<_> = lines
        .iter()
        .map(|line| {
            let text = match &line.content {
                Ok(line) => line.to_string().replace(&destination, "D"),
                Err(_) => "error".to_owned(),
            };
            (line.number, text)
        })
        .collect();
    let expected = [
        (1, "a.i2p=D"),
        (4, "b.i2p=D"),
        (5, "c.i2p=D#!a=1#notes=two words"),
        (6, "error"),
        (7, "error"),
        (8, "error"),
        (9, "#!action=remove#name=x.i2p"),
        (11, "error"),
        (12, "g.i2p=D"),
    ];
    assert_eq!(
        seen,
        expected.map(|(number, text)| (number, text.to_owned()))
    );
}

#[test]
fn lines_that_are_too_long_or_not_text_are_skipped() {
    let long = "x".repeat(HostsReader::<&[u8]>::MAX_LINE + 1);
    let text = [long.as_bytes(), b"\n\xff\xfe\nlast\n"].concat();
    let errors: Vec<_> = read(&text)
        .into_iter()
        .map(|line| (line.number, line.content.unwrap_err()))
        .collect();
    assert_eq!(
        errors,
        [
            (1, HostsLineError::TooLong(8192)),
            (2, HostsLineError::Encoding),
            (3, HostsLineError::NoTarget)
        ]
    );
}

#[test]
fn reading_ends_with_an_error_at_the_limit_and_at_errors_of_the_source() {
    let text = format!("a.i2p={}\n", base64()).repeat(3);
    let mut reader = HostsReader::with_limit(text.as_bytes(), 600);
    assert!(reader.next().unwrap().is_ok());
    let error = reader.next().unwrap().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
    assert!(reader.next().is_none());

    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::ConnectionReset.into())
        }
    }
    let mut reader = HostsReader::new(BufReader::new(text.as_bytes().chain(Broken)));
    assert_eq!(reader.by_ref().take(3).filter(Result::is_ok).count(), 3);
    assert!(reader.next().unwrap().is_err());
    assert!(reader.next().is_none());
}
