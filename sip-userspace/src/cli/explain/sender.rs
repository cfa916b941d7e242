//! Where a message came from that stands in a file without its packet.
//!
//! A well-behaved client is imitated: it sends from the address and port that its top Via names.
//! Behind a name, behind an address that must never be answered, or behind one of our own, it is
//! a documentation address. So a message is not passed only because of its sender.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::world::World;
use crate::sip::{
    header::Name,
    lex::{self, Hides},
    message::Message,
    via::{PORT_DEFAULT, Via},
};

/// The source of a message.
pub(super) fn imitate(payload: &[u8], world: &World) -> SocketAddr {
    let (address, port) = top_via(payload).unwrap_or((None, PORT_DEFAULT));
    let usable = |address: &IpAddr| {
        answerable(*address)
            && !world.owns(*address)
            && world.local_for(SocketAddr::new(*address, port)).is_some()
    };
    let address = address.filter(usable).unwrap_or_else(|| documentation(world));
    SocketAddr::new(address, port)
}

/// Sent-by of the top Via, as an address if it is one, and its port.
fn top_via(payload: &[u8]) -> Option<(Option<IpAddr>, u16)> {
    let message = Message::parse(payload).ok()?;
    let list = message.first(Name::Via)?;
    let (top, _) = lex::split_first(list, Hides::Comments).ok()?;
    let via = Via::parse_head(top).ok()?;
    Some((via.address(), via.port.unwrap_or(PORT_DEFAULT)))
}

/// A documentation address of a version that is served, and not our own.
fn documentation(world: &World) -> IpAddr {
    let v4 = (1..=u8::MAX).map(|last| IpAddr::V4(Ipv4Addr::new(192, 0, 2, last)));
    let v6 = (1..=u16::from(u8::MAX))
        .map(|last| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last)));
    let mut all = v4.chain(v6).filter(|address| !world.owns(*address));
    let served = |address: &IpAddr| world.local_for(SocketAddr::new(*address, 1)).is_some();
    all.find(served).unwrap_or(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)))
}

/// Whether both the daemon and the kernel would answer this source: no zero network, loopback,
/// group or broadcast address.
fn answerable(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => matches!(v4.octets(), [first, ..] if !matches!(first, 0 | 127 | 224..)),
        IpAddr::V6(v6) => !v6.is_multicast() && v6.to_bits() >> 64 != 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_is_that_of_a_well_behaved_client() {
        let world = World::assumed().unwrap();
        for (via, expected) in [
            ("SIP/2.0/UDP 203.0.113.7:5070;branch=z9hG4bK1", "203.0.113.7:5070"),
            ("SIP/2.0/UDP 203.0.113.7;rport, SIP/2.0/UDP 203.0.113.8", "203.0.113.7:5060"),
            ("SIP/2.0/UDP [2001:db8::9:1]:5062", "[2001:db8::9:1]:5062"),
            ("SIP/2.0/TCP phone.example.com:5061;x=\"a,b\"", "192.0.2.1:5061"),
            ("SIP/2.0/UDP 127.0.0.1", "192.0.2.1:5060"),
            ("SIP/2.0/UDP 0.0.0.0", "192.0.2.1:5060"),
            ("SIP/2.0/UDP 255.255.255.255:9", "192.0.2.1:9"),
            ("SIP/2.0/UDP [ff02::1]", "192.0.2.1:5060"),
            ("SIP/2.0/UDP [::ffff:203.0.113.7]", "203.0.113.7:5060"),
            ("SIP/2.0/UDP 192.0.2.253:7", "192.0.2.1:7"),
            ("nonsense", "192.0.2.1:5060"),
            ("SIP/2.0/UDP h;x=\"open", "192.0.2.1:5060"),
        ] {
            let text = format!("REGISTER sip:a SIP/2.0\r\nVia: {via}\r\n\r\n");
            let source = imitate(text.as_bytes(), &world);
            assert_eq!(source, expected.parse().unwrap(), "{via}");
        }
        assert_eq!(imitate(b"", &world), "192.0.2.1:5060".parse().unwrap());
    }
}
