//! What all connections have in common: limits, places, counts, certificates.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::watch;

use super::{Exempt, budget::Budget, counts::Counts, places::Places};
use crate::{
    config::{Tcp, Tls},
    net::{clock, framer::Limits, tls::Contexts},
};

/// Of connections that fail one is told in so many seconds; all are counted.
const WARN_S: u64 = 5;

/// Of the places of all connections, one in so many is kept for those that this host opens, so
/// that a flood does not cut it off from the homes.
const KEPT: usize = 8;
/// One source has one in so many of the handshakes that may go on: who opens connections and says
/// nothing keeps nobody else out.
const HANDSHAKES_PART: usize = 8;

/// What all connections have in common.
pub(super) struct Shared {
    pub(super) limits: Limits,
    pub(super) queue_max: usize,
    pub(super) connect_time: Duration,
    pub(super) message_time: Duration,
    pub(super) handshake_time: Duration,
    pub(super) idle: Duration,
    pub(super) places: Arc<Places>,
    /// Connections from peers whose TLS handshake is going on.
    pub(super) handshaking: Arc<Places>,
    pub(super) budget: Arc<Budget>,
    pub(super) counts: Counts,
    pub(super) tls: watch::Receiver<Arc<Contexts>>,
    pub(super) last_id: AtomicU64,
    pub(super) warned_s: AtomicU64,
}

impl Shared {
    /// As the configuration says.
    pub(super) fn new(
        tcp: &Tcp,
        tls: &Tls,
        exempt: Exempt,
        contexts: watch::Receiver<Arc<Contexts>>,
    ) -> Self {
        let all = tls.handshakes_max;
        Self {
            limits: Limits { head_max: tcp.head_max, message_max: tcp.message_max },
            queue_max: tcp.queue_max,
            connect_time: tcp.connect_time,
            message_time: tcp.message_time,
            handshake_time: tls.handshake_time,
            idle: tcp.idle,
            handshaking: Places::new(all, 0, (all / HANDSHAKES_PART).max(1), Arc::clone(&exempt)),
            places: Places::new(
                tcp.connections_max,
                tcp.connections_max / KEPT,
                tcp.per_source_max,
                exempt,
            ),
            budget: Budget::new(tcp.buffered_max),
            counts: Counts::default(),
            tls: contexts,
            last_id: AtomicU64::new(0),
            warned_s: AtomicU64::new(0),
        }
    }

    /// An id that no connection of this process has had; never 0.
    pub(super) fn next_id(&self) -> u64 {
        self.last_id.fetch_add(1, Ordering::Relaxed).wrapping_add(1)
    }

    /// Whether it is time for another warning.
    pub(super) fn may_warn(&self) -> bool {
        let now_s = clock::now().mono.as_secs();
        let due = |last_s: u64| (last_s == 0 || now_s >= last_s + WARN_S).then_some(now_s);
        self.warned_s.fetch_update(Ordering::Relaxed, Ordering::Relaxed, due).is_ok()
    }
}
