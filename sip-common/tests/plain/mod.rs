//! A plain reading of a request, for the tests: slow, total, one character after the other, and
//! without a line of the scanner's code.
//!
//! It takes what RFC 3261 7.3 and 25.1 say about lines, names, quotes and commas, and reads a
//! message that the scanner accepted. It is lenient where that makes no difference, and counts
//! Via VALUES to the letter. [`redirect`] says what the answer has to be, from the request's
//! lines and the answer's tag and Contact alone.

use std::net::SocketAddr;

/// What a reading finds.
#[derive(Debug, Default)]
pub struct Plain {
    pub method: Vec<u8>,
    /// Header lines in order: name in lower case and long form, the whole line with CRLF, value.
    pub lines: Vec<(String, Vec<u8>, Vec<u8>)>,
    /// Every Via value.
    pub vias: Vec<Vec<u8>>,
    /// Canonical `user@host` of To.
    pub aor: Vec<u8>,
}

/// Reads the header section of a request.
pub fn read(message: &[u8]) -> Result<Plain, String> {
    let mut plain = Plain::default();
    let mut rest = message;
    let mut number = 0;
    loop {
        let end = rest.windows(2).position(|pair| pair == b"\r\n").ok_or("no empty line")?;
        let (line, next) = rest.split_at(end + 2);
        let text = &line[..end];
        rest = next;
        if text.is_empty() {
            break;
        }
        if text.iter().any(|b| *b < 0x20 && *b != b'\t') {
            return Err(format!("a control byte in {}", show(text)));
        }
        if number == 0 {
            plain.method = text.split(|b| *b == b' ').next().unwrap_or_default().to_vec();
        } else {
            if text[0] == b' ' || text[0] == b'\t' {
                return Err("a folded line".to_owned());
            }
            let colon = text.iter().position(|b| *b == b':').ok_or("a line without a colon")?;
            let name = long_name(&trimmed(&text[..colon]));
            let value = trimmed(&text[colon + 1..]);
            if name == "via" {
                plain.vias.extend(values(&value)?);
            }
            plain.lines.push((name, line.to_vec(), value));
        }
        number += 1;
    }
    plain.aor = aor(&one(&plain, "to")?.2)?;
    from(&one(&plain, "from")?.2)?;
    Ok(plain)
}

/// The only line of this name.
fn one<'a>(plain: &'a Plain, name: &str) -> Result<&'a (String, Vec<u8>, Vec<u8>), String> {
    let mut found = plain.lines.iter().filter(|(other, ..)| other == name);
    match (found.next(), found.next()) {
        (Some(line), None) => Ok(line),
        _ => Err(format!("{name} does not stand once")),
    }
}

/// The long form of a name (RFC 3261 7.3.3), in lower case.
fn long_name(name: &[u8]) -> String {
    let name = String::from_utf8_lossy(name).to_ascii_lowercase();
    match name.as_str() {
        "v" => "via",
        "t" => "to",
        "f" => "from",
        "i" => "call-id",
        "m" => "contact",
        "l" => "content-length",
        other => other,
    }
    .to_owned()
}

fn trimmed(text: &[u8]) -> Vec<u8> {
    let blank = |b: &u8| *b == b' ' || *b == b'\t';
    let begin = text.iter().position(|b| !blank(b)).unwrap_or(text.len());
    let end = text.iter().rposition(|b| !blank(b)).map_or(begin, |at| at + 1);
    text[begin..end].to_vec()
}

/// Splits at the commas that stand outside quoted strings.
fn values(text: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    split(text, b',')
}

fn split(text: &[u8], at: u8) -> Result<Vec<Vec<u8>>, String> {
    let mut parts = vec![Vec::new()];
    let mut quoted = false;
    let mut escaped = false;
    for byte in text {
        if escaped {
            escaped = false;
        } else if quoted && *byte == b'\\' {
            escaped = true;
        } else if *byte == b'"' {
            quoted = !quoted;
        } else if !quoted && *byte == at {
            parts.push(Vec::new());
            continue;
        }
        if let Some(part) = parts.last_mut() {
            part.push(*byte);
        }
    }
    if quoted { Err(format!("an open quote in {}", show(text))) } else { Ok(parts) }
}

