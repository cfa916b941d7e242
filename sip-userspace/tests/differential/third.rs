//! The third parser: the crate `ezk-sip-types`, grammars over nom, which shares no code with the
//! scanner or with the plain reader.
//!
//! Where it is stricter or weaker than RFC 3261, [`Skip`] names the class and the rule by which a
//! message belongs to it. A skipped message is still read by the plain reader.

use crate::plain;
use bytes::Bytes;
use ezk_sip_types::{
    Name,
    header::{
        HeaderParse,
        typed::{CSeq, FromTo, Via},
    },
    msg::{Line, PullParser},
    uri::SipUriUserPart,
};
use std::{
    cell::RefCell,
    net::{Ipv4Addr, Ipv6Addr},
};

/// What it finds.
#[derive(Debug, PartialEq, Eq)]
pub struct Reading {
    /// Via values.
    pub vias: usize,
    /// Canonical AoR of To.
    pub aor: String,
    /// Tag of To.
    pub to_tag: Option<String>,
    /// Tag of From, if its URI is of sip or sips (no other is read, and none decides anything).
    pub from_tag: Option<String>,
    /// The top Via.
    pub top: Top,
}

/// The top Via: transport and sent-by, and its parameters in order.
#[derive(Debug, PartialEq, Eq)]
pub struct Top {
    pub transport: String,
    pub sent_by: String,
    pub parameters: Vec<(String, Option<String>)>,
}

impl Top {
    /// A parameter; `Some(None)` if it has no value.
    pub fn parameter(&self, name: &str) -> Option<Option<&str>> {
        let found = self.parameters.iter().find(|(other, _)| other == name)?;
        Some(found.1.as_deref())
    }
}

/// Why a message that the scanner accepts is not put to this parser.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Skip {
    /// To, From or Via holds bytes that are not UTF-8. RFC 3261 25.1 wants UTF-8 in a quoted
    /// string; phones write Latin-1 there, both readers leave it as it is, and the parser takes
    /// `str` only.
    NotUtf8,
    /// The sent-by's host is of the right letters and no address or name for all that:
    /// `[2001:db8]`, `10.0.0.7s`, `a..b`. The scanner does not tell (a loop more for each Via), because
    /// nothing depends on it: an answer goes to the packet's source, whatever stands there.
    SentBy,
    /// To, From or Via holds a backslash or an empty quoted string. RFC 3261 25.1 allows both;
    /// `parse_quoted` ends at the first quote whatever stands before it, and wants a byte inside.
    Quoting,
}

/// The class of a message, by its To, From and Via lines.
pub fn skip(lines: &[(String, Vec<u8>, Vec<u8>)]) -> Option<Skip> {
    let ours = lines.iter().filter(|(name, ..)| matches!(name.as_str(), "to" | "from" | "via"));
    for (_, line, _) in ours {
        if std::str::from_utf8(line).is_err() {
            return Some(Skip::NotUtf8);
        }
        if line.contains(&b'\\') || line.windows(2).any(|pair| pair == b"\"\"") {
            return Some(Skip::Quoting);
        }
    }
    let via = lines.iter().find(|(name, ..)| name == "via")?;
    let (host, _) = plain::sent_by(&via.2).ok()?;
    let is_name = |host: &str| {
        let label =
            |label: &str| !label.is_empty() && !label.starts_with('-') && !label.ends_with('-');
        let host = host.strip_suffix('.').unwrap_or(host);
        // A name's last label begins with a letter (RFC 3261 25.1, toplabel).
        let top = host.rsplit('.').next().is_some_and(|top| top.starts_with(char::is_alphabetic));
        host.parse::<Ipv4Addr>().is_ok() || (top && host.split('.').all(label))
    };
    let sound = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => is_name(&host),
    };
    if sound { None } else { Some(Skip::SentBy) }
}

