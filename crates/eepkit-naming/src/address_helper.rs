//! Address helpers and jump services.

use eepkit_wire::Host;
use percent_encoding::percent_decode_str;

use crate::{
    address_book::{AddressBook, Found},
    entry::Entry,
    host_name::{HostName, HostNameError},
    import_rule::{ImportRule, check_import, check_import_name},
    store_error::StoreError,
    subscription_url::{Place, SubscriptionUrl},
    target::{Target, TargetError},
};

/// A link that says which destination a name has: `http://name.i2p/?i2paddresshelper=...`.
///
/// Whoever wrote the link may have written anything, so a user must confirm it before the name is
/// added, and must be warned if the books have another destination: see
/// [`AddressHelper::compare`].
///
/// ```
/// use eepkit_naming::AddressHelper;
///
/// let hash = "a".repeat(52);
/// let url = format!("http://example.i2p/page?x=1&i2paddresshelper={hash}.b32.i2p&y=2");
/// let helper = AddressHelper::from_url(&url)?.expect("the link has a helper");
/// assert_eq!(helper.name.as_str(), "example.i2p");
/// assert_eq!(helper.path, "/page?x=1&y=2");
/// assert_eq!(AddressHelper::from_url("http://example.i2p/page")?, None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressHelper {
    /// The name.
    pub name: HostName,
    /// The destination or base32 address that the link gives to the name.
    pub target: Target,
    /// The path and query without the helper.
    pub path: String,
}

/// What the books have for the name of a helper.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HelperStatus {
    /// No book has the name.
    New,
    /// The books have the same destination.
    Known(Found),
    /// The books have another destination. The link may be an attack.
    Conflict(Found),
}

impl AddressHelper {
    /// The parameter of the query.
    pub const PARAMETER: &str = "i2paddresshelper";

    /// The largest length of a path with its query, in bytes. Chosen above the longest destination
    /// with a usual address around it.
    pub const MAX_LENGTH: usize = 16_384;

    /// Finds the helper in the target of a request: a host without port, and a path with its query.
    /// Returns `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`HelperError`] if there is a helper that cannot be used.
    pub fn from_request(host: &str, path: &str) -> Result<Option<Self>, HelperError> {
        if path.len() > Self::MAX_LENGTH {
            return Err(HelperError::TooLong);
        }
        let path = path.split('#').next().unwrap_or_default();
        let Some((file, query)) = path.split_once('?') else {
            return Ok(None);
        };
        let mut value = None;
        let mut rest = Vec::new();
        for parameter in query.split('&') {
            let (key, of) = parameter.split_once('=').unwrap_or((parameter, ""));
            if decode(key)? != Self::PARAMETER {
                rest.push(parameter);
            } else if value.replace(of).is_some() {
                // Programs disagree on which one counts.
                return Err(HelperError::Repeated);
            }
        }
        let Some(value) = value else {
            return Ok(None);
        };
        let target: Target = decode(value)?.trim().parse()?;
        let name: HostName = host.parse()?;
        check_import_name(&name)?;
        if let Target::Destination(destination) = &target {
            check_import(&name, destination)?;
        }
        let separator = if rest.is_empty() { "" } else { "?" };
        let path = format!("{file}{separator}{}", rest.join("&"));
        let path = match path.starts_with('/') {
            true => path,
            false => format!("/{path}"),
        };
        Ok(Some(Self { name, target, path }))
    }

    /// Finds the helper in a URL, such as the header `Location` in the answer of a jump service.
    /// Returns `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`HelperError`] if the URL is not one of a site on I2P, or its helper cannot be used.
    pub fn from_url(url: &str) -> Result<Option<Self>, HelperError> {
        let scheme = "http://";
        let rest = url
            .get(..scheme.len())
            .filter(|start| start.eq_ignore_ascii_case(scheme))
            .and_then(|_| url.get(scheme.len()..))
            .ok_or(HelperError::NotHttp)?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let host = match authority.rsplit_once(':') {
            Some((host, port)) if port.parse::<u16>().is_ok() => host,
            _ => authority,
        };
        Self::from_request(host, path)
    }

