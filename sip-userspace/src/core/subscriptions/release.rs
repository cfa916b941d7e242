//! A client goes elsewhere: its watchers are told to subscribe anew (RFC 6665 section 4.4.2), it
//! itself is asked to register anew (RFC 3680 section 4.7), and its publications go along.
//!
//! Nothing leaves at once: notices leave at the host's pace, and what is spread over time is spread
//! by a hash of each dialog, so that it is the same when it is done again.

use std::ops::RangeInclusive;

use sip_common::abi::ClientKey;

use super::{
    dialog::DialogId,
    package::Package,
    record,
    reg::{Change, Event},
    subscription::{Ending, Phase, Reason},
};
use crate::core::{Core, Now, Output};

impl Core {
    /// Ends all subscriptions to a client; the last notice of each says why. It is over when
    /// [`Subscriptions::watchers`](super::Subscriptions::watchers) says 0. Call
    /// [`Core::poll_timeout`] anew after it.
    pub fn release(&mut self, key: &ClientKey, reason: &Reason, now: Now) {
        for id in self.subscriptions.dialogs(key, None) {
            let ending = match reason {
                Reason::Deactivated => Ending::Deactivated,
                Reason::NoResource => Ending::NoResource,
                Reason::Probation { retry_after_s } => {
                    Ending::Probation { retry_after_s: self.spread(id, retry_after_s) }
                }
            };
            // Who is told of its contacts hears that they are to be registered anew, too.
            let bindings = self.bindings.get(key).iter();
            let gone = bindings.map(|it| Change::of(it, Event::Deactivated));
            if let Some(it) = self.subscriptions.all.get_mut(&id).filter(|it| !it.is_ending()) {
                (it.phase, it.wants) = (Phase::Ending(ending), true);
                if it.package == Package::Reg && ending == Ending::Deactivated {
                    (it.changes, it.full) = (gone.collect(), true);
                }
            }
            self.subscriptions.arm(id);
            self.subscriptions.schedule(id, now.mono);
        }
    }

    /// Tells the client's own `reg` watchers that its contacts end within so many seconds, each
    /// watcher at another one, so that it registers anew before. The bindings stay as they are.
    pub fn shorten(&mut self, key: &ClientKey, within_s: &RangeInclusive<u32>, now: Now) {
        for id in self.subscriptions.dialogs(key, Some(Package::Reg)) {
            let end_s = now.mono_s().saturating_add(self.spread(id, within_s));
            let live = self.bindings.get(key).iter().filter(|it| it.expires_s > now.mono_s());
            let changes: Vec<Change> = live.map(|it| Change::shortened(it, end_s)).collect();
            if let Some(it) = self.subscriptions.all.get_mut(&id).filter(|it| !it.is_ending())
                && !changes.is_empty()
            {
                it.note(&changes);
            }
            self.subscriptions.schedule(id, now.mono);
        }
    }

    /// The records of a client's publications, for [`Core::restore`] of another host.
    pub fn publications_of(&self, key: &ClientKey, now: Now) -> Vec<Vec<u8>> {
        let Some(client) = self.subscriptions.clients.get(key) else { return Vec::new() };
        // The order in which they are taken in says which is the latest.
        let mut all: Vec<_> = client.publications.iter().collect();
        all.sort_unstable_by_key(|it| it.number);
        all.into_iter().map(|it| record::publication(it, &client.aor, now)).collect()
    }

    /// Forgets a client's publications, and has that kept. Its watchers are to be released before,
    /// or they are told.
    pub fn drop_publications(&mut self, key: &ClientKey, now: Now, out: &mut Vec<Output>) {
        let client = self.subscriptions.clients.get(key);
        let tags: Vec<u64> =
            client.map_or(Vec::new(), |it| it.publications.iter().map(|it| it.etag).collect());
        for etag in tags {
            self.end_publication(*key, etag, now, out);
        }
    }

    /// A number within bounds, by a dialog's hash.
    fn spread(&self, id: DialogId, bounds: &RangeInclusive<u32>) -> u32 {
        let span = u64::from(bounds.end().saturating_sub(*bounds.start())).saturating_add(1);
        let secret = self.settings.node_secret;
        let offset = id.hash(secret, u32::MAX).checked_rem(span).unwrap_or(0);
        bounds.start().saturating_add(u32::try_from(offset).unwrap_or(0))
    }
}
