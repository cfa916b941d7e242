//! Where a request can go (RFC 3261 sections 16.5 and 16.6): the servers of the table, the bindings
//! of a client, the next hop of a route set. Pure: it changes nothing.

use std::collections::{BTreeSet, VecDeque};

use super::{
    Core, Flow, Now, Transport,
    bindings::Binding,
    health::Health,
    proxy::{
        DATAGRAM_MAX,
        context::Target,
        hop::{self, Hop},
        record::{self, Side},
        routes::{Routes, route_uri},
    },
    requests::Place,
    resolving::Look,
    settings::Settings,
    table::{Kind, Server, Table},
};
use crate::sip::{
    lex::{self, Hides},
    params::Params,
    request::Request,
    uri::{SipUri, Uri},
    via::host_address,
};

/// What our own lines and another Request-URI may add to a request at most.
const LINES_MAX: usize = 700;

/// The ways to a binding.
#[derive(Default)]
struct Ways<'b> {
    /// Each address, the best first.
    flows: Vec<Flow>,
    /// It is reached over the flow that its client opened.
    by_flow: bool,
    /// What is left of its Path.
    path: Vec<&'b [u8]>,
}

/// Whether a server may be forwarded to without looking at the request: another one, at no address of
/// this host, that answers datagrams as far as is known.
pub(super) fn may_forward(
    settings: &Settings,
    table: &Table,
    health: &Health,
    index: u16,
    now: Now,
) -> bool {
    let other = |server: &Server| !settings.is_served(server.address);
    table.this() != Some(index)
        && table.server(index).is_some_and(other)
        && health.is_usable(index, Transport::Udp, now.mono)
}

impl Core {
    /// A home and its standby, never this host itself; and how many of the two were passed over,
    /// since they do not answer.
    pub(super) fn server_targets(
        &self,
        at: &Place,
        server: u16,
        request: &Request<'_>,
        now: Now,
    ) -> (VecDeque<Target>, u64) {
        let nothing = (VecDeque::new(), 0);
        let Some(home) = self.table.server(server) else { return nothing };
        let other = |index: &u16| {
            *index != server && self.table.this() != Some(*index) && self.table.serves(*index)
        };
        // A standby stands in for a home that can be reached from here, not for one that can't.
        if self.server_target(at, home, Transport::Udp, request).is_none() {
            return nothing;
        }
        let (mut targets, mut passed_over) = (VecDeque::new(), 0u64);
        for index in std::iter::once(server).chain(home.standby.filter(other)) {
            let Some(it) = self.table.server(index) else { continue };
            let transport = self.usable_transport(index, now);
            passed_over = passed_over.saturating_add(u64::from(transport.is_none()));
            targets.extend(transport.and_then(|by| self.server_target(at, it, by, request)));
        }
        (targets, passed_over)
    }

    /// Servers that may be forwarded to without looking at the request.
    pub fn forwards_to(&self, now: Now) -> BTreeSet<u16> {
        let Self { settings, table, health, .. } = self;
        let servers = table.servers().map(|(index, _)| index);
        servers.filter(|index| may_forward(settings, table, health, *index, now)).collect()
    }

    /// Datagrams, unless the server does not answer those: then a stream that it does answer.
    fn usable_transport(&self, server: u16, now: Now) -> Option<Transport> {
        let usable = |by: &Transport| self.health.is_usable(server, *by, now.mono);
        let streams = [Transport::Tcp, Transport::Tls].into_iter();
        let streams = streams.filter(|by| self.health.is_watched(server, *by));
        std::iter::once(Transport::Udp).chain(streams).find(usable)
    }

    fn server_target(
        &self,
        at: &Place,
        server: &Server,
        transport: Transport,
        request: &Request<'_>,
    ) -> Option<Target> {
        let hop = Hop { transport, peer: server.address_for(transport)? };
        let target = self.hop_target(at, hop, transport == Transport::Udp, request)?;
        Some(Target { uri: self.uri_at(server, request), ..target })
    }

