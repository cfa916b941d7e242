//! Sockets. `udp` is all there is yet; TCP and TLS stand beside it when they come.
//!
//! Deliberately absent: anything that knows SIP.

pub mod batch;
pub mod clock;
pub mod udp;
