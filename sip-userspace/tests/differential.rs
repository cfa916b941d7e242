//! The kernel program against the host's scan and a parser of others, on generated and mutated
//! messages.
//!
//! For every datagram the program (BPF_PROG_TEST_RUN) and the host decide alike, for the same
//! reason, with the same bytes, and the daemon with XDP off sends those bytes. Whatever the program answers is read by a plain reader and by
//! [`third`] as well, and all agree on one Via value, on the AoR and on the rewritten top Via
//! (threat T5; no exception). `HOMEWARD_MUTANTS` sets how many, `HOMEWARD_SEED` where to begin;
//! a failure prints the seed that replays it.
#![allow(missing_docs, dead_code)] // a test target, and shared folders of which it uses a part

#[cfg(test)]
#[path = "../../sip-common/tests/cases/mod.rs"]
mod cases;
#[cfg(test)]
#[path = "../../sip-common/tests/frames/mod.rs"]
mod frames;
#[cfg(test)]
mod loaded;
#[cfg(test)]
mod network;
#[cfg(test)]
#[path = "../../sip-common/tests/plain/mod.rs"]
mod plain;
#[cfg(test)]
#[path = "../../sip-common/tests/world/mod.rs"]
mod world;

#[cfg(test)]
#[path = "differential/agree.rs"]
mod agree;
#[cfg(test)]
#[path = "differential/corpus.rs"]
mod corpus;
#[cfg(test)]
#[path = "differential/daemon.rs"]
mod daemon;
#[cfg(test)]
#[path = "differential/mutate.rs"]
mod mutate;
#[cfg(test)]
#[path = "differential/onward.rs"]
mod onward;
#[cfg(test)]
#[path = "differential/phones.rs"]
mod phones;
#[cfg(test)]
#[path = "differential/rng.rs"]
mod rng;
#[cfg(test)]
#[path = "differential/run.rs"]
mod run;
#[cfg(test)]
#[path = "differential/third.rs"]
mod third;
