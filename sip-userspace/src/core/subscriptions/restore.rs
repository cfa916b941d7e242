//! Subscriptions and publications of an earlier process, or of another host.
//!
//! What became of a client while nobody looked is not known, so each watcher that is found again is
//! told the whole state, at the host's pace. Who does not listen any more is found by that, too.

use std::ops::Bound;

use super::{
    dialog::DialogId,
    record::{self, Kept},
    subscription::Phase,
};
use crate::{
    core::{Core, Now, Transport},
    sip::address::Address,
};

/// Records of one piece of a walk.
const PIECE: usize = 256;

impl Core {
    /// Takes a record in; false if it is none of a subscription or a publication.
    pub(in crate::core) fn restore_subscriptions(
        &mut self,
        record: &[u8],
        now: Now,
        same_boot: bool,
    ) -> bool {
        match Kept::decode(record) {
            None => return false,
            Some(Kept::Subscription { aor, end, kept }) => {
                let mut kept = *kept;
                let tag = |value| Address::parse(value).ok().and_then(|it| it.tag());
                let dialog = &kept.dialog;
                let Some(local) = tag(&dialog.local) else { return false };
                let remote = tag(&dialog.remote).unwrap_or_default();
                let secret = self.table.meta().client_secret;
                let id = DialogId::of(secret, &dialog.call_id, local, remote);
                let left_s =
                    end.left_s(now, same_boot).min(self.settings.subscriptions.expires_max_s);
                self.subscriptions.remove(id);
                if left_s == 0
                    || kept.dialog.flow.transport != Transport::Udp
                    || !self.settings.is_served(kept.dialog.flow.local)
                    || self.subscriptions.len() >= self.settings.subscriptions.max
                {
                    return true;
                }
                kept.expires_s = now.mono_s().saturating_add(left_s);
                (kept.phase, kept.wants, kept.kept) = (Phase::Active, true, true);
                kept.reserved = kept.dialog.cseq;
                self.queues.look_at(self.table.slot(kept.client));
                self.subscriptions.insert(id, aor, kept);
                self.subscriptions.schedule(id, now.mono);
            }
            Some(Kept::SubscriptionGone(id)) => {
                self.subscriptions.remove(id);
            }
            Some(Kept::Publication { aor, end, mut kept }) => {
                let left_s =
                    end.left_s(now, same_boot).min(self.settings.subscriptions.expires_max_s);
                kept.expires_s = now.mono_s().saturating_add(left_s);
                let key = self.key_of(aor);
                self.drop_publication(key, kept.etag);
                self.queues.look_at(self.table.slot(key));
                if left_s > 0
                    && self.subscriptions.publications()
                        < self.settings.subscriptions.publications_max
                {
                    self.put_publication(key, aor, kept);
                }
                self.subscriptions.pass_later(key, now.mono);
            }
            Some(Kept::PublicationGone { aor, etag }) => {
                let key = self.key_of(aor);
                self.drop_publication(key, etag);
                self.subscriptions.pass_later(key, now.mono);
            }
        }
        true
    }

    /// Gives the records of some subscriptions, and of the publications of their place, from behind
    /// this one; the last one, or `None` at the end.
    pub(in crate::core) fn rewrite_subscriptions(
        &self,
        after: Option<DialogId>,
        now: Now,
        mut put: impl FnMut(Vec<u8>),
    ) -> Option<DialogId> {
        let all = &self.subscriptions.all;
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut last = None;
        for (id, it) in all.range((from, Bound::Unbounded)).take(PIECE) {
            last = Some(*id);
            if let Some(client) = self.subscriptions.clients.get(&it.client).filter(|_| it.kept) {
                put(record::subscription(it, &client.aor, now));
            }
        }
        last
    }

    /// Gives the records of some publications.
    pub(in crate::core) fn rewrite_publications(
        &self,
        after: PublicationPlace,
        now: Now,
        mut put: impl FnMut(Vec<u8>),
    ) -> Option<PublicationPlace> {
        let mut last = None;
        let from = (Bound::Excluded(after), Bound::Unbounded);
        for place in self.subscriptions.ends.range(from).take(PIECE) {
            last = Some(*place);
            let (_, key, etag) = place;
            let Some(client) = self.subscriptions.clients.get(key) else { continue };
            if let Some(it) = client.publications.iter().find(|it| it.etag == *etag) {
                put(record::publication(it, &client.aor, now));
            }
        }
        last
    }
}

/// Where a walk over the publications stands: the second of an end, the client and the tag.
pub(in crate::core) type PublicationPlace = (u32, sip_common::abi::ClientKey, u64);
