//! One run of load: a live-frames call on each sending processor, from its first request to the
//! last answer.
//!
//! A call takes some 20 ms to set up, so there is one a run, with a repeat count that never ends;
//! the program paces itself, stops by itself, and a signal ends the call. What the last moments
//! cost is therefore never part of the figures.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use aya::{
    maps::PerCpuValues,
    programs::{ProgramError, TestRun as _, TestRunAttrs, TestRunOptions, Xdp},
    util::nr_cpus,
};
use nix::{
    sched::{CpuSet, sched_setaffinity},
    sys::{pthread, signal::Signal},
    unistd::Pid,
};

use crate::{
    interrupt,
    kernel::Kernel,
    lab::{self, PORT, Pair},
    layout::{Answers, BATCH, LATENCY_MAX, Lane},
    load::{Order, Outcome},
    message::{self, Shape},
};

/// Answers that take longer than this after the last request are lost.
const LAST_ANSWER: Duration = Duration::from_millis(500);
/// Time between two looks at the counters.
const LOOK: Duration = Duration::from_millis(10);

/// Drives servers of one run; numbers of requests go on from order to order.
#[derive(Debug)]
pub struct Generator {
    next: u64,
}

impl Default for Generator {
    fn default() -> Self {
        Self { next: 1 }
    }
}

impl Generator {
    /// Number of the next request.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Goes on with the next number that leaves the rest `at` when divided by `clients`.
    pub fn align(&mut self, clients: u64, at: u64) {
        let rest = self.next % clients.max(1);
        self.next += (at + clients - rest) % clients.max(1);
    }

    /// Sends what the order says to the server of `pair` and waits for the answers.
    ///
    /// # Errors
    /// When the kernel refuses the call, a helper in it fails, or a signal came.
    pub fn run(&mut self, kernel: &mut Kernel, pair: &Pair, order: &Order) -> Result<Outcome> {
        interrupt::check()?;
        let lane = self.prepare(kernel, pair, order)?;
        let frame = lane.frame.get(..lane.len as usize - 1).context("an empty frame")?.to_vec();
        let stop = AtomicBool::new(false);
        let threads = Mutex::new(Vec::new());
        let kernel = &*kernel;
        let program = kernel.program("generate")?;
        thread::scope(|scope| {
            let senders: Vec<_> = (0..order.processors)
                .map(|processor| {
                    let (stop, threads, frame) = (&stop, &threads, &frame);
                    scope.spawn(move || {
                        threads
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .push(pthread::pthread_self());
                        send(program, pair.client_index, processor, frame, stop)
                    })
                })
                .collect();
            let watched =
                watch(kernel, order, || senders.iter().any(|sender| sender.is_finished()));
            stop.store(true, Ordering::Relaxed);
            let deadline = Instant::now() + Duration::from_secs(5);
            while senders.iter().any(|sender| !sender.is_finished()) && Instant::now() < deadline {
                // The threads are joined below, so their ids are valid here.
                for thread in threads.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                    let _ = pthread::pthread_kill(*thread, Signal::SIGUSR1);
                }
                thread::sleep(Duration::from_millis(1));
            }
            for sender in senders {
                match sender.join() {
                    Ok(sent) => sent?,
                    Err(_) => bail!("a generator's thread panicked"),
                }
            }
            watched
        })?;
        let lanes = kernel.lanes.get(&0, 0)?;
        let sending = || lanes.iter().take(order.processors);
        let errors: u64 = sending().map(|lane| lane.errors).sum();
        if errors > 0 {
            bail!(
                "the generator's program failed {errors} times: is the interface's headroom gone?"
            );
        }
        self.next += order.requests();
        let answers = sum(&kernel.answers.get(&0, 0)?);
        let mut counts = Vec::with_capacity(LATENCY_MAX as usize);
        for bucket in 0..LATENCY_MAX {
            counts.push(kernel.latency.get(&bucket, 0)?.iter().sum());
        }
        Outcome::new(order, sending(), answers, &counts)
    }

    /// Clears the counters and gives each processor its orders; returns one of the lanes.
    fn prepare(&self, kernel: &mut Kernel, pair: &Pair, order: &Order) -> Result<Lane> {
        let shape = Shape {
            len: order.len,
            vias: order.vias,
            kind: order.kind,
            from: pair.client_mac,
            to: pair.server_mac,
            server: pair.server,
            port: PORT,
        };
        let mut lane = message::lane(&shape)?;
        lane.interval_q8 = order.interval_q8();
        lane.limit = order.requests() / order.processors as u64;
        lane.step = order.processors as u64;
        lane.clients = order.clients;
        let mut lanes = vec![lane; nr_cpus().map_err(|(_, error)| error)?];
        for (number, lane) in lanes.iter_mut().enumerate() {
            lane.first = self.next + number as u64;
        }
        kernel.lanes.set(0, PerCpuValues::try_from(lanes)?, 0)?;
        let zero = Answers {
            time_mask: order.time_mask,
            branch_at: order.branch_at as u64,
            clients: if order.homes_known || order.homes_move { order.clients } else { 0 },
            moving: order.homes_move.into(),
            ..Answers::default()
        };
        let all =
            |value| PerCpuValues::try_from(vec![value; nr_cpus().map_err(|(_, error)| error)?]);
        kernel.answers.set(0, all(zero)?, 0)?;
        let none = vec![0; nr_cpus().map_err(|(_, error)| error)?];
        for bucket in 0..LATENCY_MAX {
            kernel.latency.set(bucket, PerCpuValues::try_from(none.clone())?, 0)?;
        }
        Ok(lane)
    }
}

