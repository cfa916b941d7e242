//! A session with one member of etcd.
//!
//! A host talks to one member at a time, and to the next when that one fails: a balancer over all
//! of them would send every third request to a member that is paused or cut off. A session begins
//! with a read that needs the cluster's quorum, and every request has a limit. Invariant: whatever
//! fails ends the session, so there is one place in which to begin anew.

use std::{future::Future, time::Duration};

use etcd_client::{
    Certificate, Client, ConnectOptions, GetOptions, Identity, KeyValue, KvClient, LeaseClient,
    TlsOptions, Txn, TxnResponse, WatchClient,
};

use super::{
    Settings,
    fault::{self, Fault},
    keys,
};
use crate::store::StoreError;

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_millis(1000);
/// Longest wait for an answer.
pub(super) const ANSWER: Duration = Duration::from_millis(2000);
/// For a member that ends a TLS connection without a word.
const HUNG_UP: &str = "if etcd wants certificates of its clients, set or correct store.certificate \
                       and store.key; else look at etcd's members with `etcdctl endpoint status`";
const HUNG_UP_PLAIN: &str = "if etcd speaks TLS, use etcds:// and store.ca; else look at its \
                             members with `etcdctl endpoint status`";
/// Bytes of one answer; a page of slots is far smaller, a burst of changes may not be.
const MESSAGE_BYTES_MAX: usize = 256 << 20;
/// Bytes that a page of a range aims at.
const PAGE_BYTES: usize = 1 << 20;
/// Keys in a page.
const PAGE_KEYS: i64 = 1000;

/// How to speak to etcd, read from the files that the configuration names.
#[derive(Clone)]
pub(super) struct Access {
    members: Vec<String>,
    tls: Option<TlsOptions>,
    user: Option<(String, String)>,
}

impl Access {
    /// Reads certificates and password.
    pub(super) fn read(settings: &Settings) -> Result<Self, StoreError> {
        let tls = settings.tls.then(|| tls(settings)).transpose()?;
        let user = match &settings.user {
            None => None,
            Some((name, file)) => {
                let password = read(file, "correct store.password_file")?;
                let password = String::from_utf8_lossy(&password);
                Some((name.clone(), password.trim_end_matches(['\r', '\n']).to_owned()))
            }
        };
        Ok(Self { members: settings.members.clone(), tls, user })
    }

    /// Number of members.
    pub(super) fn members(&self) -> usize {
        self.members.len()
    }

    /// Begins a session with a member, by its number modulo their count.
    pub(super) async fn session(&self, number: usize) -> Result<Session, Fault> {
        let member = self.members.get(number % self.members.len().max(1));
        let Some(member) = member else {
            return Err(Fault::unusable("store.url names no member", "correct store.url"));
        };
        let mut options = ConnectOptions::new()
            .with_connect_timeout(CONNECT)
            .with_keep_alive(Duration::from_secs(5), ANSWER);
        if let Some((name, password)) = &self.user {
            options = options.with_user(name, password).with_auto_token_refresh(true);
        }
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        if let Some(tls) = &self.tls {
            options = options.with_tls(tls.clone());
        }
        let at_member = |fault: Fault| {
            // With TLS 1.3 the refusal comes after the handshake, and its reason is lost here.
            let cure = match self.tls {
                _ if fault.cure != fault::CURE => fault.cure,
                Some(_) => HUNG_UP.to_owned(),
                None => HUNG_UP_PLAIN.to_owned(),
            };
            Fault { cause: format!("{member}: {}", fault.cause), cure, ..fault }
        };
        let connect = Client::connect([format!("{scheme}://{member}")], Some(options));
        let client = within(ANSWER, connect).await.map_err(at_member)?;
        let mut session = Session {
            member: member.clone(),
            kv: client.kv_client().max_decoding_message_size(MESSAGE_BYTES_MAX),
            watch: client.watch_client().max_decoding_message_size(MESSAGE_BYTES_MAX),
            lease: client.lease_client(),
            cluster: 0,
            head: 0,
        };
        let found = session.get(keys::REV).await.map_err(at_member)?;
        (session.cluster, session.head) = (found.cluster, found.head);
        Ok(session)
    }
}

