//! What the kernel's verifier walks to accept each program, against a committed budget.
//!
//! Its limit is a million instructions (BPF_COMPLEXITY_LIMIT_INSNS); older kernels walk more than
//! newer ones for the same program, so the budget leaves room. `cargo xtask verify` prints it.
#![allow(missing_docs)] // a test target

use std::collections::BTreeMap;

use aya::{Ebpf, programs::Program};

/// Instructions by program's name.
const BUDGET: &str = include_str!("verify-budget.toml");

#[test]
fn every_program_is_verified_within_its_budget() {
    let budget: BTreeMap<String, u32> = toml::from_str(BUDGET).unwrap();
    let mut ebpf = Ebpf::load(homeward::datapath::OBJECT).unwrap();
    let mut over = Vec::new();
    for (name, program) in ebpf.programs_mut() {
        let Program::Xdp(xdp) = program else { panic!("{name} is no XDP program") };
        xdp.load().unwrap();
        let info = xdp.info().unwrap();
        let Some(walked) = info.verified_instruction_count() else {
            println!("{name}: this kernel does not say (5.16 and later do)");
            continue;
        };
        let most = budget.get(name).copied().unwrap_or(0);
        let size = info.size_translated().unwrap_or(0) / 8;
        println!("{name}: {walked} instructions verified, {size} in size; the budget is {most}");
        if walked > most {
            over.push(format!("{name}: {walked} of at most {most}"));
        }
    }
    assert!(over.is_empty(), "{}; simplify it, or raise the budget knowingly", over.join(", "));
}
