//! What is sent on: requests to their targets, responses back, with a transaction or without (RFC
//! 3261 sections 16.6, 16.7 and 16.11).

use std::{collections::VecDeque, net::SocketAddr};

use sip_common::abi::ClientKey;

use super::{
    Core, Counters, Flow, Now, Output,
    proxy::{
        Event, Kind,
        context::{Next, Target, Work},
        forward::{self, Outbound},
        loops,
        routes::Routes,
    },
    requests::{Place, RETRY_AFTER_S},
    transaction::key::TransactionKey,
    transactions::Timed,
};
use crate::sip::{
    answer::Answer,
    fault::Silence,
    header::Name,
    lex::{self, Hides},
    message::Message,
    request::Request,
    via::Via,
};

/// How a request is sent on.
struct Plan {
    targets: VecDeque<Target>,
    next: Next,
    patience: std::time::Duration,
    /// The answer if no target can be reached.
    unreachable: u16,
}

impl Core {
    /// To a home.
    pub(super) fn proxy_home(
        &mut self,
        at: &Place,
        server: u16,
        request: &Request<'_>,
        routes: &Routes<'_>,
        now: Now,
        out: &mut Vec<Output>,
    ) {
        let (targets, passed_over) = self.server_targets(at, server, request, now);
        self.counters.passed_over = self.counters.passed_over.wrapping_add(passed_over);
        if targets.is_empty() && passed_over > 0 {
            Counters::add(&mut self.counters.home_unhealthy);
            let retry = self.health.pause(server, now.mono).as_secs();
            let retry = u32::try_from(retry).unwrap_or(u32::MAX).max(RETRY_AFTER_S).to_string();
            let retry = rsip::headers::RetryAfter::from(retry);
            let answer = Answer::new(503).phrase("Home Does Not Answer").with(retry);
            return self.refuse(at, request, answer, out);
        }
        if targets.is_empty() {
            Counters::add(&mut self.counters.proxy_no_address);
            let answer = Answer::new(500).phrase("No Way To The Home");
            return self.refuse(at, request, answer, out);
        }
        let patience = self.settings.home_patience;
        let plan = Plan { targets, next: Next::Server, patience, unreachable: 503 };
        self.send_on(at, request, routes, plan, now, out);
    }

    /// To a client that is at home here.
    pub(super) fn deliver(
        &mut self,
        at: &Place,
        key: ClientKey,
        request: &Request<'_>,
        routes: &Routes<'_>,
        now: Now,
        out: &mut Vec<Output>,
    ) {
        let mut look = self.look(request, now);
        let targets = self.client_targets(at, self.bindings.get(&key), request, &mut look);
        if self.waits_for_names(at, request, look, now, out) {
            return;
        }
        if targets.is_empty() {
            Counters::add(&mut self.counters.no_contact);
            return self.refuse(at, request, Answer::new(480), out);
        }
        let patience = self.settings.contact_patience;
        let plan = Plan { targets, next: Next::Contact, patience, unreachable: 480 };
        self.send_on(at, request, routes, plan, now, out);
    }

    /// Along a route set.
    pub(super) fn follow(
        &mut self,
        at: &Place,
        request: &Request<'_>,
        routes: &Routes<'_>,
        now: Now,
        out: &mut Vec<Output>,
    ) {
        let mut look = self.look(request, now);
        let targets = self.next_targets(at, request, routes, &mut look);
        if self.waits_for_names(at, request, look, now, out) {
            return;
        }
        if targets.is_empty() {
            Counters::add(&mut self.counters.proxy_no_address);
            let answer = Answer::new(502).phrase("Next Hop Has No Address");
            return self.refuse(at, request, answer, out);
        }
        let patience = self.settings.home_patience;
        let plan = Plan { targets, next: Next::Server, patience, unreachable: 503 };
        self.send_on(at, request, routes, plan, now, out);
    }

