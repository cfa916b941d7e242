//! The package `reg` (RFC 3680): which contacts a client has, and what became of them.
//!
//! The first document of a subscription is full, those after it say what changed. The version is
//! the number of the notice less one, so that both rise by one; after a restart both leave a gap and
//! the next document is full, which a watcher takes as it is (section 5.1). Deliberately absent: the
//! Call-ID of a binding, of which only a hash is kept.

use sip_common::siphash::{Key, hash};

use super::{package::View, subscription::Subscription, xml};
use crate::{
    core::bindings::Binding,
    sip::{lex::Cursor, params::Params},
};

/// What happened to a contact (section 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It was registered.
    Registered,
    /// It was registered again.
    Refreshed,
    /// It will end earlier; the client is to register again before (section 4.7).
    Shortened,
    /// It ran out.
    Expired,
    /// It was ended by this host.
    Deactivated,
    /// It was removed by its client.
    Unregistered,
}

impl Event {
    const fn name(self) -> &'static str {
        match self {
            Self::Registered => "registered",
            Self::Refreshed => "refreshed",
            Self::Shortened => "shortened",
            Self::Expired => "expired",
            Self::Deactivated => "deactivated",
            Self::Unregistered => "unregistered",
        }
    }

    const fn is_end(self) -> bool {
        matches!(self, Self::Expired | Self::Deactivated | Self::Unregistered)
    }
}

/// A contact and what happened to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub(super) id: u64,
    uri: Box<[u8]>,
    event: Event,
    q: u16,
    expires_s: u32,
}

impl Change {
    pub(super) fn of(binding: &Binding, event: Event) -> Self {
        Self {
            id: id(binding),
            uri: binding.uri().into(),
            event,
            q: binding.q,
            expires_s: binding.expires_s,
        }
    }

    /// A contact that its client is to register again before this second.
    pub(super) fn shortened(binding: &Binding, expires_s: u32) -> Self {
        let expires_s = expires_s.min(binding.expires_s);
        Self { expires_s, ..Self::of(binding, Event::Shortened) }
    }

    fn push(&self, out: &mut String, now_s: u32) {
        let (state, left_s) = match self.event.is_end() {
            true => ("terminated", 0),
            false => ("active", self.expires_s.saturating_sub(now_s)),
        };
        let (whole, thousandths) = (self.q / 1_000, self.q % 1_000);
        out.push_str(&format!(
            "<contact id=\"{:016x}\" state=\"{state}\" event=\"{}\" expires=\"{left_s}\" \
             q=\"{whole}.{thousandths:03}\"><uri>{}</uri></contact>",
            self.id,
            self.event.name(),
            xml::text(&self.uri),
        ));
    }
}

/// A contact's name among those of its client: its URI, and its flow (RFC 5626), of which two may
/// have the same.
fn id(binding: &Binding) -> u64 {
    let params = Params::parse(&mut Cursor::new(binding.params())).unwrap_or_default();
    let value = |name| params.value(name).unwrap_or_default();
    let text = [binding.uri(), b"\0", value("+sip.instance"), b"\0", value("reg-id")];
    hash(Key { k0: 0, k1: 0 }, &text.concat())
}

/// What a REGISTER made of the old contacts; what is gone met this end.
pub(super) fn changes(old: &[Binding], new: &[Binding], end: Event) -> Vec<Change> {
    let has = |list: &[Binding], one: &Binding| list.iter().any(|other| id(other) == id(one));
    let gone = old.iter().filter(|binding| !has(new, binding)).map(|it| Change::of(it, end));
    let now = new.iter().filter(|binding| !old.contains(binding)).map(|binding| {
        let event = if has(old, binding) { Event::Refreshed } else { Event::Registered };
        Change::of(binding, event)
    });
    gone.chain(now).collect()
}

/// The document of this watcher's next notice.
pub(super) fn document(view: &View<'_>, to: &Subscription) -> Vec<u8> {
    let now_s = view.now.mono_s();
    let live = |binding: &&Binding| binding.expires_s > now_s;
    let mut shown = to.changes.clone();
    if to.full {
        let known = |binding: &&Binding| to.changes.iter().all(|change| change.id != id(binding));
        let others = view.bindings.iter().filter(live).filter(known);
        shown.extend(others.map(|it| Change::of(it, Event::Registered)));
    }
    let active = match to.full {
        true => shown.iter().any(|change| !change.event.is_end()),
        false => view.bindings.iter().any(|it| live(&it)),
    };
    let state = match (active, shown.is_empty()) {
        (true, _) => "active",
        (false, true) => "init",
        (false, false) => "terminated",
    };
    let aor = xml::uri(&view.client.aor);
    // The notice's number is the next one.
    let version = to.dialog.cseq;
    let whole = if to.full { "full" } else { "partial" };
    let mut out = format!(
        "<?xml version=\"1.0\"?>\r\n<reginfo xmlns=\"urn:ietf:params:xml:ns:reginfo\" \
         version=\"{version}\" state=\"{whole}\"><registration aor=\"{aor}\" id=\"{:016x}\" \
         state=\"{state}\">",
        to.client.0[0],
    );
    shown.iter().for_each(|change| change.push(&mut out, now_s));
    out.push_str("</registration></reginfo>\r\n");
    out.into_bytes()
}
