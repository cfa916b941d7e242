//! Who may do it: digest authentication of requests (RFC 3261 section 22, RFC 8760).
//!
//! No state before a right answer: nonces carry what must be known of them, and only one that was
//! used by a user takes memory. Every host of a cluster takes every host's nonces, since their key
//! comes from the cluster's secrets. Invariants: nothing that was accepted is accepted again
//! ([`replay`]); a user that nobody knows is answered with the same work and the same bytes as a
//! wrong password; no password is ever here, only HA1s. Deliberately absent: which requests are to
//! be authenticated, and what follows.

pub mod nonce;
pub mod replay;
pub mod users;

use std::net::IpAddr;

use sip_common::siphash::{Key, hash_128};

use self::{
    nonce::{Issued, Nonces},
    replay::Replays,
    users::{Form, Users},
};
use crate::{
    core::{Now, table::Meta},
    sip::{
        answer::Answer,
        aor::Aor,
        digest::{Algorithm, Credentials, Ha1, challenge},
        header::Name,
        request::Request,
    },
};

/// Whether an address needs no authentication.
pub type TrustRule = Box<dyn Fn(IpAddr) -> bool + Send + Sync>;

/// What the configuration says about authentication.
pub struct Rules {
    /// The realm; each client's domain if there is none.
    pub realm: Option<String>,
    /// What is offered, the best first.
    pub algorithms: Vec<Algorithm>,
    /// How long a nonce is good, in seconds.
    pub nonce_life_s: u32,
    /// A client is asked before it is told its home.
    pub before_redirect: bool,
    /// Sources that are not asked.
    pub trusted: TrustRule,
    /// Nonces of an earlier second are stale: what a process before this one took is not known.
    pub since_unix_s: u64,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            realm: None,
            algorithms: vec![Algorithm::Sha256, Algorithm::Md5],
            nonce_life_s: 300,
            before_redirect: false,
            trusted: Box::new(|_| false),
            since_unix_s: 0,
        }
    }
}

/// Why a client is challenged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It gave no credentials for this realm.
    Missing,
    /// They are right, but the nonce is not good any more.
    Stale,
    /// They are wrong.
    Wrong,
}

/// What authentication says about a request.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// Go on.
    Good,
    /// Answer with this.
    Challenge {
        /// 401 or 407.
        answer: Answer,
        /// Why.
        cause: Cause,
    },
    /// The user is who it says, and may not do this for that AoR.
    Forbidden,
}

/// What a check is about.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The request.
    pub request: &'a Request<'a>,
    /// For whom it is.
    pub aor: &'a Aor,
    /// Where the client is, as far as hosts that are trusted say.
    pub client: IpAddr,
    /// The same for a retransmission, different for another request.
    pub salt: u32,
}

/// The authentication of one host.
#[derive(Debug)]
pub struct Auth {
    nonces: Nonces,
    replays: Replays,
    users: Users,
    /// What is tried for a user that nobody knows.
    decoy: Ha1,
}

impl Auth {
    /// For a cluster with these secrets.
    pub fn new(meta: &Meta, rules: &Rules) -> Self {
        let Key { k0, k1 } = meta.client_secret;
        let decoy = Ha1::new(&k0.to_le_bytes(), &meta.cluster, &k1.to_le_bytes());
        Self {
            nonces: Nonces::new(meta),
            replays: Replays::new(rules.since_unix_s),
            users: Users::new(meta.client_secret),
            decoy,
        }
    }

    /// The users.
    pub fn users(&self) -> &Users {
        &self.users
    }

    /// The users, to be kept as the store has them.
    pub fn users_mut(&mut self) -> &mut Users {
        &mut self.users
    }

    /// Nonces whose use is remembered.
    pub fn nonces_used(&self) -> usize {
        self.replays.len()
    }

