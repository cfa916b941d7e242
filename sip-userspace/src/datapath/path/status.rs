//! What `status` says about the kernel path.

use serde_json::{Value, json};

use super::KernelPath;
use crate::{
    core::table::Table,
    datapath::{counter_label, maps::Maps},
};

impl KernelPath {
    /// Where it runs and what it has done.
    pub fn status(&self, table: &Table) -> Value {
        let interfaces: Vec<_> = self
            .attached
            .iter()
            .map(|attached| json!({"interface": attached.interface, "mode": attached.mode.to_string()}))
            .collect();
        let counters = self.kernel.counters().unwrap_or_default();
        let named = (0..).zip(&counters).filter(|(_, count)| **count != 0);
        let counters: serde_json::Map<_, _> =
            named.map(|(index, count)| (counter_label(index).to_owned(), json!(count))).collect();
        let sent: serde_json::Map<_, _> = self
            .sent_by_server(table)
            .into_iter()
            .filter_map(|(index, count)| Some((table.server(index)?.name.clone(), json!(count))))
            .collect();
        let times = self.kernel.times().map(|times| times.summary()).unwrap_or_default();
        let [samples, p50, p99, p999] = times;
        json!({
            "interfaces": interfaces,
            "origin": self.origin.to_string(),
            "passes_everything_for": self.passes_all,
            "pinned": self.pins.as_ref().map(|pins| pins.path().display().to_string()),
            "counters": counters,
            "sent_by_server": sent,
            "program_ns": {"samples": samples, "p50": p50, "p99": p99, "p99.9": p999},
            "incomplete_slots": self.publisher.incomplete(),
            "failed": self.publisher.failed().or(self.sources_failed.as_deref()),
            "maps": self.maps_status(table),
        })
    }

    /// How far the maps are behind the table.
    fn maps_status(&self, table: &Table) -> Value {
        let (slots, clients) = self.publisher.pending();
        let missing = self.publisher.missing();
        let wanted = (table.overrides().len() + table.learned().len()) as u64;
        json!({
            "revision": Maps::revision(&self.kernel).map(|revision| revision.to_string()),
            "settled": self.publisher.is_settled(),
            "reconciling": self.publisher.is_reconciling(),
            "passing_all": self.publisher.held(),
            "pending_slots": slots,
            "pending_clients": clients,
            "entries": wanted.saturating_sub(missing),
            "entries_max": self.kernel.overrides_max(),
            "missing": missing,
            "full": missing > 0,
            "counts": self.publisher.counts(),
        })
    }
}
