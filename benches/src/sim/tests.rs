use super::{breaks::Break, *};

/// The first of so many seeds in which something is that must not be.
fn found(seeds: u64, breaks: Option<Break>) -> Option<(u64, String)> {
    (1..=seeds).find_map(|seed| {
        let violation = Sim::new(seed, breaks, false).run()?;
        Some((seed, violation.what))
    })
}

#[test]
fn a_seed_is_the_same_run_every_time_and_another_one_is_not() {
    let hash = |seed| {
        let mut sim = Sim::new(seed, None, false);
        assert!(sim.run().is_none());
        sim.trace().hash()
    };
    assert_eq!(hash(1), hash(1));
    assert_ne!(hash(1), hash(2));
}

#[test]
fn a_broken_driver_is_found() {
    std::thread::scope(|scope| {
        let look = |breaks| (breaks, scope.spawn(move || found(60, Some(breaks))));
        let all: Vec<_> = Break::ALL.into_iter().map(look).collect();
        for (breaks, found) in all {
            assert!(found.join().unwrap().is_some(), "{breaks:?}");
        }
    });
}
