//! The kernel program and its maps: loaded, written, read, and run on single frames.
//!
//! The only writer of the maps (invariant I3). A map whose elements are words is mapped as memory
//! and switched by one store; the others are written by system calls. Deliberately absent: the
//! order in which words are written (`publish`).

use std::{
    os::fd::{AsFd, BorrowedFd},
    sync::Arc,
    time::Duration,
};

use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, HashMap, IterableMap, LpmTrie, Map, MapData, MapError, PerCpuArray, lpm_trie},
    programs::{ProgramError, TestRun, TestRunOptions, Xdp},
};
use sip_common::{
    abi::{
        ClientKey, Config, Contact, OVERRIDES_DEFAULT, Override, SLOTS_MAX, SOURCES_MAX,
        ServerWord, SlotWord, SourceKey, map, note,
    },
    guard::TIMES_MAX,
    verdict::COUNTERS,
};

use super::{
    DatapathError,
    maps::Maps,
    memory::{Batch, Cursor, Plain, Words, delete_batch, lookup_batch, update_batch},
    times::Times,
};
use crate::core::{route::Memory, table::domains::Domains};

/// The program's name in the object.
const PROGRAM: &str = "homeward";

/// Sizes of the maps that follow the table.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Overrides, at most.
    pub overrides: u32,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { overrides: OVERRIDES_DEFAULT }
    }
}

/// The loaded program with its maps.
pub struct Kernel {
    ebpf: Ebpf,
    overrides: HashMap<MapData, Plain<ClientKey>, u64>,
    contacts: Array<MapData, Plain<Contact>>,
    domains: Array<MapData, Plain<sip_common::abi::Domain>>,
    sources: LpmTrie<MapData, [u32; 4], u32>,
    config: Array<MapData, Plain<Config>>,
    counters: PerCpuArray<MapData, u64>,
    redirects: PerCpuArray<MapData, u64>,
    times: PerCpuArray<MapData, u64>,
    slots: Words,
    servers: Words,
    lease: Words,
    recent: Arc<Words>,
    overrides_max: u32,
}

/// The kernel's memory of redirects, for the core.
pub struct SharedRecent(pub Arc<Words>);

impl Memory for SharedRecent {
    fn get(&self, index: u32) -> u64 {
        self.0.get(index)
    }

    fn set(&self, index: u32, word: u64) {
        self.0.set(index, word);
    }
}

/// What became of one frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The XDP action.
    pub action: u32,
    /// The frame afterwards.
    pub frame: Vec<u8>,
    /// Time of the program.
    pub time: Duration,
}

impl Kernel {
    /// Loads the program from an object and makes its maps. Nothing is attached.
    ///
    /// # Errors
    /// If the object is empty, or the kernel refuses it.
    pub fn load(object: &[u8], sizes: Sizes) -> Result<Self, DatapathError> {
        if object.is_empty() {
            return Err(DatapathError::NoObject);
        }
        let mut ebpf = EbpfLoader::new()
            .map_max_entries(map::OVERRIDES, sizes.overrides.max(1))
            .load(object)
            .map_err(|error| refused(&error, error.to_string()))?;
        program(&mut ebpf)?.load().map_err(|error| load_error(&error))?;
        let overrides: HashMap<_, _, _> = take(&mut ebpf, map::OVERRIDES)?;
        let info = IterableMap::map(&overrides).info();
        let info = info.map_err(|error| map_error(map::OVERRIDES, &error))?;
        Ok(Self {
            overrides_max: info.max_entries(),
            overrides,
            contacts: take(&mut ebpf, map::CONTACTS)?,
            domains: take(&mut ebpf, map::DOMAINS)?,
            sources: take(&mut ebpf, map::SOURCES)?,
            config: take(&mut ebpf, map::CONFIG)?,
            counters: take(&mut ebpf, map::COUNTERS)?,
            redirects: take(&mut ebpf, map::REDIRECTS)?,
            times: take(&mut ebpf, map::TIMES)?,
            slots: words(&mut ebpf, map::SLOTS, SLOTS_MAX)?,
            servers: words(&mut ebpf, map::SERVERS, sip_common::abi::SERVERS_MAX)?,
            lease: words(&mut ebpf, map::LEASE, note::WORDS)?,
            recent: Arc::new(words(&mut ebpf, map::RECENT, sip_common::abi::RECENT_MAX)?),
            ebpf,
        })
    }

    /// The program, to attach it.
    ///
    /// # Errors
    /// If the object holds none of the name.
    pub fn program(&mut self) -> Result<&mut Xdp, DatapathError> {
        program(&mut self.ebpf)
    }

    /// The object behind, for its log.
    pub fn ebpf(&mut self) -> &mut Ebpf {
        &mut self.ebpf
    }

    /// Instructions that the verifier walked; `None` where the kernel does not say (before 5.16).
    pub fn verified_instructions(&mut self) -> Option<u32> {
        program(&mut self.ebpf).ok()?.info().ok()?.verified_instruction_count()
    }

