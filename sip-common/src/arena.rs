//! The one piece of memory that a message is scanned in and its answer is composed in.
//!
//! Both sides use the same type: a per-CPU map value in the kernel, a boxed value in the daemon.
//! Offsets are masked right before the access, so none is ever out of bounds whatever a packet
//! says; what lies behind the message reads as zero, because [`Arena::seal`] put zeros there.
//!
//! The only module of this crate with `unsafe`. Deliberately absent: slices, whose two halves
//! (pointer and length) the kernel's verifier takes for unrelated numbers.
#![allow(unsafe_code)] // unaligned eight-byte access, and the barrier that keeps a mask in place

use crate::scan::swar::{first, masked};

/// Bytes of the longest UDP payload that is scanned; a longer one is passed.
pub const PAYLOAD_MAX: u32 = 1472;
/// Where the request lies.
pub const REQUEST: u32 = 0;
/// Where generated text (received, rport, tag) lies.
pub const TEXT: u32 = 1536;
/// Where the answer is composed.
pub const REPLY: u32 = 2048;

const SIZE: usize = 4096;
const MASK: u32 = SIZE as u32 - 1;

/// A part of the arena: `len` bytes from `at`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Offset of the first byte.
    pub at: u32,
    /// Length in bytes.
    pub len: u32,
}

impl Span {
    /// The span from `at` up to, not including, `end`.
    #[inline(always)]
    pub const fn between(at: u32, end: u32) -> Self {
        Self { at, len: end.wrapping_sub(at) }
    }

    /// The offset behind the last byte.
    #[inline(always)]
    pub const fn end(self) -> u32 {
        self.at.wrapping_add(self.len)
    }
}

/// A number that lives in memory and nowhere else.
///
/// What the verifier reads back from memory is an unknown number. State that a loop hands from
/// one round to the next is kept in these, so that the verifier sees one state a round and not
/// one for each path that leads to it.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Kept(u32);

impl Kept {
    /// The number.
    #[inline(always)]
    pub fn get(&self) -> u32 {
        // SAFETY: a reference is valid for reads.
        unsafe { core::ptr::from_ref(&self.0).read_volatile() }
    }

    /// Replaces the number.
    #[inline(always)]
    pub fn set(&mut self, value: u32) {
        // SAFETY: a reference is valid for writes.
        unsafe { core::ptr::from_mut(&mut self.0).write_volatile(value) }
    }

    /// Adds to the number.
    #[inline(always)]
    pub fn add(&mut self, value: u32) {
        self.set(self.get().wrapping_add(value));
    }
}

/// Bytes that [`Arena::append`] moves at once.
const BLOCK: u32 = 32;
/// Bytes of an [`Ahead`].
const AHEAD: usize = 32;

/// The bytes from an offset, which was masked once for all of them.
#[derive(Clone, Copy)]
pub struct Ahead<'a>(&'a [u8; AHEAD]);

impl Ahead<'_> {
    /// Eight bytes, `place` behind the offset; zero beyond what is ahead.
    #[inline(always)]
    pub fn word(self, place: usize) -> u64 {
        let bytes = self.0.get(place..).and_then(<[u8]>::first_chunk);
        bytes.copied().map_or(0, u64::from_le_bytes)
    }

    /// Two bytes, likewise.
    #[inline(always)]
    pub fn pair(self, place: usize) -> u16 {
        let bytes = self.0.get(place..).and_then(<[u8]>::first_chunk);
        bytes.copied().map_or(0, u16::from_le_bytes)
    }

    /// The byte, likewise.
    #[inline(always)]
    pub fn byte(self, place: usize) -> u8 {
        self.0.get(place).copied().unwrap_or(0)
    }
}

/// Bytes to spare behind the last offset: the most that [`Arena::find`] reads.
const SPARE: usize = PAYLOAD_MAX as usize;

/// Message memory: the request, generated text and the answer.
#[repr(C, align(8))]
pub struct Arena {
    bytes: [u8; SIZE + SPARE],
}