fn tls(settings: &Settings) -> Result<TlsOptions, StoreError> {
    let mut tls = TlsOptions::new();
    if let Some(ca) = &settings.ca {
        tls = tls.ca_certificate(Certificate::from_pem(read(ca, "correct store.ca")?));
    }
    if let (Some(certificate), Some(key)) = (&settings.certificate, &settings.key) {
        let certificate = read(certificate, "correct store.certificate")?;
        let key = read(key, "correct store.key")?;
        tls = tls.identity(Identity::from_pem(certificate, key));
    }
    Ok(tls)
}

fn read(path: &std::path::Path, cure: &'static str) -> Result<Vec<u8>, StoreError> {
    std::fs::read(path).map_err(|source| StoreError::Io { path: path.to_owned(), source, cure })
}

/// Waits for an answer, but not for ever.
pub(super) async fn within<T>(
    limit: Duration,
    answer: impl Future<Output = Result<T, etcd_client::Error>>,
) -> Result<T, Fault> {
    match tokio::time::timeout(limit, answer).await {
        Ok(answer) => answer.map_err(Fault::from),
        Err(_) => Err(Fault::slow(limit)),
    }
}

/// One member that answers. Clones share the connection.
#[derive(Clone)]
pub(super) struct Session {
    pub(super) member: String,
    pub(super) kv: KvClient,
    pub(super) watch: WatchClient,
    pub(super) lease: LeaseClient,
    /// etcd's own name of its cluster: revisions of another one mean nothing.
    pub(super) cluster: u64,
    /// etcd's revision when the session began.
    pub(super) head: i64,
}

/// A key's value, and etcd when it was read.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) value: Option<Vec<u8>>,
    /// etcd's revision of the value, 0 if there is none.
    pub(super) modified: i64,
    /// etcd's revision of the key's creation, 0 if there is none.
    pub(super) created: i64,
    /// etcd's revision.
    pub(super) head: i64,
    pub(super) cluster: u64,
}

impl Session {
    /// Reads a key, with the cluster's quorum.
    pub(super) async fn get(&mut self, key: &str) -> Result<Found, Fault> {
        let mut answer = within(ANSWER, self.kv.get(key, None)).await?;
        let (head, cluster) =
            answer.header().map_or((0, 0), |header| (header.revision(), header.cluster_id()));
        let found = answer.take_kvs().into_iter().next();
        Ok(Found {
            modified: found.as_ref().map_or(0, KeyValue::mod_revision),
            created: found.as_ref().map_or(0, KeyValue::create_revision),
            value: found.map(|found| found.into_key_value().1),
            head,
            cluster,
        })
    }

    /// A transaction; whether its comparisons held is in the answer.
    pub(super) async fn transact(&mut self, txn: Txn) -> Result<TxnResponse, Fault> {
        within(ANSWER, self.kv.txn(txn)).await
    }

    /// All keys from `from` up to `to`, in pages of one revision of etcd: `at`, or the newest.
    /// Returns that revision. A page is given to `page` as soon as it is there.
    pub(super) async fn range(
        &mut self,
        from: &str,
        to: &[u8],
        at: Option<i64>,
        mut page: impl FnMut(Vec<KeyValue>) -> Result<(), Fault>,
    ) -> Result<i64, Fault> {
        let (mut at, mut next, mut keys) = (at, from.as_bytes().to_vec(), 64);
        loop {
            let options = GetOptions::new().with_range(to).with_limit(keys);
            let options = options.with_revision(at.unwrap_or(0));
            let mut answer = within(ANSWER, self.kv.get(next, Some(options))).await?;
            let head = answer.header().map_or(0, etcd_client::ResponseHeader::revision);
            let revision = *at.get_or_insert(head);
            let (more, found) = (answer.more(), answer.take_kvs());
            let last = found.last().map(|last| last.key().to_vec());
            let bytes: usize = found.iter().map(|found| found.value().len() + 64).sum();
            let fit = PAGE_BYTES / (bytes / found.len().max(1)).max(1);
            keys = (fit as i64).clamp(1, PAGE_KEYS);
            page(found)?;
            match last.filter(|_| more) {
                None => return Ok(revision),
                Some(mut last) => {
                    // The key that follows at once.
                    last.push(0);
                    next = last;
                }
            }
        }
    }
}
