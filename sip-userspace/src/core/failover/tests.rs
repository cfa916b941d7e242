//! Homes that die and come back, as the host that leads finds them.

use super::*;
use crate::core::{
    Core, Packet, Settings,
    health::{Rules, gauge::Thresholds},
    table::Table,
    tests::{EDGE, HOME, STANDBY, addr, apply, at, settings, table},
};

const SECOND: Duration = Duration::from_secs(1);

fn core(kind: Kind) -> Core {
    let thresholds = Thresholds { up: 2, down: 3, damping: Duration::ZERO, pause_max: SECOND * 60 };
    let (interval, timeout) = (SECOND * 2, SECOND * 2);
    let probe = Some(Rules { all: true, failover: true, interval, timeout, thresholds });
    let mut table = table("edge", Some(1));
    let home = Server { kind, ..table.server(1).unwrap().clone() };
    apply(&mut table, vec![Change::Server { index: 1, server: home }]);
    Core::new(Settings { probe, ..settings(EDGE) }, table, None)
}

/// Lets a second pass: those who live answer their probes. What is proposed is done.
fn second(core: &mut Core, s: u64, alive: &[&str], in_contact: bool) -> Option<String> {
    let (now, mut out) = (at(s * 1_000), Vec::new());
    core.handle_timeout(now, &mut out);
    for output in std::mem::take(&mut out) {
        let Output::Send { flow, payload } = output else { continue };
        if alive.iter().any(|one| addr(one) == flow.peer) {
            let text = String::from_utf8(payload).unwrap();
            let lines = text.lines().skip(1).filter(|line| !line.starts_with("Max"));
            let answer =
                format!("SIP/2.0 200 OK\r\n{}\r\n\r\n", lines.collect::<Vec<_>>().join("\r\n"));
            let packet = Packet { flow, payload: answer.as_bytes() };
            core.handle_packet(now, &packet, &mut Vec::new());
        }
    }
    core.judge_servers(|_| in_contact, now, &mut out);
    let proposal = out.into_iter().find_map(|output| match output {
        Output::Propose { proposal } => Some(proposal),
        _ => None,
    })?;
    assert!(proposal.led);
    apply(core.table_mut(), proposal.changes);
    core.handle_proposed(crate::core::moves::Proposed::Made, now, &mut Vec::new());
    Some(proposal.why)
}

/// The states of home and standby after these seconds, and when each proposal was made.
fn run(
    core: &mut Core,
    seconds: std::ops::Range<u64>,
    alive: &[&str],
    in_contact: bool,
) -> Vec<u64> {
    seconds.filter(|s| second(core, *s, alive, in_contact).is_some()).collect()
}

fn states(table: &Table) -> [State; 2] {
    [1, 2].map(|index| table.server(index).unwrap().state)
}

#[test]
fn a_dead_home_falls_within_ten_seconds_and_is_what_it_was_when_it_is_back() {
    for was in [State::Up, State::Draining, State::Standby] {
        let mut core = core(Kind::Foreign);
        let home = Server { state: was, ..core.table().server(1).unwrap().clone() };
        apply(core.table_mut(), vec![Change::Server { index: 1, server: home }]);
        assert_eq!(run(&mut core, 0..20, &[HOME, STANDBY], true), [0; 0]);
        let fell = run(&mut core, 20..40, &[STANDBY], true);
        assert!(fell.len() == 1 && fell[0] <= 30, "{fell:?}");
        assert_eq!(states(core.table()), [State::Down, State::Up]);
        assert_eq!(run(&mut core, 40..60, &[HOME, STANDBY], true).len(), 1);
        assert_eq!(states(core.table()), [was, State::Up]);
    }
}

#[test]
fn a_host_that_is_in_contact_gets_half_a_minute_more() {
    let mut core = core(Kind::Homeward);
    run(&mut core, 0..20, &[HOME, STANDBY], true);
    let fell = run(&mut core, 20..80, &[STANDBY], true);
    assert!(fell.len() == 1 && fell[0] > 50, "{fell:?}");
    let mut core = self::core(Kind::Homeward);
    run(&mut core, 0..20, &[HOME, STANDBY], true);
    let fell = run(&mut core, 20..80, &[STANDBY], false);
    assert!(fell.len() == 1 && fell[0] <= 30, "{fell:?}");
}

#[test]
fn what_an_operator_said_stays() {
    let mut core = core(Kind::Foreign);
    let down = Server { state: State::Down, ..core.table().server(1).unwrap().clone() };
    apply(core.table_mut(), vec![Change::Server { index: 1, server: down }]);
    assert_eq!(run(&mut core, 0..60, &[HOME, STANDBY], true), [0; 0]);
    assert_eq!(states(core.table()), [State::Down, State::Up]);
}

#[test]
fn the_last_server_is_never_taken_away() {
    let mut core = core(Kind::Foreign);
    let this = Server { state: State::Disabled, ..core.table().server(0).unwrap().clone() };
    apply(core.table_mut(), vec![Change::Server { index: 0, server: this }]);
    run(&mut core, 0..20, &[HOME, STANDBY], true);
    run(&mut core, 20..60, &[STANDBY], true);
    assert_eq!(run(&mut core, 60..100, &[], true), [0; 0]);
    assert_eq!(states(core.table()), [State::Down, State::Up]);
}
