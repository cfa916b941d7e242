//! The checks that every store passes, on one member.

use homeward::store::conformance::CHECKS;

use crate::harness::{Etcd, Hosts};

#[test]
fn etcd_passes_every_check() {
    let etcd = Etcd::start(1);
    for check in CHECKS {
        etcd.clear();
        let hosts = Hosts::new(&etcd, 64);
        check("etcd", &hosts.open("home0"));
    }
}
