//! Single elements of the maps, written and read by system calls; words in mapped memory.

use std::time::Duration;

use std::os::fd::AsFd as _;

use aya::{
    maps::{IterableMap, MapData, MapError, PerCpuArray, lpm_trie},
    util::nr_cpus,
};
use sip_common::{
    abi::{
        ClientKey, Config, Contact, Domain, Override, SERVERS_MAX, SOURCES_MAX, ServerWord,
        SlotWord, SourceKey, map, note,
    },
    guard::TIMES_MAX,
    verdict::COUNTERS,
};

use super::{Kernel, map_error};
use crate::{
    core::table::domains::Domains,
    datapath::{
        DatapathError,
        memory::{Plain, lookup_sums},
        times::Times,
    },
};

impl Kernel {
    /// Replaces the configuration. While it is written nothing is answered.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn configure(&mut self, config: &Config) -> Result<(), DatapathError> {
        self.silently(|kernel| {
            let set = kernel.config.set(0, Plain(*config), 0);
            set.map_err(|error| map_error(map::CONFIG, &error))
        })
    }

    /// The configuration in the map.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn told(&self) -> Result<Config, DatapathError> {
        let told = self.config.get(&0, 0).map_err(|error| map_error(map::CONFIG, &error))?;
        Ok(told.0)
    }

    /// Replaces those served names that differ; how many. Meanwhile nothing is answered.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn set_domains(&mut self, domains: &Domains) -> Result<usize, DatapathError> {
        let mut differing = Vec::new();
        for (index, domain) in (0..).zip(&domains.elements) {
            if self.domain(index)? != *domain {
                differing.push((index, *domain));
            }
        }
        if differing.is_empty() {
            return Ok(0);
        }
        self.silently(|kernel| {
            for (index, domain) in &differing {
                let set = kernel.domains.set(*index, Plain(*domain), 0);
                set.map_err(|error| map_error(map::DOMAINS, &error))?;
            }
            Ok(differing.len())
        })
    }

    /// A served name in the map.
    ///
    /// # Errors
    /// If the kernel refuses, or there is no such element.
    pub fn domain(&self, index: u32) -> Result<Domain, DatapathError> {
        let domain = self.domains.get(&index, 0);
        domain.map(|domain| domain.0).map_err(|error| map_error(map::DOMAINS, &error))
    }

    /// Changes what has no atomic switch, while the lease is over.
    fn silently<T>(
        &mut self,
        change: impl FnOnce(&mut Self) -> Result<T, DatapathError>,
    ) -> Result<T, DatapathError> {
        let lease = self.lease.get(note::LEASE);
        self.lease.set(note::LEASE, 0);
        let done = change(self);
        if done.is_ok() {
            self.lease.set(note::LEASE, lease);
        }
        done
    }

    /// Every source prefix in the map with its flags.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn sources(&self) -> Result<Vec<(SourceKey, u32)>, DatapathError> {
        let of = |error| map_error(map::SOURCES, &error);
        let mut sources = Vec::new();
        for key in self.sources.keys() {
            let key = key.map_err(of)?;
            let flags = self.sources.get(&key, 0).map_err(of)?;
            sources.push((SourceKey { bits: key.prefix_len(), address: key.data() }, flags));
        }
        Ok(sources)
    }

    /// Removes a source prefix.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn remove_source(&mut self, prefix: &SourceKey) -> Result<(), DatapathError> {
        let key = lpm_trie::Key::new(prefix.bits, prefix.address);
        self.sources.remove(&key).map_err(|error| map_error(map::SOURCES, &error))
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

    /// A client's word in the map.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn override_of(&self, key: &ClientKey) -> Result<Option<u64>, DatapathError> {
        match self.overrides.get(&Plain(*key), 0) {
            Ok(word) => Ok(Some(word)),
            Err(MapError::KeyNotFound) => Ok(None),
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
        self.lease.set(note::LEASE, until.as_nanos().try_into().unwrap_or(u64::MAX));
    }

    /// Counters by index, summed over the processors.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn counters(&self) -> Result<Vec<u64>, DatapathError> {
        sums(&self.counters, COUNTERS).map_err(|error| map_error(map::COUNTERS, &error))
    }

    /// Redirects of clients with a home of their own by server, and of the others by slot, of the
    /// first `slots`.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn redirects(&self, slots: usize) -> Result<(Vec<u64>, Vec<u64>), DatapathError> {
        let failed = |source| DatapathError::Call { call: "BPF_MAP_LOOKUP_BATCH", source };
        let cpus = nr_cpus().map_err(|(_, error)| failed(error))?;
        let map = IterableMap::map(&self.redirects).fd().as_fd();
        let servers = SERVERS_MAX as usize;
        let mut counts = lookup_sums(map, servers.saturating_add(slots), cpus).map_err(failed)?;
        let of_slots = counts.split_off(servers.min(counts.len()));
        Ok((counts, of_slots))
    }

    /// The program's own time, sampled.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn times(&self) -> Result<Times, DatapathError> {
        let counts = sums(&self.times, TIMES_MAX).map_err(|error| map_error(map::TIMES, &error))?;
        Ok(Times::new(&counts))
    }
}

fn sums(map: &PerCpuArray<MapData, u64>, len: u32) -> Result<Vec<u64>, MapError> {
    (0..len).map(|index| Ok(map.get(&index, 0)?.iter().sum())).collect()
}
