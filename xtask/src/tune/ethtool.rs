//! What `ethtool -g`, `-l`, `-c` and `-k` and the processors' masks say, as they print it.
//!
//! Parsing only. What several commands need (`ethtool -i`, one feature, queues in use) is doctor's.

use std::collections::BTreeMap;

/// What may be at most, and what is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounded {
    pub(super) most: u32,
    pub(super) now: u32,
}

/// The rows of `ethtool -g` or `-l` whose two numbers are known, by name (`RX`, `Combined`).
pub(super) fn bounded(text: &str) -> BTreeMap<&str, Bounded> {
    let Some((most, now)) = text.split_once("Current hardware settings") else {
        return BTreeMap::new();
    };
    let most: BTreeMap<_, _> = numbers(most).collect();
    let both = |(name, now)| Some((name, Bounded { most: *most.get(name)?, now }));
    numbers(now).filter_map(both).collect()
}

/// Rows `name: number`.
fn numbers(text: &str) -> impl Iterator<Item = (&str, u32)> {
    text.lines().filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        Some((name.trim(), value.trim().parse().ok()?))
    })
}

/// How long a received frame may wait for its interrupt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Coalescing {
    /// Microseconds, if the driver tells.
    pub(super) rx_usecs: Option<u32>,
    /// Whether the driver changes that by itself.
    pub(super) adaptive: bool,
}

/// The receiving side of `ethtool -c`.
pub(super) fn coalescing(text: &str) -> Coalescing {
    let usecs = numbers(text).find(|(name, _)| *name == "rx-usecs");
    let adaptive = text.lines().any(|line| line.trim_start().starts_with("Adaptive RX: on"));
    Coalescing { rx_usecs: usecs.map(|(_, usecs)| usecs), adaptive }
}

/// Whether a feature of `ethtool -k` is on and may be turned off.
pub(super) fn is_on_by_choice(text: &str, feature: &str) -> bool {
    let state = text.lines().find_map(|line| line.trim().strip_prefix(feature)?.strip_prefix(':'));
    state.is_some_and(|state| state.trim() == "on")
}

/// The processors in a mask like `00000000,00000003`.
pub(super) fn mask(text: &str) -> Vec<usize> {
    let digits = text.trim().chars().filter(|digit| *digit != ',').rev();
    let mut processors = Vec::new();
    for (place, digit) in digits.enumerate() {
        let bits = digit.to_digit(16).unwrap_or(0);
        processors.extend((0..4).filter(|bit| bits >> bit & 1 == 1).map(|bit| place * 4 + bit));
    }
    processors
}

/// The mask of some processors, in groups of 32 as the kernel reads it.
pub(super) fn mask_of(processors: &[usize]) -> String {
    let words = processors.iter().max().map_or(1, |last| last / 32 + 1);
    let word = |index: usize| {
        let own = processors.iter().filter(|processor| *processor / 32 == index);
        own.fold(0u32, |word, processor| word | 1 << (processor % 32))
    };
    let mut words = (0..words).rev().map(word);
    let first = words.next().map_or_else(|| "0".into(), |word| format!("{word:x}"));
    words.fold(first, |text, word| format!("{text},{word:08x}"))
}

/// The processors in a list like `0-2,5`.
pub(super) fn list(text: &str) -> Vec<usize> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.trim().parse::<usize>().ok()?..=last.trim().parse().ok()?)
    };
    text.trim().split(',').filter_map(range).flatten().collect()
}

/// What all processors together did with received frames since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Softnet {
    pub(super) processed: u64,
    /// Frames dropped for want of room.
    pub(super) dropped: u64,
    /// Turns that ended for want of budget.
    pub(super) squeezed: u64,
}

/// The columns of `/proc/net/softnet_stat`, added up.
pub(super) fn softnet(text: &str) -> Softnet {
    let column = |index: usize| {
        let field =
            |line: &str| u64::from_str_radix(line.split_ascii_whitespace().nth(index)?, 16).ok();
        text.lines().filter_map(field).sum()
    };
    Softnet { processed: column(0), dropped: column(1), squeezed: column(2) }
}

/// The names of interrupts in `/proc/interrupts`, by number.
pub(super) fn interrupts(text: &str) -> BTreeMap<u32, &str> {
    let named = |line: &'_ str| -> Option<(u32, usize)> {
        let (number, _) = line.split_once(':')?;
        let name = line.split_ascii_whitespace().next_back()?;
        Some((number.trim().parse().ok()?, line.len() - name.len()))
    };
    let entry = |line| named(line).and_then(|(number, at)| Some((number, str::get(line, at..)?)));
    text.lines().map(str::trim_end).filter_map(entry).collect()
}

