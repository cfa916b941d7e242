//! What is asked of the generator, and what came of it.

use std::time::Duration;

use anyhow::{Context as _, Result};
use hdrhistogram::Histogram;

use crate::{
    layout::{
        ANSWER_BRANCH_AT, Answers, KIND_OWN, KIND_PROVEN, KIND_SPREAD, LATENCY_STEP_BITS, Lane,
    },
    message::STANDARD_LEN,
};

/// Requests of which this share or less is lost count as none lost: one in a million.
///
/// RFC 7502 wants none in 50,000. The kernel's memory of recent redirects has false matches of
/// about one in 2^24, which are passed by design; without this a long run would never end.
pub const LOSS_MAX: f64 = 1e-6;
/// How far behind its schedule a generator may end, as a share of the run.
const LATE_MAX: f64 = 0.01;
/// The shortest end of a run that counts as late, ns.
const LATE_NS: u64 = 5_000_000;

/// How the requests of a load differ from each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// Spread over clients and sources.
    #[default]
    Spread,
    /// Each client from an address of its own.
    Own,
    /// The same, with digest credentials.
    Proven,
}

impl Kind {
    /// As the kernel's program knows it.
    pub fn number(self) -> u64 {
        match self {
            Self::Spread => KIND_SPREAD,
            Self::Own => KIND_OWN,
            Self::Proven => KIND_PROVEN,
        }
    }
}

/// The answers that a request is to get; all others count as lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wanted {
    /// A redirect, or the request itself from the reflector.
    #[default]
    Redirect,
    /// 200.
    Ok,
}

/// One run of load.
#[derive(Clone, Debug)]
pub struct Order {
    /// Requests a second, over all processors; 0 is as many as go.
    pub rate: f64,
    /// How long requests are sent.
    pub duration: Duration,
    /// Processors that send, from number 0 on.
    pub processors: usize,
    /// Clients that the requests are spread over.
    pub clients: u64,
    /// Length of the message in bytes.
    pub len: usize,
    /// Via values of the message.
    pub vias: usize,
    /// Answers between two that are timed, less one: a mask of low bits.
    pub time_mask: u64,
    /// Where the branch stands in the server's answers, bytes from the frame's beginning.
    pub branch_at: usize,
    /// How the requests differ.
    pub kind: Kind,
    /// What they are to be answered with.
    pub wanted: Wanted,
    /// The server is one that does not answer.
    pub unanswered: bool,
    /// Every client has the home that [`crate::layout::home`] says; each answer is held against it.
    pub homes_known: bool,
    /// The clients move between home 1 and home 2; each answer is noted by client.
    pub homes_move: bool,
    /// What `rate` 0 is taken for when the number of requests is worked out.
    pub most: f64,
}

impl Order {
    /// The standard message at `rate` requests a second for `duration`, from one processor.
    pub fn new(rate: f64, duration: Duration, clients: u64) -> Self {
        Self {
            rate,
            duration,
            processors: 1,
            clients,
            len: STANDARD_LEN,
            vias: 1,
            time_mask: 15,
            branch_at: ANSWER_BRANCH_AT,
            kind: Kind::default(),
            wanted: Wanted::default(),
            unanswered: false,
            homes_known: false,
            homes_move: false,
            most: 2e6,
        }
    }

    /// Requests in all; a multiple of the number of processors.
    pub fn requests(&self) -> u64 {
        let rate = if self.rate > 0.0 { self.rate } else { self.most };
        let each = rate * self.duration.as_secs_f64() / self.processors as f64;
        (each as u64).max(1) * self.processors as u64
    }

    /// Time between two requests of one processor, in ns, times 256.
    pub fn interval_q8(&self) -> u64 {
        if self.rate > 0.0 { (256e9 * self.processors as f64 / self.rate) as u64 } else { 0 }
    }
}

