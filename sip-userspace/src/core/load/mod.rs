//! The load of servers, slots and clients: what the balancer decides upon.

pub mod view;
