//! Work on numbered things by several threads at a time, with the outcome of one after the other.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

/// The results for 0, 1 and so on below `count`, up to and with the first that `ends` it.
///
/// # Panics
/// If `work` does.
pub fn until<T: Send>(
    count: u64,
    jobs: usize,
    work: impl Fn(u64) -> T + Sync,
    ends: impl Fn(&T) -> bool + Sync,
) -> Vec<T> {
    // Numbers are taken in order: when one ends it, all below it are taken, and are finished.
    let (next, last) = (AtomicU64::new(0), AtomicU64::new(count.saturating_sub(1)));
    let some = || {
        let mut done = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count || number > last.load(Ordering::Relaxed) {
                return done;
            }
            let result = work(number);
            if ends(&result) {
                last.fetch_min(number, Ordering::Relaxed);
            }
            done.push((number, result));
        }
    };
    let mut all: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..jobs).map(|_| scope.spawn(some)).collect();
        let done = threads.into_iter().map(|thread| thread.join());
        done.flat_map(|done| done.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    let last = last.into_inner();
    all.retain(|(number, _)| *number <= last);
    all.sort_unstable_by_key(|(number, _)| *number);
    all.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_ends_it_is_the_last_result_whoever_comes_to_it_first() {
        let slow_first = |number: u64| {
            thread::sleep(std::time::Duration::from_millis(20_u64.saturating_sub(number * 4)));
            number
        };
        for jobs in [1, 2, 5] {
            let ends = |number: &u64| *number >= 3;
            assert_eq!(until(100, jobs, slow_first, ends), [0, 1, 2, 3], "{jobs}");
            assert_eq!(until(3, jobs, slow_first, ends), [0, 1, 2], "{jobs}");
            assert!(until(0, jobs, slow_first, ends).is_empty());
        }
    }
}
