//! The claim's last clause: traffic is watched, the balancer moves clients while they are in use,
//! and watchers follow.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

use super::{
    LAB,
    load::{Course, bars},
    tell::Teller,
};
use crate::{
    interop::{
        client::{Client, Make, Plan, Transport},
        trace,
    },
    lab::{
        HostName::{A, B},
        Lab,
    },
    scene::{Cluster, HOSTS, Load, Notice, Registered, Sipp, Street},
    workspace,
};

/// Clients of the hot home.
const CLIENTS: usize = 40;
/// How often each of them registers; the watched one more often.
const PACE: Duration = Duration::from_secs(1);
const PACE_WATCHED: Duration = Duration::from_millis(40);
/// SIPp's watchers of one client.
const WATCHERS: u32 = 3;
/// How long all is calm before the watched client becomes busy.
const CALM: Duration = Duration::from_secs(5);
/// How long each part of the act may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// A short run shall show what takes minutes where operators run it.
const QUICK: [(&str, &str); 11] = [
    // More than all but the watched client cause together.
    ("balance.floor", "45"),
    // All hosts of a lab have the same processors.
    ("balance.cpu", "100"),
    ("balance.mode", "automatic"),
    ("balance.window", "1"),
    ("balance.windows", "2"),
    ("balance.share", "100"),
    // What has just moved may move again, when its server is drained.
    ("balance.cooldown", "1"),
    ("balance.moves", "10000"),
    ("balance.rate", "10000"),
    ("load.window", "1"),
    ("load.half_life", "3"),
];
/// A watcher of somebody else's.
const BARESIP: Plan = Plan {
    make: Make::Baresip,
    transport: Transport::Udp,
    server: A,
    expires: 300,
    number: 2,
    act: "watcher",
};

/// Plays the acts in a lab of their own and takes it down.
pub(super) fn play(mut tell: Teller, binary: &Path, etcd: &Path) -> Result<Teller> {
    println!();
    let lab = tell.prepare("lab", || Lab::up_sharing(LAB), |_| super::sharing::hosts())?;
    let flags = QUICK.map(|(name, value)| (name, value.to_owned()));
    let cluster = tell.prepare(
        "cluster",
        || Cluster::set(lab, binary, etcd, 1, &flags),
        |_| "a, b and c share one table and hand state to each other; the balancer is on".into(),
    )?;
    let mut street = Street::new(cluster.lab(), &[A])?;
    hot(&mut tell, &cluster, &mut street)?;
    drain(&mut tell, &cluster, &mut street)?;
    let down = cluster.clear()?.down().map_err(|error| format!("{error:#}"));
    tell.check("daemons, kernel paths, etcd and lab are gone", down.is_ok(), || {
        down.err().unwrap_or_default()
    });
    Ok(tell)
}

