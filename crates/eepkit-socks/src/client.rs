//! The side of a program that uses another proxy.

use crate::{
    Credentials,
    address::{Address, AddressError},
    reader::{Fields, Incomplete},
    reply::Reply,
    server::{CONNECT, CREDENTIALS_VERSION, NAME_AND_PASSWORD, NO_AUTHENTICATION, SOCKS_5},
};

/// The state machine of a connection through another SOCKS 5 proxy.
///
/// The proxy resolves the name of the target. [`Client::output`] returns bytes for the proxy. Bytes
/// from the proxy go to [`Client::receive`], until its result is the address of the other end.
#[derive(Debug)]
pub struct Client {
    state: State,
    target: Address,
    credentials: Option<Credentials>,
    input: Vec<u8>,
    output: Vec<u8>,
}

/// The reason why the proxy did not open the connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The other program is not a SOCKS 5 proxy.
    #[error("the answer is not that of a SOCKS 5 proxy")]
    NotSocks,
    /// The proxy accepts none of the methods of authentication.
    #[error("the proxy requires a name and a password, or another method of authentication")]
    NoMethod,
    /// The proxy rejected the name and the password.
    #[error("the proxy rejected the name and the password")]
    WrongPassword,
    /// The proxy did not grant the request.
    #[error("the proxy answered {0:?}")]
    Refused(Reply),
    /// The code of the answer is unknown.
    #[error("the proxy answered with the unknown code {0:#04x}")]
    UnknownCode(u8),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Method,
    Password,
    Reply,
    Done(Result<Address, ClientError>),
}

impl Client {
    /// Creates the machine for a connection to `target`.
    pub fn new(target: Address, credentials: Option<Credentials>) -> Self {
        let mut output = vec![SOCKS_5];
        match credentials {
            Some(_) => output.extend([2, NO_AUTHENTICATION, NAME_AND_PASSWORD]),
            None => output.extend([1, NO_AUTHENTICATION]),
        }
        Self {
            state: State::Method,
            target,
            credentials,
            input: Vec::new(),
            output,
        }
    }

    /// Processes bytes from the proxy. Returns the local end of the connection once it is open.
    ///
    /// # Errors
    ///
    /// [`ClientError`], in each further call as well.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<Option<Address>, ClientError> {
        self.input.extend_from_slice(bytes);
        loop {
            let step = match &self.state {
                State::Done(result) => return result.clone().map(Some),
                State::Method => self.method(),
                State::Password => self.password(),
                State::Reply => self.reply(),
            };
            match step {
                Ok(()) => {}
                Err(Stop::Incomplete) => return Ok(None),
                Err(Stop::Failed(error)) => {
                    self.state = State::Done(Err(error));
                    self.input.clear();
                }
            }
        }
    }

    /// Takes the bytes that must be written to the proxy.
    pub fn output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// Ends the use of the machine. Returns the first data of the connection, which arrived
    /// together with the answer.
    pub fn into_rest(self) -> Vec<u8> {
        self.input
    }

    fn method(&mut self) -> Result<(), Stop> {
        let mut fields = Fields::new(&self.input);
        let version = fields.byte()?;
        if version != SOCKS_5 {
            return Err(Stop::Failed(ClientError::NotSocks));
        }
        let method = fields.byte()?;
        self.input.drain(..2);
        match (method, &self.credentials) {
            (NO_AUTHENTICATION, _) => self.request(),
            (NAME_AND_PASSWORD, Some(credentials)) => {
                let (user, password) = (credentials.user(), credentials.password());
                let length = |field: &[u8]| u8::try_from(field.len()).unwrap_or(u8::MAX);
                self.output.extend([CREDENTIALS_VERSION, length(user)]);
                self.output.extend_from_slice(user);
                self.output.push(length(password));
                self.output.extend_from_slice(password);
                self.state = State::Password;
            }
            _ => return Err(Stop::Failed(ClientError::NoMethod)),
        }
        Ok(())
    }

    fn password(&mut self) -> Result<(), Stop> {
        let [_, status] = Fields::new(&self.input).array()?;
        self.input.drain(..2);
        if status != 0 {
            return Err(Stop::Failed(ClientError::WrongPassword));
        }
        self.request();
        Ok(())
    }

    fn request(&mut self) {
        self.output.extend([SOCKS_5, CONNECT, 0]);
        self.target.write(&mut self.output);
        self.state = State::Reply;
    }

    fn reply(&mut self) -> Result<(), Stop> {
        let mut fields = Fields::new(&self.input);
        let [version, code, _] = fields.array()?;
        if version != SOCKS_5 {
            return Err(Stop::Failed(ClientError::NotSocks));
        }
        if code != 0 {
            let error = Reply::of_code(code).map(ClientError::Refused);
            return Err(Stop::Failed(
                error.unwrap_or(ClientError::UnknownCode(code)),
            ));
        }
        let address = Address::read(&mut fields).map_err(|error| match error {
            AddressError::Incomplete => Stop::Incomplete,
            AddressError::Type(_) | AddressError::Name => Stop::Failed(ClientError::NotSocks),
        })?;
        let length = fields.position();
        self.input.drain(..length);
        self.state = State::Done(Ok(address));
        Ok(())
    }
}

enum Stop {
    Incomplete,
    Failed(ClientError),
}

impl From<Incomplete> for Stop {
    fn from(Incomplete: Incomplete) -> Self {
        Self::Incomplete
    }
}

#[cfg(test)]
mod tests;
