//! On which processors an interface is served: interrupts, RPS, XPS, polling.

use std::path::{Path, PathBuf};

use super::{
    advise::{Advice, Step},
    ethtool::mask_of,
    observe::{Interrupt, Queue, Seen},
};

/// A file of the kernel, what is to be written into it, and what stands there.
fn write(file: &Path, to: impl Into<String>, old: &str) -> (Step, Step) {
    (Step::Write(file.into(), to.into()), Step::Write(file.into(), old.into()))
}

/// Each receive queue's interrupt on a processor of its own.
pub(super) fn interrupts(seen: &Seen) -> Vec<Advice> {
    let all = &seen.interrupts;
    let mut used: Vec<_> = all.iter().flat_map(|one| one.processors.clone()).collect();
    used.sort_unstable();
    used.dedup();
    if all.len() < 2 || used.len() >= all.len().min(seen.processors) {
        return Vec::new();
    }
    let step = |(index, one): (usize, &Interrupt)| {
        let file = PathBuf::from(format!("/proc/irq/{}/smp_affinity_list", one.number));
        write(&file, (index % seen.processors).to_string(), &one.allowed)
    };
    let steps = all.iter().enumerate().map(step).collect();
    let mut reason =
        format!("{} queues interrupt {} of {} processors", all.len(), used.len(), seen.processors);
    if seen.irqbalance {
        reason.push_str("; irqbalance is running and will move them again: stop it first");
    }
    vec![Advice { rule: "interrupts", reason, steps }]
}

/// RPS: on which processors the stack works on what the program passes.
pub(super) fn receive(seen: &Seen) -> Vec<Advice> {
    let queues = seen.queues.unwrap_or(seen.rps.len() as u32) as usize;
    if seen.rps.is_empty() || seen.processors < 2 {
        return Vec::new();
    }
    let steered = seen.rps.iter().any(|queue| !queue.processors().is_empty());
    let (text, reason) = if queues >= seen.processors && steered {
        let reason = "every processor has a queue of its own: sending frames on to another costs \
                      and gains nothing";
        ("0".to_owned(), reason)
    } else if queues < seen.processors && !steered {
        let busy: Vec<_> = seen.interrupts.iter().flat_map(|one| one.processors.clone()).collect();
        let mut free: Vec<_> = (0..seen.processors).collect();
        if !busy.is_empty() && free.iter().any(|processor| !busy.contains(processor)) {
            free.retain(|processor| !busy.contains(processor));
        }
        let reason = "fewer queues than processors: what the program passes is worked on \
                      elsewhere, so that a flood of it does not hold up the redirects";
        (mask_of(&free), reason)
    } else {
        return Vec::new();
    };
    let step = |queue: &Queue| write(&queue.file, text.as_str(), &queue.text);
    let steps = seen.rps.iter().map(step).collect();
    vec![Advice { rule: "rps", reason: reason.into(), steps }]
}

/// XPS: which queue the daemon's own answers leave by.
pub(super) fn transmit(seen: &Seen) -> Vec<Advice> {
    let unset = seen.xps.iter().all(|queue| queue.processors().is_empty());
    if seen.xps.len() < 2 || !unset {
        return Vec::new();
    }
    let step = |(index, queue): (usize, &Queue)| {
        let own: Vec<_> = (0..seen.processors).filter(|p| p % seen.xps.len() == index).collect();
        write(&queue.file, mask_of(&own), &queue.text)
    };
    let reason = "a processor that sends by a queue of its own waits for no other";
    let steps = seen.xps.iter().enumerate().map(step).collect();
    vec![Advice { rule: "xps", reason: reason.into(), steps }]
}

/// Polling by threads.
pub(super) fn polling(seen: &Seen) -> Vec<Advice> {
    if seen.threaded != Some(true) {
        return Vec::new();
    }
    let file = PathBuf::from(format!("/sys/class/net/{}/threaded", seen.name));
    let reason = "threads that poll are moved between processors; with few of them a third of \
                  the frames and more were lost";
    vec![Advice { rule: "threaded", reason: reason.into(), steps: vec![write(&file, "0", "1")] }]
}
