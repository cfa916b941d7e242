//! The users of a cluster in etcd: `user/<aor>` for each, beside the table and apart from it.
//!
//! Who changes users touches no `rev`, and a host reads and follows them only once it has asked for
//! all of them, so that one which authenticates nobody neither needs etcd's permission on them nor
//! keeps a copy. `change` makes changes, `follow` tells what others change, `copy` keeps the last
//! users on this host for a start without etcd. Invariant: a document that can't be read is no
//! user, and is named in the log; it does not keep the others from logging in.

mod change;
mod copy;
mod follow;

use std::cell::{Cell, RefCell};

use etcd_client::{GetOptions, KeyValue};
use serde::{Deserialize, Serialize};

use self::{change::Sent, copy::Copy};
use super::{
    Secret, docs,
    fault::Fault,
    keys,
    run::{Runner, Seat},
    session::{ANSWER, Session, within},
};
use crate::{
    sip::digest::{Algorithm, Ha1, Hash},
    store::{StoreError, User},
};

/// Users that one change may touch.
pub const USERS_MAX: usize = super::OPERATIONS_MAX;

/// What of the users outlives a session.
pub(super) struct Kept {
    /// Somebody has asked for all, and is to hear what becomes of them.
    wanted: Cell<bool>,
    /// All up to this revision of etcd's is known.
    at: Cell<Option<Seat>>,
    copy: RefCell<Copy>,
    /// The change at the front of the backlog, once etcd may have made it.
    pub(super) sent: RefCell<Option<Sent>>,
}

impl Kept {
    /// Nothing is known yet; the copy stands beside the table's snapshot, if there is one.
    pub(super) fn new(snapshot: Option<&std::path::Path>, secret: &Secret) -> Self {
        let path = snapshot.map(|snapshot| snapshot.with_extension("users.db"));
        Self {
            wanted: Cell::new(false),
            at: Cell::new(None),
            copy: RefCell::new(Copy::new(path, secret)),
            sent: RefCell::default(),
        }
    }
}

/// A user's document: HA1s in hexadecimal digits, those that are known.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    realm: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    md5: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    sha256: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    aor_md5: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    aor_sha256: String,
}

/// Writes a user's document.
pub(super) fn write(user: &User) -> Vec<u8> {
    let hex = |ha1: &Ha1, algorithm| {
        let digits = ha1.get(algorithm).map(|hash: Hash| hash.hex());
        digits.map_or_else(String::new, |hex| String::from_utf8_lossy(hex.as_ref()).into_owned())
    };
    docs::write(&Document {
        realm: user.realm.clone(),
        md5: hex(&user.by_user, Algorithm::Md5),
        sha256: hex(&user.by_user, Algorithm::Sha256),
        aor_md5: hex(&user.by_aor, Algorithm::Md5),
        aor_sha256: hex(&user.by_aor, Algorithm::Sha256),
    })
}

/// Reads a user's document.
fn read(aor: &str, value: &[u8]) -> Result<User, String> {
    let document: Document = docs::read(value)?;
    let hash = |algorithm: Algorithm, digits: &str| match digits {
        "" => Ok(None),
        digits => Hash::from_hex(algorithm, digits.as_bytes())
            .map(Some)
            .ok_or_else(|| format!("its {} hash is none", algorithm.label())),
    };
    let ha1 = |md5: &str, sha256: &str| -> Result<Ha1, String> {
        let known = [hash(Algorithm::Md5, md5)?, hash(Algorithm::Sha256, sha256)?];
        Ok(known.into_iter().flatten().fold(Ha1::default(), Ha1::with))
    };
    Ok(User {
        aor: aor.to_owned(),
        by_user: ha1(&document.md5, &document.sha256)?,
        by_aor: ha1(&document.aor_md5, &document.aor_sha256)?,
        realm: document.realm,
    })
}

/// The AoR in a key, if it is a user's.
fn aor(key: &[u8]) -> Option<&str> {
    std::str::from_utf8(key).ok()?.strip_prefix(keys::USERS).filter(|aor| !aor.is_empty())
}

/// The user in a document; `None`, with a word in the log, if there is none.
fn user(aor: &str, value: &[u8]) -> Option<User> {
    let user = read(aor, value);
    user.inspect_err(|cause| {
        let key = keys::user(aor);
        tracing::warn!(
            key,
            cause,
            "not a user's document: nobody can log in by it; `homeward user passwd` writes it anew"
        );
    })
    .ok()
}

