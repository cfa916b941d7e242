//! Prefixes of source addresses.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
};

use sip_common::abi::SourceKey;

/// An address prefix. IPv4 stands as an IPv4-mapped address, its length counted from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Prefix {
    address: u128,
    bits: u32,
}

/// Bits before an IPv4 address in an IPv4-mapped one.
const MAPPED: u32 = 96;

impl Prefix {
    /// Whether an address lies in the prefix.
    pub fn contains(&self, address: IpAddr) -> bool {
        mask(mapped(address), self.bits) == self.address
    }

    /// Bits that count, of 128.
    pub fn bits(&self) -> u32 {
        self.bits
    }

    /// The prefix of at most so many bits that this one lies in.
    pub fn shortened(&self, bits: u32) -> Self {
        let bits = bits.min(self.bits);
        Self { address: mask(self.address, bits), bits }
    }

    /// The key by which the kernel's trie knows it.
    pub fn key(&self) -> SourceKey {
        let bytes = self.address.to_be_bytes();
        let mut key = SourceKey { bits: self.bits, address: [0; 4] };
        for (word, bytes) in key.address.iter_mut().zip(bytes.as_chunks::<4>().0) {
            *word = u32::from_ne_bytes(*bytes);
        }
        key
    }
}

fn mapped(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

const fn mask(address: u128, bits: u32) -> u128 {
    match u128::MAX.checked_shl(128 - bits) {
        Some(mask) => address & mask,
        None => 0,
    }
}

impl From<IpAddr> for Prefix {
    /// The prefix of one address.
    fn from(address: IpAddr) -> Self {
        Self { address: mapped(address), bits: 128 }
    }
}

impl FromStr for Prefix {
    type Err = String;

    /// `address/length`, or an address alone.
    fn from_str(text: &str) -> Result<Self, String> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr =
            address.parse().map_err(|_| format!("`{}` is no address", address.escape_debug()))?;
        let (max, before) = if address.is_ipv4() { (32, MAPPED) } else { (128, 0) };
        let length = match length {
            None => max,
            Some(length) => length
                .parse()
                .ok()
                .filter(|length| *length <= max)
                .ok_or_else(|| format!("`{text}` has no length from 0 to {max} after its /"))?,
        };
        let bits = length + before;
        let prefix = Self { address: mask(mapped(address), bits), bits };
        if prefix.address != mapped(address) {
            return Err(format!("`{text}` has bits behind its length: write {prefix}"));
        }
        Ok(prefix)
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let v6 = Ipv6Addr::from_bits(self.address);
        match v6.to_ipv4_mapped().filter(|_| self.bits >= MAPPED) {
            Some(v4) => write!(f, "{v4}/{}", self.bits - MAPPED),
            None => write!(f, "{v6}/{}", self.bits),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_read_shown_and_matched() {
        for (text, shown, inside, outside) in [
            ("192.0.2.0/24", "192.0.2.0/24", "192.0.2.255", "192.0.3.0"),
            ("192.0.2.7", "192.0.2.7/32", "192.0.2.7", "192.0.2.6"),
            ("0.0.0.0/0", "0.0.0.0/0", "255.1.2.3", "2001:db8::1"),
            ("2001:DB8::/32", "2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("::/0", "::/0", "192.0.2.1", ""),
        ] {
            let prefix: Prefix = text.parse().unwrap();
            assert_eq!(prefix.to_string(), shown);
            assert!(prefix.contains(inside.parse().unwrap()), "{text}");
            assert!(outside.is_empty() || !prefix.contains(outside.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn the_kernel_key_holds_the_bytes_in_network_order() {
        let key = "192.0.2.0/24".parse::<Prefix>().unwrap().key();
        assert_eq!(key.bits, 120);
        assert_eq!(key.address.map(u32::to_ne_bytes)[2..], [[0, 0, 255, 255], [192, 0, 2, 0]]);
    }

    #[test]
    fn a_bad_prefix_is_named() {
        for (text, expected) in [
            ("192.0.2.1/24", "write 192.0.2.0/24"),
            ("192.0.2.0/33", "from 0 to 32"),
            ("2001:db8::/129", "from 0 to 128"),
            ("192.0.2.0/", "no length"),
            ("office", "`office` is no address"),
            ("", "no address"),
        ] {
            let error = text.parse::<Prefix>().unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
