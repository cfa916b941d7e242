//! Against a plain map, and by the byte.

use super::*;
use proptest::prelude::*;

fn key(client: u64) -> ClientKey {
    ClientKey([client.wrapping_mul(0x9e37_79b9_7f4a_7c15), client])
}

proptest! {
    #[test]
    fn behaves_like_a_plain_map(
        steps in proptest::collection::vec((0u64..40, 0u8..16, 0u16..4, 0u8..4), 0..300),
    ) {
        let mut overrides = Overrides::new(16);
        let mut model = BTreeMap::new();
        for (counter, (client, flags, server, what)) in (1..).zip(steps) {
            if what == 0 {
                let removed = overrides.remove(&key(client));
                prop_assert_eq!(removed, model.remove(&client).is_some());
                continue;
            }
            let assignment = Assignment {
                server: (flags & 8 != 0).then_some(server),
                pinned: flags & 1 != 0,
                no_redirect: flags & 2 != 0,
                moving: flags & 4 != 0,
            };
            let aor = format!("user{}@example.com", "x".repeat(client as usize));
            let why = format!("because {what}");
            let since = Revision { epoch: u32::from(what), counter };
            overrides.set(key(client), &aor, assignment, since, &why);
            model.insert(client, (aor, assignment, since, why));
        }
        prop_assert_eq!(overrides.len(), model.len());
        prop_assert_eq!(overrides.iter().count(), model.len());
        for (client, (aor, assignment, since, why)) in &model {
            let (assignment, since) = (*assignment, *since);
            let expected = Entry { key: key(*client), aor, assignment, since, why };
            prop_assert_eq!(overrides.get(&key(*client)), Some(expected));
        }
        for server in 0..4 {
            let users = model.values().filter(|(_, a, ..)| a.server == Some(server)).count();
            prop_assert_eq!(overrides.on_server(server), users as u64);
        }
        prop_assert!(overrides.reason_index.len() <= 3);
        let kept = overrides.reasons.len() - overrides.reasons_free.len();
        prop_assert_eq!(kept, overrides.reason_index.len());
    }
}

#[test]
fn a_client_costs_at_most_eighty_bytes() {
    let mut overrides = Overrides::new(1024);
    for client in 0..200_000u64 {
        let aor = format!("subscriber{client:07}@example.com");
        let assignment = Assignment { server: Some(1), ..Assignment::default() };
        let since = Revision { epoch: 0, counter: client };
        let key = ClientKey([client.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 13, client]);
        overrides.set(key, &aor, assignment, since, "import");
    }
    let each = overrides.memory_bytes() / overrides.len();
    assert!(each <= 80, "{each} bytes a client");
}

proptest! {
    /// Whatever the keys are, also if they are no hashes: crowded at one end, and with the same
    /// first word.
    #[test]
    fn a_slot_finds_what_is_in_it(
        keys in proptest::collection::btree_set(
            (prop_oneof![0u64..40, (u64::MAX - 40)..u64::MAX, any::<u64>()], 0u64..4), 0..300,
        ),
        asked in proptest::collection::vec((0u64..50, 0u64..5), 50),
    ) {
        let mut overrides = Overrides::new(1);
        let since = Revision::default();
        for (first, second) in &keys {
            let key = ClientKey([*first, *second]);
            overrides.set(key, "a@b", Assignment::default(), since, "");
        }
        let all: Vec<_> = overrides.iter().map(|entry| (entry.key.0[0], entry.key.0[1])).collect();
        prop_assert_eq!(&all, &keys.iter().copied().collect::<Vec<_>>());
        for (first, second) in asked.into_iter().chain(all) {
            let found = overrides.get(&ClientKey([first, second])).is_some();
            prop_assert_eq!(found, keys.contains(&(first, second)));
        }
    }
}