    fn overrides_fd(&self) -> BorrowedFd<'_> {
        IterableMap::map(&self.overrides).fd().as_fd()
    }

    /// Clients' words that the map holds, at most.
    pub fn overrides_max(&self) -> u32 {
        self.overrides_max
    }

    /// The memory of redirects, shared with the kernel.
    pub fn recent(&self) -> Arc<Words> {
        Arc::clone(&self.recent)
    }

    /// Replaces the configuration. While it is written nothing is answered.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn configure(&mut self, config: &Config) -> Result<(), DatapathError> {
        let lease = self.lease.get(0);
        self.lease.set(0, 0);
        self.config.set(0, Plain(*config), 0).map_err(|error| map_error(map::CONFIG, &error))?;
        self.lease.set(0, lease);
        Ok(())
    }

    /// Replaces the served names.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn set_domains(&mut self, domains: &Domains) -> Result<(), DatapathError> {
        for (index, domain) in (0..).zip(&domains.elements) {
            let set = self.domains.set(index, Plain(*domain), 0);
            set.map_err(|error| map_error(map::DOMAINS, &error))?;
        }
        Ok(())
    }

    /// Gives a source prefix its `SOURCE_` flags.
    ///
    /// # Errors
    /// If the kernel refuses, or there are too many.
    pub fn set_source(&mut self, prefix: &SourceKey, flags: u32) -> Result<(), DatapathError> {
        let key = lpm_trie::Key::new(prefix.bits, prefix.address);
        self.sources.insert(&key, flags, 0).map_err(|error| DatapathError::Map {
            map: map::SOURCES,
            reason: format!("{error} (it holds {SOURCES_MAX} prefixes)"),
        })
    }

    /// Writes a client's word, or removes it. False if the map is full.
    ///
    /// # Errors
    /// If the kernel refuses for another reason.
    pub fn set_override(
        &mut self,
        key: ClientKey,
        word: Option<Override>,
    ) -> Result<bool, DatapathError> {
        let done = match word {
            Some(word) => self.overrides.insert(Plain(key), word.0, 0),
            None => self.overrides.remove(&Plain(key)),
        };
        match done {
            Ok(()) | Err(MapError::KeyNotFound) => Ok(true),
            Err(MapError::SyscallError(error))
                if error.io_error.raw_os_error() == Some(libc::E2BIG) =>
            {
                Ok(false)
            }
            Err(MapError::SyscallError(error))
                if word.is_none() && error.io_error.raw_os_error() == Some(libc::ENOENT) =>
            {
                Ok(true)
            }
            Err(error) => Err(map_error(map::OVERRIDES, &error)),
        }
    }

    /// Switches a slot's word. False beyond the map's end.
    pub fn set_slot(&self, slot: u32, word: SlotWord) -> bool {
        self.slots.set(slot, word.0)
    }

    /// Switches a server's word. False beyond the map's end.
    pub fn set_server(&self, server: u16, word: ServerWord) -> bool {
        self.servers.set(u32::from(server), word.0)
    }

    /// Writes a Contact text at an index that no server's word names.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn set_contact(&mut self, index: u32, contact: &Contact) -> Result<(), DatapathError> {
        let set = self.contacts.set(index, Plain(*contact), 0);
        set.map_err(|error| map_error(map::CONTACTS, &error))
    }

    /// A word of [`note`].
    pub fn note(&self, index: u32) -> u64 {
        self.lease.get(index)
    }

    /// Extends the daemon's lease (invariant I10) to a time of the monotonic clock.
    pub fn set_lease(&self, until: Duration) {
        self.lease.set(0, until.as_nanos().try_into().unwrap_or(u64::MAX));
    }

    /// Counters by index, summed over the processors.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn counters(&self) -> Result<Vec<u64>, DatapathError> {
        sums(&self.counters, COUNTERS).map_err(|error| map_error(map::COUNTERS, &error))
    }

    /// Redirects that named this server.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn redirects(&self, server: u16) -> Result<u64, DatapathError> {
        let values = self.redirects.get(&u32::from(server), 0);
        let values = values.map_err(|error| map_error(map::REDIRECTS, &error))?;
        Ok(values.iter().sum())
    }

    /// The program's own time, sampled.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn times(&self) -> Result<Times, DatapathError> {
        let counts = sums(&self.times, TIMES_MAX).map_err(|error| map_error(map::TIMES, &error))?;
        Ok(Times::new(&counts))
    }

    /// Runs the program on one frame without any interface (BPF_PROG_TEST_RUN).
    ///
    /// # Errors
    /// If the kernel refuses; a frame is at least 14 bytes long.
    pub fn test_run(&mut self, frame: &[u8]) -> Result<Run, DatapathError> {
        let mut out = vec![0; frame.len() + 256];
        let options = TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut out),
            ..TestRunOptions::new()
        };
        let result = program(&mut self.ebpf)?.test_run(options).map_err(|error| {
            let source = std::io::Error::other(error);
            DatapathError::Call { call: "BPF_PROG_TEST_RUN", source }
        })?;
        out.truncate(result.data_size_out as usize);
        Ok(Run { action: result.return_value, frame: out, time: result.duration })
    }
}

