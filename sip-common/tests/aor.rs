//! The client's key: what the scan hashes on the wire is what the daemon hashes in canonical form.
#![allow(missing_docs, dead_code)] // a test target, and shared folders of which it uses a part

#[cfg(test)]
mod cases;
#[cfg(test)]
mod world;

#[cfg(test)]
mod tests {
    use super::{
        cases::to,
        world::{HOME_A, Memory, PHONE, World},
    };
    use proptest::prelude::*;
    use sip_common::{
        aor::{self, key_of},
        scan::{Request, Scratch, scan},
        siphash::Key,
        verdict::Refusal,
    };

    /// The key that the scan finds for a To value.
    fn key_on_the_wire(value: &str, world: &World) -> [u64; 2] {
        let mut s = Box::<Scratch>::default();
        assert!(s.load(to::value(value).as_bytes(), Request::default()));
        scan(&mut s).unwrap();
        assert_eq!(aor::key(&mut s, &world.config), 0);
        s.key.0
    }

    #[test]
    fn forms_of_one_identity_have_one_key() {
        let world = World::default();
        let key = world.key("alice@example.com").0;
        for value in [
            "<sip:alice@example.com>",
            "sip:alice@example.com",
            "SIP:alice@EXAMPLE.COM",
            "\"<sip:bob@example.com>\" <sip:alice@Example.Com;user=phone>",
            "Alice <sip:alice@example.com;transport=udp>",
        ] {
            assert_eq!(key_on_the_wire(value, &world), key, "{value}");
        }
        for value in
            ["<sip:Alice@example.com>", "<sip:alice@example.org>", "<sip:alic@example.com>"]
        {
            assert_ne!(key_on_the_wire(value, &world), key, "{value}");
        }
    }

    #[test]
    fn a_key_depends_on_the_secret() {
        let (a, b) = (Key { k0: 1, k1: 2 }, Key { k0: 1, k1: 3 });
        assert_ne!(key_of(a, b"alice@example.com"), key_of(b, b"alice@example.com"));
    }

    #[test]
    fn users_of_every_length_reach_their_override_or_are_refused() {
        for len in 1..400 {
            let user = "u".repeat(len);
            let mut world = World::default();
            world.assign(&format!("{user}@example.com"), HOME_A, 0);
            let message = to::value(&format!("<sip:{user}@EXAMPLE.com>"));
            let outcome = Memory::new(world).decide(message.as_bytes(), PHONE, 1);
            let expected = if len < 308 { Refusal::HomeHere } else { Refusal::ToInvalid };
            assert_eq!(outcome, Err(expected), "a user of {len} bytes");
        }
    }

    proptest! {
        #[test]
        fn wire_and_canonical_form_have_one_key(user in "[A-Za-z0-9!$&'*+=_~./;-]{1,80}") {
            let world = World::default();
            let wire = key_on_the_wire(&format!("<sip:{user}@eXaMpLe.CoM>"), &world);
            prop_assert_eq!(wire, world.key(&format!("{user}@example.com")).0);
        }
    }
}
