//! Sockets: datagrams (`udp`), and streams, plain and inside TLS (`streams`, `framer`, `tls`).
//!
//! Here a WebSocket (RFC 7118) would go: one more way to accept beside `streams/accept.rs`, whose
//! frames are messages already and need no `framer`, and one more `core::Transport`.
//! Deliberately absent: anything that knows SIP but for where a message ends.

pub mod batch;
pub mod clock;
pub mod framer;
pub mod peers;
pub mod streams;
pub mod tls;
pub mod udp;
