//! What goes into the core and what comes out of it: times and datagrams, datagrams and lessons.

use std::{net::SocketAddr, time::Duration};

use sip_common::abi::ClientKey;

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

/// A received datagram.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// Where it came from.
    pub source: SocketAddr,
    /// The served address that it came to.
    pub local: SocketAddr,
    /// Its bytes.
    pub payload: &'a [u8],
}

/// What the caller is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send a datagram.
    Send {
        /// The served address to send from.
        local: SocketAddr,
        /// Where to.
        to: SocketAddr,
        /// Its bytes.
        payload: Vec<u8>,
    },
    /// Write what was learned about a client into the kernel's map (I7).
    Learn {
        /// The client.
        key: ClientKey,
        /// It does not follow redirects; false if that was forgotten.
        no_redirect: bool,
    },
}
