//! The configuration of a service, made from the commented example.
//!
//! Invariant: each line that differs is named here and found exactly once, so the example can't
//! change away from under it.

use anyhow::{Result, bail};

/// Lines of the example, and what a service has instead.
const CHANGES: [(&str, &str); 1] = [
    // A restart of the service, or an upgrade, must not interrupt the redirects.
    ("#keep_attached = false", "keep_attached = true"),
];

/// The example with what a service needs.
pub(super) fn of_service(example: &str) -> Result<String> {
    for (from, _) in CHANGES {
        let found = example.lines().filter(|line| *line == from).count();
        if found != 1 {
            bail!(
                "the example has the line `{from}` {found} times, not once; correct CHANGES in xtask"
            );
        }
    }
    let service = example.lines().map(|line| {
        let change = CHANGES.iter().find(|(from, _)| *from == line);
        format!("{}\n", change.map_or(line, |(_, to)| to))
    });
    Ok(service.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_keeps_the_program_attached_and_everything_else_as_in_the_example() {
        let example = include_str!("../../../sip-userspace/homeward.example.toml");
        let service = of_service(example).unwrap();
        assert!(service.contains("\nkeep_attached = true\n"));
        let differing = example.lines().zip(service.lines()).filter(|(a, b)| a != b).count();
        assert_eq!(differing, CHANGES.len());
        assert_eq!(example.lines().count(), service.lines().count());
        assert!(of_service("[xdp]\n").is_err());
    }
}
