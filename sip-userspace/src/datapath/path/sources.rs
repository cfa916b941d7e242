//! Source prefixes in the map: those of the configuration, and the servers of the table.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv6Addr},
};

use sip_common::abi::{SOURCE_SERVER, SourceKey};

use crate::{
    config::SourceFlags,
    core::{route::address_words, table::Table},
    datapath::{DatapathError, Kernel},
};

/// What the map is to hold.
pub(super) struct Sources {
    flags: SourceFlags,
    /// Servers' addresses: what they send above the rate is passed, not dropped, and not answered
    /// by the kernel.
    servers: BTreeSet<IpAddr>,
}

/// Every prefix with its flags.
pub(super) type Flags = BTreeMap<(u32, [u32; 4]), u32>;

impl Sources {
    pub(super) fn new(flags: SourceFlags) -> Self {
        Self { flags, servers: BTreeSet::new() }
    }

    /// What is to be in the map.
    pub(super) fn wanted(&self) -> Flags {
        let of = |(prefix, flags): (crate::config::Prefix, u32)| {
            let SourceKey { bits, address } = prefix.key();
            ((bits, address), flags)
        };
        let mut wanted: Flags = self.flags.iter().map(of).collect();
        for address in &self.servers {
            let flags = self.flags.of(*address) | SOURCE_SERVER;
            wanted.insert((128, address_words(*address)), flags);
        }
        wanted
    }

    /// Brings a map up to the configuration. The servers that another daemon left in it stay,
    /// until the table is there.
    pub(super) fn adopt(&mut self, kernel: &mut Kernel) -> Result<(), DatapathError> {
        let found = kernel.sources()?;
        let servers = found.iter().filter(|(_, flags)| flags & SOURCE_SERVER != 0);
        self.servers = servers.map(|(key, _)| address(key)).collect();
        self.write(kernel, found)
    }

    /// Takes the servers of the table in.
    pub(super) fn set_servers(
        &mut self,
        kernel: &mut Kernel,
        table: &Table,
    ) -> Result<(), DatapathError> {
        let servers = table.servers().map(|(_, server)| server.address.ip().to_canonical());
        let servers: BTreeSet<IpAddr> = servers.collect();
        if servers == self.servers {
            return Ok(());
        }
        self.servers = servers;
        self.rewrite(kernel)
    }

    /// Brings a map up to what is wanted now.
    pub(super) fn rewrite(&self, kernel: &mut Kernel) -> Result<(), DatapathError> {
        let found = kernel.sources()?;
        self.write(kernel, found)
    }

    /// Writes what differs.
    fn write(
        &self,
        kernel: &mut Kernel,
        found: Vec<(SourceKey, u32)>,
    ) -> Result<(), DatapathError> {
        let mut wanted = self.wanted();
        for (key, flags) in found {
            match wanted.get(&(key.bits, key.address)) {
                Some(wanted_flags) if *wanted_flags == flags => {
                    wanted.remove(&(key.bits, key.address));
                }
                Some(_) => {}
                None => kernel.remove_source(&key)?,
            }
        }
        for ((bits, address), flags) in wanted {
            kernel.set_source(&SourceKey { bits, address }, flags)?;
        }
        Ok(())
    }
}

/// The address of a prefix of full length.
fn address(key: &SourceKey) -> IpAddr {
    let mut octets = [0; 16];
    for (bytes, word) in octets.as_chunks_mut::<4>().0.iter_mut().zip(key.address) {
        *bytes = word.to_ne_bytes();
    }
    IpAddr::from(Ipv6Addr::from(octets)).to_canonical()
}
