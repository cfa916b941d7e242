//! What the demo and the end-to-end tests play: two Homeward hosts with one
//! table, an edge proxy, and phones that speak as real ones do.
//!
//! Invariants: everything goes over the wire or through the daemon's own command
//! line, as a user would do it; nothing outlives its [`Stage`]. Deliberately
//! absent: expectations. What has to come out is said by the demo and the tests.

mod agent;
mod answer;
mod caller;
mod cluster;
mod crowd;
mod digest;
mod homeward;
mod model;
mod phone;
mod sipp;
mod stage;
mod status;
mod street;
mod watcher;

pub use self::{
    answer::Answer,
    caller::Caller,
    cluster::{Cluster, EDGE_LEASE_S, HOSTS, Member, STORES},
    crowd::{Crowd, Registered, Registrant},
    homeward::Homeward,
    model::{MODELS, Model},
    phone::{Exchange, Phone},
    sipp::{Sipp, SippCalls},
    stage::{Settings, Stage, Version},
    status::{Client, Interface, Kernel, Load, ProgramTime, ServerLoad, Status},
    street::Street,
    watcher::{Notice, Watcher},
};

/// The domain of every client.
pub const DOMAIN: &str = "example.com";

/// The password of a user, where the daemons ask for one.
pub fn password(user: &str) -> String {
    format!("password-of-{user}")
}

/// The address of record of a user.
pub fn aor(user: &str) -> String {
    format!("{user}@{DOMAIN}")
}
