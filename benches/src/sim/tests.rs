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