fn users(found: &[KeyValue]) -> impl Iterator<Item = User> {
    found.iter().filter_map(|found| user(aor(found.key())?, found.value()))
}

impl Runner {
    /// All users, at one revision of etcd; from then on the watcher is told of changes.
    pub(super) async fn all_users(&self, session: &mut Session) -> Result<Vec<User>, Fault> {
        let mut all = Vec::new();
        let seat = loop {
            all.clear();
            match self.each_page(session, |page| all.extend(users(page))).await {
                Err(fault) if fault.compacted => {}
                other => break other?,
            }
        };
        self.users.at.set(Some(seat));
        self.users.wanted.set(true);
        Ok(all)
    }

    /// The users as they were last seen, because etcd can't be used.
    pub(super) fn users_copied(&self, fault: &Fault) -> Result<Vec<User>, StoreError> {
        let copied = self.users.copy.borrow_mut().read();
        let unusable = |what: String| StoreError::Unusable {
            store: self.place.store.clone(),
            cause: format!("{}, and {what}", fault.cause),
            cure: fault.cure.clone(),
        };
        let documents = match copied {
            Ok(Some(documents)) => documents,
            Ok(None) => return Err(unusable("this host has no copy of the users".to_owned())),
            Err(error) => {
                return Err(unusable(format!("this host's copy of the users is no good: {error}")));
            }
        };
        let users = documents.iter().filter_map(|(aor, value)| user(aor, value));
        let users: Vec<_> = users.collect();
        tracing::warn!(
            cause = fault.cause,
            cure = fault.cure,
            users = users.len(),
            "etcd can't be used: this host begins with the last users that it has seen"
        );
        self.users.at.set(None);
        self.users.wanted.set(true);
        Ok(users)
    }

    /// Some users in the order of their AoRs.
    pub(super) async fn page_users(
        &self,
        session: &mut Session,
        after: &str,
        limit: usize,
    ) -> Result<Vec<User>, Fault> {
        let mut from = keys::user(after).into_bytes();
        if !after.is_empty() {
            // The key that follows at once.
            from.push(0);
        }
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let options = GetOptions::new().with_range(keys::after(keys::USERS)).with_limit(limit);
        let found = within(ANSWER, session.kv.get(from, Some(options))).await?;
        Ok(users(found.kvs()).collect())
    }

    /// Gives all users to `take`, page by page, and puts them into the copy.
    async fn each_page(
        &self,
        session: &mut Session,
        mut take: impl FnMut(&[KeyValue]),
    ) -> Result<Seat, Fault> {
        let mut filling = self.users.copy.borrow_mut().begin();
        let end = keys::after(keys::USERS);
        let read = session.range(keys::USERS, &end, None, |page| {
            let documents =
                page.iter().filter_map(|found| Some((aor(found.key())?, found.value())));
            filling.page(&mut self.users.copy.borrow_mut(), documents);
            take(&page);
            Ok(())
        });
        let revision = read.await?;
        filling.end(&mut self.users.copy.borrow_mut());
        Ok(Seat { cluster: session.cluster, revision })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_reads_as_it_was_written() {
        let ha1 = Ha1::new(b"a", "r", b"secret");
        for (by_user, by_aor) in [
            (ha1, Ha1::default()),
            (ha1, Ha1::new(b"a@h", "r", b"secret")),
            (Ha1 { sha256: [0; 32], ..ha1 }, Ha1::default()),
            (Ha1 { md5: [0; 16], ..ha1 }, Ha1 { md5: [0; 16], ..ha1 }),
        ] {
            let user = User { aor: "zoë@h".into(), realm: "a \"realm\"".into(), by_user, by_aor };
            let written = write(&user);
            assert_eq!(read("zoë@h", &written), Ok(user.clone()));
            assert_eq!(aor(keys::user(&user.aor).as_bytes()), Some("zoë@h"));
        }
        for bad in ["", "7", "{}", "{\"realm\":\"r\",\"md5\":\"xx\"}", "{\"realm\":\"r\",\"q\":1}"]
        {
            assert!(read("a@h", bad.as_bytes()).is_err(), "{bad}");
        }
        assert_eq!(aor(b"/homeward/v1/user/"), None);
        assert_eq!(aor(b"/homeward/v1/slot/3"), None);
    }
}
