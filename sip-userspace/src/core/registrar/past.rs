//! What a REGISTER takes back or replaces is remembered, so that no copy of it comes back from another
//! host (`core::history`). Where no host can have one, nothing is.
//!
//! A request with a lower CSeq than what its Call-ID has taken back was late on its way, and is refused,
//! as long as a request lives; later its client has begun to count anew, and a new round begins.

use super::{Binding, CallId, Settings, Wish};
use crate::core::history;

/// What is remembered of a client while one of its requests is looked at.
pub(super) struct Past {
    before: Vec<Binding>,
    /// What this request adds.
    said: Vec<Binding>,
    call: CallId,
    cseq: u32,
    now_s: i32,
    /// As long as a request is on its way.
    late_s: i32,
    /// As long as a copy of a binding can live, in seconds; none where there are no copies.
    life_s: Option<u32>,
}

impl Past {
    /// What is remembered of a client before a request with this Call-ID and CSeq.
    pub(super) fn of(
        before: &[Binding],
        settings: &Settings,
        (call, cseq): (CallId, u32),
        now_s: u32,
    ) -> Self {
        let live = |it: &&Binding| it.expires_s > now_s;
        let late_s = settings.timers.give_up().as_secs();
        Self {
            before: before.iter().filter(live).cloned().collect(),
            said: Vec::new(),
            call,
            cseq,
            now_s: i32::try_from(now_s).unwrap_or(i32::MAX),
            late_s: i32::try_from(late_s).unwrap_or(i32::MAX),
            life_s: settings.asks_homes.then_some(settings.expires_max_s),
        }
    }

    /// The second of the request.
    pub(super) const fn now_s(&self) -> i32 {
        self.now_s
    }

    /// The last that its Call-ID has said of a contact.
    fn last(&self, means: impl Fn(&Binding) -> bool) -> Option<&Binding> {
        let said = |it: &&Binding| it.call == self.call && (it.is_all() || means(it));
        self.before.iter().filter(said).max_by_key(|it| (it.round, it.cseq))
    }

    /// Whether a tombstone has this request's CSeq or a higher one; the same one may be repeated to take
    /// back.
    fn is_behind(&self, last: &Binding, removes: bool) -> bool {
        last.cseq > self.cseq || last.cseq == self.cseq && !removes
    }

    /// Whether the request was late on its way.
    pub(super) fn is_late(&self, means: impl Fn(&Binding) -> bool, removes: bool) -> bool {
        self.last(means).is_some_and(|last| {
            self.is_behind(last, removes) && self.now_s.saturating_sub(last.since_s) < self.late_s
        })
    }

    /// The round of a binding by the request, in the place of an old one.
    pub(super) fn round(&self, means: impl Fn(&Binding) -> bool, old: Option<&Binding>) -> u8 {
        let own = old.filter(|old| old.call == self.call).map_or(0, |old| old.round);
        self.round_after(means, false).max(own)
    }

    fn round_after(&self, means: impl Fn(&Binding) -> bool, removes: bool) -> u8 {
        self.last(means)
            .map_or(0, |last| last.round.saturating_add(u8::from(self.is_behind(last, removes))))
    }

    /// The request takes a contact back, or all, of which these bindings were known here; others may
    /// be elsewhere.
    pub(super) fn remove(&mut self, wish: Option<&Wish<'_>>, bound: impl Iterator<Item = Binding>) {
        let mut round = self.round_after(|it| wish.is_none_or(|wish| wish.means(it)), true);
        for binding in bound {
            if binding.call == self.call {
                round = round.max(binding.round);
            }
            self.replace(binding);
        }
        let Some(life_s) = self.life_s else { return };
        let (uri, params) =
            wish.map_or((&b""[..], &b""[..]), |it| (it.uri_text, it.params.as_slice()));
        let now_s = u32::try_from(self.now_s).unwrap_or(0);
        let ends_s = now_s.saturating_add(life_s);
        let gone = Binding::new(uri, params, self.call, self.cseq, ends_s);
        self.said.extend(gone.map(|it| {
            let mut gone = it.into_gone();
            (gone.round, gone.since_s) = (round, self.now_s);
            gone
        }));
    }

    /// A binding is replaced by the request, or taken back.
    pub(super) fn replace(&mut self, old: Binding) {
        if old.call != self.call && self.life_s.is_some() {
            self.said.push(old.into_gone());
        }
    }

    /// What is remembered beside the client's bindings after the request; none if that is the same as
    /// before.
    pub(super) fn changed(self, bindings: &[Binding]) -> Option<Vec<Binding>> {
        if self.before.is_empty() && self.said.is_empty() {
            return None;
        }
        let mut past = history::merge(self.before.clone(), self.said);
        let said_anew = |it: &Binding| {
            bindings.iter().any(|new| new.call == it.call && super::same_contact(new, it))
        };
        past.retain(|it| !said_anew(it));
        history::bound(&mut past);
        (past != self.before).then_some(past)
    }
}
