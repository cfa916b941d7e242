//! What is done to a message: accidents of the wire, and attempts to smuggle a header past one
//! reader.

use crate::rng::Rng;

/// Lines that a careless reader takes for none, or for another.
const SMUGGLED: &[&[u8]] = &[
    b"Via: SIP/2.0/UDP 203.0.113.9;branch=z9hG4bKm",
    b"v: SIP/2.0/UDP 203.0.113.9;branch=z9hG4bKm",
    b"VIA\t: SIP/2.0/UDP 203.0.113.9;branch=z9hG4bKm",
    b"v\t :SIP/2.0/UDP 203.0.113.9",
    b"Via : ,",
    b"Via:",
    b" Via: SIP/2.0/UDP 203.0.113.9",
    b"\tv: SIP/2.0/UDP 203.0.113.9",
    b"Subject: a\nVia: SIP/2.0/UDP 203.0.113.9",
    b"Subject: a\rVia: SIP/2.0/UDP 203.0.113.9",
    b"Subject: a\0\r\nVia: SIP/2.0/UDP 203.0.113.9",
    b"Subject: \"\r\nVia: SIP/2.0/UDP 203.0.113.9\r\nX: \"",
    b"To: <sip:mallory@example.com>",
    b"t: <sip:mallory@example.com>",
    b"To : sip:mallory@example.com",
    b"To\0: sip:mallory@example.com",
    b"Subject: x\r\n , SIP/2.0/UDP 203.0.113.9",
    b"Route: <sip:203.0.113.9;lr>",
    b"l: 0",
    b"Content-Length: 9999",
    b"Call\rID: x",
    b"Via\x1a SIP/2.0/UDP 203.0.113.9",
    b"\r\nVia: SIP/2.0/UDP 203.0.113.9",
];

/// Pieces that mean something somewhere.
const PIECES: &[&[u8]] = &[
    b",",
    b";",
    b"\"",
    b"\\",
    b"<",
    b">",
    b"(",
    b")",
    b":",
    b"=",
    b"?",
    b"@",
    b"%",
    b"[",
    b"]",
    b" ",
    b"\t",
    b"\r",
    b"\n",
    b"\r\n",
    b"\r\n ",
    b"\0",
    b"\x1a",
    b"\x1d",
    b"\x0b",
    b"\x7f",
    b"\x80",
    b"\xc3\xbc",
    b"\xff",
    b"\\\"",
    b"\",\"",
    b";rport",
    b";branch=z9hG4bKn",
    b";received=203.0.113.9",
    b"Via:",
    b"v:",
    b"\r\nv: x\r\n",
    b"\r\n\r\n",
    b"sip:",
    b"SIP/2.0/UDP ",
    b"a, b",
    b"`",
    b"/",
    b"!",
];

/// A place in a message.
fn place(rng: &mut Rng, message: &[u8]) -> usize {
    rng.below(message.len() + 1)
}

/// The lines of a message, each with its CRLF, and the rest.
fn lines(message: &[u8]) -> Vec<Vec<u8>> {
    let mut lines = Vec::new();
    let mut rest = message;
    while let Some(at) = rest.windows(2).position(|pair| pair == b"\r\n") {
        let (line, next) = rest.split_at(at + 2);
        lines.push(line.to_vec());
        rest = next;
    }
    lines.push(rest.to_vec());
    lines
}

/// Changes a message once; `other` is what is spliced in.
pub fn mutate(rng: &mut Rng, message: Vec<u8>, other: &[u8]) -> Vec<u8> {
    let mut message = message;
    match rng.below(14) {
        0 if !message.is_empty() => {
            let at = rng.below(message.len());
            message[at] ^= 1 << rng.below(8);
        }
        1 if !message.is_empty() => {
            let at = rng.below(message.len());
            message[at] = rng.pick(PIECES)[0];
        }
        2 => {
            let at = place(rng, &message);
            message.splice(at..at, rng.pick(PIECES).iter().copied());
        }
        3 => {
            let at = place(rng, &message);
            let end = (at + 1 + rng.below(12)).min(message.len());
            message.drain(at..end);
        }
        4 => {
            message = edit_lines(rng, &message, |rng, lines| {
                let line = lines[rng.below(lines.len())].clone();
                let at = 1 + rng.below(lines.len());
                lines.insert(at, line);
            })
        }
        5 => {
            message = edit_lines(rng, &message, |rng, lines| {
                let at = rng.below(lines.len());
                lines.remove(at);
            })
        }
        6 => {
            message = edit_lines(rng, &message, |rng, lines| {
                let (a, b) = (rng.below(lines.len()), rng.below(lines.len()));
                lines.swap(a, b);
            })
        }
        7 | 8 => {
            message = edit_lines(rng, &message, |rng, lines| {
                let at = 1 + rng.below(lines.len());
                let line = [rng.pick(SMUGGLED), b"\r\n".as_slice()].concat();
                lines.insert(at, line);
            })
        }
        9 => {
            // The head of one and the tail of another, cut anywhere or at a line.
            let (a, b) = (place(rng, &message), place(rng, other));
            message.truncate(a);
            message.extend(&other[b..]);
        }
        10 => {
            let mut theirs = lines(other);
            let line = theirs.swap_remove(rng.below(theirs.len()));
            message = edit_lines(rng, &message, |rng, lines| {
                let at = 1 + rng.below(lines.len());
                lines.insert(at, line);
            });
        }
        11 => {
            let at = place(rng, &message);
            let end = (at + rng.below(20)).min(message.len());
            for byte in &mut message[at..end] {
                if byte.is_ascii_alphabetic() {
                    *byte ^= 0x20;
                }
            }
        }
        12 => match rng.below(4) {
            0 => {
                let at = place(rng, &message);
                message.truncate(at);
            }
            1 => message.retain(|byte| *byte != b'\r'),
            2 => message.extend(other),
            _ => message.splice(0..0, *b"\r\n").for_each(drop),
        },
        _ => message = fold_or_pad(rng, &message),
    }
    message
}

fn edit_lines(
    rng: &mut Rng,
    message: &[u8],
    edit: impl FnOnce(&mut Rng, &mut Vec<Vec<u8>>),
) -> Vec<u8> {
    let mut lines = lines(message);
    edit(rng, &mut lines);
    lines.concat()
}

/// Blanks around a colon, a comma or a semicolon, or the end of a line.
fn fold_or_pad(rng: &mut Rng, message: &[u8]) -> Vec<u8> {
    let signs: Vec<usize> =
        (0..message.len()).filter(|at| b":,;\r=<>".contains(&message[*at])).collect();
    if signs.is_empty() {
        return message.to_vec();
    }
    let at = signs[rng.below(signs.len())] + rng.below(2);
    let blanks: &[u8] =
        rng.pick(&[b" ".as_slice(), b"\t", b"  \t ", b"\r\n ", b"                    "]);
    [&message[..at], blanks, &message[at..]].concat()
}
