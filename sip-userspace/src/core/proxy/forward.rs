//! Rewriting of what is forwarded (RFC 3261 sections 16.6 and 16.7).
//!
//! Only what the sections name is touched: our Via on top, received and rport in the next one,
//! Max-Forwards, a Route that names us; every other byte stays as it came, in its order.

use std::net::SocketAddr;

use sip_common::siphash::Key;

use super::routes::Routes;
use crate::{
    core::io::{Flow, Transport},
    sip::{
        answer::{self, Answer, Path},
        header::Name,
        lex::{self, Hides},
        message::{Header, Message},
        request::Request,
        write,
    },
};

/// Max-Forwards where the request has none (section 16.6 step 3).
const MAX_FORWARDS_DEFAULT: u8 = 70;

/// A request ready to be sent but for our own Via.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outbound {
    text: Vec<u8>,
    /// Length of the start line in it.
    start_len: usize,
}

/// Header lines on their way from a message to another: what stays as it came is copied in as few
/// pieces as there can be.
struct Lines<'m> {
    message: &'m Message<'m>,
    /// Where the lines begin that were not copied yet.
    from: usize,
    out: Vec<u8>,
}

impl<'m> Lines<'m> {
    /// All lines of a message, behind what `out` has.
    fn new(message: &'m Message<'m>, out: Vec<u8>) -> Self {
        let from = message.headers.first().map_or(0, |header| header.line.start);
        Self { message, from, out }
    }

    /// Copies what is before a line, which is left out; then lines in its place can be pushed.
    fn instead_of(&mut self, header: &Header<'_>) -> &mut Vec<u8> {
        self.copy_to(header.line.start);
        self.from = header.line.end;
        &mut self.out
    }

    fn copy_to(&mut self, end: usize) {
        let lines = self.message.datagram().get(self.from..end).unwrap_or_default();
        self.out.extend_from_slice(lines);
    }

    /// The rest of the lines, the end of the header section, and the body. A message that came in a
    /// datagram may go on over a stream, which needs its length (section 20.14).
    fn end(mut self) -> Vec<u8> {
        self.copy_to(self.message.headers.last().map_or(0, |header| header.line.end));
        let Self { message, mut out, .. } = self;
        if message.first(Name::ContentLength).is_none() {
            push_number(&mut out, "Content-Length", message.body.len() as u64);
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(message.body);
        out
    }
}

impl Outbound {
    /// Rewrites a request that came along this path, with this route set.
    pub fn new(request: &Request<'_>, path: &Path, routes: &Routes<'_>) -> Self {
        let message = request.message;
        let (target, values) = next_hop(routes);
        let mut text = Vec::with_capacity(message.datagram().len().saturating_add(128));
        match target {
            Some(uri) => push_request_line(&mut text, request.method, uri),
            None => text.extend_from_slice(message.start_line),
        }
        let start_len = text.len();
        if request.max_forwards.is_none() {
            push_number(&mut text, "Max-Forwards", MAX_FORWARDS_DEFAULT.into());
        }
        let (mut via_seen, mut route_seen) = (false, false);
        let mut lines = Lines::new(message, text);
        for header in &message.headers {
            match header.name {
                Name::Via if !via_seen => {
                    via_seen = true;
                    push_line(lines.instead_of(header), "Via", path.first_line(message));
                }
                Name::MaxForwards => {
                    let left = request.max_forwards.unwrap_or_default().saturating_sub(1);
                    push_number(lines.instead_of(header), "Max-Forwards", left.into());
                }
                Name::Route if values.is_some() => {
                    let values = values.as_deref().filter(|_| !route_seen).unwrap_or_default();
                    route_seen = true;
                    let out = lines.instead_of(header);
                    values.iter().for_each(|value| push_line(out, "Route", value));
                }
                _ => {}
            }
        }
        Self { text: lines.end(), start_len }
    }

    /// Bytes that it holds.
    pub const fn len(&self) -> usize {
        self.text.len()
    }

    /// Whether it holds nothing.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The method.
    pub fn method(&self) -> &[u8] {
        self.text.split(|byte| *byte == b' ').next().unwrap_or_default()
    }

    /// The message for this flow: our Via on top, then these lines; with another Request-URI if
    /// there is one (section 16.6 steps 2, 4, 6 and 8).
    pub fn compose(&self, flow: &Flow, branch: &str, lines: &[u8], uri: Option<&[u8]>) -> Vec<u8> {
        let (start, rest) = self.text.split_at_checked(self.start_len).unwrap_or_default();
        let more = [branch.len(), lines.len(), uri.map_or(0, <[u8]>::len), OWN_VIA_MAX];
        let len = more.into_iter().fold(self.text.len(), usize::saturating_add);
        let mut out = Vec::with_capacity(len);
        match uri {
            Some(uri) => push_request_line(&mut out, self.method(), uri),
            None => out.extend_from_slice(start),
        }
        push_via(&mut out, flow.transport, flow.local, branch);
        out.extend_from_slice(lines);
        out.extend_from_slice(rest);
        out
    }