/// Whether an interrupt of this name is for received frames.
pub(super) fn receives(name: &str) -> bool {
    let name = name.to_lowercase();
    let sends_only = name.contains("output") || (name.contains("tx") && !name.contains("rx"));
    let manages = ["config", "event", "async", "mgmnt", "misc", "cmd", "pages", "admin"];
    !sends_only && !manages.iter().any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RINGS: &str = "Ring parameters for eth0:\nPre-set maximums:\nRX:\t\t4096\nRX Mini:\tn/a\n\
                         TX:\t\t4096\nCurrent hardware settings:\nRX:\t\t512\nRX Mini:\tn/a\n\
                         TX:\t\t4096\nRX Buf Len:\t\tn/a\nTX Push:\toff\n";

    #[test]
    fn rings_and_channels_have_a_bound_and_a_value() {
        let rings = bounded(RINGS);
        assert_eq!(rings.len(), 2);
        assert_eq!(rings["RX"], Bounded { most: 4096, now: 512 });
        assert_eq!(rings["TX"], Bounded { most: 4096, now: 4096 });
        let channels = "Channel parameters for eth0:\nPre-set maximums:\nRX:\t\tn/a\nCombined:\t8\n\
                        Current hardware settings:\nRX:\t\tn/a\nCombined:\t1\n";
        assert_eq!(bounded(channels)["Combined"], Bounded { most: 8, now: 1 });
        assert!(bounded("netlink error: Operation not supported\n").is_empty());
        assert!(bounded("").is_empty());
    }

    #[test]
    fn coalescing_is_a_time_or_adaptive_or_not_told() {
        let text = "Coalesce parameters for eth0:\nAdaptive RX: off  TX: n/a\nrx-usecs: 125\n\
                    rx-usecs-irq: 7\ntx-usecs: 3\n";
        assert_eq!(coalescing(text), Coalescing { rx_usecs: Some(125), adaptive: false });
        let text = "Adaptive RX: on  TX: on\nrx-usecs: n/a\n";
        assert_eq!(coalescing(text), Coalescing { rx_usecs: None, adaptive: true });
        assert_eq!(coalescing(""), Coalescing::default());
    }

    #[test]
    fn a_fixed_feature_is_nobodys_choice() {
        let text = "Features for eth0:\nlarge-receive-offload: on\n\trx-vlan-offload: on [fixed]\n";
        assert!(is_on_by_choice(text, "large-receive-offload"));
        assert!(!is_on_by_choice(text, "rx-vlan-offload"));
        assert!(!is_on_by_choice(text, "rx-gro-hw"));
    }

    #[test]
    fn masks_and_lists_come_and_go() {
        for (text, processors) in [
            ("0", vec![]),
            ("3", vec![0, 1]),
            ("a0", vec![5, 7]),
            ("1,00000002", vec![1, 32]),
            ("1,00000000,00000000", vec![64]),
        ] {
            assert_eq!(mask(text), processors, "{text}");
            assert_eq!(mask_of(&processors), text);
        }
        assert_eq!(mask("00000000,00000003\n"), [0, 1]);
        assert_eq!(list("0-2,5\n"), [0, 1, 2, 5]);
        assert_eq!(list("\n"), Vec::<usize>::new());
    }

    #[test]
    fn softnets_columns_are_added_up_over_processors() {
        let text = "00001000 00000002 00000010 0 0\n00002000 00000001 00000001 0 0\n";
        assert_eq!(softnet(text), Softnet { processed: 0x3000, dropped: 3, squeezed: 17 });
        assert_eq!(softnet(""), Softnet::default());
    }

    #[test]
    fn interrupts_are_found_by_number_and_known_by_name() {
        let text = "           CPU0       CPU1       \n\
                    37:    0     0 PCI-MSIX-0000:00:03.0   0-edge      virtio2-config\n \
                    38:    0 27855 PCI-MSIX-0000:00:03.0   1-edge      virtio2-input.0\n\
                    NMI:   0     0   Non-maskable interrupts\n";
        let all = interrupts(text);
        assert_eq!(all.len(), 2);
        assert_eq!(all[&38], "virtio2-input.0");
        for (name, yes) in [
            ("virtio2-input.0", true),
            ("eth0-TxRx-3", true),
            ("ens5-Tx-Rx-0", true),
            ("mlx5_comp0@pci:0000:3b:00.0", true),
            ("virtio2-output.0", false),
            ("virtio2-config", false),
            ("eth0-tx-0", false),
            ("mlx5_async0@pci:0000:3b:00.0", false),
        ] {
            assert_eq!(receives(name), yes, "{name}");
        }
    }
}
