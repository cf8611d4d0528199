//! A name and a password.

use std::fmt;

use zeroize::Zeroizing;

/// A name and a password of up to 255 bytes each. Passwords are erased from memory when dropped, and
/// are not part of the debug output.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    user: Vec<u8>,
    password: Zeroizing<Vec<u8>>,
}

impl Credentials {
    /// A name and a password; `None` if one of them is longer than 255 bytes.
    pub fn new(user: &[u8], password: &[u8]) -> Option<Self> {
        let fits = |field: &[u8]| u8::try_from(field.len()).is_ok();
        (fits(user) && fits(password)).then(|| Self {
            user: user.to_vec(),
            password: Zeroizing::new(password.to_vec()),
        })
    }

    /// The name.
    pub fn user(&self) -> &[u8] {
        &self.user
    }

    /// The password. Empty in SOCKS 4.
    pub fn password(&self) -> &[u8] {
        &self.password
    }

    /// Whether both are empty.
    pub(crate) fn is_empty(&self) -> bool {
        self.user.is_empty() && self.password.is_empty()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}
