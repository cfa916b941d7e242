//! Non-INVITE transactions as machines without IO (RFC 3261 section 17, RFC 4320).
//!
//! A machine is told what happened and when; it says what to do and when it wants to be asked
//! again. Tables of the transitions stand in [`server`] and [`client`]. INVITE needs none: this
//! host answers it finally and without state (8.2.7).

pub mod client;
pub mod key;
pub mod server;
