//! The run: so many mutants from a seed, and what they have to amount to.

use crate::{
    agree::{Bench, Outcome},
    corpus,
    frames::{Checksum, Frame, QINQ, VLAN},
    mutate::mutate,
    phones,
    rng::Rng,
    world::{PHONE, SERVER6, World},
};
use sip_common::verdict::Refusal;
use std::{collections::BTreeMap, time::Instant};

const MUTANTS_DEFAULT: u64 = 50_000;
const SEED_DEFAULT: u64 = 0x5150;

pub fn number(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|e| panic!("{name}={text}: {e}")),
        Err(_) => default,
    }
}

/// The frame that a seed stands for.
fn mutant(seed: u64, corpus: &[Vec<u8>]) -> Frame {
    let mut rng = Rng::new(seed);
    let made = phones::make(&mut rng);
    let mut source = made.source;
    let mut message = made.message;
    let other = if rng.percent(50) {
        phones::make(&mut rng).message
    } else {
        corpus[rng.below(corpus.len())].clone()
    };
    if rng.percent(10) {
        message = corpus[rng.below(corpus.len())].clone();
        source = PHONE;
    }
    for _ in 0..[0, 0, 0, 0, 1, 1, 1, 2, 2, 3][rng.below(10)] {
        message = mutate(&mut rng, message, &other);
    }
    message.truncate(1600);
    let mut frame = if source.is_ipv6() { Frame::new6(&message) } else { Frame::new(&message) };
    if source.is_ipv6() {
        frame.destination = SERVER6;
    }
    frame.source = source;
    frame.tags = match rng.below(8) {
        0 => vec![(VLAN, 7)],
        1 => vec![(QINQ, 100), (VLAN, 7)],
        _ => Vec::new(),
    };
    if source.is_ipv4() && rng.percent(10) {
        frame.checksum = Checksum::Zero;
    }
    if rng.percent(10) {
        frame.padding = vec![b'p'; rng.below(20)];
    }
    frame
}

/// Via values as a careless count finds them: in any line whose name is Via, to the first empty
/// line, quotes or not.
fn via_values(message: &[u8]) -> usize {
    let text: String = message.iter().map(|b| char::from(*b)).collect();
    text.lines()
        .take_while(|line| !line.trim().is_empty())
        .filter_map(|line| line.split_once(':'))
        .filter(|(name, _)| matches!(name.trim().to_lowercase().as_str(), "via" | "v"))
        .map(|(_, values)| values.split(',').count())
        .sum()
}

/// Says which seed failed, however it failed.
pub struct Replay(pub u64);

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("replay with HOMEWARD_SEED={} HOMEWARD_MUTANTS=1", self.0);
        }
    }
}

#[test]
fn kernel_host_and_a_third_parser_agree() {
    let (seed, count) =
        (number("HOMEWARD_SEED", SEED_DEFAULT), number("HOMEWARD_MUTANTS", MUTANTS_DEFAULT));
    let corpus = corpus::messages();
    let mut world = World::default();
    corpus::serve(&mut world, &corpus);
    let mut bench = Bench::new(world);
    let (mut answered, mut many) = (0u64, 0u64);
    let mut skipped = BTreeMap::new();
    let mut refused: BTreeMap<&'static str, u64> = BTreeMap::new();
    let start = Instant::now();
    for seed in seed..seed + count {
        let _replay = Replay(seed);
        let frame = mutant(seed, &corpus);
        many += u64::from(via_values(&frame.payload) > 1);
        match bench.agree(&frame) {
            Ok(Outcome::Refused(refusal)) => *refused.entry(refusal.label()).or_default() += 1,
            Ok(Outcome::Answered(skip)) => {
                answered += 1;
                if let Some(skip) = skip {
                    *skipped.entry(skip).or_insert(0u64) += 1;
                }
            }
            Err(reason) => panic!("{reason}\nmessage: {}", frame.payload.escape_ascii()),
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{count} mutants in {seconds:.1} s: {answered} answered, {many} with more than one Via"
    );
    println!("not put to the third parser: {skipped:?}");
    println!("refused: {refused:?}");
    if count >= 1_000 {
        assert!(answered * 5 >= count, "a fifth has to be answered");
        assert!(many * 5 >= count, "a fifth has to have more than one Via value");
        assert!(refused.contains_key(Refusal::ViaMany.label()));
        let read = answered - skipped.values().sum::<u64>();
        assert!(read * 2 >= answered, "the third parser has to read most of what is answered");
    }
}

#[test]
fn the_corpus_and_the_cases_are_read_alike() {
    let corpus = corpus::messages();
    let mut world = World::default();
    corpus::serve(&mut world, &corpus);
    let mut bench = Bench::new(world);
    // A frame beyond a page is more than one buffer, which the program is not given.
    for message in corpus.iter().filter(|message| message.len() < 3_000) {
        if let Err(reason) = bench.agree(&Frame::new(message)) {
            panic!("{reason}\nmessage: {}", message.escape_ascii());
        }
    }
}
