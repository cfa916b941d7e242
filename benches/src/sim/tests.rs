use super::*;

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
fn a_kernel_that_is_said_to_be_further_than_it_is_is_found_where_it_is_said() {
    let found = |seed| Sim::new(seed, Some(Break::TellEarly), false).run();
    let violation = (1..=5).find_map(found).unwrap();
    assert!(violation.what.contains("says that its kernel has"), "{violation:?}");
}
