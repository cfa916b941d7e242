//! Questions between hosts, over connections that end, and answers that get lost.

use std::time::Duration;

use homeward::{
    core::{
        Now,
        handover::{Batch, Taken, Took},
        record::{self, Record},
        returning::Seen,
    },
    net::peers::{Answer, Question},
};
use sip_common::abi::ClientKey;

use super::{Event, Sim, breaks::Break, host::Asker, network::Node};

/// An answer is waited for so long.
const PATIENCE: Duration = Duration::from_secs(3);

impl Sim {
    pub(super) fn give(&mut self, host: usize, server: u16, mut batch: Batch) {
        if self.breaks == Some(Break::ForgetRemovals) {
            let now = self.hosts[host].now(self.clock.now());
            batch.records.iter_mut().for_each(|record| forget_removals(record, now));
        }
        let users = batch.records.iter().filter_map(|it| Record::decode(it));
        let users: Vec<_> = users.map(|it| String::from_utf8_lossy(it.aor).into_owned()).collect();
        let what = format!("host{host}'s batch {} to host{server}: {users:?}", batch.id);
        self.note(format_args!("{what}"));
        self.ask(host, server, Question::Take(batch));
    }

    pub(super) fn ask_home(&mut self, host: usize, server: u16, key: ClientKey) {
        let ClientKey(key) = key;
        self.ask(host, server, Question::Seen { key });
    }

    fn ask(&mut self, host: usize, server: u16, question: Question) {
        let it = &mut self.hosts[host];
        let (process, serial) = (it.process, it.serial());
        let Some(daemon) = &mut it.daemon else { return };
        daemon.asked.insert(serial, question.clone());
        let (by, to) = ((host, process, serial), usize::from(server));
        self.clock.after(PATIENCE, Event::Answered { by, answer: None });
        if self.network.joins(Node::Host(host), Node::Host(to)) {
            let delay = self.network.delay(&mut self.rng);
            self.clock.after(delay, Event::Asked { to, by, question });
        }
    }

    pub(super) fn asked(&mut self, to: usize, by: Asker, question: Question) {
        let process = match self.hosts.get(to) {
            Some(host) if host.daemon.is_some() => host.process,
            // Nobody listens there: that is known at once.
            _ => return self.answer(to, by, None),
        };
        match question {
            // Nobody asks for loads here: the operator moves what he likes.
            Question::Load { .. } => self.answer(to, by, None),
            Question::Seen { key } => {
                let seen = self.with(to, |core, now, _| core.seen(&ClientKey(key), now));
                self.answer(to, by, seen.map(Answer::Seen));
            }
            Question::Take(batch) => {
                let took = self.with(to, |core, now, out| core.handle_batch(&batch, now, out));
                if !self.runs(to, process) {
                    return;
                }
                match took {
                    Some(Took::Now(taken)) => self.answer(to, by, Some(Answer::Taken(taken))),
                    Some(Took::When(_)) if self.breaks == Some(Break::AcknowledgeUnwritten) => {
                        self.answer(to, by, Some(Answer::Taken(Taken::Kept)));
                    }
                    Some(Took::When(ticket)) => {
                        if let Some(daemon) = &mut self.hosts[to].daemon {
                            daemon.taking.push_back((ticket, by));
                        }
                    }
                    None => {}
                }
            }
        }
    }

    /// Records are written: so is the state that other hosts gave.
    pub(super) fn took(&mut self, host: usize, ticket: u64) {
        while let Some((_, by)) = self.hosts[host]
            .daemon
            .as_mut()
            .and_then(|it| it.taking.pop_front_if(|(last, _)| *last <= ticket))
        {
            self.answer(host, by, Some(Answer::Taken(Taken::Kept)));
        }
    }

    fn answer(&mut self, from: usize, by: Asker, answer: Option<Answer>) {
        let lost = self.rng.u8(..100) < self.plan.answers_lost;
        if !lost && self.network.joins(Node::Host(from), Node::Host(by.0)) {
            let delay = self.network.delay(&mut self.rng);
            self.clock.after(delay, Event::Answered { by, answer });
        }
    }

    pub(super) fn answered(&mut self, by: Asker, answer: Option<Answer>) {
        let (host, process, serial) = by;
        if !self.runs(host, process) {
            return;
        }
        let asked = self.hosts[host].daemon.as_mut().and_then(|it| it.asked.remove(&serial));
        let Some(question) = asked else { return };
        match (question, answer) {
            (Question::Load { .. }, _) => {}
            (Question::Seen { key }, answer) => {
                let seen = match answer {
                    Some(Answer::Seen(seen)) => seen,
                    _ => Seen::Unknown,
                };
                let key = ClientKey(key);
                self.checks.hears(host, key);
                self.with(host, |core, now, out| core.handle_seen(key, seen, now, out));
                self.checks.request_done();
            }
            (Question::Take(batch), answer) => {
                let mut taken = match answer {
                    Some(Answer::Taken(taken)) => Some(taken),
                    _ => None,
                };
                self.note(format_args!("host{host}'s batch {}: {taken:?}", batch.id));
                if self.breaks == Some(Break::DropUnkept) {
                    taken = Some(Taken::Kept);
                }
                self.with(host, |core, now, out| core.handle_taken(batch.id, taken, now, out));
            }
        }
    }
}

/// Leaves the bindings of a record alone.
fn forget_removals(record: &mut Vec<u8>, now: Now) {
    let Some(read) = Record::decode(record) else { return };
    let aor = read.aor;
    let live = read.live(now, true, u32::MAX).into_iter();
    let bindings: Vec<_> = live.filter(|it| !it.gone).collect();
    *record = record::encode(aor, &bindings, &[], now);
}
