//! A reseed host for tests, and the files that it serves. Only tests trust their signer.

use std::{io::Write, sync::Arc};

use eepkit_wire::{SignatureType, SigningPrivateKey};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    },
};
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

/// The signer's certificate.
pub(crate) const SIGNER: &str = include_str!("../../tests/data/reseed/test_at_mail.i2p.crt");
const MODULUS: &[u8] = include_bytes!("../../tests/data/reseed/test_at_mail.i2p.modulus");
const EXPONENT: &[u8] = include_bytes!("../../tests/data/reseed/test_at_mail.i2p.exponent");

fn sign(signed: &[u8]) -> Vec<u8> {
    let private = [MODULUS, EXPONENT].concat();
    let key = SigningPrivateKey::new(SignatureType::RSA_SHA512_4096, &private).unwrap();
    key.sign_update_file(signed).as_bytes().to_vec()
}

fn zip(files: &[Vec<u8>]) -> Vec<u8> {
    let mut archive = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    for (index, file) in files.iter().enumerate() {
        archive
            .start_file(format!("routerInfo-{index}.dat"), options)
            .unwrap();
        archive.write_all(file).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

/// An unsigned SU3 file.
pub(crate) struct Draft {
    pub(crate) signature_type: u16,
    pub(crate) file_type: u8,
    pub(crate) content_type: u8,
    pub(crate) signer: &'static str,
    pub(crate) content: Vec<u8>,
}

impl Draft {
    pub(crate) fn of(files: &[Vec<u8>]) -> Self {
        Self {
            signature_type: 6,
            file_type: 0,
            content_type: 3,
            signer: "test@mail.i2p",
            content: zip(files),
        }
    }

    pub(crate) fn signed(&self) -> Vec<u8> {
        let mut file = b"I2Psu3\0\0".to_vec();
        file.extend_from_slice(&self.signature_type.to_be_bytes());
        file.extend_from_slice(&512u16.to_be_bytes());
        file.extend_from_slice(&[0, 16, 0, u8::try_from(self.signer.len()).unwrap()]);
        file.extend_from_slice(&(self.content.len() as u64).to_be_bytes());
        file.extend_from_slice(&[0, self.file_type, 0, self.content_type]);
        file.extend_from_slice(&[0; 12]);
        file.extend_from_slice(b"1700000000\0\0\0\0\0\0");
        file.extend_from_slice(self.signer.as_bytes());
        file.extend_from_slice(&self.content);
        let signature = sign(&file);
        file.extend_from_slice(&signature);
        file
    }
}

/// The response of a reseed host.
#[derive(Clone)]
pub(crate) enum Answer {
    File(Vec<u8>),
    Status(&'static str),
    Endless,
    Nothing,
}

/// Starts a reseed host on loopback. Returns its address and its certificate.
pub(crate) async fn host(answer: Answer) -> (String, String) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!(
        "https://localhost:{}/",
        listener.local_addr().unwrap().port()
    );
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, answer) = (acceptor.clone(), answer.clone());
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    return;
                };
                let mut request = [0; 1024];
                let length = stream.read(&mut request).await.unwrap_or(0);
                let request = String::from_utf8_lossy(&request[..length]).into_owned();
                assert!(request.starts_with("GET /i2pseeds.su3?netid="), "{request}");
                assert!(request.contains("Wget/1.11.4"), "{request}");
                let _ = respond(&mut stream, answer).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    (url, cert.pem())
}

async fn respond(stream: &mut (impl AsyncWriteExt + Unpin), answer: Answer) -> std::io::Result<()> {
    match answer {
        Answer::File(file) => {
            let header = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", file.len());
            stream.write_all(header.as_bytes()).await?;
            stream.write_all(&file).await
        }
        Answer::Status(status) => {
            let header = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
            stream.write_all(header.as_bytes()).await
        }
        Answer::Endless => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
            loop {
                stream.write_all(&[0; 16 * 1024]).await?;
            }
        }
        Answer::Nothing => std::future::pending().await,
    }
}
