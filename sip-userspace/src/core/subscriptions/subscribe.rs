//! What a SUBSCRIBE is answered with (RFC 6665 section 4.2.1).
//!
//! It was authenticated, and its client is at home here. Everything is read and every bound is looked
//! at before anything is held; each 2xx is followed by a notice with all of the state.

use sip_common::{abi::ClientKey, siphash::hash_128};

use super::{
    dialog::{Dialog, DialogId},
    package::Package,
    refused::Refused,
    subscription::{Ending, Phase, Subscription},
};
use crate::{
    core::{
        Core, Counters, Now, Output,
        durable::{Answered, Says},
        registrar::expiry,
        requests::Place,
        table::Home,
    },
    sip::{
        answer::Answer,
        aor::Aor,
        fault::Fault,
        header::Name,
        lex::{self, Cursor},
        params::Params,
        request::Request,
        uri::Uri,
    },
};

/// Longest value of Event, in bytes.
const EVENT_MAX: usize = 128;

/// What the header fields of a SUBSCRIBE say.
struct Asked {
    package: Package,
    event: Vec<u8>,
    expires_s: u32,
}

/// What a SUBSCRIBE makes.
enum Made {
    /// A subscription to this client.
    New(Aor, Box<Subscription>),
    /// Its dialog has this target now.
    Renewed(Box<[u8]>),
}

impl Core {
    /// Answers a SUBSCRIBE for a client at home here, or in a dialog.
    pub(in crate::core) fn subscribe(
        &mut self,
        at: &Place,
        client: Option<(ClientKey, Aor)>,
        request: &Request<'_>,
        now: Now,
        out: &mut Vec<Output>,
    ) {
        self.end_if_elsewhere(request, out);
        let read = self.asked(request).and_then(|asked| {
            let made = self.wanted(at, client, &asked, request, now)?;
            Ok((asked, made))
        });
        let (asked, (id, made)) = match read {
            Ok(read) => read,
            Err(refused) => return self.refuse_event(at, request, refused, now, out),
        };
        if !self.held_has_room() || !self.transactions.begin(at.transaction, at.flow, false) {
            Counters::add(&mut self.counters.subscriptions_shed);
            return self.shed(at, request, out);
        }
        Counters::add(&mut self.counters.subscribed);
        match made {
            Made::New(aor, new) => self.subscriptions.insert(id, aor.bytes(), *new),
            Made::Renewed(target) => {
                self.subscriptions.moved(id, at.came);
                if let Some(it) = self.subscriptions.all.get_mut(&id) {
                    (it.dialog.remote_cseq, it.dialog.target) = (request.cseq, target);
                }
            }
        }
        let Some(it) = self.subscriptions.all.get_mut(&id) else { return };
        it.expires_s = now.mono_s().saturating_add(asked.expires_s);
        if asked.expires_s == 0 {
            it.phase = Phase::Ending(Ending::Timeout);
        }
        let mut answer = Answer::new(200);
        answer.push_line(&[b"Expires: ", asked.expires_s.to_string().as_bytes()]);
        answer.push_line(&[b"Contact: ", Dialog::contact(&at.came).as_bytes()]);
        for value in request.message.all(Name::RecordRoute) {
            answer.push_line(&[b"Record-Route: ", value]);
        }
        let payload = self.signed(answer).compose(request.message, &at.path, at.tag);
        self.subscriptions.arm(id);
        let record = self.subscription_record(id, now);
        let answered =
            Answered { transaction: at.transaction, status: 200, payload, watcher: Some(id) };
        self.hold(Says::Nothing, record, answered, now, out);
    }

    /// A client may have got another home without a word to its watchers: a refresh of one is where
    /// this is found, and its next SUBSCRIBE goes there.
    fn end_if_elsewhere(&mut self, request: &Request<'_>, out: &mut Vec<Output>) {
        let secret = self.table.meta().client_secret;
        let Some(id) = DialogId::of_request(secret, request) else { return };
        let Some(it) = self.subscriptions.all.get(&id) else { return };
        let here = match self.table.lookup(&it.client).home {
            Home::Here => true,
            Home::Moving { server } => self.table.this() == Some(server),
            Home::Unknown | Home::Elsewhere { .. } => false,
        };
        if !here {
            self.end_subscription(id, out);
        }
    }

    fn asked(&self, request: &Request<'_>) -> Result<Asked, Refused> {
        let (package, event) = event(request)?;
        let message = request.message;
        let kind = package.content_type();
        let mut accepts = message.all(Name::Accept).flat_map(|list| list.split(|it| *it == b','));
        if message.first(Name::Accept).is_some() && !accepts.any(|range| takes(range, kind)) {
            return Err(Refused::Accept);
        }
        let expires_s = self.event_expiry(request)?;
        Ok(Asked { package, event: event.to_vec(), expires_s })
    }

