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
        message::Message,
        request::Request,
    },
};

/// Max-Forwards where the request has none (section 16.6 step 3).
const MAX_FORWARDS_DEFAULT: u8 = 70;

/// A request ready to be sent but for our own Via.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outbound {
    start_line: Box<[u8]>,
    rest: Box<[u8]>,
}

impl Outbound {
    /// Rewrites a request that came along this path, with this route set.
    pub fn new(request: &Request<'_>, path: &Path, routes: &Routes<'_>) -> Self {
        let message = request.message;
        let (target, values) = next_hop(routes);
        let mut rest = Vec::with_capacity(message.datagram().len().saturating_add(128));
        if request.max_forwards.is_none() {
            push_line(&mut rest, "Max-Forwards", MAX_FORWARDS_DEFAULT.to_string().as_bytes());
        }
        let (mut via_seen, mut route_seen) = (false, false);
        for header in &message.headers {
            match header.name {
                Name::Via if !via_seen => {
                    via_seen = true;
                    push_line(&mut rest, "Via", path.first_line(message));
                }
                Name::MaxForwards => {
                    let left = request.max_forwards.unwrap_or_default().saturating_sub(1);
                    push_line(&mut rest, "Max-Forwards", left.to_string().as_bytes());
                }
                Name::Route if values.is_some() => {
                    let values = values.as_deref().filter(|_| !route_seen).unwrap_or_default();
                    route_seen = true;
                    values.iter().for_each(|value| push_line(&mut rest, "Route", value));
                }
                _ => rest.extend_from_slice(message.raw_line(header)),
            }
        }
        push_end(&mut rest, message);
        let start_line = match target {
            Some(uri) => [request.method, b" ", uri, b" SIP/2.0\r\n"].concat().into(),
            None => message.start_line.into(),
        };
        Self { start_line, rest: rest.into_boxed_slice() }
    }

    /// Bytes that it holds.
    pub const fn len(&self) -> usize {
        self.start_line.len().saturating_add(self.rest.len())
    }

    /// Whether it holds nothing.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The method.
    pub fn method(&self) -> &[u8] {
        self.start_line.split(|byte| *byte == b' ').next().unwrap_or_default()
    }

    /// The message for this flow: our Via on top, then these lines; with another Request-URI if
    /// there is one (section 16.6 steps 2, 4, 6 and 8).
    pub fn compose(&self, flow: &Flow, branch: &str, lines: &[u8], uri: Option<&[u8]>) -> Vec<u8> {
        let via = via(flow.transport, flow.local, branch);
        match uri {
            Some(uri) => {
                let start: [&[u8]; 4] = [self.method(), b" ", uri, b" SIP/2.0\r\n"];
                [&start.concat(), via.as_bytes(), lines, &self.rest].concat()
            }
            None => [&self.start_line, via.as_bytes(), lines, &self.rest].concat(),
        }
    }

    /// An answer of our own to the request.
    pub fn answer(&self, answer: &Answer, secret: Key) -> Option<Vec<u8>> {
        let text = [&*self.start_line, &*self.rest].concat();
        let message = Message::parse(&text).ok()?;
        Some(answer.compose(&message, &Path::as_it_is(), answer::tag(&message, secret)))
    }
}

/// The line of a Via of this host.
pub fn via(transport: Transport, sent_by: SocketAddr, branch: &str) -> String {
    let transport = match transport {
        Transport::Udp => "UDP",
        Transport::Tcp => "TCP",
        Transport::Tls => "TLS",
    };
    format!("Via: SIP/2.0/{transport} {sent_by};branch={branch}\r\n")
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

/// The end of the header section, and the body. A message that came in a datagram may go on over a
/// stream, which needs its length (section 20.14).
fn push_end(out: &mut Vec<u8>, message: &Message<'_>) {
    if message.first(Name::ContentLength).is_none() {
        push_line(out, "Content-Length", message.body.len().to_string().as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(message.body);
}

fn push_line(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    for part in [name.as_bytes(), b": ", value, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

/// A response without its top Via value; `None` if there is no second one to send it to.
pub fn without_top_via(message: &Message<'_>, status_line: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(message.datagram().len());
    out.extend_from_slice(status_line);
    let (mut popped, mut left) = (false, 0usize);
    for header in &message.headers {
        if header.name != Name::Via || popped {
            left = left.saturating_add(usize::from(header.name == Name::Via));
            out.extend_from_slice(message.raw_line(header));
            continue;
        }
        popped = true;
        if let (_, Some(rest)) = lex::split_first(&header.value, Hides::Comments).ok()? {
            left = left.saturating_add(1);
            push_line(&mut out, "Via", lex::trim(rest));
        }
    }
    push_end(&mut out, message);
    (left > 0).then_some(out)
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