    /// Checks a request.
    pub fn check(&mut self, rules: &Rules, asked: &Asked<'_>, now: Now) -> Verdict {
        let domain = String::from_utf8_lossy(asked.aor.host());
        let realm = rules.realm.as_deref().unwrap_or(&domain);
        let cause = match self.judge(rules, asked, realm, now) {
            Ok(true) => return Verdict::Good,
            Ok(false) => return Verdict::Forbidden,
            Err(cause) => cause,
        };
        // In the second of the start a second ahead, where no process before this one gave any, if
        // that was not started in the same second. Hosts' clocks differ by more.
        let now_s = now.unix_s.max(rules.since_unix_s);
        let nonce = self.nonces.issue(now_s, asked.salt, asked.client);
        let mut answer = Answer::new(401);
        for algorithm in &rules.algorithms {
            let value = challenge(realm, &nonce, *algorithm, cause == Cause::Stale);
            answer.push_line(&[b"WWW-Authenticate: ", value.as_bytes()]);
        }
        Verdict::Challenge { answer, cause }
    }

    /// Whether a request carries credentials by which its sender is the user of the AoR. A source
    /// that is not asked proves nothing here, for its address can be forged.
    pub fn proves(&mut self, rules: &Rules, asked: &Asked<'_>, now: Now) -> bool {
        let domain = String::from_utf8_lossy(asked.aor.host());
        let realm = rules.realm.as_deref().unwrap_or(&domain);
        self.judge(rules, asked, realm, now) == Ok(true)
    }

    /// Whether the user may act for the AoR, if it is who it says.
    fn judge(
        &mut self,
        rules: &Rules,
        asked: &Asked<'_>,
        realm: &str,
        now: Now,
    ) -> Result<bool, Cause> {
        // A request may carry credentials of several realms (section 22.3).
        let given = asked.request.message.all(Name::Authorization).filter_map(Credentials::parse);
        let ours = |given: &Credentials<'_>| {
            let offered = given.algorithm.is_some_and(|it| rules.algorithms.contains(&it));
            offered && *given.realm == *realm.as_bytes()
        };
        let given = given.into_iter().find(ours).ok_or(Cause::Missing)?;
        let algorithm = given.algorithm.ok_or(Cause::Missing)?;
        let (user, form) = who(&given.username, asked.aor);
        let known = self.users.get(&user, form).and_then(|ha1| ha1.get(algorithm));
        let decoy = self.decoy.get(algorithm);
        let ha1 = known.or(decoy).ok_or(Cause::Wrong)?;
        let right = given.is_right(&ha1, algorithm, asked.request.method);
        if !right || known.is_none() {
            return Err(Cause::Wrong);
        }
        let issued = self.nonces.read(given.nonce, asked.client).ok_or(Cause::Stale)?;
        self.fresh(rules, issued, given.count.unwrap_or(1), now)?;
        Ok(user == asked.aor.bytes())
    }

    /// Takes note of a right answer, once.
    fn fresh(&mut self, rules: &Rules, issued: Issued, count: u32, now: Now) -> Result<(), Cause> {
        let oldest_s = now.unix_s.saturating_sub(rules.nonce_life_s.into());
        self.replays.forget_before(oldest_s);
        let good = issued.at_s <= now.unix_s.saturating_add(nonce::SKEW_S)
            && self.replays.take(issued, count);
        if good { Ok(()) } else { Err(Cause::Stale) }
    }
}

/// The AoR whose user a name means, and how it was written: `user`, or `user@domain`.
fn who(username: &[u8], aor: &Aor) -> (Vec<u8>, Form) {
    let whole = |name: &[u8]| {
        let at = memchr::memrchr(b'@', name).unwrap_or(name.len());
        let (user, domain) = name.split_at_checked(at).unwrap_or((name, b""));
        [user, &domain.to_ascii_lowercase()].concat()
    };
    // The user part of an AoR may hold an @ itself.
    if username == aor.user() {
        (aor.bytes().to_vec(), Form::User)
    } else if username.contains(&b'@') {
        (whole(username), Form::Whole)
    } else {
        ([username, b"@", aor.host()].concat(), Form::User)
    }
}

/// A key for one purpose, from the secrets that all hosts of a cluster share.
pub fn derived(meta: &Meta, purpose: &str) -> Key {
    let Key { k0, k1 } = meta.tag_secret;
    let text = [purpose.as_bytes(), &k0.to_le_bytes(), &k1.to_le_bytes()].concat();
    let [k0, k1] = hash_128(meta.client_secret, &text);
    Key { k0, k1 }
}

#[cfg(test)]
pub(crate) mod tests;
