//! One Via: the client reached the first server by itself.

use anyhow::Result;

use super::{EACH, is_ok_from, is_redirect_to, user};
use crate::{
    demo::{
        counts::PHONES,
        play::Play,
        times::{Way, median_us},
    },
    lab::HostName::{A, B},
    scene::{MODELS, Phone, Status},
};

/// Phones of each make while the daemon is stopped.
pub(super) const STOPPED: u32 = 4;

pub(super) fn home_here(play: &mut Play) -> Result<()> {
    play.tell.act("The home is here: the server that is asked registers the client");
    let (a, before) = (play.stage.sip(A), play.status(A)?);
    let mut good = 0;
    for model in MODELS {
        let mut phone = play.stage.phone(model, &user("here", model, 1))?;
        play.stage.assign(&phone.aor(), A)?;
        let (mut times, mut ok) = (Vec::new(), 0);
        for _ in 0..EACH {
            let done = phone.register(a)?;
            ok += play.took(Way::Here, &done, is_ok_from(&done.answer, a));
            times.push(done.round_trip);
        }
        let told =
            format!("{ok} x 200 from a      {:>8}   {}", median_us(&mut times), model.manner);
        play.tell.event(model.maker, &told);
        good += ok;
        play.residents.push(phone);
    }
    play.counts.here[PHONES] = good;
    let all = MODELS.len() as u64 * u64::from(EACH);
    play.tell.check(
        &format!("{all} REGISTERs of {} phones are answered with 200 by a", MODELS.len()),
        good == all,
        || format!("{good} are"),
    );
    let at = homes(play, |play| &play.residents)?;
    play.tell.check("each is registered at a, and nowhere else", at == (MODELS.len(), 0), || {
        format!("{} at a, {} at b", at.0, at.1)
    });
    let after = play.status(A)?;
    let redirects = after.kernel_count("redirect") - before.kernel_count("redirect");
    play.tell.check("none is redirected", redirects == 0, || format!("{redirects} are"));
    Ok(())
}

/// How many of the phones have a binding at a, and at b.
fn homes(play: &Play, phones: impl Fn(&Play) -> &Vec<Phone>) -> Result<(usize, usize)> {
    let mut at = (0, 0);
    for phone in phones(play) {
        let hosts = play.stage.registered_at(&phone.aor())?;
        at.0 += usize::from(hosts.contains(&A));
        at.1 += usize::from(hosts.contains(&B));
    }
    Ok(at)
}

pub(super) fn home_elsewhere(play: &mut Play) -> Result<()> {
    play.tell.act("The home is elsewhere, one Via: the kernel redirects, the client follows");
    let (a, b, before) = (play.stage.sip(A), play.stage.sip(B), play.status(A)?);
    let (mut redirected, mut followed) = (0, 0);
    for model in MODELS {
        let (mut times, mut to_b, mut ok) = (Vec::new(), 0, 0);
        for number in 1..=EACH {
            let mut phone = play.stage.phone(model, &user("away", model, number))?;
            let first = phone.register(a)?;
            let is_redirect = is_redirect_to(&first.answer, a, b);
            to_b += play.took(Way::Redirected, &first, is_redirect);
            times.push(first.round_trip);
            if is_redirect {
                let second = phone.follow(&first.answer)?;
                ok += play.took(Way::Followed, &second, is_ok_from(&second.answer, b));
            }
            if number == 1 {
                play.followers.push(phone);
            }
        }
        let told = format!("{to_b} x 302 to b, {ok} x 200 from b  {:>8}", median_us(&mut times));
        play.tell.event(model.maker, &told);
        (redirected, followed) = (redirected + to_b, followed + ok);
    }
    play.counts.redirected[PHONES] += redirected;
    play.counts.followed[PHONES] += followed;
    let all = MODELS.len() as u64 * u64::from(EACH);
    play.tell.check(
        &format!("{all} phones are redirected to b and registered there"),
        (redirected, followed) == (all, all),
        || format!("{redirected} are redirected, {followed} registered"),
    );
    made_by_kernel(play, &before, all)
}

/// Whether a's kernel made so many redirects since, and its daemon none.
fn made_by_kernel(play: &mut Play, before: &Status, expected: u64) -> Result<()> {
    let after = play.status(A)?;
    let kernel = after.kernel_count("redirect") - before.kernel_count("redirect");
    let of_daemon = ["redirects", "redirects_strict"];
    let daemon: u64 =
        of_daemon.map(|n| after.daemon_count(n) - before.daemon_count(n)).iter().sum();
    play.tell.check(
        &format!("a's kernel made all {expected} redirects, its daemon none"),
        (kernel, daemon) == (expected, 0),
        || format!("the kernel made {kernel}, the daemon {daemon}"),
    );
    Ok(())
}

pub(super) fn daemon_stopped(play: &mut Play) -> Result<()> {
    play.tell.act("The same while a's daemon is stopped (SIGSTOP)");
    let (a, b, before) = (play.stage.sip(A), play.stage.sip(B), play.status(A)?);
    play.stage.a().pause()?;
    let (mut redirected, mut followed) = (0, 0);
    for model in MODELS {
        let (mut times, mut to_b) = (Vec::new(), 0);
        for number in 1..=STOPPED {
            let mut phone = play.stage.phone(model, &user("stopped", model, number))?;
            let first = phone.register(a)?;
            let is_redirect = is_redirect_to(&first.answer, a, b);
            to_b += play.took(Way::RedirectedWithoutDaemon, &first, is_redirect);
            times.push(first.round_trip);
            if is_redirect {
                let second = phone.follow(&first.answer)?;
                followed += play.took(Way::Followed, &second, is_ok_from(&second.answer, b));
            }
        }
        play.tell.event(model.maker, &format!("{to_b} x 302 to b  {:>8}", median_us(&mut times)));
        redirected += to_b;
    }
    play.stage.a().resume()?;
    play.counts.redirected[PHONES] += redirected;
    play.counts.redirected_without_daemon[PHONES] += redirected;
    play.counts.followed[PHONES] += followed;
    let all = MODELS.len() as u64 * u64::from(STOPPED);
    play.tell.check(
        &format!("{all} phones are redirected to b and registered there"),
        (redirected, followed) == (all, all),
        || format!("{redirected} are redirected, {followed} registered"),
    );
    made_by_kernel(play, &before, all)
}
