//! The parameters of SESSION CREATE and SESSION ADD.

use eepkit_wire::{PrivateKeys, SignatureType};

use crate::{
    key,
    message::{ParamError, Params},
    result::{Failure, ResultCode},
    style::{DEFAULT_RAW_PROTOCOL, RESERVED_PROTOCOLS, Style},
    version::Version,
};

/// The parameters of a requested session or subsession, without its keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionParams {
    /// The style.
    pub style: Style,
    /// The ID, unique on the bridge.
    pub id: String,
    /// The address to which received datagrams are forwarded. `None` delivers them on the control
    /// socket.
    pub forward: Option<ForwardTo>,
    /// The source port of what does not set one; 0 by default.
    pub from_port: u16,
    /// The destination port of what does not set one; 0 by default.
    pub to_port: u16,
    /// The I2CP protocol number of what the session sends: that of its style, or the one that a raw
    /// session selects.
    pub protocol: u8,
    /// The port on which the session receives; 0 receives everything that no more specific
    /// subsession receives.
    pub listen_port: u16,
    /// The protocol number that the session receives. 0 is allowed for raw sessions only, and
    /// receives every protocol except streaming.
    pub listen_protocol: u8,
    /// Whether forwarded raw datagrams begin with a line of ports and protocol.
    pub header: bool,
    /// The UDP bind address of the bridge that the client expects, if it sent one.
    pub udp_host: Option<String>,
    /// The UDP port of the bridge that the client expects, if it sent one.
    pub udp_port: Option<u16>,
    /// I2CP and streaming options in their order: all parameters that are not the bridge's own.
    pub options: Vec<(String, String)>,
}

/// A UDP address to which datagrams are forwarded.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ForwardTo {
    /// The host; `None` is the host of the client.
    pub host: Option<String>,
    /// The port. 0 means that the client only sends: received datagrams are dropped.
    pub port: u16,
}

/// The destination that SESSION CREATE requests.
pub enum NewDestination {
    /// A new destination with keys of this type, or of the bridge's default type.
    Transient(Option<SignatureType>),
    /// A destination whose keys the client has sent.
    Keys {
        /// The keys.
        keys: Box<PrivateKeys>,
        /// The text of the keys as received. Clients compare it with the answer byte by byte.
        text: eepkit_wire::Zeroizing<String>,
    },
}

impl std::fmt::Debug for NewDestination {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Transient(kind) => f.debug_tuple("Transient").field(kind).finish(),
            Self::Keys { keys, .. } => f.debug_tuple("Keys").field(keys.destination()).finish(),
        }
    }
}

impl SessionParams {
    /// Reads the parameters of SESSION CREATE.
    ///
    /// # Errors
    ///
    /// [`Failure`], which is the answer to the client.
    pub fn create(params: &Params, version: Version) -> Result<(Self, NewDestination), Failure> {
        let style = style(params)?;
        let id = id(params, version)?;
        for key in ["LISTEN_PORT", "LISTEN_PROTOCOL"] {
            forbid(params, key, "SESSION CREATE")?;
        }
        if style == Style::Primary {
            for key in ["PORT", "HOST", "FROM_PORT", "TO_PORT", "PROTOCOL", "HEADER"] {
                forbid(params, key, "STYLE=PRIMARY")?;
            }
        }
        let destination = destination(params, style)?;
        let mut this = Self::common(params, style, id)?;
        // A session that shares its destination with no other receives on all ports.
        this.listen_port = 0;
        if style == Style::Raw {
            this.listen_protocol = 0;
        }
        Ok((this, destination))
    }

    /// Reads the parameters of SESSION ADD.
    ///
    /// # Errors
    ///
    /// [`Failure`], which is the answer to the client.
    pub fn add(params: &Params, version: Version) -> Result<Self, Failure> {
        let style = style(params)?;
        let id = id(params, version)?;
        if style == Style::Primary {
            return Err(Failure::error("a subsession cannot be PRIMARY"));
        }
        forbid(params, "DESTINATION", "SESSION ADD")?;
        if style.is_datagrams() && params.value("PORT").is_none() {
            return Err(invalid(ParamError::Missing { key: "PORT" }));
        }
        let mut this = Self::common(params, style, id)?;
        this.listen_port = params
            .port("LISTEN_PORT")
            .map_err(invalid)?
            .unwrap_or(this.from_port);
        // go-sam-go sends LISTEN_PORT without FROM_PORT.
        let listens_elsewhere =
            params.value("FROM_PORT").is_some() && this.listen_port != this.from_port;
        if style == Style::Stream && this.listen_port != 0 && listens_elsewhere {
            return Err(invalid(ParamError::Invalid {
                key: "LISTEN_PORT",
                allowed: "0 or FROM_PORT where STYLE=STREAM",
            }));
        }
        if style == Style::Raw {
            let allowed = "a number from 0 to 255, but not 6";
            let key = "LISTEN_PROTOCOL";
            this.listen_protocol = params
                .number(key, allowed)
                .map_err(invalid)?
                .unwrap_or(this.protocol);
            if this.listen_protocol == STREAMING {
                return Err(invalid(ParamError::Invalid { key, allowed }));
            }
        } else {
            forbid(params, "LISTEN_PROTOCOL", NOT_RAW)?;
        }
        Ok(this)
    }

    /// The parameters of a session of SAM 1.0 or 2.0. `id` is not known to clients.
    pub(crate) fn older(style: Style, id: String, params: &Params) -> Self {
        Self {
            style,
            id,
            forward: None,
            from_port: 0,
            to_port: 0,
            protocol: style.protocol().unwrap_or(DEFAULT_RAW_PROTOCOL),
            listen_port: 0,
            listen_protocol: style.protocol().unwrap_or(0),
            header: false,
            udp_host: None,
            udp_port: None,
            options: options(params),
        }
    }

