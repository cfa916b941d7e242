//! Hosts that share one table.

use xtask::{
    lab::{
        HostName::{A, B, C},
        Lab,
    },
    scene::{Cluster, HOSTS, MODELS, STORES},
    setup,
    soak::etcd,
};

use crate::{assert_redirect, daemon};

fn cluster(name: &str) -> Cluster {
    let (binary, etcd) = (daemon(), setup::find_etcd().unwrap().binary);
    Cluster::set(Lab::up_sharing(name).unwrap(), &binary, &etcd, STORES.len(), &[]).unwrap()
}

#[test]
#[ignore = "needs root"]
fn a_change_made_on_one_host_redirects_on_every_other() {
    let cluster = cluster("t-share");
    for (number, model) in MODELS.iter().enumerate() {
        let home = HOSTS[number % HOSTS.len()];
        let user = format!("shared-{}", model.maker);
        cluster.homeward(A).assign(&xtask::scene::aor(&user), home.as_str()).unwrap();
        cluster.homeward(A).run(&["edge", "wait"]).unwrap();
        for host in HOSTS.into_iter().filter(|host| *host != home) {
            let here = cluster.lab().host(host).sip();
            let answer = cluster.phone(model, &user).unwrap().register(here).unwrap().answer;
            assert_redirect(&answer, here, cluster.lab().host(home).sip());
        }
    }
    cluster.clear().unwrap().down().unwrap();
}

#[test]
#[ignore = "needs root"]
fn a_server_is_removed_only_when_every_host_knows() {
    let cluster = cluster("t-remove");
    cluster.homeward(A).run(&["server", "add", "spare", "--address", "198.18.0.99:5060"]).unwrap();
    cluster.homeward(A).run(&["server", "disable", "spare"]).unwrap();
    cluster.homeward(A).run(&["edge", "wait"]).unwrap();
    cluster.lab().cut(B).unwrap();
    cluster.homeward(C).assign("late@example.com", "c").unwrap();
    let refused = cluster.homeward(A).run(&["server", "remove", "spare"]).unwrap_err();
    assert!(format!("{refused:#}").contains("b is at"), "{refused:#}");
    cluster.lab().heal(B).unwrap();
    cluster.homeward(A).run(&["server", "remove", "spare"]).unwrap();
    cluster.clear().unwrap().down().unwrap();
}

#[test]
#[ignore = "needs root"]
fn failures_of_store_hosts_and_daemons_lose_nothing_and_mislead_nobody() {
    let mut cluster = cluster("t-faults");
    let outcome = etcd::run(&mut cluster, 7, |line| println!("{line}")).unwrap();
    assert!(outcome.is_well(), "{outcome:#?}");
    assert!(outcome.confirmed > 20 && outcome.redirected > 20, "{outcome:#?}");
    cluster.clear().unwrap().down().unwrap();
}
