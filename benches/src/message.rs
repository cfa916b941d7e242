//! The REGISTER that the load consists of, as a frame with its fixed sums.
//!
//! The varying fields stand where [`crate::layout`] says; further Via values and padding come
//! behind them, so a multi-hop request or a longer one needs no other kernel program.

use std::{fmt::Write as _, net::Ipv4Addr};

use anyhow::{Result, ensure};

use crate::{
    layout::{self, FRAME_MAX, Lane, NONCE_ROOM, PAYLOAD, RESPONSE_LEN},
    load::Kind,
};

/// The message of the figures in the reports: 464 bytes of UDP payload.
pub const STANDARD_LEN: usize = 464;
/// The same with digest credentials.
pub const PROVEN_LEN: usize = STANDARD_LEN + layout::NONCE_AT + NONCE_ROOM + 2
    - (layout::CALL_ID_AT + 16 + layout::CSEQ.len());
/// The shortest message that is built.
pub const SHORTEST_LEN: usize = 440;
/// The longest message that the kernel program scans.
pub const LONGEST_LEN: usize = 1472;

/// What the frames of a load have in common.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Length of the message in bytes.
    pub len: usize,
    /// Via values: 1 is a phone's own request.
    pub vias: usize,
    /// What varies.
    pub kind: Kind,
    /// MAC address of the clients' end.
    pub from: [u8; 6],
    /// MAC address of the server's end.
    pub to: [u8; 6],
    /// The server's address.
    pub server: Ipv4Addr,
    /// The server's port.
    pub port: u16,
}

/// The message alone, its varying fields filled with zeros.
///
/// # Errors
/// When `len` does not fit what has to stand in the message.
pub fn text(len: usize, vias: usize) -> Result<Vec<u8>> {
    text_of(len, vias, Kind::Spread)
}

/// The same of a kind: credentials stand behind CSeq.
///
/// # Errors
/// As [`text`].
pub fn text_of(len: usize, vias: usize, kind: Kind) -> Result<Vec<u8>> {
    use layout::{
        CALL_ID, CSEQ, FROM, PROOF, PROOF_NC, PROOF_NONCE, PROOF_RESPONSE, START, TO, VIA,
    };
    let zeros = "00000000";
    let mut text = format!("{START}{VIA}{zeros}{zeros}{TO}{zeros}{FROM}{zeros}{CALL_ID}");
    write!(text, "{zeros}{zeros}{CSEQ}")?;
    if kind == Kind::Proven {
        let (response, room) = ("0".repeat(RESPONSE_LEN), "0".repeat(NONCE_ROOM));
        write!(text, "{PROOF}{zeros}{PROOF_NC}{zeros}{PROOF_RESPONSE}{response}")?;
        write!(text, "{PROOF_NONCE}{room}\r\n")?;
    }
    for hop in 1..vias {
        write!(text, "Via: SIP/2.0/UDP 192.0.2.{hop}:5060;branch=z9hG4bKhop{hop}\r\n")?;
    }
    text.push_str(
        "Max-Forwards: 70\r\nContact: <sip:phone@198.51.100.77:5060>\r\nExpires: 600\r\n",
    );
    let tail = "Content-Length: 0\r\n\r\n";
    pad(&mut text, len.saturating_sub(tail.len()));
    text.push_str(tail);
    ensure!(text.len() == len, "a message with {vias} Via values cannot be {len} bytes long");
    Ok(text.into_bytes())
}

/// Header lines, none much longer than real ones, up to a length of `until`.
fn pad(text: &mut String, until: usize) {
    const LINE: usize = 64;
    const SHORTEST: usize = "Subject: x\r\n".len();
    const NAMES: [&str; 4] = ["User-Agent: ", "Allow: ", "Supported: ", "Subject: "];
    for name in NAMES.iter().chain(std::iter::repeat(&"Subject: ")) {
        let left = until.saturating_sub(text.len());
        if left < SHORTEST {
            break;
        }
        // What is left over must not be too short for a line.
        let line = if left < LINE + SHORTEST { left } else { LINE };
        let fill = line.saturating_sub(name.len() + 2);
        text.push_str(name);
        text.extend(std::iter::repeat_n('x', fill));
        text.push_str("\r\n");
    }
}