/// Holds what stands behind From's URI to `*( SEMI generic-param )` (RFC 3261 25.1).
fn from(value: &[u8]) -> Result<(), String> {
    let parts = split(value, b'<')?;
    let behind = match parts.as_slice() {
        [_, inside @ ..] if !inside.is_empty() => {
            let inside = inside.join(&b'<');
            let end = inside.iter().position(|b| *b == b'>').ok_or("no closing bracket")?;
            inside[end + 1..].to_vec()
        }
        _ => {
            let end = value.iter().position(|b| *b == b';').unwrap_or(value.len());
            value[end..].to_vec()
        }
    };
    let token = |text: &[u8]| {
        let sign = |b: &u8| b.is_ascii_alphanumeric() || b"-.!%*_+`'~/".contains(b);
        !text.is_empty() && text.iter().all(sign)
    };
    let mut tags = 0;
    for (at, parameter) in split(&behind, b';')?.iter().enumerate() {
        let mut sides = parameter.splitn(2, |b| *b == b'=');
        let (name, value) = (sides.next().unwrap_or_default(), sides.next());
        tags += u32::from(name.eq_ignore_ascii_case(b"tag"));
        let quoted =
            |text: &[u8]| text.len() > 1 && text.starts_with(b"\"") && text.ends_with(b"\"");
        let sound = if at == 0 {
            parameter.is_empty()
        } else {
            token(name) && value.is_none_or(|value| token(value) || quoted(value))
        };
        if !sound {
            return Err(format!("what stands behind From's URI: {}", show(&behind)));
        }
    }
    if tags > 1 { Err("two tags".to_owned()) } else { Ok(()) }
}

/// The canonical AoR of a To value.
fn aor(value: &[u8]) -> Result<Vec<u8>, String> {
    let parts = split(value, b'<')?;
    let uri = match parts.as_slice() {
        [_, inside] => {
            let end = inside.iter().position(|b| *b == b'>').ok_or("no closing bracket")?;
            if end + 1 != inside.len() {
                return Err("something behind the brackets of To".to_owned());
            }
            inside[..end].to_vec()
        }
        [bare] if !bare.contains(&b';') => bare.clone(),
        _ => return Err(format!("brackets in {}", show(value))),
    };
    let (scheme, rest) = uri.split_at_checked(4).ok_or("a short URI")?;
    if !scheme.eq_ignore_ascii_case(b"sip:") {
        return Err(format!("the scheme of {}", show(&uri)));
    }
    let at = rest.iter().position(|b| *b == b'@').ok_or("no user in To")?;
    let (user, host) = (&rest[..at], &rest[at + 1..]);
    let host = host.split(|b| *b == b';').next().unwrap_or_default();
    let odd = |b: &u8| !b.is_ascii_alphanumeric() && !b".-".contains(b);
    if user.is_empty() || host.is_empty() || host.iter().any(odd) {
        return Err(format!("the host of {}", show(&uri)));
    }
    if user.iter().any(|b| b" \t\"<>:?,%`#()[]{}|\\^@".contains(b) || *b >= 0x7f) {
        return Err(format!("the user of {}", show(&uri)));
    }
    Ok([user, b"@", &host.to_ascii_lowercase()].concat())
}

/// A parameter: its name in lower case, and its value if it has one.
type Parameter = (String, Option<Vec<u8>>);

/// The parameters of a Via value.
fn parameters(via: &[u8]) -> Result<Vec<Parameter>, String> {
    Ok(split(via, b';')?
        .iter()
        .skip(1)
        .map(|parameter| {
            let mut sides = parameter.splitn(2, |b| *b == b'=');
            let name = String::from_utf8_lossy(sides.next().unwrap_or_default());
            (name.trim().to_ascii_lowercase(), sides.next().map(<[u8]>::to_vec))
        })
        .collect())
}

/// The sent-by of a Via value: its host and its port (5060 where it names none).
pub fn sent_by(via: &[u8]) -> Result<(String, u16), String> {
    let head = split(via, b';')?.swap_remove(0);
    let text = String::from_utf8(head).map_err(|_| "a sent-by that is no text")?;
    let mut words = text.split_ascii_whitespace();
    let protocol = words.next().unwrap_or_default();
    let (Some(sent_by), None) = (words.next(), words.next()) else {
        return Err(format!("the sent-by of {text}"));
    };
    if !protocol.eq_ignore_ascii_case("SIP/2.0/UDP") {
        return Err(format!("the protocol of {text}"));
    }
    let colon = match sent_by.rfind(']') {
        Some(bracket) => sent_by[bracket..].find(':').map(|colon| bracket + colon),
        None => sent_by.find(':'),
    };
    let Some(colon) = colon else { return Ok((sent_by.to_owned(), 5060)) };
    let port = sent_by[colon + 1..].parse().map_err(|_| format!("the port of {text}"))?;
    Ok((sent_by[..colon].to_owned(), port))
}