    /// The expiry that a SUBSCRIBE or a PUBLISH is granted.
    pub(super) fn event_expiry(&self, request: &Request<'_>) -> Result<u32, Refused> {
        let rules = &self.settings.subscriptions;
        let asked_s = request.message.first(Name::Expires).and_then(expiry);
        match asked_s.unwrap_or(rules.expires_default_s) {
            brief if brief > 0 && brief < rules.expires_min_s => Err(Refused::TooBrief),
            seconds => Ok(seconds.min(rules.expires_max_s)),
        }
    }

    /// The dialog that is meant, and what becomes of it.
    fn wanted(
        &self,
        at: &Place,
        client: Option<(ClientKey, Aor)>,
        asked: &Asked,
        request: &Request<'_>,
        now: Now,
    ) -> Result<(DialogId, Made), Refused> {
        let secret = self.table.meta().client_secret;
        let user = self.user(at, request);
        let tag = format!("{:016x}", at.tag);
        let dialog = Dialog::new(request, tag.as_bytes(), &asked.event, at.came)?;
        let dialog = dialog.ok_or(Refused::TooLong)?;
        if let Some(id) = DialogId::of_request(secret, request) {
            let it = self.subscriptions.all.get(&id).filter(|it| !it.is_ending());
            let it = it.filter(|it| it.package == asked.package).ok_or(Refused::NoDialog)?;
            return match () {
                () if self.asks_users(at) && it.user != user => Err(Refused::Forbidden),
                () if request.cseq <= it.dialog.remote_cseq => Err(Refused::OutOfOrder),
                () => Ok((id, Made::Renewed(dialog.target))),
            };
        }
        let (key, aor) = client.ok_or(Refused::NoDialog)?;
        if asked.package.is_private() && self.asks_users(at) && user != key {
            return Err(Refused::Forbidden);
        }
        let rules = &self.settings.subscriptions;
        if self.subscriptions.watchers(&key) >= rules.watchers_max {
            return Err(Refused::Watchers);
        }
        if self.subscriptions.of_user(&user) >= rules.user_max {
            return Err(Refused::Subscriptions);
        }
        if self.subscriptions.len() >= rules.max {
            return Err(Refused::Full);
        }
        let remote = request.from.tag().unwrap_or_default();
        let id = DialogId::of(secret, request.call_id, tag.as_bytes(), remote);
        let expires_s = now.mono_s().saturating_add(asked.expires_s);
        let new = Subscription::new(key, asked.package, user, dialog, expires_s);
        Ok((id, Made::New(aor, Box::new(new))))
    }

    /// Whom a subscription counts for: its user, where users are known, else its source.
    fn user(&self, at: &Place, request: &Request<'_>) -> ClientKey {
        let secret = self.table.meta().client_secret;
        let from = sender(request).filter(|_| self.asks_users(at));
        from.map(|from| from.key(secret)).unwrap_or_else(|| {
            let address = self.client_address(request, at.source());
            ClientKey(hash_128(secret, address.to_string().as_bytes()))
        })
    }
}

/// The AoR of who sent a request, as it says.
pub(in crate::core) fn sender(request: &Request<'_>) -> Option<Aor> {
    Uri::parse(request.from.uri).ok().and_then(Uri::sip).and_then(|uri| Aor::of(&uri))
}

/// The package of a request, with the value of its Event.
pub(super) fn event<'m>(request: &'m Request<'_>) -> Result<(Package, &'m [u8]), Refused> {
    let mut values = request.message.all(Name::Event);
    let value = values.next().ok_or(Fault::Missing(Name::Event))?;
    if values.next().is_some() {
        return Err(Fault::Doubled(Name::Event).into());
    }
    let mut cursor = Cursor::new(value);
    let package = Package::of(cursor.token());
    if Params::parse(&mut cursor).is_none() || value.len() > EVENT_MAX {
        return Err(Fault::Malformed(Name::Event).into());
    }
    Ok((package.ok_or(Refused::Event)?, value))
}

/// Whether a media range takes this type.
fn takes(range: &[u8], kind: &str) -> bool {
    let range = range.split(|byte| *byte == b';').next().map(lex::trim).unwrap_or_default();
    let major = kind.split_once('/').map_or(kind, |(major, _)| major);
    range == b"*/*"
        || range.eq_ignore_ascii_case(kind.as_bytes())
        || range.eq_ignore_ascii_case(format!("{major}/*").as_bytes())
}
