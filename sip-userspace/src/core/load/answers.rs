//! How long servers take to answer what is proxied to them, and how often they do not: all that is
//! known of the load of a foreign home beside what it is sent.
//!
//! Of one window, and of the last in which anything was sent where the newest has nothing.
//! Bounded by the servers of the table. Deliberately absent: whether a server is up (`health`).

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

use hdrhistogram::Histogram;

use super::figures::AnswerFigures;
use crate::core::{Flow, Transport, health::Told, table::Table};

/// Longest time that is told apart, in microseconds: timer F.
const MAX_US: u64 = 32_000_000;
/// Digits of a time that count.
const DIGITS: u8 = 2;

/// Answers of one server.
#[derive(Debug)]
struct Answers {
    times: Option<Histogram<u32>>,
    failed: u32,
    last: Option<AnswerFigures>,
}

/// Answers by server.
#[derive(Debug, Default)]
pub struct ByServer {
    servers: BTreeMap<u16, Answers>,
    peers: BTreeSet<(Transport, SocketAddr, u16)>,
}

impl ByServer {
    /// Takes over where servers are; what is known of one stays while it is in the table.
    pub fn follow(&mut self, table: &Table) {
        let others = table.servers().filter(|(index, _)| table.this() != Some(*index));
        let peers = others.flat_map(|(index, server)| {
            let transports = [Transport::Udp, Transport::Tcp, Transport::Tls].into_iter();
            transports.filter_map(move |by| Some((by, server.address_for(by)?, index)))
        });
        self.peers = peers.collect();
        self.servers.retain(|index, _| table.server(*index).is_some());
    }

    /// What became of a request that went over this flow, and after which time.
    pub fn told(&mut self, flow: &Flow, told: Told, took: Option<Duration>) {
        let all = (flow.transport, flow.peer, u16::MIN)..=(flow.transport, flow.peer, u16::MAX);
        for (_, _, index) in self.peers.range(all) {
            let new = || Answers {
                times: Histogram::new_with_max(MAX_US, DIGITS).ok(),
                failed: 0,
                last: None,
            };
            let server = self.servers.entry(*index).or_insert_with(new);
            match (told, took, &mut server.times) {
                (Told::Answered, Some(took), Some(times)) => {
                    times.saturating_record(took.as_micros().try_into().unwrap_or(u64::MAX));
                }
                (Told::Answered, ..) => {}
                _ => server.failed = server.failed.saturating_add(1),
            }
        }
    }

    /// Ends a window.
    pub fn close(&mut self) {
        for server in self.servers.values_mut() {
            let Some(times) = &mut server.times else { continue };
            if times.is_empty() && server.failed == 0 {
                continue;
            }
            let at_ms = |quantile| times.value_at_quantile(quantile) as f32 / 1e3;
            server.last = Some(AnswerFigures {
                answered: times.len().try_into().unwrap_or(u32::MAX),
                failed: std::mem::take(&mut server.failed),
                p50_ms: at_ms(0.5),
                p99_ms: at_ms(0.99),
            });
            times.reset();
        }
    }

    /// The last window with something in it.
    pub fn get(&self, server: u16) -> Option<AnswerFigures> {
        self.servers.get(&server)?.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::tests::{CLIENT, EDGE, HOME, addr, table};

    #[test]
    fn answers_count_for_the_server_at_the_address_window_by_window() {
        let mut answers = ByServer::default();
        answers.follow(&table("edge", Some(1)));
        let to = |peer| Flow::udp(addr(EDGE), addr(peer));
        for ms in 1..=100 {
            answers.told(&to(HOME), Told::Answered, Some(Duration::from_millis(ms)));
        }
        answers.told(&to(HOME), Told::Answered, None);
        answers.told(&to(HOME), Told::Silence, None);
        answers.told(&to(HOME), Told::Refused { retry_after: None }, None);
        answers.told(&to(CLIENT), Told::Answered, Some(Duration::from_secs(9)));
        assert_eq!(answers.get(1), None, "the window has not ended");
        answers.close();
        let found = answers.get(1).unwrap();
        assert_eq!((found.answered, found.failed), (100, 2));
        assert!(
            (found.p50_ms - 50.0).abs() < 1.0 && (found.p99_ms - 99.0).abs() < 1.5,
            "{found:?}"
        );
        answers.close();
        assert_eq!(answers.get(1), Some(found), "a silent window says nothing");
        answers.told(&to(HOME), Told::Silence, None);
        answers.close();
        assert_eq!(answers.get(1).map(|it| (it.answered, it.failed)), Some((0, 1)));
        assert_eq!((answers.get(0), answers.servers.len()), (None, 1));
    }
}
