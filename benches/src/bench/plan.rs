//! `plan`: what a plan costs against the least, and how long it takes (P13).
//!
//! Clusters of 4, 16 and 64 servers, 10 million clients, loads as they come: slots and clients by a
//! power law, one server twice as hot as the rest or all of them skewed. The least is that of
//! [`least_cost`], which may cut slots in pieces; the plan has rounds of 9 % of the clients as the
//! balancer makes them, and where one round is not enough the costs of all are added up.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use homeward::core::{
    load::view::{ClientLoad, ServerLoad, SlotLoad, View},
    plan::{Limits, Move, Plan, Recent, least_cost, peak, plan},
    table::{Kind, Moved, State},
};
use serde_json::json;
use sip_common::{
    abi::ClientKey,
    siphash::{Key, hash},
};

use crate::{
    interrupt,
    options::Options,
    plot,
    report::{Report, Target},
    rounds::median,
};

/// Clients of each cluster.
const CLIENTS: u64 = 10_000_000;
/// Slots of a table, by default and at most.
const SLOTS: [u32; 2] = [16_384, 65_536];
/// Clients that stand out, as many as the balancer is shown.
const HOT: u32 = 1_000;
/// Rounds until nothing is above the stop limit.
const ROUNDS_MAX: usize = 20;

/// How the loads are.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Skew {
    /// One server is twice as hot as the rest.
    OneHot,
    /// Every server has its own heat, the hottest three times that of the coolest.
    All,
}

/// Runs the bench and leaves its report.
///
/// # Errors
/// When a plan breaks its promises, or on a signal.
pub fn run(options: &Options) -> Result<Report> {
    let folder = options.folder("plan")?;
    let mut report = options.report("plan");
    let (mut ratios, mut seconds) = (Vec::new(), Vec::new());
    for servers in [4u16, 16, 64] {
        for (skew, name) in [(Skew::OneHot, "one hot"), (Skew::All, "skewed")] {
            let mut own = Vec::new();
            for seed in 0..options.rounds().into() {
                interrupt::check()?;
                let [usual, most] = SLOTS;
                let slots = if servers == 64 { most } else { usual };
                let view = cluster(servers, slots, skew, seed);
                let run = balance(view.clone(), seed)?;
                own.push(run.cost / run.least);
                if servers == 16 {
                    seconds.push(run.seconds);
                }
                if seed == 0 {
                    let title = format!("{servers} servers, {name}: level before and after");
                    let file = format!("{servers}-{}.svg", name.replace(' ', "-"));
                    let levels = [levels(&view), levels(&run.after)];
                    plot::pairs(&folder.join(file), &title, "load / mean", &levels)?;
                    let figure = |what: &str| format!("{servers} servers, {name}: {what}");
                    report.figure(&figure("level before"), highest(&view));
                    report.figure(&figure("level after"), highest(&run.after));
                    report.figure(&figure("share of clients moved"), run.clients / CLIENTS as f64);
                    report.figure(&figure("moves"), run.moves);
                    report.figure(&figure("rounds of 9 %"), run.rounds);
                }
            }
            report.figure(&format!("{servers} servers, {name}: cost / least"), median(&own));
            report.figure(&format!("{servers} servers, {name}: of each"), json!(own));
            ratios.extend(own);
        }
    }
    for slots in SLOTS {
        let view = cluster(16, slots, Skew::All, 99);
        let began = Instant::now();
        let made = plan(&view, &Limits::default(), &Recent::default(), 1);
        let took = began.elapsed().as_secs_f64();
        ensure!(!made.moves.is_empty(), "a skewed cluster has no plan");
        report.figure(&format!("16 servers, {slots} slots: s for a plan"), took);
        seconds.push(took);
    }
    report.targets.push(Target::new("P13", 1.25, 1.05, ratios));
    report.targets.push(Target::new("P13s", 2.0, 0.2, seconds));
    report.conditions.push("cost is clients + 3 x watchers; P13s is s for one plan".into());
    report.conditions.push("64 servers have 65,536 slots, the others 16,384".into());
    report.write(&folder)?;
    Ok(report)
}

/// What it took until no server was above the stop limit.
struct Balanced {
    after: View,
    cost: f64,
    least: f64,
    clients: f64,
    moves: u64,
    rounds: u64,
    /// For the first plan.
    seconds: f64,
}

/// Plans and moves, round by round.
fn balance(mut view: View, seed: u64) -> Result<Balanced> {
    let limits = Limits::default();
    let mut recent = Recent::default();
    let least = least_cost(&view, &limits);
    let (mut cost, mut clients, mut moves, mut rounds, mut seconds) = (0, 0, 0, 0, 0.0);
    while highest(&view) > limits.stop + 1e-4 {
        ensure!(rounds < ROUNDS_MAX as u64, "no end after {rounds} rounds: {}", highest(&view));
        let began = Instant::now();
        let made = plan(&view, &limits, &recent, seed);
        if rounds == 0 {
            seconds = began.elapsed().as_secs_f64();
        }
        ensure!(!made.moves.is_empty(), "nothing moves at level {}", highest(&view));
        let before = highest(&view);
        cost += made.moves.iter().map(Move::cost).sum::<u64>();
        clients += made.clients();
        moves += made.moves.len() as u64;
        rounds += 1;
        made.moves.iter().for_each(|one| recent.note(one.what.clone(), 0));
        follow(&mut view, &made)?;
        ensure!(highest(&view) <= before + 1e-4, "a plan raised the highest level");
    }
    let (cost, clients) = (cost as f64, clients as f64);
    Ok(Balanced { after: view, cost, least, clients, moves, rounds, seconds })
}

