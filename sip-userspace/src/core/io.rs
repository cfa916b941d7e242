//! What goes into the core and what comes out of it: times and messages, messages and lessons.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use sip_common::abi::ClientKey;

use super::{handover::Batch, names::Question, table::Proposal};
use crate::sip::via::{PORT_DEFAULT, PORT_TLS};

/// The time of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// The monotonic clock.
    pub mono: Duration,
    /// Seconds since 1970.
    pub unix_s: u64,
}

impl Now {
    /// Seconds of the monotonic clock.
    pub fn mono_s(&self) -> u32 {
        u32::try_from(self.mono.as_secs()).unwrap_or(u32::MAX)
    }
}

/// How a message travels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// Datagrams.
    #[default]
    Udp,
    /// A stream.
    Tcp,
    /// A stream inside TLS.
    Tls,
}

impl Transport {
    /// The `transport` parameter of URIs that name it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        }
    }

    /// The port where none is named (RFC 3261 section 19.1.2).
    pub const fn port(self) -> u16 {
        match self {
            Self::Udp | Self::Tcp => PORT_DEFAULT,
            Self::Tls => PORT_TLS,
        }
    }
}

/// A way between this host and a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flow {
    /// How.
    pub transport: Transport,
    /// The served address.
    pub local: SocketAddr,
    /// The peer's address.
    pub peer: SocketAddr,
    /// The connection that a stream's message came on; 0 for datagrams, and for a message that may
    /// open one.
    pub connection: u64,
}

impl Flow {
    /// Datagrams between these two.
    pub const fn udp(local: SocketAddr, peer: SocketAddr) -> Self {
        Self { transport: Transport::Udp, local, peer, connection: 0 }
    }

    /// The same way for datagrams to another address; a stream's answer stays on its connection.
    pub const fn towards(self, peer: SocketAddr) -> Self {
        match self.transport {
            Transport::Udp => Self { peer, ..self },
            Transport::Tcp | Transport::Tls => self,
        }
    }
}

/// A received message.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// The way it came.
    pub flow: Flow,
    /// Its bytes.
    pub payload: &'a [u8],
}

impl<'a> Packet<'a> {
    /// A datagram from `source` to the served address `local`.
    pub const fn udp(source: SocketAddr, local: SocketAddr, payload: &'a [u8]) -> Self {
        Self { flow: Flow::udp(local, source), payload }
    }
}

/// What the caller is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send a message.
    Send {
        /// The way it goes.
        flow: Flow,
        /// Its bytes.
        payload: Vec<u8>,
    },
    /// Keep this before the answers that wait for it are sent: [`Core::handle_stored`] sends them.
    ///
    /// [`Core::handle_stored`]: super::Core::handle_stored
    Store {
        /// Its number; they rise by one.
        ticket: u64,
        /// A client's bindings, as [`super::record`] writes them.
        record: Vec<u8>,
    },
    /// A request of this source failed in a way that good ones do not: it counts as more than one
    /// against the limit of its source (threat T12).
    Charge {
        /// The source.
        source: IpAddr,
    },
    /// Ask the DNS this, and tell [`Core::handle_resolved`].
    ///
    /// [`Core::handle_resolved`]: super::Core::handle_resolved
    Resolve {
        /// What.
        question: Question,
    },
    /// A server was found to answer, or not to answer, by a transport: to be told to operators.
    Health {
        /// Its name.
        server: String,
        /// By which transport.
        transport: Transport,
        /// Whether it answers.
        up: bool,
    },
    /// Write what the table's lessons say about a client by now into the kernel's map (I7).
    Learn {
        /// The client.
        key: ClientKey,
    },
    /// A client does not follow redirects, and has proved who it is: the other hosts may know (I7).
    /// May be put out again until the table says so.
    Share {
        /// Its AoR.
        aor: String,
    },
    /// Give a server the state of its clients: [`Core::handle_taken`] takes what becomes of it.
    ///
    /// [`Core::handle_taken`]: super::Core::handle_taken
    Give {
        /// The server.
        server: u16,
        /// The state.
        batch: Batch,
    },
    /// Make these changes of the table, on this host's behalf: [`Core::handle_proposed`] takes what
    /// becomes of it, after [`Core::table_changed`] if they were made.
    ///
    /// [`Core::handle_proposed`]: super::Core::handle_proposed
    /// [`Core::table_changed`]: super::Core::table_changed
    Propose {
        /// The changes, and upon which table.
        proposal: Proposal,
    },
    /// Ask a home when this client last registered there by itself: [`Core::handle_seen`] takes
    /// the answer.
    ///
    /// [`Core::handle_seen`]: super::Core::handle_seen
    Ask {
        /// The client.
        key: ClientKey,
        /// The home.
        server: u16,
    },
}
