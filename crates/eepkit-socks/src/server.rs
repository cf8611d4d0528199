//! The proxy's side of a connection.

use zeroize::Zeroize as _;

use crate::{
    Credentials,
    address::{Address, AddressError, Host, canonical, name, to_ipv4, unspecified},
    reader::{Fields, Incomplete},
    reply::Reply,
};

/// The state machine of one connection from a program to the proxy.
///
/// Bytes from the program go to [`Server::receive`]. Its result is an [`Event`] if the caller must
/// act. [`Server::output`] returns bytes for the program, which must be written in any case, also
/// after an error. After [`Server::reply`] has granted a CONNECT request, [`Server::into_rest`]
/// returns the bytes that the program sent early, and the connection carries data.
///
/// ```
/// use eepkit_socks::{Address, Authentication, Event, Host, Reply, Server};
///
/// let mut server = Server::new(Authentication::Optional);
/// assert_eq!(server.receive(b"\x05\x01\x00"), Ok(None));
/// assert_eq!(server.output(), b"\x05\x00");
/// let event = server.receive(b"\x05\x01\x00\x03\x08site.i2p\x00\x50GET").unwrap();
/// let Some(Event::Request(request)) = event else { panic!() };
/// assert_eq!(request.target.to_string(), "site.i2p:80");
/// server.reply(&Reply::Granted(Address::new(Host::Ip([127, 0, 0, 1].into()), 1)));
/// assert_eq!(server.output(), b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x01");
/// assert_eq!(server.into_rest(), b"GET");
/// ```
#[derive(Debug)]
pub struct Server {
    state: State,
    authentication: Authentication,
    input: Vec<u8>,
    output: Vec<u8>,
    credentials: Option<Credentials>,
}

/// Whether programs must send a name and a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Authentication {
    /// Any name and password are accepted, and none is needed. A proxy can use the name to separate
    /// the connections of different users.
    #[default]
    Optional,
    /// A name and a password are needed. SOCKS 4 is refused, because it has no password.
    Required,
}

/// The version of the protocol that the program uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// SOCKS 4, with IPv4 addresses only.
    Socks4,
    /// SOCKS 4a: SOCKS 4 with names.
    Socks4a,
    /// SOCKS 5.
    Socks5,
}

/// What a program requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Command {
    /// A connection to the target.
    Connect,
    /// A relay of datagrams. The target is the address from which the program will send them, and
    /// is unspecified if the program does not know it.
    Associate,
    /// The IP address of the target, a name (Tor's extension RESOLVE).
    Resolve,
    /// The name of the target, an IP address (Tor's extension RESOLVE_PTR).
    ResolvePtr,
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The version of the protocol.
    pub protocol: Protocol,
    /// The command.
    pub command: Command,
    /// The target. IPv6 addresses that contain an IPv4 address are replaced by it.
    pub target: Address,
    /// The name of SOCKS 4, or the name and password of SOCKS 5; `None` if they are empty. They were
    /// verified only with [`Authentication::Required`].
    pub credentials: Option<Credentials>,
}

/// What the caller must do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Verify a name and a password, and call [`Server::authenticate`]. Only with
    /// [`Authentication::Required`].
    Authenticate(Credentials),
    /// Fulfil a request, and call [`Server::reply`].
    Request(Request),
}

/// The reason why the connection cannot continue. [`Server::output`] has an answer for the program
/// where the protocol has one. The connection must be closed after it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// The program uses HTTP. The answer is a page that explains the mistake.
    #[error("the program speaks HTTP on a SOCKS port")]
    Http,
    /// The first byte is none of a version of SOCKS.
    #[error("the first byte is {0:#04x}, not that of SOCKS 4 or 5")]
    Version(u8),
    /// The program offers no method of authentication that can be used.
    #[error("the program offers no usable method of authentication")]
    NoMethod,
    /// The name or the password is wrong.
    #[error("the name or the password is wrong")]
    WrongPassword,
    /// SOCKS 4 has no passwords, and one is required.
    #[error("a password is required, and SOCKS 4 has none")]
    PasswordRequired,
    /// The command is unknown or not supported.
    #[error("command {0:#04x} is not supported")]
    Command(u8),
    /// The type of the address is unknown.
    #[error("address type {0:#04x} is unknown")]
    AddressType(u8),
    /// A field is invalid.
    #[error("the {0} is invalid")]
    Invalid(&'static str),
    /// The program sent a field of a message that the caller has not asked for.
    #[error("the program sent more than {MAX_EARLY} bytes before the answer")]
    TooEarly,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Waits for the first byte.
    Start,
    /// Waits for the rest of a request of SOCKS 4.
    Request4,
    /// Waits for the methods of SOCKS 5.
    Methods,
    /// Waits for a name and a password.
    Credentials,
    /// The caller verifies a name and a password.
    Verifying,
    /// Waits for the request of SOCKS 5.
    Request5,
    /// The caller fulfils a request.
    Fulfilling(Protocol, Command),
    /// The request was granted.
    Granted,
    /// The connection cannot continue.
    Failed(ProtocolError),
    /// The request was not granted.
    Refused,
}

