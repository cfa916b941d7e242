//! What a home gives another one to keep, and what that one says.

use serde::{Deserialize, Serialize};

use crate::core::table::Revision;

/// State of clients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// Its number, by which its giver knows it again.
    pub id: u64,
    /// The table by which its clients belong to who gets it.
    pub revision: Revision,
    /// The giver's calendar, seconds since 1970: the records count from it.
    pub unix_s: u64,
    /// What [`crate::core::record`] and its like write.
    pub records: Vec<Vec<u8>>,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Taken {
    /// All of it is kept, or was known better.
    Kept,
    /// The table is not there yet, or is about to change: again later.
    Behind,
    /// The table is newer, and by it these clients, or some of them, belong to another one.
    Elsewhere,
    /// It could not be kept.
    Failed,
}
