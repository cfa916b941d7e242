//! What the values in etcd look like: JSON, so that `etcdctl get` shows an operator the table.
//!
//! A slot's document is compact, for there are tens of thousands of them: its home and an array
//! for each client, `[aor, server, flags, epoch, counter, why]`. Unknown fields are refused: a
//! later layout has another number in `meta`.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    core::table::{Assignment, Change, Moved, Revision, SlotContent, Stated},
    store::Record,
};

/// The layout of keys and values.
pub(super) const LAYOUT: u32 = 1;

const PINNED: u8 = 1;
const NO_REDIRECT: u8 = 2;
const MOVING: u8 = 4;

/// What was set when the table was created; the secrets themselves are in no store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Meta {
    pub(super) layout: u32,
    pub(super) cluster: String,
    /// See [`super::Secret::id`].
    pub(super) secret: String,
    pub(super) slots: u32,
}

/// The last commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rev {
    pub(super) epoch: u32,
    pub(super) counter: u64,
    pub(super) slots_epoch: u32,
    pub(super) slots_counter: u64,
    pub(super) at_ms: u64,
    pub(super) by: String,
    pub(super) why: String,
    pub(super) count: usize,
}

impl Rev {
    pub(super) fn revision(&self) -> Revision {
        Revision { epoch: self.epoch, counter: self.counter }
    }

    pub(super) fn slots_since(&self) -> Revision {
        Revision { epoch: self.slots_epoch, counter: self.slots_counter }
    }
}

/// A commit in the history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Past {
    pub(super) epoch: u32,
    pub(super) counter: u64,
    pub(super) at_ms: u64,
    pub(super) by: String,
    pub(super) why: String,
    pub(super) count: usize,
    pub(super) changes: Option<Vec<Change>>,
    /// Drawn by who committed it, so that it knows its own commit again.
    pub(super) commit: String,
}

impl Past {
    pub(super) fn new(record: Record, commit: String) -> Self {
        let Record { revision, at_ms, by, why, count, changes } = record;
        let Revision { epoch, counter } = revision;
        Self { epoch, counter, at_ms, by, why, count, changes, commit }
    }
}

impl From<Past> for Record {
    fn from(past: Past) -> Self {
        let Past { epoch, counter, at_ms, by, why, count, changes, .. } = past;
        Self { revision: Revision { epoch, counter }, at_ms, by, why, count, changes }
    }
}

/// Reads an order, which is kept as it is.
pub(super) fn read_order(value: Vec<u8>) -> Result<String, String> {
    String::from_utf8(value).map_err(|error| error.to_string())
}

/// What a host has applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Applied {
    pub(super) epoch: u32,
    pub(super) counter: u64,
}

/// AoR, server, flags, epoch and counter of its commit, why.
type Packed<T> = (T, Option<u16>, u8, u32, u64, T);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Slot {
    #[serde(rename = "p", default)]
    placed: Option<u16>,
    #[serde(rename = "m", default)]
    moves: Vec<(Moved, u16)>,
    #[serde(rename = "o", default)]
    overrides: Vec<Packed<String>>,
}

#[derive(Serialize)]
struct SlotOut<'a> {
    #[serde(rename = "p", skip_serializing_if = "Option::is_none")]
    placed: Option<u16>,
    #[serde(rename = "m", skip_serializing_if = "<[_]>::is_empty")]
    moves: &'a [(Moved, u16)],
    #[serde(rename = "o", skip_serializing_if = "Vec::is_empty")]
    overrides: Vec<Packed<&'a str>>,
}

/// Only a slot's home and moves; its clients are passed over.
#[derive(Deserialize)]
pub(super) struct Placed {
    #[serde(rename = "p", default)]
    pub(super) placed: Option<u16>,
    #[serde(rename = "m", default)]
    pub(super) moves: Vec<(Moved, u16)>,
}

/// Writes a document.
pub(super) fn write(document: &impl Serialize) -> Vec<u8> {
    // Nothing here has a map with keys that are no strings: it can't fail.
    serde_json::to_vec(document).unwrap_or_default()
}

/// Reads a document.
pub(super) fn read<T: DeserializeOwned>(value: &[u8]) -> Result<T, String> {
    serde_json::from_slice(value).map_err(|error| error.to_string())
}

/// Writes a slot's document; `None` for a slot about which nothing is said.
pub(super) fn write_slot(content: &SlotContent) -> Option<Vec<u8>> {
    if *content == SlotContent::default() {
        return None;
    }
    let overrides = content.overrides.iter().map(|stated| {
        let Assignment { server, pinned, no_redirect, moving } = stated.assignment;
        let flags = [(pinned, PINNED), (no_redirect, NO_REDIRECT), (moving, MOVING)];
        let flags = flags.iter().filter(|(on, _)| *on).fold(0, |all, (_, flag)| all | flag);
        let Revision { epoch, counter } = stated.since;
        (stated.aor.as_str(), server, flags, epoch, counter, stated.why.as_str())
    });
    Some(write(&SlotOut {
        placed: content.placed,
        moves: &content.moves,
        overrides: overrides.collect(),
    }))
}

/// Reads a slot's document.
pub(super) fn read_slot(value: &[u8]) -> Result<SlotContent, String> {
    let slot: Slot = read(value)?;
    let overrides = slot.overrides.into_iter().map(|(aor, server, flags, epoch, counter, why)| {
        let assignment = Assignment {
            server,
            pinned: flags & PINNED != 0,
            no_redirect: flags & NO_REDIRECT != 0,
            moving: flags & MOVING != 0,
        };
        Stated { aor, assignment, since: Revision { epoch, counter }, why }
    });
    Ok(SlotContent { placed: slot.placed, moves: slot.moves, overrides: overrides.collect() })
}

/// Reads only the home that a slot was given, and what moves in it.
pub(super) fn read_placed(value: &[u8]) -> Result<Placed, String> {
    read(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_reads_as_it_was_written_and_an_empty_one_is_no_document() {
        let stated = |aor: &str, server, bits: u8| Stated {
            aor: aor.to_owned(),
            assignment: Assignment {
                server,
                pinned: bits & 1 != 0,
                no_redirect: bits & 2 != 0,
                moving: bits & 4 != 0,
            },
            since: Revision { epoch: 1, counter: u64::from(bits) },
            why: "because \"x\"".to_owned(),
        };
        for bits in 0..8 {
            let overrides = vec![stated("zoë@example.com", Some(3), bits), stated("b@c", None, 7)];
            let moves = [Moved::Slot(3), Moved::Client("b@c".to_owned())].map(|what| (what, 4));
            let moves = moves.into_iter().take(usize::from(bits) % 3).collect();
            let content = SlotContent { placed: (bits > 3).then_some(9), moves, overrides };
            let written = write_slot(&content).unwrap();
            assert_eq!(read_slot(&written), Ok(content.clone()));
            let head = read_placed(&written).unwrap();
            assert_eq!((head.placed, head.moves), (content.placed, content.moves));
        }
        assert_eq!(write_slot(&SlotContent::default()), None);
        for bad in ["", "7", "{\"q\":1}", "{\"o\":[[1]]}", "{\"p\":70000}"] {
            assert!(read_slot(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
