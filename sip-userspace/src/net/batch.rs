//! Datagrams on their way from a receiving thread to the core's owner.

use std::{net::SocketAddr, ops::Range};

/// One datagram of a batch.
#[derive(Clone, Debug)]
struct Entry {
    source: SocketAddr,
    local: SocketAddr,
    bytes: Range<usize>,
}

/// Datagrams that were received with one system call, packed.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    entries: Vec<Entry>,
    bytes: Vec<u8>,
}

impl Batch {
    /// Room for so many datagrams of so many bytes together.
    pub fn with_room(datagrams: usize, bytes: usize) -> Self {
        Self { entries: Vec::with_capacity(datagrams), bytes: Vec::with_capacity(bytes) }
    }

    /// Adds a datagram.
    pub fn push(&mut self, source: SocketAddr, local: SocketAddr, payload: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(payload);
        self.entries.push(Entry { source, local, bytes: start..self.bytes.len() });
    }

    /// Number of datagrams.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Source, served address and bytes of each.
    pub fn iter(&self) -> impl Iterator<Item = (SocketAddr, SocketAddr, &[u8])> {
        self.entries.iter().map(|entry| {
            let bytes = self.bytes.get(entry.bytes.clone()).unwrap_or_default();
            (entry.source, entry.local, bytes)
        })
    }
}