    /// An answer of our own to the request.
    pub fn answer(&self, answer: &Answer, secret: Key) -> Option<Vec<u8>> {
        let message = Message::parse(&self.text).ok()?;
        Some(answer.compose(&message, &Path::as_it_is(), answer::tag(&message, secret)))
    }
}

/// Bytes of the line of a Via of this host, without its branch.
const OWN_VIA_MAX: usize = 96;

/// The line of a Via of this host.
pub fn via(transport: Transport, sent_by: SocketAddr, branch: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(OWN_VIA_MAX.saturating_add(branch.len()));
    push_via(&mut out, transport, sent_by, branch);
    out
}

fn push_via(out: &mut Vec<u8>, transport: Transport, sent_by: SocketAddr, branch: &str) {
    let transport: &[u8] = match transport {
        Transport::Udp => b"Via: SIP/2.0/UDP ",
        Transport::Tcp => b"Via: SIP/2.0/TCP ",
        Transport::Tls => b"Via: SIP/2.0/TLS ",
    };
    out.extend_from_slice(transport);
    write::address(out, sent_by);
    for part in [&b";branch="[..], branch.as_bytes(), b"\r\n"] {
        out.extend_from_slice(part);
    }
}

fn push_request_line(out: &mut Vec<u8>, method: &[u8], uri: &[u8]) {
    for part in [method, b" ", uri, b" SIP/2.0\r\n"] {
        out.extend_from_slice(part);
    }
}

/// The Request-URI and the Routes, where they are not what the request has: a strict router wants
/// itself in the one and the target at the end of the others (section 16.6 step 6).
pub fn next_hop<'r>(routes: &Routes<'r>) -> (Option<&'r [u8]>, Option<Vec<Vec<u8>>>) {
    let mut values: Vec<Vec<u8>> = routes.left.iter().map(|value| value.to_vec()).collect();
    let router = routes.left.first().filter(|_| routes.next_is_strict());
    if let Some(router) = router.and_then(|value| crate::sip::address::Address::parse(value).ok()) {
        values.remove(0);
        values.push([b"<", routes.uri_text, b">"].concat());
        return (Some(router.uri), Some(values));
    }
    let restored = routes.changed.then_some(routes.uri_text);
    (restored, routes.changed.then_some(values))
}

