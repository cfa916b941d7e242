//! What is due when, where most delays are of a few lengths, as the timers of transactions are.
//!
//! Elements whose times rise are queued one behind the other, so that putting one in and taking one
//! out takes the same time whether ten wait or a million. Each goes to the queue whose last one is
//! the nearest before it; the few that fit into none stand in a heap. Invariant: what is due comes
//! out in the order of its time. Deliberately absent: taking out what is not due; who puts an
//! element in knows whether it still counts.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    time::Duration,
};

/// Delays of different lengths that are queued at a time.
const QUEUES_MAX: usize = 8;

/// Elements by their time.
#[derive(Debug)]
pub(super) struct Agenda<T> {
    queues: Vec<VecDeque<(Duration, T)>>,
    others: BinaryHeap<Reverse<(Duration, T)>>,
}

impl<T: Copy + Ord> Agenda<T> {
    /// Nothing to do.
    pub(super) const fn new() -> Self {
        Self { queues: Vec::new(), others: BinaryHeap::new() }
    }

    /// Puts an element in.
    pub(super) fn push(&mut self, at: Duration, element: T) {
        let last = |queue: &VecDeque<(Duration, T)>| queue.back().map_or(Duration::ZERO, |it| it.0);
        let fitting = self.queues.iter_mut().filter(|queue| last(queue) <= at);
        if let Some(queue) = fitting.max_by_key(|queue| last(queue)) {
            queue.push_back((at, element));
        } else if self.queues.len() < QUEUES_MAX {
            self.queues.push(VecDeque::from([(at, element)]));
        } else {
            self.others.push(Reverse((at, element)));
        }
    }

    /// The time of the next element.
    pub(super) fn next_at(&self) -> Option<Duration> {
        let other = self.others.peek().map(|Reverse((at, _))| *at);
        let firsts = self.queues.iter().filter_map(|queue| Some(queue.front()?.0));
        firsts.chain(other).min()
    }

    /// Takes the next element out, if it is due at `now`.
    pub(super) fn take(&mut self, now: Duration) -> Option<(Duration, T)> {
        let next = self.next_at().filter(|at| *at <= now)?;
        let is_next = |it: &mut (Duration, T)| it.0 == next;
        let queued = self.queues.iter_mut().find_map(|queue| queue.pop_front_if(is_next));
        queued.or_else(|| self.others.pop().map(|Reverse(it)| it))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn what_is_due_comes_out_in_the_order_of_its_time() {
        let mut agenda = Agenda::new();
        let mut times = Vec::new();
        // Twelve delays, so that the heap is needed too, at moments that go on.
        for step in 0..600u64 {
            let at = MS(step + 100 * (step * 7 % 12));
            agenda.push(at, step);
            times.push((at, step));
        }
        assert!(!agenda.others.is_empty() && agenda.queues.len() == QUEUES_MAX);
        let mut seen = Vec::new();
        for now in 0..1_800 {
            while let Some(it) = agenda.take(MS(now)) {
                assert!(it.0 == MS(now), "{it:?} came at {now}");
                seen.push(it);
            }
        }
        times.sort_unstable();
        seen.sort_unstable();
        assert_eq!(seen, times);
        assert_eq!(agenda.next_at(), None);
    }

    #[test]
    fn delays_of_a_few_lengths_need_no_heap() {
        let mut agenda = Agenda::new();
        for step in 0..10_000 {
            for delay in [500, 5_000, 32_000, 4_000] {
                agenda.push(MS(step + delay), step);
            }
            while agenda.take(MS(step)).is_some() {}
        }
        assert!(agenda.others.is_empty() && agenda.queues.len() <= 5, "{}", agenda.queues.len());
    }
}