    /// Over the flow that a token of ours names. If it is gone, its home is told so (RFC 5626
    /// section 5.3.1).
    pub(super) fn send_over(
        &mut self,
        at: &Place,
        flow: Flow,
        request: &Request<'_>,
        routes: &Routes<'_>,
        now: Now,
        out: &mut Vec<Output>,
    ) {
        let targets = VecDeque::from([self.flow_target(at, flow, request)]);
        let patience = self.settings.home_patience;
        let plan = Plan { targets, next: Next::Server, patience, unreachable: 430 };
        self.send_on(at, request, routes, plan, now, out);
    }

    fn refuse(&mut self, at: &Place, request: &Request<'_>, answer: Answer, out: &mut Vec<Output>) {
        if request.method != b"ACK" {
            self.answer(at, request.message, answer, out);
        }
    }

    fn send_on(
        &mut self,
        at: &Place,
        request: &Request<'_>,
        routes: &Routes<'_>,
        plan: Plan,
        now: Now,
        out: &mut Vec<Output>,
    ) {
        let outbound = Outbound::new(request, &at.path, routes);
        let digest = loops::digest(request, self.settings.node_secret);
        // The ACK of a 2xx has no transaction (section 13.2.2.4).
        if self.settings.stateless || request.method == b"ACK" {
            if let Some(target) = plan.targets.front() {
                self.send_without_state(at, request, &outbound, digest, target, out);
            }
            return;
        }
        if !self.proxy.has_room() {
            Counters::add(&mut self.counters.proxy_full);
            return self.shed(at, request, out);
        }
        let (key, invite) = (at.transaction, request.method == b"INVITE");
        if !self.transactions.begin(key, at.flow, invite) {
            Counters::add(&mut self.counters.transactions_full);
            return self.shed(at, request, out);
        }
        if invite {
            // Section 17.2.1: within 200 ms, so that it is not sent again.
            let answer = self.signed(Answer::new(100));
            let payload = answer.compose(request.message, &at.path, at.tag);
            self.respond(key, 100, payload, now, out);
        } else {
            self.transactions.handed_on(key, now.mono);
        }
        let Plan { targets, next, patience, unreachable } = plan;
        let work = Work { outbound, digest, invite, targets, next, patience, unreachable };
        let mut events = Vec::new();
        self.proxy.forward(key, work, now.mono, &mut events);
        self.carry_out(events, now, out);
    }

    /// Section 16.11: the same bytes for the same request, and nothing kept.
    fn send_without_state(
        &mut self,
        at: &Place,
        request: &Request<'_>,
        outbound: &Outbound,
        digest: u64,
        target: &Target,
        out: &mut Vec<Output>,
    ) {
        Counters::add(&mut self.counters.proxied_stateless);
        let (secret, back) = (self.settings.node_secret, self.tokens.via(&at.flow));
        let branch = loops::stateless_branch(request, secret, digest, &back);
        let compose = |flow| outbound.compose(flow, &branch, &target.lines, target.uri.as_deref());
        let (mut flow, mut payload) = (target.flow, compose(&target.flow));
        if let Some(stream) = target.stream.filter(|_| payload.len() > super::proxy::DATAGRAM_MAX) {
            (flow, payload) = (stream, compose(&stream));
        }
        out.push(Output::Send { flow, payload });
    }

    pub(super) fn handle_response(
        &mut self,
        now: Now,
        local: SocketAddr,
        message: &Message<'_>,
        status: u16,
        out: &mut Vec<Output>,
    ) -> Result<(), Silence> {
        if let Some(flow) = self.way_back(message, local) {
            let payload = forward::without_top_via(message, message.start_line);
            let payload = payload.ok_or(Silence::Response)?;
            Counters::add(&mut self.counters.proxied_stateless);
            out.push(Output::Send { flow, payload });
            return Ok(());
        }
        if self.probe_answered(message, status, now, out)
            || self.notice_answered(message, status, now, out)
        {
            return Ok(());
        }
        let mut events = Vec::new();
        self.proxy.on_response(message, status, now.mono, &mut events);
        let stray = events.first() == Some(&Event::Stray);
        self.carry_out(events, now, out);
        if stray { Err(Silence::Response) } else { Ok(()) }
    }

