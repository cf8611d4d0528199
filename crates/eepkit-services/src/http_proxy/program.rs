//! What the requests of one connection share, and their users.

use std::sync::{Arc, Mutex, PoisonError, atomic::AtomicBool};

use data_encoding::BASE64;
use http::{HeaderMap, header::PROXY_AUTHORIZATION};

use super::{problem::Problem, shared::Shared};
use crate::{proxy::HasFrame as _, users::Password};

/// What the requests of one connection share.
pub(super) struct Program {
    pub(super) shared: Arc<Shared>,
    /// Set if a response ends early.
    pub(super) failed: Arc<AtomicBool>,
    /// The credentials that were verified last. Verifying takes milliseconds.
    verified: Mutex<Option<Vec<u8>>>,
}

/// The user of a request: what separates it from others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct User {
    parts: Vec<Vec<u8>>,
}

impl User {
    pub(super) fn parts(&self) -> Vec<&[u8]> {
        self.parts.iter().map(Vec::as_slice).collect()
    }
}

impl Program {
    pub(super) fn new(shared: Arc<Shared>, failed: Arc<AtomicBool>) -> Self {
        Self {
            shared,
            failed,
            verified: Mutex::default(),
        }
    }

    /// The user of a request. Verifies the name and the password where they are required.
    pub(super) async fn user(&self, headers: &HeaderMap) -> Result<User, Problem> {
        let frame = self.shared.frame();
        let credentials = basic_credentials(headers);
        let mut parts = Vec::new();
        if frame.requires_password() {
            let (name, password) = credentials.ok_or(Problem::PasswordRequired)?;
            if !self.is_right(&name, &password).await {
                return Err(Problem::PasswordRequired);
            }
            // The password is the same for all connections of the user.
            parts.push(name.into_bytes());
        } else if let Some((name, password)) = credentials {
            parts.extend([name.into_bytes(), password.into_bytes()]);
        }
        if let Some(token) = headers.get("tor-stream-isolation") {
            parts.extend([b"isolation".to_vec(), token.as_bytes().to_vec()]);
        }
        Ok(User { parts })
    }

    async fn is_right(&self, name: &str, password: &str) -> bool {
        let both = [name.as_bytes(), b"\0", password.as_bytes()].concat();
        let known = |verified: &Option<Vec<u8>>| {
            let verified = verified.as_deref().unwrap_or_default();
            bool::from(subtle::ConstantTimeEq::ct_eq(verified, &both[..]))
        };
        if known(&self.verified.lock().unwrap_or_else(PoisonError::into_inner)) {
            return true;
        }
        let gate = &self.shared.frame().gate;
        let password = Password::from(password.to_owned());
        let is_right = gate.verify(name.to_owned(), password).await;
        if is_right {
            *self.verified.lock().unwrap_or_else(PoisonError::into_inner) = Some(both);
        }
        is_right
    }
}

/// The name and the password of the header `Proxy-Authorization`.
fn basic_credentials(headers: &HeaderMap) -> Option<(String, String)> {
    let value = headers.get(PROXY_AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = value.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let bytes = BASE64.decode(rest.trim().as_bytes()).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (name, password) = text.split_once(':')?;
    Some((name.to_owned(), password.to_owned()))
}
