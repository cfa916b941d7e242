//! What comes due, and what fails, among the client transactions (RFC 3261 sections 16.8 and 16.9).

use std::time::Duration;

use super::{Event, Kind, Proxy, branch::Cancel, context::Ended};
use crate::core::{io::Flow, transaction::Due};

impl Proxy {
    /// Does what is due at `now`.
    pub fn on_time(&mut self, now: Duration, out: &mut Vec<Event>) {
        while let Some((_, id)) = self.over_ends.pop_front_if(|(at, _)| *at <= now) {
            self.over.remove(&id);
        }
        while let Some((at, id)) = self.due.take(now) {
            if self.branches.get(&id).is_some_and(|branch| branch.queued == at) {
                self.look_at(id, now, out);
                self.queue(id);
            }
        }
    }

    fn look_at(&mut self, id: u64, now: Duration, out: &mut Vec<Event>) {
        let Some(branch) = self.branches.get_mut(&id) else { return };
        branch.queued = Duration::MAX;
        let (upstream, flow) = (branch.upstream, branch.flow);
        if let Cancel::Sent { machine, payload } = &mut branch.cancel
            && machine.deadline() <= now
        {
            match machine.on_time(now) {
                Due::Again => {
                    let payload = payload.to_vec();
                    out.push(Event::Send { flow, payload, kind: Kind::Cancel });
                }
                Due::TimedOut | Due::Over => {
                    self.bytes = self.bytes.saturating_sub(payload.len());
                    branch.cancel = Cancel::Done;
                }
                Due::Nothing => {}
            }
        }
        match branch.machine.on_time(now) {
            Due::Again => {
                let payload = branch.payload.to_vec();
                out.push(Event::Send { flow, payload, kind: Kind::Retransmission });
            }
            Due::TimedOut => {
                self.tell_silence(id, out);
                self.remove_branch(id);
                return self.closed(upstream, id, Ended::TimedOut, now, out);
            }
            Due::Over => {
                self.remove_branch(id);
                return;
            }
            Due::Nothing => {}
        }
        if branch.timer_c.is_some_and(|at| at <= now) && branch.machine.is_waiting() {
            branch.timer_c = None;
            if !matches!(branch.cancel, Cancel::None | Cancel::Wanted) {
                // 9.1: it was cancelled, and has not ended by now.
                self.remove_branch(id);
                return self.closed(upstream, id, Ended::TimedOut, now, out);
            }
            // 16.8: it rings for too long.
            return self.cancel_branch(id, now, out);
        }
        if branch.patience.is_some_and(|at| at <= now) {
            branch.patience = None;
            let waiting = branch.machine.is_waiting();
            if waiting {
                self.tell_silence(id, out);
            }
            if waiting && self.next(upstream, Kind::Standby, now, out) {
                // It is left behind: it is not to ring beside the next one.
                self.cancel_branch(id, now, out);
            }
        }
    }

    /// A flow failed: what went over it ends as if it had been answered with 503 (16.9), unless
    /// its response can come by another way.
    pub fn on_failure(&mut self, failed: &Flow, now: Duration, out: &mut Vec<Event>) {
        let range = (failed.peer, u64::MIN)..=(failed.peer, u64::MAX);
        let ids: Vec<u64> = self.by_peer.range(range).map(|(_, id)| *id).collect();
        for id in ids {
            let Some(branch) = self.branches.get(&id) else { continue };
            let theirs = branch.went_over(failed) && branch.machine.is_waiting();
            if !theirs || !branch.ends_with_its_flow() {
                continue;
            }
            self.tell_silence(id, out);
            let Some(branch) = self.remove_branch(id) else { continue };
            match branch.again {
                // 18.1.1: what a stream does not take is tried over datagrams.
                Some(target) if self.contexts.contains_key(&branch.upstream) => {
                    if let Some(context) = self.contexts.get_mut(&branch.upstream) {
                        context.open.retain(|open| *open != id);
                    }
                    self.open(branch.upstream, *target, Kind::Retransmission, now, out);
                }
                _ => self.closed(branch.upstream, id, Ended::Failed, now, out),
            }
        }
    }
}
