//! Many clients at a steady rate.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::{
    demo::{counts::SIPP, play::Play},
    lab::HostName::{A, Edge},
    scene::{Sipp, password},
};

/// Clients and their rate: with two requests to b each, below a source's limit of 500 a second.
const CROWD: (u32, u32) = (1000, 200);
/// The same through the edge proxy, three requests each.
const CROWD_BEHIND_EDGE: (u32, u32) = (300, 100);
/// REGISTERs of a client behind the edge: with a challenge, answered, and once more.
const EACH_BEHIND_EDGE: u64 = 3;

/// Everybody in the crowds.
pub(super) fn users() -> impl Iterator<Item = String> {
    members("sipp", CROWD.0).chain(members("sipp-far", CROWD_BEHIND_EDGE.0))
}

fn members(name: &'static str, count: u32) -> impl Iterator<Item = String> {
    (0..count).map(move |number| format!("{name}-{number}"))
}

/// Users and credentials, in the way that SIPp reads them.
fn fields(play: &Play, name: &'static str, count: u32) -> Result<PathBuf> {
    let mut text = String::from("SEQUENTIAL\n");
    for user in members(name, count) {
        let password = password(&user);
        text.push_str(&format!("{user};[authentication username={user} password={password}]\n"));
    }
    let file = play.stage.lab().run_dir().join(format!("{name}.csv"));
    std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(file)
}

pub(super) fn crowd(play: &mut Play) -> Result<()> {
    play.tell.act("A crowd (SIPp)");
    let before = play.status(A)?;
    let (clients, rate) = CROWD;
    let (server, transport) = (play.stage.sip(A), "u1");
    let users = fields(play, "sipp", clients)?;
    let users = Some(users.as_path());
    let run = Sipp { scenario: "digest-follow", server, clients, rate, transport, users };
    let direct = run.run(play.stage.lab())?;
    play.tell.event(
        "SIPp to a",
        &format!("{clients} clients, {rate} a second: 302, then 401 and 200 from b"),
    );
    let after = play.status(A)?;
    let kernel = after.kernel_count("redirect") - before.kernel_count("redirect");
    let again = after.kernel_count("retransmission") - before.kernel_count("retransmission");
    play.counts.redirected[SIPP] = kernel;
    play.counts.followed[SIPP] = direct.successful;
    play.tell.check(
        &format!("{clients} of {clients} are redirected by the kernel and registered at b"),
        direct.successful == u64::from(clients) && kernel - again == u64::from(clients),
        || format!("{direct:?}, {kernel} redirects of which {again} again"),
    );
    let (clients, rate) = CROWD_BEHIND_EDGE;
    let server = play.stage.sip(Edge);
    let users = fields(play, "sipp-far", clients)?;
    let users = Some(users.as_path());
    let run = Sipp { scenario: "digest-register", server, clients, rate, transport, users };
    let behind = run.run(play.stage.lab())?;
    play.tell.event("SIPp to edge", &format!("{clients} clients, {rate} a second: 401, 200, 200"));
    play.counts.many_vias[SIPP] = 2 * behind.successful;
    let proxied = play.status(A)?.daemon_count("proxied") - after.daemon_count("proxied");
    play.tell.check(
        &format!("{clients} of {clients} are proxied through the edge and a, and registered at b"),
        behind.successful == u64::from(clients) && proxied == EACH_BEHIND_EDGE * u64::from(clients),
        || format!("{behind:?}, {proxied} proxied by a"),
    );
    Ok(())
}
