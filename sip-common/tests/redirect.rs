//! The 302, byte for byte (RFC 3261 8.2.6, 8.2.7, 18.2.1; RFC 3581).
#![allow(missing_docs, dead_code)] // a test target, and shared folders of which it uses a part

#[cfg(test)]
mod cases;
#[cfg(test)]
mod world;

#[cfg(test)]
mod tests {
    use super::{
        cases::{BASE, FROM, TO, VIA, base, edited, framing::stretched, latin1, table},
        world::{CONTACT_B, HOME_C, Memory, PHONE, PHONE6, TAIL, World},
    };
    use sip_common::{arena::PAYLOAD_MAX, siphash::Key, verdict::Refusal};
    use std::net::SocketAddr;

    const STATUS: &str = "SIP/2.0 302 Moved Temporarily\r\n";

    fn answer(message: &str, source: SocketAddr) -> Result<Vec<u8>, Refusal> {
        Memory::new(World::default()).decide(&latin1(message), source, 100)
    }

    /// The sixteen hex digits of the To tag in an answer.
    fn tag(answer: &[u8]) -> String {
        let text: String = answer.iter().copied().map(char::from).collect();
        let to = text.split("\r\n").find(|line| line.to_lowercase().starts_with("t")).unwrap();
        let tag = to.rsplit_once(";tag=").unwrap().1;
        assert_eq!(tag.len(), 16);
        assert!(tag.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')), "{tag}");
        tag.to_owned()
    }

    #[test]
    fn the_answer_is_exact() {
        let got = answer(BASE, PHONE).unwrap();
        let tag = tag(&got);
        let expected = format!(
            "{STATUS}\
             Via: SIP/2.0/UDP 192.0.2.101:5060;rport=5060;received=192.0.2.101;\
             branch=z9hG4bKa1b2c3d4e5\r\n\
             From: \"Alice\" <sip:alice@example.com>;tag=f00dcafe\r\n\
             To: \"Alice\" <sip:alice@example.com>;tag={tag}\r\n\
             Call-ID: 8f2c1d03@192.0.2.101\r\n\
             CSeq: 17 REGISTER\r\n\
             {CONTACT_B}{TAIL}"
        );
        assert_eq!(String::from_utf8(got).unwrap(), expected);
    }

    #[test]
    fn received_and_rport_go_into_the_via_where_they_belong() {
        let far: SocketAddr = "203.0.113.255:40000".parse().unwrap();
        let near: SocketAddr = "10.0.0.1:5060".parse().unwrap();
        for (via, source, expected) in [
            (
                "UDP 192.0.2.101:5060;rport;branch=z9hG4bKx",
                PHONE,
                "UDP 192.0.2.101:5060;rport=5060;received=192.0.2.101;branch=z9hG4bKx",
            ),
            (
                "UDP 192.0.2.101:5060;branch=z9hG4bKx;rport",
                far,
                "UDP 192.0.2.101:5060;branch=z9hG4bKx;rport=40000;received=203.0.113.255",
            ),
            ("UDP 192.0.2.101:5060;branch=z9hG4bKx", PHONE, "UDP 192.0.2.101:5060;branch=z9hG4bKx"),
            ("UDP 192.0.2.101;branch=z9hG4bKx", PHONE, "UDP 192.0.2.101;branch=z9hG4bKx"),
            (
                "UDP 192.0.2.10;branch=z9hG4bKx",
                PHONE,
                "UDP 192.0.2.10;branch=z9hG4bKx;received=192.0.2.101",
            ),
            (
                "UDP 192.0.2.101.;branch=z9hG4bKx",
                PHONE,
                "UDP 192.0.2.101.;branch=z9hG4bKx;received=192.0.2.101",
            ),
            (
                "UDP phone.example;branch=z9hG4bKx;x=\"a,b\"",
                near,
                "UDP phone.example;branch=z9hG4bKx;x=\"a,b\";received=10.0.0.1",
            ),
            (
                "UDP 192.168.1.5:40000;branch=z9hG4bKx",
                far,
                "UDP 192.168.1.5:40000;branch=z9hG4bKx;received=203.0.113.255",
            ),
            (
                "udp 10.0.0.1;RPORT;branch=z9hG4bKx",
                near,
                "udp 10.0.0.1;RPORT=5060;received=10.0.0.1;branch=z9hG4bKx",
            ),
            (
                "UDP [2001:db8:f00d::65]:5060;rport;branch=z9hG4bKx",
                PHONE6,
                "UDP [2001:db8:f00d::65]:5060;rport=5060;received=2001:db8:f00d:0:0:0:0:65;branch=z9hG4bKx",
            ),
            (
                "UDP [2001:db8:f00d::65];branch=z9hG4bKx",
                PHONE6,
                "UDP [2001:db8:f00d::65];branch=z9hG4bKx;received=2001:db8:f00d:0:0:0:0:65",
            ),
        ] {
            let message = base(VIA, &format!("Via: SIP/2.0/{via}\r\n"));
            let got = answer(&message, source).unwrap();
            let text = String::from_utf8(got).unwrap();
            let line = text.split("\r\n").nth(1).unwrap();
            assert_eq!(line, format!("Via: SIP/2.0/{expected}"), "from {source}");
        }
    }

    #[test]
    fn without_rport_the_source_port_has_to_be_the_sent_by_port() {
        let other: SocketAddr = "192.0.2.101:5061".parse().unwrap();
        let plain = edited(BASE, ";rport", "");
        assert_eq!(answer(&plain, other), Err(Refusal::ViaReturn));
        assert!(answer(BASE, other).is_ok());
        assert!(answer(&edited(&plain, "101:5060;", "101:5061;"), other).is_ok());
        assert_eq!(answer(&edited(&plain, "101:5060;", "101;"), other), Err(Refusal::ViaReturn));
    }

    #[test]
    fn copied_lines_keep_their_names_blanks_and_bytes() {
        let message = base(VIA, "v \t: SIP/2.0/UDP 192.0.2.101;branch=z9hG4bKx \t\r\n");
        let message = edited(&message, FROM, "f:\"\u{c1}l\\\"ice\"\t<sip:a@b>;x=\"y\";tag=1  \r\n");
        let message = edited(&message, TO, "t :  Alice  <sip:alice@example.com;user=phone>\t\r\n");
        let message = edited(&message, "Call-ID: ", "i: \t");
        let message = edited(&message, "CSeq: 17 ", "CSEQ:  017  ");
        let got = answer(&message, PHONE).unwrap();
        let tag = tag(&got);
        let expected = format!(
            "{STATUS}v \t: SIP/2.0/UDP 192.0.2.101;branch=z9hG4bKx \t\r\n\
             f:\"\u{c1}l\\\"ice\"\t<sip:a@b>;x=\"y\";tag=1  \r\n\
             t :  Alice  <sip:alice@example.com;user=phone>;tag={tag}\r\n\
             i: \t8f2c1d03@192.0.2.101\r\nCSEQ:  017  REGISTER\r\n{CONTACT_B}{TAIL}"
        );
        assert_eq!(got, latin1(&expected));
    }

    #[test]
    fn the_order_of_the_request_does_not_matter() {
        let last =
            edited(&base(VIA, ""), "Content-Length: 0\r\n", &format!("Content-Length: 0\r\n{VIA}"));
        assert_eq!(answer(&last, PHONE), answer(BASE, PHONE));
    }

    #[test]
    fn the_tag_is_a_keyed_function_of_what_makes_the_request() {
        let first = tag(&answer(BASE, PHONE).unwrap());
        for (same, old, new) in [
            (true, "Deskphone/2.1", "Deskphone/2.2"),
            (true, "sip:alice@192.0.2.101:5060>", "sip:alice@192.0.2.101:5061>"),
            (true, "Via:", "v:"),
            (false, "z9hG4bKa1b2c3d4e5", "z9hG4bKa1b2c3d4e6"),
            (false, "UDP 192.0.2.101:5060", "UDP 192.0.2.102:5060"),
            (false, "UDP 192.0.2.101:5060", "UDP 192.0.2.101"),
            (false, "8f2c1d03", "8f2c1d04"),
            (false, "tag=f00dcafe", "tag=f00dcaff"),
            (false, ";tag=f00dcafe", ""),
            (false, "CSeq: 17", "CSeq: 18"),
        ] {
            let other = tag(&answer(&base(old, new), PHONE).unwrap());
            assert_eq!(other == first, same, "{old} to {new}");
        }
        let mut world = World::default();
        world.config.tag_secret = Key { k0: 1, k1: 2 };
        let keyed = Memory::new(world).decide(BASE.as_bytes(), PHONE, 100).unwrap();
        assert_ne!(tag(&keyed), first, "another secret gives another tag");
    }

    #[test]
    fn known_and_unknown_clients_get_the_same_form() {
        let bob = edited(BASE, "To: \"Alice\" <sip:alice@", "To: \"Alice\" <sip:nobod@");
        let mut world = World::default();
        world.assign("alice@example.com", 1, 0);
        let mut memory = Memory::new(world);
        let known = memory.decide(BASE.as_bytes(), PHONE, 100).unwrap();
        let unknown = memory.decide(bob.as_bytes(), PHONE, 100).unwrap();
        let blank = |answer: &[u8], user: &str| {
            let text = String::from_utf8(answer.to_vec()).unwrap();
            text.replace(&tag(answer), "TAG")
                .replace(&format!("To: \"Alice\" <sip:{user}@"), "To: ")
        };
        assert_eq!(blank(&known, "alice"), blank(&unknown, "nobod"));
    }

    #[test]
    fn an_answer_is_never_longer_than_its_request() {
        // A request cut down until its answer does not fit any more.
        let mut sizes = (0, 0);
        let head = edited(BASE, "User-Agent: Deskphone/2.1 (build 7)\r\n", "");
        let head = edited(&head, "Supported: path, outbound\r\n", "");
        let head = edited(&head, "Contact: <sip:alice@192.0.2.101:5060>;expires=600\r\n", "");
        for fill in 0..160 {
            let allow = format!("X: {}\r\n", "y".repeat(fill));
            let message = edited(
                &head,
                "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, NOTIFY, REFER\r\n",
                &allow,
            );
            match answer(&message, PHONE) {
                Ok(answer) => {
                    assert!(answer.len() <= message.len());
                    sizes.0 += 1;
                }
                Err(refusal) => {
                    assert_eq!(refusal, Refusal::ReplyTooLong);
                    assert_eq!(sizes.0, 0, "what fits, fits in a longer request too");
                    sizes.1 += 1;
                }
            }
        }
        assert!(sizes.0 > 10 && sizes.1 > 10, "{sizes:?}");
    }

    #[test]
    fn a_second_contact_stands_only_where_there_is_room() {
        let mut seen = [0, 0];
        let head = edited(BASE, "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, NOTIFY, REFER\r\n", "");
        for fill in 0..200 {
            let mut world = World::default();
            world.assign("alice@example.com", HOME_C, 0);
            let message = edited(&head, "(build 7)", &"b".repeat(fill));
            let answer = Memory::new(world).decide(message.as_bytes(), PHONE, 100).unwrap();
            let text = String::from_utf8(answer).unwrap();
            assert!(text.len() <= message.len());
            assert!(text.ends_with(TAIL), "{text}");
            let contacts = text.matches("Contact: ").count();
            if contacts == 2 {
                assert!(text.contains(";q=0.7\r\nContact:") && text.contains(";q=0.3\r\n"));
            }
            seen[contacts - 1] += 1;
        }
        assert!(seen[0] > 0 && seen[1] > 0, "{seen:?}");
        assert!(table::cases().iter().any(|case| case.contacts.matches("Contact:").count() == 2));
    }

    #[test]
    fn the_longest_request_is_answered() {
        let message = stretched(PAYLOAD_MAX as usize);
        assert!(answer(&message, PHONE).is_ok());
        // 320 bytes and more are not hashed as a whole: their retransmissions could not be told.
        for (len, answered) in [(40, true), (312, true), (313, false), (400, false)] {
            let text = "a".repeat(len);
            let branch = base("z9hG4bKa1b2c3d4e5", &format!("z9hG4bK{text}"));
            let call_id = base("8f2c1d03@192.0.2.101", &format!("{text}@bc.def"));
            let tag = base("tag=f00dcafe", &format!("tag={text}1234567"));
            for message in [branch, call_id, tag] {
                match answer(&message, PHONE) {
                    Ok(got) => assert!(answered && String::from_utf8(got).unwrap().contains(&text)),
                    Err(refusal) => assert_eq!((refusal, answered), (Refusal::ValueLong, false)),
                }
            }
        }
    }
}
