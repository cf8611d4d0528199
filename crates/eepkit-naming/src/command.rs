//! Commands of subscription feeds: reading, verifying and signing.

use std::fmt;

use eepkit_wire::{Destination, PrivateKeys, Signature, SignatureError, base64};

use crate::{
    host_name::{HostName, HostNameError},
    hosts_line::HostsLine,
    properties::{Properties, PropertiesError},
    target::Target,
};

/// A command of a subscription feed: specification "Addressbook Subscription Feed Commands".
///
/// The owner of a destination signs it. A command that refers to a second destination has an inner
/// signature by that one as well.
///
/// ```
/// use eepkit_naming::{Action, Command, HostsLine};
/// use eepkit_wire::{PrivateKeys, SignatureType};
///
/// let old = PrivateKeys::generate(SignatureType::DSA_SHA1, &mut rand::rng())?;
/// let new = PrivateKeys::generate(SignatureType::ED25519, &mut rand::rng())?;
/// let action = Action::ChangeDestination {
///     old_destination: old.destination().clone(),
/// };
/// let line = Command::new("example.i2p".parse()?, new.destination().clone(), action)
///     .with_date(1_700_000_000)
///     .sign(&new, Some(&old))?
///     .to_string();
///
/// let HostsLine::Entry { .. } = line.parse()? else {
///     panic!("a change is an entry with properties");
/// };
/// let read = Command::from_line(&line.parse()?)?.expect("it is signed");
/// read.verify()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    name: HostName,
    destination: Destination,
    action: Action,
    /// All properties, including those that follow from the other fields.
    properties: Properties,
}

/// What a command does.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Adds a name.
    Add,
    /// Moves the entry of `old_name` to the name of the command.
    ChangeName {
        /// The name that is given up.
        old_name: HostName,
    },
    /// Replaces the destination of the name.
    ChangeDestination {
        /// The destination that is replaced.
        old_destination: Destination,
    },
    /// Adds a second name for the destination of `old_name`.
    AddName {
        /// The other name of the destination.
        old_name: HostName,
    },
    /// Adds an alternative destination to the name.
    AddDestination {
        /// The destination that the name has.
        old_destination: Destination,
    },
    /// Adds a name below another one, whose owner permits it.
    AddSubdomain {
        /// The higher-level name.
        old_name: HostName,
        /// The destination of the higher-level name.
        old_destination: Destination,
    },
    /// Changes the properties of the entry.
    Update,
    /// Removes the name.
    Remove,
    /// Removes all names of the destination. The name of the command is advisory.
    RemoveAll,
}

impl Command {
    /// Creates a command without signatures. `destination` is the new one where there are two.
    pub fn new(name: HostName, destination: Destination, action: Action) -> Self {
        let mut properties = Properties::new();
        let mut set = |key, value: &str| {
            properties
                .insert(key, value)
                .expect("names, base64 and words of actions are valid values");
        };
        if let Some(word) = action.word() {
            set(ACTION, word);
        }
        if let Some(name) = action.old_name() {
            set(OLD_NAME, name.as_str());
        }
        if let Some(destination) = action.old_destination() {
            set(OLD_DESTINATION, &destination.to_base64());
        }
        if action.is_removal() {
            set(NAME, name.as_str());
            set(DESTINATION, &destination.to_base64());
        }
        Self {
            name,
            destination,
            action,
            properties,
        }
    }

    /// Reads the command of a line. Returns `None` for lines without properties.
    ///
    /// The signatures are not verified: see [`Command::verify`].
    ///
    /// # Errors
    ///
    /// If a required property is missing or malformed, or the action is unknown.
    pub fn from_line(line: &HostsLine) -> Result<Option<Self>, CommandError> {
        let (entry, properties) = match line {
            HostsLine::Blank => return Ok(None),
            HostsLine::Removal(properties) => (None, properties),
            HostsLine::Entry {
                name,
                target,
                properties,
            } => (Some((name, target)), properties),
        };
        if properties.is_empty() {
            return Ok(None);
        }
        let action = Action::read(properties)?;
        let (name, destination) = match entry {
            Some((name, Target::Destination(destination))) if !action.is_removal() => {
                (name.clone(), destination.clone())
            }
            None if action.is_removal() => (
                required(properties, NAME)?.parse()?,
                read_destination(properties, DESTINATION)?,
            ),
            _ => return Err(CommandError::WrongPlace),
        };
        Ok(Some(Self {
            name,
            destination,
            action,
            properties: properties.clone(),
        }))
    }

    /// Sets the date of the command, in seconds since the epoch. It protects against replays.
    #[must_use]
    pub fn with_date(mut self, seconds: u64) -> Self {
        self.properties
            .insert(DATE, &seconds.to_string())
            .expect("a number is a valid value");
        self
    }

    /// Sets the time after which the command is not valid any more, in seconds since the epoch.
    #[must_use]
    pub fn with_expires(mut self, seconds: u64) -> Self {
        self.properties
            .insert(EXPIRES, &seconds.to_string())
            .expect("a number is a valid value");
        self
    }