    /// What a home is asked for where the Request-URI names a Homeward host: a client that followed a
    /// redirect puts that host there (section 8.1.3.4), and only Homeward hosts answer to each other's
    /// names. This host is responsible for it, and what it stands for is the domain's (sections 16.5
    /// and 16.6 step 2).
    fn uri_at(&self, server: &Server, request: &Request<'_>) -> Option<Box<[u8]>> {
        let (uri, to) = (request.uri.sip()?, request.to_uri.sip()?);
        let is_host = !uri.host.eq_ignore_ascii_case(to.host)
            && (self.settings.is_own(uri.host) || !self.settings.serves(uri.host));
        let is_same = uri.user.is_none() || uri.user == to.user;
        if server.kind != Kind::Foreign || !is_host || !is_same {
            return None;
        }
        let user = uri.user.map_or(Vec::new(), |user| [user, b"@"].concat());
        Some([b"sip:", &user[..], to.host].concat().into())
    }

    /// The bindings of a client: by q, then the most recent.
    pub(super) fn client_targets(
        &self,
        at: &Place,
        bindings: &[Binding],
        request: &Request<'_>,
        look: &mut Look,
    ) -> VecDeque<Target> {
        let now = look.now;
        let live = |binding: &&Binding| binding.expires_s > now.mono_s();
        let mut bindings: Vec<&Binding> = bindings.iter().filter(live).collect();
        // Of the same second the one that stands last was registered last.
        bindings.reverse();
        bindings.sort_by_key(|binding| std::cmp::Reverse((binding.q, binding.since_s)));
        let phone = |binding| bindings.iter().position(|other| is_one_phone(other, binding));
        let targets = bindings.iter().flat_map(|binding| {
            let phone = phone(binding);
            let targets = self.contact_targets(at, binding, request, look);
            targets.into_iter().map(move |target| Target { phone, ..target })
        });
        targets.collect()
    }

    /// A binding, at each address that its next hop's name leads to.
    fn contact_targets(
        &self,
        at: &Place,
        binding: &Binding,
        request: &Request<'_>,
        look: &mut Look,
    ) -> Vec<Target> {
        let path = lex::split(binding.path(), Hides::Angles).unwrap_or_default();
        let Ways { flows, by_flow, path } =
            self.contact_flows(at, binding, path, look).unwrap_or_default();
        let flows = flows.into_iter().filter(|flow| !self.settings.is_served(flow.peer));
        let target = |flow| {
            let mut lines = self.lines(at, request, &Side { flow, by_flow });
            for value in &path {
                lines.extend_from_slice(&[b"Route: ", *value, b"\r\n"].concat());
            }
            // Section 19.1.5: a Request-URI has no headers.
            let text = binding.uri().split(|byte| *byte == b'?').next().unwrap_or_default();
            Target { uri: Some(text.into()), lines: lines.into(), ..Target::plain(flow) }
        };
        flows.map(target).collect()
    }

