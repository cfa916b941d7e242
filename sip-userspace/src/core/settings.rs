//! What the core must be told once, checked by the configuration before.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use sip_common::siphash::Key;

use super::auth::Rules;
use super::health;
use super::io::{Flow, Transport};
use super::load;
use super::subscriptions;
use crate::sip::{
    header::Name,
    request::Request,
    via::{PORT_DEFAULT, PORT_TLS, host_address},
};

/// What the source prefixes say about an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// An edge proxy: its requests are always proxied.
    pub edge: bool,
    /// Its requests may be redirected (`direct_sources`, true where none are set).
    pub direct: bool,
}

impl Default for Source {
    fn default() -> Self {
        Self { edge: false, direct: true }
    }
}

/// Looks a source address up among the configured prefixes.
pub type SourceRule = Box<dyn Fn(IpAddr) -> Source + Send + Sync>;

/// Timer values of RFC 3261 section 17.1.1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    /// Round trip estimate.
    pub t1: Duration,
    /// Longest interval between retransmissions.
    pub t2: Duration,
    /// How long a message stays in the network.
    pub t4: Duration,
}

impl Timers {
    /// Timers F and J: 64*T1.
    pub fn give_up(&self) -> Duration {
        self.t1.saturating_mul(64)
    }

    /// When a client's timer E reaches T2: a request that is not answered by then is answered
    /// with a 100 (RFC 4320 section 4.1).
    pub fn late(&self) -> Duration {
        let (mut sum, mut interval) = (Duration::ZERO, self.t1);
        // T1 is not 0, but a configuration may say so.
        while interval < self.t2 && !interval.is_zero() {
            sum = sum.saturating_add(interval);
            interval = interval.saturating_mul(2);
        }
        sum
    }
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            t1: Duration::from_millis(500),
            t2: Duration::from_secs(4),
            t4: Duration::from_secs(5),
        }
    }
}

/// What the core may hold at a time. What is beyond is shed and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Server transactions; a completed one holds its answer, about 700 bytes.
    pub transactions: usize,
    /// Bytes of all answers that are held.
    pub answer_bytes: usize,
    /// Requests that are being proxied; each takes about three times its length.
    pub forwards: usize,
    /// Bytes of all messages that are held for them.
    pub forward_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            transactions: 1 << 20,
            answer_bytes: 1 << 30,
            forwards: 65_536,
            forward_bytes: 1 << 28,
        }
    }
}

