//! The maps, and the only code that turns their elements into references.
//!
//! The daemon is the only writer of the table's maps (invariant I3); the program writes RECENT,
//! BUCKETS and the counters. Sizes of the maps that follow the table are set when it is loaded.
#![allow(unsafe_code)] // elements of maps are shared memory

use crate::packet::FIB_WORDS;
use aya_ebpf::{
    bindings::BPF_F_MMAPABLE,
    helpers::{bpf_ktime_get_coarse_ns, bpf_ktime_get_ns},
    macros::map,
    maps::{Array, HashMap, LpmTrie, PerCpuArray, lpm_trie::Key},
};
use sip_common::{
    abi::{
        BUCKETS_MAX, CONTACTS_MAX, ClientKey, Config, Contact, DOMAINS_MAX, Domain,
        OVERRIDES_DEFAULT, Override, RECENT_MAX, REDIRECTS_MAX, SERVERS_MAX, SLOTS_MAX,
        SOURCE_EDGE, SOURCE_EXEMPT, SOURCE_SERVER, SOURCES_MAX, ServerWord, SlotWord, TIME_SAMPLE,
        note,
    },
    frame::Datagram,
    guard::{Bucket, Recent, Shed, TIMES_MAX, time_bucket},
    route::Table,
    scan::Scratch,
    verdict::{
        COUNTER_FORWARD, COUNTER_REDIRECT, COUNTER_RETRANSMISSION, COUNTERS as COUNTERS_MAX,
        Refusal,
    },
};

#[map]
static OVERRIDES: HashMap<ClientKey, u64> = HashMap::with_max_entries(OVERRIDES_DEFAULT, 0);
#[map]
static SLOTS: Array<u64> = Array::with_max_entries(SLOTS_MAX, BPF_F_MMAPABLE);
#[map]
static SERVERS: Array<u64> = Array::with_max_entries(SERVERS_MAX, BPF_F_MMAPABLE);
#[map]
static CONTACTS: Array<Contact> = Array::with_max_entries(CONTACTS_MAX, 0);
#[map]
static RECENT: Array<u64> = Array::with_max_entries(RECENT_MAX, BPF_F_MMAPABLE);
#[map]
static BUCKETS: Array<Bucket> = Array::with_max_entries(BUCKETS_MAX, 0);
#[map]
static SOURCES: LpmTrie<[u32; 4], u32> = LpmTrie::with_max_entries(SOURCES_MAX, 0);
#[map]
static DOMAINS: Array<Domain> = Array::with_max_entries(DOMAINS_MAX, 0);
#[map]
static CONFIG: Array<Config> = Array::with_max_entries(1, 0);
#[map]
static LEASE: Array<u64> = Array::with_max_entries(note::WORDS, BPF_F_MMAPABLE);
#[cfg(not(feature = "other-layout"))]
#[map]
static COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(COUNTERS_MAX, 0);
#[cfg(feature = "other-layout")]
#[map]
static COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(COUNTERS_MAX + 1, 0);
#[map]
static REDIRECTS: PerCpuArray<u64> = PerCpuArray::with_max_entries(REDIRECTS_MAX, 0);
#[map]
static TIMES: PerCpuArray<u64> = PerCpuArray::with_max_entries(TIMES_MAX, 0);
#[map]
static WORK: PerCpuArray<Work> = PerCpuArray::with_max_entries(1, 0);

/// What one processor works with.
#[repr(C)]
pub struct Work {
    /// The message and its answer.
    pub scratch: Scratch,
    /// Where it lies in its frame.
    pub datagram: Datagram,
    /// The element of REDIRECTS that counts the answer.
    pub counter: u32,
    /// 1 if the answer repeats one.
    pub again: u32,
    /// Frames since the last measurement.
    pub ticks: u32,
    /// The interface that what is forwarded leaves by.
    pub interface: u32,
    /// Route and neighbour of what is forwarded.
    pub fib: [u32; FIB_WORDS],
    /// The monotonic clock.
    pub now_ns: u64,
    /// Sources over their rate.
    pub shed: Shed,
}

/// This processor's work.
#[inline(always)]
pub fn work() -> Option<&'static mut Work> {
    // SAFETY: a per-CPU element, and XDP runs to the end on its processor.
    WORK.get_ptr_mut(0).map(|work| unsafe { &mut *work })
}

/// The configuration.
#[inline(always)]
pub fn config() -> Option<&'static Config> {
    // SAFETY: map memory lives as long as the program.
    CONFIG.get_ptr(0).map(|config| unsafe { &*config })
}

/// The end of the daemon's lease.
#[inline(always)]
pub fn lease_ns() -> u64 {
    // SAFETY: an aligned word that the daemon replaces whole.
    LEASE.get_ptr(note::LEASE).map_or(0, |lease| unsafe { lease.read_volatile() })
}

/// The monotonic clock to a few milliseconds: the cheap one.
#[inline(always)]
pub fn now_ns() -> u64 {
    // SAFETY: a helper without arguments.
    unsafe { bpf_ktime_get_coarse_ns() }
}

/// The `SOURCE_` flags of the longest prefix that holds an address.
#[inline(always)]
pub fn source_flags(address: &[u32; 4]) -> u32 {
    SOURCES.get(Key::new(128, *address)).copied().unwrap_or(0)
}

