//! What holds for any datagram: no panic, and what is accepted is what a plain reading finds too.
#![allow(missing_docs, dead_code)] // a test target, and shared folders of which it uses a part

#[cfg(test)]
mod cases;
#[cfg(test)]
mod plain;
#[cfg(test)]
mod world;

#[cfg(test)]
mod tests {
    use super::{
        cases::{self, BASE},
        plain,
        world::{Memory, PHONE, World},
    };
    use proptest::prelude::*;

    /// Decides, and holds an answer to a plain reading of the request.
    fn decided(message: &[u8]) -> Result<bool, TestCaseError> {
        let answer = Memory::new(World::default()).decide(message, PHONE, 100);
        let Ok(answer) = answer else { return Ok(false) };
        let request = plain::read(message).map_err(TestCaseError::fail)?;
        prop_assert_eq!(request.vias.len(), 1, "one Via value in all");
        prop_assert!(request.method == b"REGISTER" && message.len() <= 1472);
        prop_assert!(answer.len() <= message.len());
        let expected = plain::redirect(&request, PHONE, &answer).map_err(TestCaseError::fail)?;
        prop_assert_eq!(answer, expected);
        Ok(true)
    }

    #[test]
    fn a_plain_reading_agrees_with_every_case() {
        for case in cases::all() {
            let answered = decided(&case.message).unwrap_or_else(|e| panic!("{}: {e}", case.name));
            assert_eq!(answered, case.outcome == cases::Outcome::Answered, "{}", case.name);
        }
    }

    #[test]
    fn every_single_byte_may_be_any_other() {
        let mut answered = 0;
        for at in 0..BASE.len() {
            for byte in [
                0, 9, 10, 13, 0x1a, 0x1d, b' ', b'"', b',', b';', b'<', b'\\', b':', b'?', 0x7f,
                0x80, 0xff,
            ] {
                let mut message = BASE.as_bytes().to_vec();
                message[at] = byte;
                answered +=
                    u32::from(decided(&message).unwrap_or_else(|e| panic!("{at} {byte}: {e}")));
            }
        }
        assert!(answered > 100, "{answered}");
    }

    #[test]
    fn every_byte_may_be_missing_or_doubled_and_every_end_cut() {
        for at in 0..BASE.len() {
            let bytes = BASE.as_bytes();
            let missing = [&bytes[..at], &bytes[at + 1..]].concat();
            let doubled = [&bytes[..=at], &bytes[at..]].concat();
            for message in [missing.as_slice(), &doubled, &bytes[..at]] {
                decided(message).unwrap_or_else(|e| panic!("{at}: {e}"));
            }
        }
    }

    #[test]
    fn folded_case_is_that_of_letters_only() {
        // Bytes that differ from a sign or digit in the bit of 0x20: none may pass for it.
        for at in 0..BASE.len() {
            let byte = BASE.as_bytes()[at];
            if byte.is_ascii_alphabetic() || matches!(byte, b'\r' | b'\n') {
                continue;
            }
            let mut message = BASE.as_bytes().to_vec();
            message[at] ^= 0x20;
            if decided(&message).unwrap_or_else(|e| panic!("{at}: {e}")) {
                let line = BASE[..at].rsplit("\r\n").next().unwrap();
                assert!(
                    message[at] >= 0x20 || message[at] == b'\t',
                    "{line:?} then {:#x}",
                    message[at]
                );
            }
        }
    }

    proptest! {
        #[test]
        fn no_datagram_panics(bytes: Vec<u8>) {
            decided(&bytes)?;
        }

        #[test]
        fn no_header_section_panics(lines in proptest::collection::vec("(v|Via|t|To|f|i|CSeq|l|[!-~]{0,4})[ \t]?:[ -~]{0,40}", 0..12)) {
            let message = format!("REGISTER sip:example.com SIP/2.0\r\n{}\r\n\r\n", lines.join("\r\n"));
            decided(message.as_bytes())?;
        }

        #[test]
        fn mutants_of_the_cases_are_read_alike(
            which: prop::sample::Index,
            edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..4), 1..4),
        ) {
            let all = cases::all();
            let mut message = which.get(&all).message.clone();
            for (at, byte, kind) in edits {
                if message.is_empty() {
                    break;
                }
                let at = at.index(message.len());
                match kind {
                    0 => message[at] = byte,
                    1 => message.insert(at, byte),
                    2 => { message.remove(at); }
                    _ => message.insert(at, b",;\"<>:\r\n"[byte as usize % 8]),
                }
            }
            decided(&message)?;
        }
    }
}
