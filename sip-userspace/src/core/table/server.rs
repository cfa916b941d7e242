//! A server of the table: where requests go, what a 302 names, what state it is in.

use std::{fmt, net::SocketAddr, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::core::Transport;

/// Longest host of a Contact: two of them fit into a kernel Contact text.
pub const CONTACT_HOST_MAX: usize = 100;
/// Longest name of a server.
pub const NAME_MAX: usize = 63;
/// Weight of a server that was added without one.
pub const WEIGHT_DEFAULT: u32 = 100;
/// Largest weight.
pub const WEIGHT_MAX: u32 = 100_000;

/// What a server may be asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Takes its share of the slots and all that is assigned to it.
    Up,
    /// Serves what it has until that is moved off, and takes nothing new.
    Draining,
    /// Takes nothing: it does not answer.
    Down,
    /// Takes nothing: an operator said so.
    Disabled,
    /// Takes nothing by itself but what is assigned to it, and all if no server is up.
    Standby,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 5] =
        [Self::Up, Self::Draining, Self::Down, Self::Disabled, Self::Standby];

    /// Whether requests may be sent to a server in this state.
    pub const fn serves(self) -> bool {
        matches!(self, Self::Up | Self::Draining | Self::Standby)
    }

    /// The word for this state in commands and in the store.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Draining => "draining",
            Self::Down => "down",
            Self::Disabled => "disabled",
            Self::Standby => "standby",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.label())
    }
}

impl FromStr for State {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|state| state.label() == text).ok_or_else(|| {
            let all = Self::ALL.map(Self::label).join(", ");
            format!("`{text}` is no state of a server: use one of {all}")
        })
    }
}

/// What answers at a server's address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A Homeward host: it can be asked about its clients, and tells of its load.
    #[default]
    Homeward,
    /// Somebody else's SIP server: all that is known of it is what it answers.
    Foreign,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::Homeward, Self::Foreign];

    /// The word for this kind in commands and in the store.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Homeward => "homeward",
            Self::Foreign => "foreign",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.label())
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|kind| kind.label() == text).ok_or_else(|| {
            let all = Self::ALL.map(Self::label).join(", ");
            format!("`{text}` is no kind of server: use one of {all}")
        })
    }
}

/// How a server comes by its share of the slots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fill {
    /// At once, by its weight; the state of their clients comes behind.
    #[default]
    Weight,
    /// By moves, which bring the state along: by weight it takes only what servers leave that are out
    /// of use.
    Moves,
}

impl Fill {
    /// Every way.
    pub const ALL: [Self; 2] = [Self::Weight, Self::Moves];

    /// The word for this way in commands and in the store.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Weight => "weight",
            Self::Moves => "moves",
        }
    }

    fn is_weight(&self) -> bool {
        *self == Self::Weight
    }
}

impl FromStr for Fill {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|fill| fill.label() == text).ok_or_else(|| {
            let all = Self::ALL.map(Self::label).join(", ");
            format!("`{text}` is no way to be filled: use one of {all}")
        })
    }
}

/// Host and port that a 302's Contact names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ContactHost {
    /// Lower-case name or address; an IPv6 address stands in brackets.
    pub host: String,
    /// UDP port.
    pub port: u16,
}

impl From<SocketAddr> for ContactHost {
    fn from(address: SocketAddr) -> Self {
        let host = match address {
            SocketAddr::V4(v4) => v4.ip().to_string(),
            SocketAddr::V6(v6) => format!("[{}]", v6.ip()),
        };
        Self { host, port: address.port() }
    }
}

impl fmt::Display for ContactHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// A server that can be a home.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Server {
    /// Its name, by which operators and hosts know it.
    pub name: String,
    /// Where requests are forwarded to over UDP.
    #[schema(value_type = String, example = "192.0.2.1:5060")]
    pub address: SocketAddr,
    /// What a 302 names.
    pub contact: ContactHost,
    /// Its share of the slots is in proportion to its weight.
    pub weight: u32,
    /// How it comes by that share.
    #[serde(default, skip_serializing_if = "Fill::is_weight")]
    pub fill: Fill,
    /// What it may be asked to do.
    pub state: State,
    /// The server that a 302 names beside it.
    pub standby: Option<u16>,
    /// Clients that it can serve; 0 if nobody said.
    #[serde(default)]
    pub capacity: u64,
    /// What answers there.
    #[serde(default)]
    pub kind: Kind,
    /// Where it takes requests over TCP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "192.0.2.1:5060")]
    pub tcp: Option<SocketAddr>,
    /// Where it takes requests over TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "192.0.2.1:5060")]
    pub tls: Option<SocketAddr>,
    /// Where other Homeward hosts ask it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "192.0.2.1:5062")]
    pub peer: Option<SocketAddr>,
    /// Its state before it was found not to answer, which it gets back when it does again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub was: Option<State>,
}

impl Server {
    /// The port that a redirect names to a client that uses this transport; `None` if the server
    /// does not take it.
    pub fn port_for(&self, transport: Transport) -> Option<u16> {
        match transport {
            Transport::Udp => Some(self.contact.port),
            Transport::Tcp | Transport::Tls => Some(self.address_for(transport)?.port()),
        }
    }

    /// Where it takes requests by this transport.
    pub const fn address_for(&self, transport: Transport) -> Option<SocketAddr> {
        match transport {
            Transport::Udp => Some(self.address),
            Transport::Tcp => self.tcp,
            Transport::Tls => self.tls,
        }
    }

    /// A Homeward host that is up, with all else as it is when nobody says.
    pub fn new(name: impl Into<String>, address: SocketAddr) -> Self {
        Self {
            name: name.into(),
            address,
            contact: address.into(),
            weight: WEIGHT_DEFAULT,
            fill: Fill::default(),
            state: State::Up,
            standby: None,
            capacity: 0,
            kind: Kind::default(),
            tcp: None,
            tls: None,
            peer: None,
            was: None,
        }
    }
}
