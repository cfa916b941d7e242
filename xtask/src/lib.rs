//! Everything around the product that a developer types as `cargo xtask ...`:
//! set-up, doctor, build, a lab of hosts on one machine, demo, tests and benches.
//!
//! A library, so that the end-to-end tests use the same lab and the same build
//! as the commands do. Deliberately absent: any dependency on the product's own
//! crates. What is tested here is what a user would start, over the wire.
// What these commands print is their result; there is no other writer.
#![allow(clippy::print_stdout)]

pub mod bench;
pub mod build;
pub mod demo;
pub mod doctor;
pub mod fuzz;
pub mod group;
pub mod interop;
pub mod interrupt;
pub mod lab;
pub mod package;
pub mod process;
pub mod scene;
pub mod setup;
pub mod sim;
pub mod soak;
pub mod test;
pub mod tune;
pub mod verify;
pub mod workspace;
