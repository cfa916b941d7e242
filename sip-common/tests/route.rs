//! The table's answer: which home, and when only the daemon can say.
#![allow(missing_docs, dead_code)] // a test target, and shared folders of which it uses a part

#[cfg(test)]
mod cases;
#[cfg(test)]
mod world;

#[cfg(test)]
mod tests {
    use super::{
        cases::{BASE, Outcome, edited, table},
        world::{HOME_A, HOME_C, Memory, PHONE, TAIL, World},
    };
    use sip_common::{abi::Override, verdict::Refusal};

    /// The Contact lines of an answer.
    fn contacts(answer: &[u8]) -> String {
        let text = String::from_utf8(answer.to_vec()).unwrap();
        let begin = text.find("Contact: ").unwrap();
        text[begin..].strip_suffix(TAIL).unwrap().to_owned()
    }

    #[test]
    fn every_table_case_gets_its_home_or_its_reason() {
        for case in table::cases() {
            let mut world = World::default();
            (case.change)(&mut world);
            let answer = Memory::new(world).decide(case.message.as_bytes(), PHONE, 100);
            match answer {
                Ok(answer) => {
                    assert_eq!(case.outcome, Outcome::Answered, "{}", case.name);
                    assert_eq!(contacts(&answer), case.contacts, "{}", case.name);
                }
                Err(refusal) => {
                    assert_eq!(Outcome::Refused(refusal), case.outcome, "{}", case.name)
                }
            }
        }
    }

    /// One step of a client's story: seconds, branch, and whether it is answered.
    type Step = (u64, &'static str, bool);

    #[test]
    fn a_redirected_client_is_remembered_by_branch_and_time() {
        let stories: [(&str, u64, &[Step]); 3] = [
            (
                "not known to follow",
                0,
                &[
                    (100, "z9hG4bKone", true),
                    (101, "z9hG4bKone", true),
                    (102, "z9hG4bKtwo", false),
                    (700, "z9hG4bKtwo", false),
                    (701, "z9hG4bKone", true),
                    (1302, "z9hG4bKtwo", true),
                    (1303, "z9hG4bKthree", false),
                ],
            ),
            (
                "follows",
                Override::FOLLOWS,
                &[
                    (100, "z9hG4bKone", true),
                    (132, "z9hG4bKtwo", false),
                    (133, "z9hG4bKtwo", true),
                    (134, "z9hG4bKtwo", true),
                ],
            ),
            (
                "a clock of more than 16 bits",
                0,
                &[(65_530, "z9hG4bKa", true), (65_540, "z9hG4bKb", false)],
            ),
        ];
        for (name, flags, steps) in stories {
            let mut world = World::default();
            world.assign("alice@example.com", HOME_C, flags);
            let mut memory = Memory::new(world);
            let mut answers = std::collections::HashMap::new();
            for (now_s, branch, answered) in steps {
                let message = edited(BASE, "z9hG4bKa1b2c3d4e5", branch);
                let answer = memory.decide(message.as_bytes(), PHONE, *now_s);
                if *answered {
                    let answer = answer.unwrap_or_else(|r| panic!("{name} at {now_s}: {r:?}"));
                    let first = answers.entry(*branch).or_insert_with(|| answer.clone());
                    assert_eq!(*first, answer, "{name} at {now_s}: the same bytes again");
                } else {
                    assert_eq!(answer, Err(Refusal::Recent), "{name} at {now_s}");
                }
            }
        }
    }

    #[test]
    fn memory_is_of_a_client_and_a_source() {
        let mut memory = Memory::new(World::default());
        let other = edited(BASE, "z9hG4bKa1b2c3d4e5", "z9hG4bKother");
        assert!(memory.decide(BASE.as_bytes(), PHONE, 100).is_ok());
        let elsewhere = "192.0.2.102:5060".parse().unwrap();
        assert!(memory.decide(other.as_bytes(), elsewhere, 101).is_ok());
        let bob = edited(&other, "To: \"Alice\" <sip:alice@", "To: \"Alice\" <sip:bob@");
        assert!(memory.decide(bob.as_bytes(), PHONE, 102).is_ok());
        assert_eq!(memory.decide(other.as_bytes(), PHONE, 103), Err(Refusal::Recent));
    }

    #[test]
    fn a_request_that_is_passed_is_not_remembered() {
        let mut world = World::default();
        world.assign("alice@example.com", HOME_A, 0);
        let mut memory = Memory::new(world);
        for branch in ["z9hG4bKone", "z9hG4bKtwo"] {
            let message = edited(BASE, "z9hG4bKa1b2c3d4e5", branch);
            assert_eq!(memory.decide(message.as_bytes(), PHONE, 100), Err(Refusal::HomeHere));
        }
    }
}
