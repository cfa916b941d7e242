//! The table in the real maps: batches, a map that is too small, the time from a change to the
//! first redirect. Runs as root, with the object that `HOMEWARD_XDP_OBJECT` names; times are
//! printed (`--nocapture`, `--release`), and `HOMEWARD_CLIENTS` says how many clients there are.
#![allow(missing_docs, dead_code)] // a test target, and shared folders of which it uses a part

#[cfg(test)]
#[path = "../../sip-common/tests/cases/mod.rs"]
mod cases;
#[cfg(test)]
mod filled;
#[cfg(test)]
#[path = "../../sip-common/tests/frames/mod.rs"]
mod frames;
#[cfg(test)]
#[path = "../../sip-common/tests/world/mod.rs"]
mod world;

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use homeward::{
        core::table::{Change, Table, domains::Domains},
        datapath::{Kernel, Sizes, publish::Publisher},
    };
    use sip_common::abi::{DOMAINS_MAX, Domain};

    use super::filled::{self, assign, commit, now, request};

    struct Filled {
        kernel: Kernel,
        publisher: Publisher,
        turn: u32,
    }

    impl Filled {
        /// Maps without a table.
        fn new(overrides: u32) -> Self {
            let mut kernel = Kernel::load(&filled::object(), Sizes { overrides }).unwrap();
            let world = filled::world();
            kernel.configure(&world.config).unwrap();
            kernel.set_lease(Duration::MAX);
            let mut elements = vec![Domain::default(); DOMAINS_MAX as usize];
            for (index, domain) in &world.domains {
                elements[*index as usize] = *domain;
            }
            kernel.set_domains(&Domains { elements, left_out: Vec::new() }).unwrap();
            Self { kernel, publisher: Publisher::new(120), turn: 0 }
        }

        fn apply(&mut self, table: &mut Table, changes: Vec<Change>) {
            let applied = commit(table, changes);
            self.publisher.applied(&mut self.kernel, table, applied, now());
            while self.publisher.work(&mut self.kernel, table, now(), &mut || false) {}
        }

        /// The home that a client is named.
        fn ask(&mut self, table: &Table, n: u32) -> Option<u16> {
            self.turn += 1;
            self.forget();
            let run = self.kernel.test_run(&request(n, self.turn)).unwrap();
            let named = filled::named(&run.frame, run.action);
            assert!(filled::is_right(table, n, named), "client {n} is sent to {named:?}");
            named
        }

        fn forget(&self) {
            let recent = self.kernel.recent();
            for index in 0..recent.len() as u32 {
                if recent.get(index) != 0 {
                    recent.set(index, 0);
                }
            }
        }
    }

    /// The processor's time of this thread: what others take of the machine is not counted.
    fn busy() -> Duration {
        nix::time::clock_gettime(nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap().into()
    }

    fn percentile(times: &mut [Duration], percent: usize) -> Duration {
        times.sort();
        times[(times.len() - 1) * percent / 100]
    }

    #[test]
    fn a_map_that_is_too_small_passes_what_it_does_not_hold() {
        let mut table = filled::table(400);
        let mut filled = Filled::new(256);
        filled.publisher.all(&mut filled.kernel, &table, now()).unwrap();
        let missing = filled.publisher.missing();
        assert!((400 - 256..=400 - 200).contains(&(missing as u32)), "{missing}");
        let named = (0..600).filter(|n| filled.ask(&table, *n).is_some()).count();
        assert!((256..600 - 100).contains(&named), "{named}");
        assert_eq!(filled.publisher.failed(), None, "a full map is no failure");

        // Moves, removals and additions in a full map: nobody is sent to a wrong home.
        for round in 0..4u16 {
            let mut changes: Vec<Change> =
                (0..100).map(|n| assign(n * 3, 1 + (n as u16 + round) % 3)).collect();
            changes.extend(
                (200..220)
                    .map(|n| Change::Unassign { aor: filled::aor(n + u32::from(round) * 20) }),
            );
            changes.extend((400..430).map(|n| assign(n + u32::from(round) * 30, 2)));
            filled.apply(&mut table, changes);
            filled.publisher.retry();
            while filled.publisher.work(&mut filled.kernel, &table, now(), &mut || false) {}
            for n in 0..600 {
                filled.ask(&table, n);
            }
        }

        // There is room again: some ticks later everybody is redirected.
        let all = (100..600).map(|n| Change::Unassign { aor: filled::aor(n) }).collect();
        filled.apply(&mut table, all);
        for _ in 0..5 {
            filled.publisher.retry();
            while filled.publisher.work(&mut filled.kernel, &table, now(), &mut || false) {}
        }
        assert_eq!((filled.publisher.incomplete(), filled.publisher.missing()), (0, 0));
        for n in 0..100 {
            assert!(filled.ask(&table, n).is_some(), "client {n}");
        }
    }

    #[test]
    fn batches_fill_rewrite_and_read_the_map() {
        let clients = std::env::var("HOMEWARD_CLIENTS").map_or(100_000, |n| n.parse().unwrap());
        let mut table = filled::table(clients);
        let mut filled = Filled::new(clients + 1_000);
        let rate = |what: &str, from: (Instant, Duration)| {
            let (time, busy) = (from.0.elapsed(), busy() - from.1);
            let rate = f64::from(clients) / busy.as_secs_f64() / 1e6;
            println!("{what}: {clients} clients in {time:.2?} ({rate:.2} million a second of CPU)");
        };
        let pieces = |filled: &mut Filled, table: &Table| {
            let mut longest = Duration::ZERO;
            loop {
                let piece = busy();
                let more = filled.publisher.work(&mut filled.kernel, table, now(), &mut || true);
                longest = longest.max(busy() - piece);
                if !more {
                    return longest;
                }
            }
        };
        let from = (Instant::now(), busy());
        filled.publisher.all(&mut filled.kernel, &table, now()).unwrap();
        rate("fill", from);

        // Everybody moves, in pieces; the longest one bounds how long datagrams wait.
        let applied = commit(&mut table, (0..clients).map(|n| assign(n, 1)).collect());
        let from = (Instant::now(), busy());
        filled.publisher.applied(&mut filled.kernel, &table, applied, now());
        println!("noted in {:.2?} of CPU", busy() - from.1);
        let longest = pieces(&mut filled, &table);
        rate("rewrite", from);
        println!("longest piece: {longest:.2?} of CPU");

        let from = (Instant::now(), busy());
        filled.publisher.reconcile(&mut filled.kernel, &table);
        let longest = pieces(&mut filled, &table);
        rate("compare", from);
        println!("longest piece: {longest:.2?} of CPU");
        assert_eq!(filled.publisher.counts().repaired, 0);
        for n in 0..100 {
            assert_eq!(filled.ask(&table, n * (clients / 100)), Some(1));
        }
    }

    #[test]
    fn a_change_is_in_the_first_redirect_after_it() {
        let clients = std::env::var("HOMEWARD_CLIENTS").map_or(100_000, |n| n.parse().unwrap());
        let mut table = filled::table(clients);
        let mut filled = Filled::new(clients + 1_000);
        filled.publisher.all(&mut filled.kernel, &table, now()).unwrap();
        let mut times = [Vec::new(), Vec::new(), Vec::new()];
        for round in 0..300u32 {
            let client = round * 97 % clients;
            let old = table.overrides().get(&table.key(&filled::aor(client)));
            let to = 1 + old.and_then(|old| old.assignment.server).unwrap_or(0) % 3;
            filled.forget();
            let request = request(client, 1_000_000 + round);
            let applied = commit(&mut table, vec![assign(client, to)]);
            let from = Instant::now();
            filled.publisher.applied(&mut filled.kernel, &table, applied, now());
            while filled.publisher.work(&mut filled.kernel, &table, now(), &mut || false) {}
            let run = filled.kernel.test_run(&request).unwrap();
            times[0].push(from.elapsed());
            assert_eq!(filled::named(&run.frame, run.action), Some(to), "round {round}");
        }
        // A client without an assignment of its own, by its slot.
        let client = clients + 7;
        let slot = table.slot(table.key(&filled::aor(client)));
        for round in 0..300u32 {
            let to = 1 + (round % 3) as u16;
            filled.forget();
            let request = request(client, 2_000_000 + round);
            let applied = commit(&mut table, vec![Change::Place { slot, server: Some(to) }]);
            let from = Instant::now();
            filled.publisher.applied(&mut filled.kernel, &table, applied, now());
            while filled.publisher.work(&mut filled.kernel, &table, now(), &mut || false) {}
            let run = filled.kernel.test_run(&request).unwrap();
            times[1].push(from.elapsed());
            assert_eq!(filled::named(&run.frame, run.action), Some(to), "round {round}");
        }
        // 4,096 clients at once; the last of them is asked for.
        for round in 0..20u32 {
            let to = 1 + (round % 3) as u16;
            filled.forget();
            let request = request(4_095, 3_000_000 + round);
            let applied = commit(&mut table, (0..4_096).map(|n| assign(n, to)).collect());
            let from = Instant::now();
            filled.publisher.applied(&mut filled.kernel, &table, applied, now());
            while filled.publisher.work(&mut filled.kernel, &table, now(), &mut || false) {}
            let run = filled.kernel.test_run(&request).unwrap();
            times[2].push(from.elapsed());
            assert_eq!(filled::named(&run.frame, run.action), Some(to), "round {round}");
        }
        for (what, times) in ["a client", "a slot", "4,096 clients"].iter().zip(&mut times) {
            let (p50, p99) = (percentile(times, 50), percentile(times, 99));
            println!("{what}, commit applied to first redirect: p50 {p50:.1?}, p99 {p99:.1?}");
        }
    }
}
