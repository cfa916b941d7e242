//! Responses to what was forwarded (RFC 3261 section 16.7, RFC 6026 section 8).

use std::{net::SocketAddr, time::Duration};

use super::{
    Event, Kind, Proxy,
    branch::Cancel,
    check_of,
    context::{Ended, Next, status_line},
    forward, hop_by_hop, loops,
};
use crate::{
    core::{
        health::{Told, probe},
        transaction::Heard,
    },
    sip::{
        header::Name,
        lex::{self, Cursor, Hides},
        message::Message,
        request,
        via::{PORT_DEFAULT, PORT_TLS, Via},
    },
};

impl Proxy {
    /// A response.
    pub fn on_response(
        &mut self,
        message: &Message<'_>,
        status: u16,
        now: Duration,
        out: &mut Vec<Event>,
    ) {
        match self.belongs_to(message) {
            None => out.push(Event::Stray),
            Some(Belongs::Over) => out.push(Event::Absorbed),
            Some(Belongs::Cancel(id)) => {
                if let Some(branch) = self.branches.get_mut(&id)
                    && let Cancel::Sent { machine, .. } = &mut branch.cancel
                {
                    machine.on_response(status, now);
                }
                out.push(Event::Absorbed);
                self.queue(id);
            }
            Some(Belongs::Request(id)) => {
                self.heard(id, message, status, now, out);
                self.queue(id);
            }
        }
    }

    fn heard(
        &mut self,
        id: u64,
        message: &Message<'_>,
        status: u16,
        now: Duration,
        out: &mut Vec<Event>,
    ) {
        let Some(branch) = self.branches.get_mut(&id) else { return };
        // Who says something is there: the next one is no longer tried for its silence.
        branch.patience = None;
        let flow = branch.flow;
        if status >= 200 && branch.machine.is_waiting() {
            let retry_after = probe::retry_after(message);
            let told = if status == 503 { Told::Refused { retry_after } } else { Told::Answered };
            let took = (!branch.invite).then(|| now.saturating_sub(branch.since));
            out.push(Event::Told { flow, told, took });
        }
        match branch.machine.on_response(status, now) {
            Heard::Absorbed => out.push(Event::Absorbed),
            Heard::AckAgain => {
                let payload = branch.payload.to_vec();
                out.push(Event::Send { flow, payload, kind: Kind::Ack });
            }
            Heard::Provisional => self.provisional(id, message, status, now, out),
            Heard::Final => self.last(id, message, status, now, out),
            Heard::Refused => {
                let ack = hop_by_hop::ack(&branch.payload, message).unwrap_or_default();
                self.hold(id, ack.as_slice().into());
                out.push(Event::Send { flow, payload: ack, kind: Kind::Ack });
                self.last(id, message, status, now, out);
            }
        }
    }

    /// Steps 2 and 5: a provisional response restarts timer C, and goes back if it says more than
    /// that somebody is there. To what is no INVITE none does (RFC 4320 section 4.1).
    fn provisional(
        &mut self,
        id: u64,
        message: &Message<'_>,
        status: u16,
        now: Duration,
        out: &mut Vec<Event>,
    ) {
        let timer_c = now.saturating_add(self.timer_c);
        let Some(branch) = self.branches.get_mut(&id) else { return };
        branch.provisional = true;
        let upstream = branch.upstream;
        if matches!(branch.cancel, Cancel::Wanted) {
            self.cancel_branch(id, now, out);
            out.push(Event::Absorbed);
            return;
        }
        if status > 100 && branch.invite && matches!(branch.cancel, Cancel::None) {
            branch.timer_c = Some(timer_c);
        }
        let told = status > 100 && branch.invite && self.contexts.contains_key(&upstream);
        match forward::without_top_via(message, message.start_line).filter(|_| told) {
            Some(payload) => out.push(Event::Answer { upstream, status, payload }),
            None => out.push(Event::Absorbed),
        }
    }

