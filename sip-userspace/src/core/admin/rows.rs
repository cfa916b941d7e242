//! What comes and goes by the page: clients, assignments, changes, and what became of an import.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Refused;
use crate::core::table::{Change, Placement, Revision};

/// Rows of one request or page: as many as the driver handles within a few milliseconds.
pub const ROWS_MAX: usize = 2_000;
/// Changes of one page of the history.
pub const HISTORY_PAGE_MAX: usize = 200;
/// Wrong rows, and differences, that are named one by one; the rest is counted.
pub const NAMED_MAX: usize = 20;

/// A client in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ClientRow {
    /// Its canonical AoR.
    pub aor: String,
    /// The name of its home; none if no server takes requests.
    pub home: Option<String>,
    /// What decided its home.
    pub by: Placement,
    /// The server that it is assigned to by name, whatever its state.
    pub assigned: Option<String>,
    /// The balancer leaves it alone.
    pub pinned: bool,
    /// It does not follow redirects.
    pub no_redirect: bool,
    /// Its bindings on this host.
    pub bindings: u32,
}

/// An assignment as it is exported and imported.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TableRow {
    /// The client, `user@domain`.
    pub aor: String,
    /// The server's name; without one the slot's home stays, and only the flags count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// The balancer leaves it alone.
    #[serde(default, skip_serializing_if = "is_false")]
    pub pinned: bool,
    /// It does not follow redirects.
    #[serde(default, skip_serializing_if = "is_false")]
    pub no_redirect: bool,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

/// What an import did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ImportView {
    /// The table's revision with it.
    pub revision: Revision,
    /// Nothing was changed: it was only asked.
    pub dry_run: bool,
    /// Clients that had no assignment of their own.
    pub added: u64,
    /// Clients that had another one.
    pub changed: u64,
    /// Clients that had this one.
    pub unchanged: u64,
    /// Clients that are new at a server or changed there, by its name; `-` is by slot.
    pub by_server: BTreeMap<String, u64>,
    /// The first differences, in a dry run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub first: Vec<Difference>,
    /// Rows that were left out.
    pub bad: u64,
    /// The first of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub first_bad: Vec<BadRow>,
}

/// A row that can't be taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct BadRow {
    /// Its number in the request, from 1.
    pub row: u64,
    /// What is wrong with it.
    pub reason: String,
}

/// A change that an import would make.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Difference {
    /// The client.
    pub aor: String,
    /// Its assignment now, in words.
    pub now: String,
    /// And then.
    pub then: String,
}

/// A change of the table in the past.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RecordView {
    /// The table's revision with it.
    pub revision: Revision,
    /// Wall-clock time, ms since 1970.
    pub at_ms: u64,
    /// Who made it.
    pub by: String,
    /// Why.
    pub why: String,
    /// Number of its changes.
    pub count: u64,
    /// Its changes, unless there were too many to be kept.
    pub changes: Option<Vec<Change>>,
}

/// What a comparison of store, memory and kernel found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct VerifyView {
    /// The revision that was compared.
    pub revision: Revision,
    /// Assignments, slots and servers that were compared.
    pub compared: u64,
    /// Those in memory that are not what the store says.
    pub different: u64,
    /// The first of them.
    pub first: Vec<String>,
    /// They were made what the store says.
    pub repaired: bool,
    /// What the kernel's maps hold against the table; null without a kernel path.
    #[serde(default)]
    pub kernel: serde_json::Value,
}

/// Refuses more rows than one request may have.
pub(super) fn bounded(rows: usize) -> Result<(), Refused> {
    if rows <= ROWS_MAX {
        return Ok(());
    }
    let reason = format!("{rows} rows are more than the {ROWS_MAX} of one request");
    Err(Refused::argument(reason, "send them in several"))
}
