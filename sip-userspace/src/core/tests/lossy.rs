//! What holds whatever the network does to datagrams, and whatever they hold.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// A network between two hosts and a proxy that loses and doubles datagrams as `fate` says.
struct Network {
    hosts: BTreeMap<SocketAddr, Core>,
    /// (due in ms, serial), so that the order is the same in every run.
    wire: BTreeMap<(u64, u64), (SocketAddr, SocketAddr, Vec<u8>)>,
    serial: u64,
    fate: Vec<u8>,
}

impl Network {
    fn put(&mut self, ms: u64, from: SocketAddr, to: SocketAddr, payload: Vec<u8>) {
        let fate = self.fate.get(self.serial as usize).copied().unwrap_or(2);
        // 0 loses it, 1 doubles it with delays, anything else delivers it.
        for copy in 0..[0, 2, 1][usize::from(fate.min(2))] {
            self.serial += 1;
            let due = ms + 10 + 35 * copy;
            self.wire.insert((due, self.serial), (from, to, payload.clone()));
        }
        self.serial += 1;
    }

    fn run(&mut self, until_ms: u64) -> Vec<Vec<u8>> {
        let mut arrived = Vec::new();
        for ms in 0..until_ms {
            while let Some(entry) = self.wire.first_entry().filter(|entry| entry.key().0 <= ms) {
                let (from, to, payload) = entry.remove();
                let Some(host) = self.hosts.get_mut(&to) else {
                    arrived.push(payload);
                    continue;
                };
                let mut out = Vec::new();
                let packet = Packet::udp(from, to, &payload);
                host.handle_packet(at(ms), &packet, &mut out);
                self.send(ms, out);
            }
            let due: Vec<SocketAddr> = self.hosts.keys().copied().collect();
            for address in due {
                let host = self.hosts.get_mut(&address).unwrap();
                let mut out = Vec::new();
                if host.poll_timeout().is_some_and(|due| due <= at(ms).mono) {
                    host.handle_timeout(at(ms), &mut out);
                }
                self.send(ms, out);
            }
        }
        arrived
    }

    fn send(&mut self, ms: u64, out: Vec<Output>) {
        for output in out {
            if let Output::Send { flow: Flow { local, peer: to, .. }, payload } = output {
                self.put(ms, local, to, payload);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever is lost and doubled at first: the client is registered once, at its home, and all
    /// answers that its proxy gets are the same.
    #[test]
    fn a_proxied_registration_survives_loss_and_doubling(fate in proptest::collection::vec(0u8..3, 0..14)) {
        let hosts = [(EDGE, core("edge", EDGE, 1)), (HOME, core("home", HOME, 1)), (STANDBY, core("standby", STANDBY, 1))];
        let hosts = hosts.into_iter().map(|(address, core)| (addr(address), core)).collect();
        let mut network = Network { hosts, wire: BTreeMap::new(), serial: 0, fate };
        // The proxy retransmits by timer E.
        for ms in [0, 500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500] {
            network.serial += 1;
            network.wire.insert((ms, network.serial), (addr(PROXY), addr(EDGE), forwarded(1)));
        }
        let mut arrived = network.run(30_000);
        arrived.retain(|answer| !answer.starts_with(b"SIP/2.0 100 "));
        prop_assert!(!arrived.is_empty());
        arrived.dedup();
        prop_assert_eq!(arrived.len(), 1, "all answers are the same");
        prop_assert_eq!(status(&String::from_utf8_lossy(&arrived[0])), 200);
        prop_assert_eq!(network.hosts[&addr(HOME)].bindings().len(), 1);
        prop_assert_eq!(network.hosts[&addr(HOME)].counters().registered, 1);
        prop_assert!(network.hosts[&addr(EDGE)].bindings().is_empty());
        prop_assert!(network.hosts[&addr(STANDBY)].bindings().is_empty());
    }

    #[test]
    fn no_datagram_makes_the_core_panic(bytes: Vec<u8>, cut in 0usize..600, at_byte in 0usize..600, byte: u8) {
        let mut edge = core("edge", EDGE, 1);
        take(&mut edge, 0, CLIENT, EDGE, &bytes);
        for mut text in [forwarded(1), direct(1)] {
            if let Some(place) = text.get_mut(at_byte) {
                *place = byte;
            }
            text.truncate(cut.max(20));
            for output in take(&mut edge, 1, CLIENT, EDGE, &text) {
                if let Output::Send { flow: Flow { peer: to, .. }, payload } = output {
                    let fault = Message::parse(&payload).map(|message| message.fault);
                    prop_assert_eq!(fault, Ok(None), "{}", String::from_utf8_lossy(&payload));
                    prop_assert!(to.ip() == addr(CLIENT).ip() || to == addr(HOME));
                }
            }
        }
    }
}
