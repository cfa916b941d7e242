//! What goes between the connections and the core's owner.

use rustls::pki_types::{CertificateDer, ServerName};
use tokio::sync::mpsc;

use super::budget::Share;
use crate::core::Flow;

/// What happens on streams.
#[derive(Debug)]
pub enum Event {
    /// A peer has opened a connection.
    Opened(Handle),
    /// A message has come.
    Message(Received),
    /// A connection takes what there is for it by now, and then ends: see [`super::Streams::close`].
    Ending {
        /// Which one.
        id: u64,
    },
    /// A connection is over, or could not be opened.
    Closed {
        /// Which one.
        id: u64,
        /// The ways that led over it: its own, and those that were asked for without a connection.
        ways: Vec<Flow>,
        /// Messages that did not leave.
        undelivered: usize,
    },
}

/// A message that has come.
#[derive(Debug)]
pub struct Received {
    /// The way it came.
    pub flow: Flow,
    /// Its bytes.
    pub payload: Vec<u8>,
    /// Its part of the budget, while it waits.
    pub(super) _share: Option<Share>,
}

/// The owner's end of a connection.
#[derive(Debug)]
pub struct Handle {
    pub(super) flow: Flow,
    pub(super) queue: mpsc::Sender<Box<Outgoing>>,
    pub(super) trust: Trust,
}

/// Who the peer of a connection has proved to be.
#[derive(Debug, Default)]
pub(super) struct Trust {
    /// The name that it was checked for when it was opened.
    pub(super) asked: Option<ServerName<'static>>,
    /// Its certificate, if it showed a good one.
    pub(super) certificate: Option<CertificateDer<'static>>,
}

/// A message on its way out.
#[derive(Debug)]
pub(super) struct Outgoing {
    /// The way as the core named it.
    pub(super) asked: Flow,
    pub(super) payload: Vec<u8>,
    pub(super) share: Share,
}
