//! Clients of different manners, and what each makes of an answer.
//!
//! A client sends REGISTERs over UDP with the retransmissions of RFC 3261 section 17.1.2, to one of
//! the hosts as its edge. Deliberately absent: the network, and whether an answer was right.

use std::{net::SocketAddr, time::Duration};

use fastrand::Rng;
use homeward::sip::{header::Name, message::Message, message::Start};

use super::{
    DOMAIN, QUIET,
    network::{client_address, host_address, node},
};

const T1: Duration = Duration::from_millis(500);
const T2: Duration = Duration::from_secs(4);
/// Long after the end.
const NEVER: Duration = Duration::from_secs(1 << 32);
/// Timer F.
const GIVE_UP: Duration = Duration::from_secs(32);

/// When a registration is refreshed.
#[derive(Clone, Copy, Debug)]
enum Refresh {
    /// At half of it, give or take a tenth: sofia-sip and others.
    Half,
    /// Five seconds before it ends: pjsua.
    Late,
}

/// What kind of client it is.
#[derive(Clone, Copy, Debug)]
struct Manner {
    follows: bool,
    /// A followed redirect stands in the Request-URI (RFC 3261 section 8.1.3.4).
    rewrites: bool,
    /// It refreshes where it was registered, not at its edge.
    stays: bool,
    refresh: Refresh,
    expires_s: u32,
    /// It tries again so long after a failure.
    retry: Duration,
}

/// A REGISTER on its way.
struct Attempt {
    branch: String,
    cseq: u32,
    expires_s: u32,
    to: SocketAddr,
    payload: Vec<u8>,
    interval: Duration,
    resend: Duration,
    until: Duration,
}

/// What an answer was to a client.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// It says nothing new.
    Nothing,
    /// It is registered, or is not any more, as it wanted.
    Done,
    /// It goes to another host.
    Follows {
        /// The branch of the request that was redirected.
        branch: String,
    },
    /// It has failed for now, with this status.
    Failed(u16),
}

/// A client.
pub struct Client {
    /// Its user's name.
    pub user: String,
    address: SocketAddr,
    manner: Manner,
    edges: usize,
    edge: usize,
    /// Where it was registered.
    at: Option<SocketAddr>,
    boot: u32,
    cseq: u32,
    serial: u32,
    attempt: Option<Attempt>,
    next: Duration,
    /// It wants to be registered.
    pub wants: bool,
    /// Until when it is, as it knows.
    pub until: Option<Duration>,
    /// It stays as it is: it neither leaves nor starts again.
    steady: bool,
}

impl Client {
    /// Client of this number, in front of so many hosts.
    pub fn new(number: usize, edges: usize, rng: &mut Rng) -> Self {
        let manner = Manner {
            follows: rng.u8(..10) < 8,
            rewrites: rng.bool(),
            stays: rng.u8(..5) == 0,
            refresh: if rng.bool() { Refresh::Half } else { Refresh::Late },
            expires_s: [60, 60, 60, 60, 90, 120, 600, 600][rng.usize(..8)],
            retry: Duration::from_secs(rng.u64(30..120)),
        };
        Self {
            user: format!("user{number}"),
            address: client_address(number),
            manner,
            edges,
            edge: rng.usize(..edges),
            at: None,
            boot: 1,
            cseq: 0,
            serial: 0,
            attempt: None,
            next: Duration::from_millis(2_000 + rng.u64(..58_000)),
            wants: true,
            until: None,
            steady: false,
        }
    }

    /// One that comes to its edge every half minute, and follows redirects.
    pub fn busy(number: usize, edges: usize, rng: &mut Rng) -> Self {
        let mut client = Self::new(number, edges, rng);
        let manner = client.manner;
        let refresh = Refresh::Half;
        client.manner = Manner { follows: true, stays: false, expires_s: 60, refresh, ..manner };
        client
    }

    /// Its address of record.
    pub fn aor(&self) -> String {
        format!("{}@{DOMAIN}", self.user)
    }

    /// When it wants to do something.
    pub fn due(&self) -> Duration {
        self.attempt.as_ref().map_or(self.next, |it| it.resend.min(it.until))
    }

