//! Where the served names stand in the kernel's table of names.
//!
//! The table is open-addressed and small; a name that is too long for it, or that finds its
//! places taken, is not lost: it is reported, and the daemon serves it.

use sip_common::abi::{DOMAIN_PROBES, DOMAIN_TEXT_MAX, DOMAINS_MAX, Domain};

use super::words::host_hash;

/// Why a name is left to the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeftOut {
    /// It is longer than the kernel's elements.
    #[error("longer than {DOMAIN_TEXT_MAX} bytes")]
    Long,
    /// All its places are taken.
    #[error("its places in the kernel's table are taken")]
    Full,
    /// It is empty.
    #[error("empty")]
    Empty,
}

/// The kernel's table of names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domains {
    /// [`DOMAINS_MAX`] elements.
    pub elements: Vec<Domain>,
    /// Names that the daemon serves.
    pub left_out: Vec<(String, LeftOut)>,
}

/// The element at which a name with this hash stands, or the next after `probe` others.
pub const fn place(hash: u64, probe: u32) -> u32 {
    ((hash >> 32) as u32).wrapping_add(probe) & (DOMAINS_MAX - 1)
}

impl Domains {
    /// Places names with their `DOMAIN_` flags, in this order; a name that comes twice has both
    /// flags. Names are taken in lower case.
    pub fn place<'a>(names: impl IntoIterator<Item = (&'a str, u32)>) -> Self {
        let mut domains =
            Self { elements: vec![Domain::default(); DOMAINS_MAX as usize], left_out: Vec::new() };
        for (name, flags) in names {
            let name = name.to_ascii_lowercase();
            if let Err(reason) = domains.add(&name, flags)
                && !domains.left_out.iter().any(|(other, _)| *other == name)
            {
                domains.left_out.push((name, reason));
            }
        }
        domains
    }

    /// The flags of a name, as the kernel looks it up.
    pub fn flags(&self, name: &str) -> Option<u32> {
        let hash = host_hash(name);
        let wanted = element(name, 0)?;
        (0..DOMAIN_PROBES)
            .filter_map(|probe| self.elements.get(place(hash, probe) as usize))
            .find(|found| found.len == wanted.len && found.text == wanted.text)
            .map(|found| found.flags)
    }

    fn add(&mut self, name: &str, flags: u32) -> Result<(), LeftOut> {
        if name.is_empty() {
            return Err(LeftOut::Empty);
        }
        let new = element(name, flags).ok_or(LeftOut::Long)?;
        let hash = host_hash(name);
        for probe in 0..DOMAIN_PROBES {
            let Some(found) = self.elements.get_mut(place(hash, probe) as usize) else { continue };
            if found.len == 0 {
                *found = new;
                return Ok(());
            }
            if found.text == new.text && found.len == new.len {
                found.flags |= flags;
                return Ok(());
            }
        }
        Err(LeftOut::Full)
    }
}

fn element(name: &str, flags: u32) -> Option<Domain> {
    let mut bytes = [0u8; DOMAIN_TEXT_MAX];
    bytes.get_mut(..name.len())?.copy_from_slice(name.as_bytes());
    let mut domain = Domain { len: name.len() as u32, flags, ..Domain::default() };
    for (word, bytes) in domain.text.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    Some(domain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sip_common::abi::{DOMAIN_CLIENTS, DOMAIN_URI};
    use std::collections::BTreeMap;

    #[test]
    fn a_name_that_comes_twice_has_both_flags() {
        let domains =
            Domains::place([("Example.COM", DOMAIN_CLIENTS), ("example.com", DOMAIN_URI)]);
        assert_eq!(domains.flags("example.com"), Some(DOMAIN_CLIENTS | DOMAIN_URI));
        assert_eq!(domains.flags("example.org"), None);
        assert!(domains.left_out.is_empty());
    }

    #[test]
    fn long_and_crowded_out_names_are_reported() {
        let long = "x".repeat(DOMAIN_TEXT_MAX + 1);
        let fits = "x".repeat(DOMAIN_TEXT_MAX);
        let domains = Domains::place([(long.as_str(), 1), (fits.as_str(), 1), ("", 1)]);
        assert_eq!(domains.left_out, vec![(long, LeftOut::Long), (String::new(), LeftOut::Empty)]);
        assert_eq!(domains.flags(&fits), Some(1));

        let names: Vec<_> = (0..DOMAINS_MAX + 1).map(|n| format!("domain{n}.example")).collect();
        let domains = Domains::place(names.iter().map(|name| (name.as_str(), 1)));
        assert!(domains.left_out.iter().any(|(_, reason)| *reason == LeftOut::Full));
    }

    proptest! {
        #[test]
        fn every_name_is_found_or_reported(
            names in proptest::collection::btree_map("[a-z0-9.-]{1,70}", 1u32..4, 0..200),
        ) {
            let domains = Domains::place(names.iter().map(|(name, flags)| (name.as_str(), *flags)));
            let left: BTreeMap<_, _> = domains.left_out.iter().cloned().collect();
            for (name, flags) in &names {
                let found = domains.flags(name);
                let left = left.contains_key(name);
                prop_assert_eq!(found, (!left).then_some(*flags));
            }
        }
    }
}
