//! What outlives the daemon: pins, and what the next daemon makes of them. Runs as root, with the
//! objects that `HOMEWARD_XDP_OBJECT` names and those of an upgrade beside it.
//!
//! Each test has a network namespace and a directory of pins of its own, and leaves neither.
#![allow(missing_docs, dead_code)] // a test target, and shared folders of which it uses a part

#[cfg(test)]
#[path = "../../sip-common/tests/cases/mod.rs"]
mod cases;
#[cfg(test)]
mod filled;
#[cfg(test)]
#[path = "../../sip-common/tests/frames/mod.rs"]
mod frames;
#[cfg(test)]
#[path = "../../sip-common/tests/world/mod.rs"]
mod world;

#[cfg(test)]
#[path = "adopt/daemon.rs"]
mod daemon;
#[cfg(test)]
#[path = "adopt/layout.rs"]
mod layout;
#[cfg(test)]
#[path = "adopt/links.rs"]
mod links;
#[cfg(test)]
#[path = "adopt/maps.rs"]
mod maps;
#[cfg(test)]
#[path = "adopt/stage.rs"]
mod stage;
#[cfg(test)]
#[path = "adopt/verify.rs"]
mod verify;