/// A source's bucket.
#[inline(always)]
pub fn bucket(index: u32) -> Option<&'static mut Bucket> {
    // SAFETY: one aligned word; a lost update of another processor costs one count.
    BUCKETS.get_ptr_mut(index).map(|bucket| unsafe { &mut *bucket })
}

/// Adds one to a counter.
#[inline(always)]
pub fn count(counter: u32) {
    add(&COUNTERS, counter);
}

/// Counts a request that was forwarded.
#[inline(always)]
pub fn count_forward(work: &Work) {
    add(&COUNTERS, COUNTER_FORWARD);
    add(&REDIRECTS, work.counter);
}

/// Counts an answer.
#[inline(always)]
pub fn count_redirect(work: &Work) {
    add(&COUNTERS, COUNTER_REDIRECT);
    add(&REDIRECTS, work.counter);
    if work.again != 0 {
        add(&COUNTERS, COUNTER_RETRANSMISSION);
    }
}

#[inline(always)]
fn add(map: &PerCpuArray<u64>, index: u32) {
    if let Some(counter) = map.get_ptr_mut(index) {
        // SAFETY: a per-CPU element.
        unsafe { *counter += 1 }
    }
}

/// Every [`TIME_SAMPLE`]th frame: the time at which it began; else 0.
#[inline(always)]
pub fn sample_start(work: &mut Work) -> u64 {
    work.ticks = work.ticks.wrapping_add(1);
    if work.ticks & (TIME_SAMPLE - 1) != 0 {
        return 0;
    }
    // SAFETY: a helper without arguments.
    unsafe { bpf_ktime_get_ns() }
}

/// Counts the time since `start_ns`.
#[inline(always)]
pub fn time(start_ns: u64) {
    // SAFETY: a helper without arguments.
    let ns = unsafe { bpf_ktime_get_ns() }.wrapping_sub(start_ns);
    add(&TIMES, time_bucket(ns));
}

/// The table as the maps hold it.
pub struct Maps {
    /// The time.
    pub now_ns: u64,
    /// What one request of a source costs; 0 if rates are not limited.
    pub cost_ns: u64,
    /// What a source may be ahead.
    pub burst_ns: u64,
}

impl Maps {
    /// The table as a request meets it.
    #[inline(always)]
    pub fn new(work: &Work, config: &Config) -> Self {
        let (cost_ns, burst_ns) = (config.rate_cost_ns, config.rate_burst_ns);
        Self { now_ns: work.now_ns, cost_ns, burst_ns }
    }
}

impl Table for Maps {
    type ContactRef = &'static Contact;

    #[inline(always)]
    fn over(&self, key: &ClientKey) -> Option<Override> {
        // SAFETY: loaded once, as one word; its tag says whose it is (I4).
        OVERRIDES.get_ptr(key).map(|word| Override(unsafe { word.read_volatile() }))
    }

    #[inline(always)]
    fn slot(&self, slot: u32) -> Option<SlotWord> {
        // SAFETY: as above.
        SLOTS.get_ptr(slot).map(|word| SlotWord(unsafe { word.read_volatile() }))
    }

    #[inline(always)]
    fn server(&self, server: u32) -> Option<ServerWord> {
        // SAFETY: as above.
        SERVERS.get_ptr(server).map(|word| ServerWord(unsafe { word.read_volatile() }))
    }

    #[inline(always)]
    fn contact(&self, contact: u32) -> Option<&'static Contact> {
        // SAFETY: immutable once a server's word points at it.
        CONTACTS.get_ptr(contact).map(|contact| unsafe { &*contact })
    }

    #[inline(always)]
    fn domain(&self, index: u32, is: impl FnOnce(&Domain) -> bool) -> u32 {
        match DOMAINS.get(index) {
            Some(domain) if domain.flags != 0 && is(domain) => domain.flags,
            _ => 0,
        }
    }

    #[inline(always)]
    fn admit(&self, source: u64, address: &[u32; 4]) -> u32 {
        if self.cost_ns == 0 {
            return 0;
        }
        let Some(bucket) = bucket(Bucket::index(source)) else { return Refusal::Internal.code() };
        if let Some(taken) = bucket.take(self.now_ns, self.cost_ns, self.burst_ns) {
            *bucket = taken;
            return 0;
        }
        // Only who is over the rate is looked up.
        let flags = source_flags(address);
        if flags & (SOURCE_EDGE | SOURCE_EXEMPT) != 0 {
            // Who shares the place with it does not pay for it.
            *bucket = Bucket(self.now_ns);
            0
        } else if flags & SOURCE_SERVER != 0 {
            Refusal::SourceServer.code()
        } else {
            Refusal::SourceRate.code()
        }
    }

    #[inline(always)]
    fn recent(&self, index: u32) -> Recent {
        // SAFETY: one aligned word.
        RECENT.get_ptr(index).map_or(Recent(0), |word| Recent(unsafe { word.read_volatile() }))
    }

    #[inline(always)]
    fn remember(&self, index: u32, recent: Recent) {
        if let Some(word) = RECENT.get_ptr_mut(index) {
            // SAFETY: one aligned word.
            unsafe { word.write_volatile(recent.0) }
        }
    }
}
