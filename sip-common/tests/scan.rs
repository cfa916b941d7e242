//! The strict scan: every message case of the rules, and what holds for any bytes at all.
#![allow(missing_docs, dead_code)] // a test target, and shared folders of which it uses a part

#[cfg(test)]
mod cases;
#[cfg(test)]
mod world;

#[cfg(test)]
mod tests {
    use super::{
        cases::{self, Outcome},
        world::{Memory, PHONE, World},
    };

    #[test]
    fn every_case_is_answered_or_refused_by_name() {
        let mut wrong = Vec::new();
        for case in cases::all() {
            let mut memory = Memory::new(World::default());
            let outcome = match memory.decide(&case.message, PHONE, 100) {
                Ok(_) => Outcome::Answered,
                Err(refusal) => Outcome::Refused(refusal),
            };
            if outcome != case.outcome {
                wrong.push(format!("{}: {outcome:?}, not {:?}", case.name, case.outcome));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}
