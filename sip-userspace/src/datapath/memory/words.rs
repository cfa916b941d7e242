//! An array map of words, mapped as memory: an element is switched by one store.

use std::{
    num::NonZeroUsize,
    os::fd::{AsFd, BorrowedFd},
    ptr::NonNull,
    sync::atomic::{AtomicU64, Ordering},
};

use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

use crate::datapath::DatapathError;

/// An array map of words, as memory of this process.
#[derive(Debug)]
pub struct Words {
    start: NonNull<AtomicU64>,
    len: usize,
}

// SAFETY: the memory is only reached through atomics.
unsafe impl Send for Words {}
// SAFETY: as above.
unsafe impl Sync for Words {}

impl Words {
    /// Maps an array of `len` words that was made with BPF_F_MMAPABLE.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn map(map: BorrowedFd<'_>, len: usize) -> Result<Self, DatapathError> {
        let call = |source: nix::Error| DatapathError::Call {
            call: "mmap of a BPF array",
            source: source.into(),
        };
        let bytes = NonZeroUsize::new(len.saturating_mul(8)).ok_or(call(nix::Error::EINVAL))?;
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping of a whole map; nothing else lies there.
        let start = unsafe { mmap(None, bytes, protection, MapFlags::MAP_SHARED, map.as_fd(), 0) };
        Ok(Self { start: start.map_err(call)?.cast(), len })
    }

    /// Number of words.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn word(&self, index: u32) -> Option<&AtomicU64> {
        let index = index as usize;
        // SAFETY: inside the mapping, which is page-aligned and lives as long as `self`.
        (index < self.len).then(|| unsafe { self.start.add(index).as_ref() })
    }

    /// The word at `index`; 0 beyond the end.
    pub fn get(&self, index: u32) -> u64 {
        self.word(index).map_or(0, |word| word.load(Ordering::Acquire))
    }

    /// Replaces the word at `index`. False beyond the end.
    pub fn set(&self, index: u32, value: u64) -> bool {
        self.word(index).map(|word| word.store(value, Ordering::Release)).is_some()
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        // SAFETY: the mapping that `map` made, once.
        let _ = unsafe { munmap(self.start.cast(), self.len * 8) };
    }
}
