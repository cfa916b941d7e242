//! What is held: subscriptions by dialog, and what belongs to a client, with the places where each
//! waits. Every subscription has at most one place among the timers and one among the notices; all
//! that is counted is counted here. Deliberately absent: what is sent.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use sip_common::abi::ClientKey;

use super::{dialog::DialogId, pace::Pace, package::Package, subscription::Subscription};
use crate::core::{io::Flow, table::learned::KeyMap};

/// A publication (RFC 3903).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Publication {
    /// Its entity tag.
    pub etag: u64,
    /// A later one has a higher number.
    pub number: u64,
    /// Its end, in seconds of the monotonic clock.
    pub expires_s: u32,
    pub body: Arc<[u8]>,
}

/// A client that is watched, or publishes.
#[derive(Debug, Default)]
pub(super) struct Watched {
    pub aor: Box<[u8]>,
    pub watchers: BTreeSet<DialogId>,
    pub publications: Vec<Publication>,
    /// The presence document that its watchers have or are about to get.
    pub told: Option<Arc<[u8]>>,
    /// When they were last marked to get one.
    pub passed_at: Option<Duration>,
    /// They are to be marked again, not that soon.
    pub later: bool,
}

/// All subscriptions and publications of this host.
#[derive(Debug)]
pub struct Subscriptions {
    pub(super) all: BTreeMap<DialogId, Subscription>,
    pub(super) clients: KeyMap<Watched>,
    users: KeyMap<usize>,
    /// Subscriptions over streams, by peer and connection.
    streams: BTreeSet<(SocketAddr, u64, DialogId)>,
    timers: BTreeSet<(Duration, DialogId)>,
    notices: BTreeSet<(Duration, DialogId)>,
    /// Ends of publications.
    pub(super) ends: BTreeSet<(u32, ClientKey, u64)>,
    /// Clients whose presence is passed on later.
    pub(super) later: BTreeSet<(Duration, ClientKey)>,
    pub(super) pace: Pace,
    /// Of the publication that was made last.
    pub(super) number: u64,
}

impl Subscriptions {
    /// None yet; so many notices a second.
    pub(in crate::core) fn new(notices_per_second: u32) -> Self {
        Self {
            all: BTreeMap::new(),
            clients: KeyMap::default(),
            users: KeyMap::default(),
            streams: BTreeSet::new(),
            timers: BTreeSet::new(),
            notices: BTreeSet::new(),
            ends: BTreeSet::new(),
            later: BTreeSet::new(),
            pace: Pace::new(notices_per_second),
            number: 0,
        }
    }

    /// Subscriptions, those that are being ended among them.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Publications.
    pub fn publications(&self) -> usize {
        self.ends.len()
    }

    /// Subscriptions to a client, those that are being ended among them: after a release the client
    /// is free when there is none.
    pub fn watchers(&self, key: &ClientKey) -> usize {
        self.clients.get(key).map_or(0, |client| client.watchers.len())
    }