/// What came of an order.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Requests that were to be sent.
    pub asked: u64,
    /// Requests that were sent.
    pub sent: u64,
    /// What they were to be answered with.
    pub wanted: Wanted,
    /// What came back.
    pub answers: Answers,
    /// Requests a second that were sent.
    pub rate: f64,
    /// From the first request to the last, the longest of all processors.
    pub elapsed: Duration,
    /// How far behind its schedule the last request went out.
    pub late: Duration,
    /// Time of the sending processors that was not spent waiting for the next request: generator,
    /// receiving, and whatever of the server runs on the same processor.
    pub busy: Duration,
    /// From due time to answer, in ns.
    pub latency: Histogram<u64>,
}

impl Outcome {
    /// Works out the figures from the lanes that sent and the histogram's counts.
    pub(crate) fn new<'a>(
        order: &Order,
        lanes: impl Iterator<Item = &'a Lane>,
        answers: Answers,
        counts: &[u64],
    ) -> Result<Self> {
        let (mut sent, mut busy_ns, mut elapsed_ns, mut late_ns) = (0, 0, 0u64, 0u64);
        for lane in lanes {
            let end = if lane.sent >= lane.limit { lane.finished_ns } else { lane.now_ns };
            let own = end.saturating_sub(lane.started_ns);
            sent += lane.sent;
            busy_ns += own.saturating_sub(lane.idle_ns);
            elapsed_ns = elapsed_ns.max(own);
            late_ns = late_ns.max(own.saturating_sub((lane.sent * lane.interval_q8) >> 8));
        }
        let mut latency = histogram()?;
        for (bucket, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            latency.record_n(latency_of_bucket(bucket as u32).max(1), *count)?;
        }
        Ok(Self {
            asked: order.requests(),
            sent,
            wanted: order.wanted,
            answers,
            rate: sent as f64 / Duration::from_nanos(elapsed_ns.max(1)).as_secs_f64(),
            elapsed: Duration::from_nanos(elapsed_ns),
            late: Duration::from_nanos(late_ns),
            busy: Duration::from_nanos(busy_ns),
            latency,
        })
    }

    /// Requests that were sent and got no answer with the status that was wanted.
    pub fn lost(&self) -> u64 {
        self.sent.saturating_sub(match self.wanted {
            Wanted::Redirect => self.answers.redirects + self.answers.reflected,
            Wanted::Ok => self.answers.oks,
        })
    }

    /// Whether every request went out on time and was answered, with no queue left growing: a large
    /// receive buffer would otherwise hide a server that is too slow for a second or two.
    pub fn loss_free(&self) -> bool {
        let late = LATE_NS.max((self.elapsed.as_nanos() as f64 * LATE_MAX) as u64);
        self.sent == self.asked
            && self.late.as_nanos() as u64 <= late
            && self.latency.value_at_quantile(0.99) <= late
            && self.lost() as f64 <= self.sent as f64 * LOSS_MAX
    }

    /// Processor time of the sending processors for each request, ns.
    pub fn busy_ns(&self) -> f64 {
        self.busy.as_nanos() as f64 / self.sent.max(1) as f64
    }
}

impl Answers {
    /// Everything that came back to the clients' side and was one of ours.
    pub fn all(&self) -> u64 {
        self.redirects + self.oks + self.others + self.reflected
    }
}

/// An empty histogram of latencies in ns: three digits, up to a minute.
///
/// # Errors
/// Never with these bounds.
pub fn histogram() -> Result<Histogram<u64>> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).context("a histogram's bounds")
}

/// The middle of the latencies that an element of the kernel's histogram counts, ns.
pub fn latency_of_bucket(bucket: u32) -> u64 {
    const STEPS: u32 = 1 << LATENCY_STEP_BITS;
    if bucket < STEPS {
        return u64::from(bucket);
    }
    let power = (bucket >> LATENCY_STEP_BITS) - 1 + LATENCY_STEP_BITS;
    let step = 1u64 << (power - LATENCY_STEP_BITS);
    (1 << power) + u64::from(bucket % STEPS) * step + step / 2
}