    /// Sets a further property.
    ///
    /// # Errors
    ///
    /// [`CommandError::Reserved`] if the key has a meaning in commands, and
    /// [`CommandError::Properties`] if a line cannot contain the pair.
    pub fn with_property(mut self, key: &str, value: &str) -> Result<Self, CommandError> {
        if RESERVED.contains(&key) {
            return Err(CommandError::Reserved(key.to_owned()));
        }
        self.properties.insert(key, value)?;
        Ok(self)
    }

    /// Signs the command with the keys of its destination, and of the old destination if it has
    /// one. Signatures that it had are replaced.
    ///
    /// # Errors
    ///
    /// [`CommandError::WrongKeys`] if keys are missing, not needed or of another destination, or if
    /// they are offline keys, whose signatures cannot be verified with the destination.
    pub fn sign(
        mut self,
        keys: &PrivateKeys,
        old_keys: Option<&PrivateKeys>,
    ) -> Result<Self, CommandError> {
        let belong = |keys: &PrivateKeys, destination: &Destination| {
            keys.destination() == destination && keys.offline().is_none()
        };
        self.properties.remove(SIGNATURE);
        self.properties.remove(OLD_SIGNATURE);
        match (self.action.old_destination(), old_keys) {
            (None, None) => {}
            (Some(destination), Some(old_keys)) if belong(old_keys, destination) => {
                let signature = old_keys.sign(self.inner_bytes().as_bytes());
                let text = base64::encode(signature.as_bytes());
                self.properties.insert(OLD_SIGNATURE, &text)?;
            }
            _ => return Err(CommandError::WrongKeys),
        }
        if !belong(keys, &self.destination) {
            return Err(CommandError::WrongKeys);
        }
        let signature = keys.sign(self.outer_bytes().as_bytes());
        let text = base64::encode(signature.as_bytes());
        self.properties.insert(SIGNATURE, &text)?;
        Ok(self)
    }

    /// Verifies all signatures that the command must have.
    ///
    /// # Errors
    ///
    /// If a signature is missing, malformed or wrong. The inner signature is verified first.
    pub fn verify(&self) -> Result<(), CommandError> {
        if let Some(old_destination) = self.action.old_destination() {
            let bytes = self.inner_bytes();
            verify(&self.properties, OLD_SIGNATURE, old_destination, &bytes)?;
        }
        let bytes = self.outer_bytes();
        verify(&self.properties, SIGNATURE, &self.destination, &bytes)
    }

    /// The name, the new one where there are two.
    pub fn name(&self) -> &HostName {
        &self.name
    }

    /// The destination, the new one where there are two.
    pub fn destination(&self) -> &Destination {
        &self.destination
    }

    /// What the command does.
    pub fn action(&self) -> &Action {
        &self.action
    }

    /// All properties, including the signatures.
    pub fn properties(&self) -> &Properties {
        &self.properties
    }

    /// The date in seconds since the epoch; `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`CommandError::Malformed`] if it is not a number.
    pub fn date(&self) -> Result<Option<u64>, CommandError> {
        seconds(&self.properties, DATE)
    }

    /// The time when the command expires, in seconds since the epoch; `None` if it never does.
    ///
    /// # Errors
    ///
    /// [`CommandError::Malformed`] if it is not a number.
    pub fn expires(&self) -> Result<Option<u64>, CommandError> {
        seconds(&self.properties, EXPIRES)
    }

    /// The text that the old destination signs: section "Input for Signatures".
    pub fn inner_bytes(&self) -> String {
        self.text_without(&[SIGNATURE, OLD_SIGNATURE])
    }

    /// The text that the destination signs: section "Input for Signatures".
    pub fn outer_bytes(&self) -> String {
        self.text_without(&[SIGNATURE])
    }

    /// The properties that describe the entry and not the command.
    pub(crate) fn metadata(&self) -> Properties {
        let mut properties = self.properties.clone();
        for key in RESERVED {
            properties.remove(key);
        }
        properties
    }

    fn text_without(&self, keys: &[&str]) -> String {
        let mut properties = self.properties.clone();
        for key in keys {
            properties.remove(key);
        }
        self.line(properties).to_string()
    }

    fn line(&self, properties: Properties) -> HostsLine {
        if self.action.is_removal() {
            return HostsLine::Removal(properties);
        }
        HostsLine::Entry {
            name: self.name.clone(),
            target: self.destination.clone().into(),
            properties,
        }
    }
}

impl fmt::Display for Command {
    /// Writes the line of the command, without a line end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.line(self.properties.clone()).fmt(f)
    }
}

impl Action {
    /// The second name, if the command has one.
    pub fn old_name(&self) -> Option<&HostName> {
        match self {
            Self::ChangeName { old_name }
            | Self::AddName { old_name }
            | Self::AddSubdomain { old_name, .. } => Some(old_name),
            _ => None,
        }
    }

    /// The second destination, if the command has one. It signs the command as well.
    pub fn old_destination(&self) -> Option<&Destination> {
        match self {
            Self::ChangeDestination { old_destination }
            | Self::AddDestination { old_destination }
            | Self::AddSubdomain {
                old_destination, ..
            } => Some(old_destination),
            _ => None,
        }
    }

