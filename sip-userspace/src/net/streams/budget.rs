//! The bytes that all streams together hold beyond what each has of its own.
//!
//! Invariant: what is held never exceeds the limit; what was taken comes back when its holder is
//! dropped, however it ends.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// What may be held.
#[derive(Debug)]
pub(super) struct Budget {
    held: AtomicUsize,
    max: usize,
}

/// A part of the budget.
#[derive(Debug)]
pub(super) struct Share {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Budget {
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { held: AtomicUsize::new(0), max })
    }

    /// Bytes that are held.
    pub(super) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// A share of nothing.
    pub(super) fn empty(self: &Arc<Self>) -> Share {
        Share { budget: Arc::clone(self), bytes: 0 }
    }

    /// A share of so many bytes, if there is room.
    pub(super) fn share(self: &Arc<Self>, bytes: usize) -> Option<Share> {
        let mut share = self.empty();
        share.resize(bytes).then_some(share)
    }
}

impl Share {
    /// Makes the share so large; false, and all as it was, if there is no room.
    pub(super) fn resize(&mut self, bytes: usize) -> bool {
        let (held, max) = (&self.budget.held, self.budget.max);
        if bytes > self.bytes {
            let more = bytes - self.bytes;
            let raised = |held: usize| held.checked_add(more).filter(|held| *held <= max);
            if held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, raised).is_err() {
                return false;
            }
        } else {
            held.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
        }
        self.bytes = bytes;
        true
    }

    /// Takes another share in.
    pub(super) fn absorb(&mut self, mut other: Self) {
        self.bytes = self.bytes.saturating_add(std::mem::take(&mut other.bytes));
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_never_exceeds_the_limit_and_comes_back() {
        let budget = Budget::new(100);
        let mut first = budget.share(60).unwrap();
        assert!(budget.share(41).is_none());
        let second = budget.share(40).unwrap();
        assert!(!first.resize(61) && first.resize(10));
        assert_eq!(budget.held(), 50);
        first.absorb(second);
        assert!(first.resize(100) && budget.share(1).is_none());
        drop(first);
        assert_eq!(budget.held(), 0);
    }
}