    /// The URL with the helper, for sharing.
    pub fn to_url(&self) -> String {
        let separator = if self.path.contains('?') { '&' } else { '?' };
        let Self { name, target, path } = self;
        // Base64 of I2P needs no escaping in a query, except `=`, which programs accept.
        format!("http://{name}{path}{separator}{}={target}", Self::PARAMETER)
    }

    /// The entry for the name, if the user confirms.
    pub fn entry(&self) -> Entry {
        Entry::new(self.target.clone())
    }

    /// Compares the helper with the books.
    ///
    /// # Errors
    ///
    /// If the store fails.
    pub fn compare(&self, books: &AddressBook) -> Result<HelperStatus, StoreError> {
        Ok(match books.look_up(&self.name)? {
            None => HelperStatus::New,
            // A destination for the name with `www.` is not one for the name itself.
            Some(found) if found.entry.contains(&self.target) => HelperStatus::Known(found),
            Some(found) if found.name != self.name => HelperStatus::New,
            Some(found) => HelperStatus::Conflict(found),
        })
    }
}

/// The reason why a helper cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HelperError {
    /// The URL does not begin with `http://`.
    #[error("a link with an address helper must begin with http://")]
    NotHttp,
    /// The link is too long.
    #[error("the link has more than {} bytes", AddressHelper::MAX_LENGTH)]
    TooLong,
    /// The link has two helpers.
    #[error("the link has more than one address helper")]
    Repeated,
    /// The percent-encoding does not result in text.
    #[error("the query of the link is not valid UTF-8")]
    Encoding,
    /// The host is not a name.
    #[error(transparent)]
    Name(#[from] HostNameError),
    /// The name may not be added from links.
    #[error(transparent)]
    Rule(#[from] ImportRule),
    /// The value is neither a destination nor a base32 address.
    #[error("the address helper is not valid: {0}")]
    Target(#[from] TargetError),
}

/// A site that looks up names for others: it redirects to a link with an [`AddressHelper`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct JumpService {
    prefix: String,
    host: Host,
}

impl JumpService {
    /// The services that Java I2P has by default.
    pub const DEFAULTS: [&str; 3] = [
        "http://stats.i2p/cgi-bin/jump.cgi?a=",
        "http://i2pjump.i2p/jump/",
        "http://notbob.i2p/cgi-bin/jump.cgi?q=",
    ];

    /// Creates a service from the URL to which the name is appended.
    ///
    /// # Errors
    ///
    /// [`HelperError`] if the URL is not one of a site on I2P.
    pub fn new(prefix: &str) -> Result<Self, HelperError> {
        let url: SubscriptionUrl = prefix.parse().map_err(|_| HelperError::NotHttp)?;
        let Place::Site { address, .. } = url.place() else {
            return Err(HelperError::NotHttp);
        };
        Ok(Self {
            prefix: url.as_str().to_owned(),
            host: address.host().clone(),
        })
    }

    /// The host of the service. A service whose name is not in the books is of no use.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The URL that looks up a name.
    pub fn url_for(&self, name: &HostName) -> String {
        format!("{}{name}", self.prefix)
    }
}

fn decode(text: &str) -> Result<std::borrow::Cow<'_, str>, HelperError> {
    percent_decode_str(text)
        .decode_utf8()
        .map_err(|_| HelperError::Encoding)
}

#[cfg(test)]
mod tests {
    use eepkit_wire::{BlindedAddress, Destination, PrivateKeys, SignatureType};

    use super::*;
    use crate::Book;

    fn destination() -> Destination {
        let keys = PrivateKeys::generate(SignatureType::ED25519, &mut rand::rng()).unwrap();
        keys.destination().clone()
    }

