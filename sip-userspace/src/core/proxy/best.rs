//! Which of several final responses goes back (RFC 3261 section 16.7 step 6).

/// How good a final response is: the lowest is sent. A 6xx beats all; then the lowest class wins,
/// and in it what tells the client what to do about it.
pub fn rank(status: u16) -> (u8, u8) {
    match status {
        200..300 => (0, 0),
        600.. => (1, 0),
        401 | 407 | 415 | 420 | 484 => (4, 0),
        // What says nothing about the callee.
        408 | 430 | 480 => (4, 2),
        503 => (5, 1),
        _ => (u8::try_from(status / 100).unwrap_or(u8::MAX), if status < 500 { 1 } else { 0 }),
    }
}

/// Whether a response is better than the best so far.
pub fn is_better(status: u16, best: Option<u16>) -> bool {
    best.is_none_or(|best| rank(status) < rank(best))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_response_is_that_of_section_16_7() {
        for (statuses, best) in [
            (&[486, 404][..], 486),
            (&[503, 500], 500),
            (&[500, 486], 486),
            (&[486, 302], 302),
            (&[302, 603], 603),
            (&[404, 407], 407),
            (&[408, 486, 480], 486),
            (&[503, 408], 408),
            (&[430, 503], 430),
        ] {
            let chosen = statuses.iter().fold(None, |chosen, status| {
                if is_better(*status, chosen) { Some(*status) } else { chosen }
            });
            assert_eq!(chosen, Some(best), "{statuses:?}");
        }
    }
}
