//! The frame around a datagram, on the host: every case but the payload's checksum, which each
//! side sums in its own way.
#![allow(missing_docs, dead_code)] // a test target, and shared folders of which it uses a part

#[cfg(test)]
mod cases;
#[cfg(test)]
mod frames;
#[cfg(test)]
mod world;

#[cfg(test)]
mod tests {
    use super::{
        cases::{BASE, Outcome},
        frames::{Frame, cases},
        world::{PHONE, SERVER, World, words},
    };
    use proptest::prelude::*;
    use sip_common::{
        frame::{Slice, datagram, fold_sum},
        verdict::Refusal,
    };

    #[test]
    fn every_frame_case_is_found_or_refused_by_name() {
        let config = World::default().config;
        for case in cases::all() {
            let found = datagram(&Slice(&case.frame), &config);
            match case.outcome {
                Outcome::Refused(refusal) if refusal.label().starts_with("frame_") => {
                    let by_sum = refusal == Refusal::FrameUdpChecksum && found.is_ok();
                    let empty = case.name.starts_with("padding") && found.is_ok();
                    assert!(by_sum || empty || found == Err(refusal), "{}: {found:?}", case.name);
                }
                Outcome::Refused(refusal) if found.is_err() => {
                    assert_eq!(found, Err(refusal), "{}", case.name);
                }
                _ => assert!(found.is_ok(), "{}: {found:?}", case.name),
            }
        }
    }

    #[test]
    fn a_datagram_is_found_where_it_lies() {
        let config = World::default().config;
        for (frame, v6) in [(Frame::new(BASE.as_bytes()), 0), (Frame::new6(BASE.as_bytes()), 1)] {
            let bytes = frame.bytes();
            let found = datagram(&Slice(&bytes), &config).unwrap();
            assert_eq!(found.ip as usize, frame.ip());
            assert_eq!(found.udp as usize, frame.udp());
            assert_eq!(found.payload() as usize, frame.udp() + 8);
            assert_eq!(found.payload_len as usize, BASE.len());
            assert_eq!(found.v6, v6);
            assert_eq!(found.source, words(frame.source.ip()));
            assert_eq!(found.destination, words(frame.destination.ip()));
            assert_eq!(found.source_port, 5060);
            assert_eq!(found.destination_port, 5060);
            let sum = bytes[frame.udp() + 8..].chunks(2).fold(0u64, |sum, pair| {
                sum + u64::from(u16::from_ne_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]))
            });
            let carried = u64::from((found.checksum as u16).to_be());
            assert_eq!(fold_sum(sum + found.pseudo_sum(found.payload_len) + carried), 0);
        }
    }

    #[test]
    fn an_unconfigured_host_serves_nobody() {
        let mut config = World::default().config;
        config.listeners_len = 0;
        let frame = Frame::new(BASE.as_bytes()).bytes();
        assert_eq!(datagram(&Slice(&frame), &config), Err(Refusal::NotServed));
    }

    proptest! {
        #[test]
        fn no_frame_panics(bytes: Vec<u8>) {
            let _ = datagram(&Slice(&bytes), &World::default().config);
        }

        #[test]
        fn what_is_found_lies_in_the_frame_and_may_be_answered(
            flips in proptest::collection::vec((0usize..80, 0u8..8), 1..6),
            cut in 0usize..80,
        ) {
            let mut bytes = Frame::new(BASE.as_bytes()).bytes();
            for (at, bit) in flips {
                bytes[at] ^= 1 << bit;
            }
            bytes.truncate(bytes.len() - cut);
            if let Ok(found) = datagram(&Slice(&bytes), &World::default().config) {
                prop_assert!((found.payload() + found.payload_len) as usize <= bytes.len());
                prop_assert_ne!(found.source_port, 0);
                prop_assert_eq!(found.destination, words(SERVER.ip()));
                prop_assert_eq!(cut, 0, "what is cut, its lengths say");
                prop_assert_eq!(found.source == words(PHONE.ip()), true, "the header is summed");
            }
        }
    }
}
