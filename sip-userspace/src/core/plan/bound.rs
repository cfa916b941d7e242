//! What no plan can do for less.

use super::{Limits, View, cost};
use crate::core::table::State;

/// A lower bound of what it costs, in clients, to bring every server that is up down to the goal:
/// as if slots could be cut in pieces and every server had room.
pub fn least_cost(view: &View, limits: &Limits) -> f64 {
    let up = || view.servers.iter().filter(|server| server.state == State::Up);
    let weight = |weight: u32| f64::from(weight.max(1));
    let weights: f64 = up().map(|server| weight(server.weight)).sum();
    let mean = up().map(|server| server.rate).sum::<f64>() / weights.max(1.0);
    let surplus = |server: &&super::super::load::view::ServerLoad| {
        server.rate - limits.goal * mean * weight(server.weight)
    };
    let hot = up().filter(|server| surplus(server) > 0.0);
    hot.map(|server| least_to_shed(view, server.index, surplus(&server))).sum()
}

/// The same for so much load of one server.
fn least_to_shed(view: &View, server: u16, surplus: f64) -> f64 {
    let mask = (view.slots.len() as u32).wrapping_sub(1);
    let mut slots: Vec<_> = view.slots.clone();
    // Load, and what it costs.
    let mut pieces = Vec::new();
    for client in view.clients.iter().filter(|client| client.home == server) {
        pieces.push((f64::from(client.rate), cost(1, client.watchers.into())));
        if let Some(slot) = slots.get_mut(client.key.slot(mask) as usize)
            && !client.is_assigned
        {
            slot.rate = (slot.rate - client.rate).max(0.0);
            slot.clients = slot.clients.saturating_sub(1);
            slot.watchers = slot.watchers.saturating_sub(client.watchers);
        }
    }
    let own = slots.iter().filter(|slot| slot.home == server);
    pieces.extend(own.map(|s| (f64::from(s.rate), cost(s.clients.into(), s.watchers.into()))));
    let price = |piece: &(f64, u64)| piece.1 as f64 / piece.0.max(f64::MIN_POSITIVE);
    pieces.sort_by(|a, b| price(a).total_cmp(&price(b)));
    let (mut left, mut all) = (surplus, 0.0);
    for piece in pieces.iter().filter(|piece| piece.0 > 0.0) {
        let share = (left / piece.0).clamp(0.0, 1.0);
        all += share * piece.1 as f64;
        left -= share * piece.0;
    }
    all
}
