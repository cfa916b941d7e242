//! What is in force for every frame: the program's configuration, the lease, the source's rate.

use crate::{
    cases::BASE,
    frames::{Checksum, Frame},
    loaded::{Done, Loaded},
    world::{PHONE, PHONE6, World},
};
use sip_common::{
    abi::{CONFIG_PASS_ALL, CONFIG_SOURCES, SOURCE_EDGE, SOURCE_EXEMPT, SOURCE_SERVER},
    verdict::Refusal,
};
use std::{net::SocketAddr, time::Duration};

const HOUR_NS: u64 = 3_600_000_000_000;

fn answered(done: &Done) -> bool {
    matches!(done, Done::Answered { .. })
}

/// A frame from another port and address of the phone's kind.
fn from(source: &str) -> Vec<u8> {
    let source: SocketAddr = source.parse().unwrap();
    let plain = if source.is_ipv4() { Frame::new } else { Frame::new6 };
    Frame { source, ..plain(BASE.as_bytes()) }.bytes()
}

#[test]
fn nothing_is_answered_before_the_maps_are_filled() {
    let mut world = World::default();
    world.config.abi = 0;
    let mut loaded = Loaded::new(&world);
    let frame = Frame::new(BASE.as_bytes()).bytes();
    assert_eq!(loaded.run(&frame), Done::Refused(Refusal::NotConfigured));
    world.config.abi = u32::MAX;
    loaded.fill(&world);
    assert_eq!(loaded.run(&frame), Done::Refused(Refusal::NotConfigured));
}

#[test]
fn an_option_for_the_daemon_passes_everything() {
    let mut world = World::default();
    world.config.flags |= CONFIG_PASS_ALL;
    let mut loaded = Loaded::new(&world);
    let frame = Frame::new(BASE.as_bytes()).bytes();
    assert_eq!(loaded.run(&frame), Done::Refused(Refusal::PassAll));
}

#[test]
fn nothing_is_answered_when_the_lease_is_over() {
    let mut loaded = Loaded::new(&World::default());
    let frame = Frame::new(BASE.as_bytes()).bytes();
    let now =
        Duration::from(nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).unwrap());
    loaded.set_lease(now + Duration::from_secs(30));
    assert!(answered(&loaded.run(&frame)));
    for over in [now.saturating_sub(Duration::from_secs(1)), Duration::ZERO] {
        loaded.set_lease(over);
        assert_eq!(loaded.run(&frame), Done::Refused(Refusal::LeaseOver));
    }
    loaded.set_lease(now + Duration::from_secs(30));
    assert!(answered(&loaded.run(&frame)), "the lease is extended");
}

#[test]
fn a_source_over_its_rate_is_dropped() {
    let mut world = World::default();
    world.config.rate_cost_ns = HOUR_NS;
    world.config.rate_burst_ns = 3 * HOUR_NS + HOUR_NS / 2;
    let mut loaded = Loaded::new(&world);
    let frame = Frame::new(BASE.as_bytes()).bytes();
    for request in 0..4 {
        assert!(answered(&loaded.run(&frame)), "request {request} is within the burst");
    }
    assert_eq!(loaded.run(&frame), Done::Refused(Refusal::SourceRate));
    let port = from("192.0.2.101:40000");
    assert_eq!(loaded.run(&port), Done::Refused(Refusal::SourceRate), "ports share a budget");
    assert!(answered(&loaded.run(&from("192.0.2.102:5060"))), "another source has its own");
    let passed = Frame { source: PHONE, ..Frame::new(b"OPTIONS sip:x SIP/2.0\r\n\r\n") }.bytes();
    assert_eq!(loaded.run(&passed), Done::Refused(Refusal::SourceRate), "whatever it sends");
}

#[test]
fn addresses_of_one_ipv6_network_share_a_budget() {
    let mut world = World::default();
    world.config.rate_cost_ns = HOUR_NS;
    world.config.rate_burst_ns = HOUR_NS / 2;
    let mut loaded = Loaded::new(&world);
    assert!(answered(&loaded.run(&from("[2001:db8:f00d::65]:5060"))));
    let near = from("[2001:db8:f00d:0:1:2:3:4]:5060");
    assert_eq!(loaded.run(&near), Done::Refused(Refusal::SourceRate));
    assert!(answered(&loaded.run(&from("[2001:db8:f00d:1::65]:5060"))));
}