impl Server {
    /// Creates the machine for a new connection.
    pub const fn new(authentication: Authentication) -> Self {
        Self {
            state: State::Start,
            authentication,
            input: Vec::new(),
            output: Vec::new(),
            credentials: None,
        }
    }

    /// Processes bytes from the program. Bytes that follow a request are kept until
    /// [`Server::into_rest`].
    ///
    /// # Errors
    ///
    /// [`ProtocolError`], in each further call as well.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<Option<Event>, ProtocolError> {
        if let State::Failed(error) = self.state {
            return Err(error);
        }
        self.input.extend_from_slice(bytes);
        self.advance()
    }

    /// Continues after [`Event::Authenticate`] with the result of the verification. Without such an
    /// event, the call has no effect.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::WrongPassword`] if the result is false, and errors of what the program sent
    /// in the meantime.
    pub fn authenticate(&mut self, is_right: bool) -> Result<Option<Event>, ProtocolError> {
        if self.state != State::Verifying {
            return Ok(None);
        }
        if !is_right {
            self.output.extend([CREDENTIALS_VERSION, 1]);
            return self.fail(ProtocolError::WrongPassword);
        }
        self.output.extend([CREDENTIALS_VERSION, 0]);
        self.state = State::Request5;
        self.advance()
    }

    /// Answers [`Event::Request`]. Without such an event, the call has no effect.
    ///
    /// If the reply is not [`Reply::Granted`], the connection must be closed after the output was
    /// written.
    pub fn reply(&mut self, reply: &Reply) {
        let State::Fulfilling(protocol, _) = self.state else {
            return;
        };
        self.write_reply(protocol, reply);
        self.state = match reply.is_granted() {
            true => State::Granted,
            false => State::Refused,
        };
    }

    /// Takes the bytes that must be written to the program.
    pub fn output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// Ends the use of the machine. Returns the bytes that the program has sent after its request.
    pub fn into_rest(self) -> Vec<u8> {
        self.input
    }

    fn advance(&mut self) -> Result<Option<Event>, ProtocolError> {
        loop {
            let step = match self.state {
                State::Start => self.start(),
                State::Request4 => self.request_4(),
                State::Methods => self.methods(),
                State::Credentials => self.credentials(),
                State::Request5 => self.request_5(),
                State::Verifying | State::Fulfilling(..) | State::Granted => {
                    if self.input.len() > MAX_EARLY {
                        return self.fail(ProtocolError::TooEarly);
                    }
                    return Ok(None);
                }
                State::Refused => {
                    self.input.clear();
                    return Ok(None);
                }
                State::Failed(error) => return Err(error),
            };
            match step {
                Ok(Step::Continue) => {}
                Ok(Step::Report(event)) => return Ok(Some(event)),
                Err(Stop::Incomplete) => return Ok(None),
                Err(Stop::Failed(error)) => return self.fail(error),
            }
        }
    }

    fn fail<T>(&mut self, error: ProtocolError) -> Result<T, ProtocolError> {
        self.state = State::Failed(error);
        self.input = Vec::new();
        Err(error)
    }

    /// Removes bytes that were processed.
    fn consume(&mut self, count: usize) {
        self.input.drain(..count.min(self.input.len()));
    }

    fn start(&mut self) -> Result<Step, Stop> {
        match self.input.first() {
            None => Err(Stop::Incomplete),
            Some(&SOCKS_4) => {
                self.state = State::Request4;
                Ok(Step::Continue)
            }
            Some(&SOCKS_5) => {
                self.state = State::Methods;
                Ok(Step::Continue)
            }
            Some(byte) if byte.is_ascii_uppercase() => {
                self.output.extend_from_slice(HTTP_ANSWER.as_bytes());
                Err(Stop::Failed(ProtocolError::Http))
            }
            Some(&other) => Err(Stop::Failed(ProtocolError::Version(other))),
        }
    }

    fn request_4(&mut self) -> Result<Step, Stop> {
        let mut fields = Fields::new(&self.input);
        fields.byte()?;
        let command = fields.byte()?;
        let port = fields.port()?;
        let ip: [u8; 4] = fields.array()?;
        let Some(user) = fields.terminated(MAX_FIELD)?.map(<[u8]>::to_vec) else {
            return self.refuse_4(ProtocolError::Invalid("user name"));
        };
        // 0.0.0.x with an x that is not 0 means that a name follows (SOCKS 4A).
        let (protocol, host) = match ip {
            [0, 0, 0, last] if last != 0 => match fields.terminated(MAX_FIELD)?.map(name) {
                Some(Some(name)) => (Protocol::Socks4a, Host::Name(name)),
                _ => return self.refuse_4(ProtocolError::Invalid("host name")),
            },
            ip => (Protocol::Socks4, Host::Ip(ip.into())),
        };
        let length = fields.position();
        if self.authentication == Authentication::Required {
            return self.refuse_4(ProtocolError::PasswordRequired);
        }
        let command = match command {
            CONNECT => Command::Connect,
            RESOLVE => Command::Resolve,
            RESOLVE_PTR => Command::ResolvePtr,
            other => return self.refuse_4(ProtocolError::Command(other)),
        };
        self.consume(length);
        self.credentials = Credentials::new(&user, b"").filter(|named| !named.is_empty());
        self.request(protocol, command, Address::new(host, port))
    }

    fn refuse_4(&mut self, error: ProtocolError) -> Result<Step, Stop> {
        self.write_reply(Protocol::Socks4, &Reply::Failure);
        Err(Stop::Failed(error))
    }

    fn methods(&mut self) -> Result<Step, Stop> {
        let mut fields = Fields::new(&self.input);
        fields.byte()?;
        let offered = fields.counted()?;
        let is_offered = |method| offered.contains(&method);
        // A program that has a name offers both methods. The name separates users, so that it is
        // preferred to no authentication, as in Tor.
        let method = match self.authentication {
            _ if is_offered(NAME_AND_PASSWORD) => NAME_AND_PASSWORD,
            Authentication::Optional if is_offered(NO_AUTHENTICATION) => NO_AUTHENTICATION,
            _ => NO_METHOD,
        };
        let length = fields.position();
        self.output.extend([SOCKS_5, method]);
        self.state = match method {
            NAME_AND_PASSWORD => State::Credentials,
            NO_AUTHENTICATION => State::Request5,
            _ => return Err(Stop::Failed(ProtocolError::NoMethod)),
        };
        self.consume(length);
        Ok(Step::Continue)
    }

    fn credentials(&mut self) -> Result<Step, Stop> {
        let mut fields = Fields::new(&self.input);
        if fields.byte()? != CREDENTIALS_VERSION {
            self.output.extend([CREDENTIALS_VERSION, 1]);
            let error = ProtocolError::Invalid("version of the authentication");
            return Err(Stop::Failed(error));
        }
        let credentials = Credentials::new(fields.counted()?, fields.counted()?);
        let length = fields.position();
        if let Some(copy) = self.input.get_mut(..length) {
            copy.zeroize();
        }
        self.consume(length);
        self.credentials = credentials.clone().filter(|named| !named.is_empty());
        match (self.authentication, credentials) {
            (Authentication::Required, Some(credentials)) => {
                self.state = State::Verifying;
                Ok(Step::Report(Event::Authenticate(credentials)))
            }
            _ => {
                self.output.extend([CREDENTIALS_VERSION, 0]);
                self.state = State::Request5;
                Ok(Step::Continue)
            }
        }
    }

    fn request_5(&mut self) -> Result<Step, Stop> {
        let mut fields = Fields::new(&self.input);
        let [version, command, _reserved] = fields.array()?;
        if version != SOCKS_5 {
            return self.refuse_5(&Reply::Failure, ProtocolError::Version(version));
        }
        let target = match Address::read(&mut fields) {
            Ok(target) => target,
            Err(AddressError::Incomplete) => return Err(Stop::Incomplete),
            Err(AddressError::Type(kind)) => {
                let error = ProtocolError::AddressType(kind);
                return self.refuse_5(&Reply::AddressNotSupported, error);
            }
            Err(AddressError::Name) => {
                return self.refuse_5(&Reply::Failure, ProtocolError::Invalid("host name"));
            }
        };
        let length = fields.position();
        let command = match command {
            CONNECT => Command::Connect,
            ASSOCIATE => Command::Associate,
            RESOLVE => Command::Resolve,
            RESOLVE_PTR => Command::ResolvePtr,
            other => {
                let error = ProtocolError::Command(other);
                return self.refuse_5(&Reply::CommandNotSupported, error);
            }
        };
        self.consume(length);
        self.request(Protocol::Socks5, command, target)
    }

    fn refuse_5(&mut self, reply: &Reply, error: ProtocolError) -> Result<Step, Stop> {
        self.write_reply(Protocol::Socks5, reply);
        Err(Stop::Failed(error))
    }

    fn request(
        &mut self,
        protocol: Protocol,
        command: Command,
        target: Address,
    ) -> Result<Step, Stop> {
        if command == Command::Connect && target.port == 0 {
            self.write_reply(protocol, &Reply::Failure);
            return Err(Stop::Failed(ProtocolError::Invalid("port")));
        }
        self.state = State::Fulfilling(protocol, command);
        Ok(Step::Report(Event::Request(Request {
            protocol,
            command,
            target: Address::new(canonical(target.host), target.port),
            credentials: self.credentials.clone(),
        })))
    }

    fn write_reply(&mut self, protocol: Protocol, reply: &Reply) {
        let address = match reply {
            Reply::Granted(address) => address.clone(),
            _ => unspecified(),
        };
        match protocol {
            Protocol::Socks5 => {
                self.output.extend([SOCKS_5, reply.code(), 0]);
                address.write(&mut self.output);
            }
            Protocol::Socks4 | Protocol::Socks4a => {
                self.output.extend([0, reply.code_4()]);
                self.output.extend(address.port.to_be_bytes());
                self.output.extend(to_ipv4(&address.host).octets());
            }
        }
    }
}