fn hot(tell: &mut Teller, cluster: &Cluster, street: &mut Street) -> Result<()> {
    tell.act("a runs hot: the balancer moves clients while they are in use, and watchers follow");
    // c redirects and proxies as the others do; clients shall go to one host, to be easily seen.
    cluster.homeward(A).run(&["server", "set", "c", "--state", "standby"])?;
    cluster.homeward(A).run(&["edge", "wait"])?;
    let [a, b, c] = HOSTS.map(|host| cluster.lab().host(host).sip());
    let users = cluster.users_at(A, "hot", CLIENTS)?;
    let (alice, others) = users.split_first().context("nobody is at home at a")?;

    street.crowd.add(alice, PACE);
    street.play(PATIENCE, |street| Ok(street.crowd.at(a) == 1))?;
    street.crowd.publish(alice, "in the garden")?;
    street.watch(alice, "presence", a)?;
    street.play(PATIENCE, |street| Ok(street.watchers.iter().all(knows)))?;
    tell.event(alice, "registers at a, and publishes there that it is in the garden");
    let baresip = BARESIP.start_watching(cluster.lab(), alice)?;
    street.play(PATIENCE, |_| Ok(trace::count(&baresip.trace(), "NOTIFY ") > 0))?;
    tell.event(
        "watchers",
        &format!("one of our own, baresip and {WATCHERS} of SIPp watch it, at a"),
    );
    street.caller.write(alice, c);
    tell.event("caller", "writes to it ten times a second, by way of c");

    for user in others {
        street.crowd.add(user, PACE);
    }
    let users = cluster.lab().run_dir().join("watched.csv");
    std::fs::write(&users, format!("SEQUENTIAL\n{alice}\n"))?;
    let sipp = Sipp {
        scenario: "watch",
        server: a,
        clients: WATCHERS,
        rate: 50,
        transport: "u1",
        users: Some(&users),
    };
    let mut course = Course::new(&["a", "b"]);
    let (sipp, before, after) = thread::scope(|scope| -> Result<_> {
        let sipp = scope.spawn(|| sipp.run(cluster.lab()));
        let (before, after) = watch_load(tell, cluster, street, &mut course, alice, b)?;
        street.play(PATIENCE, |_| Ok(sipp.is_finished() && is_anew(&baresip)))?;
        let sipp = sipp.join().map_err(|_| anyhow::anyhow!("SIPp's thread panicked"))?;
        Ok((sipp, before, after))
    })?;
    for (when, load) in [("before", &before), ("after", &after)] {
        for (name, bar) in bars(load) {
            tell.event(&format!("{when}  {name}"), &bar);
        }
    }
    let picture = course.write(&workspace::target().join("demo"))?;
    tell.event("picture", &picture.display().to_string());
    println!("{}", cluster.homeward(A).run(&["plan", "status"])?.trim_end());

    let level = |load: &Load| load.imbalance.unwrap_or(0.0);
    tell.check(
        &format!("the balancer alone brought the level of a from {:.2} down", level(&before)),
        level(&after) < 1.3 && level(&before) > 1.3,
        || format!("it is {:.2} now", level(&after)),
    );
    let home = cluster.home(alice)?;
    let bound = cluster.bound_at(alice)?;
    tell.check(
        &format!("{alice} is at home at b, bound there and nowhere else, and registers there"),
        home == "b" && bound == [B] && street.crowd.member(alice)?.home == Some(b),
        || format!("its home is {home}, its bindings are at {bound:?}"),
    );
    let watcher = street.watchers.first().context("nobody watches")?;
    let ended = watcher.notices.iter().any(Notice::deactivates);
    tell.check(
        "its watcher was told by a, subscribed anew, and has what was published from b",
        ended && watcher.accepted.len() == 2 && knows(watcher),
        || format!("{watcher:#?}"),
    );
    tell.check(
        &format!("SIPp's {WATCHERS} watchers did the same"),
        sipp.as_ref().is_ok_and(|calls| calls.successful == u64::from(WATCHERS)),
        || format!("{sipp:?}"),
    );
    let told = trace::count(&baresip.trace(), "NOTIFY ");
    tell.check("and baresip", is_anew(&baresip), || {
        format!("{told} notices came to it:\n{}", baresip.tail())
    });
    let seen = &street.crowd.seen;
    let bad = Registered { accepted: Default::default(), redirected: 0, ..seen.clone() };
    let accepted: u64 = seen.accepted.values().sum();
    tell.check(
        &format!("{accepted} REGISTERs were accepted, {} redirected, none lost", seen.redirected),
        bad == Registered::default(),
        || format!("{bad:?}"),
    );
    street.caller.rest();
    street.play(PATIENCE, |street| Ok(street.caller.waits() == 0))?;
    let written = street.caller.written;
    tell.check(
        &format!("all {written} messages reached {alice}, before, during and after its move"),
        street.caller.answers == [(200, written)].into(),
        || format!("{:?}", street.caller.answers),
    );
    Ok(())
}

