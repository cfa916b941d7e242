//! What is known of the load without measuring it: nothing but where the slots are.

use super::view::{ServerLoad, SlotLoad, View};
use crate::core::{Core, Now};

impl Core {
    /// The load of the cluster as this host knows it.
    pub fn load_view(&self, _now: Now) -> View {
        let table = self.table();
        let slots: Vec<_> = table
            .slots()
            .iter()
            .map(|home| SlotLoad { home: *home, rate: 0.0, clients: 0, watchers: 0 })
            .collect();
        let server = |(index, server): (u16, &crate::core::table::Server)| {
            let own = slots.iter().filter(|slot| slot.home == index);
            ServerLoad {
                index,
                state: server.state,
                kind: server.kind,
                weight: server.weight,
                capacity: server.capacity,
                rate: 0.0,
                clients: own.map(|slot| u64::from(slot.clients)).sum(),
                watchers: 0,
                cpu: None,
                is_fresh: true,
            }
        };
        View { servers: table.servers().map(server).collect(), slots, clients: Vec::new() }
    }
}
