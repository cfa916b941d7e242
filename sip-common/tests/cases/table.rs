//! What the table says: the home, the states of entries, slots and servers, source prefixes.

use super::{BASE, Outcome, base, edited};
use crate::world::{CONTACT_B, CONTACT_C, HOME_A, HOME_B, HOME_C, HOME_DOWN, HOME_NONE, World};
use sip_common::{
    abi::{
        CONFIG_DIRECT_ONLY, CONFIG_OVERLOAD, CONFIG_SOURCES, Override, SOURCE_DIRECT, SOURCE_EDGE,
        SOURCE_EXEMPT, SlotWord,
    },
    verdict::Refusal,
};
use std::net::{IpAddr, Ipv4Addr};

/// A table, a message, and what becomes of it.
pub struct TableCase {
    /// The behaviour.
    pub name: &'static str,
    /// What differs from the plain table.
    pub change: fn(&mut World),
    /// The message, [`BASE`] in most cases.
    pub message: String,
    /// What becomes of it.
    pub outcome: Outcome,
    /// The Contact lines of the answer.
    pub contacts: &'static str,
}

const ALICE: &str = "alice@example.com";

fn phones() -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 0))
}

fn redirect(name: &'static str, contacts: &'static str, change: fn(&mut World)) -> TableCase {
    TableCase { name, change, message: BASE.to_owned(), outcome: Outcome::Answered, contacts }
}

fn pass(name: &'static str, refusal: Refusal, change: fn(&mut World)) -> TableCase {
    let outcome = Outcome::Refused(refusal);
    TableCase { name, change, message: BASE.to_owned(), outcome, contacts: "" }
}