/// Notes the load each half second until it is even; the load at its height, and in the end.
fn watch_load(
    tell: &Teller,
    cluster: &Cluster,
    street: &mut Street,
    course: &mut Course,
    alice: &str,
    b: std::net::SocketAddr,
) -> Result<(Load, Load)> {
    let begin = Instant::now();
    let (mut hottest, mut now) = (Load::default(), Load::default());
    let (mut moved_s, mut due) = (None, Duration::ZERO);
    let mut is_hot = false;
    let even = street.play(PATIENCE, |street| {
        let at = begin.elapsed();
        if !is_hot && at > CALM {
            street.crowd.set_pace_of(alice, PACE_WATCHED);
            is_hot = true;
        }
        if moved_s.is_none() && street.crowd.member(alice)?.home == Some(b) {
            moved_s = Some(at.as_secs_f64());
        }
        if at < due {
            return Ok(false);
        }
        due = at + Duration::from_millis(500);
        now = cluster.homeward(A).load()?;
        course.note(at.as_secs_f64(), &now);
        if moved_s.is_none() && now.of("a").rate > hottest.of("a").rate {
            hottest = now.clone();
        }
        let level = now.imbalance.unwrap_or(9.0);
        Ok(moved_s.is_some_and(|moved_s| at.as_secs_f64() > moved_s + 6.0) && level < 1.2)
    })?;
    if let Some(moved_s) = moved_s {
        course.mark(CALM.as_secs_f64(), "the watched client becomes busy");
        course.mark(moved_s, "the watched client registers at b");
        tell.event("balancer", &format!("after {moved_s:.1} s {alice} registers at b"));
    }
    if !even {
        tell.event("balancer", "the load is not even as yet");
    }
    Ok((hottest, now))
}

fn drain(tell: &mut Teller, cluster: &Cluster, street: &mut Street) -> Result<()> {
    tell.act("`homeward server drain b --wait`: b is emptied, and the command says so");
    let (homeward, from) = (cluster.homeward(A), Instant::now());
    let b = cluster.lab().host(B).sip();
    let clients = street.crowd.at(b);
    street.crowd.set_pace(PACE);
    let drain = thread::spawn(move || homeward.run(&["server", "drain", "b", "--wait"]));
    if !street.play(PATIENCE, |_| Ok(drain.is_finished()))? {
        tell.check("it ends", false, || format!("not within {} s", PATIENCE.as_secs()));
        return Ok(());
    }
    let said = drain.join().map_err(|_| anyhow::anyhow!("its thread panicked"))?;
    let said = said.unwrap_or_else(|error| format!("{error:#}"));
    tell.event(
        "drain",
        &format!(
            "{} ({:.1} s)",
            said.lines().last().unwrap_or_default(),
            from.elapsed().as_secs_f64()
        ),
    );
    let left = |street: &mut Street| Ok(street.crowd.at(b) == 0);
    let gone = street.play(PATIENCE, left)?;
    let still = street.crowd.at(b);
    tell.check(
        &format!("it ends with 0, and {clients} clients register elsewhere"),
        said.trim_end().ends_with("server b is empty") && gone,
        || format!("{still} are still at b: {said}"),
    );
    let knows = |street: &mut Street| Ok(street.watchers.iter().all(knows));
    let followed = street.play(PATIENCE, knows)?;
    tell.check("the watcher has followed again", followed, || format!("{:#?}", street.watchers));
    Ok(())
}

/// Whether a watcher's last notice says what was published.
fn knows(watcher: &crate::scene::Watcher) -> bool {
    watcher.last().is_some_and(|notice| notice.body.contains("in the garden"))
        && watcher.last().is_some_and(|notice| notice.state.starts_with("active"))
}

/// Whether baresip was told to subscribe anew, and has notices of a new subscription.
fn is_anew(baresip: &Client) -> bool {
    let trace = baresip.trace();
    let parts: Vec<_> = trace.split("terminated;reason=deactivated").collect();
    let after = parts.last().filter(|_| parts.len() > 1);
    after.is_some_and(|after| {
        after.contains("SUBSCRIBE sip:") && after.contains("Subscription-State: active")
    })
}
