//! Streams against a running daemon on loopback, XDP off: framing, keep-alives, limits, TLS, and
//! the messages of RFC 4475 and 5118 over TCP.
#![allow(missing_docs, dead_code)] // a test target
#![cfg(test)]

#[path = "streams/certificates.rs"]
mod certificates;
#[path = "streams/daemon.rs"]
mod daemon;
#[path = "streams/limits.rs"]
mod limits;
#[path = "streams/load.rs"]
mod load;
#[path = "streams/opening.rs"]
mod opening;
#[path = "streams/peer.rs"]
mod peer;
#[path = "streams/returning.rs"]
mod returning;
#[path = "streams/serving.rs"]
mod serving;
#[path = "streams/tls.rs"]
mod tls;
#[path = "streams/torture.rs"]
mod torture;
