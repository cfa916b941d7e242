//! Batches of map elements, which aya does not have.
//!
//! A batch stops at the first element that the kernel refuses, and says how many it has done
//! (kernel/bpf/syscall.c, `generic_map_update_batch`). Where it fails before it begins, it leaves
//! the count as it was asked: that is read as none, since every write here may be repeated.

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
};

use sip_common::abi::ClientKey;

use super::call;

/// Elements of one call: large enough to hide its cost, small enough for about a millisecond.
pub const BATCH_MAX: usize = 4096;

/// Commands of include/uapi/linux/bpf.h.
const MAP_LOOKUP_BATCH: libc::c_int = 24;
const MAP_UPDATE_BATCH: libc::c_int = 26;
const MAP_DELETE_BATCH: libc::c_int = 27;

/// The part of `union bpf_attr` for the batch commands.
#[repr(C)]
#[derive(Default)]
struct BatchAttr {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    elem_flags: u64,
    flags: u64,
}

/// What became of a batch.
#[derive(Debug)]
pub struct Batch {
    /// Elements from the first on that were done.
    pub done: usize,
    /// Why the next one was not; `None` if all were.
    pub refused: Option<io::Error>,
}

/// Where reading a hash map goes on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cursor(Option<u32>);

impl Cursor {
    /// Where it goes on; `None` at the beginning.
    pub fn position(self) -> Option<u32> {
        self.0
    }

    /// Goes on there.
    pub fn set(&mut self, position: u32) {
        self.0 = Some(position);
    }
}

/// Writes the words of clients, at most [`BATCH_MAX`].
pub(in crate::datapath) fn update_batch(
    map: BorrowedFd<'_>,
    keys: &[ClientKey],
    words: &[u64],
) -> Batch {
    let count = keys.len().min(words.len()).min(BATCH_MAX);
    write_batch(MAP_UPDATE_BATCH, map, (keys.as_ptr(), words.as_ptr()), count)
}

/// Removes clients, at most [`BATCH_MAX`]; it stops with ENOENT at one that is not there.
pub(in crate::datapath) fn delete_batch(map: BorrowedFd<'_>, keys: &[ClientKey]) -> Batch {
    let count = keys.len().min(BATCH_MAX);
    write_batch(MAP_DELETE_BATCH, map, (keys.as_ptr(), std::ptr::null()), count)
}

fn write_batch(
    command: libc::c_int,
    map: BorrowedFd<'_>,
    (keys, words): (*const ClientKey, *const u64),
    count: usize,
) -> Batch {
    let mut attr = BatchAttr {
        keys: keys as u64,
        values: words as u64,
        count: count as u32,
        map_fd: map.as_raw_fd() as u32,
        ..BatchAttr::default()
    };
    if count == 0 {
        return Batch { done: 0, refused: None };
    }
    // SAFETY: keys and words are `count` elements of the sizes that the map was checked to have;
    // the kernel only reads them.
    match unsafe { call(command, &mut attr) } {
        Ok(_) => Batch { done: count, refused: None },
        Err(error) => {
            let done = attr.count as usize;
            Batch { done: if done < count { done } else { 0 }, refused: Some(error) }
        }
    }
}

/// Reads the next elements of a hash map into the vectors, which are emptied before. False when
/// the last ones were read.
pub(in crate::datapath) fn lookup_batch(
    map: BorrowedFd<'_>,
    cursor: &mut Cursor,
    keys: &mut Vec<ClientKey>,
    words: &mut Vec<u64>,
) -> io::Result<bool> {
    keys.clear();
    words.clear();
    keys.resize(BATCH_MAX, ClientKey::default());
    words.resize(BATCH_MAX, 0);
    let from = cursor.position();
    let mut next = 0u32;
    let mut attr = BatchAttr {
        in_batch: from.as_ref().map_or(0, |from| std::ptr::from_ref(from) as u64),
        out_batch: std::ptr::from_mut(&mut next) as u64,
        keys: keys.as_mut_ptr() as u64,
        values: words.as_mut_ptr() as u64,
        count: BATCH_MAX as u32,
        map_fd: map.as_raw_fd() as u32,
        ..BatchAttr::default()
    };
    // SAFETY: `count` elements of the sizes that the map was checked to have can be written; the
    // position of a hash map is one u32.
    let result = unsafe { call(MAP_LOOKUP_BATCH, &mut attr) };
    let (count, more) = match result {
        Ok(_) => (attr.count as usize, true),
        // The end: what was read before it counts.
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => (attr.count as usize, false),
        Err(error) => {
            keys.clear();
            words.clear();
            return Err(error);
        }
    };
    keys.truncate(count);
    words.truncate(count);
    cursor.set(next);
    Ok(more)
}

/// Reads the first elements of a per-CPU array of words, each summed over all processors.
pub(in crate::datapath) fn lookup_sums(
    map: BorrowedFd<'_>,
    len: usize,
    cpus: usize,
) -> io::Result<Vec<u64>> {
    let mut sums = Vec::with_capacity(len);
    let mut keys = vec![0u32; BATCH_MAX];
    let mut words = vec![0u64; BATCH_MAX.saturating_mul(cpus)];
    let mut last = None;
    while sums.len() < len {
        let mut next = 0u32;
        let count = BATCH_MAX.min(len - sums.len());
        let mut attr = BatchAttr {
            in_batch: last.as_ref().map_or(0, |last: &u32| std::ptr::from_ref(last) as u64),
            out_batch: std::ptr::from_mut(&mut next) as u64,
            keys: keys.as_mut_ptr() as u64,
            values: words.as_mut_ptr() as u64,
            count: count as u32,
            map_fd: map.as_raw_fd() as u32,
            ..BatchAttr::default()
        };
        // SAFETY: `count` keys of one u32 and a word for each processor that there can be have
        // room; the position of an array is its last index.
        unsafe { call(MAP_LOOKUP_BATCH, &mut attr) }.map(|_| ()).or_else(at_end)?;
        let read = (attr.count as usize).min(count);
        if read == 0 {
            break;
        }
        let read = words.chunks_exact(cpus.max(1)).take(read);
        sums.extend(read.map(|words| words.iter().fold(0u64, |sum, word| sum.wrapping_add(*word))));
        last = Some(next);
    }
    Ok(sums)
}

/// The end of a map is no error: what was read before it counts.
fn at_end(error: io::Error) -> io::Result<()> {
    if error.raw_os_error() == Some(libc::ENOENT) { Ok(()) } else { Err(error) }
}
