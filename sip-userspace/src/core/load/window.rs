//! The end of a window: averages are made, and figures of them for the other hosts.

use std::{collections::BTreeMap, time::Duration};

use super::{
    Load, add,
    figures::{Figures, HOT_MAX, HostFigures, HotFigures, ServerFigures, SlotFigure, SlotFigures},
    tally::{CLASSES, Class, Fade, Tally},
};
use crate::core::{
    Now,
    bindings::Bindings,
    subscriptions::Subscriptions,
    table::{Kind, NO_SERVER, Table},
};

/// How long a slot's averages stay as they are after it has moved.
pub const SETTLE: Duration = Duration::from_secs(60);
/// Clients with an assignment of their own that are looked up at the end of a window, to leave them
/// out of their slots: about two milliseconds.
const LOOKED_UP: usize = 20_000;

/// What the driver has measured since the last window.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// Redirects of the kernel by slot, of clients without an assignment of their own.
    pub slot_redirects: Vec<u32>,
    /// Redirects of the kernel by server, of clients that are assigned to it by name.
    pub server_redirects: Vec<u32>,
    /// The host.
    pub host: HostFigures,
}

/// The state of clients that this host holds.
pub struct Held<'a> {
    /// Of those that are registered.
    pub bindings: &'a Bindings,
    /// Of those that are watched.
    pub subscriptions: &'a Subscriptions,
}

impl Held<'_> {
    /// Subscriptions by slot, but to clients with an assignment of their own.
    fn watchers(&self, table: &Table) -> Vec<u32> {
        let mut slots = vec![0u32; table.slots().len()];
        for (key, watchers) in self.subscriptions.iter() {
            if table.assigned(&key).is_none()
                && let Some(slot) = slots.get_mut(table.slot(key) as usize)
            {
                *slot = slot.saturating_add(few(watchers));
            }
        }
        slots
    }
}

