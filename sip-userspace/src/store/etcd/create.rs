//! A new table in etcd, empty or brought from elsewhere.
//!
//! Everything but `meta` and `rev` is written first, in as many transactions as it takes; those
//! two come last and together. Until then there is no table for anybody, so that an attempt that
//! was cut short can be repeated: what it left is cleared away first. A key of its own keeps two
//! attempts apart.

use etcd_client::{Compare, CompareOp, DeleteOptions, Txn, TxnOp};

use super::{
    Secret, Settings,
    contents::Place,
    docs::{self, LAYOUT},
    fault::Fault,
    keys::{self, Part},
    session::{Access, Session},
};
use crate::{
    core::table::{Delta, Revision},
    store::{Record, StoreError, new_meta, now_ms},
};

/// Who makes a table, while it is being made; a later attempt takes it over.
const MAKING: &str = "/homeward/v1/making";
/// Puts of one transaction.
const PUTS_MAX: usize = 100;
/// Bytes of one transaction.
const BYTES_MAX: usize = 1_000_000;

/// Makes an empty table, and the file of its secrets.
///
/// # Errors
/// If there is a table or a secret file already, or etcd can't be used; then nothing is left.
pub fn create(settings: &Settings, slots: u32) -> Result<Secret, StoreError> {
    let mut meta = new_meta(slots)?;
    meta.slots = crate::core::table::Table::new(meta.clone(), "").meta().slots;
    let secret = Secret::of(&meta);
    secret.write(&settings.secret_file)?;
    let empty = Delta { whole: true, ..Delta::default() };
    let new = New { secret: &secret, slots: meta.slots, table: &empty, history: &[] };
    let made = write(settings, &new);
    if made.is_err() {
        Secret::discard(&settings.secret_file);
    }
    made.map(|()| secret)
}

/// A table that is to be written.
pub(super) struct New<'a> {
    pub(super) secret: &'a Secret,
    pub(super) slots: u32,
    pub(super) table: &'a Delta,
    pub(super) history: &'a [Record],
}

/// Writes a table where there is none.
pub(super) fn write(settings: &Settings, new: &New<'_>) -> Result<(), StoreError> {
    with_session(settings, async |session| fill(session, new).await)?
}

/// Does something with a member that answers.
pub(super) fn with_session<T>(
    settings: &Settings,
    act: impl AsyncFnOnce(&mut Session) -> Result<T, Fault>,
) -> Result<T, StoreError> {
    let access = Access::read(settings)?;
    let store = settings.url();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|source| StoreError::Io {
        path: "tokio".into(),
        source,
        cure: "raise the limits of open files and threads",
    })?;
    let place = Place { store: store.clone(), secret_file: settings.secret_file.clone() };
    let done = runtime.block_on(async {
        let mut last = Fault::new("store.url names no member", "correct store.url");
        for member in 0..access.members() {
            match access.session(member).await {
                Ok(mut session) => return act(&mut session).await,
                Err(fault) => last = fault,
            }
        }
        Err(last)
    });
    done.map_err(|fault| match fault.problem {
        Some(problem) => problem.at(&place),
        None => StoreError::Unusable { store, cause: fault.cause, cure: fault.cure },
    })
}

