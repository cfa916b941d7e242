//! Which server takes which slot: weighted rendezvous hashing.
//!
//! Every server draws a number for every slot, from its name and the slot alone, and the lowest
//! `-ln(u) / weight` wins (Thaler and Ravishankar 1998; weights after Schindelhauer and
//! Schomaker 2005). So adding or losing one of n servers moves 1/n of the slots, and a lost
//! server's slots spread over all others by weight.
//!
//! What a draining server has stays there until it is moved. One that is filled by moves takes
//! nothing by weight but what servers leave that are out of use, so that adding it moves no slot.
//!
//! All hosts must draw the same numbers: only IEEE operations that are exact to the last bit
//! (`+ - * /`) are used, no `ln` of a platform's library.

use std::collections::BTreeMap;

use sip_common::siphash::{Key, hash};

use super::{Fill, NO_SERVER, Server, State};

/// Not secret: a slot's number says nothing about who is in it.
const DRAW: Key = Key { k0: 0x686f_6d65_7761_7264, k1: 0x736c_6f74_732e_7631 };

/// The servers that take slots, with what each draws by.
#[derive(Clone, Debug, PartialEq)]
pub struct Takers {
    state: Option<State>,
    takers: BTreeMap<u16, Taker>,
    /// Draining servers beside others that are up.
    leaving: BTreeMap<u16, Taker>,
    /// Servers that are out of use, where not all takers take alike.
    absent: BTreeMap<u16, Taker>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Taker {
    name: u64,
    weight: f64,
    /// It is filled by moves.
    by_moves: bool,
}

impl Takers {
    /// The servers that are up; if there are none, the standby ones, else the draining ones.
    pub fn of(servers: &BTreeMap<u16, Server>) -> Self {
        let state = [State::Up, State::Standby, State::Draining]
            .into_iter()
            .find(|state| servers.values().any(|server| server.state == *state));
        let in_state = |wanted: &[State]| {
            let fitting = servers.iter().filter(|(_, server)| wanted.contains(&server.state));
            let taker = |(index, server): (&u16, &Server)| {
                let name = hash(DRAW, server.name.as_bytes());
                let weight = f64::from(server.weight.max(1));
                (*index, Taker { name, weight, by_moves: server.fill == Fill::Moves })
            };
            fitting.map(taker).collect::<BTreeMap<_, _>>()
        };
        let takers = state.map(|state| in_state(&[state])).unwrap_or_default();
        // Who is filled by moves had nothing by weight that it could keep or leave.
        let by_weight = |wanted: &[State]| {
            let mut some = in_state(wanted);
            some.retain(|_, taker| !taker.by_moves);
            some
        };
        let leaving = match state {
            Some(State::Up) => by_weight(&[State::Draining]),
            _ => BTreeMap::new(),
        };
        let mut all = Self { state, takers, leaving, absent: BTreeMap::new() };
        if !all.take_alike() {
            all.absent = by_weight(&[State::Down, State::Disabled]);
        }
        all
    }

    /// Whether the lowest draw of a taker decides, whoever else there is.
    fn take_alike(&self) -> bool {
        self.leaving.is_empty() && !self.takers.values().any(|taker| taker.by_moves)
    }

    /// The winner of every one of `slots` slots, [`NO_SERVER`] if nobody takes any.
    pub fn winners(&self, slots: u32) -> Vec<u16> {
        (0..slots).map(|slot| self.winner(slot)).collect()
    }

    /// The winners after a change from `before`, whose winners are in `winners`: the same as
    /// [`Takers::winners`], in two draws a slot where one server came, went or changed.
    pub fn update(&self, before: &Self, winners: &mut [u16]) {
        let mut changed = self.takers.iter().filter(|(i, t)| before.takers.get(i) != Some(t));
        let gone = before.takers.keys().filter(|index| !self.takers.contains_key(index));
        let mut touched = changed.by_ref().map(|(index, _)| index).chain(gone);
        let alike = self.take_alike() && before.take_alike();
        let (Some(one), None, true) = (touched.next(), touched.next(), alike) else {
            if self != before {
                for (slot, winner) in (0..).zip(winners) {
                    *winner = self.winner(slot);
                }
            }
            return;
        };
        for (slot, winner) in (0..).zip(winners) {
            if *winner == *one || *winner == NO_SERVER {
                *winner = self.winner(slot);
            } else if self.draw(*one, slot) < self.draw(*winner, slot) {
                *winner = *one;
            }
        }
    }

