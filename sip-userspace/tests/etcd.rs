//! The shared store against a real etcd of one and of three members, which is started here from
//! the binary that `HOMEWARD_ETCD` names and stopped with the test.
//!
//! First what every store must do, then what only a store that is shared, far away and of several
//! parts can suffer. Members are killed and paused; partitions are cut in network namespaces.
#![allow(missing_docs)] // a test target

#[cfg(test)]
#[path = "etcd/access.rs"]
mod access;
#[cfg(test)]
#[path = "etcd/commits.rs"]
mod commits;
#[cfg(test)]
#[path = "etcd/conformance.rs"]
mod conformance;
#[cfg(test)]
#[path = "etcd/edges.rs"]
mod edges;
#[cfg(test)]
#[path = "etcd/faults.rs"]
mod faults;
#[cfg(test)]
#[path = "etcd/harness.rs"]
mod harness;
#[cfg(test)]
#[path = "etcd/members.rs"]
mod members;
#[cfg(test)]
#[path = "etcd/tables.rs"]
mod tables;
#[cfg(test)]
#[path = "etcd/users.rs"]
mod users;
#[cfg(test)]
#[path = "etcd/wire.rs"]
mod wire;