    /// The ways to a binding.
    fn contact_flows<'b>(
        &self,
        at: &Place,
        binding: &Binding,
        mut path: Vec<&'b [u8]>,
        look: &mut Look,
    ) -> Option<Ways<'b>> {
        let uri = Uri::parse(binding.uri()).ok()?.sip();
        let own = |uri: &SipUri<'_>| self.settings.is_here(uri.host, uri.port);
        let mut flow = binding.flow();
        let mut by_flow = flow.is_some_and(|flow| match uri {
            Some(uri) => flow.transport != Transport::Udp || !leads_to(&uri, &flow),
            None => true,
        });
        if let Some(first) = path.first().copied() {
            let first = route_uri(first)?;
            if own(&first) {
                // The client's way led through this host when another was its home.
                path.remove(0);
                flow = Some(self.tokens.read(first.user?, b"")?.flow()?);
                by_flow = true;
            } else {
                return Some(Ways { flows: self.flows_to(at, &first, look), by_flow: false, path });
            }
        } else if flow.is_none() {
            let uri = uri.filter(|uri| !uri.secure && !own(uri))?;
            return Some(Ways { flows: self.flows_to(at, &uri, look), by_flow, path });
        }
        Some(Ways { flows: vec![flow?], by_flow, path })
    }

    fn flows_to(&self, at: &Place, uri: &SipUri<'_>, look: &mut Look) -> Vec<Flow> {
        let hops = self.hops(uri, look).into_iter();
        hops.filter_map(|hop| self.settings.flow_to(hop.transport, hop.peer, &at.came)).collect()
    }

    /// The next hop of a route set, else of the Request-URI (section 16.6 step 6), at each address
    /// that its name leads to.
    pub(super) fn next_targets(
        &self,
        at: &Place,
        request: &Request<'_>,
        routes: &Routes<'_>,
        look: &mut Look,
    ) -> VecDeque<Target> {
        let uri = match routes.left.first() {
            Some(value) => route_uri(value),
            None => routes.uri.sip(),
        };
        let Some(uri) = uri else { return VecDeque::new() };
        let named = uri.params().any(|(name, _)| name.eq_ignore_ascii_case(b"transport"));
        let target = |hop: Hop| {
            let free = hop.transport == Transport::Udp && !named;
            self.hop_target(at, hop, free, request)
        };
        self.hops(&uri, look).into_iter().filter_map(target).collect()
    }

    /// A flow that a token of ours names.
    pub(super) fn flow_target(&self, at: &Place, flow: Flow, request: &Request<'_>) -> Target {
        let lines = self.lines(at, request, &Side { flow, by_flow: true });
        Target { lines: lines.into(), ..Target::plain(flow) }
    }

    /// A peer that is reached by its address; `free` if the transport was not asked for.
    fn hop_target(
        &self,
        at: &Place,
        hop: Hop,
        free: bool,
        request: &Request<'_>,
    ) -> Option<Target> {
        let Hop { transport, peer } = hop;
        let flow = self.settings.flow_to(transport, peer, &at.came)?;
        if self.settings.is_served(peer) || !hop::is_sendable(peer) {
            return None;
        }
        let long = request.message.datagram().len().saturating_add(LINES_MAX) > DATAGRAM_MAX;
        // RFC 3261 section 18.1.1, where the table says that there is TCP.
        let mut servers = self.table.servers().filter(|_| free && long);
        let tcp = servers.find(|(_, server)| server.address == peer).and_then(|(_, it)| it.tcp);
        let stream = tcp.and_then(|tcp| self.settings.flow_to(Transport::Tcp, tcp, &at.came));
        let lines = self.lines(at, request, &Side { flow, by_flow: false }).into();
        Some(Target { stream, lines, ..Target::plain(flow) })
    }

    /// Path or Record-Route, where they must be.
    fn lines(&self, at: &Place, request: &Request<'_>, to: &Side) -> Vec<u8> {
        // A watcher's notifier knows no other way to it than the one that it came by.
        let watches = request.method == b"SUBSCRIBE" && request.vias.len() == 1;
        let by_flow = watches || record::needs_flow(request, &at.came);
        let from = Side { flow: at.came, by_flow };
        if request.method == b"REGISTER" {
            if from.by_flow {
                return record::path(&self.tokens, &at.came, &to.flow);
            }
        } else if record::makes_dialog(request) {
            return record::record_route(&self.tokens, request.call_id, &from, to);
        }
        Vec::new()
    }
}

/// Whether two bindings are of one phone: of one instance (RFC 5626 section 4.1).
fn is_one_phone(one: &Binding, other: &Binding) -> bool {
    fn instance(binding: &Binding) -> Option<&[u8]> {
        Params::parse(&mut lex::Cursor::new(binding.params()))?.value("+sip.instance")
    }
    let (a, b) = (instance(one), instance(other));
    std::ptr::eq(one, other) || a.is_some_and(|a| b.is_some_and(|b| a.eq_ignore_ascii_case(b)))
}

/// Whether a binding's contact leads where its flow does, by datagrams: then it is reached without.
pub(super) fn leads(binding: &Binding, flow: &Flow) -> bool {
    let uri = Uri::parse(binding.uri()).ok().and_then(Uri::sip);
    flow.transport == Transport::Udp && uri.is_some_and(|uri| leads_to(&uri, flow))
}

/// Whether a URI leads where a flow does.
fn leads_to(uri: &SipUri<'_>, flow: &Flow) -> bool {
    let port = uri.port.unwrap_or(crate::sip::via::PORT_DEFAULT);
    host_address(uri.host) == Some(flow.peer.ip().to_canonical()) && port == flow.peer.port()
}

/// Whether a Contact's URI is its sender itself, so that it is reached over the flow of its request:
/// directly sent, and named by what the sender takes for its address, or by what it was seen as.
pub(super) fn is_sender(request: &Request<'_>, contact: &[u8], came: &Flow) -> bool {
    if request.vias.len() != 1 {
        return false;
    }
    Uri::parse(contact).ok().and_then(Uri::sip).is_some_and(|uri| {
        uri.host.eq_ignore_ascii_case(request.top.host)
            || host_address(uri.host).is_some_and(|ip| ip == came.peer.ip().to_canonical())
            || uri.host.to_ascii_lowercase().ends_with(b".invalid")
    })
}
