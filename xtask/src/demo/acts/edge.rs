//! More than one Via: somebody forwarded the request.

use anyhow::Result;

use super::{EACH, is_ok_from, user};
use crate::{
    demo::{
        counts::PHONES,
        play::Play,
        times::{Way, median_us},
    },
    lab::HostName::{A, B, Edge},
    scene::MODELS,
};

pub(super) fn many_vias(play: &mut Play) -> Result<()> {
    play.tell.act("More than one Via: a proxies to the home, the answer goes back along the Vias");
    let (edge, before) = (play.stage.sip(Edge), play.status(A)?);
    let (mut good, mut challenges, mut phones) = (0, 0, Vec::new());
    for model in MODELS {
        let (mut times, mut ok) = (Vec::new(), 0);
        for number in 1..=EACH {
            let mut phone = play.stage.phone(model, &user("far", model, number))?;
            let done = phone.register(edge)?;
            let vias = done.answer.headers("Via", "v").len();
            ok += play.took(Way::ManyVias, &done, is_ok_from(&done.answer, edge) && vias == 1);
            times.push(done.round_trip);
            challenges += done.challenges;
            if number == 1 {
                phones.push(phone);
            }
        }
        let told = format!("{ok} x 200 through edge, a and b  {:>8}", median_us(&mut times));
        play.tell.event(model.maker, &told);
        good += ok;
    }
    play.counts.many_vias[PHONES] = good;
    let all = MODELS.len() as u64 * u64::from(EACH);
    play.tell.check(
        &format!("{all} phones behind the edge get 200, with their own Via alone"),
        good == all,
        || format!("{good} do"),
    );
    let mut at_b = 0;
    for phone in &phones {
        at_b += usize::from(play.stage.registered_at(&phone.aor())? == [B]);
    }
    play.tell.check("they are registered at b, and nowhere else", at_b == phones.len(), || {
        format!("{at_b} of {} are", phones.len())
    });
    let after = play.status(A)?;
    let [proxied, redirected] = [
        after.daemon_count("proxied") - before.daemon_count("proxied"),
        after.kernel_count("redirect") - before.kernel_count("redirect"),
    ];
    play.tell.check(
        "a proxied each, before and after b's challenge, and redirected none",
        (proxied, redirected, challenges) == (2 * all, 0, all),
        || format!("it proxied {proxied} and redirected {redirected}; {challenges} challenges"),
    );
    Ok(())
}