/// The core's settings.
pub struct Settings {
    /// Domains of clients, in lower case.
    pub domains: Vec<String>,
    /// Every domain is served: for `explain --assume-redirect`.
    pub any_domain: bool,
    /// Names and addresses of this host that may stand in a Request-URI beside the domains, in
    /// lower case, IPv6 addresses with or without brackets.
    pub own_names: Vec<String>,
    /// Served UDP addresses.
    pub listeners: Vec<SocketAddr>,
    /// Served addresses of streams. A connection that this host opens is named by the one of its
    /// transport and family, which stands in the Via and in the flow's `local`.
    pub streams: Vec<(Transport, SocketAddr)>,
    /// Forward without state (section 16.11): no retransmission, no second home.
    pub stateless: bool,
    /// What may be held at a time.
    pub limits: Limits,
    /// Granted where a client names no expiry, in seconds.
    pub expires_default_s: u32,
    /// A shorter expiry is refused with 423, in seconds.
    pub expires_min_s: u32,
    /// A longer expiry is granted as this one, in seconds.
    pub expires_max_s: u32,
    /// REGISTERs of clients at home here that are taken in a second; 0 for no limit.
    pub register_rate: u32,
    /// Contacts of one client.
    pub contacts_max: usize,
    /// Bindings of all clients.
    pub bindings_max: usize,
    /// Lifetime of a redirect's Contact, in seconds.
    pub redirect_expires_s: u32,
    /// How long a redirect is remembered (I7), in seconds.
    pub redirect_memory_s: u32,
    /// Beginnings of User-Agent whose clients are not redirected.
    pub redirect_never: Vec<String>,
    /// Whether homes can be asked about their clients.
    pub asks_homes: bool,
    /// How long a home may be silent before its standby is tried too.
    pub home_patience: Duration,
    /// How long a contact may be silent before the next one is tried.
    pub contact_patience: Duration,
    /// Timer C: how long an INVITE may ring (section 16.6 step 11: above three minutes).
    pub timer_c: Duration,
    /// Timers of transactions.
    pub timers: Timers,
    /// This host's secret for branches, tags and transaction keys.
    pub node_secret: Key,
    /// The text of Server header fields; none if empty.
    pub server: String,
    /// What the source prefixes say.
    pub sources: SourceRule,
    /// URIs of the Service-Route of a 200; none mostly.
    pub service_route: Vec<String>,
    /// Seconds after which a client's flow is given up without a sign of life, as it is told (RFC
    /// 5626 section 5.4); 0 if it is not.
    pub flow_timer_s: u32,
    /// An answer that says that something is bound waits until it is kept.
    pub durable: bool,
    /// How clients are authenticated; nobody is without it.
    pub auth: Option<Rules>,
    /// How servers are probed; none is without it.
    pub probe: Option<health::Rules>,
    /// What watchers and publishers may do.
    pub subscriptions: subscriptions::Rules,
    /// Names of next hops are looked up in the DNS.
    pub dns: bool,
    /// How load is measured.
    pub load: load::Rules,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            domains: Vec::new(),
            any_domain: false,
            own_names: Vec::new(),
            listeners: Vec::new(),
            streams: Vec::new(),
            stateless: false,
            limits: Limits::default(),
            expires_default_s: 600,
            expires_min_s: 60,
            expires_max_s: 600,
            register_rate: 0,
            contacts_max: 10,
            bindings_max: 20_000_000,
            redirect_expires_s: 120,
            redirect_memory_s: 600,
            redirect_never: Vec::new(),
            asks_homes: false,
            home_patience: Duration::from_secs(4),
            contact_patience: Duration::from_secs(8),
            timer_c: Duration::from_secs(181),
            timers: Timers::default(),
            node_secret: Key::default(),
            server: String::new(),
            sources: Box::new(|_| Source::default()),
            service_route: Vec::new(),
            flow_timer_s: 120,
            durable: false,
            auth: None,
            probe: None,
            subscriptions: subscriptions::Rules::default(),
            dns: false,
            load: load::Rules::default(),
        }
    }
}

impl fmt::Debug for Settings {
    /// Leaves the secret out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("domains", &self.domains)
            .field("own_names", &self.own_names)
            .field("listeners", &self.listeners)
            .finish_non_exhaustive()
    }
}

impl Settings {
    /// Whether clients of this host name are ours.
    pub fn serves(&self, host: &[u8]) -> bool {
        self.any_domain
            || self.domains.iter().any(|domain| domain.as_bytes().eq_ignore_ascii_case(host))
    }

    /// Whether the client that sent this is of a software that is not redirected.
    pub fn never_redirects(&self, request: &Request<'_>) -> bool {
        let agent = request.message.first(Name::UserAgent).unwrap_or_default();
        self.redirect_never.iter().any(|name| agent.starts_with(name.as_bytes()))
    }

    /// Whether this host name may stand in a Request-URI.
    pub fn is_target(&self, host: &[u8]) -> bool {
        self.serves(host) || self.is_own(host)
    }

    /// Whether a URI's host and port are this host's.
    pub fn is_here(&self, host: &[u8], port: Option<u16>) -> bool {
        self.is_own(host) && self.is_port(port)
    }

    /// Whether a Route value stands for this host (section 16.4): it does too where a client has the
    /// served domain for its outbound proxy.
    pub fn is_route(&self, host: &[u8], port: Option<u16>) -> bool {
        let named = |domain: &String| domain.as_bytes().eq_ignore_ascii_case(host);
        // The domain's own records may lead to a port that is not served here, so none says nothing.
        let domain = self.domains.iter().any(named) && (port.is_none() || self.is_port(port));
        domain || self.is_here(host, port)
    }

