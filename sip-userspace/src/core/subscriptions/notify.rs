//! Notices: when they leave, what becomes of their answers, and what ends a subscription (RFC 6665
//! section 4.2.2).
//!
//! One is in flight for a subscription at a time, so what changes meanwhile goes into the next one;
//! a watcher gets one a [`throttle`](super::package::Package::throttle) at most, and all together as
//! many a second as the host's pace allows. The notice that a SUBSCRIBE asks for does not wait for
//! that pace. The last notice of a subscription ends it, whatever becomes of it.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use sip_common::abi::ClientKey;

use super::{
    dialog::{DialogId, Notice, read_branch},
    package::{Package, View},
    presence, record,
    reg::{self, Change},
    subscription::{Ending, InFlight, Phase, Subscription},
};
use crate::{
    core::{
        Core, Counters, Flow, Now, Output, Transport,
        bindings::Binding,
        transaction::{Due, Heard, client::Client},
    },
    sip::{
        header::Name,
        lex::{self, Hides},
        message::Message,
        via::Via,
    },
};

/// Numbers of notices that a record reserves: so many are sent between two records.
const RESERVED: u32 = 100;

impl Core {
    /// Does what is due of subscriptions and publications.
    pub(in crate::core) fn notify_due(&mut self, now: Now, out: &mut Vec<Output>) {
        self.end_publications(now, out);
        let due = |later: &BTreeSet<(Duration, ClientKey)>| {
            later.first().copied().filter(|(at, _)| *at <= now.mono)
        };
        while let Some(place) = due(&self.subscriptions.later) {
            self.subscriptions.later.remove(&place);
            if let Some(client) = self.subscriptions.clients.get_mut(&place.1) {
                client.later = false;
            }
            self.presence_changed(place.1, now);
        }
        while let Some(id) = self.subscriptions.next_timer(now.mono) {
            self.on_timer(id, now, out);
        }
        while let Some(id) = self.subscriptions.next_notice(now.mono) {
            self.notify(id, now, out);
        }
    }

    fn on_timer(&mut self, id: DialogId, now: Now, out: &mut Vec<Output>) {
        let Some(it) = self.subscriptions.all.get_mut(&id) else { return };
        match it.in_flight.as_mut().map(|sent| (sent.machine.on_time(now.mono), sent)) {
            Some((Due::TimedOut, _)) => return self.failed(id, out),
            Some((Due::Again, sent)) => {
                Counters::add(&mut self.counters.notices_again);
                out.push(Output::Send { flow: it.dialog.flow, payload: sent.payload.to_vec() });
            }
            _ => {}
        }
        if !it.is_ending() && it.expires_s <= now.mono_s() {
            Counters::add(&mut self.counters.subscriptions_expired);
            (it.phase, it.wants, it.full) = (Phase::Ending(Ending::Timeout), true, true);
            self.subscriptions.schedule(id, now.mono);
        }
        self.subscriptions.arm(id);
    }

    /// The 200 of a SUBSCRIBE has left, or could not be kept.
    pub(in crate::core) fn answered_watcher(
        &mut self,
        id: DialogId,
        kept: bool,
        now: Now,
        out: &mut Vec<Output>,
    ) {
        let Some(it) = self.subscriptions.all.get_mut(&id) else { return };
        if !kept && it.sent_at.is_none() {
            // It was refused, so it never was.
            self.subscriptions.remove(id);
            return;
        }
        if it.phase == Phase::Held {
            it.phase = Phase::Active;
        }
        (it.wants, it.full) = (true, true);
        if it.next_notice(now.mono).is_some_and(|at| at <= now.mono) {
            return self.notify(id, now, out);
        }
        self.subscriptions.schedule(id, now.mono);
    }

