//! Which requests are authenticated, and what the core does when one is not.
//!
//! A REGISTER, a SUBSCRIBE or a PUBLISH at its home, always; one that is to be redirected, if `before_redirect` says so; one
//! that is proxied is authenticated by its home. In the order of RFC 3261 section 10.3 this is
//! step 3 and 4; the AoR of step 5 is looked at before, since it decides where the home is, and
//! tells nobody more than which domains are served. A challenge takes no state: it is made anew for
//! a retransmission.

use std::net::IpAddr;

use super::{
    Core, Counters, Now, Output,
    auth::{Asked, Auth, Cause, Rules, Verdict},
    decide::Decision,
    requests::Place,
    subscriptions::sender,
};
use crate::sip::{answer::Answer, aor::Aor, request::Request, via::Via};

impl Core {
    /// The authentication of this host, if it is on.
    pub fn auth(&self) -> Option<&Auth> {
        self.auth.as_ref()
    }

    /// The authentication of this host, to take users in.
    pub fn auth_mut(&mut self) -> Option<&mut Auth> {
        self.auth.as_mut()
    }

    /// The peer of a connection has proved to be one that is not asked; until [`Self::ended`].
    pub fn trust(&mut self, connection: u64) {
        self.trusted.insert(connection);
    }

    /// A connection has ended.
    pub fn ended(&mut self, connection: u64) {
        self.trusted.remove(&connection);
    }

    /// Whether who sent a request has to prove to be one of the users.
    pub(super) fn asks_users(&self, at: &Place) -> bool {
        let asks = |rules: &Rules| !(rules.trusted)(at.source());
        self.settings.auth.as_ref().is_some_and(asks) && !self.trusted.contains(&at.came.connection)
    }

    /// Whether a request may be dealt with as decided; if not, it has been answered.
    pub(super) fn may(
        &mut self,
        decision: &Decision,
        at: &Place,
        request: &Request<'_>,
        now: Now,
        out: &mut Vec<Output>,
    ) -> bool {
        let read;
        let aor = match (decision, &self.settings.auth) {
            (Decision::Redirect { .. }, Some(rules)) if rules.before_redirect => {
                read = match request.method {
                    b"SUBSCRIBE" => sender(request),
                    _ => request.to_uri.sip().and_then(|to| Aor::of(&to)),
                };
                read.as_ref()
            }
            // A publisher is the client itself; a watcher is any of the users.
            (Decision::Register { aor, .. } | Decision::Publish { aor, .. }, Some(_)) => Some(aor),
            (Decision::Subscribe { .. }, Some(_)) => {
                read = sender(request);
                read.as_ref()
            }
            (Decision::Subscribe { .. } | Decision::Publish { .. }, None) => {
                return self.may_watch(at, request, out);
            }
            _ => return true,
        };
        let Some(aor) = aor.filter(|aor| self.settings.serves(aor.host())) else {
            self.forbid(at, request, out);
            return false;
        };
        self.authenticate(at, request, aor, now, out)
    }

    /// Without authentication: what comes directly from a client, or from a server or proxy of ours.
    fn may_watch(&mut self, at: &Place, request: &Request<'_>, out: &mut Vec<Output>) -> bool {
        let may = (self.settings.sources)(at.source()).direct || self.is_trusted_hop(at.source());
        if !may {
            self.forbid(at, request, out);
        }
        may
    }

    fn forbid(&mut self, at: &Place, request: &Request<'_>, out: &mut Vec<Output>) {
        Counters::add(&mut self.counters.auth_forbidden);
        self.answer(at, request.message, Answer::new(403), out);
    }

    /// Authenticates the sender of a request for an AoR; answers it if that fails.
    fn authenticate(
        &mut self,
        at: &Place,
        request: &Request<'_>,
        aor: &Aor,
        now: Now,
        out: &mut Vec<Output>,
    ) -> bool {
        let source = at.source();
        if !self.asks_users(at) {
            Counters::add(&mut self.counters.auth_accepted);
            return true;
        }
        let client = self.client_address(request, source);
        let (Some(rules), Some(auth)) = (&self.settings.auth, &mut self.auth) else { return true };
        let asked = Asked { request, aor, client, salt: at.tag as u32 };
        let counters = &mut self.counters;
        let (answer, counter) = match auth.check(rules, &asked, now) {
            Verdict::Good => {
                Counters::add(&mut counters.auth_accepted);
                return true;
            }
            Verdict::Forbidden => {
                Counters::add(&mut counters.auth_forbidden);
                let answer = self.signed(Answer::new(403));
                let payload = answer.compose(request.message, &at.path, at.tag);
                self.send_once(at, 403, payload, now, out);
                return false;
            }
            Verdict::Challenge { answer, cause } => match cause {
                Cause::Missing => (answer, &mut counters.auth_challenged),
                Cause::Stale => (answer, &mut counters.auth_stale),
                Cause::Wrong => {
                    out.push(Output::Charge { source });
                    (answer, &mut counters.auth_wrong)
                }
            },
        };
        Counters::add(counter);
        self.answer(at, request.message, answer, out);
        false
    }

    /// Where a client is: behind a server of the table or an edge proxy, the address that this one
    /// saw, so that a nonce stays good on the other way to the same home.
    pub(super) fn client_address(&self, request: &Request<'_>, source: IpAddr) -> IpAddr {
        let [_, behind, ..] = request.vias.as_slice() else { return source };
        let via = Via::parse(behind).ok().filter(|_| self.is_trusted_hop(source));
        via.and_then(|via| via.seen_from()).unwrap_or(source)
    }

    /// Whether a source is a server of the table or an edge proxy of ours.
    pub(super) fn is_trusted_hop(&self, source: IpAddr) -> bool {
        self.settings.sources.as_ref()(source).edge
            || self.table.servers().any(|(_, other)| other.address.ip().to_canonical() == source)
    }
}
