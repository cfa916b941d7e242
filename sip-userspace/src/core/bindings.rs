//! Bindings of clients to contacts, in memory, with their expiry (RFC 3261 section 10).
//!
//! Built for ten million clients in 6 GB: a client costs one map entry, one slice, one text per
//! contact, which holds the way to it too, and one for its AoR, so that an operator can list it.
//! Each client has exactly one place among the ends, at or before its earliest expiry, and is looked
//! at again when that comes; and one among those of its slot, which move together.
//! Times are seconds of the monotonic clock. Deliberately absent: the rules of registration.

use std::collections::BTreeMap;

use sip_common::{
    abi::ClientKey,
    siphash::{Key, hash_128},
};

use super::{io::Flow, pack, table::learned::KeyMap};
use crate::sip::{lex, params::Params};

/// Longest Contact that is kept, with its parameters, in bytes: a phone that is woken by push
/// notices has about 500.
pub const CONTACT_MAX: usize = 640;
/// Bytes of all Contacts of one client: a 200 lists them all, also to a spoofed source.
pub const CONTACTS_LEN_MAX: usize = 2_048;

/// Longest Path that is kept, in bytes: all its values with their commas; a token of a flow takes
/// about 150.
pub const PATH_MAX: usize = 1_024;
/// The preference of a contact that names none, in thousandths (RFC 3261 section 20.10 gives no
/// default; 1 is what proxies take).
const Q_DEFAULT: u16 = 1_000;

/// One contact of a client; or what is remembered of one that is gone (`core::history`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// `<URI>` and the header parameters but expires, then the Path values, then the packed flow.
    text: Box<[u8]>,
    uri_len: u16,
    contact_len: u16,
    path_len: u16,
    /// Preference in thousandths.
    pub q: u16,
    /// It is gone: a tombstone, which says so of its Call-ID up to its CSeq.
    pub gone: bool,
    /// How often its CSeq began anew under one Call-ID after its contact was gone.
    pub round: u8,
    /// When it was accepted, in seconds of the monotonic clock: negative before this machine started.
    pub since_s: i32,
    /// Which Call-ID it was registered with.
    pub call: CallId,
    /// The CSeq number that it was registered with.
    pub cseq: u32,
    /// When it ends, in seconds of the monotonic clock.
    pub expires_s: u32,
}

/// A Call-ID by its hash: two of them are only ever compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallId([u64; 2]);

impl CallId {
    /// The hash of a Call-ID, the same on every host.
    pub fn of(text: &[u8]) -> Self {
        Self(hash_128(Key { k0: 0, k1: 0 }, text))
    }

    /// The hash as it is kept.
    pub fn to_bytes(self) -> [u8; 16] {
        let [low, high] = self.0;
        (u128::from(high) << 64 | u128::from(low)).to_le_bytes()
    }

    /// A hash that was kept.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        let word = u128::from_le_bytes(bytes);
        Self([word as u64, (word >> 64) as u64])
    }
}

impl Binding {
    /// A binding of a URI with header parameters (`;a;b=c`); `None` if they are too long.
    pub fn new(uri: &[u8], params: &[u8], call: CallId, cseq: u32, expires_s: u32) -> Option<Self> {
        let uri_len = u16::try_from(uri.len()).ok()?;
        let text = [b"<", uri, b">", params].concat();
        let text = (text.len() <= CONTACT_MAX).then_some(text)?.into_boxed_slice();
        let contact_len = u16::try_from(text.len()).ok()?;
        let q = Params::parse(&mut lex::Cursor::new(params)).and_then(|params| params.value("q"));
        let q = q.and_then(read_q).unwrap_or(Q_DEFAULT);
        Some(Self {
            text,
            uri_len,
            contact_len,
            path_len: 0,
            q,
            gone: false,
            round: 0,
            since_s: 0,
            call,
            cseq,
            expires_s,
        })
    }

    /// The tombstone of this: the same contact, without a way to it.
    #[must_use]
    pub fn into_gone(self) -> Self {
        let text = self.contact().into();
        Self { text, path_len: 0, gone: true, ..self }
    }

    /// Whether this is the tombstone of all contacts.
    pub fn is_all(&self) -> bool {
        self.gone && self.uri_len == 0
    }

    /// The same, registered at `since_s` along these Path values, and reached over this flow where
    /// its client itself sent the request; `None` if the Path is too long.
    #[must_use]
    pub fn reached_by(self, path: &[u8], flow: Option<&Flow>, since_s: i32) -> Option<Self> {
        let path_len = (path.len() <= PATH_MAX).then(|| u16::try_from(path.len()).ok())??;
        let len = self.text.len().saturating_add(path.len()).saturating_add(48);
        let mut text = Vec::with_capacity(len);
        text.extend_from_slice(self.contact());
        text.extend_from_slice(path);
        if let Some(flow) = flow {
            pack::push(&mut text, flow);
        }
        Some(Self { text: text.into_boxed_slice(), path_len, since_s, ..self })
    }

