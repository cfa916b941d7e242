//! A client of somebody else's that speaks TLS.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;

use crate::{
    demo::play::Play,
    interop::client::{Make, Plan, Transport},
    interop::{route, trace},
    interrupt,
    lab::HostName::{A, B},
};

/// Linphone, with a for its server.
pub(super) const PLAN: Plan = Plan {
    make: Make::Linphone,
    transport: Transport::Tls,
    server: A,
    expires: 300,
    number: 1,
    act: "demo",
};

/// How long it may take from its start to its registration.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn over_tls(play: &mut Play) -> Result<()> {
    play.tell.act("Linphone over TLS: redirected to its home's address of TLS, and asked there");
    let lab = play.stage.lab();
    route(lab)?;
    let client = PLAN.start(lab)?;
    let deadline = Instant::now() + PATIENCE;
    while play.stage.registered_at(&PLAN.aor())? != [B] && Instant::now() < deadline {
        interrupt::check()?;
        thread::sleep(Duration::from_millis(100));
    }
    let at = play.stage.registered_at(&PLAN.aor())?;
    let text = client.trace();
    let (followed, algorithm) = (trace::followed(&text, B.v4().into()), trace::algorithm(&text));
    let told = format!("{}: 302 from a; 401, then 200 from b", PLAN.make.version(&text));
    play.tell.event("TLS", &told);
    play.tell.check(
        "it follows, proves who it is, and is registered at b alone",
        at == [B] && followed == Some(true) && algorithm.is_some(),
        || {
            format!(
                "followed: {followed:?}, credentials: {algorithm:?}, at {at:?}:\n{}",
                client.tail()
            )
        },
    );
    Ok(())
}