    fn winner(&self, slot: u32) -> u16 {
        if self.take_alike() {
            return Self::best(&self.takers, slot, |_, draw| draw).1;
        }
        let draws = |_: &Taker, draw| draw;
        let by_weight = |taker: &Taker, draw| if taker.by_moves { f64::INFINITY } else { draw };
        let old = Self::best(&self.takers, slot, by_weight);
        let kept = Self::best(&self.leaving, slot, draws);
        let left = Self::best(&self.absent, slot, draws);
        match if kept.0 < old.0 { kept } else { old } {
            (draw, server) if server != NO_SERVER && draw < left.0 => server,
            _ => {
                // All others have lost to who left it, with draws that are longer by then as if they began
                // there: so does that of who was not there to lose.
                let since = if left.1 == NO_SERVER { 0.0 } else { left.0.0 };
                let later = |taker: &Taker, draw| if taker.by_moves { since + draw } else { draw };
                Self::best(&self.takers, slot, later).1
            }
        }
    }

    /// The lowest draw for a slot, as `counts` has it count, with who has drawn it.
    fn best(
        takers: &BTreeMap<u16, Taker>,
        slot: u32,
        counts: impl Fn(&Taker, f64) -> f64,
    ) -> ((f64, u16), u16) {
        let mut best = ((f64::INFINITY, u16::MAX), NO_SERVER);
        for (index, taker) in takers {
            let draw = (counts(taker, taker.draw(slot)), *index);
            if draw < best.0 && draw.0 < f64::INFINITY {
                best = (draw, *index);
            }
        }
        best
    }