/// One processor's live-frames call; returns when `stop` is set and a signal came.
fn send(
    program: &Xdp,
    interface: u32,
    processor: usize,
    frame: &[u8],
    stop: &AtomicBool,
) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(processor)?;
    sched_setaffinity(Pid::from_raw(0), &set).context("cannot stay on one processor")?;
    lab::enter_clients()?;
    // struct xdp_md: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex
    let context = [0, frame.len() as u32, 0, interface, processor as u32, 0];
    let context: Vec<u8> = context.iter().flat_map(|word| word.to_ne_bytes()).collect();
    while !stop.load(Ordering::Relaxed) {
        let outcome = program.test_run(TestRunOptions {
            data_in: Some(frame),
            ctx_in: Some(&context),
            repeat: u32::MAX,
            attrs: TestRunAttrs::new().xdp_live_frames(BATCH as u32),
            ..TestRunOptions::new()
        });
        match outcome {
            Ok(_) => {}
            Err(ProgramError::SyscallError(error))
                if error.io_error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error).context("the kernel refuses to generate load"),
        }
    }
    Ok(())
}

/// Waits until everything is sent and answered, or time is up.
fn watch(kernel: &Kernel, order: &Order, ended: impl Fn() -> bool) -> Result<()> {
    let begin = Instant::now();
    let patience = order.duration + order.duration / 4 + Duration::from_millis(300);
    while begin.elapsed() < patience {
        thread::sleep(LOOK);
        interrupt::check()?;
        let lanes = kernel.lanes.get(&0, 0)?;
        if ended() || lanes.iter().take(order.processors).all(|lane| lane.sent >= lane.limit) {
            break;
        }
    }
    let (last, mut seen) = (Instant::now(), 0);
    while last.elapsed() < LAST_ANSWER {
        let answered = sum(&kernel.answers.get(&0, 0)?).all();
        let sent =
            kernel.lanes.get(&0, 0)?.iter().take(order.processors).map(|lane| lane.sent).sum();
        if answered == seen && (answered >= sent || order.unanswered) {
            break;
        }
        seen = answered;
        thread::sleep(LOOK);
        interrupt::check()?;
    }
    Ok(())
}

fn sum(answers: &PerCpuValues<Answers>) -> Answers {
    answers.iter().fold(Answers::default(), |sum, own| Answers {
        redirects: sum.redirects + own.redirects,
        oks: sum.oks + own.oks,
        others: sum.others + own.others,
        reflected: sum.reflected + own.reflected,
        strangers: sum.strangers + own.strangers,
        time_mask: own.time_mask,
        branch_at: own.branch_at,
        clients: own.clients,
        moving: own.moving,
        wrong: sum.wrong + own.wrong,
        passing: own.passing,
    })
}
