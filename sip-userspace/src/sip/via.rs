//! Via values (RFC 3261 sections 18.2 and 20.42, RFC 3581).

use std::net::{IpAddr, SocketAddr};

use super::{
    fault::Fault,
    header::Name,
    lex::{self, Cursor},
    params::{self, Param, Params},
    write,
};

/// The UDP port where none is given.
pub const PORT_DEFAULT: u16 = 5060;
/// The port of SIP over TLS where none is given.
pub const PORT_TLS: u16 = 5061;
/// What the branches of RFC 3261 begin with.
pub const COOKIE: &[u8] = b"z9hG4bK";

/// One Via value.
#[derive(Clone, Debug)]
pub struct Via<'a> {
    /// The protocol's version: 2.0 but in a message that is refused for it.
    version: &'a [u8],
    /// Transport as it stands: UDP, TCP, ...
    pub transport: &'a [u8],
    /// Host of sent-by; an IPv6 address with its brackets.
    pub host: &'a [u8],
    /// Port of sent-by.
    pub port: Option<u16>,
    /// Parameters in order.
    pub params: Params<'a>,
    /// Everything before the parameters.
    head: &'a [u8],
    /// A comment behind the parameters, as old clients send.
    comment: &'a [u8],
}

impl<'a> Via<'a> {
    /// Reads one value.
    pub fn parse(text: &'a [u8]) -> Result<Self, Fault> {
        let mut via = Self::parse_head(text)?;
        let fault = Fault::Malformed(Name::Via);
        let mut cursor = Cursor::new(text.get(via.head.len()..).ok_or(fault)?);
        via.params = Params::parse(&mut cursor).ok_or(fault)?;
        cursor.blanks();
        if cursor.peek() == Some(b'(') {
            via.comment = cursor.comment().ok_or(fault)?;
            cursor.blanks();
        }
        let twice = ["branch", "rport", "received", "maddr"];
        if via.version != b"2.0"
            || !cursor.rest().is_empty()
            || twice.iter().any(|name| via.params.doubled(name))
        {
            return Err(fault);
        }
        Ok(via)
    }

    /// Reads only protocol and sent-by: enough to answer a value that is broken behind them.
    pub fn parse_head(text: &'a [u8]) -> Result<Self, Fault> {
        let fault = Fault::Malformed(Name::Via);
        let mut cursor = Cursor::new(text);
        let part = |cursor: &mut Cursor<'a>, slash: bool| {
            cursor.blanks();
            let token = cursor.token();
            cursor.blanks();
            (!token.is_empty() && (!slash || cursor.eat(b'/'))).then_some(token).ok_or(fault)
        };
        let protocol = part(&mut cursor, true)?;
        let version = part(&mut cursor, true)?;
        let transport = part(&mut cursor, false)?;
        if !protocol.eq_ignore_ascii_case(b"SIP") {
            return Err(fault);
        }
        let host = take_host(&mut cursor).ok_or(fault)?;
        let mut end = cursor;
        cursor.blanks();
        let port = if cursor.eat(b':') {
            cursor.blanks();
            let port = lex::number(cursor.take_while(|byte| byte.is_ascii_digit()));
            end = cursor;
            match port.and_then(|port| u16::try_from(port).ok()) {
                None | Some(0) => return Err(fault),
                port => port,
            }
        } else {
            None
        };
        let head = text.get(..text.len().saturating_sub(end.rest().len())).ok_or(fault)?;
        Ok(Self { version, transport, host, port, params: Params::default(), head, comment: b"" })
    }

    /// The branch, empty if there is none.
    pub fn branch(&self) -> &'a [u8] {
        self.params.value("branch").unwrap_or_default()
    }

    /// Whether the branch is one of RFC 3261: the cookie and more (RFC 4475 section 3.2.1).
    pub fn has_branch(&self) -> bool {
        let branch = self.branch();
        branch.len() > COOKIE.len() && branch.starts_with(COOKIE)
    }

    /// Whether the client asks for answers to its source port (RFC 3581).
    pub fn wants_rport(&self) -> bool {
        self.params.get("rport").is_some()
    }

    /// The address in sent-by, if it is one.
    pub fn address(&self) -> Option<IpAddr> {
        host_address(self.host)
    }

    /// The address that the next hop saw: received, else sent-by.
    pub fn seen_from(&self) -> Option<IpAddr> {
        self.params.value("received").map_or_else(|| self.address(), host_address)
    }

    /// The value with received and rport filled in for this source: what the client wrote there
    /// is replaced (18.2.1, RFC 3581 section 4).
    pub fn stamped(&self, source: SocketAddr) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.head.len().saturating_add(160));
        out.extend_from_slice(self.head);
        let ip = source.ip().to_canonical();
        for param in &self.params.0 {
            if param.name.eq_ignore_ascii_case(b"rport") {
                params::push(&mut out, Param { name: param.name, value: Some(b"") });
                write::decimal(&mut out, source.port().into());
            } else if !param.name.eq_ignore_ascii_case(b"received") {
                params::push(&mut out, *param);
            }
        }
        if self.wants_rport() || self.address() != Some(ip) {
            params::push(&mut out, Param { name: b"received", value: Some(b"") });
            write::ip(&mut out, ip);
        }
        if !self.comment.is_empty() {
            out.push(b' ');
            out.extend_from_slice(self.comment);
        }
        out
    }

    /// Where an answer goes (18.2.2, RFC 3581): always to the packet's source address, to its
    /// port if rport is there, else to the port of sent-by. `maddr` is not followed: it would let
    /// anybody point our answers at others.
    pub fn answer_to(&self, source: SocketAddr) -> SocketAddr {
        let port = self.port.unwrap_or(PORT_DEFAULT);
        let port = if self.wants_rport() { source.port() } else { port };
        SocketAddr::new(source.ip(), port)
    }
}

