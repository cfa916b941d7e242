//! Where a name leads: RFC 3263, as a function of what is known of the DNS.
//!
//! What is not known is said, all of it that is wanted by now; who has asked calls again. The order
//! is that of the records: NAPTR by order and preference, SRV by priority and, within one, by a
//! lottery of the weights (RFC 2782), whose draws come from the caller, so that the same call finds
//! the same order again (RFC 3263 section 4.4).

use std::net::{IpAddr, SocketAddr};

use super::{Kind, Question, Record};
use crate::core::{io::Transport, proxy::hop::Hop};

/// Hops that a name leads to at most.
pub const HOPS_MAX: usize = 8;
/// Services of a name that are looked at.
const SERVICES_MAX: usize = 4;
/// SRV records of a service that are looked at.
const SERVERS_MAX: usize = 8;
/// Longest name (RFC 1035 section 2.3.4), with room for `_sips._tcp.`.
const NAME_MAX: usize = 253;

/// What a URI says about its next hop whose host is a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The name in lower case.
    pub host: String,
    /// The port, if one is named.
    pub port: Option<u16>,
    /// The transport, if one is named.
    pub transport: Option<Transport>,
    /// Whether it has to be TLS.
    pub secure: bool,
}

impl Wanted {
    /// The name, if it can stand in the DNS.
    pub fn new(
        host: &[u8],
        port: Option<u16>,
        transport: Option<Transport>,
        secure: bool,
    ) -> Option<Self> {
        let host = std::str::from_utf8(host).ok()?.to_ascii_lowercase();
        let host = host.strip_suffix('.').unwrap_or(&host).to_owned();
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        };
        let fits = host.len() + 11 <= NAME_MAX && host.split('.').all(label);
        fits.then_some(Self { host, port, transport, secure })
    }
}

/// What this host can do, and what it knows.
pub struct Means<'a> {
    /// Whether it speaks a transport, over IPv6 if true.
    pub speaks: &'a dyn Fn(Transport, bool) -> bool,
    /// The records of a question; `None` if it was not asked.
    pub known: &'a dyn Fn(&Question) -> Option<&'a [Record]>,
    /// A number below or equal to this one.
    pub draw: &'a mut dyn FnMut(u64) -> u64,
}

/// Where a name leads, the best first; or what has to be asked before.
///
/// # Errors
/// The questions.
pub fn locate(wanted: &Wanted, means: &mut Means<'_>) -> Result<Vec<Hop>, Vec<Question>> {
    let mut search = Search { means, missing: Vec::new(), hops: Vec::new() };
    search.run(wanted);
    let Search { missing, mut hops, .. } = search;
    if !missing.is_empty() {
        return Err(missing);
    }
    hops.truncate(HOPS_MAX);
    Ok(hops)
}

struct Search<'m, 'a> {
    means: &'m mut Means<'a>,
    missing: Vec<Question>,
    hops: Vec<Hop>,
}

