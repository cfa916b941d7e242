//! What a host says of its kernel is true.

use homeward::core::table::{Home, Revision};

use crate::sim::Sim;

impl Sim {
    /// A host has said that its kernel has a revision: for no client does that name a home which neither
    /// this revision nor a later one has, as it would who moves by now.
    pub(in crate::sim) fn check_told(&mut self, host: usize, applied: Revision) {
        let it = &self.hosts[host];
        if !it.kernel.answers(it.now(self.clock.now()).mono) {
            return;
        }
        let wrong = (0..self.clients.len()).find_map(|client| {
            let key = self.key_of(client);
            let named = it.kernel.names(&key)?;
            let past = self.store.newest_first();
            let mut since = past.take_while(|past| past.table.revision() >= applied);
            let is_home = since.any(|it| it.table.home(&key) == Home::Elsewhere { server: named });
            (!is_home).then_some((client, named))
        });
        if let Some((client, named)) = wrong {
            self.violate(format_args!(
                "host{host} says that its kernel has {applied}, and that sends user{client} to host{named}"
            ));
        }
    }
}