/// The 302 to a request from `source` (RFC 3261 8.2.6, 18.2.1; RFC 3581). The tag and the Contact
/// lines are taken from `answer`, which is held to the rest byte for byte.
pub fn redirect(request: &Plain, source: SocketAddr, answer: &[u8]) -> Result<Vec<u8>, String> {
    let via_line = one(request, "via")?;
    let value = &via_line.2;
    let parameters = parameters(value)?;
    let count = |name: &str| parameters.iter().filter(|(other, _)| other == name).count();
    for name in ["maddr", "ttl", "received", "comp"] {
        if count(name) != 0 {
            return Err(format!("{name} in the top Via"));
        }
    }
    if count("branch") != 1 || count("rport") > 1 {
        return Err("branch or rport does not stand once".to_owned());
    }
    let branch = parameters.iter().find(|(name, _)| name == "branch").and_then(|(_, v)| v.clone());
    if !branch.is_some_and(|b| b.starts_with(b"z9hG4bK") && b.len() > 7) {
        return Err("a branch of RFC 2543".to_owned());
    }
    let rport = count("rport") == 1;
    let (host, port) = sent_by(value)?;
    if !rport && port != source.port() {
        return Err("the answer would go to another port".to_owned());
    }
    let address = match source.ip() {
        std::net::IpAddr::V4(v4) => v4.to_string(),
        std::net::IpAddr::V6(v6) => v6.segments().map(|group| format!("{group:x}")).join(":"),
    };
    let received =
        if rport || host != address { format!(";received={address}") } else { String::new() };
    let written = if rport {
        let mut parts = split(value, b';')?;
        for part in parts.iter_mut().skip(1).filter(|part| part.eq_ignore_ascii_case(b"rport")) {
            part.extend(format!("={}{received}", source.port()).bytes());
        }
        parts.join(&b';')
    } else {
        [value.as_slice(), received.as_bytes()].concat()
    };
    let via = replaced(&via_line.1, value, &written)?;

    let to = one(request, "to")?;
    let before =
        [b"SIP/2.0 302 Moved Temporarily\r\n".as_slice(), &via, &one(request, "from")?.1].concat();
    let to_end = to.1.len() - 2 - (trailing(&to.1[..to.1.len() - 2]));
    let mut expected = [before.as_slice(), &to.1[..to_end], b";tag="].concat();
    let tag = answer.get(expected.len()..expected.len() + 16).ok_or("a short answer")?;
    expected.extend(tag);
    expected.extend(b"\r\n");
    expected.extend(&one(request, "call-id")?.1);
    expected.extend(&one(request, "cseq")?.1);
    let rest = answer.get(expected.len()..).unwrap_or_default();
    expected.extend(rest);
    let text = std::str::from_utf8(rest).map_err(|_| "Contact lines that are no text")?;
    let mut lines: Vec<&str> = text.split("\r\n").collect();
    if lines.split_off(lines.len().saturating_sub(3)) != ["Content-Length: 0", "", ""]
        || lines.is_empty()
        || lines.iter().any(|line| !line.starts_with("Contact: <sip:home-"))
    {
        return Err(format!("what ends the answer: {text:?}"));
    }
    Ok(expected)
}

/// Blanks at the end.
fn trailing(text: &[u8]) -> usize {
    text.iter().rev().take_while(|b| **b == b' ' || **b == b'\t').count()
}

/// `line` with its value replaced.
fn replaced(line: &[u8], value: &[u8], new: &[u8]) -> Result<Vec<u8>, String> {
    let colon = line.iter().position(|b| *b == b':').ok_or("no colon")?;
    let at = line[colon..]
        .windows(value.len())
        .position(|window| window == value)
        .ok_or("no value in its line")?
        + colon;
    Ok([&line[..at], new, &line[at + value.len()..]].concat())
}

fn show(text: &[u8]) -> String {
    text.escape_ascii().to_string()
}
