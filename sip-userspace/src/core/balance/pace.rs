//! How fast a server is to be emptied: an order in the table, stated by the commit that says that it
//! drains, and taken back by the one that ends that. So every host that leads keeps to it.

use serde::{Deserialize, Serialize};

use crate::core::table::{Change, Table};

/// The first number of such orders; the server's index is added. Plans never have as many.
const FIRST: u64 = 1 << 32;

/// How fast a server is to be emptied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Pace {
    /// Moves that begin in a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<u32>,
    /// When it should be empty, in seconds since 1970: of hosts only the calendar is the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by_s: Option<u64>,
}

impl Pace {
    /// The server whose pace an order of this number is.
    pub fn server(number: u64) -> Option<u16> {
        number.checked_sub(FIRST).and_then(|index| index.try_into().ok())
    }

    /// What the table says of a server; nothing in particular if it says nothing.
    pub fn of(table: &Table, server: u16) -> Self {
        let text = table.orders().get(&number(server));
        text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }

    /// The change by which the table says this of a server, if it does not.
    pub fn stated(self, table: &Table, server: u16) -> Option<Change> {
        let number = number(server);
        let text = (self != Self::default()).then(|| serde_json::to_string(&self).ok()).flatten();
        (table.orders().get(&number) != text.as_ref()).then_some(Change::Order { number, text })
    }
}

const fn number(server: u16) -> u64 {
    FIRST.saturating_add(server as u64)
}