enum Step {
    Continue,
    Report(Event),
}

enum Stop {
    Incomplete,
    Failed(ProtocolError),
}

impl From<Incomplete> for Stop {
    fn from(Incomplete: Incomplete) -> Self {
        Self::Incomplete
    }
}

pub(crate) const SOCKS_4: u8 = 4;
pub(crate) const SOCKS_5: u8 = 5;

pub(crate) const CONNECT: u8 = 1;
const ASSOCIATE: u8 = 3;
const RESOLVE: u8 = 0xf0;
const RESOLVE_PTR: u8 = 0xf1;

pub(crate) const NO_AUTHENTICATION: u8 = 0;
pub(crate) const NAME_AND_PASSWORD: u8 = 2;
const NO_METHOD: u8 = 0xff;
pub(crate) const CREDENTIALS_VERSION: u8 = 1;

/// The longest name in SOCKS 4. The memo has no limit; 255 bytes is that of SOCKS 5.
const MAX_FIELD: usize = 255;

/// The most bytes that are kept while the caller works. Chosen because a program that does not wait
/// sends its first request, with headers, at most.
const MAX_EARLY: usize = 64 * 1024;

/// The answer to a program that takes the port for an HTTP proxy. Tor answers with the same status.
const HTTP_ANSWER: &str = "HTTP/1.0 501 This is a SOCKS proxy, not an HTTP proxy\r\n\
    Content-Type: text/html; charset=utf-8\r\n\
    Content-Security-Policy: default-src 'none'\r\n\
    Connection: close\r\n\r\n\
    <!DOCTYPE html><title>This is a SOCKS proxy</title>\
    <h1>This is a SOCKS proxy, not an HTTP proxy</h1>\
    <p>The program is configured to use this port as an HTTP proxy. Configure it as a SOCKS proxy \
    (version 5, with names resolved by the proxy), or use the port of the HTTP proxy.</p>\n";

#[cfg(test)]
mod tests;
