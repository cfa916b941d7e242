//! What becomes of a request: the method of US 7,543,061, claim 1, and all that stands around it.
//!
//! A pure function of settings, table and request, so that `explain` and the daemon say the same.
//! The order is that of RFC 3261 section 8.2: method, scheme, Request-URI, extensions; for a
//! REGISTER then section 10.3, and for one that is proxied the checks of 16.3. What is no REGISTER
//! stands in `onward`.

mod onward;

use rsip::{Method, headers};
use sip_common::abi::ClientKey;

use super::{
    Flow,
    proxy::{loops, routes::Routes},
    redirect::{self, NoRedirect},
    registrar::check_contacts,
    settings::Settings,
    table::{Home, Kind, Lookup, Server, Table},
    token::Tokens,
};
use crate::sip::{
    answer::{Answer, Path},
    aor::Aor,
    fault::{Fault, Silence},
    header::Name,
    request::Request,
    typed,
    uri::SipUri,
};

/// Seconds after which a client may ask again when no server takes requests.
const RETRY_AFTER_S: u32 = 30;

/// What becomes of a request.
#[derive(Clone, Debug)]
pub enum Decision {
    /// The home is this host.
    Register {
        /// The client.
        key: ClientKey,
        /// Its AoR.
        aor: Aor,
    },
    /// The home is elsewhere, and the client reached us directly.
    Redirect {
        /// The client.
        key: ClientKey,
        /// Its home.
        server: u16,
    },
    /// The home is elsewhere, and the client can't be redirected.
    Proxy {
        /// The client.
        key: ClientKey,
        /// Its home.
        server: u16,
        /// Why it is not redirected.
        cause: Cause,
    },
    /// A SUBSCRIBE that this host answers as a notifier (RFC 6665).
    Subscribe {
        /// The client to be watched, at home here; none for a request in a dialog with this host.
        client: Option<(ClientKey, Aor)>,
    },
    /// A PUBLISH for a client at home here (RFC 3903).
    Publish {
        /// The client.
        key: ClientKey,
        /// Its AoR.
        aor: Aor,
    },
    /// The client of the Request-URI is at home here: to its bindings.
    Deliver {
        /// The client.
        key: ClientKey,
    },
    /// Along the rest of its route set, or to its Request-URI.
    Follow,
    /// Over the flow that a token of ours names.
    Flow {
        /// The flow.
        flow: Flow,
    },
    /// A final answer.
    Answer {
        /// The answer.
        answer: Answer,
        /// The name of the reason.
        reason: &'static str,
    },
    /// No answer.
    Silent(Silence),
}

/// Why a request is proxied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// More than one Via: somebody forwarded it.
    ManyVias,
    /// The source is an edge proxy.
    SourceEdge,
    /// The source is outside `direct_sources`.
    SourceNotDirect,
    /// The client does not follow redirects.
    NoRedirect,
    /// The client came back after a redirect: it learned nothing from it (I7).
    Returned,
    /// The client is being moved.
    Moving,
    /// The redirect would name the Request-URI itself (section 8.3).
    HomeIsTarget,
    /// The user holds an escaped control byte, which the client would have to write anew.
    EscapedControl,
    /// The redirect would be longer than the request (I5).
    ReplyTooLong,
    /// The client came over a stream, and its home has no address for that.
    NotOnStream,
    /// Clients of this software are not redirected here.
    UserAgent,
    /// Only what begins a subscription or a publication is redirected beside a REGISTER.
    Method,
}

impl Cause {
    /// The name of the reason in JSON and metrics, the same as the kernel's where it has one.
    pub const fn label(self) -> &'static str {
        match self {
            Self::ManyVias => "via_many",
            Self::SourceEdge => "source_edge",
            Self::SourceNotDirect => "source_not_direct",
            Self::NoRedirect => "no_redirect",
            Self::Returned => "recent",
            Self::Moving => "home_moving",
            Self::HomeIsTarget => "home_is_target",
            Self::EscapedControl => "escaped_control",
            Self::ReplyTooLong => "reply_too_long",
            Self::NotOnStream => "home_not_on_stream",
            Self::UserAgent => "user_agent",
            Self::Method => "method",
        }
    }
}

