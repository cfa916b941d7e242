//! The names under which a cluster's table lies in etcd.
//!
//! Names sort so that what every host watches as one (`meta`, `plan/`, `rev`, `server/`, `slot/`) is one
//! range, without the history, the users and what the edges say. Numbers are decimal, but those of
//! the history, which sort as they were committed.

use crate::core::table::Revision;

/// Cluster, layout, number of slots: see [`super::docs::Meta`].
pub(super) const META: &str = "/homeward/v1/meta";
/// The table's revision: see [`super::docs::Rev`].
pub(super) const REV: &str = "/homeward/v1/rev";
/// Before each server.
pub(super) const SERVERS: &str = "/homeward/v1/server/";
/// Before each order to the balancer, whose number follows: plans, and what it does by itself (0).
pub(super) const PLANS: &str = "/homeward/v1/plan/";
/// Before each slot.
pub(super) const SLOTS: &str = "/homeward/v1/slot/";
/// Before each commit of the history.
pub(super) const HISTORY: &str = "/homeward/v1/history/";
/// Before what each edge has applied, while its lease lives.
pub(super) const EDGES: &str = "/homeward/v1/edge/";
/// Before what each host had applied when it was last heard of.
pub(super) const HOSTS: &str = "/homeward/v1/host/";
/// Before each user, whose AoR follows: see [`super::users`]. A prefix of their own, so that etcd's
/// roles can keep HA1s from hosts that authenticate nobody.
pub(super) const USERS: &str = "/homeward/v1/user/";
/// The balancer's name, while its lease lives.
pub(super) const LEADER: &str = "/homeward/v1/leader/balancer";
/// All that the table is made of, and little else, lies from here ...
pub(super) const TABLE: &str = META;
/// ... to here.
pub(super) const TABLE_END: &str = "/homeward/v1/slot0";

/// What a key of the table stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Meta,
    Order(u64),
    Rev,
    Server(u16),
    Slot(u32),
}

impl Part {
    /// Reads a key; `None` for one that is no part of the table.
    pub(super) fn read(key: &[u8]) -> Option<Self> {
        let key = std::str::from_utf8(key).ok()?;
        match key {
            META => Some(Self::Meta),
            REV => Some(Self::Rev),
            _ => {
                let number = |prefix| key.strip_prefix(prefix);
                match (number(SERVERS), number(SLOTS), number(PLANS)) {
                    (Some(index), ..) => Some(Self::Server(index.parse().ok()?)),
                    (_, Some(slot), _) => Some(Self::Slot(slot.parse().ok()?)),
                    (.., Some(number)) => Some(Self::Order(number.parse().ok()?)),
                    _ => None,
                }
            }
        }
    }

    /// The key.
    pub(super) fn key(self) -> String {
        match self {
            Self::Meta => META.to_owned(),
            Self::Rev => REV.to_owned(),
            Self::Order(number) => format!("{PLANS}{number}"),
            Self::Server(index) => format!("{SERVERS}{index}"),
            Self::Slot(slot) => format!("{SLOTS}{slot}"),
        }
    }
}

/// The key of a commit.
pub(super) fn history(revision: Revision) -> String {
    format!("{HISTORY}{:08x}.{:016x}", revision.epoch, revision.counter)
}

/// The key of a user.
pub(super) fn user(aor: &str) -> String {
    format!("{USERS}{aor}")
}

/// The first key after all that begin with the prefix.
pub(super) fn after(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    if let Some(last) = end.last_mut() {
        // Every prefix here ends in ASCII.
        *last += 1;
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_as_it_is_written_and_lies_in_the_watched_range() {
        let parts = [Part::Meta, Part::Order(7), Part::Rev, Part::Server(1023), Part::Slot(65_535)];
        for part in parts {
            let key = part.key();
            assert_eq!(Part::read(key.as_bytes()), Some(part));
            assert!((TABLE..TABLE_END).contains(&key.as_str()), "{key}");
        }
        let revision = Revision { epoch: 1, counter: 255 };
        for other in [
            history(revision),
            format!("{EDGES}a"),
            format!("{HOSTS}a"),
            LEADER.into(),
            user("a@b"),
            user(""),
        ] {
            assert_eq!(Part::read(other.as_bytes()), None);
            assert!(!(TABLE..TABLE_END).contains(&other.as_str()), "{other}");
        }
        assert!(history(revision) < history(revision.next()));
        assert_eq!(after(SLOTS), TABLE_END.as_bytes());
    }
}
