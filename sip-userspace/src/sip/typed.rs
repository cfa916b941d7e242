//! Where `rsip` does the work: typed header fields of what we build, and a normaliser in front of
//! it for what others sent.
//!
//! `rsip` 0.4 takes a compact `v:` for no Via and `Via: a, b` for one, fails on folds, on blanks
//! before the colon and on bytes that are not UTF-8, and knows methods in any case. So it never
//! decides: it sees messages only after [`crate::sip::message`] has read them, one value a line
//! under its long name.

use std::net::SocketAddr;

use rsip::{
    Header, Method, Param, Scheme, Uri,
    common::uri::{Auth, HostWithPort, param::Q},
    headers::UntypedHeader,
    typed,
};

use super::{
    header::Name,
    lex::{self, Hides},
    message::{Message, Start},
};

/// The methods that this host answers with more than a refusal.
pub const ALLOWED: [Method; 6] = [
    Method::Register,
    Method::Options,
    Method::Subscribe,
    Method::Publish,
    Method::Ack,
    Method::Cancel,
];

/// A method that SIP defines; unlike in `rsip` the case counts (RFC 3261 section 7.1).
pub fn method(text: &[u8]) -> Option<Method> {
    // Not by `rsip`'s own reading and writing, which makes two texts of each.
    Some(match text {
        b"ACK" => Method::Ack,
        b"BYE" => Method::Bye,
        b"CANCEL" => Method::Cancel,
        b"INFO" => Method::Info,
        b"INVITE" => Method::Invite,
        b"MESSAGE" => Method::Message,
        b"NOTIFY" => Method::Notify,
        b"OPTIONS" => Method::Options,
        b"PRACK" => Method::PRack,
        b"PUBLISH" => Method::Publish,
        b"REFER" => Method::Refer,
        b"REGISTER" => Method::Register,
        b"SUBSCRIBE" => Method::Subscribe,
        b"UPDATE" => Method::Update,
        _ => return None,
    })
}

/// The Allow header field.
pub fn allow() -> Header {
    typed::Allow(ALLOWED.to_vec()).into()
}

/// A server that a 302 names.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The user part, where the redirected request names somebody.
    pub user: Option<&'a str>,
    /// Its name or address; an IPv6 address stands in brackets.
    pub host: &'a str,
    /// Its port.
    pub port: u16,
    /// `udp`, `tcp` or `tls`.
    pub transport: &'a str,
    /// Preference in tenths, where there is more than one target.
    pub q_tenths: Option<u8>,
}

/// A Contact header field of a 302: explicit port and transport, and no user part for a REGISTER.
pub fn target(target: Target<'_>, expires_s: u32) -> Header {
    let mut params = Vec::with_capacity(2);
    if let Some(tenths) = target.q_tenths {
        params.push(Param::Q(Q::new(format!("0.{tenths}"))));
    }
    params.push(Param::Expires(expires_s.to_string().into()));
    let host = rsip::common::uri::Domain::from(target.host);
    let contact = typed::Contact {
        display_name: None,
        uri: Uri {
            scheme: Some(Scheme::Sip),
            auth: target.user.map(|user| Auth { user: user.to_owned(), password: None }),
            host_with_port: HostWithPort { host: host.into(), port: Some(target.port.into()) },
            // `Param::Transport` would say UDP; the kernel's texts say udp. `tls` is what phones know
            // (RFC 5630 section 4 would have `sips`, and then all hops of calls too).
            params: vec![Param::Other("transport".into(), Some(target.transport.into()))],
            ..Uri::default()
        },
        params,
    };
    contact.into()
}

