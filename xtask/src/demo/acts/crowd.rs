//! Many clients at a steady rate.

use anyhow::Result;

use crate::{
    demo::{counts::SIPP, play::Play},
    lab::HostName::{A, Edge},
    scene::Sipp,
};

/// Clients and their rate, below a source's limit of 500 a second.
const CROWD: (u32, u32) = (1000, 400);
/// The same through the edge proxy.
const CROWD_BEHIND_EDGE: (u32, u32) = (300, 150);

pub(super) fn crowd(play: &mut Play) -> Result<()> {
    play.tell.act("A crowd (SIPp)");
    let before = play.status(A)?;
    let (clients, rate) = CROWD;
    let (transport, users) = ("u1", None);
    let server = play.stage.sip(A);
    let run = Sipp { scenario: "register-and-follow", server, clients, rate, transport, users };
    let direct = run.run(play.stage.lab())?;
    play.tell
        .event("SIPp to a", &format!("{clients} clients, {rate} a second: 302, then 200 from b"));
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
    let run = Sipp { scenario: "register", server, clients, rate, transport, users };
    let behind = run.run(play.stage.lab())?;
    play.tell.event("SIPp to edge", &format!("{clients} clients, {rate} a second: 200"));
    play.counts.many_vias[SIPP] = behind.successful;
    let proxied = play.status(A)?.daemon_count("proxied") - after.daemon_count("proxied");
    play.tell.check(
        &format!("{clients} of {clients} are proxied through the edge and a, and registered at b"),
        behind.successful == u64::from(clients) && proxied == u64::from(clients),
        || format!("{behind:?}, {proxied} proxied by a"),
    );
    Ok(())
}
