//! What the kernel program and the daemon must agree on, byte for byte.
//!
//! The XDP program and the daemon decide the same datagram with the same code: layouts ([`abi`]),
//! the frame around a datagram ([`frame`]), the strict scan of a REGISTER ([`scan`]), the client's
//! key and slot ([`aor`]), where its home is ([`route`]), the limits per source ([`guard`]), the
//! 302 ([`reply`]), what is forwarded without state and its responses ([`onward`], [`back`]), and
//! what every refusal means ([`verdict`]).
//!
//! Invariants: no IO, no allocation, no clock, no panic; every loop has a constant bound, because
//! the kernel's verifier walks it; every access to message bytes goes through [`arena::Arena`].
//! Deliberately absent: anything that only one side needs.
#![no_std]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]

pub mod abi;
pub mod aor;
pub mod arena;
pub mod back;
pub mod frame;
pub mod guard;
pub mod onward;
pub mod reply;
pub mod route;
pub mod scan;
pub mod siphash;
pub mod verdict;

#[cfg(test)]
extern crate std;