    /// The header parameters but expires.
    pub fn params(&self) -> &[u8] {
        let start = usize::from(self.uri_len).saturating_add(2);
        self.text.get(start..usize::from(self.contact_len)).unwrap_or_default()
    }

    /// The URI.
    pub fn uri(&self) -> &[u8] {
        self.text.get(1..usize::from(self.uri_len).saturating_add(1)).unwrap_or_default()
    }

    /// The Contact value without expires.
    pub fn contact(&self) -> &[u8] {
        self.text.get(..usize::from(self.contact_len)).unwrap_or_default()
    }

    /// The Path values, the first hop first; empty without.
    pub fn path(&self) -> &[u8] {
        let start = usize::from(self.contact_len);
        let end = start.saturating_add(usize::from(self.path_len));
        self.text.get(start..end).unwrap_or_default()
    }

    /// Everything but the contact: Path and flow.
    pub(super) fn way(&self) -> &[u8] {
        self.text.get(usize::from(self.contact_len)..).unwrap_or_default()
    }

    /// The flow over which its client registered itself.
    pub fn flow(&self) -> Option<Flow> {
        let start = usize::from(self.contact_len).saturating_add(usize::from(self.path_len));
        pack::read(self.text.get(start..)?)
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.text.len()
    }
}

/// A qvalue in thousandths: `0`, `1`, or up to three digits behind the point (section 25.1).
fn read_q(text: &[u8]) -> Option<u16> {
    let (whole, fraction) = match text {
        [whole @ (b'0' | b'1')] => (whole, &b""[..]),
        [whole @ (b'0' | b'1'), b'.', fraction @ ..] if fraction.len() <= 3 => (whole, fraction),
        _ => return None,
    };
    let mut q = u16::from(whole.wrapping_sub(b'0'));
    for at in 0..3 {
        let digit = fraction.get(at).copied().unwrap_or(b'0');
        q = q
            .saturating_mul(10)
            .saturating_add(u16::from(digit.checked_sub(b'0').filter(|d| *d < 10)?));
    }
    (q <= 1_000).then_some(q)
}

#[derive(Debug)]
struct Client {
    bindings: Box<[Binding]>,
    /// The canonical AoR; empty until [`Bindings::saw`] says it.
    aor: Box<[u8]>,
    /// When it last registered or asked, in seconds of the monotonic clock.
    seen_s: u32,
    /// When it last did by itself, not through others; 0 if it never did.
    came_s: u32,
    /// Where the client stands among the ends.
    looked_at_s: u32,
}

/// Where [`Bindings::look`] goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    second: u32,
    skip: usize,
}

/// All bindings of this host.
#[derive(Debug)]
pub struct Bindings {
    clients: KeyMap<Client>,
    /// In no order.
    slots: Vec<Vec<ClientKey>>,
    ends: BTreeMap<u32, Vec<ClientKey>>,
    len: usize,
}

impl Default for Bindings {
    fn default() -> Self {
        Self::new(1)
    }
}

impl Bindings {
    /// None yet, of clients of so many slots, which is a power of two.
    pub fn new(slots: u32) -> Self {
        Self {
            clients: KeyMap::default(),
            slots: vec![Vec::new(); slots.max(1) as usize],
            ends: BTreeMap::new(),
            len: 0,
        }
    }

    /// The clients of a slot.
    pub fn in_slot(&self, slot: u32) -> &[ClientKey] {
        self.slots.get(slot as usize).map_or(&[], Vec::as_slice)
    }

    fn slot_of(&mut self, key: &ClientKey) -> Option<&mut Vec<ClientKey>> {
        let mask = u32::try_from(self.slots.len()).unwrap_or(u32::MAX).wrapping_sub(1);
        self.slots.get_mut(key.slot(mask) as usize)
    }

    fn leave_slot(&mut self, key: &ClientKey) {
        if let Some(slot) = self.slot_of(key)
            && let Some(place) = slot.iter().position(|other| other == key)
        {
            slot.swap_remove(place);
        }
    }

    /// Bindings of all clients.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Clients with a binding.
    pub fn clients(&self) -> usize {
        self.clients.len()
    }

    /// The bindings of a client; one that has just ended may be among them.
    pub fn get(&self, key: &ClientKey) -> &[Binding] {
        self.clients.get(key).map_or(&[], |client| &client.bindings)
    }