#[test]
fn exempt_and_edge_sources_have_no_rate_limit() {
    let mut world = World::default();
    world.config.flags |= CONFIG_SOURCES;
    world.config.rate_cost_ns = HOUR_NS;
    world.config.rate_burst_ns = 0;
    world.mark("192.0.2.0".parse().unwrap(), 24, SOURCE_EXEMPT);
    world.mark("203.0.113.0".parse().unwrap(), 24, SOURCE_EDGE);
    world.mark("2001:db8:f00d::".parse().unwrap(), 48, SOURCE_EXEMPT);
    let mut loaded = Loaded::new(&world);
    for _ in 0..20 {
        assert!(answered(&loaded.run(&Frame::new(BASE.as_bytes()).bytes())));
        assert!(answered(&loaded.run(&Frame::new6(BASE.as_bytes()).bytes())));
        let edge = from("203.0.113.1:5060");
        assert_eq!(loaded.run(&edge), Done::Refused(Refusal::SourceEdge));
    }
    assert!(answered(&loaded.run(&from("198.18.0.1:5060"))));
    assert_eq!(loaded.run(&from("198.18.0.1:5060")), Done::Refused(Refusal::SourceRate));
}

#[test]
fn sources_without_a_limit_do_not_pay_for_others_of_their_ipv6_network() {
    let mut world = World::default();
    world.config.flags |= CONFIG_SOURCES;
    world.config.rate_cost_ns = HOUR_NS;
    world.config.rate_burst_ns = 0;
    world.mark("2001:db8:f00d::20".parse().unwrap(), 128, SOURCE_EXEMPT);
    world.mark("2001:db8:f00d::21".parse().unwrap(), 128, SOURCE_SERVER);
    let mut loaded = Loaded::new(&world);
    let flood = from("[2001:db8:f00d::dead]:5060");
    assert!(answered(&loaded.run(&flood)));
    for _ in 0..3 {
        assert_eq!(loaded.run(&flood), Done::Refused(Refusal::SourceRate));
        let server = loaded.run(&from("[2001:db8:f00d::21]:5060"));
        assert_eq!(server, Done::Refused(Refusal::SourceServer), "passed");
    }
    assert!(answered(&loaded.run(&from("[2001:db8:f00d::20]:5060"))));
}

#[test]
fn a_server_of_the_table_is_passed_where_a_client_is_dropped() {
    let mut world = World::default();
    world.config.flags |= CONFIG_SOURCES;
    world.config.rate_cost_ns = HOUR_NS;
    world.config.rate_burst_ns = 0;
    world.mark("198.51.100.20".parse().unwrap(), 32, SOURCE_SERVER);
    let mut loaded = Loaded::new(&world);
    let server = from("198.51.100.20:5060");
    assert!(answered(&loaded.run(&server)));
    for _ in 0..3 {
        assert_eq!(loaded.run(&server), Done::Refused(Refusal::SourceServer));
    }
}

#[test]
fn a_rate_limit_of_zero_is_none() {
    let mut loaded = Loaded::new(&World::default());
    let frame = Frame::new(BASE.as_bytes()).bytes();
    for _ in 0..2_000 {
        assert!(answered(&loaded.run(&frame)));
    }
}

#[test]
fn the_rate_is_what_is_configured() {
    let mut world = World::default();
    world.config.rate_cost_ns = 2_000_000;
    world.config.rate_burst_ns = 100_000_000;
    let mut loaded = Loaded::new(&world);
    let frame = Frame::new(BASE.as_bytes()).bytes();
    let start = std::time::Instant::now();
    let mut through = 0u64;
    while start.elapsed() < Duration::from_millis(600) {
        through += u64::from(answered(&loaded.run(&frame)));
    }
    // 500 a second and 50 at once, never more; the program's clock has steps of some milliseconds.
    // Fewer where this process had to wait: what a source does not use, it loses.
    let seconds = start.elapsed().as_secs_f64();
    let most = 50.0 + 500.0 * seconds + 15.0;
    let through = through as f64;
    assert!(through <= most && through > most / 2.0, "{through} in {seconds} s, at most {most}");
}

#[test]
fn a_forged_checksum_spends_the_budget_of_its_source_only() {
    let mut world = World::default();
    world.config.rate_cost_ns = HOUR_NS;
    world.config.rate_burst_ns = 0;
    let mut loaded = Loaded::new(&world);
    let wrong = Frame { checksum: Checksum::Wrong, ..Frame::new(BASE.as_bytes()) }.bytes();
    assert_eq!(loaded.run(&wrong), Done::Refused(Refusal::FrameUdpChecksum));
    assert_eq!(loaded.run(&wrong), Done::Refused(Refusal::SourceRate));
    let other = Frame { source: PHONE6, ..Frame::new6(BASE.as_bytes()) };
    assert!(answered(&loaded.run(&other.bytes())));
}