    /// A server's draw for a slot; equal draws are told apart by the index.
    fn draw(&self, index: u16, slot: u32) -> (f64, u16) {
        (self.takers.get(&index).map_or(f64::INFINITY, |taker| taker.draw(slot)), index)
    }
}

impl Taker {
    fn draw(&self, slot: u32) -> f64 {
        let mixed = mix(self.name ^ mix(u64::from(slot)));
        let u = ((mixed >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
        minus_ln(u) / self.weight
    }
}

/// The finisher of SplitMix64 (Steele, Lea, Flood 2014).
pub(crate) const fn mix(word: u64) -> u64 {
    let word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ word >> 31
}

/// `-ln(u)` for 0 < u < 1, by ln(m * 2^e) = e ln 2 + 2 atanh((m - 1) / (m + 1)).
fn minus_ln(u: f64) -> f64 {
    let bits = u.to_bits();
    let mut exponent = (bits >> 52) as i32 - 1023;
    let mut mantissa = f64::from_bits(bits & 0x000f_ffff_ffff_ffff | 1023 << 52);
    if mantissa > std::f64::consts::SQRT_2 {
        mantissa *= 0.5;
        exponent += 1;
    }
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let square = s * s;
    // |s| < 0.1716, so nine terms leave less than 1e-15 of the result.
    let mut series = 0.0;
    for odd in [17.0, 15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0, 1.0] {
        series = series * square + 1.0 / odd;
    }
    -(f64::from(exponent) * std::f64::consts::LN_2 + 2.0 * s * series)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::table::tests::server;
    use proptest::prelude::*;

    const SLOTS: u32 = 16_384;

    fn servers(weights: &[u32]) -> BTreeMap<u16, Server> {
        let server = |(i, weight): (usize, &u32)| {
            (i as u16, Server { weight: *weight, ..server(&format!("home{i}"), i as u16) })
        };
        weights.iter().enumerate().map(server).collect()
    }

    fn moved(a: &[u16], b: &[u16]) -> usize {
        a.iter().zip(b).filter(|(a, b)| a != b).count()
    }

    #[test]
    fn shares_follow_the_weights() {
        let winners = Takers::of(&servers(&[100, 200, 300, 400])).winners(SLOTS);
        for (index, weight) in [100.0, 200.0, 300.0, 400.0].into_iter().enumerate() {
            let share = winners.iter().filter(|w| **w == index as u16).count() as f64;
            let expected = f64::from(SLOTS) * weight / 1000.0;
            assert!((share / expected - 1.0).abs() < 0.06, "{index}: {share} of {expected}");
        }
    }

    #[test]
    fn adding_or_losing_one_of_n_moves_one_nth_to_or_from_it_alone() {
        for n in [2usize, 5, 16] {
            let many = servers(&vec![100; n]);
            let mut fewer = many.clone();
            fewer.remove(&1);
            let (with, without) =
                (Takers::of(&many).winners(SLOTS), Takers::of(&fewer).winners(SLOTS));
            let expected = SLOTS as usize / n;
            assert!(moved(&with, &without).abs_diff(expected) * 100 < expected * 12, "{n}");
            for (with, without) in with.iter().zip(&without) {
                assert!(with == without || *with == 1, "a slot moved between servers that stayed");
            }
            let heirs: std::collections::BTreeSet<_> = with
                .iter()
                .zip(&without)
                .filter(|(w, _)| **w == 1)
                .map(|(_, heir)| *heir)
                .collect();
            assert_eq!(heirs.len(), n - 1, "all the others inherit");
        }
    }

    #[test]
    fn only_the_best_state_takes_slots() {
        let mut servers = servers(&[100; 4]);
        let states = [State::Disabled, State::Draining, State::Standby, State::Up];
        for (server, state) in servers.values_mut().zip(states) {
            server.state = state;
        }
        servers.remove(&1);
        for expected in [3, 2, NO_SERVER] {
            assert_eq!(Takers::of(&servers).winners(64), vec![expected; 64]);
            servers.remove(&expected);
        }
    }

    #[test]
    fn a_draining_server_keeps_what_it_has_and_gets_nothing_of_what_others_lose() {
        let mut servers = servers(&[100; 4]);
        let before = Takers::of(&servers).winners(SLOTS);
        let mut set = |index, state| {
            let server: Option<&mut Server> = servers.get_mut(&index);
            server.unwrap().state = state;
            Takers::of(&servers).winners(SLOTS)
        };
        assert_eq!(set(1, State::Draining), before);
        let lost = set(2, State::Down);
        for (before, now) in before.iter().zip(&lost) {
            assert_eq!(*now == 1, *before == 1, "{before} {now}");
            assert!(*before == 2 || before == now);
        }
        // Where nobody is up it takes what there is.
        set(0, State::Disabled);
        assert_eq!(set(3, State::Disabled), vec![1; SLOTS as usize]);
    }

    #[test]
    fn who_is_filled_by_moves_takes_what_others_leave_and_nothing_else() {
        let mut servers = servers(&[100; 3]);
        let before = Takers::of(&servers).winners(SLOTS);
        let new = Server { fill: Fill::Moves, ..server("home3", 3) };
        servers.insert(3, new);
        assert_eq!(Takers::of(&servers).winners(SLOTS), before);
        let mut set = |index, state, fill| {
            let it: Option<&mut Server> = servers.get_mut(&index);
            let it = it.unwrap();
            (it.state, it.fill) = (state, fill);
            Takers::of(&servers).winners(SLOTS)
        };
        let lost = set(1, State::Down, Fill::Weight);
        assert!(before.iter().zip(&lost).all(|(before, now)| *before == 1 || before == now));
        for heir in [0, 2, 3] {
            let got = before.iter().zip(&lost).filter(|(b, now)| **b == 1 && **now == heir).count();
            assert!(got.abs_diff(SLOTS as usize / 9) < SLOTS as usize / 60, "{heir}: {got}");
        }
        assert_eq!(set(1, State::Up, Fill::Weight), before);
        assert_eq!(set(1, State::Draining, Fill::Weight), before);
        assert_eq!(set(3, State::Draining, Fill::Moves), before, "it has nothing to keep");
        set(1, State::Up, Fill::Weight);
        let shared = set(3, State::Up, Fill::Weight);
        assert!(moved(&shared, &before).abs_diff(SLOTS as usize / 4) < SLOTS as usize / 40);
        set(3, State::Up, Fill::Moves);
        set(0, State::Disabled, Fill::Weight);
        set(1, State::Disabled, Fill::Weight);
        assert_eq!(set(2, State::Disabled, Fill::Weight), vec![3; SLOTS as usize], "it is alone");
    }

    proptest! {
        #[test]
        fn the_logarithm_agrees_with_the_library(bits in 0u64..1 << 53) {
            let u = (bits as f64 + 0.5) / (1u64 << 53) as f64;
            let (ours, theirs) = (minus_ln(u), -u.ln());
            prop_assert!((ours - theirs).abs() <= 1e-14 + theirs * 1e-13, "{} {}", ours, theirs);
        }

        #[test]
        fn an_update_gives_what_a_fresh_draw_gives(
            weights in proptest::collection::vec(1u32..500, 1..6),
            changes in proptest::collection::vec((0usize..6, 0usize..5, 1u32..500, 0usize..2), 1..8),
        ) {
            let mut servers = servers(&weights);
            let mut takers = Takers::of(&servers);
            let mut winners = takers.winners(256);
            for (index, state, weight, fill) in changes {
                let name = format!("home{index}");
                let plain = server(&name, index as u16);
                let (state, fill) = (State::ALL[state], Fill::ALL[fill]);
                let changed = Server { state, weight, fill, ..plain };
                servers.insert(index as u16, changed);
                let now = Takers::of(&servers);
                now.update(&takers, &mut winners);
                takers = now;
                prop_assert_eq!(&winners, &takers.winners(256));
            }
        }
    }
}
