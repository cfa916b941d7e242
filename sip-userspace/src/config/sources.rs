//! What the source prefixes say about an address.
//!
//! The kernel looks up the longest prefix alone, so each one there carries what all the prefixes
//! around it say; the daemon asks the same set here. Both give the same flags for every address.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use sip_common::abi::{SOURCE_DIRECT, SOURCE_EDGE, SOURCE_EXEMPT};

use super::{Prefix, Sources};

/// The prefixes of a configuration with their `SOURCE_` flags.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SourceFlags {
    own: BTreeMap<Prefix, u32>,
    lengths: BTreeSet<u32>,
}

impl SourceFlags {
    /// The prefixes of all lists.
    pub fn new(sources: &Sources) -> Self {
        let lists = [
            (&sources.edge, SOURCE_EDGE),
            (&sources.direct, SOURCE_DIRECT),
            (&sources.exempt, SOURCE_EXEMPT),
        ];
        let mut flags = Self::default();
        for (list, flag) in lists {
            for prefix in list {
                *flags.own.entry(*prefix).or_default() |= flag;
                flags.lengths.insert(prefix.bits());
            }
        }
        flags
    }

    /// Whether there is no prefix at all.
    pub fn is_empty(&self) -> bool {
        self.own.is_empty()
    }

    /// Flags of an address.
    pub fn of(&self, address: IpAddr) -> u32 {
        self.around(Prefix::from(address))
    }

    /// Every prefix with the flags of all addresses that it is the longest prefix of.
    pub fn iter(&self) -> impl Iterator<Item = (Prefix, u32)> {
        self.own.keys().map(|prefix| (*prefix, self.around(*prefix)))
    }

    fn around(&self, prefix: Prefix) -> u32 {
        let lengths = self.lengths.range(..=prefix.bits());
        let outer = lengths.filter_map(|bits| self.own.get(&prefix.shortened(*bits)));
        outer.fold(0, |flags, own| flags | own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    fn prefixes() -> impl Strategy<Value = Vec<Prefix>> {
        // Few distinct bytes, so that prefixes lie in one another.
        let v4 = (0u32..4, 0u32..4, 0u32..=32).prop_map(|(high, low, bits)| {
            Prefix::from(IpAddr::from(Ipv4Addr::from_bits(high << 30 | low))).shortened(bits + 96)
        });
        let v6 = (0u128..4, 0u128..4, 0u32..=128).prop_map(|(high, low, bits)| {
            Prefix::from(IpAddr::from(Ipv6Addr::from_bits(high << 126 | low))).shortened(bits)
        });
        proptest::collection::vec(prop_oneof![v4, v6], 0..12)
    }

    proptest! {
        #[test]
        fn the_kernels_lookup_and_the_daemons_agree(
            edge in prefixes(), direct in prefixes(), exempt in prefixes(),
            high in 0u128..4, low in 0u128..4, v4: bool,
        ) {
            let address = if v4 {
                IpAddr::from(Ipv4Addr::from_bits((high << 30 | low) as u32))
            } else {
                IpAddr::from(Ipv6Addr::from_bits(high << 126 | low))
            };
            let within = |list: &[Prefix]| list.iter().any(|prefix| prefix.contains(address));
            let lists = [(&edge, SOURCE_EDGE), (&direct, SOURCE_DIRECT), (&exempt, SOURCE_EXEMPT)];
            let expected = lists.iter().filter(|(list, _)| within(list));
            let expected = expected.fold(0, |flags, (_, flag)| flags | flag);
            let flags = SourceFlags::new(&Sources { edge, direct, exempt, rate: 0, burst: 1 });
            prop_assert_eq!(flags.of(address), expected);
            let longest = flags.iter().filter(|(prefix, _)| prefix.contains(address))
                .max_by_key(|(prefix, _)| prefix.bits());
            prop_assert_eq!(longest.map_or(0, |(_, flags)| flags), expected);
        }
    }
}
