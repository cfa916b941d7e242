//! What a client does when it is offered SHA-256 before MD5, as RFC 8760 says.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;

use super::{
    client::{Make, Plan, Transport},
    registrations::is_registered,
    report::{Offer, Report},
    sipp, trace,
};
use crate::{lab::HostName::A, scene::Stage};

/// How long a client is waited for: it either answers the challenge at once, or pauses for long.
const PATIENCE: Duration = Duration::from_secs(5);

/// One client of each make.
pub(super) fn all(stage: &Stage, report: &mut Report) -> Result<()> {
    for make in [Make::Linphone, Make::Baresip] {
        let plan = plan(make);
        stage.add_users(&[plan.credentials()])?;
        stage.assign(&plan.aor(), A)?;
        let client = plan.start(stage.lab())?;
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline && !is_registered(stage, &plan.aor(), A)? {
            thread::sleep(Duration::from_millis(100));
        }
        let text = client.trace();
        let answers = match trace::algorithm(&text) {
            Some(algorithm) if is_registered(stage, &plan.aor(), A)? => {
                format!("takes {algorithm}")
            }
            Some(algorithm) => format!("takes {algorithm}, and is refused"),
            None if trace::count(&text, "SIP/2.0 401") > 0 => STOPS.into(),
            None => "was not asked".into(),
        };
        report.offers.push(Offer { client: make.version(&text), answers });
    }
    let plan = plan(Make::Sipp);
    let users = sipp::users(stage, &plan)?;
    for number in 0..10 {
        stage.assign(&crate::scene::aor(&format!("{}-{number}", plan.user())), A)?;
    }
    let registered = sipp::play(stage, &plan, &users, "digest-register").is_ok();
    let answers = if registered { "takes MD5" } else { STOPS };
    report.offers.push(Offer { client: Make::Sipp.version(""), answers: answers.into() });
    Ok(())
}

const STOPS: &str = "does not answer the challenge: needs `auth.algorithms = [\"MD5\"]`";

fn plan(make: Make) -> Plan {
    Plan { make, transport: Transport::Udp, server: A, expires: 60, number: 20, act: "offered" }
}