    fn is_port(&self, port: Option<u16>) -> bool {
        let served = |port: u16| self.addresses().any(|own| own.port() == port);
        match port {
            _ if self.addresses().next().is_none() => true,
            Some(port) => served(port),
            // Without a port the name stands for every transport with the port of its own.
            None => served(PORT_DEFAULT) || served(PORT_TLS),
        }
    }

    /// Whether an address is one that this host serves.
    pub fn is_served(&self, address: SocketAddr) -> bool {
        self.addresses().any(|own| own == address)
    }

    fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.listeners.iter().copied().chain(self.streams.iter().map(|(_, own)| *own))
    }

    /// Whether a host name or address is this host's, whatever the port.
    pub fn is_own(&self, host: &[u8]) -> bool {
        let address = host_address(host);
        self.own_names.iter().any(|name| {
            name.as_bytes().eq_ignore_ascii_case(host)
                || address.is_some() && host_address(name.as_bytes()) == address
        }) || self.addresses().any(|own| address == Some(own.ip().to_canonical()))
    }

    /// The served address to send datagrams from, best the one that a request came to.
    fn local_for(&self, to: SocketAddr, came_to: SocketAddr) -> Option<SocketAddr> {
        let fits = |local: &&SocketAddr| local.is_ipv4() == to.is_ipv4();
        let mut fitting = self.listeners.iter().filter(fits);
        let same = |local: &&SocketAddr| **local == came_to;
        let near = |local: &&SocketAddr| local.ip() == came_to.ip();
        let best = fitting.clone().find(same).or_else(|| fitting.clone().find(near));
        best.or_else(|| fitting.next()).copied()
    }

    /// The flow for a request to a peer: from the served address of that transport, best the one
    /// that the request came to. `None` if no served address fits.
    pub fn flow_to(&self, transport: Transport, peer: SocketAddr, came: &Flow) -> Option<Flow> {
        let fits = |local: &SocketAddr| local.is_ipv4() == peer.is_ipv4();
        let came_to = Some(came.local).filter(|_| came.transport == transport).filter(fits);
        let local = match transport {
            Transport::Udp => self.local_for(peer, came.local),
            Transport::Tcp | Transport::Tls => came_to.or_else(|| {
                let mut own = self.streams.iter().filter(|(own, _)| *own == transport);
                own.find(|(_, local)| fits(local)).map(|(_, local)| *local)
            }),
        };
        local.map(|local| Flow { transport, local, peer, connection: 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_names_and_addresses_may_stand_in_a_request_uri() {
        let settings = Settings {
            domains: vec!["example.com".into()],
            own_names: vec!["edge1.example.net".into(), "2001:db8::1".into()],
            listeners: vec!["192.0.2.1:5070".parse().unwrap()],
            ..Settings::default()
        };
        for (host, target, serves) in [
            ("EXAMPLE.com", true, true),
            ("edge1.example.net", true, false),
            ("[2001:DB8:0::1]", true, false),
            ("192.0.2.1", true, false),
            ("192.0.2.2", false, false),
            ("example.org", false, false),
        ] {
            assert_eq!(settings.is_target(host.as_bytes()), target, "{host}");
            assert_eq!(settings.serves(host.as_bytes()), serves, "{host}");
        }
        assert!(settings.is_here(b"192.0.2.1", Some(5070)));
        assert!(!settings.is_here(b"192.0.2.1", None));
        assert!(!settings.is_here(b"example.com", Some(5070)));
        for (port, is_route) in [(None, true), (Some(5070), true), (Some(5060), false)] {
            assert_eq!(settings.is_route(b"Example.com", port), is_route, "{port:?}");
        }
        assert!(!settings.is_route(b"example.net", None));
    }
}
