//! An answer's frame, read by etherparse: back to the source and nowhere else, checksums right,
//! no byte too many.

use etherparse::{LaxSlicedPacket, LinkSlice, NetSlice, SlicedPacket, TransportSlice};

/// Holds the frame of an answer to the frame of its request, and returns its payload.
pub fn check(request: &[u8], answer: &[u8]) -> Result<Vec<u8>, String> {
    // The request may lack a checksum or carry padding; it is read without being judged.
    let asked = LaxSlicedPacket::from_ethernet(request).map_err(|e| format!("request: {e}"))?;
    let got = SlicedPacket::from_ethernet(answer).map_err(|e| format!("answer: {e}"))?;
    if answer.len() > request.len() {
        return Err(format!("{} bytes for {}", answer.len(), request.len()));
    }
    if answer[..6] != request[6..12] || answer[6..12] != request[..6] {
        return Err("Ethernet addresses are not swapped".to_owned());
    }
    let Some(LinkSlice::Ethernet2(_)) = got.link else { return Err("no Ethernet".to_owned()) };
    let network = answer.len() - got.net.as_ref().map_or(0, net_len);
    if answer[12..network] != request[12..network] {
        return Err("the tags or the EtherType differ".to_owned());
    }
    let Some(TransportSlice::Udp(udp)) = got.transport else { return Err("no UDP".to_owned()) };
    let Some(TransportSlice::Udp(asked_udp)) = asked.transport else {
        return Err("a request without UDP".to_owned());
    };
    if (udp.source_port(), udp.destination_port())
        != (asked_udp.destination_port(), asked_udp.source_port())
    {
        return Err("the ports are not swapped".to_owned());
    }
    let payload = udp.payload();
    let header = udp.to_header();
    let sum = match (&got.net, &asked.net) {
        (Some(NetSlice::Ipv4(ip)), Some(etherparse::LaxNetSlice::Ipv4(asked))) => {
            let (ip, asked) = (ip.header(), asked.header());
            if ip.source() != asked.destination() || ip.destination() != asked.source() {
                return Err("the addresses are not swapped".to_owned());
            }
            let head = ip.to_header();
            if head.header_checksum != head.calc_header_checksum() {
                return Err("the IPv4 header checksum is wrong".to_owned());
            }
            if head.time_to_live != 64 || !head.dont_fragment || head.more_fragments {
                return Err(format!("hops or fragments: {head:?}"));
            }
            header.calc_checksum_ipv4(&head, payload).map_err(|e| e.to_string())?
        }
        (Some(NetSlice::Ipv6(ip)), Some(etherparse::LaxNetSlice::Ipv6(asked))) => {
            let (ip, asked) = (ip.header(), asked.header());
            if ip.source() != asked.destination() || ip.destination() != asked.source() {
                return Err("the addresses are not swapped".to_owned());
            }
            if ip.hop_limit() != 64 || ip.traffic_class() != 0 {
                return Err(format!("hops or class: {ip:?}"));
            }
            header.calc_checksum_ipv6(&ip.to_header(), payload).map_err(|e| e.to_string())?
        }
        other => return Err(format!("another network: {other:?}")),
    };
    if udp.checksum() == 0 || udp.checksum() != sum {
        return Err(format!("UDP checksum {:#06x}, not {sum:#06x}", udp.checksum()));
    }
    if network + net_len(got.net.as_ref().ok_or("no network")?) != answer.len() {
        return Err("something behind the packet".to_owned());
    }
    Ok(payload.to_vec())
}

/// Length of an IP packet as its header says.
fn net_len(net: &NetSlice<'_>) -> usize {
    match net {
        NetSlice::Ipv4(ip) => usize::from(ip.header().total_len()),
        NetSlice::Ipv6(ip) => 40 + usize::from(ip.header().payload_length()),
        NetSlice::Arp(_) => 0,
    }
}
