//! Rewriting of what is forwarded (RFC 3261 sections 16.6 and 16.7).
//!
//! Only what the sections name is touched: our Via on top, received and rport in the next one,
//! Max-Forwards, a Route that names us; every other byte stays as it came, in its order.

use std::net::SocketAddr;

use crate::{
    core::settings::Settings,
    sip::{
        address::Address,
        answer::Path,
        header::Name,
        lex::{self, Hides},
        message::{Header, Message},
        request::Request,
        uri::Uri,
    },
};

/// Max-Forwards where the request has none (section 16.6 step 3).
const MAX_FORWARDS_DEFAULT: u8 = 70;

/// A request ready to be sent but for our own Via.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outbound {
    start_line: Box<[u8]>,
    rest: Box<[u8]>,
}

impl Outbound {
    /// Rewrites a request that came along this path.
    pub fn new(request: &Request<'_>, path: &Path, settings: &Settings) -> Self {
        let message = request.message;
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
                Name::Route if !route_seen => {
                    route_seen = true;
                    push_route(&mut rest, message, header, settings);
                }
                _ => rest.extend_from_slice(message.raw_line(header)),
            }
        }
        rest.extend_from_slice(b"\r\n");
        rest.extend_from_slice(message.body);
        Self { start_line: message.start_line.into(), rest: rest.into_boxed_slice() }
    }

    /// Bytes that it holds.
    pub const fn len(&self) -> usize {
        self.start_line.len().saturating_add(self.rest.len())
    }

    /// Whether it holds nothing.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The datagram with our Via on top.
    pub fn with_via(&self, sent_by: SocketAddr, branch: &str) -> Vec<u8> {
        let via = format!("Via: SIP/2.0/UDP {sent_by};branch={branch}\r\n");
        [&self.start_line, via.as_bytes(), &self.rest].concat()
    }
}

fn push_line(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    for part in [name.as_bytes(), b": ", value, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

/// The first Route line, without its first value if that names this host (section 16.4).
fn push_route(out: &mut Vec<u8>, message: &Message<'_>, header: &Header<'_>, settings: &Settings) {
    let is_here = |value: &[u8]| {
        let address = Address::parse(value).ok();
        let uri = address.and_then(|address| Uri::parse(address.uri).ok()?.sip());
        uri.is_some_and(|uri| settings.is_here(uri.host, uri.port))
    };
    match lex::split_first(&header.value, Hides::Angles) {
        Ok((first, None)) if is_here(first) => {}
        Ok((first, Some(rest))) if is_here(first) => push_line(out, "Route", lex::trim(rest)),
        _ => out.extend_from_slice(message.raw_line(header)),
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
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(message.body);
    (left > 0).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forwarded(text: &str) -> String {
        let message = Message::parse(text.as_bytes()).unwrap();
        let request = Request::read(&message).unwrap().unwrap();
        let path = Path::of(&message, "192.0.2.9:5062".parse().unwrap()).unwrap();
        let settings = Settings { own_names: vec!["edge.example".into()], ..Settings::default() };
        let outbound = Outbound::new(&request, &path, &settings);
        String::from_utf8(outbound.with_via("192.0.2.1:5060".parse().unwrap(), "z9hG4bKx")).unwrap()
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
                "Max-Forwards: 1\r\nRoute: <sip:edge.example;lr>\r\nRoute: <sip:far>\r\nVia: SIP/2.0/UDP 192.0.2.9\r\n",
                "Max-Forwards: 0\r\nRoute: <sip:far>\r\nVia: SIP/2.0/UDP 192.0.2.9\r\n",
            ),
            (
                "Max-Forwards: 1\r\nRoute: <sip:edge.example;lr>, <sip:far>\r\nVia: SIP/2.0/UDP 192.0.2.9\r\n",
                "Max-Forwards: 0\r\nRoute: <sip:far>\r\nVia: SIP/2.0/UDP 192.0.2.9\r\n",
            ),
            (
                "Max-Forwards: 1\r\nRoute:  <sip:far>\r\nVia: SIP/2.0/UDP 192.0.2.9\r\n",
                "Max-Forwards: 0\r\nRoute:  <sip:far>\r\nVia: SIP/2.0/UDP 192.0.2.9\r\n",
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
            let expected =
                after.map(|after| format!("SIP/2.0 200 OK\r\n{after}\r\nbody").into_bytes());
            assert_eq!(got, expected, "{before}");
        }
    }
}