    /// Where the response to a request that was forwarded without state goes: our Via says it.
    fn way_back(&mut self, message: &Message<'_>, local: SocketAddr) -> Option<Flow> {
        let via = message.first(Name::Via).filter(|_| self.settings.stateless)?;
        let (top, _) = lex::split_first(via, Hides::Comments).ok()?;
        let via = Via::parse(top).ok().filter(|_| message.fault.is_none())?;
        if let Some(strict) = &mut self.strict
            && let Some(to) = strict.way_back(via.branch(), local)
        {
            return Some(Flow::udp(local, to));
        }
        self.tokens.read_via(loops::read_stateless(via.branch())?)
    }

    /// Sends an answer of a server transaction, if it is one to send.
    pub(super) fn respond(
        &mut self,
        transaction: TransactionKey,
        status: u16,
        payload: Vec<u8>,
        now: Now,
        out: &mut Vec<Output>,
    ) {
        if let Some(flow) = self.transactions.answer(&transaction, status, &payload, now.mono) {
            out.push(Output::Send { flow, payload });
        }
    }

    /// An answer of our own to a request that is or was being proxied.
    fn respond_to(
        &mut self,
        transaction: TransactionKey,
        status: u16,
        outbound: &Outbound,
        now: Now,
        out: &mut Vec<Output>,
    ) {
        let answer = self.signed(Answer::new(status));
        match outbound.answer(&answer, self.settings.node_secret) {
            Some(payload) => self.respond(transaction, status, payload, now, out),
            None => self.transactions.abandon(&transaction),
        }
    }

    pub(super) fn on_timed(&mut self, timed: Timed, now: Now, out: &mut Vec<Output>) {
        match timed {
            Timed::Again { flow, payload } => out.push(Output::Send { flow, payload }),
            Timed::Unacknowledged => Counters::add(&mut self.counters.unacknowledged),
            Timed::Late { key } => {
                let Some(outbound) = self.proxy.request(&key).cloned() else { return };
                Counters::add(&mut self.counters.late_100);
                self.respond_to(key, 100, &outbound, now, out);
            }
        }
    }

    pub(super) fn carry_out(&mut self, events: Vec<Event>, now: Now, out: &mut Vec<Output>) {
        for event in events {
            match event {
                Event::Send { flow, payload, kind } => {
                    let counter = match kind {
                        Kind::First => &mut self.counters.proxied,
                        Kind::Standby => &mut self.counters.proxied_standby,
                        Kind::Retransmission => &mut self.counters.proxied_retransmissions,
                        Kind::Ack => &mut self.counters.proxy_acks,
                        Kind::Cancel => &mut self.counters.proxy_cancels,
                    };
                    Counters::add(counter);
                    out.push(Output::Send { flow, payload });
                }
                Event::Answer { upstream, status, payload } => {
                    Counters::add(&mut self.counters.proxied_answers);
                    self.respond(upstream, status, payload, now, out);
                }
                Event::Refuse { upstream, status, outbound } => {
                    let counter = match status {
                        408 => &mut self.counters.proxy_timeouts,
                        487 => &mut self.counters.refused,
                        _ => &mut self.counters.proxy_unreachable,
                    };
                    Counters::add(counter);
                    self.respond_to(upstream, status, &outbound, now, out);
                }
                Event::TimedOut { upstream } => {
                    Counters::add(&mut self.counters.proxy_timeouts);
                    self.transactions.abandon(&upstream);
                }
                Event::Stray => Counters::add(&mut self.counters.responses_stray),
                Event::Absorbed => Counters::add(&mut self.counters.responses_absorbed),
                Event::Told { flow, told, took } => {
                    self.measure_answer(&flow, told, took);
                    self.told(&flow, told, now, out);
                }
            }
        }
    }
}