    /// Reads the parameters that CREATE and ADD have in common. The result receives on all ports.
    fn common(params: &Params, style: Style, id: String) -> Result<Self, Failure> {
        if style == Style::Stream {
            for key in ["PORT", "HOST"] {
                forbid(params, key, "STYLE=STREAM")?;
            }
        }
        if style != Style::Raw {
            for key in ["PROTOCOL", "HEADER"] {
                forbid(params, key, NOT_RAW)?;
            }
        }
        let protocol = match style.protocol() {
            Some(protocol) => protocol,
            None => raw_protocol(params)?.unwrap_or(DEFAULT_RAW_PROTOCOL),
        };
        // diva sends PORT=0 for sessions that only send.
        let port = params.port("PORT").map_err(invalid)?;
        Ok(Self {
            style,
            id,
            forward: port.map(|port| ForwardTo {
                host: params.value("HOST").map(str::to_owned),
                port,
            }),
            from_port: params.port("FROM_PORT").map_err(invalid)?.unwrap_or(0),
            to_port: params.port("TO_PORT").map_err(invalid)?.unwrap_or(0),
            protocol,
            listen_port: 0,
            listen_protocol: protocol,
            header: params.flag("HEADER", false).map_err(invalid)?,
            udp_host: params.value("sam.udp.host").map(str::to_owned),
            udp_port: params.port("sam.udp.port").map_err(invalid)?,
            options: options(params),
        })
    }
}

/// Reads PROTOCOL of raw datagrams.
///
/// # Errors
///
/// [`Failure`] if it is not a number that raw datagrams can use.
pub(crate) fn raw_protocol(params: &Params) -> Result<Option<u8>, Failure> {
    let key = "PROTOCOL";
    let allowed = "a number from 0 to 255, but not 6, 17, 19 or 20";
    let protocol = params.number(key, allowed).map_err(invalid)?;
    if protocol.is_some_and(|protocol| RESERVED_PROTOCOLS.contains(&protocol)) {
        return Err(invalid(ParamError::Invalid { key, allowed }));
    }
    Ok(protocol)
}

/// Converts a parameter error to an answer.
pub(crate) fn invalid(error: ParamError) -> Failure {
    Failure::error(error.to_string())
}

fn style(params: &Params) -> Result<Style, Failure> {
    let text = params.required("STYLE").map_err(invalid)?;
    text.parse()
        .map_err(|error: crate::style::UnknownStyle| Failure::error(error.to_string()))
}

fn id(params: &Params, version: Version) -> Result<String, Failure> {
    let id = params.required("ID").map_err(invalid)?;
    key::check_id(id, version).map_err(|error| Failure::error(error.to_string()))?;
    Ok(id.to_owned())
}

fn destination(params: &Params, style: Style) -> Result<NewDestination, Failure> {
    let text = params.required("DESTINATION").map_err(invalid)?;
    if text == "TRANSIENT" {
        return signature_type(params).map(NewDestination::Transient);
    }
    // SIGNATURE_TYPE is ignored if the client sends keys, because some clients always send it.
    let keys = key::parse_private_keys(text)
        .map_err(|error| Failure::new(ResultCode::InvalidKey, error.to_string()))?;
    if keys.offline().is_some() && !style.takes_offline_keys() {
        return Err(Failure::error(format!(
            "offline keys cannot be used with STYLE={style}, use DATAGRAM2"
        )));
    }
    Ok(NewDestination::Keys {
        keys: Box::new(keys),
        text: text.to_owned().into(),
    })
}

/// Reads SIGNATURE_TYPE, if present, as a type for which keys can be generated.
///
/// # Errors
///
/// [`Failure`]. Its text begins with the name of the parameter. Clients look for the name to decide
/// whether to try another type.
pub fn signature_type(params: &Params) -> Result<Option<SignatureType>, Failure> {
    let Some(text) = params.value("SIGNATURE_TYPE") else {
        return Ok(None);
    };
    match text.parse() {
        Ok(kind @ SignatureType(0..=3 | 7 | 11)) => Ok(Some(kind)),
        Ok(kind) => Err(Failure::error(format!(
            "SIGNATURE_TYPE {kind} is not supported for destinations"
        ))),
        Err(_) => Err(Failure::error(
            "SIGNATURE_TYPE is unknown, use 7 or EdDSA_SHA512_Ed25519",
        )),
    }
}

fn forbid(params: &Params, key: &'static str, what: &'static str) -> Result<(), Failure> {
    match params.value(key) {
        Some(_) => Err(invalid(ParamError::NotFor { key, what })),
        None => Ok(()),
    }
}

/// Returns the parameters that are not the bridge's own. A bare key has the value true.
fn options(params: &Params) -> Vec<(String, String)> {
    params
        .iter()
        .filter(|(key, _)| !OWN_KEYS.contains(key))
        .map(|(key, value)| (key.to_owned(), value.unwrap_or("true").to_owned()))
        .collect()
}

/// Parameters for the bridge itself. They are not sent to the router.
pub(crate) const OWN_KEYS: [&str; 17] = [
    "STYLE",
    "ID",
    "DESTINATION",
    "SIGNATURE_TYPE",
    "CRYPTO_TYPE",
    "DIRECTION",
    "PORT",
    "HOST",
    "FROM_PORT",
    "TO_PORT",
    "PROTOCOL",
    "LISTEN_PORT",
    "LISTEN_PROTOCOL",
    "HEADER",
    "SILENT",
    "sam.udp.host",
    "sam.udp.port",
];

const NOT_RAW: &str = "styles other than RAW";

/// The I2CP protocol number of streaming.
const STREAMING: u8 = 6;

#[cfg(test)]
mod tests;
