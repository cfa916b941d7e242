use super::*;
use crate::tune::{
    ethtool::{Bounded, Coalescing, Softnet, mask_of},
    notes::notes,
    observe::{Interrupt, Queue},
};

fn queue(kind: &str, number: usize, text: &str) -> Queue {
    Queue { file: format!("/q/{kind}-{number}").into(), text: text.into() }
}

/// Four processors, four queues, everything as it should be.
fn good() -> Seen {
    let row = |most, now| Bounded { most, now };
    let interrupt = |number: u32| Interrupt {
        number: 40 + number,
        name: format!("eth0-TxRx-{number}"),
        allowed: "0-3".into(),
        processors: vec![number as usize],
    };
    Seen {
        name: "eth0".into(),
        driver: "ice".into(),
        mtu: 1500,
        processors: 4,
        queues: Some(4),
        rings: [("RX".into(), row(4096, 1024)), ("TX".into(), row(4096, 1024))].into(),
        channels: [("Combined".into(), row(8, 4))].into(),
        coalescing: Coalescing { rx_usecs: Some(16), adaptive: false },
        features: "tx-checksumming: on\nlarge-receive-offload: off\nrx-vlan-offload: on\n".into(),
        rps: (0..4).map(|number| queue("rx", number, "0")).collect(),
        xps: (0..4).map(|number| queue("tx", number, &mask_of(&[number]))).collect(),
        interrupts: (0..4).map(interrupt).collect(),
        threaded: Some(false),
        sysctls: [("net.core.netdev_budget", 300), ("net.core.netdev_max_backlog", 1000)].into(),
        ..Seen::default()
    }
}

fn shown(seen: &Seen) -> Vec<(&'static str, String, String)> {
    let steps = |advice: Advice| {
        let rule = advice.rule;
        advice.steps.into_iter().map(move |(to, undo)| (rule, to.shown(), undo.shown()))
    };
    advice(seen).into_iter().flat_map(steps).collect()
}

#[track_caller]
fn only(seen: &Seen, rule: &str, to: &str, undo: &str) {
    let all = shown(seen);
    assert_eq!(all.len(), 1, "{all:?}");
    assert_eq!((all[0].0, &*all[0].1, &*all[0].2), (rule, to, undo));
}

#[test]
fn what_is_well_is_left_alone() {
    assert_eq!(shown(&good()), []);
    assert_eq!(shown(&Seen::default()), [], "what is not told is not judged");
}

#[test]
fn queues_are_raised_to_the_processors_or_what_there_is() {
    let mut seen = good();
    seen.channels.insert("Combined".into(), Bounded { most: 3, now: 1 });
    only(&seen, "queues", "ethtool -L eth0 combined 3", "ethtool -L eth0 combined 1");
    seen.channels = [("RX", 4, 1), ("TX", 4, 2)]
        .map(|(name, most, now)| (name.to_owned(), Bounded { most, now }))
        .into();
    only(&seen, "queues", "ethtool -L eth0 rx 4 tx 4", "ethtool -L eth0 rx 1 tx 2");
}

#[test]
fn a_ring_grows_to_what_is_sensible_and_to_its_most_where_frames_were_lost() {
    let mut seen = good();
    seen.rings.insert("RX".into(), Bounded { most: 4096, now: 512 });
    only(&seen, "ring", "ethtool -G eth0 rx 1024", "ethtool -G eth0 rx 512");
    seen.missed = 7;
    only(&seen, "ring", "ethtool -G eth0 rx 4096", "ethtool -G eth0 rx 512");
    seen.rings.insert("RX".into(), Bounded { most: 256, now: 256 });
    assert_eq!(shown(&seen), []);
}

#[test]
fn offloads_go_only_where_they_are_in_the_way() {
    let mut seen = good();
    seen.vlans = true;
    only(&seen, "vlan", "ethtool -K eth0 rxvlan off", "ethtool -K eth0 rxvlan on");
    seen.vlans = false;
    seen.features =
        seen.features.replace("large-receive-offload: off", "large-receive-offload: on");
    only(&seen, "lro", "ethtool -K eth0 lro off", "ethtool -K eth0 lro on");
    seen.features = "tx-checksumming: on\nlarge-receive-offload: on [fixed]\n".into();
    seen.driver = "veth".into();
    only(&seen, "checksum", "ethtool -K eth0 tx off", "ethtool -K eth0 tx on");
}

#[test]
fn a_long_wait_for_an_interrupt_is_cut_unless_the_driver_adapts() {
    let mut seen = good();
    seen.coalescing.rx_usecs = Some(125);
    only(&seen, "coalescing", "ethtool -C eth0 rx-usecs 16", "ethtool -C eth0 rx-usecs 125");
    seen.coalescing.adaptive = true;
    assert_eq!(shown(&seen), []);
}

#[test]
fn interrupts_that_share_a_processor_are_spread() {
    let mut seen = good();
    for interrupt in &mut seen.interrupts {
        interrupt.processors = vec![0];
    }
    let all = shown(&seen);
    assert_eq!(all.len(), 4);
    let expected = (
        "interrupts",
        "echo 3 > /proc/irq/43/smp_affinity_list",
        "echo 0-3 > /proc/irq/43/smp_affinity_list",
    );
    assert_eq!((all[3].0, &*all[3].1, &*all[3].2), expected);
}

#[test]
fn frames_are_sent_on_only_where_queues_are_fewer_than_processors() {
    let mut seen = good();
    for queue in &mut seen.rps {
        queue.text = "f".into();
    }
    assert!(shown(&seen).iter().all(|one| one.1.starts_with("echo 0 >")), "{:?}", shown(&seen));
    let mut seen = good();
    seen.channels.insert("Combined".into(), Bounded { most: 1, now: 1 });
    seen.queues = Some(1);
    seen.rps.truncate(1);
    seen.xps.truncate(1);
    seen.interrupts.truncate(1);
    only(&seen, "rps", "echo e > /q/rx-0", "echo 0 > /q/rx-0");
}

#[test]
fn each_processor_gets_a_queue_to_send_by() {
    let mut seen = good();
    seen.xps = (0..2).map(|number| queue("tx", number, "0")).collect();
    let all = shown(&seen);
    assert_eq!(
        all.iter().map(|one| &*one.1).collect::<Vec<_>>(),
        ["echo 5 > /q/tx-0", "echo a > /q/tx-1"]
    );
}

#[test]
fn the_hosts_settings_change_only_where_counters_show_a_need() {
    let mut seen = good();
    seen.softnet = Softnet { processed: 800_000, dropped: 0, squeezed: 9 };
    only(
        &seen,
        "budget",
        "sysctl -w net.core.netdev_budget=600",
        "sysctl -w net.core.netdev_budget=300",
    );
    seen.softnet = Softnet { processed: 800_000, dropped: 9, squeezed: 8 };
    only(
        &seen,
        "backlog",
        "sysctl -w net.core.netdev_max_backlog=10000",
        "sysctl -w net.core.netdev_max_backlog=1000",
    );
    seen.sysctls.insert("net.core.netdev_max_backlog", 10_000);
    assert_eq!(shown(&seen), [], "followed, it is not given again");
}

#[test]
fn what_could_cut_the_operator_off_is_only_told() {
    let mut seen = good();
    seen.mtu = 9000;
    assert_eq!(shown(&seen), []);
    assert!(notes(&seen).iter().any(|note| note.contains("mtu 1500")));
}