impl Decision {
    /// The name of the reason.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Register { .. } => "home_here",
            Self::Redirect { .. } => "home_elsewhere",
            Self::Proxy { cause, .. } => cause.label(),
            Self::Subscribe { client: None } => "subscription",
            Self::Deliver { .. } | Self::Subscribe { .. } | Self::Publish { .. } => "client_here",
            Self::Follow => "route",
            Self::Flow { .. } => "flow",
            Self::Answer { reason, .. } => reason,
            Self::Silent(silence) => silence.label(),
        }
    }
}

/// The route set of a request that came over this flow.
///
/// # Errors
/// The refusal, if it can't be read.
pub fn read_routes<'m>(
    settings: &Settings,
    table: &Table,
    request: &Request<'m>,
    came: &Flow,
) -> Result<Routes<'m>, Decision> {
    match Routes::of(request, settings, || Tokens::new(settings, table), came) {
        // A registrar does not read it.
        Err(_) if request.method == b"REGISTER" => Ok(Routes::none(request)),
        routes => routes.map_err(fault),
    }
}

/// Decides a request with this route set that came over this flow. `returned` says whether the
/// client was redirected a short while ago for another request.
pub fn decide(
    settings: &Settings,
    table: &Table,
    request: &Request<'_>,
    routes: &Routes<'_>,
    came: &Flow,
    returned: impl FnOnce(&ClientKey, &Lookup) -> bool,
) -> Decision {
    match typed::method(request.method) {
        Some(Method::Register) => register(settings, table, request, came, returned),
        Some(Method::Ack) => match onward::decide(settings, table, request, routes, came, returned)
        {
            // Section 17: an ACK is never answered.
            Decision::Answer { .. } | Decision::Redirect { .. } => Decision::Silent(Silence::Ack),
            decision => decision,
        },
        // Section 9.2: there is no transaction that could be cancelled. A stateful proxy knows all
        // that it forwarded, so a CANCEL sent on (16.10) would find nothing to cancel either.
        Some(Method::Cancel) if !settings.stateless => refuse(Answer::new(481), "no_transaction"),
        _ => onward::decide(settings, table, request, routes, came, returned),
    }
}

fn refuse(answer: Answer, reason: &'static str) -> Decision {
    Decision::Answer { answer, reason }
}

fn fault(fault: Fault) -> Decision {
    refuse(Answer::new(fault.status()).phrase(fault), fault.label())
}

/// Whether a Request-URI with this host is for us. A client that was redirected to another home names
/// that one, which has proxied it here if its table is another one than the redirect's.
fn is_ours(settings: &Settings, table: &Table, request: &Request<'_>, host: &[u8]) -> bool {
    let names = |server: &Server| {
        server.kind == Kind::Homeward && server.contact.host.as_bytes().eq_ignore_ascii_case(host)
    };
    settings.is_target(host)
        || request.vias.len() > 1 && table.servers().any(|(_, server)| names(server))
}

/// Section 8.2.2.1: a scheme that is served, and a host that is ours.
fn target<'m>(
    settings: &Settings,
    table: &Table,
    request: &Request<'m>,
) -> Result<SipUri<'m>, Decision> {
    let uri = request.uri.sip().filter(|uri| !uri.secure).ok_or_else(|| fault(Fault::Scheme))?;
    if is_ours(settings, table, request, uri.host) {
        Ok(uri)
    } else {
        Err(refuse(Answer::new(404).phrase("Domain Not Served"), "uri_domain"))
    }
}

/// Extensions that this host knows as a registrar: Path (RFC 3327) and Outbound (5626).
const KNOWN: [&str; 2] = ["path", "outbound"];

/// Sections 8.2.2.3 and 16.3 step 5: a proxy knows no extension.
fn extensions(request: &Request<'_>, name: Name) -> Option<Decision> {
    let mut tags = request.options(name);
    if name == Name::Require {
        tags.retain(|tag| !KNOWN.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(tag)));
    }
    if tags.is_empty() {
        return None;
    }
    let mut answer = Answer::new(420);
    answer.push_line(&[b"Unsupported: ", &tags.join(&b", "[..])]);
    Some(refuse(answer, "extension"))
}

/// Section 11.2, for OPTIONS to this host.
fn options(request: &Request<'_>) -> Decision {
    extensions(request, Name::Require).unwrap_or_else(|| {
        let answer = Answer::new(200)
            .with(typed::allow())
            .with(headers::Accept::from("application/sdp"))
            .with(headers::Supported::from(KNOWN.join(", ")));
        Decision::Answer { answer, reason: "options" }
    })
}