/// A message that `rsip` can't take.
#[derive(Debug, thiserror::Error)]
pub enum TypedError {
    /// It has a fault, or bytes that are not UTF-8.
    #[error("the message has a fault, or bytes that are not UTF-8")]
    NotClean,
    /// `rsip` refuses it.
    #[error("rsip: {0}")]
    Refused(#[from] rsip::Error),
}

/// The request as `rsip` has it: unfolded, long names, one value a line in lists of Via and Contact.
pub fn request(message: &Message<'_>) -> Result<rsip::Request, TypedError> {
    match message.start {
        Start::Request { .. } => Ok(rsip::Request::try_from(normalise(message)?)?),
        Start::Response { .. } => Err(TypedError::NotClean),
    }
}

/// The response as `rsip` has it.
pub fn response(message: &Message<'_>) -> Result<rsip::Response, TypedError> {
    match message.start {
        Start::Response { .. } => Ok(rsip::Response::try_from(normalise(message)?)?),
        Start::Request { .. } => Err(TypedError::NotClean),
    }
}

fn normalise(message: &Message<'_>) -> Result<Vec<u8>, TypedError> {
    if message.fault.is_some() {
        return Err(TypedError::NotClean);
    }
    let mut out = message.start_line.to_vec();
    for header in &message.headers {
        let hides = match header.name {
            Name::Via => Some(Hides::Comments),
            Name::Contact | Name::Route => Some(Hides::Angles),
            _ => None,
        };
        let name = match header.name {
            Name::Other => header.name_text,
            name => name.text().as_bytes(),
        };
        let values = match hides {
            Some(hides) => lex::split(&header.value, hides).map_err(|_| TypedError::NotClean)?,
            None => vec![&*header.value],
        };
        for value in values {
            if std::str::from_utf8(value).is_err() {
                return Err(TypedError::NotClean);
            }
            for part in [name, b": ", value, b"\r\n"] {
                out.extend_from_slice(part);
            }
        }
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(message.body);
    Ok(out)
}

/// What phones allow.
const PHONE_ALLOW: &str =
    "INVITE, ACK, BYE, CANCEL, OPTIONS, NOTIFY, REFER, MESSAGE, SUBSCRIBE, INFO, UPDATE";

/// A REGISTER as a client of ours would send it: for probes and tests.
pub fn register(aor: &str, client: SocketAddr, serial: u32, expires_s: u32) -> Vec<u8> {
    let (user, host) = aor.split_once('@').unwrap_or(("", aor));
    let headers: Vec<Header> = vec![
        rsip::headers::Via::new(format!("SIP/2.0/UDP {client};branch=z9hG4bKc{serial};rport"))
            .into(),
        rsip::headers::MaxForwards::from(70u32).into(),
        rsip::headers::To::new(format!("<sip:{aor}>")).into(),
        rsip::headers::From::new(format!("<sip:{aor}>;tag=f{serial}")).into(),
        rsip::headers::CallId::new(format!("{user}-call@{}", client.ip())).into(),
        typed::CSeq { seq: serial, method: Method::Register }.into(),
        rsip::headers::Contact::new(format!("<sip:{user}@{client}>")).into(),
        rsip::headers::Expires::from(expires_s).into(),
        rsip::headers::UserAgent::from("Homeward probe").into(),
        rsip::headers::Supported::from("replaces, outbound, gruu, path").into(),
        rsip::headers::Allow::from(PHONE_ALLOW).into(),
        rsip::headers::ContentLength::from(0u32).into(),
    ];
    let uri = Uri {
        scheme: Some(Scheme::Sip),
        host_with_port: HostWithPort {
            host: rsip::common::uri::Domain::from(host).into(),
            port: None,
        },
        ..Uri::default()
    };
    rsip::Request {
        method: Method::Register,
        uri,
        version: rsip::Version::V2,
        headers: headers.into(),
        body: Vec::new(),
    }
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rsip::prelude::*;

    #[test]
    fn methods_are_case_sensitive() {
        assert_eq!(method(b"REGISTER"), Some(Method::Register));
        assert_eq!(method(b"PRACK"), Some(Method::PRack));
        assert_eq!(method(b"Register"), None);
        assert_eq!(method(b"RE%47IST%45R"), None);
        assert_eq!(method(b"NEWMETHOD"), None);
    }

    #[test]
    fn targets_read_like_the_kernel_writes_them() {
        let plain = Target {
            user: None,
            host: "home.example.com",
            port: 5060,
            transport: "udp",
            q_tenths: None,
        };
        assert_eq!(
            target(plain, 120).to_string(),
            "Contact: <sip:home.example.com:5060;transport=udp>;expires=120"
        );
        let second = Target {
            user: Some("al%40"),
            host: "[2001:db8::1]",
            port: 5070,
            q_tenths: Some(3),
            ..plain
        };
        assert_eq!(
            target(second, 60).to_string(),
            "Contact: <sip:al%40@[2001:db8::1]:5070;transport=udp>;q=0.3;expires=60"
        );
    }

    #[test]
    fn what_rsip_alone_gets_wrong_comes_out_right() {
        let text = b"\r\nREGISTER sip:b SIP/2.0\r\nv : SIP/2.0/UDP h;branch=z9hG4bK1,\r\n \
            SIP/2.0/UDP i;branch=z9hG4bK2\r\nt: <sip:a@b>\r\nf: <sip:a@b>;tag=1\r\ni: x\r\n\
            CSeq: 1 REGISTER\r\nm: <sip:a@h>;expires=5, <sip:a@i>\r\n\r\n";
        let message = Message::parse(text).unwrap();
        let typed = request(&message).unwrap();
        let count =
            |wanted: fn(&Header) -> bool| typed.headers.iter().filter(|h| wanted(h)).count();
        assert_eq!(count(|header| matches!(header, Header::Via(_))), 2);
        assert_eq!(count(|header| matches!(header, Header::Contact(_))), 2);
        let expires = typed.contact_header().unwrap().typed().unwrap().expires().cloned();
        assert_eq!(expires.unwrap().to_string(), "5");
    }
}
