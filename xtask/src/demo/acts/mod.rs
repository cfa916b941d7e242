//! The acts: one for each clause of the claim.
//!
//! Each drives its phones, then asks the hosts what they did. Invariant: a client
//! is redirected at most once by the same host, unless the act is about what
//! happens then: a client that comes back is proxied from then on.

mod crowd;
mod direct;
mod edge;
mod moves;

use std::net::SocketAddr;

use anyhow::Result;

use super::play::Play;
use crate::scene::{Answer, Model};

/// Requests of each phone, or phones of each make, in an act.
const EACH: u32 = 8;

/// Plays all acts in order.
pub(super) fn all(play: &mut Play) -> Result<()> {
    direct::home_here(play)?;
    direct::home_elsewhere(play)?;
    direct::daemon_stopped(play)?;
    edge::many_vias(play)?;
    moves::moved_by_hand(play)?;
    moves::redirect_ignored(play)?;
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
