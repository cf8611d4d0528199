//! Third-party programs in Python.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// The unpacked package i2plib 0.0.14 of PyPI: the library and its tests.
#[derive(Debug)]
pub struct I2plib {
    root: PathBuf,
}

/// The directory in this crate with additional files for i2plib.
const CLIENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/i2plib");

/// The directory in the package.
const UNPACKED: &str = "i2plib-0.0.14";

impl I2plib {
    /// Checks whether this machine can download and run i2plib.
    ///
    /// # Errors
    ///
    /// A message that names what to install.
    pub fn prerequisites() -> Result<(), String> {
        has_python()?;
        has_pip()
    }

    /// Downloads i2plib from PyPI into `dir`, checks its hash, and unpacks it. An existing copy is
    /// used as it is.
    ///
    /// # Errors
    ///
    /// The error output of pip.
    pub fn fetch(dir: &Path) -> Result<Self, String> {
        let root = dir.join(UNPACKED);
        if !root.join("setup.py").is_file() {
            let failed = |error: io::Error| format!("cannot unpack i2plib: {error}");
            fs::create_dir_all(dir).map_err(failed)?;
            // Renamed once it is complete, because another test run may do the same concurrently.
            let fresh = tempfile::tempdir_in(dir).map_err(failed)?;
            let at = fresh.path();
            let requirements = format!("{CLIENT}/requirements.txt");
            complete(
                python3()
                    .args(["-m", "pip", "--disable-pip-version-check", "--quiet"])
                    .args(["download", "--no-deps", "--no-binary", "i2plib"])
                    .args(["--require-hashes", "--requirement", &requirements])
                    .arg("--dest")
                    .arg(at),
            )?;
            let archive = at.join(format!("{UNPACKED}.tar.gz"));
            complete(
                python3()
                    .args(["-m", "tarfile", "--extract"])
                    .args([archive.as_path(), at]),
            )?;
            if let Err(error) = fs::rename(at.join(UNPACKED), &root)
                && !root.join("setup.py").is_file()
            {
                return Err(failed(error));
            }
        }
        Ok(Self { root })
    }

    /// The package's directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A Python command that can import i2plib. The caller adds the program to run. Standard input
    /// is closed, and output is not buffered.
    pub fn python(&self) -> Command {
        let mut command = python3();
        command
            .env("PYTHONPATH", format!("{CLIENT}:{}", self.root.display()))
            // Its programs are older than the warnings.
            .env("PYTHONWARNINGS", "ignore")
            .env("PYTHONUNBUFFERED", "1")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .current_dir(&self.root);
        command
    }

    /// A program of this crate that uses i2plib.
    pub fn program(&self, name: &str) -> Command {
        let mut command = self.python();
        command.arg(format!("{CLIENT}/{name}"));
        command
    }
}

/// The packages of txi2p 0.3.7 of PyPI and of its dependencies, a library of programs on Twisted.
#[derive(Debug)]
pub struct Txi2p {
    packages: PathBuf,
}

/// The directory in this crate with programs that use txi2p.
const TXI2P: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/txi2p");

impl Txi2p {
    /// Checks whether this machine has a suitable Python.
    ///
    /// # Errors
    ///
    /// A message that names what to install.
    pub fn python() -> Result<(), String> {
        has_python()
    }

    /// Checks whether this machine can download and run txi2p.
    ///
    /// # Errors
    ///
    /// A message that names what to install.
    pub fn prerequisites() -> Result<(), String> {
        has_python()?;
        has_pip()
    }

    /// Installs txi2p, whose hash is checked, and its dependencies into `dir`. An existing copy is used
    /// as it is.
    ///
    /// # Errors
    ///
    /// The error output of pip.
    pub fn fetch(dir: &Path) -> Result<Self, String> {
        let packages = dir.join("txi2p-0.3.7");
        if !packages.join("txi2p").is_dir() {
            let failed = |error: io::Error| format!("cannot install txi2p: {error}");
            fs::create_dir_all(dir).map_err(failed)?;
            // Renamed once it is complete, because another test run may do the same concurrently.
            let fresh = tempfile::tempdir_in(dir).map_err(failed)?;
            let at = fresh.path().join("packages");
            for (list, checked) in [("dependencies.txt", false), ("requirements.txt", true)] {
                let mut pip = python3();
                pip.args(["-m", "pip", "--disable-pip-version-check", "--quiet"])
                    .args(["install", "--no-deps", "--root-user-action", "ignore"])
                    .args(["--requirement", &format!("{TXI2P}/{list}")])
                    .arg("--target")
                    .arg(&at);
                if checked {
                    pip.arg("--require-hashes");
                }
                complete(&mut pip)?;
            }
            if let Err(error) = fs::rename(&at, &packages)
                && !packages.join("txi2p").is_dir()
            {
                return Err(failed(error));
            }
        }
        Ok(Self { packages })
    }

    /// A program of this crate that uses txi2p.
    pub fn program(&self, name: &str) -> Command {
        let mut command = python3();
        command
            .env("PYTHONPATH", &self.packages)
            .env("PYTHONWARNINGS", "ignore")
            .env("PYTHONUNBUFFERED", "1")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .arg(format!("{TXI2P}/{name}"));
        command
    }
}

fn has_python() -> Result<(), String> {
    let version = "import sys; sys.exit(sys.version_info < (3, 7))";
    let python = run(python3().args(["-c", version]));
    match python.is_ok_and(|output| output.status.success()) {
        true => Ok(()),
        false => Err("install Python 3.7 or newer (python3)".to_owned()),
    }
}

fn has_pip() -> Result<(), String> {
    let pip = run(python3().args(["-m", "pip", "--version"]));
    match pip.is_ok_and(|output| output.status.success()) {
        true => Ok(()),
        false => Err("install pip (Debian's python3-pip)".to_owned()),
    }
}

/// A Python command without standard input.
pub fn python3() -> Command {
    let mut command = Command::new("python3");
    command.stdin(Stdio::null());
    command
}

fn run(command: &mut Command) -> io::Result<Output> {
    command.output()
}

fn complete(command: &mut Command) -> Result<(), String> {
    let output = run(command).map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned())
}
