//! Every case of the table: homes, overrides, slots, servers, names and source prefixes.

use crate::{
    cases::{BASE, Outcome, table},
    frames::Frame,
    loaded::{Done, Loaded, answer},
    world::{CONTACT_B, HOME_B, HOME_C, Memory, PHONE, TAIL, World, contact},
};
use sip_common::{
    abi::{SERVERS_MAX, SLOTS_MAX, ServerWord, SlotWord},
    verdict::Refusal,
};

#[test]
fn every_table_case() {
    let mut loaded = Loaded::new(&World::default());
    for case in table::cases() {
        let mut world = World::default();
        (case.change)(&mut world);
        if world.sources.is_empty() {
            loaded.fill(&world);
        } else {
            loaded = Loaded::new(&world);
        }
        let frame = Frame::new(case.message.as_bytes()).bytes();
        match loaded.run(&frame) {
            Done::Forwarded { .. } => panic!("forwarded"),
            Done::Refused(refusal) => {
                assert_eq!(Outcome::Refused(refusal), case.outcome, "{}", case.name);
            }
            Done::Answered { frame: got, .. } => {
                assert_eq!(Outcome::Answered, case.outcome, "{}", case.name);
                let payload = answer::check(&frame, &got).unwrap();
                let tail = format!("{}{TAIL}", case.contacts);
                assert!(payload.ends_with(tail.as_bytes()), "{}", case.name);
                let mut host = Memory::new(world);
                let expected = host.decide(case.message.as_bytes(), PHONE, 100);
                assert_eq!(expected, Ok(payload), "{}", case.name);
            }
        }
    }
}

#[test]
fn one_word_moves_a_slot_a_client_or_a_server() {
    let mut world = World::default();
    let mut loaded = Loaded::new(&world);
    let frame = Frame::new(BASE.as_bytes()).bytes();
    let answers = |loaded: &mut Loaded, world: &World| {
        loaded.fill(world);
        match loaded.run(&frame) {
            Done::Answered { frame: got, .. } => {
                let text = String::from_utf8(answer::check(&frame, &got).unwrap()).unwrap();
                let at = text.find("<sip:home").unwrap();
                Ok(text[at + 5..at + 11].to_owned())
            }
            Done::Refused(refusal) => Err(refusal),
            Done::Forwarded { .. } => panic!("forwarded"),
        }
    };
    assert_eq!(answers(&mut loaded, &world).as_deref(), Ok("home-b"));
    world.set_slot("alice@example.com", SlotWord::new(HOME_C, true));
    assert_eq!(answers(&mut loaded, &world).as_deref(), Ok("home-c"));
    world.servers[usize::from(HOME_C)] = ServerWord::new(2, 0);
    assert_eq!(answers(&mut loaded, &world), Err(Refusal::HomeUnknown));
    world.assign("alice@example.com", HOME_B, 0);
    assert_eq!(answers(&mut loaded, &world).as_deref(), Ok("home-b"));
    // A home's new address: another Contact text, then one switch of the server's word.
    world.contacts.push(contact("home-e.example.com", &CONTACT_B.replace("home-b", "home-e"), ""));
    world.servers[usize::from(HOME_B)] = ServerWord::new(3, ServerWord::UP);
    assert_eq!(answers(&mut loaded, &world).as_deref(), Ok("home-e"));
    // Two of them followed from the slot, the others from the client's own assignment.
    let (by_server, by_slot) = loaded.redirects();
    let slot = world.key("alice@example.com").slot(world.config.slot_mask);
    assert_eq!((by_slot[slot as usize], by_slot.iter().sum::<u64>()), (2, 2));
    assert_eq!((by_server[usize::from(HOME_B)], by_server.iter().sum::<u64>()), (2, 2));
    let (servers, slots) = (SERVERS_MAX as usize, SLOTS_MAX as usize);
    assert_eq!((by_server.len(), by_slot.len()), (servers, slots));
}
