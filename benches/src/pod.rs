//! Types of the layouts as map values: the only unsafe code of the crate.
#![allow(unsafe_code)] // aya's promise that a type is plain old data

use sip_common::abi::{ClientKey, Config, Contact, Domain};

use crate::layout::{Answers, Lane, Nonce, Proof, Sample, Seen};

/// A layout of `sip-common` as a map value; that crate does not know the loader.
#[repr(transparent)]
#[derive(Clone, Copy, Debug)]
pub struct Plain<T>(pub T);

// SAFETY: u64 fields and an array of bytes whose length is a multiple of eight: no padding.
unsafe impl aya::Pod for Lane {}
// SAFETY: u64 fields only.
unsafe impl aya::Pod for Answers {}
// SAFETY: u64 fields and arrays of them only.
unsafe impl aya::Pod for Proof {}
// SAFETY: as above.
unsafe impl aya::Pod for Nonce {}
// SAFETY: arrays of u64 only.
unsafe impl aya::Pod for Seen {}
// SAFETY: two u32 and an array of bytes whose length is a multiple of four: no padding.
unsafe impl aya::Pod for Sample {}
// SAFETY: plain old data already.
unsafe impl aya::Pod for Plain<u64> {}
// SAFETY: the layouts of `abi` have no padding, by their own assertions of size.
unsafe impl aya::Pod for Plain<ClientKey> {}
// SAFETY: as above.
unsafe impl aya::Pod for Plain<Config> {}
// SAFETY: as above.
unsafe impl aya::Pod for Plain<Contact> {}
// SAFETY: as above.
unsafe impl aya::Pod for Plain<Domain> {}