fn register(
    settings: &Settings,
    table: &Table,
    request: &Request<'_>,
    came: &Flow,
    returned: impl FnOnce(&ClientKey, &Lookup) -> bool,
) -> Decision {
    let uri = match target(settings, table, request) {
        Ok(uri) => uri,
        Err(refusal) => return refusal,
    };
    let Some(to) = request.to_uri.sip() else { return fault(Fault::ToScheme) };
    // Section 10.3 step 5.
    let Some(aor) = Aor::of(&to).filter(|aor| settings.serves(aor.host())) else {
        return refuse(Answer::new(404), "to_domain");
    };
    let key = aor.key(table.meta().client_secret);
    let lookup = table.lookup(&key);
    let from = settings.sources.as_ref()(came.peer.ip().to_canonical());
    let target_is_home = |server: u16| is_contact_of(table, server, &uri, came);
    let (server, cause) = match lookup.home {
        Home::Here => return local(request, Decision::Register { key, aor }),
        // While a client is being moved its old home serves it.
        Home::Moving { server } if table.this() == Some(server) => {
            return local(request, Decision::Register { key, aor });
        }
        Home::Unknown => {
            return nobody();
        }
        Home::Moving { server } => (server, Cause::Moving),
        Home::Elsewhere { server } if request.vias.len() > 1 => (server, Cause::ManyVias),
        Home::Elsewhere { server } if from.edge => (server, Cause::SourceEdge),
        Home::Elsewhere { server } if !from.direct => (server, Cause::SourceNotDirect),
        Home::Elsewhere { server } if lookup.no_redirect => (server, Cause::NoRedirect),
        Home::Elsewhere { server } if settings.never_redirects(request) => {
            (server, Cause::UserAgent)
        }
        Home::Elsewhere { server } if target_is_home(server) => (server, Cause::HomeIsTarget),
        Home::Elsewhere { server } if aor.bytes().iter().any(u8::is_ascii_control) => {
            (server, Cause::EscapedControl)
        }
        Home::Elsewhere { server } if returned(&key, &lookup) => (server, Cause::Returned),
        Home::Elsewhere { server } => {
            if let Err(unread) = check_contacts(request) {
                return fault(unread);
            }
            match obstacle(settings, table, request, came, server) {
                None => return local(request, Decision::Redirect { key, server }),
                Some(cause) => (server, cause),
            }
        }
    };
    proxy_checks(settings, request).unwrap_or(Decision::Proxy { key, server, cause })
}

/// No server takes requests of this client.
fn nobody() -> Decision {
    let retry = headers::RetryAfter::from(RETRY_AFTER_S.to_string());
    refuse(Answer::new(503).with(retry), "home_unknown")
}

/// Whether a redirect to this server would name the Request-URI itself (section 8.3).
fn is_contact_of(table: &Table, server: u16, uri: &SipUri<'_>, came: &Flow) -> bool {
    table.server(server).is_some_and(|server| {
        let port = uri.port.unwrap_or(came.transport.port());
        server.contact.host.as_bytes().eq_ignore_ascii_case(uri.host)
            && server.port_for(came.transport) == Some(port)
    })
}

/// Why there can be no redirect to this server.
fn obstacle(
    settings: &Settings,
    table: &Table,
    request: &Request<'_>,
    came: &Flow,
    server: u16,
) -> Option<Cause> {
    let path = Path::of(request.message, came.peer).ok()?;
    let transport = came.transport;
    match redirect::answer(settings, table, server, request.message, &path, transport).err()? {
        NoRedirect::TooLong => Some(Cause::ReplyTooLong),
        NoRedirect::Transport => Some(Cause::NotOnStream),
        NoRedirect::Gone => None,
    }
}

/// A decision as a user agent server, which has to know what the request requires.
fn local(request: &Request<'_>, decision: Decision) -> Decision {
    extensions(request, Name::Require).unwrap_or(decision)
}

/// Section 16.3, what is left of it: Max-Forwards, loops, Proxy-Require.
fn proxy_checks(settings: &Settings, request: &Request<'_>) -> Option<Decision> {
    if request.max_forwards == Some(0) {
        return Some(refuse(Answer::new(483), "max_forwards"));
    }
    if loops::is_loop(request, settings.node_secret, &settings.listeners) {
        return Some(refuse(Answer::new(482), "loop"));
    }
    extensions(request, Name::ProxyRequire)
}

#[cfg(test)]
mod tests;
