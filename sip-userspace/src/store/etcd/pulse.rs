//! Whether the member still answers, and whether the watch keeps up.
//!
//! Twice a second `rev` is read with the quorum. etcd's own notices of a watch's progress are not
//! relied on: those that are asked for may run ahead of the events in etcd before 3.4.25, and the
//! others come every ten minutes. A watch that stays behind what is read here has died without a
//! word, and the session ends.

use std::time::{Duration, Instant};

use super::{fault::Fault, keys, run::Runner, session::Session};

/// Between two reads.
const EVERY: Duration = Duration::from_millis(500);
/// How long a change may be known here and not in the watch.
const BEHIND: Duration = Duration::from_millis(2500);

impl Runner {
    pub(super) async fn pulse(&self, mut session: Session) -> Fault {
        let mut behind: Option<(i64, Instant)> = None;
        loop {
            let found = match session.get(keys::REV).await {
                Ok(found) => found,
                Err(fault) => return fault,
            };
            let watched = self.events.borrow().is_some();
            let caught_up = watched && self.caught_up(&session, found.modified, found.head).await;
            let telling = self.position.borrow().telling;
            if caught_up || telling || !watched {
                behind = None;
            } else {
                let (modified, since) = *behind.get_or_insert((found.modified, Instant::now()));
                let seen = self.position.borrow().at.map_or(0, |at| at.revision);
                if seen >= modified {
                    // Another change came in between.
                    behind = Some((found.modified, Instant::now()));
                } else if since.elapsed() > BEHIND && seen > 0 {
                    let cause = "the watch does not tell what has changed";
                    return Fault::new(cause, "look at etcd's members and at the way to them");
                }
            }
            tokio::time::sleep(EVERY).await;
        }
    }
}
