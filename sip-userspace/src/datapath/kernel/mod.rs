//! The kernel program and its maps: loaded, written, read, and run on single frames.
//!
//! The only writer of the maps (invariant I3). A map whose elements are words is mapped as memory
//! and switched by one store; the others are written by system calls. Deliberately absent: the
//! order in which words are written (`publish`).

mod access;
mod refused;
mod table;

use std::{
    collections::BTreeMap,
    os::fd::{AsFd, BorrowedFd},
    path::Path,
    sync::Arc,
    time::Duration,
};

use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, HashMap, IterableMap, LpmTrie, Map, MapData, MapError, PerCpuArray},
    programs::{TestRun, TestRunOptions, Xdp},
};
use aya_obj::programs::XdpAttachType;
use sip_common::abi::{
    ClientKey, Config, Contact, OVERRIDES_DEFAULT, SERVERS_MAX, SLOTS_MAX, map, note,
};

use self::refused::{is_interrupted, load_error, refused};
use super::{
    DatapathError,
    memory::{Plain, Words, object_pin},
};
use crate::core::route::Memory;

/// The program's name in the object, and among pins.
pub(super) const PROGRAM: &str = "homeward";

/// The verifier gives up when a signal comes, so that it is asked again; so often at most.
const LOADS_MAX: u32 = 20;

/// The maps that outlive a program; the others are its own.
pub(super) const PINNED: [&str; 13] = [
    map::OVERRIDES,
    map::SLOTS,
    map::SERVERS,
    map::CONTACTS,
    map::RECENT,
    map::BUCKETS,
    map::SOURCES,
    map::DOMAINS,
    map::CONFIG,
    map::LEASE,
    map::COUNTERS,
    map::REDIRECTS,
    map::TIMES,
];

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
    code: Code,
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