impl Maps for Kernel {
    fn update(&mut self, keys: &[ClientKey], words: &[u64]) -> Batch {
        update_batch(self.overrides_fd(), keys, words)
    }

    fn delete(&mut self, keys: &[ClientKey]) -> Batch {
        delete_batch(self.overrides_fd(), keys)
    }

    fn read(
        &mut self,
        cursor: &mut Cursor,
        keys: &mut Vec<ClientKey>,
        words: &mut Vec<u64>,
    ) -> std::io::Result<bool> {
        lookup_batch(self.overrides_fd(), cursor, keys, words)
    }

    fn slot(&self, slot: u32) -> SlotWord {
        SlotWord(self.slots.get(slot))
    }

    fn set_slot(&mut self, slot: u32, word: SlotWord) {
        self.slots.set(slot, word.0);
    }

    fn server(&self, server: u16) -> ServerWord {
        ServerWord(self.servers.get(server.into()))
    }

    fn set_server(&mut self, server: u16, word: ServerWord) {
        self.servers.set(server.into(), word.0);
    }

    fn contact(&self, index: u32) -> Result<Contact, DatapathError> {
        let contact = self.contacts.get(&index, 0);
        contact.map(|contact| contact.0).map_err(|error| map_error(map::CONTACTS, &error))
    }

    fn set_contact(&mut self, index: u32, contact: &Contact) -> Result<(), DatapathError> {
        Self::set_contact(self, index, contact)
    }

    fn note(&self, index: u32) -> u64 {
        self.lease.get(index)
    }

    fn set_note(&mut self, index: u32, word: u64) {
        self.lease.set(index, word);
    }
}

fn program(ebpf: &mut Ebpf) -> Result<&mut Xdp, DatapathError> {
    let missing = || DatapathError::Load {
        reason: format!("the object holds no XDP program `{PROGRAM}`"),
        cure: "build it with `cargo xtask build`",
    };
    ebpf.program_mut(PROGRAM).ok_or_else(missing)?.try_into().map_err(|_| missing())
}

fn take<T: TryFrom<Map, Error = MapError>>(
    ebpf: &mut Ebpf,
    name: &'static str,
) -> Result<T, DatapathError> {
    let missing = || DatapathError::Map { map: name, reason: "it is missing".to_owned() };
    ebpf.take_map(name).ok_or_else(missing)?.try_into().map_err(|error| map_error(name, &error))
}

fn words(ebpf: &mut Ebpf, name: &'static str, len: u32) -> Result<Words, DatapathError> {
    let Some(Map::Array(map)) = ebpf.take_map(name) else {
        return Err(DatapathError::Map { map: name, reason: "it is no array".to_owned() });
    };
    let found = map.info().map_err(|error| map_error(name, &error))?.max_entries();
    if found != len {
        let reason = format!("it has {found} elements instead of {len}");
        return Err(DatapathError::Map { map: name, reason });
    }
    Words::map(map.fd().as_fd(), len as usize)
}

fn sums(map: &PerCpuArray<MapData, u64>, len: u32) -> Result<Vec<u64>, MapError> {
    (0..len).map(|index| Ok(map.get(&index, 0)?.iter().sum())).collect()
}

fn map_error(map: &'static str, error: &MapError) -> DatapathError {
    DatapathError::Map { map, reason: error.to_string() }
}

/// The last line of the verifier's log says what is wrong; the whole log goes to the debug log.
fn load_error(error: &ProgramError) -> DatapathError {
    let ProgramError::LoadError { io_error, verifier_log } = error else {
        return refused(error, error.to_string());
    };
    let log = verifier_log.to_string();
    tracing::debug!(%log, "verifier");
    let last = log.lines().rev().find(|line| !line.is_empty() && !is_statistics(line));
    refused(error, format!("{io_error}: {}", last.unwrap_or("no word from the verifier")))
}

fn is_statistics(line: &str) -> bool {
    ["verification time", "stack depth", "processed "].iter().any(|start| line.starts_with(start))
}

fn refused(error: &(dyn std::error::Error + 'static), reason: String) -> DatapathError {
    let mut chain = Some(error);
    let mut denied = false;
    while let Some(error) = chain {
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            denied |= error.kind() == std::io::ErrorKind::PermissionDenied;
        }
        chain = error.source();
    }
    let cure = if denied && !nix::unistd::geteuid().is_root() {
        "run as root, or with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON"
    } else {
        "Linux 6.1 or newer with BTF is needed; `cargo xtask doctor` looks"
    };
    DatapathError::Load { reason, cure }
}