async fn fill(session: &mut Session, new: &New<'_>) -> Result<Result<(), StoreError>, Fault> {
    let store = session.member.clone();
    for key in [keys::META, keys::REV] {
        if session.get(key).await?.value.is_some() {
            return Ok(Err(StoreError::TableExists { store }));
        }
    }
    let id = match getrandom::u64() {
        Ok(id) => format!("{id:016x}"),
        Err(error) => return Ok(Err(StoreError::Random(error.to_string()))),
    };
    session.put(MAKING, &id).await?;
    let mut writes: Vec<(usize, TxnOp)> = Vec::new();
    for prefix in [keys::SERVERS, keys::SLOTS, keys::HISTORY] {
        let all = Some(DeleteOptions::new().with_prefix());
        writes.push((prefix.len(), TxnOp::delete(prefix, all)));
    }
    if let Some(made) = session.batch(&id, std::mem::take(&mut writes)).await? {
        return Ok(Err(made.error(store)));
    }
    let mut bytes = 0;
    for (key, value) in documents(new) {
        let length = key.len() + value.len();
        if writes.len() >= PUTS_MAX || bytes + length > BYTES_MAX {
            bytes = 0;
            if let Some(made) = session.batch(&id, std::mem::take(&mut writes)).await? {
                return Ok(Err(made.error(store)));
            }
        }
        bytes += length;
        writes.push((length, TxnOp::put(key, value, None)));
    }
    let (meta, rev) = heads(new);
    if let Some(made) = session.batch(&id, writes).await? {
        return Ok(Err(made.error(store)));
    }
    let last = vec![
        (0, TxnOp::delete(MAKING, None)),
        (0, TxnOp::put(keys::META, meta.clone(), None)),
        (0, TxnOp::put(keys::REV, rev, None)),
    ];
    match session.batch(&id, last).await {
        Ok(None) => Ok(Ok(())),
        Ok(Some(other)) => Ok(Err(other.error(store))),
        // The answer was lost; the table that is there tells whether it was made.
        Err(fault) => match session.get(keys::META).await {
            Ok(found) if found.value.as_ref() == Some(&meta) => Ok(Ok(())),
            _ => Err(fault),
        },
    }
}

/// Why a table that was being made can't be finished.
struct Other;

impl Other {
    fn error(&self, store: String) -> StoreError {
        StoreError::Unusable {
            store,
            cause: "somebody else makes a table in it at the same time".to_owned(),
            cure: "see what became of it, and repeat".to_owned(),
        }
    }
}

impl Session {
    async fn put(&mut self, key: &str, value: &str) -> Result<(), Fault> {
        self.transact(Txn::new().and_then([TxnOp::put(key, value, None)])).await.map(|_| ())
    }

    /// Writes, if nobody else has begun to make a table.
    async fn batch(
        &mut self,
        id: &str,
        writes: Vec<(usize, TxnOp)>,
    ) -> Result<Option<Other>, Fault> {
        let mine = Compare::value(MAKING, CompareOp::Equal, id);
        let none = Compare::create_revision(keys::REV, CompareOp::Equal, 0);
        let writes: Vec<_> = writes.into_iter().map(|(_, write)| write).collect();
        let answer = self.transact(Txn::new().when([mine, none]).and_then(writes)).await?;
        Ok((!answer.succeeded()).then_some(Other))
    }
}

/// All documents but the last two.
fn documents<'a>(new: &'a New<'_>) -> impl Iterator<Item = (String, Vec<u8>)> + 'a {
    let servers = new.table.servers.iter().filter_map(|(index, server)| {
        Some((Part::Server(*index).key(), docs::write(server.as_ref()?)))
    });
    let slots =
        new.table.slots.iter().filter_map(|(slot, content)| {
            Some((Part::Slot(*slot).key(), docs::write_slot(content)?))
        });
    let history = new.history.iter().map(|record| {
        let past = docs::Past::new(record.clone(), String::new());
        (keys::history(record.revision), docs::write(&past))
    });
    servers.chain(slots).chain(history)
}

/// The documents of meta and revision.
fn heads(new: &New<'_>) -> (Vec<u8>, Vec<u8>) {
    let meta = docs::Meta {
        layout: LAYOUT,
        cluster: new.secret.cluster.clone(),
        secret: new.secret.id(),
        slots: new.slots,
    };
    let Revision { epoch, counter } = new.table.revision;
    let rev = docs::Rev {
        epoch,
        counter,
        slots_epoch: new.table.slots_since.epoch,
        slots_counter: new.table.slots_since.counter,
        at_ms: now_ms(),
        by: new.table.by.clone(),
        why: new.table.why.clone(),
        count: 0,
    };
    (docs::write(&meta), docs::write(&rev))
}
