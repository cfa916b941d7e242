//! Homeward's daemon: registrar, proxy and keeper of the assignment table, and the one writer of
//! the kernel program's maps.
//!
//! `config` is read and checked before anything is opened; `store` holds the committed table;
//! `core` decides (no IO, no clock, no random source); `datapath` carries the table into the
//! kernel; `net` and `driver` move bytes between sockets and core; `control`, `api` and `cli` are
//! how an operator talks to a running daemon; `capture` reads recorded datagrams, for `explain`.

pub mod api;
pub mod capture;
pub mod cli;
pub mod config;
pub mod control;
pub mod core;
pub mod datapath;
pub mod driver;
pub mod net;
pub mod sip;
pub mod store;