impl Default for Arena {
    fn default() -> Self {
        Self { bytes: [0; SIZE + SPARE] }
    }
}

/// Keeps the compiler from proving a mask away that the verifier still has to see.
#[inline(always)]
pub fn opaque(value: u32) -> u32 {
    opaque_address(value as usize) as u32
}

/// [`opaque`] for an address: keeps a comparison with the end of the packet as it is written.
#[inline(always)]
pub fn opaque_address(value: usize) -> usize {
    #[cfg(target_arch = "bpf")]
    {
        let mut value = value;
        // SAFETY: a move of a register to itself. It has to be an instruction: two line records
        // of one instruction are refused by the kernel.
        unsafe { core::arch::asm!("{0} = {0}", inout(reg) value, options(pure, nomem, nostack)) };
        value
    }
    #[cfg(not(target_arch = "bpf"))]
    value
}

impl Arena {
    /// The first byte from `at` that `mask` finds, looked for in `words` words; the offset behind
    /// them if there is none. The offset is masked once and not at every word, for the bytes to
    /// spare hold a whole message.
    #[inline(always)]
    pub fn find(&self, at: u32, words: u32, mask: impl Fn(u64) -> u64) -> u32 {
        let len = if words < PAYLOAD_MAX / 8 { words << 3 } else { PAYLOAD_MAX };
        let from = self.bytes.as_ptr().wrapping_add((opaque(at) & MASK) as usize);
        let mut ahead = 0;
        while ahead < len {
            // SAFETY: from is at most SIZE - 1, and ahead + 8 at most SPARE.
            let word = unsafe { from.add(ahead as usize).cast::<u64>().read_unaligned() };
            let hits = mask(u64::from_le(word));
            if hits != 0 {
                return at.wrapping_add(ahead).wrapping_add(first(hits));
            }
            ahead += 8;
        }
        at.wrapping_add(len)
    }

    /// Hands each whole word of a span to `take`, at most `words` of them, with its place in the
    /// span, and returns what is left of the span, zeros behind it. The offset is masked once, as in [`Self::find`].
    #[inline(always)]
    pub fn whole_words(&self, span: Span, words: u32, mut take: impl FnMut(u32, u64)) -> u64 {
        let most = if words < PAYLOAD_MAX / 8 { words << 3 } else { PAYLOAD_MAX - 8 };
        let from = self.bytes.as_ptr().wrapping_add((opaque(span.at) & MASK) as usize);
        let mut ahead = 0;
        loop {
            // SAFETY: from is at most SIZE - 1, and ahead + 8 at most SPARE.
            let word = unsafe { from.add(ahead as usize).cast::<u64>().read_unaligned() };
            let word = u64::from_le(word);
            if ahead >= most || ahead >= span.len & !7 {
                return masked(word, span.len & 7);
            }
            take(ahead, word);
            ahead += 8;
        }
    }