    /// It waits for no answer.
    pub fn is_idle(&self) -> bool {
        self.attempt.is_none()
    }

    /// Does what is due; what it sends, and where to.
    pub fn wake(&mut self, now: Duration, rng: &mut Rng) -> Option<(SocketAddr, Vec<u8>)> {
        match &mut self.attempt {
            Some(it) if it.until <= now => {
                // Another host may do it.
                self.attempt = None;
                (self.at, self.edge) = (None, (self.edge + 1) % self.edges);
                self.next = now + Duration::from_millis(rng.u64(..2_000));
                None
            }
            Some(it) if it.resend <= now => {
                it.interval = (it.interval * 2).min(T2);
                it.resend = now + it.interval;
                Some((it.to, it.payload.clone()))
            }
            Some(_) => None,
            None if self.next <= now => {
                self.change_its_mind(now, rng);
                let to = self.at.filter(|_| self.manner.stays);
                Some(self.begin(to.unwrap_or(host_address(self.edge)), None, now))
            }
            None => None,
        }
    }

    fn change_its_mind(&mut self, now: Duration, rng: &mut Rng) {
        if self.steady || !self.wants {
            self.wants = true;
            return;
        }
        // Who leaves shortly before all comes to rest would still be bound then if it came back.
        let leaves = if now + Duration::from_secs(150) > QUIET { 16 } else { 4 };
        match rng.u8(..40) {
            it if it < leaves => self.wants = false,
            20 => (self.boot, self.cseq) = (self.boot + 1, 0),
            21 => self.edge = rng.usize(..self.edges),
            _ => {}
        }
    }

    /// From now on it stays as it is; away, if it has left.
    pub fn settle(&mut self) {
        self.steady = true;
        if !self.wants && self.until.is_none() && self.is_idle() {
            self.next = NEVER;
        }
    }

    /// Sends a request; behind a redirect its target stands in it.
    fn begin(
        &mut self,
        to: SocketAddr,
        target: Option<&str>,
        now: Duration,
    ) -> (SocketAddr, Vec<u8>) {
        self.cseq += 1;
        self.serial += 1;
        let expires_s = if self.wants { self.manner.expires_s } else { 0 };
        let branch = format!("z9hG4bK{}-{}", self.user, self.serial);
        let Self { user, address, boot, cseq, .. } = self;
        let contact = match expires_s {
            // Phones have either way to leave.
            0 if self.manner.expires_s == 60 => "*".to_owned(),
            _ => format!("<sip:{user}@{address}>"),
        };
        let target = target.filter(|_| self.manner.rewrites).unwrap_or(DOMAIN);
        let payload = format!(
            "REGISTER sip:{target} SIP/2.0\r\n\
             Via: SIP/2.0/UDP {address};branch={branch};rport\r\n\
             Max-Forwards: 70\r\n\
             To: <sip:{user}@{DOMAIN}>\r\n\
             From: <sip:{user}@{DOMAIN}>;tag=t{boot}\r\n\
             Call-ID: {boot}-{user}@{}\r\n\
             CSeq: {cseq} REGISTER\r\n\
             Contact: {contact}\r\n\
             Expires: {expires_s}\r\n\
             User-Agent: a phone of the simulation\r\n\
             Allow: INVITE, ACK, CANCEL, BYE, NOTIFY, REFER, MESSAGE, OPTIONS, INFO, SUBSCRIBE\r\n\
             Content-Length: 0\r\n\r\n",
            address.ip()
        )
        .into_bytes();
        self.attempt = Some(Attempt {
            branch,
            cseq: self.cseq,
            expires_s,
            to,
            payload: payload.clone(),
            interval: T1,
            resend: now + T1,
            until: now + GIVE_UP,
        });
        (to, payload)
    }