    /// Sends the next notice of a subscription.
    fn notify(&mut self, id: DialogId, now: Now, out: &mut Vec<Output>) {
        if self.reserves(id, now, out) {
            return;
        }
        let document = self.document(id, now);
        let subscriptions = &mut self.subscriptions;
        let Some(it) = subscriptions.all.get_mut(&id) else { return };
        (it.wants, it.full, it.sent_at) = (false, false, Some(now.mono));
        it.changes = Vec::new();
        it.dialog.cseq = it.dialog.cseq.saturating_add(1);
        let branch = id.hash(self.settings.node_secret, it.dialog.cseq);
        let notice = Notice {
            state: &it.state(now),
            content_type: it.package.content_type(),
            body: &document,
            branch,
        };
        let Some(payload) = it.dialog.compose(&notice) else { return self.failed(id, out) };
        let flow = it.dialog.flow;
        let reliable = flow.transport != Transport::Udp;
        let machine = Client::new(now.mono, self.settings.timers, reliable);
        it.in_flight = Some(InFlight { machine, branch, payload: payload.as_slice().into() });
        Counters::add(&mut self.counters.notices);
        out.push(Output::Send { flow, payload });
        // Long before the last reserved number is needed, the next ones are.
        let (kept, low) = (it.kept && !it.is_ending(), it.dialog.cseq.saturating_add(RESERVED / 2));
        subscriptions.pace.take(now.mono);
        subscriptions.schedule(id, now.mono);
        subscriptions.arm(id);
        if kept && low >= subscriptions.all.get(&id).map_or(u32::MAX, |it| it.reserved) {
            self.keep_subscription(id, now, out);
        }
    }

    /// Whether a subscription has no number left for its next notice, as after a restart: the next
    /// numbers are written, and the notice waits as long as another one would.
    fn reserves(&mut self, id: DialogId, now: Now, out: &mut Vec<Output>) -> bool {
        let none_left = |it: &&mut Subscription| it.kept && it.dialog.cseq >= it.reserved;
        let Some(it) = self.subscriptions.all.get_mut(&id).filter(none_left) else { return false };
        if !self.settings.durable || it.is_ending() {
            return false;
        }
        it.sent_at = Some(now.mono);
        self.subscriptions.unschedule(id);
        self.subscriptions.pace.take(now.mono);
        self.keep_subscription(id, now, out);
        self.subscriptions.schedule(id, now.mono);
        true
    }

    /// Writes a subscription's record, with numbers of notices ahead.
    pub(super) fn keep_subscription(&mut self, id: DialogId, now: Now, out: &mut Vec<Output>) {
        if let Some(record) = self.subscription_record(id, now) {
            self.keep(record, out);
        }
    }

    /// The record of a subscription, with numbers of notices ahead, or that it is over. There is none
    /// for one over a connection, which ends with this process.
    pub(super) fn subscription_record(&mut self, id: DialogId, now: Now) -> Option<Vec<u8>> {
        let it = self.subscriptions.all.get_mut(&id).filter(|_| self.settings.durable)?;
        if it.is_ending() || it.dialog.flow.transport != Transport::Udp {
            return std::mem::take(&mut it.kept).then(|| record::subscription_gone(id));
        }
        it.reserved = it.dialog.cseq.saturating_add(RESERVED);
        it.kept = true;
        let client = self.subscriptions.clients.get(&it.client)?;
        Some(record::subscription(it, &client.aor, now))
    }

    /// What a subscription's watcher is told now.
    fn document(&mut self, id: DialogId, now: Now) -> Arc<[u8]> {
        let nothing = Arc::default();
        let Some(it) = self.subscriptions.all.get(&id) else { return nothing };
        // Who is to ask elsewhere gets the state there.
        match it.phase {
            Phase::Held | Phase::Active | Phase::Ending(Ending::Timeout) => {}
            Phase::Ending(Ending::Deactivated) if it.package == Package::Reg => {}
            Phase::Ending(_) => return nothing,
        }
        let Some(client) = self.subscriptions.clients.get_mut(&it.client) else { return nothing };
        let shared = it.package == Package::Presence;
        if let Some(told) = client.told.clone().filter(|_| shared && !client.later) {
            return told;
        }
        let view = View { client, bindings: self.bindings.get(&it.client), now };
        let document = it.package.document(&view, it);
        if shared && !client.later {
            client.told = Some(Arc::clone(&document));
        }
        document
    }

    /// A notice that can't be delivered, and that no other would follow: its subscription is over.
    fn failed(&mut self, id: DialogId, out: &mut Vec<Output>) {
        if self.subscriptions.all.get(&id).is_some_and(|it| !it.is_ending()) {
            Counters::add(&mut self.counters.subscriptions_failed);
        }
        self.end_subscription(id, out);
    }

    /// Takes a subscription out, from the log too.
    pub(super) fn end_subscription(&mut self, id: DialogId, out: &mut Vec<Output>) {
        if self.subscriptions.remove(id).is_some_and(|gone| gone.kept) {
            self.keep(record::subscription_gone(id), out);
        }
    }

