//! The acts: one for each clause of the claim.
//!
//! Each drives its phones, then asks the hosts what they did. Invariant: a client
//! is redirected at most once by the same host, unless the act is about what
//! happens then: a client that comes back is proxied from then on.

mod crowd;
mod direct;
mod edge;
mod moves;
mod secure;

use std::net::SocketAddr;

use anyhow::Result;

use super::play::Play;
use crate::scene::{Answer, MODELS, Model, aor, password};

/// Requests of each phone, or phones of each make, in an act.
const EACH: u32 = 8;

/// Phones of one make in the acts, by act.
const PHONES: [(&str, u32); 5] =
    [("here", 1), ("away", EACH), ("stopped", direct::STOPPED), ("far", EACH), ("stubborn", 1)];

/// Every user of the acts with its password, for the daemons.
pub(super) fn users() -> Vec<(String, String)> {
    let mut users: Vec<_> = crowd::users().collect();
    for model in MODELS {
        for (act, count) in PHONES {
            users.extend((1..=count).map(|number| user(act, model, number)));
        }
    }
    let credentials = users.iter().map(|user| (aor(user), password(user)));
    credentials.chain([secure::PLAN.credentials()]).collect()
}

/// Plays all acts in order.
pub(super) fn all(play: &mut Play) -> Result<()> {
    direct::home_here(play)?;
    direct::home_elsewhere(play)?;
    direct::daemon_stopped(play)?;
    edge::many_vias(play)?;
    moves::moved_by_hand(play)?;
    moves::redirect_ignored(play)?;
    secure::over_tls(play)?;
    crowd::crowd(play)
}

/// A user's name that tells act, make and number.
fn user(act: &str, model: &Model, number: u32) -> String {
    format!("{}-{act}-{number}", model.maker.to_lowercase())
}

fn is_redirect_to(answer: &Answer, from: SocketAddr, to: SocketAddr) -> bool {
    answer.status() == 302 && answer.from == from && answer.target() == Some(to)
}

fn is_ok_from(answer: &Answer, from: SocketAddr) -> bool {
    answer.status() == 200 && answer.from == from
}
