//! How many clients went which way, by phones and by SIPp.

use super::table::Table;

/// Clients' requests by what became of them: phones', then SIPp's.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) here: [u64; 2],
    pub(super) redirected: [u64; 2],
    pub(super) redirected_without_daemon: [u64; 2],
    pub(super) followed: [u64; 2],
    pub(super) many_vias: [u64; 2],
    pub(super) ignored: [u64; 2],
}

/// Requests of phones.
pub(super) const PHONES: usize = 0;
/// Requests of SIPp.
pub(super) const SIPP: usize = 1;

impl Counts {
    pub(super) fn table(&self) -> Table {
        let mut table = Table::new(["REGISTERs, challenges aside", "phones", "SIPp"]);
        for (what, [phones, sipp]) in [
            ("home here: 200 by a", self.here),
            ("home elsewhere, one Via: 302 by the kernel", self.redirected),
            ("   of these with the daemon stopped", self.redirected_without_daemon),
            ("redirect followed: 200 by the home", self.followed),
            ("more than one Via: proxied, 200 by b", self.many_vias),
            ("redirect ignored: proxied, 200 by b", self.ignored),
        ] {
            table.row([what.into(), phones.to_string(), sipp.to_string()]);
        }
        table
    }
}
