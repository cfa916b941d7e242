//! What a datagram says, for people: the same reading as the daemon's, without a table or state.

use super::{
    aor::Aor,
    fault::{Fault, Silence},
    header::Name,
    lex::{self, Hides},
    message::Message,
    request::Request,
    uri::Uri,
};

/// What was found in a datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// The method of a request, in printable form.
    pub method: Option<String>,
    /// The status of a response.
    pub status: Option<u16>,
    /// Via values over all lines and both name forms; `None` where they can't be told apart.
    pub vias: Option<usize>,
    /// The canonical AoR of To, in printable form.
    pub aor: Option<String>,
    /// What the form alone decides.
    pub form: Form,
}

/// What the form of a datagram decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A request whose deciding header fields are good.
    Request,
    /// A response.
    Response,
    /// A request that is answered with this fault's status.
    Fault(Fault),
    /// A datagram that is never answered.
    Silence(Silence),
}

/// Reads a datagram. Never panics, whatever it holds.
pub fn inspect(datagram: &[u8]) -> Inspection {
    let message = match Message::parse(datagram) {
        Ok(message) => message,
        Err(silence) => {
            let form = Form::Silence(silence);
            return Inspection { method: None, status: None, vias: None, aor: None, form };
        }
    };
    let vias = message.list(Name::Via, Hides::Comments).ok().map(|values| values.len());
    let aor = message.first(Name::To).and_then(aor_of).map(|aor| aor.to_string());
    let method = message.method().map(lex::printable);
    let (status, form) = match (message.start, Request::read(&message)) {
        (super::message::Start::Response { status }, _) => (Some(status), Form::Response),
        (_, Some(Err(fault))) => match super::answer::Path::of(&message, UNSPECIFIED) {
            Ok(_) => (None, Form::Fault(fault)),
            Err(silence) => (None, Form::Silence(silence)),
        },
        _ => (None, Form::Request),
    };
    Inspection { method, status, vias, aor, form }
}

const UNSPECIFIED: std::net::SocketAddr =
    std::net::SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);

/// The AoR of a To value, if it is a SIP URI with a user.
fn aor_of(to: &[u8]) -> Option<Aor> {
    let address = super::address::Address::parse(to).ok()?;
    Aor::of(&Uri::parse(address.uri).ok()?.sip()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_are_counted_over_lines_names_and_folds() {
        let text = b"INVITE sip:a@b SIP/2.0\r\nVia  : SIP  /   2.0\r\n /UDP\r\n    192.0.2.2;branch=390\r\n\
            v:  SIP  / 2.0  / TCP     spindle.example.com   ;\r\n  branch  =   z9hG4bK9ikj8  ,\r\n \
            SIP  /    2.0   / UDP  192.168.255.111   ; branch=\r\n z9hG4bK30239\r\n\
            To: \"a, b\" <sip:%61@B>\r\n\r\nVia: noise\r\n";
        let found = inspect(text);
        assert_eq!((found.vias, found.method.as_deref()), (Some(3), Some("INVITE")));
        assert_eq!(found.aor.as_deref(), Some("a@b"));
        assert_eq!(found.form, Form::Fault(Fault::Missing(Name::From)));
    }

    #[test]
    fn without_a_via_nothing_is_answered() {
        let found = inspect(b"INVITE sip:a SIP/2.0\r\nTo: sip:a@b\r\n\r\n");
        assert_eq!((found.vias, found.form), (Some(0), Form::Silence(Silence::NoVia)));
        assert_eq!(inspect(b"\r\n").form, Form::Silence(Silence::KeepAlive));
        assert_eq!(inspect(b"SIP/2.0 200 OK\r\n\r\n").form, Form::Response);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            inspect(&bytes);
        }

        #[test]
        fn pieces_of_sip_never_panic(
            pieces in proptest::collection::vec(
                proptest::sample::select(vec![
                    "REGISTER ", "sip:", "a@b", " SIP/2.0", "\r\n", "Via: ", "v:", "SIP/2.0/UDP ",
                    "h", ";branch=z9hG4bK", ";rport", ",", ";", "\"", "\\", "<", ">", "(", ")", "To",
                    ":", " ", "\t", "\n", "\r", "\0", "From: ", "Call-ID: x", "CSeq: 1 REGISTER",
                    "Contact: *", "l: 5", "[", "]", "%", "%00", "?", "=", "&", "é", "m:",
                ]),
                0..40,
            )
        ) {
            let text: String = pieces.concat();
            let found = inspect(text.as_bytes());
            prop_assert!(found.vias.unwrap_or(0) <= text.len());
        }
    }
}