    /// Steps 4 to 6 and 10: a final response.
    fn last(
        &mut self,
        id: u64,
        message: &Message<'_>,
        status: u16,
        now: Duration,
        out: &mut Vec<Event>,
    ) {
        let Some(branch) = self.branches.get(&id) else { return };
        let (upstream, invite, phone) = (branch.upstream, branch.invite, branch.phone);
        let accepted = status < 300;
        if !invite {
            self.answered(id, now);
            if status == 408 {
                // RFC 4320 section 4.2: it is never sent on, and says what a timeout here says.
                let told = out.len();
                self.closed(upstream, id, Ended::TimedOut, now, out);
                if out.len() == told {
                    out.push(Event::Absorbed);
                }
                return;
            }
        } else if accepted {
            // Nothing is sent again from now on.
            self.hold(id, Box::default());
        }
        let next = self.contexts.get(&upstream).map_or(Next::Server, |context| context.work.next);
        let (told, line) = status_line(status, next).unwrap_or((status, message.start_line));
        let Some(payload) = forward::without_top_via(message, line) else {
            return self.closed(upstream, id, Ended::Answered, now, out);
        };
        let has_room = self.bytes < self.limits.forward_bytes;
        match self.contexts.get_mut(&upstream) {
            // Every 2xx to an INVITE goes back, also when another one did (16.7 step 5).
            None if accepted && invite => out.push(Event::Answer { upstream, status, payload }),
            None => out.push(Event::Absorbed),
            Some(context) if !accepted && context.moves_on(status) => {
                let before = context.bytes();
                context.heard_of(phone, status);
                context.consider(told, payload, has_room);
                let after = context.bytes();
                self.bytes = self.bytes.saturating_sub(before).saturating_add(after);
                let told = out.len();
                self.closed(upstream, id, Ended::Answered, now, out);
                if out.len() == told {
                    out.push(Event::Absorbed);
                }
            }
            Some(_) => {
                let open = self.remove_context(upstream).map_or(Vec::new(), |context| context.open);
                out.push(Event::Answer { upstream, status: told, payload });
                for other in open.into_iter().filter(|other| *other != id) {
                    self.cancel_branch(other, now, out);
                }
            }
        }
    }

    /// What a response belongs to: its top Via is ours (section 18.1.2), and CSeq names the method
    /// (17.1.3).
    fn belongs_to(&self, message: &Message<'_>) -> Option<Belongs> {
        let (top, _) = lex::split_first(message.first(Name::Via)?, Hides::Comments).ok()?;
        let via = Via::parse(top).ok()?;
        let (id, _) = loops::read_branch(via.branch())?;
        let default =
            if via.transport.eq_ignore_ascii_case(b"TLS") { PORT_TLS } else { PORT_DEFAULT };
        let sent_by = SocketAddr::new(via.address()?, via.port.unwrap_or(default));
        let cseq = message.first(Name::CSeq).filter(|_| message.fault.is_none())?;
        let method = cseq_method(cseq);
        request::read_cseq(cseq, method).ok()?;
        let check = |method| check_of(self.secret, method, sent_by);
        let Some(branch) = self.branches.get(&id) else {
            let over = self.over.get(&id).is_some_and(|it| *it == check(method));
            return over.then_some(Belongs::Over);
        };
        if branch.invite && method == b"CANCEL" {
            return (check(b"INVITE") == branch.check).then_some(Belongs::Cancel(id));
        }
        (check(method) == branch.check).then_some(Belongs::Request(id))
    }
}

/// What a response belongs to.
enum Belongs {
    /// A client transaction.
    Request(u64),
    /// The CANCEL of one.
    Cancel(u64),
    /// One that has had its final response.
    Over,
}

fn cseq_method(cseq: &[u8]) -> &[u8] {
    let mut cursor = Cursor::new(cseq);
    cursor.take_while(|byte| byte.is_ascii_digit());
    cursor.blanks();
    cursor.rest()
}
