//! PUBLISH (RFC 3903): what a client says of itself, by its entity tags.
//!
//! A tag is a keyed hash of the request that made it, so nobody guesses another's, and a new one comes
//! with every answer. A client's publications live until their ends, and the latest one counts (see
//! [`presence`](super::presence)).

use rsip::headers;
use sip_common::abi::ClientKey;

use super::{
    package::Package, presence, record, refused::Refused, store::Publication, subscribe::event,
};
use crate::{
    core::{
        Core, Counters, Now, Output,
        durable::{Answered, Says},
        requests::Place,
    },
    sip::{answer::Answer, aor::Aor, fault::Fault, header::Name, lex, request::Request},
};

/// Publications of one client at most.
const PER_CLIENT_MAX: usize = 8;
/// Longest document, in bytes: each watcher gets it in one message.
const BODY_MAX: usize = 4_096;

/// What a PUBLISH does.
enum Act {
    Put(Publication),
    Remove,
    /// It is over as soon as it is made.
    Nothing,
}

impl Core {
    /// Answers a PUBLISH for a client at home here.
    pub(in crate::core) fn publish(
        &mut self,
        at: &Place,
        (key, aor): (ClientKey, Aor),
        request: &Request<'_>,
        now: Now,
        out: &mut Vec<Output>,
    ) {
        let read = self.publication(at, key, &aor, request, now);
        let (old, expires_s, act) = match read {
            Ok(read) => read,
            Err(refused) => return self.refuse_event(at, request, refused, now, out),
        };
        if !self.held_has_room() || !self.transactions.begin(at.transaction, at.flow, false) {
            Counters::add(&mut self.counters.subscriptions_shed);
            return self.shed(at, request, out);
        }
        Counters::add(&mut self.counters.published);
        if let Some(old) = old {
            self.drop_publication(key, old);
        }
        let durable = self.settings.durable;
        // The old one's record is over when that of the new one is written: the log keeps their order.
        if let Some(old) = old.filter(|_| durable) {
            self.keep(record::publication_gone(aor.bytes(), old), out);
        }
        let mut record = None;
        if let Act::Put(publication) = act {
            record = durable.then(|| record::publication(&publication, aor.bytes(), now));
            self.put_publication(key, aor.bytes(), publication);
        }
        self.presence_changed(key, now);
        self.subscriptions.forget(&key);
        let etag = format!("{:016x}", at.tag);
        let mut answer = Answer::new(200);
        answer.push_line(&[b"SIP-ETag: ", etag.as_bytes()]);
        let answer = answer.with(headers::Expires::from(expires_s));
        let payload = self.signed(answer).compose(request.message, &at.path, at.tag);
        let answered =
            Answered { transaction: at.transaction, status: 200, payload, watcher: None };
        self.hold(Says::Change(key), record, answered, now, out);
    }

    /// The tag that goes, the granted expiry and what comes.
    fn publication(
        &self,
        at: &Place,
        key: ClientKey,
        aor: &Aor,
        request: &Request<'_>,
        now: Now,
    ) -> Result<(Option<u64>, u32, Act), Refused> {
        if event(request)?.0 != Package::Presence {
            return Err(Refused::Event);
        }
        let client = self.subscriptions.clients.get(&key);
        let old = match tag(request)? {
            None => None,
            Some(tag) => {
                let mut of_client = client.into_iter().flat_map(|client| &client.publications);
                let live = |it: &&Publication| it.expires_s > now.mono_s();
                let found = of_client.find(|it| Some(it.etag) == tag).filter(live);
                Some(found.ok_or(Refused::Tag)?)
            }
        };
        let expires_s = self.event_expiry(request)?;
        let message = request.message;
        let body = match (old, message.body) {
            (None, []) => return Err(Refused::NoBody),
            (Some(old), []) => old.body.clone(),
            (_, body) => {
                check_type(request)?;
                if body.len() > BODY_MAX {
                    return Err(Refused::BodyTooLong);
                }
                presence::check(body, aor)?;
                body.into()
            }
        };
        let etag = old.map(|old| old.etag);
        if expires_s == 0 {
            let act = if etag.is_some() { Act::Remove } else { Act::Nothing };
            return Ok((etag, 0, act));
        }
        let held = client.map_or(0, |client| client.publications.len());
        if etag.is_none() {
            if held >= PER_CLIENT_MAX {
                return Err(Refused::Subscriptions);
            }
            if self.subscriptions.publications() >= self.settings.subscriptions.publications_max {
                return Err(Refused::Full);
            }
        }
        let expires_at_s = now.mono_s().saturating_add(expires_s);
        let put = Publication { etag: at.tag, number: 0, expires_s: expires_at_s, body };
        Ok((etag, expires_s, Act::Put(put)))
    }