    /// Replaces the bindings of a client.
    pub fn set(&mut self, key: ClientKey, bindings: Vec<Binding>) {
        let Some(first_s) = bindings.iter().map(|binding| binding.expires_s).min() else {
            return self.remove(&key);
        };
        let now_len = bindings.len();
        let bindings = bindings.into_boxed_slice();
        let before = match self.clients.get_mut(&key) {
            Some(client) if client.looked_at_s <= first_s => {
                std::mem::replace(&mut client.bindings, bindings).len()
            }
            _ => {
                let before = self.get(&key).len();
                self.remove(&key);
                let client = Client {
                    bindings,
                    aor: Box::default(),
                    seen_s: 0,
                    came_s: 0,
                    looked_at_s: first_s,
                };
                self.clients.insert(key, client);
                if let Some(slot) = self.slot_of(&key) {
                    push(slot, key);
                }
                push(self.ends.entry(first_s).or_default(), key);
                self.len = self.len.saturating_add(before);
                before
            }
        };
        self.len = self.len.saturating_sub(before).saturating_add(now_len);
    }

    /// Notes that a client was here, whether it came by itself, and who it is.
    pub fn saw(
        &mut self,
        key: &ClientKey,
        now_s: u32,
        directly: bool,
        aor: impl FnOnce() -> Box<[u8]>,
    ) {
        let Some(client) = self.clients.get_mut(key) else { return };
        client.seen_s = now_s;
        if directly {
            client.came_s = now_s;
        }
        if client.aor.is_empty() {
            client.aor = aor();
        }
    }

    /// When a client with bindings last registered or asked, in seconds of the monotonic clock.
    pub fn seen_s(&self, key: &ClientKey) -> Option<u32> {
        self.clients.get(key).map(|client| client.seen_s)
    }

    /// The same, of what it sent by itself.
    pub fn came_s(&self, key: &ClientKey) -> Option<u32> {
        self.clients.get(key).map(|client| client.came_s).filter(|came_s| *came_s > 0)
    }

    /// The AoR of a client with bindings.
    pub fn aor(&self, key: &ClientKey) -> &[u8] {
        self.clients.get(key).map_or(&[], |client| &client.aor)
    }

    /// The first second from this one on at which clients are looked at, and which.
    pub fn ending_from(&self, second: u32) -> Option<(u32, &[ClientKey])> {
        self.ends.range(second..).next().map(|(second, keys)| (*second, keys.as_slice()))
    }

    /// Shows at most `max` clients by their AoR, from `from` on, and says where to go on. A client
    /// that is bound anew between two calls may be shown twice, or not at all.
    pub fn look<'a>(
        &'a self,
        from: Place,
        max: usize,
        mut show: impl FnMut(&'a [u8]),
    ) -> Option<Place> {
        let mut left = max;
        for (second, keys) in self.ends.range(from.second..) {
            let skip = if *second == from.second { from.skip } else { 0 };
            for (number, key) in keys.iter().enumerate().skip(skip) {
                if left == 0 {
                    return Some(Place { second: *second, skip: number });
                }
                left = left.saturating_sub(1);
                if let Some(client) = self.clients.get(key) {
                    show(&client.aor);
                }
            }
        }
        None
    }

    fn remove(&mut self, key: &ClientKey) {
        let Some(client) = self.clients.remove(key) else { return };
        self.len = self.len.saturating_sub(client.bindings.len());
        self.leave_slot(key);
        if let Some(keys) = self.ends.get_mut(&client.looked_at_s) {
            keys.retain(|other| other != key);
            if keys.is_empty() {
                self.ends.remove(&client.looked_at_s);
            }
        }
    }

    /// When [`Self::expire`] has something to look at, in seconds of the monotonic clock.
    pub fn next_s(&self) -> Option<u32> {
        self.ends.first_key_value().map(|(second, _)| *second)
    }

    /// Removes what has ended; the number of bindings removed. `ending` is shown the clients that
    /// lose some, with all that they had.
    pub fn expire(&mut self, now_s: u32, mut ending: impl FnMut(ClientKey, &[Binding])) -> usize {
        let before = self.len;
        while let Some(entry) = self.ends.first_entry().filter(|entry| *entry.key() <= now_s) {
            for key in entry.remove() {
                let Some(client) = self.clients.get_mut(&key) else { continue };
                let all = client.bindings.len();
                if client.bindings.iter().any(|binding| binding.expires_s <= now_s) {
                    ending(key, &client.bindings);
                    let kept = std::mem::take(&mut client.bindings).into_vec();
                    client.bindings =
                        kept.into_iter().filter(|binding| binding.expires_s > now_s).collect();
                }
                self.len = self.len.saturating_sub(all.saturating_sub(client.bindings.len()));
                match client.bindings.iter().map(|binding| binding.expires_s).min() {
                    Some(next_s) => {
                        client.looked_at_s = next_s;
                        push(self.ends.entry(next_s).or_default(), key);
                    }
                    None => {
                        self.clients.remove(&key);
                        self.leave_slot(&key);
                    }
                }
            }
        }
        before.saturating_sub(self.len)
    }
}

/// Without twice the room that is needed: there are millions.
fn push(keys: &mut Vec<ClientKey>, key: ClientKey) {
    if keys.len() == keys.capacity() {
        keys.reserve_exact(keys.len().saturating_div(8).saturating_add(4));
    }
    keys.push(key);
}

#[cfg(test)]
mod tests;