/// Reads a request or a response.
pub fn read(message: &[u8]) -> Result<Reading, String> {
    let source = Bytes::copy_from_slice(message);
    let mut lines = PullParser::new(&source, 0);
    lines.next().ok_or("no start line")?.map_err(|e| format!("{e:?}"))?;
    let mut vias = Vec::new();
    let (mut to, mut from, mut cseq) = (Vec::new(), Vec::new(), Vec::new());
    for line in lines {
        let line = line.map_err(|e| format!("{e:?}"))?;
        // Other headers need not be text.
        let Ok(text) = std::str::from_utf8(line) else { continue };
        let (_, line) = Line::parse(&source, text).map_err(|e| format!("{text:?}: {e}"))?;
        if line.name == Name::VIA {
            vias.extend(values(line.value.as_str())?);
        } else if line.name == Name::TO {
            to.push(whole::<FromTo>(line.value.as_str())?);
        } else if line.name == Name::FROM {
            from.push(whole::<FromTo>(line.value.as_str()).ok());
        } else if line.name == Name::CSEQ {
            cseq.push(whole::<CSeq>(line.value.as_str())?);
        }
    }
    let ([to], [from], [_]) = (to.as_slice(), from.as_slice(), cseq.as_slice()) else {
        return Err(format!("{} To, {} From, {} CSeq", to.len(), from.len(), cseq.len()));
    };
    let SipUriUserPart::User(user) = &to.uri.uri.user_part else {
        return Err(format!("the user of {to:?}"));
    };
    let host = to.uri.uri.host_port.host.to_string().to_ascii_lowercase();
    Ok(Reading {
        vias: vias.len(),
        aor: format!("{user}@{host}"),
        to_tag: to.tag.as_ref().map(ToString::to_string),
        from_tag: from.as_ref().and_then(|from| from.tag.as_ref()).map(ToString::to_string),
        top: vias.into_iter().next().ok_or("no Via")?,
    })
}

/// A value without anything behind it.
fn whole<T: HeaderParse>(text: &str) -> Result<T, String> {
    let text = text.trim();
    let source = Bytes::copy_from_slice(text.as_bytes());
    let text = std::str::from_utf8(&source).map_err(|e| e.to_string())?;
    let (rest, value) = T::parse(&source, text).map_err(|e| format!("{text:?}: {e}"))?;
    if rest.trim().is_empty() { Ok(value) } else { Err(format!("{rest:?} behind {text:?}")) }
}

/// The values of a Via line. SIP-Version is compared in any case (RFC 3261 7.1), which the parser
/// does not: it gets it in capitals.
fn values(line: &str) -> Result<Vec<Top>, String> {
    let mut found = Vec::new();
    let mut rest = line.trim().to_owned();
    loop {
        if rest.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("SIP/2.0/")) {
            rest.replace_range(..8, "SIP/2.0/");
        }
        let source = Bytes::copy_from_slice(rest.as_bytes());
        let text = std::str::from_utf8(&source).map_err(|e| e.to_string())?;
        let (behind, via) = Via::parse(&source, text).map_err(|e| format!("{text:?}: {e}"))?;
        found.push(top(&via));
        let behind = behind.trim();
        match behind.strip_prefix(',') {
            Some(next) => rest = next.trim().to_owned(),
            None if behind.is_empty() => return Ok(found),
            None => return Err(format!("{behind:?} behind a Via value")),
        }
    }
}

fn top(via: &Via) -> Top {
    // The list is private; a filter sees every name of it.
    let names = RefCell::new(Vec::new());
    let _ = via
        .params
        .filtered_print(|name: &str| {
            names.borrow_mut().push(name.to_owned());
            false
        })
        .to_string();
    let parameters = names
        .into_inner()
        .into_iter()
        .map(|name| {
            let value = via.params.get_val(&name).map(ToString::to_string);
            (name.to_ascii_lowercase(), value)
        })
        .collect();
    let port = via.sent_by.port.map(|port| format!(":{port}")).unwrap_or_default();
    Top {
        transport: via.transport.to_string().to_ascii_uppercase(),
        sent_by: format!("{}{port}", via.sent_by.host),
        parameters,
    }
}
