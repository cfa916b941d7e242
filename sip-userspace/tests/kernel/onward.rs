//! What the program forwards, and by which way, in a network namespace of the test's thread.

use std::net::SocketAddr;

use sip_common::{abi::SOURCE_SERVER, verdict::Refusal};

use crate::{
    cases::{BASE, VIA, edited},
    frames::{Frame, VLAN},
    loaded::{Done, Loaded, forwarded},
    network,
    world::{AT_B, Memory, PROXY, SERVER, SERVER6, World},
};

const TOP: &str = "Via: SIP/2.0/UDP 192.0.2.3:5062;rport;branch=z9hG4bKp1\r\n";
const HOME: [u8; 6] = [2, 0, 0, 0, 0, 0x20];
const ROUTER: [u8; 6] = [2, 0, 0, 0, 0, 0x01];

#[test]
fn a_request_goes_to_its_home_and_the_response_back() {
    let index = network::with_a_home();
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
            assert_eq!(got[..6], HOME);
            let sent = forwarded::payload(&got, home, own);
            assert_eq!(host.forward(message.as_bytes(), proxy, own), Ok((sent.clone(), home)));

            let answer = forwarded::response(&sent);
            let frame = Frame { source: home, destination: own, ..Frame::new(&answer) };
            let Done::Forwarded { frame: got, back: true } = loaded.run(&frame.bytes()) else {
                panic!("not sent back: {:?}", loaded.run(&frame.bytes()))
            };
            assert_eq!(got[..6], router);
            let back = forwarded::payload(&got, proxy, own);
            assert_eq!(host.forward(&answer, home, own), Ok((back, proxy)));
        }
    }
}

#[test]
fn without_a_way_that_is_ours_the_frame_is_the_daemons() {
    let index = network::with_a_home();
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
    network::forwarding(false);
    let home = "198.51.100.20:5070";
    assert_eq!(refused(index, home, &frame), Some(Refusal::NoWay), "the setting is off");
    network::forwarding(true);
    assert_eq!(refused(index, home, &frame), None);
    assert_eq!(refused(index + 1, home, &frame), Some(Refusal::NoWay), "not an interface of ours");
    assert_eq!(refused(index, "198.51.100.21:5060", &frame), Some(Refusal::NoWay), "no neighbour");
    assert_eq!(refused(index, "198.51.100.10:5060", &frame), Some(Refusal::NoWay), "ourselves");
    let tagged = Frame { tags: vec![(VLAN, 7)], ..frame };
    assert_eq!(refused(index, home, &tagged), Some(Refusal::FrameVlan));
    network::ip("link set way mtu 500");
    let untagged = Frame { tags: Vec::new(), ..tagged };
    assert_eq!(refused(index, home, &untagged), Some(Refusal::NoWay), "too long for the way");
}

#[test]
fn responses_count_against_the_rate_of_whoever_is_no_server() {
    let index = network::with_a_home();
    let mut world = World::forwarding(AT_B);
    world.config.interfaces[0] = index;
    let message = edited(BASE, VIA, &format!("{TOP}{VIA}"));
    let sent = Memory::new(world.clone()).forward(message.as_bytes(), PROXY, SERVER).unwrap().0;
    let answer = forwarded::response(&sent);
    world.config.rate_cost_ns = 3_600_000_000_000;
    world.config.rate_burst_ns = 0;
    world.mark(AT_B.ip(), 32, SOURCE_SERVER);
    let mut loaded = Loaded::new(&world);
    let stranger = "198.51.100.77:5060".parse().unwrap();
    for (round, source) in [(0, AT_B), (1, AT_B), (2, AT_B), (0, stranger), (1, stranger)] {
        let frame = Frame { source, ..Frame::new(&answer) };
        let done = loaded.run(&frame.bytes());
        if source == AT_B || round == 0 {
            assert!(
                matches!(done, Done::Forwarded { back: true, .. }),
                "{source} {round}: {done:?}"
            );
        } else {
            assert_eq!(done, Done::Refused(Refusal::SourceRate));
        }
    }
}
