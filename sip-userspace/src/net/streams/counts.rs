//! What has become of streams, counted. Each count's name is its name in `status`.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Map, Value};

macro_rules! counts {
    ($($section:ident { $($name:ident: $text:literal,)* })*) => {
        /// Counts since the start; those of `now` go down too.
        #[derive(Debug, Default)]
        pub(super) struct Counts { $($(#[doc = $text] pub(super) $name: Count,)*)* }

        impl Counts {
            /// All of them, by section.
            pub(super) fn json(&self) -> Map<String, Value> {
                let mut all = Map::new();
                $(
                    let mut section = Map::new();
                    $(section.insert(stringify!($name).to_owned(), self.$name.get().into());)*
                    all.insert(stringify!($section).to_owned(), section.into());
                )*
                all
            }
        }
    };
}

counts! {
    now {
        tcp: "TCP connections",
        tls: "connections inside TLS",
        handshakes: "TLS handshakes that are going on",
    }
    opened {
        tcp_from_peers: "TCP connections accepted",
        tls_from_peers: "connections accepted whose TLS handshake was done",
        tcp_to_peers: "TCP connections opened",
        tls_to_peers: "connections opened inside TLS",
    }
    refused {
        connections: "connections beyond tcp.connections",
        per_source: "connections of a source beyond tcp.per_source",
        too_many_handshakes: "connections beyond tls.handshakes",
        handshakes_per_source: "connections of a source beyond an eighth of tls.handshakes",
    }
    failed {
        handshake: "TLS handshakes of peers that failed or took too long",
        connect: "connections that could not be opened",
        undelivered: "messages that did not leave",
    }
    closed {
        by_peer: "closed by the peer",
        idle: "silent for tcp.idle",
        slow: "a message not whole within tcp.message_time",
        stuck: "a message not taken within tcp.message_time",
        broken: "a message whose end can't be known, or is too far away",
        buffered: "tcp.buffered was used up",
        over_rate: "a source above sources.rate",
        error: "closed for an error of the network",
    }
    certificates {
        read: "times that the files of TLS were read anew",
        refused: "times that they could not be used",
    }
    carried {
        messages: "messages received",
        keep_alives: "keep-alives answered",
    }
}

/// One count.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// One less, of what is there now.
    pub(super) fn less(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