    /// Takes an answer; what it sends because of it.
    pub fn hear(
        &mut self,
        payload: &[u8],
        now: Duration,
        rng: &mut Rng,
    ) -> (Heard, Option<(SocketAddr, Vec<u8>)>) {
        let nothing = (Heard::Nothing, None);
        let Some(answer) = Answer::read(payload) else { return nothing };
        let Some(attempt) = self.attempt.as_mut().filter(|it| it.branch == answer.branch) else {
            return nothing;
        };
        if answer.status < 200 {
            attempt.interval = T2;
            return nothing;
        }
        let Some(attempt) = self.attempt.take() else { return nothing };
        let mut failed = |seconds: Duration| {
            self.next = now + seconds;
            (Heard::Failed(answer.status), None)
        };
        match answer.status {
            200 if attempt.expires_s == 0 => {
                (self.until, self.at) = (None, None);
                // Some were never meant to be away for long.
                let longest = if rng.bool() { 15 } else { 300 };
                self.next = now + Duration::from_secs(rng.u64(1..longest));
                (Heard::Done, None)
            }
            200 => {
                let granted = Duration::from_secs(answer.expires(self.address).into());
                self.until = Some(now + granted);
                self.at = Some(attempt.to);
                self.next = now
                    + match self.manner.refresh {
                        Refresh::Half => granted.mul_f64(0.45 + 0.1 * rng.f64()),
                        Refresh::Late => granted.saturating_sub(Duration::from_secs(5)),
                    };
                (Heard::Done, None)
            }
            302 if self.manner.follows => match answer.target() {
                Some((text, to)) => {
                    let sent = self.begin(to, Some(&text), now);
                    (Heard::Follows { branch: attempt.branch }, Some(sent))
                }
                None => failed(self.manner.retry),
            },
            302 => failed(self.manner.retry),
            // Somebody has seen a later one.
            500 => {
                self.cseq = attempt.cseq + 2;
                failed(Duration::from_secs(1))
            }
            503 => failed(Duration::from_secs(answer.retry_s.unwrap_or(10).into())),
            _ => failed(Duration::from_secs(rng.u64(4..12))),
        }
    }

    /// It is under no other host's care: where it starts again.
    pub fn shown(&self) -> String {
        format!("{} ({:?}) next {:?} until {:?}", self.user, self.manner, self.due(), self.until)
    }
}

/// An answer as a client reads it.
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// The branch of the request's first Via.
    pub branch: String,
    /// The Call-ID.
    pub call: String,
    /// The sequence number.
    pub cseq: u32,
    contacts: Vec<String>,
    retry_s: Option<u32>,
}

impl Answer {
    /// Reads it; none if it is no answer to a REGISTER.
    pub fn read(payload: &[u8]) -> Option<Self> {
        let message = Message::parse(payload).ok()?;
        let Start::Response { status } = message.start else { return None };
        let text = |name| Some(String::from_utf8_lossy(message.first(name)?).into_owned());
        let (cseq, method) =
            text(Name::CSeq)?.split_once(' ').map(|(n, m)| (n.to_owned(), m.to_owned()))?;
        let via = text(Name::Via)?;
        let branch = via.split(";branch=").nth(1)?.split(';').next()?.to_owned();
        let contacts = message.headers.iter().filter(|it| it.name == Name::Contact);
        let contacts = contacts.map(|it| String::from_utf8_lossy(&it.value).into_owned());
        let retry = message.headers.iter().find(|it| it.name_text == b"Retry-After");
        let retry = retry.and_then(|it| String::from_utf8_lossy(&it.value).parse().ok());
        (method == "REGISTER").then_some(Self {
            status,
            branch,
            call: text(Name::CallId)?,
            cseq: cseq.parse().ok()?,
            contacts: contacts.collect(),
            retry_s: retry,
        })
    }

    /// The seconds that a contact is registered for.
    fn expires(&self, address: SocketAddr) -> u32 {
        let own = format!("@{address}>");
        let line = self.contacts.iter().find(|line| line.contains(&own));
        let expires = line.and_then(|line| line.split(";expires=").nth(1));
        expires.and_then(|text| text.split(';').next()?.parse().ok()).unwrap_or(0)
    }

    /// Where a redirect leads.
    pub(super) fn target(&self) -> Option<(String, SocketAddr)> {
        let line = self.contacts.first()?;
        let uri = line.split_once("<sip:")?.1.split_once('>')?.0;
        let to = uri.split(';').next()?.parse().ok()?;
        node(to)?;
        Some((uri.to_owned(), to))
    }
}
