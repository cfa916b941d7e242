//! A new table in etcd, empty or brought from elsewhere.
//!
//! Everything but `meta` and `rev` is written first, in as many transactions as it takes; those
//! two come last and together. Until then there is no table for anybody, so that an attempt that
//! was cut short can be repeated: what it left is cleared away first. A key of its own keeps two
//! attempts apart.

use etcd_client::{Compare, CompareOp, DeleteOptions, Txn, TxnOp};

use super::{
    EtcdStore, HISTORY_KEPT, Secret, Settings,
    contents::Place,
    docs::{self, LAYOUT},
    fault::Fault,
    keys::{self, Part},
    session::{Access, Session},
};
use crate::{
    core::table::{Delta, Revision, Table},
    store::{AssignmentStore as _, Credentials as _, Record, StoreError, User, new_meta, now_ms},
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
    meta.slots = Table::new(meta.clone(), "").meta().slots;
    let secret = Secret::of(&meta);
    secret.write(&settings.secret_file)?;
    let empty = Delta { whole: true, ..Delta::default() };
    let new = New { secret: &secret, slots: meta.slots, table: &empty, history: &[], users: &[] };
    let made = write(settings, &new);
    if made.is_err() {
        Secret::discard(&settings.secret_file);
    }
    made.map(|()| secret)
}

/// The table, and the newest commits of its history, read once.
///
/// # Errors
/// If etcd can't be used, or holds no table of the cluster of the secret file.
pub fn export(settings: &Settings) -> Result<(Table, Vec<Record>), StoreError> {
    // A snapshot would do for serving, but not for bringing the table elsewhere.
    let store = EtcdStore::start(Settings { snapshot: None, ..settings.clone() })?;
    let table = store.load("")?;
    let history = store.history(None, HISTORY_KEPT as usize)?;
    Ok((table, history))
}

/// All users, read once.
///
/// # Errors
/// If etcd can't be used.
pub fn users(settings: &Settings) -> Result<Vec<User>, StoreError> {
    let store = EtcdStore::start(Settings { snapshot: None, ..settings.clone() })?;
    let mut users = Vec::new();
    store.all_users(&mut |user| users.push(user))?;
    Ok(users)
}

/// The table's revision.
///
/// # Errors
/// If etcd can't be used, or holds no table.
pub fn revision(settings: &Settings) -> Result<Revision, StoreError> {
    let store = settings.url();
    let found = with_session(settings, async |session| session.get(keys::REV).await)?;
    let Some(rev) = found.value else { return Err(StoreError::NoTable { store }) };
    let rev: Result<docs::Rev, _> = docs::read(&rev);
    rev.map(|rev| rev.revision()).map_err(|cause| StoreError::Damaged { path: store.into(), cause })
}

/// Writes a table from elsewhere, as of `revision`, and users.
///
/// # Errors
/// If there is a table already, or etcd can't be used.
pub fn import(
    settings: &Settings,
    table: &Table,
    revision: Revision,
    history: &[Record],
    users: &[User],
) -> Result<(), StoreError> {
    let (secret, delta) = (Secret::of(table.meta()), Delta { revision, ..table.as_delta() });
    let slots = table.meta().slots;
    write(settings, &New { secret: &secret, slots, table: &delta, history, users })
}

/// Transactions that [`import`] takes.
pub fn transactions(
    table: &Table,
    revision: Revision,
    history: &[Record],
    users: &[User],
) -> usize {
    let (secret, delta) = (Secret::of(table.meta()), Delta { revision, ..table.as_delta() });
    let new = New { secret: &secret, slots: table.meta().slots, table: &delta, history, users };
    // Beside the documents': one that says who writes, one that clears, and the last.
    batches(&new).count() + 3
}

/// Whether a table could be made.
///
/// # Errors
/// If there is one, or etcd can't be used.
pub fn is_free(settings: &Settings) -> Result<(), StoreError> {
    let store = settings.url();
    with_session(settings, async |session| {
        Ok(match session.has_table().await? {
            true => Err(StoreError::TableExists { store }),
            false => Ok(()),
        })
    })?
}