/// Where the program comes from.
enum Code {
    /// An object of this process.
    Loaded(Box<Ebpf>),
    /// A pin.
    Pinned(Box<Xdp>),
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
        Self::of(EbpfLoader::new().map_max_entries(map::OVERRIDES, sizes.overrides.max(1)), object)
    }

    /// Loads the program from an object onto maps that are pinned in a directory; those that are
    /// not there are made and pinned.
    ///
    /// # Errors
    /// If the object is empty, or the kernel refuses it.
    pub fn load_onto(object: &[u8], sizes: Sizes, pins: &Path) -> Result<Self, DatapathError> {
        if object.is_empty() {
            return Err(DatapathError::NoObject);
        }
        let mut loader = EbpfLoader::new();
        loader.map_max_entries(map::OVERRIDES, sizes.overrides.max(1));
        for name in PINNED {
            loader.map_pin_path(name, pins.join(name));
        }
        Self::of(&mut loader, object)
    }

    fn of(loader: &mut EbpfLoader<'_>, object: &[u8]) -> Result<Self, DatapathError> {
        let ebpf = loader.load(object).map_err(|error| refused(&error, error.to_string()))?;
        let mut ebpf = Box::new(ebpf);
        let mut tries = 0;
        while let Err(error) = program(&mut ebpf)?.load() {
            tries += 1;
            if !is_interrupted(&error) || tries == LOADS_MAX {
                return Err(load_error(&error));
            }
        }
        let mut maps = Vec::new();
        for name in PINNED {
            let missing = || DatapathError::Map { map: name, reason: "it is missing".to_owned() };
            maps.push((name, ebpf.take_map(name).ok_or_else(missing)?));
        }
        Self::with(Code::Loaded(ebpf), maps)
    }

    /// Takes program and maps that are pinned in a directory.
    ///
    /// # Errors
    /// If one is missing, or is not what this daemon knows.
    pub fn adopt(pins: &Path) -> Result<Self, DatapathError> {
        let mut maps = Vec::new();
        for name in PINNED {
            let map = MapData::from_pin(pins.join(name)).and_then(Map::from_map_data);
            maps.push((name, map.map_err(|error| map_error(name, &error))?));
        }
        let program = Xdp::from_pin(pins.join(PROGRAM), XdpAttachType::Interface);
        let program = program.map_err(|error| DatapathError::Load {
            reason: error.to_string(),
            cure: "`homeward detach` removes what is pinned",
        })?;
        Self::with(Code::Pinned(Box::new(program)), maps)
    }

    /// The words of [`note`] among maps that are pinned in a directory, whatever the others are.
    ///
    /// # Errors
    /// If they are missing, or other than this daemon knows.
    pub fn pinned_notes(pins: &Path) -> Result<Words, DatapathError> {
        let map = MapData::from_pin(pins.join(map::LEASE)).and_then(Map::from_map_data);
        let map = map.map_err(|error| map_error(map::LEASE, &error))?;
        words(&mut BTreeMap::from([(map::LEASE, map)]), map::LEASE, note::WORDS)
    }

    fn with(code: Code, maps: Vec<(&'static str, Map)>) -> Result<Self, DatapathError> {
        let mut maps: BTreeMap<&'static str, Map> = maps.into_iter().collect();
        let overrides: HashMap<_, _, _> = take(&mut maps, map::OVERRIDES)?;
        let info = IterableMap::map(&overrides).info();
        let info = info.map_err(|error| map_error(map::OVERRIDES, &error))?;
        Ok(Self {
            overrides_max: info.max_entries(),
            overrides,
            contacts: take(&mut maps, map::CONTACTS)?,
            domains: take(&mut maps, map::DOMAINS)?,
            sources: take(&mut maps, map::SOURCES)?,
            config: take(&mut maps, map::CONFIG)?,
            counters: take(&mut maps, map::COUNTERS)?,
            redirects: take(&mut maps, map::REDIRECTS)?,
            times: take(&mut maps, map::TIMES)?,
            slots: words(&mut maps, map::SLOTS, SLOTS_MAX)?,
            servers: words(&mut maps, map::SERVERS, SERVERS_MAX)?,
            lease: words(&mut maps, map::LEASE, note::WORDS)?,
            recent: Arc::new(words(&mut maps, map::RECENT, sip_common::abi::RECENT_MAX)?),
            code,
        })
    }

    /// Pins the program at a path.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn pin_program(&mut self, path: &Path) -> Result<(), DatapathError> {
        let program = self.program()?.fd().map_err(|error| refused(&error, error.to_string()))?;
        object_pin(program.as_fd(), path).map_err(|source| DatapathError::Pins {
            path: path.to_owned(),
            reason: source.to_string(),
        })
    }

    /// The kernel's hash of the program's instructions, the same whenever it is loaded, and the
    /// number of this one.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn tag_and_id(&mut self) -> Result<(u64, u32), DatapathError> {
        let info = self.program()?.info();
        let info = info.map_err(|error| refused(&error, error.to_string()))?;
        Ok((info.tag(), info.id()))
    }

    /// The program, to attach it.
    ///
    /// # Errors
    /// If the object holds none of the name.
    pub fn program(&mut self) -> Result<&mut Xdp, DatapathError> {
        match &mut self.code {
            Code::Loaded(ebpf) => program(ebpf),
            Code::Pinned(program) => Ok(program),
        }
    }

    /// The object behind, for its log; none if the program was adopted.
    pub fn ebpf(&mut self) -> Option<&mut Ebpf> {
        match &mut self.code {
            Code::Loaded(ebpf) => Some(ebpf),
            Code::Pinned(_) => None,
        }
    }

    /// Instructions that the verifier walked; `None` where the kernel does not say (before 5.16).
    pub fn verified_instructions(&mut self) -> Option<u32> {
        self.program().ok()?.info().ok()?.verified_instruction_count()
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
        let result = self.program()?.test_run(options).map_err(|error| {
            let source = std::io::Error::other(error);
            DatapathError::Call { call: "BPF_PROG_TEST_RUN", source }
        })?;
        out.truncate(result.data_size_out as usize);
        Ok(Run { action: result.return_value, frame: out, time: result.duration })
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
    maps: &mut BTreeMap<&'static str, Map>,
    name: &'static str,
) -> Result<T, DatapathError> {
    let missing = || DatapathError::Map { map: name, reason: "it is missing".to_owned() };
    maps.remove(name).ok_or_else(missing)?.try_into().map_err(|error| map_error(name, &error))
}

fn words(
    maps: &mut BTreeMap<&'static str, Map>,
    name: &'static str,
    len: u32,
) -> Result<Words, DatapathError> {
    let Some(Map::Array(map)) = maps.remove(name) else {
        return Err(DatapathError::Map { map: name, reason: "it is no array".to_owned() });
    };
    let found = map.info().map_err(|error| map_error(name, &error))?.max_entries();
    if found != len {
        let reason = format!("it has {found} elements instead of {len}");
        return Err(DatapathError::Map { map: name, reason });
    }
    Words::map(map.fd().as_fd(), len as usize)
}

fn map_error(map: &'static str, error: &MapError) -> DatapathError {
    DatapathError::Map { map, reason: error.to_string() }
}