/// Takes a host: a name, an IPv4 address, or an IPv6 address in brackets.
fn take_host<'a>(cursor: &mut Cursor<'a>) -> Option<&'a [u8]> {
    let start = cursor.rest();
    if cursor.eat(b'[') {
        cursor.take_while(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.' | b'%'));
        if !cursor.eat(b']') {
            return None;
        }
        return start.get(..start.len().saturating_sub(cursor.rest().len()));
    }
    let host = cursor
        .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'));
    (!host.is_empty()).then_some(host)
}

/// The address that a host text is, with or without brackets.
pub fn host_address(host: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(host).ok()?;
    let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    Some(inner.parse::<IpAddr>().ok()?.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_with_all_their_blanks() {
        for (text, host, port, branch) in [
            ("SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1", "192.0.2.1", None, "z9hG4bK1"),
            (
                "SIP  / 2.0  / TCP     spindle.example.com   ;  branch  =   z9hG4bK9ikj8",
                "spindle.example.com",
                None,
                "z9hG4bK9ikj8",
            ),
            (
                "sip/2.0/udp [2001:db8::9:1]:5070 ;rport;branch=z9hG4bKx",
                "[2001:db8::9:1]",
                Some(5070),
                "z9hG4bKx",
            ),
            ("SIP/2.0/UDP a : 5061", "a", Some(5061), ""),
            ("SIP/2.0/TCP srlab:5060;maddr=192.168.102.5 (NTA 1.0)", "srlab", Some(5060), ""),
            ("SIP/2.0/UDP h;received=2001:db8::9:255;branch=b", "h", None, "b"),
        ] {
            let via = Via::parse(text.as_bytes()).unwrap_or_else(|fault| panic!("{text}: {fault}"));
            assert_eq!((via.host, via.port), (host.as_bytes(), port), "{text}");
            assert_eq!(via.branch(), branch.as_bytes(), "{text}");
        }
    }

    #[test]
    fn broken_values_are_refused() {
        for text in [
            "",
            "SIP/2.0/UDP",
            "SIP/3.0/UDP a",
            "SIP/2.0 a",
            "SIP/2.0/UDP 192.0.2.15;;",
            "SIP/2.0/UDP [2001:db8::1",
            "SIP/2.0/UDP 2001:db8::1",
            "SIP/2.0/UDP a:0",
            "SIP/2.0/UDP a:70000",
            "SIP/2.0/UDP a;branch=1;branch=2",
            "SIP/2.0/UDP a b",
            "SIP/2.0/UDP a (open",
        ] {
            assert!(Via::parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn the_top_value_is_stamped_and_answers_go_to_the_source() {
        let source: SocketAddr = "203.0.113.9:4444".parse().unwrap();
        for (text, stamped, port) in [
            ("SIP/2.0/UDP 203.0.113.9;branch=b", "SIP/2.0/UDP 203.0.113.9;branch=b", 5060),
            (
                "SIP/2.0/UDP 203.0.113.9:7000;branch=b",
                "SIP/2.0/UDP 203.0.113.9:7000;branch=b",
                7000,
            ),
            (
                "SIP/2.0/UDP 10.0.0.1:5062;rport;branch=b",
                "SIP/2.0/UDP 10.0.0.1:5062;rport=4444;branch=b;received=203.0.113.9",
                4444,
            ),
            (
                "SIP/2.0/UDP h;rport=1;received=9.9.9.9;maddr=8.8.8.8",
                "SIP/2.0/UDP h;rport=4444;maddr=8.8.8.8;received=203.0.113.9",
                4444,
            ),
            (
                "SIP/2.0/UDP 203.0.113.9;rport;branch=b",
                "SIP/2.0/UDP 203.0.113.9;rport=4444;branch=b;received=203.0.113.9",
                4444,
            ),
        ] {
            let via = Via::parse(text.as_bytes()).unwrap();
            assert_eq!(String::from_utf8(via.stamped(source)).unwrap(), stamped);
            assert_eq!(via.answer_to(source), SocketAddr::new(source.ip(), port));
        }
        let v6: SocketAddr = "[2001:db8::1]:5060".parse().unwrap();
        let via = Via::parse(b"SIP/2.0/UDP [2001:DB8:0::1];branch=b").unwrap();
        assert_eq!(via.stamped(v6), b"SIP/2.0/UDP [2001:DB8:0::1];branch=b");
        let via = Via::parse(b"SIP/2.0/UDP host;branch=b").unwrap();
        assert_eq!(via.stamped(v6), b"SIP/2.0/UDP host;branch=b;received=2001:db8::1");
    }
}
