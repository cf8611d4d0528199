//! The body of a response that is downloaded.

use std::io::{self, Write};

use flate2::write::GzDecoder;

/// How the body of a response is downloaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DownloadPlan {
    /// The length that the response announced, in bytes.
    pub(crate) length: Option<u64>,
    /// Whether the body is compressed with gzip.
    pub(crate) is_gzip: bool,
    /// The largest length, compressed and decompressed, in bytes.
    pub(crate) limit: u64,
}

/// Receives the body of a response, decompresses it, and writes it to `W`, usually a temporary
/// file.
///
/// The content must not be used before [`Download::finish`] has returned it: only then it is
/// complete.
#[derive(Debug)]
pub struct Download<W: Write> {
    plan: DownloadPlan,
    received: u64,
    output: Output<W>,
}

impl<W: Write> Download<W> {
    /// Creates a download that writes to `out`.
    pub fn new(plan: DownloadPlan, out: W) -> Self {
        let limited = Limited {
            out,
            left: plan.limit,
        };
        let output = match plan.is_gzip {
            true => Output::Gzip(Box::new(GzDecoder::new(limited))),
            false => Output::Plain(limited),
        };
        Self {
            plan,
            received: 0,
            output,
        }
    }

    /// Adds the next bytes of the body.
    ///
    /// # Errors
    ///
    /// [`DownloadError`]. The download cannot be continued then.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), DownloadError> {
        self.received += bytes.len() as u64;
        if self.received > self.plan.limit {
            return Err(DownloadError::TooLong(self.plan.limit));
        }
        if self
            .plan
            .length
            .is_some_and(|length| self.received > length)
        {
            return Err(DownloadError::WrongLength);
        }
        match &mut self.output {
            Output::Plain(out) => out.write_all(bytes),
            Output::Gzip(out) => out.write_all(bytes),
        }
        .map_err(|error| self.error(error))
    }

    /// Ends the download at the end of the body, and returns the output.
    ///
    /// # Errors
    ///
    /// [`DownloadError::WrongLength`] or [`DownloadError::Gzip`] if the connection was cut before
    /// the end of the body.
    pub fn finish(self) -> Result<W, DownloadError> {
        let length = self.plan.length.unwrap_or(self.received);
        if self.received != length {
            return Err(DownloadError::WrongLength);
        }
        let limit = self.plan.limit;
        let mut out = match self.output {
            Output::Plain(out) => out.out,
            Output::Gzip(out) => {
                out.finish()
                    .map_err(|error| classify(error, true, limit))?
                    .out
            }
        };
        out.flush().map_err(DownloadError::Write)?;
        Ok(out)
    }

    fn error(&self, error: io::Error) -> DownloadError {
        classify(error, self.plan.is_gzip, self.plan.limit)
    }
}

/// The reason why a download failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DownloadError {
    /// The body is longer than the limit, compressed or decompressed.
    #[error("the list of names has more than {0} bytes")]
    TooLong(u64),
    /// The body is shorter or longer than the response announced.
    #[error("the download ended early: it does not have the announced length")]
    WrongLength,
    /// The compressed body is damaged or incomplete.
    #[error("the compressed list of names is damaged or incomplete")]
    Gzip,
    /// The output failed, for example because the disk is full.
    #[error("cannot write the downloaded list of names: {0}")]
    Write(#[source] io::Error),
}

#[derive(Debug)]
enum Output<W: Write> {
    Plain(Limited<W>),
    Gzip(Box<GzDecoder<Limited<W>>>),
}

/// Fails with [`io::ErrorKind::FileTooLarge`] after a number of bytes.
#[derive(Debug)]
struct Limited<W> {
    out: W,
    left: u64,
}

impl<W: Write> Write for Limited<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() as u64 > self.left {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let written = self.out.write(bytes)?;
        self.left -= written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn classify(error: io::Error, is_gzip: bool, limit: u64) -> DownloadError {
    match error.kind() {
        io::ErrorKind::FileTooLarge => DownloadError::TooLong(limit),
        io::ErrorKind::InvalidInput
        | io::ErrorKind::InvalidData
        | io::ErrorKind::UnexpectedEof
        | io::ErrorKind::WriteZero
            if is_gzip =>
        {
            DownloadError::Gzip
        }
        _ => DownloadError::Write(error),
    }
}

#[cfg(test)]
mod tests {
    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn plan(length: Option<u64>, is_gzip: bool) -> DownloadPlan {
        DownloadPlan {
            length,
            is_gzip,
            limit: 10_000,
        }
    }

    fn run(plan: DownloadPlan, body: &[u8]) -> Result<Vec<u8>, DownloadError> {
        let mut download = Download::new(plan, Vec::new());
        for part in body.chunks(7) {
            download.push(part)?;
        }
        download.finish()
    }

    fn gzip(body: &[u8]) -> Vec<u8> {
        let mut out = GzEncoder::new(Vec::new(), Compression::default());
        out.write_all(body).unwrap();
        out.finish().unwrap()
    }

    #[test]
    fn a_complete_body_is_returned() {
        let body = b"a.i2p=x\n".repeat(50);
        assert_eq!(run(plan(None, false), &body).unwrap(), body);
        assert_eq!(run(plan(Some(400), false), &body).unwrap(), body);
        assert_eq!(run(plan(None, true), &gzip(&body)).unwrap(), body);
        assert_eq!(run(plan(None, false), b"").unwrap(), b"");
    }

    #[test]
    fn a_body_that_is_cut_is_an_error() {
        let body = b"a.i2p=x\n".repeat(50);
        let compressed = gzip(&body);
        for (plan, body) in [
            (plan(Some(401), false), &body[..]),
            (plan(Some(399), false), &body[..]),
            (
                plan(Some(compressed.len() as u64 + 1), true),
                &compressed[..],
            ),
        ] {
            let result = run(plan, body);
            assert!(matches!(result, Err(DownloadError::WrongLength)));
        }
        for cut in 1..compressed.len() {
            let result = run(plan(None, true), &compressed[..cut]);
            assert!(matches!(result, Err(DownloadError::Gzip)), "{cut}");
        }
        let result = run(plan(None, true), &body);
        assert!(matches!(result, Err(DownloadError::Gzip)));
    }

    #[test]
    fn a_body_that_is_too_long_is_an_error_also_when_it_is_compressed() {
        let body = vec![b'x'; 10_001];
        let result = run(plan(None, false), &body);
        assert!(matches!(result, Err(DownloadError::TooLong(10_000))));
        let result = run(plan(None, true), &gzip(&body));
        assert!(
            matches!(result, Err(DownloadError::TooLong(10_000))),
            "{result:?}"
        );
    }

    #[test]
    fn an_output_that_fails_is_reported() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut download = Download::new(plan(None, false), Full);
        let error = download.push(b"x").unwrap_err();
        let DownloadError::Write(error) = error else {
            panic!("{error}");
        };
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}
