//! What one host tells the others of its load: averages at the end of its last window.
//!
//! Compact: of slots only those with load or clients, in arrays; their rates in ten thousandths of
//! the busiest one's, so that a table of any size fits into a frame.
//! What another host says is taken within bounds only, since one of another version, or a broken
//! one, must not harm the plan of all. Deliberately absent: when it was heard (`Load` knows).

use serde::{Deserialize, Serialize};
use sip_common::abi::{ClientKey, SERVERS_MAX};

use super::tally::CLASSES;

/// Clients that stand out, of one host.
pub const HOT_MAX: usize = 64;
/// Rates of slots are told in so many parts of the largest one.
const PARTS: f32 = 9_999.0;

/// What a host tells.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Slots whose clients this host serves, or sends on to a home that tells nothing.
    pub slots: SlotFigures,
    /// What it knows of servers.
    pub servers: Vec<ServerFigures>,
    /// Its clients that stand out, the hottest first.
    pub hot: Vec<HotFigures>,
    /// Clients with bindings there.
    pub clients: u64,
    /// Subscriptions there.
    pub watchers: u64,
    /// Units a second of what it sends on to others.
    pub forwarded: f32,
    /// The host.
    pub host: HostFigures,
}

/// The host itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct HostFigures {
    /// Share of its processors that was in use, 0 to 1.
    pub cpu: Option<f32>,
    /// Processors that the daemon used; more than 1 if several of its threads were busy.
    pub daemon_cpu: Option<f32>,
    /// Memory that the daemon holds, in bytes.
    pub memory_bytes: u64,
}

/// Slots, as arrays of the same length.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SlotFigures {
    /// How far each slot lies behind the one before it; the first, behind slot 0.
    after: Vec<u32>,
    /// Units a second of the busiest slot.
    most: f32,
    /// Parts of that.
    rates: Vec<u32>,
    clients: Vec<u32>,
    watchers: Vec<u32>,
}

/// One slot of a host.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SlotFigure {
    /// Units a second.
    pub rate: f32,
    /// Registered clients, without those with an assignment of their own.
    pub clients: u32,
    /// Subscriptions.
    pub watchers: u32,
}

/// What a host knows of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServerFigures {
    /// Its index.
    pub index: u16,
    /// Requests a second by class: those that the host served as this server, or sent on to it if
    /// it tells nothing itself.
    pub requests: [f32; CLASSES],
    /// Units a second of clients that are assigned to it by name.
    pub assigned: f32,
    /// Registered clients, as far as the REGISTERs that were sent on tell; only of servers that
    /// tell nothing themselves.
    pub clients: u64,
    /// How it answered what was proxied to it, if anything was.
    pub answers: Option<AnswerFigures>,
}

/// How a server answered in the last window in which it was asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AnswerFigures {
    /// Requests that it answered.
    pub answered: u32,
    /// Requests that it did not answer, or refused for want of service.
    pub failed: u32,
    /// Half of the answers took no longer, in milliseconds.
    pub p50_ms: f32,
    /// 99 of 100 answers took no longer, in milliseconds.
    pub p99_ms: f32,
}

/// A client that stands out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HotFigures {
    /// Its key.
    pub key: [u64; 2],
    /// Its canonical AoR.
    pub aor: String,
    /// Units a second.
    pub rate: f32,
    /// Subscriptions to it at the host that tells.
    pub watchers: u32,
}

impl HotFigures {
    /// Its key.
    pub const fn key(&self) -> ClientKey {
        ClientKey(self.key)
    }
}

impl SlotFigures {
    /// The slots that hold something.
    pub fn new(slots: &[SlotFigure]) -> Self {
        let most = slots.iter().map(|slot| slot.rate).fold(0.0, f32::max);
        let parts = if most > 0.0 { PARTS / most } else { 0.0 };
        let (mut all, mut last) = (Self { most, ..Self::default() }, 0u32);
        for (slot, figure) in (0u32..).zip(slots) {
            let rate = (figure.rate * parts).round() as u32;
            if rate == 0 && figure.clients == 0 && figure.watchers == 0 {
                continue;
            }
            all.after.push(slot.saturating_sub(last));
            all.rates.push(rate);
            all.clients.push(figure.clients);
            all.watchers.push(figure.watchers);
            last = slot;
        }
        all
    }