impl<'a> Search<'_, 'a> {
    fn run(&mut self, wanted: &Wanted) {
        let plain = if wanted.secure { Transport::Tls } else { Transport::Udp };
        let fallback = wanted.transport.unwrap_or(plain);
        // Section 4.2: who names a port wants the host itself.
        if let Some(port) = wanted.port {
            return self.addresses(&wanted.host, port, fallback);
        }
        // Section 4.1: who names a transport wants no other.
        let services = match wanted.transport {
            Some(transport) => vec![(transport, service(transport, &wanted.host))],
            None => match self.naptr(wanted) {
                None => return,
                Some(found) if !found.is_empty() => found,
                Some(_) => {
                    let all = [Transport::Udp, Transport::Tcp, Transport::Tls].into_iter();
                    let fit = all.filter(|by| !wanted.secure || *by == Transport::Tls);
                    fit.map(|by| (by, service(by, &wanted.host))).collect()
                }
            },
        };
        let mut found = false;
        for (transport, name) in services {
            if self.speaks(transport) {
                found |= self.servers(&name, transport);
            }
        }
        // Without any SRV record the host itself, at the default port.
        if !found && self.missing.is_empty() {
            self.addresses(&wanted.host, fallback.port(), fallback);
        }
    }

    fn speaks(&self, transport: Transport) -> bool {
        [false, true].into_iter().any(|v6| (self.means.speaks)(transport, v6))
    }

    fn ask(&mut self, name: &str, kind: Kind) -> Option<&'a [Record]> {
        let question = Question { name: name.to_owned(), kind };
        let known = (self.means.known)(&question);
        if known.is_none() && !self.missing.contains(&question) {
            self.missing.push(question);
        }
        known
    }

    /// Services of the name that this host speaks, the best first; `None` if that is not known.
    fn naptr(&mut self, wanted: &Wanted) -> Option<Vec<(Transport, String)>> {
        let records = self.ask(&wanted.host, Kind::Naptr)?;
        let mut services: Vec<_> = records
            .iter()
            .filter_map(|record| {
                let Record::Naptr { order, preference, service, replacement } = record else {
                    return None;
                };
                let transport = match service.to_ascii_uppercase().as_str() {
                    "SIP+D2U" if !wanted.secure => Transport::Udp,
                    "SIP+D2T" if !wanted.secure => Transport::Tcp,
                    "SIPS+D2T" => Transport::Tls,
                    _ => return None,
                };
                Some((*order, *preference, transport, replacement.clone()))
            })
            .filter(|(_, _, transport, _)| self.speaks(*transport))
            .collect();
        services.sort_by_key(|(order, preference, ..)| (*order, *preference));
        services.truncate(SERVICES_MAX);
        Some(services.into_iter().map(|(_, _, transport, name)| (transport, name)).collect())
    }

    /// The servers of a service; whether it has any, or has said that it is not there.
    fn servers(&mut self, name: &str, transport: Transport) -> bool {
        let Some(records) = self.ask(name, Kind::Srv) else { return false };
        let servers = records.iter().filter_map(|record| match record {
            Record::Srv { priority, weight, port, target } => {
                Some((*priority, *weight, *port, target.as_str()))
            }
            _ => None,
        });
        let mut servers: Vec<_> = servers.collect();
        let any = !servers.is_empty();
        servers.sort_by_key(|(priority, ..)| *priority);
        servers.truncate(SERVERS_MAX);
        for (_, _, port, target) in lottery(servers, self.means.draw) {
            // RFC 2782: the root says that the service is not to be had.
            if !target.is_empty() && port != 0 {
                self.addresses(target, port, transport);
            }
        }
        any
    }

    fn addresses(&mut self, host: &str, port: u16, transport: Transport) {
        for (kind, v6) in [(Kind::V6, true), (Kind::V4, false)] {
            if !(self.means.speaks)(transport, v6) {
                continue;
            }
            let records = self.ask(host, kind).unwrap_or_default();
            let ips = records.iter().filter_map(|record| match record {
                Record::Address(ip) if ip.is_ipv6() == v6 => Some(*ip),
                _ => None,
            });
            let hops = ips.map(|ip: IpAddr| Hop { transport, peer: SocketAddr::new(ip, port) });
            for hop in hops.take(HOPS_MAX) {
                if !self.hops.contains(&hop) {
                    self.hops.push(hop);
                }
            }
        }
    }
}

/// The name of a service's SRV records (RFC 3263 section 4.1).
fn service(transport: Transport, host: &str) -> String {
    match transport {
        Transport::Udp => format!("_sip._udp.{host}"),
        Transport::Tcp => format!("_sip._tcp.{host}"),
        Transport::Tls => format!("_sips._tcp.{host}"),
    }
}

/// Records sorted by priority, in the order of RFC 2782's lottery.
fn lottery<'r>(
    mut left: Vec<(u16, u16, u16, &'r str)>,
    draw: &mut dyn FnMut(u64) -> u64,
) -> Vec<(u16, u16, u16, &'r str)> {
    let mut order = Vec::with_capacity(left.len());
    // Those without weight first, so that they have a small chance.
    left.sort_by_key(|(priority, weight, ..)| (*priority, *weight != 0));
    while let Some(priority) = left.first().map(|record| record.0) {
        let level = left.iter().take_while(|record| record.0 == priority);
        let total: u64 = level.map(|record| u64::from(record.1)).sum();
        let drawn = draw(total);
        let mut sum = 0;
        let won = left.iter().position(|record| {
            sum += u64::from(record.1);
            record.0 == priority && sum >= drawn
        });
        order.push(left.remove(won.unwrap_or(0)));
    }
    order
}