pub fn cases() -> Vec<TableCase> {
    let with = |message: String, case: TableCase| TableCase { message, ..case };
    let oc = || base(";rport", ";rport;oc");
    let oc_algo = || base(";rport", ";rport;oc-algo=\"loss,A\"");
    let uri = |host: &str| base("REGISTER sip:example.com", &format!("REGISTER sip:{host}"));
    vec![
        redirect("an unknown client goes to its slot's home", CONTACT_B, |_| {}),
        redirect("an override beats the slot", BOTH, |w| w.assign(ALICE, HOME_C, 0)),
        redirect("an override answers for a slot that is not complete", BOTH, |w| {
            w.assign(ALICE, HOME_C, 0);
            w.set_slot(ALICE, SlotWord::new(HOME_B, false));
        }),
        redirect("an override to a server that is down counts as absent", CONTACT_B, |w| {
            w.assign(ALICE, HOME_DOWN, 0);
        }),
        redirect("an override to a server that is unknown counts as absent", CONTACT_B, |w| {
            w.assign(ALICE, HOME_NONE, 0);
        }),
        redirect("a client that follows", BOTH, |w| {
            w.assign(ALICE, HOME_C, Override::FOLLOWS);
        }),
        redirect("an entry of flags leaves the home to the slot", CONTACT_B, |w| {
            w.assign(ALICE, HOME_A, Override::BY_SLOT | Override::FOLLOWS);
        }),
        redirect("another client's override", CONTACT_B, |w| {
            w.assign("bob@example.com", HOME_A, 0);
            w.assign("Alice@example.com", HOME_A, 0);
            w.assign("alice@example.org", HOME_A, 0);
        }),
        with(
            edited(BASE, "To: \"Alice\" <sip:alice@", "To: \"Alice\" <sip:alice;ext=7@")
                .replace("example.com>\r\nCall", "EXAMPLE.com;x=y>\r\nCall"),
            redirect("the AoR is the user as it is and the host in small letters", BOTH, |w| {
                w.assign("alice;ext=7@example.com", HOME_C, 0);
                w.assign("alice@example.com", HOME_A, 0);
            }),
        ),
        redirect("From does not decide", CONTACT_B, |w| w.assign("f00dcafe", HOME_A, 0)),
        pass("the home is this host, by override", Refusal::HomeHere, |w| {
            w.assign(ALICE, HOME_A, 0);
        }),
        pass("the home is this host, by slot", Refusal::HomeHere, |w| {
            w.set_slot(ALICE, SlotWord::new(HOME_A, true));
        }),
        pass("the client is being moved", Refusal::HomeMoving, |w| {
            w.assign(ALICE, HOME_C, Override::MOVING);
        }),
        pass("the client is being moved and does not follow", Refusal::HomeMoving, |w| {
            w.assign(ALICE, HOME_C, Override::MOVING | Override::NO_REDIRECT);
        }),
        pass("the client does not follow redirects", Refusal::NoRedirect, |w| {
            w.assign(ALICE, HOME_C, Override::NO_REDIRECT);
        }),
        pass("the client does not follow redirects, by slot", Refusal::NoRedirect, |w| {
            w.assign(ALICE, HOME_A, Override::BY_SLOT | Override::NO_REDIRECT);
        }),
        pass("a slot that is not complete", Refusal::SlotIncomplete, |w| {
            w.set_slot(ALICE, SlotWord::new(HOME_B, false));
        }),
        pass("an entry of flags in a slot that is not complete", Refusal::SlotIncomplete, |w| {
            w.assign(ALICE, HOME_C, Override::BY_SLOT);
            w.set_slot(ALICE, SlotWord::new(HOME_B, false));
        }),
        pass("a recycled element: the word of another key", Refusal::Recycled, |w| {
            let other = w.key("bob@example.com");
            w.overrides.insert(w.key(ALICE), Override::new(other, HOME_C, 0));
        }),
        pass("a slot whose server is down", Refusal::HomeUnknown, |w| {
            w.set_slot(ALICE, SlotWord::new(HOME_DOWN, true));
        }),
        pass("a slot whose server is unknown", Refusal::HomeUnknown, |w| {
            w.set_slot(ALICE, SlotWord::new(HOME_NONE, true));
        }),
        with(
            uri("home-b.example.com"),
            pass("the redirect is the target", Refusal::HomeIsTarget, |_| {}),
        ),
        with(
            uri("HOME-B.example.com"),
            pass("the target in capitals", Refusal::HomeIsTarget, |_| {}),
        ),
        with(
            uri("home-b.example.com"),
            redirect("another home than the target", BOTH, |w| w.assign(ALICE, HOME_C, 0)),
        ),
        with(oc(), redirect("oc while overload control is off", CONTACT_B, |_| {})),
        with(
            oc(),
            pass("oc while overload control is on", Refusal::ViaParameter, |w| {
                w.config.flags |= CONFIG_OVERLOAD;
            }),
        ),
        with(
            oc_algo(),
            pass("oc-algo while overload control is on", Refusal::ViaParameter, |w| {
                w.config.flags |= CONFIG_OVERLOAD;
            }),
        ),
        redirect("overload control and a Via without oc", CONTACT_B, |w| {
            w.config.flags |= CONFIG_OVERLOAD;
        }),
        pass("an edge source", Refusal::SourceEdge, |w| {
            w.config.flags |= CONFIG_SOURCES;
            w.mark(phones(), 24, SOURCE_EDGE);
        }),
        redirect("an edge source of another network", CONTACT_B, |w| {
            w.config.flags |= CONFIG_SOURCES;
            w.mark(IpAddr::V4(Ipv4Addr::new(192, 0, 3, 0)), 24, SOURCE_EDGE);
        }),
        redirect("a longer prefix beats an edge network", CONTACT_B, |w| {
            w.config.flags |= CONFIG_SOURCES;
            w.mark(phones(), 24, SOURCE_EDGE);
            w.mark(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 101)), 32, SOURCE_EXEMPT);
        }),
        pass("an edge host in a direct network", Refusal::SourceEdge, |w| {
            w.config.flags |= CONFIG_SOURCES | CONFIG_DIRECT_ONLY;
            w.mark(phones(), 24, SOURCE_DIRECT);
            w.mark(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 101)), 32, SOURCE_EDGE | SOURCE_DIRECT);
        }),
        redirect("a direct source", CONTACT_B, |w| {
            w.config.flags |= CONFIG_SOURCES | CONFIG_DIRECT_ONLY;
            w.mark(phones(), 24, SOURCE_DIRECT);
        }),
        pass("a source outside the direct ones", Refusal::SourceNotDirect, |w| {
            w.config.flags |= CONFIG_SOURCES | CONFIG_DIRECT_ONLY;
            w.mark(phones(), 26, SOURCE_DIRECT);
        }),
        pass("direct sources, and none is", Refusal::SourceNotDirect, |w| {
            w.config.flags |= CONFIG_DIRECT_ONLY;
        }),
        with(
            base(";rport", ";rport;x=\"y\",SIP/2.0/UDP a;branch=z9hG4bKb"),
            pass("a direct source with more than one Via", Refusal::ViaMany, |w| {
                w.config.flags |= CONFIG_SOURCES | CONFIG_DIRECT_ONLY;
                w.mark(phones(), 24, SOURCE_DIRECT | SOURCE_EXEMPT);
            }),
        ),
        pass("a domain that is served as a target only", Refusal::ToDomain, |w| {
            for (_, domain) in &mut w.domains {
                domain.flags = sip_common::abi::DOMAIN_URI;
            }
        }),
        pass("a domain that is served for clients only", Refusal::UriDomain, |w| {
            for (_, domain) in &mut w.domains {
                domain.flags = sip_common::abi::DOMAIN_CLIENTS;
            }
        }),
        redirect("names that hash to one place", CONTACT_B, |w| {
            // Three others on the way to the name: it stands at the last probe.
            let (index, domain) = w.domains[0];
            w.domains.retain(|(taken, _)| !(index..index + 4).contains(taken));
            for probe in 0..3 {
                let mut other = domain;
                other.text[0] ^= 1;
                w.domains.push((index + probe, other));
            }
            w.domains.push((index + 3, domain));
        }),
        with(
            base("Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, NOTIFY, REFER\r\n", ""),
            redirect("one Contact where there is no room for two", CONTACT_C, |w| {
                w.assign(ALICE, HOME_C, 0);
            }),
        ),
    ]
}

/// Both Contact lines of home C.
const BOTH: &str = "Contact: <sip:home-c.example.com:5060;transport=udp>;expires=60;q=0.7\r\n\
    Contact: <sip:home-b.example.com:5060;transport=udp>;expires=60;q=0.3\r\n";
