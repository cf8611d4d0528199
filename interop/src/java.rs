//! Java I2P's streaming library, with a program that uses it.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The streaming library 2.7.0 of Java I2P and what it needs, as Maven Central has them.
#[derive(Debug)]
pub struct JavaStreaming {
    jars: PathBuf,
}

/// The directory in this crate with the program, the coordinates and the checksums.
const CLIENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/java");

/// The name changes with the version, so that an older copy is not used.
const JARS: &str = "java-streaming-2.7.0";

/// The goal that downloads the dependencies of a project. The version is the one that Maven 3.8 uses
/// by default.
const COPY: &str = "org.apache.maven.plugins:maven-dependency-plugin:2.8:copy-dependencies";

impl JavaStreaming {
    /// Checks whether this machine can download the library and run the program.
    ///
    /// # Errors
    ///
    /// A message that names what to install.
    pub fn prerequisites() -> Result<(), String> {
        // The program is compiled when it starts, which needs a JDK of version 11 or newer.
        if !works("javac", "-version") || !works("java", "-version") {
            return Err("install a JDK (Debian's default-jdk-headless)".to_owned());
        }
        if !works("mvn", "--version") {
            return Err("install Maven (Debian's maven)".to_owned());
        }
        Ok(())
    }

    /// Downloads the library from Maven Central into `dir` and checks its checksums. An existing
    /// copy is used as it is.
    ///
    /// # Errors
    ///
    /// The output of Maven, or of the check.
    pub fn fetch(dir: &Path) -> Result<Self, String> {
        let jars = dir.join(JARS);
        if !jars.is_dir() {
            let failed = |error: io::Error| format!("cannot store the library: {error}");
            fs::create_dir_all(dir).map_err(failed)?;
            // Renamed once it is complete, because another test run may do the same concurrently.
            let fresh = tempfile::tempdir_in(dir).map_err(failed)?;
            let at = fresh.path().join(JARS);
            complete(
                command("mvn")
                    .args(["--quiet", "--batch-mode"])
                    .arg(format!("--file={CLIENT}/pom.xml"))
                    .arg(COPY)
                    .arg(format!("-DoutputDirectory={}", at.display())),
            )?;
            complete(
                command("sha256sum")
                    .args(["--check", "--strict", "--quiet"])
                    .arg(format!("{CLIENT}/SHA256SUMS"))
                    .current_dir(&at),
            )?;
            if let Err(error) = fs::rename(&at, &jars)
                && !jars.is_dir()
            {
                return Err(failed(error));
            }
        }
        Ok(Self { jars })
    }

    /// The program `Peer.java`, with the I2CP port of a router. Its first comment describes what it
    /// reads and prints.
    pub fn peer(&self, i2cp_port: u16) -> Command {
        let mut command = Command::new("java");
        command
            .args(["-Xmx256m", "-XX:+UseSerialGC"])
            // The library writes its log below these directories.
            .arg(format!("-Di2p.dir.base={}", self.jars.display()))
            .arg(format!("-Di2p.dir.config={}", self.jars.display()))
            .arg("-cp")
            .arg(self.jars.join("*"))
            .arg(format!("{CLIENT}/Peer.java"))
            .arg(i2cp_port.to_string());
        command
    }
}

fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null());
    command
}

fn works(program: &str, argument: &str) -> bool {
    let output = command(program).arg(argument).output();
    output.is_ok_and(|output| output.status.success())
}

fn complete(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let text = [output.stdout, output.stderr].concat();
    Err(String::from_utf8_lossy(&text).into_owned())
}
