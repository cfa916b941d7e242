//! A frame that the program sent on, read by etherparse; and what its receiver answers.

use std::net::SocketAddr;

use etherparse::{NetSlice, SlicedPacket, TransportSlice};

/// Holds a frame that was sent on to what it has to be; its payload.
pub fn payload(frame: &[u8], to: SocketAddr, from: SocketAddr) -> Vec<u8> {
    let packet = SlicedPacket::from_ethernet(frame).unwrap();
    assert_ne!(frame[..6], [0; 6], "a neighbour's");
    assert_ne!(frame[6..12], [0; 6], "the interface's own");
    let Some(TransportSlice::Udp(udp)) = packet.transport else { panic!("no UDP") };
    assert_eq!((udp.source_port(), udp.destination_port()), (from.port(), to.port()));
    let (payload, header) = (udp.payload(), udp.to_header());
    let sum = match packet.net {
        Some(NetSlice::Ipv4(net)) => {
            let head = net.header().to_header();
            assert_eq!(head.header_checksum, head.calc_header_checksum());
            assert_eq!(head.time_to_live, 64);
            assert_eq!(std::net::IpAddr::from(head.destination), to.ip());
            assert_eq!(std::net::IpAddr::from(head.source), from.ip());
            assert_eq!(usize::from(head.total_len), frame.len() - 14, "nothing behind");
            header.calc_checksum_ipv4(&head, payload).unwrap()
        }
        Some(NetSlice::Ipv6(net)) => {
            let head = net.header().to_header();
            assert_eq!(std::net::IpAddr::from(head.destination), to.ip());
            assert_eq!(std::net::IpAddr::from(head.source), from.ip());
            assert_eq!(usize::from(head.payload_length), frame.len() - 54, "nothing behind");
            header.calc_checksum_ipv6(&head, payload).unwrap()
        }
        _ => panic!("another network"),
    };
    assert_eq!(udp.checksum(), sum);
    payload.to_vec()
}

/// What a home answers to what it was sent.
pub fn response(sent: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(sent);
    let keeps = ["Via", "From", "To", "Call-ID", "CSeq"];
    let lines =
        text.split_inclusive("\r\n").filter(|line| keeps.iter().any(|name| line.starts_with(name)));
    format!("SIP/2.0 200 OK\r\n{}Content-Length: 0\r\n\r\n", lines.collect::<String>()).into()
}