/// A table that is to be written.
struct New<'a> {
    secret: &'a Secret,
    slots: u32,
    table: &'a Delta,
    history: &'a [Record],
    users: &'a [User],
}

/// Writes a table where there is none.
fn write(settings: &Settings, new: &New<'_>) -> Result<(), StoreError> {
    with_session(settings, async |session| fill(session, new).await)?
}

/// Does something with a member that answers.
fn with_session<T>(
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
    if session.has_table().await? {
        return Ok(Err(StoreError::TableExists { store }));
    }
    let id = match getrandom::u64() {
        Ok(id) => format!("{id:016x}"),
        Err(error) => return Ok(Err(StoreError::Random(error.to_string()))),
    };
    session.put(MAKING, &id).await?;
    for writes in std::iter::once(clearing()).chain(batches(new)) {
        if let Some(other) = session.batch(&id, writes).await? {
            return Ok(Err(other.error(store)));
        }
    }
    let (meta, rev) = heads(new);
    let last = vec![
        TxnOp::delete(MAKING, None),
        TxnOp::put(keys::META, meta.clone(), None),
        TxnOp::put(keys::REV, rev, None),
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
    async fn has_table(&mut self) -> Result<bool, Fault> {
        let (meta, rev) = (self.get(keys::META).await?, self.get(keys::REV).await?);
        Ok(meta.value.is_some() || rev.value.is_some())
    }

    async fn put(&mut self, key: &str, value: &str) -> Result<(), Fault> {
        self.transact(Txn::new().and_then([TxnOp::put(key, value, None)])).await.map(|_| ())
    }

    /// Writes, if nobody else has begun to make a table.
    async fn batch(&mut self, id: &str, writes: Vec<TxnOp>) -> Result<Option<Other>, Fault> {
        let mine = Compare::value(MAKING, CompareOp::Equal, id);
        let none = Compare::create_revision(keys::REV, CompareOp::Equal, 0);
        let answer = self.transact(Txn::new().when([mine, none]).and_then(writes)).await?;
        Ok((!answer.succeeded()).then_some(Other))
    }
}

/// Takes away what an earlier attempt may have left.
fn clearing() -> Vec<TxnOp> {
    let all = || Some(DeleteOptions::new().with_prefix());
    let parts = [keys::SERVERS, keys::SLOTS, keys::PLANS, keys::HISTORY, keys::USERS];
    parts.map(|prefix| TxnOp::delete(prefix, all())).to_vec()
}

/// The writes of all documents but the last two, transaction by transaction.
fn batches(new: &New<'_>) -> impl Iterator<Item = Vec<TxnOp>> {
    let mut documents = documents(new).peekable();
    std::iter::from_fn(move || {
        let (mut writes, mut bytes) = (Vec::new(), 0);
        while let Some((key, value)) = documents.next_if(|(key, value)| {
            let more = key.len() + value.len();
            writes.is_empty() || writes.len() < PUTS_MAX && bytes + more <= BYTES_MAX
        }) {
            bytes += key.len() + value.len();
            writes.push(TxnOp::put(key, value, None));
        }
        (!writes.is_empty()).then_some(writes)
    })
}

/// All documents but the last two.
fn documents(new: &New<'_>) -> impl Iterator<Item = (String, Vec<u8>)> {
    let servers = new.table.servers.iter().filter_map(|(index, server)| {
        Some((Part::Server(*index).key(), docs::write(server.as_ref()?)))
    });
    let slots =
        new.table.slots.iter().filter_map(|(slot, content)| {
            Some((Part::Slot(*slot).key(), docs::write_slot(content)?))
        });
    let orders = new.table.orders.iter().filter_map(|(number, text)| {
        Some((Part::Order(*number).key(), text.clone()?.into_bytes()))
    });
    let history = new.history.iter().map(|record| {
        let past = docs::Past::new(record.clone(), String::new());
        (keys::history(record.revision), docs::write(&past))
    });
    let users = new.users.iter().map(|user| (keys::user(&user.aor), super::users::write(user)));
    servers.chain(slots).chain(orders).chain(history).chain(users)
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
