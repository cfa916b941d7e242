//! What the program forwards, and by which way, in a network namespace of the test's thread.

use std::{fs, net::SocketAddr, process::Command};

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use nix::sched::{CloneFlags, unshare};
use sip_common::verdict::Refusal;

use crate::{
    cases::{BASE, VIA, edited},
    frames::{Frame, VLAN},
    loaded::{Done, Loaded},
    world::{AT_B, Memory, PROXY, SERVER, SERVER6, World},
};

const TOP: &str = "Via: SIP/2.0/UDP 192.0.2.3:5062;rport;branch=z9hG4bKp1\r\n";
const HOME: [u8; 6] = [2, 0, 0, 0, 0, 0x20];
const ROUTER: [u8; 6] = [2, 0, 0, 0, 0, 0x01];

fn ip(command: &str) {
    let done = Command::new("ip").args(command.split(' ')).output().unwrap();
    assert!(done.status.success(), "ip {command}: {}", String::from_utf8_lossy(&done.stderr));
}

/// An interface with home B beside it, and a router to everything else; its index.
fn network() -> u32 {
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    for command in [
        "link set lo up",
        "link add way type veth peer name far",
        "link set far up",
        "link set way up",
        "addr add 198.51.100.10/24 dev way",
        "addr add 2001:db8::10/64 dev way nodad",
        "neigh add 198.51.100.20 lladdr 02:00:00:00:00:20 dev way nud permanent",
        "neigh add 198.51.100.1 lladdr 02:00:00:00:00:01 dev way nud permanent",
        "neigh add 2001:db8::20 lladdr 02:00:00:00:00:20 dev way nud permanent",
        "route add default via 198.51.100.1",
    ] {
        ip(command);
    }
    nix::net::if_::if_nametoindex("way").unwrap()
}

fn forwarding(on: bool) {
    for family in ["ipv4", "ipv6"] {
        let setting = format!("/proc/sys/net/{family}/conf/lo/forwarding");
        fs::write(setting, if on { "1" } else { "0" }).unwrap();
    }
}

/// Holds a frame that was sent on to what it has to be; its payload.
fn check(frame: &[u8], to: SocketAddr, from: SocketAddr, ethernet: [u8; 6]) -> Vec<u8> {
    let packet = SlicedPacket::from_ethernet(frame).unwrap();
    assert_eq!(frame[..6], ethernet);
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
fn respond(sent: &[u8]) -> Vec<u8> {
    let text = String::from_utf8(sent.to_vec()).unwrap();
    let keeps = ["Via", "From", "To", "Call-ID", "CSeq"];
    let lines =
        text.split_inclusive("\r\n").filter(|line| keeps.iter().any(|name| line.starts_with(name)));
    format!("SIP/2.0 200 OK\r\n{}Content-Length: 0\r\n\r\n", lines.collect::<String>()).into()
}

#[test]
fn a_request_goes_to_its_home_and_the_response_back() {
    let index = network();
    forwarding(true);
    let home6: SocketAddr = "[2001:db8::20]:5070".parse().unwrap();
    let proxy6: SocketAddr = "[2001:db8::20]:5062".parse().unwrap();
    for (proxy, home, own, router) in
        [(PROXY, AT_B, SERVER, ROUTER), (proxy6, home6, SERVER6, HOME)]
    {
        let mut world = World::forwarding(home);
        world.config.interfaces[3] = index;
        let mut loaded = Loaded::new(&world);
        let mut host = Memory::new(world);
        // Padded or not, with Vias of any number.
        for (padding, vias) in
            [(0, TOP.to_owned()), (9, TOP.to_owned()), (0, format!("{TOP}{VIA}"))]
        {
            let message = edited(BASE, VIA, &format!("{vias}{VIA}"));
            let frame = Frame {
                source: proxy,
                destination: own,
                padding: vec![7; padding],
                ..Frame::new(message.as_bytes())
            };
            let Done::Forwarded { frame: got, back: false } = loaded.run(&frame.bytes()) else {
                panic!("not forwarded: {:?}", loaded.run(&frame.bytes()))
            };
            let sent = check(&got, home, own, HOME);
            assert_eq!(host.forward(message.as_bytes(), proxy, own), Ok((sent.clone(), home)));

            let answer = respond(&sent);
            let frame = Frame { source: home, destination: own, ..Frame::new(&answer) };
            let Done::Forwarded { frame: got, back: true } = loaded.run(&frame.bytes()) else {
                panic!("not sent back: {:?}", loaded.run(&frame.bytes()))
            };
            let back = check(&got, proxy, own, router);
            assert_eq!(host.forward(&answer, home, own), Ok((back, proxy)));
        }
    }
}

#[test]
fn without_a_way_that_is_ours_the_frame_is_the_daemons() {
    let index = network();
    let message = edited(BASE, VIA, &format!("{TOP}{VIA}"));
    let frame = Frame { source: PROXY, ..Frame::new(message.as_bytes()) };
    let refused = |index, home: &str, frame: &Frame| {
        let mut world = World::forwarding(home.parse().unwrap());
        world.config.interfaces[0] = index;
        match Loaded::new(&world).run(&frame.bytes()) {
            Done::Refused(refusal) => Some(refusal),
            _ => None,
        }
    };
    forwarding(false);
    let home = "198.51.100.20:5070";
    assert_eq!(refused(index, home, &frame), Some(Refusal::NoWay), "the setting is off");
    forwarding(true);
    assert_eq!(refused(index, home, &frame), None);
    assert_eq!(refused(index + 1, home, &frame), Some(Refusal::NoWay), "not an interface of ours");
    assert_eq!(refused(index, "198.51.100.21:5060", &frame), Some(Refusal::NoWay), "no neighbour");
    assert_eq!(refused(index, "198.51.100.10:5060", &frame), Some(Refusal::NoWay), "ourselves");
    let tagged = Frame { tags: vec![(VLAN, 7)], ..frame };
    assert_eq!(refused(index, home, &tagged), Some(Refusal::FrameVlan));
    ip("link set way mtu 500");
    let untagged = Frame { tags: Vec::new(), ..tagged };
    assert_eq!(refused(index, home, &untagged), Some(Refusal::NoWay), "too long for the way");
}
