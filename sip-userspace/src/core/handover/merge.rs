//! Two hosts' bindings of one client become one's: by Call-ID and CSeq (invariant I10).

use crate::{
    core::bindings::Binding,
    sip::{compare, uri::Uri},
};

/// What `own` becomes with `theirs`; none if it stays as it is. Of two bindings of one contact the
/// later one is kept: of one Call-ID the one with the higher CSeq, else the one that ends later.
pub(super) fn merge(own: &[Binding], theirs: Vec<Binding>, most: usize) -> Option<Vec<Binding>> {
    let mut all = own.to_vec();
    let mut changed = false;
    for new in theirs {
        let same = |old: &Binding| match (Uri::parse(old.uri()), Uri::parse(new.uri())) {
            (Ok(old), Ok(new)) => compare::same(old, new),
            _ => false,
        };
        let (place, has_room) = (all.iter().position(same), all.len() < most);
        match place.and_then(|place| all.get_mut(place)) {
            Some(old) if is_later(&new, old) => *old = new,
            None if has_room => all.push(new),
            _ => continue,
        }
        changed = true;
    }
    changed.then_some(all)
}

fn is_later(new: &Binding, old: &Binding) -> bool {
    if new.call == old.call { new.cseq > old.cseq } else { new.expires_s > old.expires_s }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::bindings::CallId;

    #[test]
    fn of_one_contact_the_later_registration_stays() {
        let binding = |uri: &str, call: &str, cseq, expires_s| {
            let call = CallId::of(call.as_bytes());
            Binding::new(uri.as_bytes(), b"", call, cseq, expires_s).unwrap()
        };
        let own = [binding("sip:a@h", "x", 5, 500), binding("sip:b@h", "y", 1, 300)];
        for (theirs, expected) in [
            (vec![binding("sip:a@H", "x", 4, 900)], None),
            (vec![binding("sip:a@h", "x", 5, 900)], None),
            (vec![binding("sip:a@h", "x", 6, 400)], Some(vec![(6, 400), (1, 300)])),
            (vec![binding("sip:b@h", "z", 9, 299)], None),
            (vec![binding("sip:b@h", "z", 9, 301)], Some(vec![(5, 500), (9, 301)])),
            (vec![binding("sip:c@h", "z", 2, 100)], Some(vec![(5, 500), (1, 300), (2, 100)])),
            (vec![], None),
        ] {
            let merged = merge(&own, theirs.clone(), 3);
            let short = |all: Vec<Binding>| all.iter().map(|it| (it.cseq, it.expires_s)).collect();
            assert_eq!(merged.map(short), expected, "{theirs:?}");
        }
        assert_eq!(merge(&own, vec![binding("sip:c@h", "z", 2, 100)], 2), None, "no room");
    }
}