    #[test]
    fn helpers_are_found_wherever_they_are_in_the_query() {
        let destination = destination();
        let base64 = destination.to_base64();
        let escaped = base64
            .replace('=', "%3D")
            .replace('~', "%7E")
            .replace('-', "%2d");
        for (path, rest) in [
            (format!("/?i2paddresshelper={base64}"), "/"),
            (format!("?i2paddresshelper={base64}"), "/"),
            (format!("/a/b?i2paddresshelper={escaped}#part"), "/a/b"),
            (format!("/?x=1&i2paddresshelper={base64}&y"), "/?x=1&y"),
            (format!("/?i2paddress%68elper={base64}&&"), "/?&"),
        ] {
            let helper = AddressHelper::from_request("A.i2p", &path)
                .unwrap()
                .unwrap();
            assert_eq!(helper.name.as_str(), "a.i2p");
            assert_eq!(helper.target, destination.clone().into());
            assert_eq!(helper.path, rest);
            let again = AddressHelper::from_url(&helper.to_url());
            assert_eq!(again, Ok(Some(helper)));
        }
        let blinded =
            BlindedAddress::new(destination.signing_key().clone(), SignatureType::REDDSA).unwrap();
        let path = format!("/?i2paddresshelper={blinded}");
        let helper = AddressHelper::from_request("a.i2p", &path)
            .unwrap()
            .unwrap();
        assert_eq!(helper.target, Target::Blinded(blinded));
    }

    #[test]
    fn links_without_a_helper_have_none() {
        for path in [
            "",
            "/",
            "/i2paddresshelper=x",
            "/?I2PADDRESSHELPER=x",
            "/?x=i2paddresshelper",
        ] {
            assert_eq!(
                AddressHelper::from_request("a.i2p", path),
                Ok(None),
                "{path}"
            );
        }
        assert_eq!(AddressHelper::from_url("HTTP://a.i2p:80/x"), Ok(None));
    }

    #[test]
    fn helpers_that_cannot_be_used_are_refused() {
        let base64 = destination().to_base64();
        let good = format!("/?i2paddresshelper={base64}");
        let twice = format!("{good}&i2paddresshelper={base64}");
        let long = format!("/{}", "x".repeat(AddressHelper::MAX_LENGTH));
        for (host, path) in [
            ("a.i2p", "/?i2paddresshelper="),
            ("a.i2p", "/?i2paddresshelper"),
            ("a.i2p", "/?i2paddresshelper=b.i2p"),
            ("a.i2p", "/?i2paddresshelper=%ff"),
            ("a.i2p", &good[..100]),
            ("a.i2p", &twice),
            ("a.i2p", &long),
            ("a.com", &good),
            ("127.0.0.1", &good),
            ("router.i2p", &good),
            ("x.proxy.i2p", &good),
            ("a.b32.i2p", &good),
        ] {
            let result = AddressHelper::from_request(host, path);
            assert!(result.is_err(), "{host} {path:.40}: {result:?}");
        }
        for url in [
            "",
            "https://a.i2p/",
            "a.i2p/?i2paddresshelper=x",
            "\u{e9}\u{e9}\u{e9}\u{e9}",
        ] {
            assert!(AddressHelper::from_url(url).is_err(), "{url}");
        }
    }

    #[test]
    fn a_helper_that_contradicts_the_books_is_a_conflict() {
        let books = AddressBook::in_memory().unwrap();
        let [mine, other] = [destination(), destination()];
        let helper = |host: &str, destination: &Destination| {
            let path = format!("/?i2paddresshelper={}", destination.to_base64());
            AddressHelper::from_request(host, &path).unwrap().unwrap()
        };
        let known = helper("a.i2p", &mine);
        assert_eq!(known.compare(&books).unwrap(), HelperStatus::New);
        books.put(Book::User, &known.name, &known.entry()).unwrap();
        assert!(matches!(
            known.compare(&books).unwrap(),
            HelperStatus::Known(_)
        ));
        let attack = helper("a.i2p", &other);
        assert!(matches!(
            attack.compare(&books).unwrap(),
            HelperStatus::Conflict(_)
        ));
        let www = helper("www.a.i2p", &other);
        assert_eq!(www.compare(&books).unwrap(), HelperStatus::New);
    }

    #[test]
    fn jump_services_append_the_name() {
        let name = "a.i2p".parse().unwrap();
        for (prefix, url) in JumpService::DEFAULTS.iter().zip([
            "http://stats.i2p/cgi-bin/jump.cgi?a=a.i2p",
            "http://i2pjump.i2p/jump/a.i2p",
            "http://notbob.i2p/cgi-bin/jump.cgi?q=a.i2p",
        ]) {
            let service = JumpService::new(prefix).unwrap();
            assert_eq!(service.url_for(&name), url);
        }
        for prefix in ["http://example.com/", "file:///x", "stats.i2p"] {
            assert!(JumpService::new(prefix).is_err());
        }
    }
}
