//! Questions to the DNS, each on a task of its own; what is done with the answers is the core's.
//!
//! The core asks no more than a few hundred at a time, and keeps the answers: nothing is cached here.

use std::net::{IpAddr, SocketAddr};

use hickory_resolver::{
    TokioResolver,
    config::{NameServerConfig, ResolverConfig},
    lookup::Lookup,
    net::{DnsError, NetError, runtime::TokioRuntimeProvider},
    proto::{
        op::ResponseCode,
        rr::{Name, RData, RecordType},
    },
};
use tokio::{sync::mpsc, time::timeout};

use super::Host;
use crate::{
    config::Dns,
    core::{
        Output,
        names::{Answered, Kind, Question, Record, WAIT},
    },
    net::clock,
};

/// Answers that are taken before all else gets its turn.
const TURN: usize = 64;

/// The way to the DNS.
pub(super) struct Resolver {
    resolver: Option<TokioResolver>,
    /// Unbounded, but the core asks for no more than it has room for.
    pub(super) answers: mpsc::UnboundedReceiver<(Question, Answered)>,
    answers_in: mpsc::UnboundedSender<(Question, Answered)>,
}

impl Resolver {
    /// By the host's own servers, or by these.
    ///
    /// # Errors
    /// If these servers can't be used.
    pub(super) fn open(dns: &Dns) -> Result<Self, NetError> {
        let (answers_in, answers) = mpsc::unbounded_channel();
        let resolver = match dns {
            Dns::Off => None,
            // A host need not have any: then names lead nowhere, as with `dns.mode = "off"`.
            Dns::System => TokioResolver::builder_tokio()
                .and_then(build)
                .inspect_err(|error| {
                    tracing::warn!(%error, "no names of next hops are looked up: the host names no name servers; correct /etc/resolv.conf, or set dns.servers");
                })
                .ok(),
            Dns::Servers(servers) => {
                let servers = servers.iter().map(|at| server(*at)).collect();
                let config = ResolverConfig::from_name_servers(servers);
                let provider = TokioRuntimeProvider::default();
                Some(build(TokioResolver::builder_with_config(config, provider))?)
            }
        };
        Ok(Self { resolver, answers, answers_in })
    }

    /// Asks; the answer comes by `answers`.
    pub(super) fn ask(&self, question: Question) {
        let (resolver, answers) = (self.resolver.clone(), self.answers_in.clone());
        tokio::spawn(async move {
            let answered = match resolver {
                Some(resolver) => look_up(&resolver, &question).await,
                None => Answered::Failed,
            };
            // A driver that has stopped wants no answer.
            let _ = answers.send((question, answered));
        });
    }
}

fn server(at: SocketAddr) -> NameServerConfig {
    let mut server = NameServerConfig::udp_and_tcp(at.ip());
    server.connections.iter_mut().for_each(|connection| connection.port = at.port());
    server
}

fn build(
    mut builder: hickory_resolver::ResolverBuilder<TokioRuntimeProvider>,
) -> Result<TokioResolver, NetError> {
    let options = builder.options_mut();
    options.cache_size = 0;
    // Two tries within the patience of who waits.
    (options.timeout, options.attempts) = (WAIT * 2 / 5, 2);
    builder.build()
}

async fn look_up(resolver: &TokioResolver, question: &Question) -> Answered {
    // With the last dot: no search list.
    let Ok(name) = Name::from_ascii(format!("{}.", question.name)) else {
        return Answered::Records { records: Vec::new(), ttl_s: u32::MAX };
    };
    let kind = match question.kind {
        Kind::Naptr => RecordType::NAPTR,
        Kind::Srv => RecordType::SRV,
        Kind::V4 => RecordType::A,
        Kind::V6 => RecordType::AAAA,
    };
    match timeout(WAIT, resolver.lookup(name, kind)).await {
        Ok(Ok(lookup)) => read(&lookup),
        Ok(Err(NetError::Dns(DnsError::NoRecordsFound(nothing))))
            if matches!(nothing.response_code, ResponseCode::NoError | ResponseCode::NXDomain) =>
        {
            let ttl_s = nothing.negative_ttl.unwrap_or_default();
            Answered::Records { records: Vec::new(), ttl_s }
        }
        Ok(Err(error)) => {
            tracing::debug!(name = question.name, %error, "the DNS gives no answer");
            Answered::Failed
        }
        Err(_) => Answered::Failed,
    }
}

fn read(lookup: &Lookup) -> Answered {
    let answers = lookup.answers();
    let ttl_s = answers.iter().map(|record| record.ttl).min().unwrap_or_default();
    let records = answers.iter().filter_map(|record| record_of(&record.data)).collect();
    Answered::Records { records, ttl_s }
}

fn record_of(data: &RData) -> Option<Record> {
    match data {
        RData::A(v4) => Some(Record::Address(IpAddr::V4(v4.0))),
        RData::AAAA(v6) => Some(Record::Address(IpAddr::V6(v6.0))),
        RData::SRV(srv) => Some(Record::Srv {
            priority: srv.priority,
            weight: srv.weight,
            port: srv.port,
            target: plain(&srv.target),
        }),
        // RFC 3263 section 4.1: the flag is s, and there is a replacement.
        RData::NAPTR(naptr) if naptr.flags.eq_ignore_ascii_case(b"s") => Some(Record::Naptr {
            order: naptr.order,
            preference: naptr.preference,
            service: String::from_utf8_lossy(&naptr.services).into_owned(),
            replacement: plain(&naptr.replacement),
        })
        .filter(|_| naptr.regexp.is_empty()),
        _ => None,
    }
}

/// A name as the core has it: lower case, no last dot.
fn plain(name: &Name) -> String {
    let mut name = name.to_ascii().to_ascii_lowercase();
    if name.ends_with('.') {
        name.pop();
    }
    name
}

impl Host {
    /// Takes an answer and some that wait behind it.
    pub(super) fn resolved(&mut self, first: (Question, Answered)) {
        let mut out: Vec<Output> = std::mem::take(&mut self.out);
        let mut next = Some(first);
        for _ in 0..TURN {
            let Some((question, answered)) = next else { break };
            self.core.handle_resolved(clock::now(), &question, answered, &mut out);
            next = self.resolver.answers.try_recv().ok();
        }
        if let Some((question, answered)) = next {
            self.core.handle_resolved(clock::now(), &question, answered, &mut out);
        }
        self.carry_out(out);
    }
}

#[cfg(test)]
mod tests;
