//! What has come to rest is as it should be.

use std::time::Duration;

use crate::sim::{END, Sim, client::Client, store};

impl Sim {
    /// Looks at a cluster that should have come to rest.
    pub(in crate::sim) fn look(&mut self) {
        for wrong in self.unsettled() {
            self.violate(format_args!("{wrong}"));
        }
    }

    fn unsettled(&mut self) -> Vec<String> {
        let (now, mut wrong) = (self.clock.now(), Vec::new());
        let table = self.store.table();
        for (what, to) in table.moves().iter() {
            wrong.push(format!("{what} still moves to host{to}"));
        }
        for (host, it) in self.hosts.iter().enumerate() {
            let Some(daemon) = &it.daemon else {
                wrong.push(format!("host{host} does not run"));
                continue;
            };
            let core = &daemon.core;
            if core.table().as_delta() != table.as_delta() {
                wrong.push(format!("host{host} has another table"));
            }
            if core.moving().next().is_some() {
                wrong.push(format!("host{host} still moves somebody"));
            }
            for client in 0..self.clients.len() {
                let key = self.key_of(client);
                let known = core.bindings_of(&key).iter().chain(core.past().get(&key)).next();
                if known.is_some() && store::home(table, &key) != Some(host as u16) {
                    wrong.push(format!("host{host} still holds user{client}"));
                }
                let named =
                    it.kernel.names(&key).filter(|named| Some(*named) != store::home(table, &key));
                if let Some(named) = named {
                    wrong.push(format!("the kernel of host{host} sends user{client} to {named}"));
                }
            }
        }
        for (client, accepted) in &self.checks.accepted {
            let home = store::home(table, &self.key_of(*client));
            let Some(home) = home.map(usize::from) else { continue };
            if self.counts(accepted) && !self.holds(home, *client, accepted) {
                wrong.push(format!(
                    "host{home} has not the registration of user{client}: {accepted:?}"
                ));
            }
            if let (None, Some(daemon)) = (accepted.until, &self.hosts[home].daemon) {
                self.checks.left += 1;
                let back = self.is_back(home, *client, accepted);
                // Nobody comes and goes any more, so it is not bound by an earlier start either.
                let known = daemon.core.bindings_of(&self.key_of(*client)).iter();
                let older = known.filter(|it| it.call != accepted.call).count() > 0;
                if back || older && now >= END {
                    wrong.push(format!(
                        "user{client} has left, and host{home} has it: {accepted:?}"
                    ));
                }
            }
        }
        if now >= END {
            // A full map has no room for who does not follow: the kernel redirects him each time, and
            // he is proxied when he tries again.
            let lapse =
                if self.plan.has_room() { Duration::ZERO } else { Duration::from_secs(150) };
            let is_lost =
                |it: &&Client| it.wants && it.until.is_none_or(|until| until + lapse < now);
            let lost = self.clients.iter().filter(is_lost);
            wrong.extend(lost.map(|it| format!("never registers again: {}", it.shown())));
        }
        wrong
    }
}
