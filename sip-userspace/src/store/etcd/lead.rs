//! The election of the one balancer.
//!
//! Who creates `leader/balancer` under its leader lease leads until the lease has run out. A
//! proposal of the balancer's compares the key's creation, so one that has been replaced commits
//! nothing, whatever it believes. It also stops believing by its own clock, once the lease may
//! have run out.

use std::time::{Duration, Instant};

use etcd_client::{Compare, CompareOp, PutOptions, Txn, TxnOp};

use super::{
    edges::changed,
    fault::Fault,
    keys,
    lease::{is_gone, renewal},
    run::Runner,
    session::Session,
};
use crate::store::Event;

/// Seconds of the leader lease.
const LEASE_S: u32 = 5;
/// Between two looks at the key of another leader.
const LOOK: Duration = Duration::from_millis(500);

/// This host's part in the election.
#[derive(Debug, Default)]
pub(super) struct Leadership {
    held: Option<Held>,
    /// The host that led when this one looked last.
    other: Option<String>,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    lease: i64,
    /// etcd's revision of the key's creation.
    created: i64,
    /// The lease lasts so long at least.
    until: Instant,
}

impl Leadership {
    /// The creation of the leader key, while it is this host's.
    pub(super) fn created(&self) -> Option<i64> {
        self.held.filter(|held| Instant::now() < held.until).map(|held| held.created)
    }

    /// Another host leads.
    pub(super) fn lost(&mut self) {
        self.held = None;
    }
}

impl Runner {
    /// Takes part in the election for as long as the session lasts.
    pub(super) async fn lead(&self, mut session: Session) -> Fault {
        loop {
            if let Err(fault) = self.take_part(&mut session).await {
                return fault;
            }
        }
    }

    /// Ends the belief in time, whether there is a session or not.
    pub(super) async fn lead_clock(&self) -> std::convert::Infallible {
        loop {
            tokio::time::sleep(LOOK).await;
            if self.told_leader.borrow().0 {
                self.tell_leads().await;
            }
        }
    }

    async fn tell_leads(&self) {
        let here = self.leadership.borrow().created().is_some();
        let other = self.leadership.borrow().other.clone();
        let host = if here { Some(self.settings.node.clone()) } else { other };
        let news = (here, host);
        if *self.told_leader.borrow() != news {
            let (here, host) = news.clone();
            self.tell(Event::Leader { here, host }).await;
            self.told_leader.replace(news);
        }
    }

    async fn take_part(&self, session: &mut Session) -> Result<(), Fault> {
        let mut wanted = self.wants_lead.clone();
        let wants = *wanted.borrow_and_update();
        let held = self.leadership.borrow().held;
        let pause = match (wants, held) {
            (false, None) => {
                self.tell_leads().await;
                changed(&mut wanted).await;
                return Ok(());
            }
            (false, Some(held)) => {
                self.leadership.borrow_mut().lost();
                self.tell_leads().await;
                session.resign(held).await?;
                return Ok(());
            }
            (true, Some(held)) => {
                let from = Instant::now();
                let mine = session.renew(held.lease).await? && session.is_leader(held).await?;
                let until = from + Duration::from_secs(u64::from(LEASE_S));
                self.leadership.borrow_mut().held = mine.then_some(Held { until, ..held });
                renewal(LEASE_S)
            }
            (true, None) => {
                let (held, other) = session.campaign(&self.settings.node).await?;
                let pause = if held.is_some() { renewal(LEASE_S) } else { LOOK };
                *self.leadership.borrow_mut() = Leadership { held, other };
                pause
            }
        };
        self.tell_leads().await;
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = changed(&mut wanted) => {}
        }
        Ok(())
    }
}

impl Session {
    /// Becomes the leader if there is none; else says who leads, if that can be read.
    async fn campaign(&mut self, node: &str) -> Result<(Option<Held>, Option<String>), Fault> {
        if let Some(leader) = self.get(keys::LEADER).await?.value {
            return Ok((None, String::from_utf8(leader).ok()));
        }
        let from = Instant::now();
        let lease = self.grant(LEASE_S).await?;
        let put = TxnOp::put(keys::LEADER, node, Some(PutOptions::new().with_lease(lease)));
        let nobody = Compare::create_revision(keys::LEADER, CompareOp::Equal, 0);
        let answer = self.transact(Txn::new().when([nobody]).and_then([put])).await?;
        let created = answer.header().map_or(0, etcd_client::ResponseHeader::revision);
        let until = from + Duration::from_secs(u64::from(LEASE_S));
        Ok((answer.succeeded().then_some(Held { lease, created, until }), None))
    }

    async fn is_leader(&mut self, held: Held) -> Result<bool, Fault> {
        Ok(self.get(keys::LEADER).await?.created == held.created)
    }

    /// Leaves the key to others, if it still is this host's.
    async fn resign(&mut self, held: Held) -> Result<(), Fault> {
        let mine = Compare::create_revision(keys::LEADER, CompareOp::Equal, held.created);
        let delete = TxnOp::delete(keys::LEADER, None);
        match self.transact(Txn::new().when([mine]).and_then([delete])).await {
            Err(fault) if !is_gone(&fault) => Err(fault),
            _ => Ok(()),
        }
    }
}