    /// The clients that are watched, each with its watchers, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (ClientKey, usize)> {
        let watched = self.clients.iter().filter(|(_, client)| !client.watchers.is_empty());
        watched.map(|(key, client)| (*key, client.watchers.len()))
    }

    /// The clients that are watched or publish, in no order.
    pub(in crate::core) fn keys(&self) -> impl Iterator<Item = ClientKey> {
        self.clients.keys().copied()
    }

    /// Whether a client has published something.
    pub(in crate::core) fn has_publications(&self, key: &ClientKey) -> bool {
        self.clients.get(key).is_some_and(|client| !client.publications.is_empty())
    }

    /// Whether somebody watches a client's registrations.
    pub(in crate::core) fn has_reg_watchers(&self, key: &ClientKey) -> bool {
        !self.dialogs(key, Some(Package::Reg)).is_empty()
    }

    /// Notices that have not left yet.
    pub fn waiting(&self) -> usize {
        self.notices.len()
    }

    /// Subscriptions that count for a user.
    pub(super) fn of_user(&self, user: &ClientKey) -> usize {
        self.users.get(user).copied().unwrap_or(0)
    }

    /// The dialogs of a client's subscriptions to a package.
    pub(super) fn dialogs(&self, key: &ClientKey, package: Option<Package>) -> Vec<DialogId> {
        let Some(client) = self.clients.get(key) else { return Vec::new() };
        let fits = |id: &&DialogId| {
            self.all.get(id).is_some_and(|it| package.is_none_or(|package| it.package == package))
        };
        client.watchers.iter().filter(fits).copied().collect()
    }

    /// Whether somebody watches a client.
    pub(in crate::core) fn is_watched(&self, key: &ClientKey) -> bool {
        self.clients.contains_key(key)
    }

    /// The client's place, made if there is none.
    pub(super) fn client(&mut self, key: ClientKey, aor: &[u8]) -> &mut Watched {
        let client = self.clients.entry(key).or_default();
        if client.aor.is_empty() {
            client.aor = aor.into();
        }
        client
    }

    /// Takes a subscription in.
    pub(super) fn insert(&mut self, id: DialogId, aor: &[u8], subscription: Subscription) {
        self.remove(id);
        self.client(subscription.client, aor).watchers.insert(id);
        let user = self.users.entry(subscription.user).or_default();
        *user = user.saturating_add(1);
        self.streams.extend(place(id, &subscription.dialog.flow));
        self.all.insert(id, subscription);
        self.arm(id);
    }

    /// Takes a subscription out.
    pub(super) fn remove(&mut self, id: DialogId) -> Option<Subscription> {
        let gone = self.all.remove(&id)?;
        if let Some(at) = gone.wake_at {
            self.timers.remove(&(at, id));
        }
        if let Some(at) = gone.notice_at {
            self.notices.remove(&(at, id));
        }
        if let Some(place) = place(id, &gone.dialog.flow) {
            self.streams.remove(&place);
        }
        if let Some(client) = self.clients.get_mut(&gone.client) {
            client.watchers.remove(&id);
        }
        self.forget(&gone.client);
        match self.users.get_mut(&gone.user) {
            Some(number) if *number > 1 => *number = number.saturating_sub(1),
            _ => {
                self.users.remove(&gone.user);
            }
        }
        Some(gone)
    }

    /// Forgets a client that nobody watches and that publishes nothing.
    pub(super) fn forget(&mut self, key: &ClientKey) {
        let idle = |it: &Watched| it.watchers.is_empty() && it.publications.is_empty();
        if self.clients.get(key).is_some_and(idle) {
            self.clients.remove(key);
        }
    }

    /// The way to a watcher is another one.
    pub(super) fn moved(&mut self, id: DialogId, flow: Flow) {
        let Some(it) = self.all.get_mut(&id) else { return };
        let old = std::mem::replace(&mut it.dialog.flow, flow);
        if let Some(place) = place(id, &old) {
            self.streams.remove(&place);
        }
        self.streams.extend(place(id, &flow));
    }

    /// The subscriptions over a connection.
    pub(super) fn over(&self, flow: &Flow) -> Vec<DialogId> {
        let (first, last) = (DialogId(0), DialogId(u128::MAX));
        let (peer, connection) = (flow.peer, flow.connection);
        let range = (peer, connection, first)..=(peer, connection, last);
        self.streams.range(range).map(|(_, _, id)| *id).collect()
    }

    /// Gives a subscription the place among the timers that it wants.
    pub(super) fn arm(&mut self, id: DialogId) {
        let Some(it) = self.all.get_mut(&id) else { return };
        let next = it.next_timer();
        if next != it.wake_at {
            if let Some(at) = it.wake_at {
                self.timers.remove(&(at, id));
            }
            it.wake_at = next;
            self.timers.extend(next.map(|at| (at, id)));
        }
    }

    /// Gives a subscription the place among the notices that it wants.
    pub(super) fn schedule(&mut self, id: DialogId, now: Duration) {
        let Some(it) = self.all.get_mut(&id) else { return };
        let next = it.next_notice(now);
        // Who waits already keeps its place.
        if next.is_some() == it.notice_at.is_some() {
            return;
        }
        if let Some(at) = it.notice_at {
            self.notices.remove(&(at, id));
        }
        it.notice_at = next;
        self.notices.extend(next.map(|at| (at, id)));
    }

    /// Takes a subscription's place among the notices away.
    pub(super) fn unschedule(&mut self, id: DialogId) {
        let at = self.all.get_mut(&id).and_then(|it| it.notice_at.take());
        if let Some(at) = at {
            self.notices.remove(&(at, id));
        }
    }

    /// Has the presence of a client passed on to its watchers at a time.
    pub(super) fn pass_later(&mut self, key: ClientKey, at: Duration) {
        if let Some(client) = self.clients.get_mut(&key).filter(|client| !client.later) {
            client.later = true;
            self.later.insert((at, key));
        }
    }

    /// A timer that is due.
    pub(super) fn next_timer(&self, now: Duration) -> Option<DialogId> {
        self.timers.first().filter(|(at, _)| *at <= now).map(|(_, id)| *id)
    }

    /// A notice that may leave.
    pub(super) fn next_notice(&self, now: Duration) -> Option<DialogId> {
        let open = self.pace.open_at() <= now;
        self.notices.first().filter(|(at, _)| open && *at <= now).map(|(_, id)| *id)
    }

    /// When something is due.
    pub(in crate::core) fn deadline(&self) -> Option<Duration> {
        let timer = self.timers.first().map(|(at, _)| *at);
        let notice = self.notices.first().map(|(at, _)| (*at).max(self.pace.open_at()));
        let end = self.ends.first().map(|(end_s, ..)| Duration::from_secs((*end_s).into()));
        let later = self.later.first().map(|(at, _)| *at);
        [timer, notice, end, later].into_iter().flatten().min()
    }
}

/// The place of a subscription over a stream.
fn place(id: DialogId, flow: &Flow) -> Option<(SocketAddr, u64, DialogId)> {
    let stream = flow.transport != crate::core::Transport::Udp;
    stream.then_some((flow.peer, flow.connection, id))
}