fn push_line(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    for part in [name.as_bytes(), b": ", value, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

fn push_number(out: &mut Vec<u8>, name: &str, number: u64) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    write::decimal(out, number);
    out.extend_from_slice(b"\r\n");
}

/// A response without its top Via value; `None` if there is no second one to send it to.
pub fn without_top_via(message: &Message<'_>, status_line: &[u8]) -> Option<Vec<u8>> {
    let len = message.datagram().len().saturating_add(status_line.len());
    let mut out = Vec::with_capacity(len);
    out.extend_from_slice(status_line);
    let mut lines = Lines::new(message, out);
    let mut vias = message.headers.iter().filter(|header| header.name == Name::Via);
    let mut more = false;
    if let Some(top) = vias.next() {
        let out = lines.instead_of(top);
        if let (_, Some(rest)) = lex::split_first(&top.value, Hides::Comments).ok()? {
            more = true;
            push_line(out, "Via", lex::trim(rest));
        }
    }
    (more || vias.next().is_some()).then(|| lines.end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{settings::Settings, token::Tokens};

    fn forwarded(text: &str) -> String {
        let message = Message::parse(text.as_bytes()).unwrap();
        let request = Request::read(&message).unwrap().unwrap();
        let path = Path::of(&message, "192.0.2.9:5062".parse().unwrap()).unwrap();
        let settings = Settings { own_names: vec!["edge.example".into()], ..Settings::default() };
        let table = crate::core::tests::table("edge", Some(1));
        let here = Flow::udp("192.0.2.1:5060".parse().unwrap(), "192.0.2.9:5062".parse().unwrap());
        let routes = Routes::of(&request, &settings, || Tokens::new(&settings, &table), &here);
        let outbound = Outbound::new(&request, &path, &routes.unwrap());
        String::from_utf8(outbound.compose(&here, "z9hG4bKx", b"", None)).unwrap()
    }

    const REST: &str = "t: <sip:a@b>\r\nFROM: <sip:a@b>;tag=1\r\ni: x\r\nCSeq: 1 REGISTER\r\n\
                        X-Odd :  a\r\n  folded\r\n";

    #[test]
    fn only_via_max_forwards_and_our_route_are_touched() {
        for (before, after) in [
            (
                "v: SIP/2.0/UDP h;rport, SIP/2.0/UDP i\r\nMax-Forwards: 010\r\nv: SIP/2.0/UDP j\r\n",
                "Via: SIP/2.0/UDP h;rport=5062;received=192.0.2.9, SIP/2.0/UDP i\r\n\
                 Max-Forwards: 9\r\nv: SIP/2.0/UDP j\r\n",
            ),
            (
                "Max-Forwards: 1\r\nRoute: <sip:edge.example;lr>\r\nRoute: <sip:far;lr>\r\nVia: SIP/2.0/UDP 192.0.2.9\r\n",
                "Max-Forwards: 0\r\nRoute: <sip:far;lr>\r\nVia: SIP/2.0/UDP 192.0.2.9\r\n",
            ),
            (
                "Max-Forwards: 1\r\nRoute: <sip:edge.example;lr>, <sip:far;lr>\r\nVia: SIP/2.0/UDP 192.0.2.9\r\n",
                "Max-Forwards: 0\r\nRoute: <sip:far;lr>\r\nVia: SIP/2.0/UDP 192.0.2.9\r\n",
            ),
            (
                "Max-Forwards: 1\r\nRoute:  <sip:far;lr>\r\nVia: SIP/2.0/UDP 192.0.2.9\r\n",
                "Max-Forwards: 0\r\nRoute:  <sip:far;lr>\r\nVia: SIP/2.0/UDP 192.0.2.9\r\n",
            ),
            (
                "Max-Forwards: 1\r\nRoute: <sip:edge.example;lr>\r\nVia: SIP/2.0/UDP 192.0.2.9\r\n",
                "Max-Forwards: 0\r\nVia: SIP/2.0/UDP 192.0.2.9\r\n",
            ),
            (
                "Max-Forwards: 1\r\nRoute: <sip:far;lr>\r\nVia: SIP/2.0/UDP 192.0.2.9\r\nRoute: <sip:b>\r\n",
                "Max-Forwards: 0\r\nRoute: <sip:far;lr>\r\nVia: SIP/2.0/UDP 192.0.2.9\r\nRoute: <sip:b>\r\n",
            ),
            (
                "Via: SIP/2.0/UDP 192.0.2.9\r\n",
                "Max-Forwards: 70\r\nVia: SIP/2.0/UDP 192.0.2.9\r\n",
            ),
        ] {
            let start = "REGISTER sip:b SIP/2.0\r\n";
            let got = forwarded(&format!("{start}{before}{REST}l: 3\r\n\r\nabcnoise"));
            let ours = "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKx\r\n";
            assert_eq!(got, format!("{start}{ours}{after}{REST}l: 3\r\n\r\nabc"));
        }
    }

    #[test]
    fn a_strict_router_gets_itself_in_the_request_uri() {
        for (before, uri, after) in [
            ("Route: <sip:far;x=1>\r\n", "sip:far;x=1", "Route: <sip:b>\r\n"),
            (
                "Route: <sip:edge.example;lr>, <sip:far>\r\nRoute: <sip:next;lr>\r\n",
                "sip:far",
                "Route: <sip:next;lr>\r\nRoute: <sip:b>\r\n",
            ),
        ] {
            let rest = format!("Via: SIP/2.0/UDP 192.0.2.9\r\nMax-Forwards: 2\r\n{before}{REST}");
            let got = forwarded(&format!("REGISTER sip:b SIP/2.0\r\n{rest}\r\n"));
            let lines: Vec<&str> = got.lines().collect();
            assert_eq!(lines[0], format!("REGISTER {uri} SIP/2.0"));
            assert!(got.contains(after) && !got.contains("edge.example"), "{got}");
        }
    }

    #[test]
    fn the_top_via_is_taken_off_a_response() {
        for (before, after) in [
            ("Via: a\r\nVia: b\r\n", Some("Via: b\r\n")),
            ("v: a, b ,c\r\n", Some("Via: b ,c\r\n")),
            ("To: x\r\nVia: a\r\nFrom: y\r\nv: b\r\n", Some("To: x\r\nFrom: y\r\nv: b\r\n")),
            ("Via: a\r\n", None),
            ("To: x\r\n", None),
        ] {
            let text = format!("SIP/2.0 200 OK\r\n{before}\r\nbody");
            let message = Message::parse(text.as_bytes()).unwrap();
            let got = without_top_via(&message, b"SIP/2.0 200 OK\r\n");
            let expected = after.map(|after| {
                format!("SIP/2.0 200 OK\r\n{after}Content-Length: 4\r\n\r\nbody").into_bytes()
            });
            assert_eq!(got, expected, "{before}");
        }
    }
}