    /// What stands from `at`.
    #[inline(always)]
    pub fn ahead(&self, at: u32) -> Ahead<'_> {
        let at = (opaque(at) & MASK) as usize;
        // SAFETY: at <= SIZE - 1, and the array holds SIZE + SPARE bytes.
        Ahead(unsafe { &*self.bytes.as_ptr().add(at).cast::<[u8; AHEAD]>() })
    }

    /// Eight bytes from `at`, the first one lowest.
    #[inline(always)]
    pub fn word(&self, at: u32) -> u64 {
        let at = (opaque(at) & MASK) as usize;
        // SAFETY: at <= SIZE - 1 and the array holds SIZE + SPARE bytes.
        u64::from_le(unsafe { self.bytes.as_ptr().add(at).cast::<u64>().read_unaligned() })
    }

    /// Two bytes from `at`, the first one lowest.
    #[inline(always)]
    pub fn pair(&self, at: u32) -> u16 {
        let at = (opaque(at) & MASK) as usize;
        // SAFETY: as in `word`.
        u16::from_le(unsafe { self.bytes.as_ptr().add(at).cast::<u16>().read_unaligned() })
    }

    /// The byte at `at`.
    #[inline(always)]
    pub fn byte(&self, at: u32) -> u8 {
        let at = (opaque(at) & MASK) as usize;
        // SAFETY: as in `word`.
        unsafe { self.bytes.as_ptr().add(at).read() }
    }

    /// Writes eight bytes at `at`, the lowest first.
    #[inline(always)]
    pub fn put(&mut self, at: u32, word: u64) {
        let at = (opaque(at) & MASK) as usize;
        // SAFETY: as in `word`.
        unsafe { self.bytes.as_mut_ptr().add(at).cast::<u64>().write_unaligned(word.to_le()) }
    }

    /// Copies a span to `cursor` by whole blocks, and moves the cursor behind it. The offsets are
    /// masked once, as in [`Self::find`].
    #[inline(always)]
    pub fn append(&mut self, cursor: &mut Kept, span: Span) {
        let to = cursor.get();
        let bytes = self.bytes.as_mut_ptr();
        let from = bytes.wrapping_add((opaque(span.at) & MASK) as usize);
        let target = bytes.wrapping_add((opaque(to) & MASK) as usize);
        let mut ahead = 0;
        while ahead < PAYLOAD_MAX {
            let mut word = ahead as usize;
            while word < (ahead + BLOCK) as usize {
                // SAFETY: both are at most SIZE - 1, and word + 8 at most SPARE.
                unsafe {
                    let value = from.add(word).cast::<u64>().read_unaligned();
                    target.add(word).cast::<u64>().write_unaligned(value);
                }
                word += 8;
            }
            ahead += BLOCK;
            if ahead >= span.len {
                break;
            }
        }
        cursor.set(to.wrapping_add(span.len));
    }

    /// Writes six words from `at`.
    #[inline(always)]
    pub fn put_words(&mut self, at: u32, words: &[[u8; 8]; 6]) {
        let at = (opaque(at) & MASK) as usize;
        let bytes = self.bytes.as_mut_ptr();
        for (place, word) in words.iter().enumerate() {
            let word = u64::from_ne_bytes(*word);
            // SAFETY: as in `append`.
            unsafe { bytes.add(at).add(place << 3).cast::<u64>().write_unaligned(word) }
        }
    }

    /// Writes one byte at `at`.
    #[inline(always)]
    pub fn put_byte(&mut self, at: u32, byte: u8) {
        let at = (opaque(at) & MASK) as usize;
        // SAFETY: as in `word`.
        unsafe { self.bytes.as_mut_ptr().add(at).write(byte) }
    }

    /// Puts zeros behind a request of `len` bytes, which every loop of the scan relies on.
    #[inline(always)]
    pub fn seal(&mut self, len: u32) {
        self.put(REQUEST.wrapping_add(len), 0);
        self.put(REQUEST.wrapping_add(len).wrapping_add(8), 0);
    }

    /// Copies a datagram in. False, and nothing done, if it is longer than [`PAYLOAD_MAX`].
    pub fn load(&mut self, datagram: &[u8]) -> bool {
        let Some(target) = self.bytes.get_mut(..datagram.len()) else { return false };
        if datagram.len() > PAYLOAD_MAX as usize {
            return false;
        }
        target.copy_from_slice(datagram);
        self.seal(datagram.len() as u32);
        true
    }

    /// The bytes of a span; empty if the span is not inside the arena.
    pub fn bytes(&self, span: Span) -> &[u8] {
        let end = (span.at as usize).saturating_add(span.len as usize);
        self.bytes.get(span.at as usize..end).unwrap_or_default()
    }

    /// A pointer for the kernel's copying helpers to `at`; at most `SIZE` bytes from zero.
    #[inline(always)]
    pub fn pointer(&mut self, at: u32) -> *mut u8 {
        let at = (at & MASK) as usize;
        // SAFETY: inside the array.
        unsafe { self.bytes.as_mut_ptr().add(at) }
    }
}

const _: () = assert!(PAYLOAD_MAX.is_multiple_of(BLOCK));
