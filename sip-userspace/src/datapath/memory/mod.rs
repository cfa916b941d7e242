//! Memory that is shared with the kernel: map values as bytes, maps as memory, and the calls of
//! bpf(2) that pass memory by address.
//!
//! The only module of this crate with `unsafe`.
#![allow(unsafe_code)] // layouts shared with the kernel, mmap, bpf(2)

mod batch;
mod object;
mod words;

use std::io;

use sip_common::abi::{ClientKey, Config, Contact, Domain};

pub use batch::BATCH_MAX;
pub use batch::{Batch, Cursor};
pub(super) use batch::{delete_batch, lookup_batch, lookup_sums, update_batch};
pub(super) use object::{link_info, object_get, object_pin, update_link};
pub use words::Words;

/// A layout of `sip_common::abi` as a map key or value.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(super) struct Plain<T>(pub(super) T);

// SAFETY: integers and arrays of integers without padding, asserted in `abi`.
unsafe impl aya::Pod for Plain<Config> {}
// SAFETY: as above.
unsafe impl aya::Pod for Plain<Contact> {}
// SAFETY: as above.
unsafe impl aya::Pod for Plain<Domain> {}
// SAFETY: as above.
unsafe impl aya::Pod for Plain<ClientKey> {}

/// bpf(2).
///
/// # Safety
/// The attribute is the command's, and the addresses in it are good for what the command does.
unsafe fn call<T>(command: libc::c_int, attr: &mut T) -> io::Result<libc::c_int> {
    // SAFETY: the attribute lives through the call and is as long as said; the rest is the
    // caller's.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attr), size_of::<T>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as libc::c_int) }
}