fn few(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

impl Load {
    /// Ends a window: averages, figures, history. The first call only begins one.
    pub fn close(&mut self, table: &Table, held: &Held<'_>, measured: &Measured, now: Now) {
        self.follow(table, now.mono);
        let Some(began) = self.began.replace(now.mono) else {
            self.skip();
            return;
        };
        self.count_redirects(table, measured);
        let length = now.mono.saturating_sub(began).max(Duration::from_millis(1));
        let fade = Fade::new(length, self.rules.half_life);
        let before = self.weight;
        self.weight = before * fade.keep + (1.0 - fade.keep);
        let grown = if before > 0.0 { self.weight / before } else { 1.0 };
        for (slot, tally) in (0u32..).zip(&mut self.slots) {
            match self.quiet.contains_key(&slot) {
                true => tally.hold(grown),
                false => tally.close(&fade),
            }
        }
        self.quiet.retain(|_, until| *until > now.mono);
        self.assigned.values_mut().for_each(|tally| tally.close(&fade));
        self.assigned.retain(|_, tally| *tally != Tally::default());
        let forwarded = std::mem::take(&mut self.forwarded);
        self.forwarded_rate = self.forwarded_rate * fade.keep + forwarded * fade.gain;
        self.answers.close();
        self.look_apart(table, held.bindings);
        self.own = Some(self.sum_up(table, held, &fade, measured.host));
        self.hot.fade(fade.keep);
        self.history.push(self.combine(table, now.mono), now.unix_s);
    }

    /// Notices which slots have moved, and which servers are where.
    fn follow(&mut self, table: &Table, now: Duration) {
        if self.homes_at == Some(table.slots_since()) {
            return;
        }
        // What was there before the first window is where it was.
        let first = self.homes_at.replace(table.slots_since()).is_none();
        for (slot, (home, before)) in (0u32..).zip(table.slots().iter().zip(&mut self.homes)) {
            let moved = *home != *before && *before != NO_SERVER;
            *before = *home;
            if moved && !first {
                self.quiet.insert(slot, now.saturating_add(SETTLE));
            }
        }
        self.others.retain(|server, _| table.server(*server).is_some());
        self.answers.follow(table);
    }

    /// Drops what was counted before the first window.
    fn skip(&mut self) {
        self.slots.iter_mut().for_each(|tally| tally.hold(1.0));
        self.assigned.clear();
        self.forwarded = 0.0;
    }

    /// Adds what the kernel has redirected to homes that tell nothing of themselves.
    fn count_redirects(&mut self, table: &Table, measured: &Measured) {
        let is_foreign =
            |home: u16| table.server(home).is_some_and(|server| server.kind == Kind::Foreign);
        let slots = self.slots.iter_mut().zip(table.slots()).zip(&measured.slot_redirects);
        for ((tally, home), count) in slots {
            if *count > 0 && is_foreign(*home) {
                tally.add(Class::Register, *count);
            }
        }
        for (server, count) in (0u16..).zip(&measured.server_redirects) {
            if *count > 0 && is_foreign(server) {
                self.assigned.entry(server).or_default().add(Class::Register, *count);
            }
        }
    }

    /// Counts a part of the clients that are here with an assignment of their own.
    fn look_apart(&mut self, table: &Table, bindings: &Bindings) {
        let mut left = LOOKED_UP;
        for _ in 0..self.apart.len() {
            let slot = self.apart_next;
            let assigned = table.overrides().len_in_slot(slot);
            if left == 0 && assigned > 0 {
                return;
            }
            left = left.saturating_sub(assigned);
            let here = table.overrides().in_slot(slot);
            let here = here.filter(|entry| entry.assignment.server.is_some());
            let here = here.filter(|entry| bindings.seen_s(&entry.key).is_some()).count();
            if let Some(apart) = self.apart.get_mut(slot as usize) {
                *apart = here as u32;
            }
            let next = self.apart_next.wrapping_add(1);
            self.apart_next = if (next as usize) < self.apart.len() { next } else { 0 };
        }
    }

    /// What there is to tell at the end of a window.
    fn sum_up(&self, table: &Table, held: &Held<'_>, fade: &Fade, host: HostFigures) -> Figures {
        // While the host is young its averages are too small: they begin at nothing.
        let scale = self.weight.max(f32::MIN_POSITIVE).recip();
        let rates = |tally: &Tally| tally.rates().map(|rate| rate * scale);
        let mut servers: BTreeMap<u16, ServerFigures> = table
            .servers()
            .map(|(index, _)| {
                let answers = self.answers.get(index);
                (index, ServerFigures { index, answers, ..ServerFigures::default() })
            })
            .collect();
        let registered = (0u32..).map(|slot| few(held.bindings.in_slot(slot).len()));
        let here = registered.zip(&self.apart).zip(held.watchers(table));
        let mut slots = Vec::with_capacity(self.slots.len());
        for ((tally, home), ((registered, apart), watchers)) in
            self.slots.iter().zip(table.slots()).zip(here)
        {
            let requests = rates(tally);
            let mut clients = registered.saturating_sub(*apart);
            if let Some(server) = servers.get_mut(home) {
                add(&mut server.requests, requests);
                if table.server(*home).is_some_and(|server| server.kind == Kind::Foreign) {
                    clients = self.refreshed(requests);
                    server.clients = server.clients.saturating_add(clients.into());
                }
            }
            let rate = self.costs.of(requests);
            slots.push(SlotFigure { rate, clients, watchers });
        }
        for (server, tally) in &self.assigned {
            if let Some(server) = servers.get_mut(server) {
                let requests = rates(tally);
                add(&mut server.requests, requests);
                server.assigned = self.costs.of(requests);
                server.clients = server.clients.saturating_add(self.refreshed(requests).into());
            }
        }
        let is_silent = |it: &ServerFigures| {
            it.answers.is_none() && it.requests.iter().all(|rate| *rate == 0.0)
        };
        let hot = self.hot.top(HOT_MAX).into_iter().map(|found| HotFigures {
            key: found.key.0,
            aor: found.aor.to_owned(),
            rate: found.weight * fade.gain * scale,
            watchers: few(held.subscriptions.watchers(&found.key)),
        });
        Figures {
            slots: SlotFigures::new(&slots),
            servers: servers.into_values().filter(|server| !is_silent(server)).collect(),
            hot: hot.collect(),
            clients: held.bindings.clients() as u64,
            watchers: held.subscriptions.len() as u64,
            forwarded: self.forwarded_rate * scale,
            host,
        }
    }

    /// Clients that send so many REGISTERs a second.
    fn refreshed(&self, [registers, ..]: [f32; CLASSES]) -> u32 {
        (registers * self.refresh_s as f32).round() as u32
    }
}
