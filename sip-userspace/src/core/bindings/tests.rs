//! Bindings end when they should, keep the way to their client, and are small.

use super::*;
use proptest::prelude::*;
use std::collections::HashMap;

fn binding(expires_s: u32) -> Binding {
    Binding::new(b"sip:a@b", b";q=0.5", CallId::of(b"x"), 1, expires_s).unwrap()
}

#[test]
fn a_binding_keeps_its_uri_and_parameters() {
    let binding = binding(1);
    assert_eq!(binding.uri(), b"sip:a@b");
    assert_eq!(binding.contact(), b"<sip:a@b>;q=0.5");
    assert!(Binding::new(&[b'a'; CONTACT_MAX], b"", CallId::of(b"x"), 1, 1).is_none());
}

#[test]
fn a_binding_keeps_the_way_to_its_client() {
    let flow = Flow::udp("192.0.2.1:5060".parse().unwrap(), "203.0.113.7:4".parse().unwrap());
    let path = b"<sip:token@192.0.2.9;lr;ob>";
    for (path, flow) in [(&path[..], Some(flow)), (b"", Some(flow)), (path, None), (b"", None)] {
        let there = binding(9).reached_by(path, flow.as_ref(), 5).unwrap();
        assert_eq!((there.contact(), there.uri()), (&b"<sip:a@b>;q=0.5"[..], &b"sip:a@b"[..]));
        assert_eq!((there.path(), there.flow(), there.since_s, there.q), (path, flow, 5, 500));
    }
    assert!(binding(9).reached_by(&[b'a'; PATH_MAX + 1], None, 5).is_none());
}

#[test]
fn preferences_are_read_or_1() {
    for (params, q) in [
        ("", 1_000),
        (";q=0", 0),
        (";q=0.7", 700),
        (";a;Q=0.05", 50),
        (";q=1.000", 1_000),
        (";q=1.001", 1_000),
        (";q=0.1234", 1_000),
        (";q=x", 1_000),
    ] {
        let binding = Binding::new(b"sip:a@b", params.as_bytes(), CallId::of(b"x"), 1, 1);
        assert_eq!(binding.unwrap().q, q, "{params}");
    }
}

#[test]
fn ten_million_bindings_fit_into_6_gb() {
    let (udp, tcp) = (crate::core::Transport::Udp, crate::core::Transport::Tcp);
    let here = Flow::udp("192.0.2.1:5060".parse().unwrap(), "203.0.113.7:4".parse().unwrap());
    // A phone that registered by itself; one with push parameters behind an edge.
    for (uri, params, path, transport, most) in [(40, 40, 0, udp, 400), (80, 120, 80, tcp, 600)] {
        let flow = Flow { transport, ..here };
        let (uri, params, path) = (vec![b'u'; uri], vec![b'p'; params], vec![b'r'; path]);
        let binding = Binding::new(&uri, &params, CallId::of(b"x"), 1, 1).unwrap();
        let binding = binding.reached_by(&path, Some(&flow), 1).unwrap();
        // A map has up to two places for an entry, an allocation up to 16 bytes beside it, and
        // an AoR about 24.
        let entry = 2 * (size_of::<(ClientKey, Client)>() + 1);
        // Among the ends, and among those of its slot, with an eighth more.
        let end = 9 * size_of::<ClientKey>() / 4;
        let texts = binding.heap_bytes() + 16 + 24 + 16;
        let all = entry + end + size_of::<Binding>() + 16 + texts;
        assert!(all <= most, "{all} bytes");
    }
}

#[test]
fn clients_are_looked_at_in_pieces() {
    let mut bindings = Bindings::default();
    for number in 0..10u64 {
        let key = ClientKey([number, number]);
        bindings.set(key, vec![binding(5 + (number / 4) as u32)]);
        bindings.saw(&key, 3, true, || format!("u{number}@h").into_bytes().into());
        bindings.saw(&key, 4, false, || panic!("its name is known"));
        assert_eq!(bindings.seen_s(&key), Some(4));
    }
    let (mut seen, mut from) = (Vec::new(), Some(Place::default()));
    while let Some(place) = from {
        let before = seen.len();
        from = bindings.look(place, 3, |aor| seen.push(aor.to_vec()));
        assert!(seen.len() <= before + 3);
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 10);
}

proptest! {
    /// Against a model that looks at every client at every step.
    #[test]
    fn each_binding_ends_when_it_should(
        steps in proptest::collection::vec((0u64..4, proptest::collection::vec(1u32..20, 0..3), 0u32..5), 1..60)
    ) {
        let mut bindings = Bindings::new(4);
        let mut model: HashMap<u64, Vec<u32>> = HashMap::new();
        let mut now_s = 0;
        for (client, lives, pause) in steps {
            let ends: Vec<u32> = lives.iter().map(|life| now_s + life).collect();
            let key = ClientKey([client, client]);
            bindings.set(key, ends.iter().copied().map(binding).collect());
            model.insert(client, ends);
            now_s += pause;
            bindings.expire(now_s, |_, _| {});
            for (client, ends) in &mut model {
                ends.retain(|end| *end > now_s);
                let got: Vec<u32> =
                    bindings.get(&ClientKey([*client, *client])).iter().map(|b| b.expires_s).collect();
                prop_assert_eq!(&got, ends);
            }
            prop_assert_eq!(bindings.len(), model.values().map(Vec::len).sum::<usize>());
            let places: usize = bindings.ends.values().map(Vec::len).sum();
            prop_assert_eq!(places, bindings.clients());
            let in_slots: usize = (0..4).map(|slot| bindings.in_slot(slot).len()).sum();
            prop_assert_eq!(in_slots, bindings.clients());
            let earliest = model.values().flatten().min().copied();
            prop_assert!(bindings.next_s() <= earliest && bindings.next_s().is_none() == earliest.is_none());
        }
    }
}