    /// Whether the command removes names. Its line does not begin with a name.
    pub fn is_removal(&self) -> bool {
        matches!(self, Self::Remove | Self::RemoveAll)
    }

    /// The value of the property `action`.
    fn word(&self) -> Option<&'static str> {
        match self {
            Self::Add => None,
            Self::ChangeName { .. } => Some("changename"),
            Self::ChangeDestination { .. } => Some("changedest"),
            Self::AddName { .. } => Some("addname"),
            Self::AddDestination { .. } => Some("adddest"),
            Self::AddSubdomain { .. } => Some("addsubdomain"),
            Self::Update => Some("update"),
            Self::Remove => Some("remove"),
            Self::RemoveAll => Some("removeall"),
        }
    }

    fn read(properties: &Properties) -> Result<Self, CommandError> {
        let old_name = || Ok::<_, CommandError>(required(properties, OLD_NAME)?.parse()?);
        let old_destination = || read_destination(properties, OLD_DESTINATION);
        Ok(match properties.get(ACTION) {
            None => Self::Add,
            Some("changename") => Self::ChangeName {
                old_name: old_name()?,
            },
            Some("changedest") => Self::ChangeDestination {
                old_destination: old_destination()?,
            },
            Some("addname") => Self::AddName {
                old_name: old_name()?,
            },
            Some("adddest") => Self::AddDestination {
                old_destination: old_destination()?,
            },
            Some("addsubdomain") => Self::AddSubdomain {
                old_name: old_name()?,
                old_destination: old_destination()?,
            },
            Some("update") => Self::Update,
            Some("remove") => Self::Remove,
            Some("removeall") => Self::RemoveAll,
            Some(other) => return Err(CommandError::UnknownAction(other.to_owned())),
        })
    }
}

/// The reason why a line is not a valid command, or a command cannot be signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The action is not one of the specification.
    #[error("the action {0:?} is unknown")]
    UnknownAction(String),
    /// A property that the action requires is missing.
    #[error("the property {0} is missing")]
    Missing(&'static str),
    /// A property is malformed.
    #[error("the property {0} is malformed")]
    Malformed(&'static str),
    /// A name is not a host name.
    #[error(transparent)]
    Name(#[from] HostNameError),
    /// A removal begins with a name, another command does not, or the name has no destination.
    #[error("a removal must begin with #!, any other command with name=destination#!")]
    WrongPlace,
    /// A signature is wrong.
    #[error("the signature {what} is not valid: {source}")]
    Signature {
        /// The property, `sig` or `oldsig`.
        what: &'static str,
        /// The reason.
        #[source]
        source: SignatureError,
    },
    /// The keys do not belong to the destinations of the command.
    #[error(
        "the command must be signed with the keys of exactly its destinations, not offline keys"
    )]
    WrongKeys,
    /// A key has a meaning in commands and cannot be set as a further property.
    #[error("the property {0} has a meaning in commands")]
    Reserved(String),
    /// A line cannot contain a property.
    #[error(transparent)]
    Properties(#[from] PropertiesError),
}

fn verify(
    properties: &Properties,
    what: &'static str,
    destination: &Destination,
    message: &str,
) -> Result<(), CommandError> {
    let text = required(properties, what)?;
    let bytes = base64::decode(text).map_err(|_| CommandError::Malformed(what))?;
    let signature = Signature::new(destination.signature_type(), &bytes)
        .map_err(|_| CommandError::Malformed(what))?;
    destination
        .signing_key()
        .verify(message.as_bytes(), &signature)
        .map_err(|source| CommandError::Signature { what, source })
}

fn required<'a>(properties: &'a Properties, key: &'static str) -> Result<&'a str, CommandError> {
    properties.get(key).ok_or(CommandError::Missing(key))
}

fn read_destination(
    properties: &Properties,
    key: &'static str,
) -> Result<Destination, CommandError> {
    Destination::from_base64(required(properties, key)?).map_err(|_| CommandError::Malformed(key))
}

fn seconds(properties: &Properties, key: &'static str) -> Result<Option<u64>, CommandError> {
    let parse = |text: &str| text.parse().map_err(|_| CommandError::Malformed(key));
    properties.get(key).map(parse).transpose()
}

const ACTION: &str = "action";
const NAME: &str = "name";
const DESTINATION: &str = "dest";
const OLD_NAME: &str = "oldname";
const OLD_DESTINATION: &str = "olddest";
const SIGNATURE: &str = "sig";
const OLD_SIGNATURE: &str = "oldsig";
const DATE: &str = "date";
const EXPIRES: &str = "expires";

/// The keys with a meaning in commands.
const RESERVED: [&str; 9] = [
    ACTION,
    NAME,
    DESTINATION,
    OLD_NAME,
    OLD_DESTINATION,
    SIGNATURE,
    OLD_SIGNATURE,
    DATE,
    EXPIRES,
];

#[cfg(test)]
mod tests;
