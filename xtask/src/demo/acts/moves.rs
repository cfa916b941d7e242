//! Clients whose home changes, and clients that do not follow.

use std::net::SocketAddr;

use anyhow::Result;

use super::{is_ok_from, is_redirect_to, user};
use crate::{
    demo::{counts::PHONES, play::Play, times::Way},
    lab::HostName::{A, B},
    scene::{MODELS, Phone},
};

pub(super) fn moved_by_hand(play: &mut Play) -> Result<()> {
    play.tell.act("`homeward assign` moves a client: its next REGISTER goes the new way");
    let (a, b) = (play.stage.sip(A), play.stage.sip(B));
    let (mut moved, mut back) = (0, 0);
    let all = play.residents.len() as u64;
    for mut phone in std::mem::take(&mut play.residents) {
        play.stage.assign(&phone.aor(), B)?;
        moved += next_goes(play, &mut phone, a, b)?;
    }
    play.tell.event("a -> b", &format!("{moved} x 302 from a to b, 200 from b"));
    for mut phone in std::mem::take(&mut play.followers) {
        play.stage.assign(&phone.aor(), A)?;
        back += next_goes(play, &mut phone, b, a)?;
    }
    play.tell.event("b -> a", &format!("{back} x 302 from b to a, 200 from a"));
    play.counts.redirected[PHONES] += moved + back;
    play.counts.followed[PHONES] += moved + back;
    play.tell.check(
        &format!("{all} clients move from a to b, and {all} from b to a"),
        (moved, back) == (all, all),
        || format!("{moved} and {back} do"),
    );
    Ok(())
}

/// Registers with the old home: 1 if that redirects to the new one, which registers the client.
fn next_goes(play: &mut Play, phone: &mut Phone, old: SocketAddr, new: SocketAddr) -> Result<u64> {
    let first = phone.register(old)?;
    let redirected = is_redirect_to(&first.answer, old, new);
    if play.took(Way::Redirected, &first, redirected) == 0 {
        return Ok(0);
    }
    let second = phone.follow(&first.answer)?;
    Ok(play.took(Way::Followed, &second, is_ok_from(&second.answer, new)))
}

pub(super) fn redirect_ignored(play: &mut Play) -> Result<()> {
    play.tell.act("A client that ignores its redirect ends at its home all the same");
    let (a, b) = (play.stage.sip(A), play.stage.sip(B));
    let (mut redirected, mut proxied, mut at_b) = (0, 0, 0);
    for model in MODELS {
        let mut phone = play.stage.phone(model, &user("stubborn", model, 1))?;
        let first = phone.register(a)?;
        redirected += play.took(Way::Redirected, &first, is_redirect_to(&first.answer, a, b));
        for _ in 0..2 {
            let again = phone.register(a)?;
            proxied += play.took(Way::Ignored, &again, is_ok_from(&again.answer, a));
        }
        let known = play.stage.homeward(A).client(&phone.aor())?.no_redirect;
        at_b += u64::from(known && play.stage.registered_at(&phone.aor())? == [B]);
    }
    play.counts.redirected[PHONES] += redirected;
    play.counts.ignored[PHONES] = proxied;
    let all = MODELS.len() as u64;
    play.tell.event("all makes", "302 from a; asks a again: 200; and again: 200");
    play.tell.check(
        &format!("{all} phones are redirected once, then proxied and remembered"),
        (redirected, proxied, at_b) == (all, 2 * all, all),
        || format!("{redirected} redirected, {proxied} proxied, {at_b} remembered and at b"),
    );
    Ok(())
}
