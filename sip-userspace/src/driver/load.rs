//! The end of a window of load: what is measured here, and the questions to the other hosts.
//!
//! Every host asks all others once a window, over the channel between hosts, so that each knows the
//! load of the cluster. Deliberately absent: what load is (`core::load`).

use serde_json::{Value, json};

use super::{Host, host::HostMeter, reply};
use crate::{
    control::Call,
    core::{
        admin::{Answer, Command},
        load::{Measured, combine::imbalance},
        table::Kind,
    },
    datapath::path::Redirects,
    net::{clock, peers::Question},
};

/// What is remembered from one window to the next.
#[derive(Default)]
pub(super) struct LoadMeter {
    host: HostMeter,
}

impl Host {
    /// Ends a window if it is time.
    pub(super) fn measure_load(&mut self) {
        let now = clock::now();
        if !self.core.load_is_due(now) {
            return;
        }
        let table = self.core.table();
        let redirects = self.kernel.as_mut().map(|kernel| kernel.redirects_since(table));
        let Redirects { servers, slots } = redirects.unwrap_or_default();
        let host = self.load.host.look(now.mono);
        let measured = Measured { slot_redirects: slots, server_redirects: servers, host };
        self.core.close_load(&measured, now);
        let (table, mut others) = (self.core.table(), Vec::new());
        for (index, server) in table.servers() {
            let asked = server.kind == Kind::Homeward && server.peer.is_some();
            if asked && table.this() != Some(index) {
                others.push(index);
            }
        }
        for server in others {
            self.ask_peer(server, Question::Load { server });
        }
    }

    /// Answers a question about the load.
    pub(super) fn of_load(&self, call: Call) -> Option<Call> {
        let Command::Load { history } = call.command else { return Some(call) };
        let view = self.core.load_shown(history, clock::now());
        reply(call, Ok(Answer::Load(Box::new(view))));
        None
    }

    /// The load in a few words, for `status`.
    pub(super) fn load_status(&self) -> Value {
        let view = self.core.load_view(clock::now());
        let rates = view.servers.iter().filter_map(|load| {
            let server = self.core.table().server(load.index)?;
            Some((server.name.clone(), json!((load.rate * 100.0).round() / 100.0)))
        });
        let rates: serde_json::Map<_, _> = rates.collect();
        let fresh = view.servers.iter().filter(|load| load.is_fresh).count();
        json!({
            "imbalance": imbalance(&view).map(|times| (times * 100.0).round() / 100.0),
            "rates": rates,
            "fresh": fresh,
            "refused": self.core.load().refused(),
        })
    }
}
