//! What becomes of a request that is no REGISTER: the same rule of the home, and routing (RFC 3261
//! sections 16.3 to 16.5).
//!
//! Whom a request is for stands in the Request-URI. Where the home is elsewhere, a watcher or a
//! publisher that reached us directly is redirected; everything else is proxied. Where it is here,
//! this host answers those two itself. Relaying to
//! somebody who is no client of ours needs a token of ours in the route set.

use sip_common::abi::ClientKey;

use super::{
    Cause, Decision, fault, is_contact_of, is_ours, local, nobody, obstacle, options, proxy_checks,
    refuse,
};
use crate::{
    core::{
        io::Flow,
        proxy::routes::{Routes, route_uri},
        settings::Settings,
        table::{Home, Lookup, Table},
    },
    sip::{answer::Answer, aor::Aor, fault::Fault, request::Request, typed, uri::SipUri},
};

pub(super) fn decide(
    settings: &Settings,
    table: &Table,
    request: &Request<'_>,
    routes: &Routes<'_>,
    came: &Flow,
    returned: impl FnOnce(&ClientKey, &Lookup) -> bool,
) -> Decision {
    let checked = |decision| proxy_checks(settings, request).unwrap_or(decision);
    if routes.flow_failed {
        // RFC 5626 section 5.3.1.
        return refuse(Answer::new(430), "flow_failed");
    }
    if let Some(flow) = routes.flow {
        return checked(Decision::Flow { flow });
    }
    if !routes.left.is_empty() {
        return if may_follow(settings, table, routes, came) {
            checked(Decision::Follow)
        } else {
            refuse(Answer::new(403).phrase("Route Not Allowed"), "route_foreign")
        };
    }
    let Some(uri) = routes.uri.sip().filter(|uri| !uri.secure) else {
        return fault(Fault::Scheme);
    };
    if !is_ours(settings, table, request, uri.host) {
        return if routes.authorised {
            checked(Decision::Follow)
        } else {
            refuse(Answer::new(404).phrase("Domain Not Served"), "uri_domain")
        };
    }
    if uri.user.is_none() {
        return this_host(request);
    }
    let Some(aor) = aor_of(settings, request, &uri) else {
        return refuse(Answer::new(404), "not_this_host");
    };
    let key = aor.key(table.meta().client_secret);
    let lookup = table.lookup(&key);
    match lookup.home {
        Home::Here => at_home(settings, request, key, aor),
        Home::Moving { server } if table.this() == Some(server) => {
            at_home(settings, request, key, aor)
        }
        Home::Unknown => nobody(),
        Home::Moving { server } => checked(Decision::Proxy { key, server, cause: Cause::Moving }),
        Home::Elsewhere { server } => {
            let watched = Watched { key, lookup, server, uri, aor };
            match why_not_redirected(settings, table, request, came, &watched, returned) {
                Some(cause) => checked(Decision::Proxy { key, server, cause }),
                None => Decision::Redirect { key, server },
            }
        }
    }
}

/// For a client at home here: what asks for its state is answered by this host, all else is for its
/// phones.
fn at_home(settings: &Settings, request: &Request<'_>, key: ClientKey, aor: Aor) -> Decision {
    match request.method {
        b"SUBSCRIBE" => local(request, Decision::Subscribe { client: Some((key, aor)) }),
        b"PUBLISH" => local(request, Decision::Publish { key, aor }),
        _ => proxy_checks(settings, request).unwrap_or(Decision::Deliver { key }),
    }
}

/// Section 8.2.1: what this host itself answers to. The Contact of its subscriptions is the host.
fn this_host(request: &Request<'_>) -> Decision {
    match request.method {
        b"OPTIONS" => options(request),
        b"SUBSCRIBE" if request.to.tag().is_some() => {
            local(request, Decision::Subscribe { client: None })
        }
        b"SUBSCRIBE" | b"PUBLISH" => refuse(Answer::new(404), "not_this_host"),
        method if typed::method(method).is_some() => {
            refuse(Answer::new(405).with(typed::allow()), "method_not_allowed")
        }
        _ => refuse(Answer::new(501).with(typed::allow()), "method_unknown"),
    }
}

/// Whether a request may go to the next hop of its route set: this host wrote part of it, or an
/// edge proxy sent it, or it goes to a server of the table.
fn may_follow(settings: &Settings, table: &Table, routes: &Routes<'_>, came: &Flow) -> bool {
    let next = routes.left.first().and_then(|value| route_uri(value));
    let hop = next.and_then(|uri| crate::core::proxy::hop::of(&uri, table));
    routes.authorised
        || (settings.sources)(came.peer.ip().to_canonical()).edge
        || hop.is_some_and(|hop| {
            table.servers().any(|(_, server)| server.address_for(hop.transport) == Some(hop.peer))
        })
}

/// The client that a Request-URI means. A redirected client writes the home's own name there: then
/// To still has its domain, or there is but one.
fn aor_of(settings: &Settings, request: &Request<'_>, uri: &SipUri<'_>) -> Option<Aor> {
    if settings.serves(uri.host) {
        return Aor::of(uri);
    }
    let to = request.to_uri.sip().filter(|to| to.user == uri.user && settings.serves(to.host));
    let domain = match (to, settings.domains.as_slice()) {
        (Some(to), _) => to.host,
        (None, [only]) => only.as_bytes(),
        (None, _) => return None,
    };
    Aor::of(&SipUri { host: domain, ..*uri })
}

/// A client that somebody wants something of.
struct Watched<'m> {
    key: ClientKey,
    lookup: Lookup,
    server: u16,
    uri: SipUri<'m>,
    aor: Aor,
}

/// Why a request is proxied to the home and not redirected; `None` if it is redirected.
fn why_not_redirected(
    settings: &Settings,
    table: &Table,
    request: &Request<'_>,
    came: &Flow,
    watched: &Watched<'_>,
    returned: impl FnOnce(&ClientKey, &Lookup) -> bool,
) -> Option<Cause> {
    let from = (settings.sources)(came.peer.ip().to_canonical());
    if !matches!(request.method, b"SUBSCRIBE" | b"PUBLISH") || request.to.tag().is_some() {
        Some(Cause::Method)
    } else if request.vias.len() > 1 {
        Some(Cause::ManyVias)
    } else if from.edge {
        Some(Cause::SourceEdge)
    } else if !from.direct {
        Some(Cause::SourceNotDirect)
    } else if watched.lookup.no_redirect && request.method == b"PUBLISH" {
        // What is known of the client says nothing about those who watch it.
        Some(Cause::NoRedirect)
    } else if settings.never_redirects(request) {
        Some(Cause::UserAgent)
    } else if is_contact_of(table, watched.server, &watched.uri, came) {
        Some(Cause::HomeIsTarget)
    } else if watched.aor.bytes().iter().any(u8::is_ascii_control) {
        Some(Cause::EscapedControl)
    } else if returned(&watcher(watched.key), &watched.lookup) {
        Some(Cause::Returned)
    } else {
        obstacle(settings, table, request, came, watched.server)
    }
}

/// Watchers of a client are remembered apart from the client itself.
const fn watcher(key: ClientKey) -> ClientKey {
    let [low, high] = key.0;
    ClientKey([low ^ 0x7761_7463_6865_7273, high])
}
