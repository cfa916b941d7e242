//! Path (RFC 3327) and Service-Route (RFC 3608): by what ways requests reach a client, and leave it.

use super::{Came, Refused};
use crate::core::bindings::PATH_MAX;
use crate::sip::{
    address::Address,
    answer::Answer,
    fault::Fault,
    header::Name,
    lex::Hides,
    request::Request,
    uri::{SipUri, Uri},
};

/// The Path of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PathOf<'m> {
    /// Its values, the last hop first.
    values: Vec<&'m [u8]>,
    /// The client knows what a Path is, and is told it (section 5.3).
    told: bool,
}

impl<'m> PathOf<'m> {
    /// Reads it. A client that does not say that it knows Paths must not be registered with one
    /// without its knowledge (section 5.3): unless a host that is trusted put it there, which then
    /// answers for it.
    pub(super) fn read(request: &Request<'m>, came: &Came) -> Result<Self, Refused> {
        let values = request.message.list(Name::Path, Hides::Angles)?;
        if values.is_empty() {
            return Ok(Self::default());
        }
        let told = supports(request, b"path");
        if !told && !came.trusted {
            return Err(Refused::Extension("path"));
        }
        if values.iter().any(|value| uri(value).is_none()) {
            return Err(Fault::Malformed(Name::Path).into());
        }
        let path = Self { values, told };
        if path.text().len() > PATH_MAX { Err(Refused::PathTooLong) } else { Ok(path) }
    }

    /// As a binding keeps it.
    pub(super) fn text(&self) -> Vec<u8> {
        self.values.join(&b", "[..])
    }

    /// Whether the client's first hop keeps flows (RFC 5626 section 5.1); none without a Path.
    pub(super) fn first_hop_keeps_flows(&self) -> Option<bool> {
        let first_hop = self.values.last().and_then(|value| uri(value))?;
        Some(first_hop.params().any(|(name, _)| name.eq_ignore_ascii_case(b"ob")))
    }

    /// Copies it into a 200.
    pub(super) fn push(&self, answer: &mut Answer) {
        if self.told {
            answer.push_line(&[b"Path: ", &self.text()]);
        }
    }
}

fn uri(value: &[u8]) -> Option<SipUri<'_>> {
    let address = Address::parse(value).ok().filter(|address| address.bracketed)?;
    Uri::parse(address.uri).ok().and_then(Uri::sip)
}

/// Whether a client says that it knows an extension.
pub(super) fn supports(request: &Request<'_>, tag: &[u8]) -> bool {
    request.options(Name::Supported).iter().any(|known| known.eq_ignore_ascii_case(tag))
}

/// The Service-Route of a 200: the way that the client's own requests are to take.
pub(super) fn push_service_route(answer: &mut Answer, uris: &[String]) {
    if !uris.is_empty() {
        let values: Vec<_> = uris.iter().map(|uri| format!("<{uri}>")).collect();
        answer.push_line(&[b"Service-Route: ", values.join(", ").as_bytes()]);
    }
}