/// The whole frame, and the lane's sums without what varies. The lane has no orders yet.
///
/// # Errors
/// As [`text`], and when the frame would not fit a lane.
pub fn lane(shape: &Shape) -> Result<Lane> {
    let message = text_of(shape.len, shape.vias, shape.kind)?;
    let udp_len = u16::try_from(message.len() + 8)?;
    let mut bytes = Vec::with_capacity(PAYLOAD + message.len());
    bytes.extend(shape.to);
    bytes.extend(shape.from);
    bytes.extend([0x08, 0x00, 0x45, 0x00]);
    bytes.extend((udp_len + 20).to_be_bytes());
    bytes.extend([0, 0, 0x40, 0, 64, 17, 0, 0, 0, 0, 0, 0]);
    bytes.extend(shape.server.octets());
    bytes.extend([0, 0]);
    bytes.extend(shape.port.to_be_bytes());
    bytes.extend(udp_len.to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend(&message);
    ensure!(bytes.len() < FRAME_MAX, "a frame of {} bytes does not fit", bytes.len());

    let mut varies = bytes.clone();
    let mut fields = vec![
        (layout::STAMP_AT, 16),
        (layout::TO_AT, 8),
        (layout::FROM_AT, 8),
        (layout::CALL_ID_AT, 16),
    ];
    if shape.kind == Kind::Proven {
        fields.extend([(layout::NAME_AT, 8), (layout::NC_AT, 8)]);
        fields.extend([(layout::RESPONSE_AT, RESPONSE_LEN), (layout::NONCE_AT, NONCE_ROOM)]);
    }
    for (at, len) in fields {
        if let Some(field) = varies.get_mut(at..at + len) {
            field.fill(0);
        }
    }
    // The pseudo-header: addresses (the source is still zero), protocol and length.
    let pseudo = sum(&shape.server.octets()) + sum(&[0, 17]) + sum(&udp_len.to_be_bytes());
    let udp_sum = pseudo + sum(varies.get(34..).unwrap_or_default());
    let ip_sum = sum(varies.get(14..34).unwrap_or_default());
    let mut frame = [0; FRAME_MAX];
    frame.iter_mut().zip(&bytes).for_each(|(to, from)| *to = *from);
    Ok(Lane {
        interval_q8: 0,
        limit: 0,
        first: 0,
        step: 1,
        clients: 1,
        kind: shape.kind.number(),
        udp_sum,
        ip_sum,
        len: bytes.len() as u64,
        sent: 0,
        started_ns: 0,
        finished_ns: 0,
        now_ns: 0,
        idle_ns: 0,
        calls: 0,
        busy: 0,
        waiting: 0,
        errors: 0,
        frame,
    })
}

/// The sum of 16-bit words in memory order, as the kernel program adds them up.
fn sum(bytes: &[u8]) -> u64 {
    let words = bytes.chunks(2).map(|pair| {
        let low = pair.first().copied().unwrap_or_default();
        let high = pair.get(1).copied().unwrap_or_default();
        u64::from(u16::from_le_bytes([low, high]))
    });
    words.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_its_length_and_its_fields_where_the_layout_says() {
        for len in [SHORTEST_LEN, STANDARD_LEN, 559, 560, 800, 1200, LONGEST_LEN] {
            for vias in 1..=2 {
                let text = text(len, vias).unwrap();
                assert_eq!(text.len(), len);
                for (at, before) in [
                    (layout::STAMP_AT, "branch=z9hG4bK"),
                    (layout::TO_AT, "To: <sip:client-"),
                    (layout::FROM_AT, "From: Ed <sip:client-"),
                    (layout::CALL_ID_AT, "Call-ID: "),
                ] {
                    let at = at - PAYLOAD;
                    assert!(text[..at].ends_with(before.as_bytes()), "{before}");
                    assert!(text[at..].starts_with(b"00000000"));
                }
                let lines = String::from_utf8(text).unwrap();
                assert_eq!(lines.matches("Via: ").count(), vias);
                assert!(lines.lines().all(|line| line.len() < 100));
            }
        }
    }

    #[test]
    fn credentials_stand_where_the_layout_says() {
        let text = text_of(PROVEN_LEN, 1, Kind::Proven).unwrap();
        assert_eq!(text.len(), PROVEN_LEN);
        for (at, before) in [
            (layout::NAME_AT, "username=\"client-"),
            (layout::NC_AT, ",nc="),
            (layout::RESPONSE_AT, " response=\""),
            (layout::NONCE_AT, " nonce=\""),
        ] {
            assert!(text[..at - PAYLOAD].ends_with(before.as_bytes()), "{before}");
            assert!(text[at - PAYLOAD..].starts_with(b"00000000"));
        }
        let numbers: Vec<_> = (0..40).map(|number| layout::own_request(number, 16)).collect();
        assert_eq!(numbers[3].source, numbers[19].source);
        assert_eq!(layout::uses(3, 16), 1);
        assert_eq!(layout::uses(19, 16), 2);
    }

    #[test]
    fn hex_digits_come_back() {
        for number in [0, 1, 0x9, 0xa, 0xff, 0x0123_4567, 0x89ab_cdef, u32::MAX] {
            let digits = layout::hex(number);
            assert_eq!(digits.to_le_bytes(), *format!("{number:08x}").as_bytes());
            assert_eq!(layout::unhex(digits), number);
        }
    }

    #[test]
    fn no_pair_of_client_and_source_comes_twice_soon() {
        let mut seen = std::collections::HashSet::new();
        for number in 0..300_000 {
            let request = layout::request(number, 10_000);
            assert!(request.client < 10_000);
            assert!(seen.insert((request.client, request.source)));
        }
        let sources: std::collections::HashSet<_> = seen.iter().map(|pair| pair.1).collect();
        assert_eq!(sources.len(), 300_000);
    }

    #[test]
    fn a_latency_is_counted_within_four_percent() {
        for ns in (0..5_000).chain([70_000, 1_234_567, 999_999_999, 12_345_678_901]) {
            let back = crate::load::latency_of_bucket(layout::latency_bucket(ns));
            assert!(back.abs_diff(ns) * 25 <= ns, "{ns} came back as {back}");
        }
        assert!(layout::latency_bucket(u64::MAX) < layout::LATENCY_MAX);
    }
}