    /// Whether a response answers a notice.
    pub(in crate::core) fn notice_answered(
        &mut self,
        message: &Message<'_>,
        status: u16,
        now: Now,
        out: &mut Vec<Output>,
    ) -> bool {
        let Some(branch) = notice_of(message) else { return false };
        let id = DialogId::of_response(self.table.meta().client_secret, message);
        let Some(id) = id else { return false };
        let Some(it) = self.subscriptions.all.get_mut(&id) else { return false };
        let Some(sent) = it.in_flight.as_mut().filter(|sent| sent.branch == branch) else {
            Counters::add(&mut self.counters.responses_absorbed);
            return true;
        };
        if sent.machine.on_response(status, now.mono) == Heard::Final {
            it.in_flight = None;
            if it.is_ending() && !it.wants {
                self.end_subscription(id, out);
                return true;
            }
            if is_over(status) {
                self.failed(id, out);
                return true;
            }
            // What a refusal did not take in is told with the next change.
            it.full |= status >= 300;
            self.subscriptions.schedule(id, now.mono);
        }
        self.subscriptions.arm(id);
        true
    }

    /// A flow is gone: a connection takes its subscriptions with it. What the network says of
    /// datagrams can be forged, and may be true of a server that starts again: timer F decides.
    pub(in crate::core) fn watchers_failed(&mut self, flow: &Flow, out: &mut Vec<Output>) {
        if flow.transport == Transport::Udp {
            return;
        }
        for id in self.subscriptions.over(flow) {
            self.failed(id, out);
        }
    }

    /// A client's bindings are others than before: its watchers are to know.
    pub(in crate::core) fn bindings_changed(
        &mut self,
        key: ClientKey,
        old: &[Binding],
        end: reg::Event,
        now: Now,
    ) {
        let changes = reg::changes(old, self.bindings.get(&key), end);
        self.note(key, &changes, now);
        self.presence_changed(key, now);
    }

    /// Has a client's `reg` watchers told of changes.
    pub(super) fn note(&mut self, key: ClientKey, changes: &[Change], now: Now) {
        if changes.is_empty() {
            return;
        }
        for id in self.subscriptions.dialogs(&key, Some(Package::Reg)) {
            if let Some(it) = self.subscriptions.all.get_mut(&id).filter(|it| !it.is_ending()) {
                it.note(changes);
            }
            self.subscriptions.schedule(id, now.mono);
        }
    }

    /// Has a client's `presence` watchers told, if there is anything new. All of them are gone through
    /// once in the time between two notices, however often it changes.
    pub(super) fn presence_changed(&mut self, key: ClientKey, now: Now) {
        let Some(client) = self.subscriptions.clients.get_mut(&key) else { return };
        let next = client.passed_at.map(|at| at.saturating_add(Package::Presence.throttle()));
        if let Some(next) = next.filter(|next| *next > now.mono) {
            return self.subscriptions.pass_later(key, next);
        }
        let view = View { client, bindings: self.bindings.get(&key), now };
        let document = presence::document(&view);
        if client.told.as_ref() == Some(&document) {
            return;
        }
        (client.told, client.passed_at) = (Some(document), Some(now.mono));
        for id in self.subscriptions.dialogs(&key, Some(Package::Presence)) {
            if let Some(it) = self.subscriptions.all.get_mut(&id).filter(|it| !it.is_ending()) {
                it.wants = true;
            }
            self.subscriptions.schedule(id, now.mono);
        }
    }
}

/// The number of the notice that a response answers.
fn notice_of(message: &Message<'_>) -> Option<u64> {
    let (top, _) = lex::split_first(message.first(Name::Via)?, Hides::Comments).ok()?;
    let via = Via::parse(top).ok().filter(|_| message.fault.is_none())?;
    read_branch(via.branch())
        .filter(|_| message.first(Name::CSeq).is_some_and(|it| it.ends_with(b"NOTIFY")))
}

/// Whether a status says that there is no subscription at the other end any more (RFC 5057 section
/// 5.1, RFC 6665 section 4.2.2), that nobody answered there (408), or that the only way to it is gone
/// (430, RFC 5626).
const fn is_over(status: u16) -> bool {
    matches!(status, 404 | 405 | 408 | 410 | 416 | 430 | 480..=485 | 489 | 501 | 604)
}
