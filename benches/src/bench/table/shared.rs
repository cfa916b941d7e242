//! Commits over an etcd: from the command at one host to the table and kernel of a second.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use hdrhistogram::Histogram;
use homeward::core::admin::{Answer, Command};

use super::{commit::assign, daemon::Place};
use crate::{
    etcd::{self, Etcd},
    interrupt,
    layout::{DOMAIN, home},
    load::histogram,
};

/// Commits that are timed.
const COMMITS: u32 = 1_000;
/// How long a host may take to follow.
const FOLLOW: Duration = Duration::from_secs(5);

pub(super) struct Shared {
    /// From the command to its answer, ns.
    pub(super) durable: Histogram<u64>,
    /// From the command to the second host's answer that names the new home, ns.
    pub(super) seen: Histogram<u64>,
    pub(super) a_second: f64,
}

/// Two hosts with one table.
pub(super) fn measure(place: &mut Place<'_>) -> Result<Shared> {
    let folder = place.options.folder("table")?.join("servers/etcd");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder)?;
    let secret = folder.join("cluster.secret");
    let store = |etcd: std::net::Ipv4Addr| {
        format!("[store]\nurl = \"etcd://{etcd}:2379\"\nsecret_file = \"{}\"\n", secret.display())
    };
    let (first, second) = (place.lab.next_pair(), place.lab.next_pair() + 1);
    let address = |pair: u8| std::net::Ipv4Addr::new(10, 1, pair, 1);
    let mut one = place.subject("first", 1 << 17, &store(address(first)))?;
    let mut two = place.subject("second", 1 << 17, &store(address(second)))?;

    // Among the clients, whence both hosts can reach it.
    let command = place.clients_command(&place.options.etcd);
    let _etcd = Etcd::start(command, &folder, address(first))?;

    let url = format!("etcd://{}:2379", address(first));
    etcd::create_table(&url, &secret, &[], |words| one.daemon.command(words))?;
    one.start()?;
    for number in 1..=2 {
        let (name, address) = (format!("home-{number}"), format!("192.0.2.{number}:5060"));
        let contact = format!("{name}.{DOMAIN}:5060");
        one.homeward(&["server", "add", &name, "--address", &address, "--contact", &contact])?;
    }
    two.start()?;
    let (mut at_one, mut at_two) = (one.client()?, two.client()?);
    let mut shared = Shared { durable: histogram()?, seen: histogram()?, a_second: 0.0 };
    let mut waited = 0.0;
    for number in 0..COMMITS {
        interrupt::check()?;
        let user = format!("shared-{number}");
        let show = Command::ClientShow { aor: format!("{user}@{DOMAIN}"), source: None };
        let right = Some(format!("home-{}", home(number)));
        let from = Instant::now();
        assign(&mut at_one, &user, number)?;
        let durable = from.elapsed();
        // A host answers commands by its table only after its kernel has the change.
        loop {
            let Answer::Client(view) = at_two.call(&show)? else { continue };
            if view.assigned == right {
                break;
            }
            ensure!(from.elapsed() < FOLLOW, "{user} is not seen by the second host");
        }
        shared.seen.record(from.elapsed().as_nanos() as u64)?;
        shared.durable.record(durable.as_nanos() as u64)?;
        waited += durable.as_secs_f64();
        let named = two.phone.asks(&user)?;
        let host = right.map(|home| format!("{home}.{DOMAIN}"));
        ensure!(named == host, "{user}: the second host redirects to {named:?}");
    }
    shared.a_second = f64::from(COMMITS) / waited;
    for host in [&mut one, &mut two] {
        host.stop()?;
        host.detach()?;
    }
    Ok(shared)
}
