//! The load of servers, slots and clients: what the balancer decides upon.

mod simple;
pub mod view;