    /// The slots that hold something, with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (u32, SlotFigure)> {
        let (mut slot, part) = (0u32, self.most / PARTS);
        let counts = self.clients.iter().zip(&self.watchers);
        self.after.iter().zip(&self.rates).zip(counts).map(move |((after, rate), counts)| {
            slot = slot.saturating_add(*after);
            let rate = *rate as f32 * part;
            (slot, SlotFigure { rate, clients: *counts.0, watchers: *counts.1 })
        })
    }
}

impl Figures {
    /// Whether the figures can be those of a host with a table of so many slots.
    pub fn is_sound(&self, slots: usize) -> bool {
        let lens = [self.slots.rates.len(), self.slots.clients.len(), self.slots.watchers.len()];
        let len = self.slots.after.len();
        let is_rate = |rate: f32| rate.is_finite() && rate >= 0.0;
        len <= slots
            && lens == [len; 3]
            && self.slots.iter().all(|(slot, _)| (slot as usize) < slots)
            && self.servers.len() <= SERVERS_MAX as usize
            && self.hot.len() <= HOT_MAX
            && is_rate(self.slots.most)
            && self.slots.rates.iter().all(|rate| *rate as f32 <= PARTS)
            && is_rate(self.forwarded)
            && self.host.cpu.is_none_or(is_rate)
            && self.hot.iter().all(|hot| is_rate(hot.rate) && hot.aor.len() <= AOR_MAX)
            && self
                .servers
                .iter()
                .all(|server| is_rate(server.assigned) && server.requests.into_iter().all(is_rate))
    }
}

/// Longest AoR, in bytes.
const AOR_MAX: usize = crate::core::table::overrides::AOR_MAX;

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(rate: f32, clients: u32, watchers: u32) -> SlotFigure {
        SlotFigure { rate, clients, watchers }
    }

    #[test]
    fn empty_slots_are_left_out_and_all_others_come_back() {
        let nothing = SlotFigure::default();
        let all = [nothing, figure(1.5, 3, 1), nothing, figure(0.0, 1, 0), figure(0.00001, 0, 0)];
        let back: Vec<_> = SlotFigures::new(&all).iter().collect();
        assert_eq!(back, [(1, figure(1.5, 3, 1)), (3, figure(0.0, 1, 0))]);
        let back: Vec<_> =
            SlotFigures::new(&[figure(2.0, 0, 0), figure(0.003, 1, 0)]).iter().collect();
        assert_eq!(back[0], (0, figure(2.0, 0, 0)));
        assert!(back[1].0 == 1 && (back[1].1.rate - 0.003).abs() < 1e-4);
        let nothing = SlotFigures::new(&[nothing, figure(0.0, 0, 1)]);
        assert_eq!(nothing.iter().next(), Some((1, figure(0.0, 0, 1))));
    }

    #[test]
    fn all_slots_of_the_largest_table_fit_into_a_frame() {
        // Ten million clients on one host.
        let slots = SlotFigures::new(&[figure(123.4, 152, 99); 65_536]);
        let figures = Figures { slots, ..Figures::default() };
        let length = postcard::to_stdvec(&figures).unwrap().len();
        assert!(length < 512 << 10, "{length} bytes");
    }

    #[test]
    fn what_can_not_be_is_not_taken() {
        let sound = Figures {
            slots: SlotFigures::new(&[figure(1.0, 1, 1); 16]),
            hot: vec![HotFigures { aor: "a@example.com".into(), ..Default::default() }],
            ..Figures::default()
        };
        assert!(sound.is_sound(16) && !sound.is_sound(8));
        let spoilt: [fn(&mut Figures); 6] = [
            |it| it.slots.rates[1] = 10_000,
            |it| it.slots.after[3] = u32::MAX,
            |it| it.slots.rates.truncate(3),
            |it| it.forwarded = f32::NAN,
            |it| it.hot[0].rate = -1.0,
            |it| it.servers = vec![ServerFigures { assigned: f32::INFINITY, ..Default::default() }],
        ];
        for spoil in spoilt {
            let mut figures = sound.clone();
            spoil(&mut figures);
            assert!(!figures.is_sound(16), "{figures:?}");
        }
    }
}