    /// Takes a publication in, as the latest one.
    pub(super) fn put_publication(&mut self, key: ClientKey, aor: &[u8], mut it: Publication) {
        let subscriptions = &mut self.subscriptions;
        subscriptions.number = subscriptions.number.saturating_add(1);
        it.number = subscriptions.number;
        subscriptions.ends.insert((it.expires_s, key, it.etag));
        subscriptions.client(key, aor).publications.push(it);
    }

    /// Takes a publication out; whether it was there. Its watchers are not told yet.
    pub(super) fn drop_publication(&mut self, key: ClientKey, etag: u64) -> bool {
        let Some(client) = self.subscriptions.clients.get_mut(&key) else { return false };
        let place = client.publications.iter().position(|it| it.etag == etag);
        let Some(place) = place else { return false };
        let gone = client.publications.remove(place);
        self.subscriptions.ends.remove(&(gone.expires_s, key, etag))
    }

    /// Ends the publications that have run out.
    pub(super) fn end_publications(&mut self, now: Now, out: &mut Vec<Output>) {
        let due = |ends: &std::collections::BTreeSet<(u32, ClientKey, u64)>| {
            ends.first().copied().filter(|(end_s, ..)| *end_s <= now.mono_s())
        };
        while let Some(place) = due(&self.subscriptions.ends) {
            self.subscriptions.ends.remove(&place);
            let (_, key, etag) = place;
            Counters::add(&mut self.counters.publications_expired);
            self.end_publication(key, etag, now, out);
        }
    }

    /// Takes a publication out, from the log too, and has its watchers told.
    pub(super) fn end_publication(
        &mut self,
        key: ClientKey,
        etag: u64,
        now: Now,
        out: &mut Vec<Output>,
    ) {
        let aor = self.subscriptions.clients.get(&key).map(|client| client.aor.clone());
        self.drop_publication(key, etag);
        if let Some(aor) = aor.filter(|_| self.settings.durable) {
            self.keep(record::publication_gone(&aor, etag), out);
        }
        self.presence_changed(key, now);
        self.subscriptions.forget(&key);
    }
}

/// SIP-If-Match: none, or a tag, which is no one's if it is not of our form.
fn tag(request: &Request<'_>) -> Result<Option<Option<u64>>, Refused> {
    let mut values = request.message.all(Name::SipIfMatch);
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() || !lex::all_token(value) {
        return Err(Fault::Malformed(Name::SipIfMatch).into());
    }
    let hex = std::str::from_utf8(value).ok().filter(|hex| hex.len() == 16);
    Ok(Some(hex.and_then(|hex| u64::from_str_radix(hex, 16).ok())))
}

fn check_type(request: &Request<'_>) -> Result<(), Refused> {
    let message = request.message;
    let kind = message.first(Name::ContentType).unwrap_or_default();
    let kind = kind.split(|byte| *byte == b';').next().map(lex::trim).unwrap_or_default();
    let ours = kind.eq_ignore_ascii_case(Package::Presence.content_type().as_bytes());
    let plain = message.all(Name::ContentEncoding).all(|it| it.eq_ignore_ascii_case(b"identity"));
    if ours && plain { Ok(()) } else { Err(Refused::MediaType) }
}
