//! What is kept of subscriptions and publications, in the log of bindings: a record of each, so
//! that a change of one writes one. The first byte says the kind; bindings have 1.
//!
//! A record of a subscription reserves numbers of its notices: who reads it goes on behind them, so
//! no number is used twice (RFC 3261 section 12.2.1.1), and `reg` versions rise. What is over leaves
//! a record that says so.

use sip_common::abi::ClientKey;

use super::{
    dialog::{Dialog, DialogId},
    package::Package,
    store::Publication,
    subscription::Subscription,
};
use crate::core::{
    Now, pack,
    record::{End, Reader, push, push_end},
};

const SUBSCRIPTION: u8 = 2;
const SUBSCRIPTION_GONE: u8 = 3;
const PUBLICATION: u8 = 4;
const PUBLICATION_GONE: u8 = 5;

/// What a record says.
#[derive(Debug)]
pub(in crate::core) enum Kept<'a> {
    Subscription { aor: &'a [u8], end: End, kept: Box<Subscription> },
    SubscriptionGone(DialogId),
    Publication { aor: &'a [u8], end: End, kept: Publication },
    PublicationGone { aor: &'a [u8], etag: u64 },
}

pub(super) fn subscription(it: &Subscription, aor: &[u8], now: Now) -> Vec<u8> {
    let mut out = Vec::with_capacity(1_024);
    out.extend([SUBSCRIPTION, it.package as u8]);
    push_end(&mut out, it.expires_s, now);
    for word in it.client.0.into_iter().chain(it.user.0) {
        out.extend_from_slice(&word.to_le_bytes());
    }
    out.extend_from_slice(&it.reserved.to_le_bytes());
    out.extend_from_slice(&it.dialog.remote_cseq.to_le_bytes());
    push(&mut out, aor);
    let mut flow = Vec::new();
    pack::push(&mut flow, &it.dialog.flow);
    push(&mut out, &flow);
    it.dialog.texts().into_iter().for_each(|text| push(&mut out, text));
    out
}

pub(super) fn subscription_gone(id: DialogId) -> Vec<u8> {
    [&[SUBSCRIPTION_GONE][..], &id.0.to_le_bytes()].concat()
}

pub(super) fn publication(it: &Publication, aor: &[u8], now: Now) -> Vec<u8> {
    let mut out = vec![PUBLICATION];
    push_end(&mut out, it.expires_s, now);
    out.extend_from_slice(&it.etag.to_le_bytes());
    push(&mut out, aor);
    push(&mut out, &it.body);
    out
}

pub(super) fn publication_gone(aor: &[u8], etag: u64) -> Vec<u8> {
    let mut out = vec![PUBLICATION_GONE];
    out.extend_from_slice(&etag.to_le_bytes());
    push(&mut out, aor);
    out
}

/// Whose publication a record holds; none if it holds none.
pub(in crate::core) fn publication_of(record: &[u8]) -> Option<&[u8]> {
    match Kept::decode(record)? {
        Kept::Publication { aor, .. } => Some(aor),
        _ => None,
    }
}

impl<'a> Kept<'a> {
    /// Reads a record of one of these kinds; `None` for another, or one that contradicts itself.
    pub(in crate::core) fn decode(bytes: &'a [u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        let mut reader = Reader(rest);
        let kept = match *kind {
            SUBSCRIPTION => read_subscription(&mut reader)?,
            SUBSCRIPTION_GONE => {
                Self::SubscriptionGone(DialogId(u128::from_le_bytes(reader.array()?)))
            }
            PUBLICATION => {
                let end = reader.end()?;
                let etag = u64::from_le_bytes(reader.array()?);
                let aor = reader.text()?;
                let body = reader.text()?.into();
                let kept = Publication { etag, number: 0, expires_s: 0, body };
                Self::Publication { aor, end, kept }
            }
            PUBLICATION_GONE => {
                let etag = u64::from_le_bytes(reader.array()?);
                Self::PublicationGone { aor: reader.text()?, etag }
            }
            _ => return None,
        };
        reader.0.is_empty().then_some(kept)
    }
}

fn read_subscription<'a>(reader: &mut Reader<'a>) -> Option<Kept<'a>> {
    let [package] = reader.array()?;
    let package = Package::ALL.into_iter().find(|it| *it as u8 == package)?;
    let end = reader.end()?;
    let mut key = || {
        let low = u64::from_le_bytes(reader.array()?);
        Some(ClientKey([low, u64::from_le_bytes(reader.array()?)]))
    };
    let (client, user) = (key()?, key()?);
    let cseq = u32::from_le_bytes(reader.array()?);
    let remote_cseq = u32::from_le_bytes(reader.array()?);
    let aor = reader.text()?;
    let flow = pack::read(reader.text()?)?;
    let mut text = || reader.text().map(Box::from);
    let dialog = Dialog {
        call_id: text()?,
        local: text()?,
        remote: text()?,
        target: text()?,
        routes: text()?,
        event: text()?,
        cseq,
        remote_cseq,
        flow,
    };
    let kept = Box::new(Subscription::new(client, package, user, dialog, 0));
    Some(Kept::Subscription { aor, end, kept })
}
