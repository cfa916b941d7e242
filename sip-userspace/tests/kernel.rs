//! The kernel program itself, frame by frame (BPF_PROG_TEST_RUN): every frame and message case of
//! the rules, the table's states, limits and memory. Runs as root, with the object that
//! `HOMEWARD_XDP_OBJECT` names.
//!
//! The cases are the host's own tables, included by their path: kernel and host answer for the
//! same rows. Deliberately absent: interfaces and hosts, which the lab's tests have.
#![allow(missing_docs, dead_code)] // a test target, and shared folders of which it uses a part

#[cfg(test)]
#[path = "../../sip-common/tests/cases/mod.rs"]
mod cases;
#[cfg(test)]
#[path = "../../sip-common/tests/frames/mod.rs"]
mod frames;
#[cfg(test)]
mod loaded;
#[cfg(test)]
mod network;
#[cfg(test)]
#[path = "../../sip-common/tests/plain/mod.rs"]
mod plain;
#[cfg(test)]
#[path = "../../sip-common/tests/world/mod.rs"]
mod world;

#[cfg(test)]
#[path = "kernel/fixtures.rs"]
mod fixtures;
#[cfg(test)]
#[path = "kernel/limits.rs"]
mod limits;
#[cfg(test)]
#[path = "kernel/memory.rs"]
mod memory;
#[cfg(test)]
#[path = "kernel/onward.rs"]
mod onward;
#[cfg(test)]
#[path = "kernel/table.rs"]
mod table;