/// Makes a plan's moves.
fn follow(view: &mut View, made: &Plan) -> Result<()> {
    let mask = view.slots.len() as u32 - 1;
    for one in &made.moves {
        match &one.what {
            Moved::Slot(number) => {
                let slot = view.slots.get_mut(*number as usize).context("no such slot")?;
                slot.home = one.to;
                let inside = |it: &&mut ClientLoad| !it.is_assigned && it.key.slot(mask) == *number;
                view.clients.iter_mut().filter(inside).for_each(|it| it.home = one.to);
            }
            Moved::Client(aor) => {
                let client = view.clients.iter_mut().find(|it| it.aor == *aor);
                let client = client.context("no such client")?;
                client.home = one.to;
                let slot = view.slots.get_mut(client.key.slot(mask) as usize);
                let slot = slot.context("no such slot")?;
                if !std::mem::replace(&mut client.is_assigned, true) {
                    slot.rate = (slot.rate - client.rate).max(0.0);
                    slot.clients -= 1;
                    slot.watchers -= client.watchers;
                }
            }
        }
    }
    carry(view);
    Ok(())
}

/// Numbers from 0 to 1 that a seed gives.
fn uniform(seed: u64, of: u64) -> f64 {
    let word = hash(Key { k0: seed, k1: 13 }, &of.to_le_bytes());
    ((word >> 11) as f64 + 0.5) / (1u64 << 53) as f64
}

/// A cluster: slots at random homes, their heat lognormal about that of their home, and clients by
/// a power law on top of it.
fn cluster(servers: u16, slots: u32, skew: Skew, seed: u64) -> View {
    let heat = |home: u16| match skew {
        Skew::OneHot if home == 0 => 2.0,
        Skew::OneHot => 1.0,
        Skew::All => 1.0 + 2.0 * f64::from(home) / f64::from(servers - 1),
    };
    let each = CLIENTS / u64::from(slots);
    let spread = |number: u64| (0..4).map(|n| uniform(seed, number * 4 + n)).sum::<f64>() / 2.0;
    let mut all: Vec<_> = (0..u64::from(slots))
        .map(|number| {
            let home = (uniform(seed ^ 1, number) * f64::from(servers)) as u16;
            let clients = (each as f64 * (0.9 + 0.2 * uniform(seed ^ 2, number))) as u32;
            let rate = f64::from(clients) / 300.0 * heat(home) * spread(number).powi(2);
            let watchers = (f64::from(clients) * 0.3 * uniform(seed ^ 3, number)) as u32;
            SlotLoad { home, rate: rate as f32, clients, watchers }
        })
        .collect();
    let client = |number: u32| {
        let key = ClientKey([hash(Key { k0: seed, k1: 7 }, &number.to_le_bytes()), number.into()]);
        let slot = all.get_mut(key.slot(slots - 1) as usize)?;
        // The hottest has about the load of ten slots, the last of the list a tenth of one.
        let worth = each as f64 / 300.0;
        let rate = (worth * 10.0 / f64::from(number + 1).powf(0.67)) as f32;
        let watchers = number % 7;
        slot.rate += rate;
        slot.clients += 1;
        slot.watchers += watchers;
        Some(ClientLoad {
            key,
            aor: format!("c{number}@example.com"),
            home: slot.home,
            is_assigned: false,
            is_pinned: number % 50 == 49,
            rate,
            watchers,
        })
    };
    let clients = (0..HOT).filter_map(client).collect();
    let server = |index| ServerLoad {
        index,
        state: State::Up,
        kind: Kind::Homeward,
        weight: 100,
        capacity: 0,
        rate: 0.0,
        clients: 0,
        watchers: 0,
        cpu: None,
        is_fresh: true,
    };
    let servers = (0..servers).map(server).collect();
    let mut view = View { servers, slots: all, clients };
    carry(&mut view);
    view
}

/// Adds up what every server carries.
fn carry(view: &mut View) {
    for server in &mut view.servers {
        (server.rate, server.clients, server.watchers) = (0.0, 0, 0);
    }
    for slot in &view.slots {
        if let Some(server) = view.servers.get_mut(usize::from(slot.home)) {
            server.rate += f64::from(slot.rate);
            server.clients += u64::from(slot.clients);
            server.watchers += u64::from(slot.watchers);
        }
    }
    for client in view.clients.iter().filter(|client| client.is_assigned) {
        if let Some(server) = view.servers.get_mut(usize::from(client.home)) {
            server.rate += f64::from(client.rate);
            server.clients += 1;
            server.watchers += u64::from(client.watchers);
        }
    }
}

fn highest(view: &View) -> f64 {
    peak(view.servers.iter().map(|server| (server.rate, server.weight)))
}

/// The level of every server.
fn levels(view: &View) -> Vec<f64> {
    let mean = view.servers.iter().map(|server| server.rate).sum::<f64>();
    let mean = mean / view.servers.len() as f64;
    view.servers.iter().map(|server| server.rate / mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_are_near_the_least_in_clusters_of_every_size() {
        for (servers, skew) in [(4, Skew::OneHot), (16, Skew::All), (64, Skew::OneHot)] {
            let run = balance(cluster(servers, 16_384, skew, 5), 5).unwrap();
            let ratio = run.cost / run.least;
            assert!((0.99..1.25).contains(&ratio), "{servers} {skew:?}: {ratio}");
        }
    }
}
