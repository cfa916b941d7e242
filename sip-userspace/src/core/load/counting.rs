//! What of the requests that the core decides counts as load, and for whom.

use std::time::Duration;

use sip_common::abi::ClientKey;

use super::{
    Held, Load, Measured, Place, View,
    figures::Figures,
    shown::LoadView,
    tally::{Class, FORWARD, FORWARD_STATELESS},
};
use crate::{
    core::{
        Core, Flow, Now,
        decide::Decision,
        health::Told,
        table::{Home, Kind, Table},
    },
    sip::{aor::Aor, request::Request},
};

impl Core {
    /// The load as this host knows it.
    pub fn load(&self) -> &Load {
        &self.load
    }

    /// The cluster's load, for the planner.
    pub fn load_view(&self, now: Now) -> View {
        self.load.view(&self.table, now.mono)
    }

    /// The cluster's load, for people.
    pub fn load_shown(&self, history: bool, now: Now) -> LoadView {
        LoadView::new(&self.load, &self.table, history, now)
    }

    /// Whether [`Self::close_load`] is to be called.
    pub fn load_is_due(&self, now: Now) -> bool {
        self.load.is_due(now.mono)
    }

    /// Ends a window with what the driver has measured.
    pub fn close_load(&mut self, measured: &Measured, now: Now) {
        let held = Held { bindings: &self.bindings, subscriptions: &self.subscriptions };
        self.load.close(&self.table, &held, measured, now);
    }

    /// Takes what the host that is this server has told; false if it can't be right.
    pub fn hear_load(&mut self, server: u16, figures: Figures, now: Now) -> bool {
        self.table.server(server).is_some() && self.load.hear(server, figures, now.mono)
    }

    /// Counts a request by what becomes of it.
    pub(in crate::core) fn measure(&mut self, decision: &Decision, request: &Request<'_>) {
        let served = match decision {
            Decision::Register { key, .. }
            | Decision::Deliver { key }
            | Decision::Publish { key, .. } => Some((*key, None)),
            Decision::Subscribe { client: Some((key, _)) } => Some((*key, None)),
            Decision::Subscribe { client: None } => {
                self.client_here(request).map(|key| (key, None))
            }
            Decision::Redirect { key, server } => Some((*key, Some(*server))),
            Decision::Proxy { key, server, .. } => {
                self.measure_forward();
                Some((*key, Some(*server)))
            }
            Decision::Follow | Decision::Flow { .. } => {
                self.measure_forward();
                None
            }
            Decision::Answer { .. } | Decision::Silent(_) => None,
        };
        let Some((key, server)) = served else { return };
        // A Homeward home counts what it is sent by itself.
        if server.is_none_or(|server| is_foreign(&self.table, server)) {
            let (place, table) = (place(&self.table, &key), &self.table);
            self.load.count(key, place, Class::of(request.method), || aor(table, &key, request));
        }
    }

    /// The client that a request in a dialog with this host is about, if it is at home here.
    fn client_here(&self, request: &Request<'_>) -> Option<ClientKey> {
        let key = Aor::of(&request.to_uri.sip()?)?.key(self.table.meta().client_secret);
        (self.table.home(&key) == Home::Here).then_some(key)
    }

    /// Counts a request that was forwarded by the kernel's own code.
    pub(in crate::core) fn measure_forwarded(&mut self, key: ClientKey) {
        self.measure_forward();
        self.measure_redirect(key);
    }

    /// Counts a redirect that was made by the kernel's own code.
    pub(in crate::core) fn measure_redirect(&mut self, key: ClientKey) {
        let place = place(&self.table, &key);
        let home = match place {
            Place::Server(server) => Some(server),
            Place::Slot(_) => self.table.slot_home(key),
        };
        if home.is_some_and(|home| is_foreign(&self.table, home)) {
            self.load.count(key, place, Class::Register, || None);
        }
    }

    /// Counts what became of a request that was proxied.
    pub(in crate::core) fn measure_answer(
        &mut self,
        flow: &Flow,
        told: Told,
        took: Option<Duration>,
    ) {
        self.load.answers.told(flow, told, took);
    }

    fn measure_forward(&mut self) {
        let units = if self.settings.stateless { FORWARD_STATELESS } else { FORWARD };
        self.load.forwarded += units;
    }
}

fn is_foreign(table: &Table, server: u16) -> bool {
    table.server(server).is_some_and(|server| server.kind == Kind::Foreign)
}

/// Where a client's requests count.
fn place(table: &Table, key: &ClientKey) -> Place {
    table.assigned(key).map_or_else(|| Place::Slot(table.slot(*key)), Place::Server)
}

/// The AoR of a client in a request of or for it.
fn aor(table: &Table, key: &ClientKey, request: &Request<'_>) -> Option<Box<str>> {
    let uris = [request.to_uri.sip(), request.uri.sip()].into_iter().flatten();
    let aor = uris.filter_map(|uri| Aor::of(&uri));
    let aor = aor.into_iter().find(|aor| aor.key(table.meta().client_secret) == *key)?;
    std::str::from_utf8(aor.bytes()).ok().map(Box::from)
}
