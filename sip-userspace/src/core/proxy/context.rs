//! A response context: a server transaction that is being proxied, with what was heard so far
//! (RFC 3261 section 16.2).

use std::{collections::VecDeque, time::Duration};

use super::{best, forward::Outbound};
use crate::core::io::Flow;

/// A place that a request can be sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The way there.
    pub flow: Flow,
    /// The way for what is too long for datagrams (section 18.1.1).
    pub stream: Option<Flow>,
    /// What replaces the Request-URI.
    pub uri: Option<Box<[u8]>>,
    /// Lines that go on top: Record-Route, Path, Routes of a Path.
    pub lines: Box<[u8]>,
    /// Which of the client's phones it leads to; several flows and addresses may lead to one.
    pub phone: Option<usize>,
}

impl Target {
    /// The same request over this flow.
    pub fn plain(flow: Flow) -> Self {
        Self { flow, stream: None, uri: None, lines: Box::default(), phone: None }
    }
}

/// What makes the next target's turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Servers that can stand in for each other: what one of them says holds, but for a 503.
    Server,
    /// Contacts of one client: each but a 2xx and a 6xx.
    Contact,
}

/// A request to be proxied.
#[derive(Clone, Debug)]
pub struct Work {
    /// The request.
    pub outbound: Outbound,
    /// The loop digest of the request as it came.
    pub digest: u64,
    /// Whether it is an INVITE.
    pub invite: bool,
    /// Where it can go, best first.
    pub targets: VecDeque<Target>,
    /// What makes the next one's turn.
    pub next: Next,
    /// How long one may be silent while there is another.
    pub patience: Duration,
    /// The answer if none of them can be reached.
    pub unreachable: u16,
}

/// How a client transaction ended without a good answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With a final response, which has been considered.
    Answered,
    /// Nobody answered.
    TimedOut,
    /// It could not be sent (section 16.9).
    Failed,
}

/// A response context.
#[derive(Debug)]
pub struct Context {
    pub(super) work: Work,
    /// Client transactions that wait for their final response.
    pub(super) open: Vec<u64>,
    /// The best final response so far that is not good enough to be sent at once.
    best: Option<(u16, Vec<u8>)>,
    pub(super) cancelled: bool,
    pub(super) timed_out: bool,
}

/// What a context says in the end.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// This response.
    Answer(u16, Vec<u8>),
    /// An answer of our own with this status.
    Refuse(u16),
    /// Nothing: no 408 to what is no INVITE (RFC 4320 section 4.2).
    Silence,
}

impl Context {
    /// A context in which nothing was sent yet.
    pub const fn new(work: Work) -> Self {
        Self { work, open: Vec::new(), best: None, cancelled: false, timed_out: false }
    }

    /// Bytes of the messages that it holds.
    pub fn bytes(&self) -> usize {
        let best = self.best.as_ref().map_or(0, |(_, payload)| payload.len());
        self.work.outbound.len().saturating_add(best)
    }

    /// Whether a final response of this status leaves the others their turn.
    pub const fn moves_on(&self, status: u16) -> bool {
        match self.work.next {
            Next::Server => status == 503,
            Next::Contact => status < 600,
        }
    }

    /// A phone has answered with this status: it is asked over another flow only if this one does
    /// not lead there (RFC 5626 section 7).
    pub fn heard_of(&mut self, phone: Option<usize>, status: u16) {
        if phone.is_some() && !matches!(status, 408 | 430) {
            self.work.targets.retain(|target| target.phone != phone);
        }
    }

    /// Takes a final response into account, if there is room and none better.
    pub fn consider(&mut self, status: u16, payload: Vec<u8>, has_room: bool) {
        if has_room && best::is_better(status, self.best.as_ref().map(|(best, _)| *best)) {
            self.best = Some((status, payload));
        }
    }

    /// What is sent when nothing more can come.
    pub fn outcome(&mut self) -> Outcome {
        match self.best.take() {
            Some((status, payload)) => Outcome::Answer(status, payload),
            None if self.cancelled => Outcome::Refuse(487),
            None if self.timed_out && self.work.invite => Outcome::Refuse(408),
            None if self.timed_out => Outcome::Silence,
            None => Outcome::Refuse(self.work.unreachable),
        }
    }
}

/// The status line under which a final response goes back (section 16.7 step 6, RFC 5626 section
/// 5.3.1): a 503 and a 430 say something about the next hop, not about us.
pub const fn status_line(status: u16, next: Next) -> Option<(u16, &'static [u8])> {
    match (status, next) {
        (503, _) => Some((500, b"SIP/2.0 500 Home Unavailable\r\n")),
        (430, Next::Contact) => Some((480, b"SIP/2.0 480 Flow Failed\r\n")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_in_the_end_is_what_was_heard_or_why_nothing_was() {
        let work = |invite| Work {
            outbound: Outbound::default(),
            digest: 0,
            invite,
            targets: VecDeque::new(),
            next: Next::Contact,
            patience: Duration::ZERO,
            unreachable: 430,
        };
        for (invite, heard, cancelled, timed_out, expected) in [
            (true, &[486u16, 404][..], false, true, Outcome::Answer(486, vec![])),
            (true, &[480, 404], true, false, Outcome::Answer(404, vec![])),
            (true, &[], true, true, Outcome::Refuse(487)),
            (true, &[], false, true, Outcome::Refuse(408)),
            (false, &[], false, true, Outcome::Silence),
            (false, &[], false, false, Outcome::Refuse(430)),
            (true, &[], false, false, Outcome::Refuse(430)),
        ] {
            let mut context = Context::new(work(invite));
            (context.cancelled, context.timed_out) = (cancelled, timed_out);
            heard.iter().for_each(|status| context.consider(*status, vec![], true));
            assert_eq!(context.outcome(), expected, "{invite} {heard:?} {cancelled} {timed_out}");
        }
    }
}
