//! The network: how long what is sent takes, and what never comes.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use fastrand::Rng;

/// Somebody who sends and receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Node {
    /// A host, by its number.
    Host(usize),
    /// The shared store.
    Store,
    /// All clients.
    Clients,
}

/// How datagrams fare.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// The usual time of travel; some take many times as long, and overtake nobody.
    pub delay: Duration,
    /// One of so many is late by up to a second.
    pub late: u32,
    /// Percent that are lost.
    pub lost: u8,
    /// Percent that come twice.
    pub twice: u8,
}

impl Weather {
    /// Nothing is lost.
    pub const CALM: Self =
        Self { delay: Duration::from_millis(10), late: 1_000, lost: 0, twice: 0 };
}

/// Ways that are cut, and the weather on the others.
pub struct Network {
    /// How datagrams fare.
    pub weather: Weather,
    cuts: BTreeSet<(Node, Node)>,
}

impl Default for Network {
    fn default() -> Self {
        Self { weather: Weather::CALM, cuts: BTreeSet::new() }
    }
}

impl Network {
    /// Cuts a way, or joins it again.
    pub fn cut(&mut self, one: Node, other: Node, is_cut: bool) {
        let way = (one.min(other), one.max(other));
        if is_cut {
            self.cuts.insert(way)
        } else {
            self.cuts.remove(&way)
        };
    }

    /// Joins all ways again.
    pub fn heal(&mut self) {
        self.cuts.clear();
        self.weather = Weather::CALM;
    }

    /// Whether there is a way.
    pub fn joins(&self, one: Node, other: Node) -> bool {
        !self.cuts.contains(&(one.min(other), one.max(other)))
    }

    /// How long a message of a connection takes.
    pub fn delay(&self, rng: &mut Rng) -> Duration {
        let weather = &self.weather;
        let usual = weather.delay.mul_f64(0.2 + 1.6 * rng.f64());
        if rng.u32(..weather.late) == 0 {
            usual + Duration::from_millis(rng.u64(..1_000))
        } else {
            usual
        }
    }

    /// When the copies of a datagram arrive; none if it is lost.
    pub fn datagram(&self, one: Node, other: Node, rng: &mut Rng) -> Vec<Duration> {
        if !self.joins(one, other) || rng.u8(..100) < self.weather.lost {
            return Vec::new();
        }
        let copies = 1 + usize::from(rng.u8(..100) < self.weather.twice);
        (0..copies).map(|_| self.delay(rng)).collect()
    }
}

/// The address of a host, by its number.
pub fn host_address(host: usize) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, host as u8 + 1], 5060))
}

/// The address of a client, by its number.
pub fn client_address(client: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, (client >> 8) as u8, client as u8], 5060))
}

/// Who has an address.
pub fn node(address: SocketAddr) -> Option<(Node, usize)> {
    let SocketAddr::V4(address) = address else { return None };
    match address.ip().octets() {
        [192, 0, 2, host] => {
            let host = usize::from(host).checked_sub(1)?;
            Some((Node::Host(host), host))
        }
        [10, 0, high, low] => Some((Node::Clients, usize::from(high) << 8 | usize::from(low))),
        _ => None,
    }
}
