//! What is forwarded without state, byte for byte, and its responses (RFC 3261 16.6, 16.7, 16.11;
//! RFC 3581).
#![allow(missing_docs, dead_code)] // a test target, and shared folders of which it uses a part

#[cfg(test)]
mod cases;
#[cfg(test)]
mod world;

#[cfg(test)]
mod tests {
    use super::{
        cases::{BASE, VIA, edited, latin1},
        world::{AT_B, HOME_A, HOME_B, Memory, PROXY, SERVER, SERVER6, World, own_via},
    };
    use proptest::prelude::*;
    use sip_common::{
        abi::{Override, ServerWord, SlotWord},
        onward::FORWARD_MAX,
        verdict::Refusal,
    };
    use std::net::SocketAddr;

    /// The Via of a proxy above that of the phone.
    const TOP: &str = "Via: SIP/2.0/UDP 192.0.2.3:5062;branch=z9hG4bKp1\r\n";

    /// [`BASE`] as it comes through a proxy.
    fn through(top: &str) -> String {
        edited(BASE, VIA, &format!("{top}{VIA}"))
    }

    fn forward(message: &str) -> Result<(String, SocketAddr), Refusal> {
        forward_in(World::forwarding(AT_B), message, PROXY)
    }

    fn forward_in(
        world: World,
        message: &str,
        source: SocketAddr,
    ) -> Result<(String, SocketAddr), Refusal> {
        let own = if source.is_ipv6() { SERVER6 } else { SERVER };
        let (sent, to) = Memory::new(world).forward(&latin1(message), source, own)?;
        Ok((sent.iter().copied().map(char::from).collect(), to))
    }

    /// The line of our own Via.
    fn own_line(sent: &str) -> String {
        let line = sent.split_inclusive("\r\n").find(|line| line.starts_with(&own_via(SERVER)));
        line.unwrap_or_else(|| panic!("no Via of ours: {sent}")).to_owned()
    }

    #[test]
    fn a_via_is_added_one_hop_taken_off_and_nothing_else_touched() {
        let (sent, to) = forward(&through(TOP)).unwrap();
        assert_eq!(to, AT_B);
        let own = own_line(&sent);
        let token = own.trim_end().strip_prefix(&own_via(SERVER)).unwrap();
        assert_eq!(token.len(), 16 + 12 + 16);
        assert_eq!(&token[16..28], "c000020313c6", "192.0.2.3 and 5062");
        let expected = edited(&through(&format!("{own}{TOP}")), ": 70", ": 69");
        assert_eq!(sent, expected);
        assert_eq!(forward(&through(TOP)).unwrap().0, sent, "a retransmission has the same branch");
        let other = forward(&through(&edited(TOP, "p1", "p2"))).unwrap().0;
        assert_ne!(own_line(&other), own, "another request has another");
    }

    #[test]
    fn received_and_rport_go_into_the_top_via_and_say_where_responses_go() {
        for (top, after, port) in [
            ("192.0.2.3:5062;branch=z9hG4bKp", "192.0.2.3:5062;branch=z9hG4bKp", "13c6"),
            ("192.0.2.3;branch=z9hG4bKp", "192.0.2.3;branch=z9hG4bKp", "13c4"),
            (
                "192.0.2.3;rport;branch=z9hG4bKp",
                "192.0.2.3;rport=5062;received=192.0.2.3;branch=z9hG4bKp",
                "13c6",
            ),
            (
                "edge.example:5080;branch=z9hG4bKp;i=7",
                "edge.example:5080;branch=z9hG4bKp;i=7;received=192.0.2.3",
                "13d8",
            ),
        ] {
            let line = |top: &str| format!("Via: SIP/2.0/UDP {top}\r\n");
            let (sent, _) = forward(&through(&line(top))).unwrap();
            assert!(sent.contains(&line(after)), "{top}: {sent}");
            let way = format!("c0000203{port}");
            assert_eq!(&own_line(&sent)[own_via(SERVER).len() + 16..][..12], way, "{top}");
        }
    }

    #[test]
    fn what_only_the_daemon_can_forward_is_left_to_it() {
        let base = through(TOP);
        let far = "Via: SIP/2.0/UDP 198.51.100.9;branch=z9hG4bKhw77\r\n";
        let long = format!("X-Long: {}\r\n", "x".repeat(FORWARD_MAX as usize - base.len() - 60));
        for (message, refusal) in [
            (edited(&base, "Max-Forwards: 70\r\n", ""), Refusal::MaxForwards),
            (edited(&base, ": 70", ": 0"), Refusal::MaxForwards),
            (edited(&base, ": 70", ": 10"), Refusal::MaxForwards),
            (edited(&base, ": 70", ": 100"), Refusal::MaxForwards),
            (edited(&base, ": 70", ": 070"), Refusal::MaxForwards),
            (
                edited(&base, "Max-F", "Route: <sip:example.com;lr>\r\nMax-F"),
                Refusal::HeaderRefused,
            ),
            (edited(&base, "Max-F", "Proxy-Require: x\r\nMax-F"), Refusal::HeaderRefused),
            (through(&format!("{TOP}{far}")), Refusal::ViaMany),
            (through(&far.replace("198.51.100.9", "192.0.2.3:5062")), Refusal::ViaMany),
            (through(&edited(TOP, "p1", "p1\r\nVia: SIP/2.0/UDP b (open")), Refusal::ViaMany),
            (format!("{base}noise"), Refusal::ContentLength),
            (through(&format!("{TOP}{}", far.replace("hw", "hx"))), Refusal::ViaMany),
            (through(&edited(TOP, "p1", "p1, SIP/2.0/UDP b;branch=z9hG4bK2")), Refusal::ViaMany),
            (edited(&base, "c3d4e5", "c3d4e5, SIP/2.0/UDP b"), Refusal::ViaMany),
            (through(&edited(TOP, "UDP", "TCP")), Refusal::ViaProtocol),
            (edited(&base, "sip:example.com", "sip:home-a.example.com"), Refusal::UriDomain),
            (edited(&base, "Max-F", &format!("{long}Max-F")), Refusal::ForwardTooLong),
            (edited(BASE, "Max-F", "Path: <sip:p;lr>\r\nMax-F"), Refusal::HeaderRefused),
        ] {
            assert_eq!(forward(&message).unwrap_err(), refusal, "{message}");
        }
        let other = far.replace("hw", "hop");
        assert!(forward(&through(&format!("{TOP}{other}"))).is_ok(), "another's branch");
        let path = "Path: <sip:p;lr>\r\nMax-F";
        for (before, after, sent_as) in
            [(": 70", ": 1", ": 0"), (": 70", ": 255", ": 254"), ("Max-F", path, path)]
        {
            let (sent, _) = forward(&edited(&base, before, after)).unwrap();
            assert!(sent.contains(&format!("{sent_as}\r\n")) || sent.contains(path), "{sent}");
        }
    }

    #[test]
    fn a_home_is_forwarded_to_only_by_what_the_table_says_for_certain() {
        let alice = "alice@example.com";
        let world = || World::forwarding(AT_B);
        let up = ServerWord::UP;
        type Change = fn(&mut World);
        let cases: [(Change, Option<Refusal>); 8] = [
            (|w| w.assign("alice@example.com", HOME_B, 0), None),
            (|w| w.assign("alice@example.com", HOME_B, Override::NO_REDIRECT), None),
            (
                |w| w.assign("alice@example.com", HOME_B, Override::MOVING),
                Some(Refusal::HomeMoving),
            ),
            (|w| w.assign("alice@example.com", HOME_A, 0), Some(Refusal::HomeHere)),
            (
                |w| w.set_slot("alice@example.com", SlotWord::new(HOME_B, false)),
                Some(Refusal::SlotIncomplete),
            ),
            (|w| w.servers[1] = ServerWord::new(1, 0), Some(Refusal::HomeUnknown)),
            (|w| w.contacts[1].port = 0, Some(Refusal::HomeByDaemon)),
            (|w| w.config.vias[0].len = 0, Some(Refusal::HomeByDaemon)),
        ];
        for (index, (change, refusal)) in cases.into_iter().enumerate() {
            let mut world = world();
            change(&mut world);
            assert_eq!(forward_in(world, &through(TOP), PROXY).err(), refusal, "{index} {alice}");
        }
        let mut silent = world();
        silent.servers[1] = ServerWord::new(1, up);
        assert_eq!(forward_in(silent, &through(TOP), PROXY).err(), Some(Refusal::HomeByDaemon));
        let v6: SocketAddr = "[2001:db8::3]:5060".parse().unwrap();
        assert_eq!(forward_in(world(), &through(TOP), v6).err(), Some(Refusal::HomeByDaemon));
    }

    /// The response of a home to what it was sent.
    fn respond(sent: &str, status: &str) -> String {
        let keeps = ["Via", "From", "To", "Call-ID", "CSeq"];
        let lines = sent
            .split_inclusive("\r\n")
            .filter(|line| keeps.iter().any(|name| line.starts_with(name)));
        format!("SIP/2.0 {status}\r\n{}Content-Length: 0\r\n\r\n", lines.collect::<String>())
    }

    #[test]
    fn a_response_loses_our_via_and_goes_to_who_had_asked() {
        for (source, home) in [
            (PROXY, AT_B),
            ("[2001:db8::3]:5062".parse().unwrap(), "[2001:db8::20]:5070".parse().unwrap()),
        ] {
            let world = || World::forwarding(home);
            let own = if source.is_ipv6() { SERVER6 } else { SERVER };
            let top = format!("Via: SIP/2.0/UDP {source};branch=z9hG4bKp1\r\n");
            let (sent, to) = forward_in(world(), &through(&top), source).unwrap();
            assert_eq!(to, home);
            let response = respond(&sent, "200 OK");
            let mut memory = Memory::new(world());
            let line = response.split_inclusive("\r\n").nth(1).unwrap();
            assert!(line.starts_with(&own_via(own)));
            let expected = edited(&response, line, "");
            for (from, into) in [("", ""), ("\r\n", ";received=198.51.100.10\r\n")] {
                let answered = response.replacen(line, &line.replace(from, into), 1);
                let answered = if from.is_empty() { &response } else { &answered };
                let (back, to) = memory.forward(answered.as_bytes(), home, own).unwrap();
                assert_eq!((String::from_utf8(back).unwrap(), to), (expected.clone(), source));
            }
        }
    }

    #[test]
    fn nothing_else_is_a_response_to_what_was_forwarded() {
        let (sent, _) = forward(&through(TOP)).unwrap();
        let response = respond(&sent, "200 OK");
        let own = own_line(&sent);
        let mut forged: Vec<String> = (own_via(SERVER).len() + 16..own.len() - 2)
            .map(|at| {
                let digit = if &own[at..=at] == "0" { "1" } else { "0" };
                edited(&response, &own, &format!("{}{digit}{}", &own[..at], &own[at + 1..]))
            })
            .collect();
        let vias: String =
            response.split_inclusive("\r\n").filter(|line| line.starts_with("Via")).collect();
        forged.extend([
            edited(&response, &vias, &own),
            edited(&response, &own, &format!("{}{own}", "Server: x\r\n".repeat(4))),
            edited(&response, &own, &format!("Via : SIP/2.0/UDP b\r\n{own}")),
            edited(&response, &own, &own.replace("Via", "v")),
            edited(&response, &own, &own.replace("\r\n", ", SIP/2.0/UDP b\r\n")),
            edited(&response, &own, &own.replace("\r\n", "0\r\n")),
            edited(&response, "SIP/2.0 200 OK\r\n", "SIP/2.0 200 OK\n"),
            format!("SIP/2.0 200 OK\r\nTo: x\r\n\r\n{vias}"),
            response[..own.len() + 10].to_owned(),
        ]);
        for text in forged {
            let got = Memory::new(World::forwarding(AT_B)).forward(text.as_bytes(), AT_B, SERVER);
            assert_eq!(got, Err(Refusal::ResponseOther), "{text}");
        }
        let elsewhere =
            Memory::new(World::forwarding(AT_B)).forward(response.as_bytes(), AT_B, SERVER6);
        assert_eq!(elsewhere, Err(Refusal::ResponseOther), "bound to the address that wrote it");
    }

    proptest! {
        #[test]
        fn whatever_comes_is_forwarded_whole_or_not_at_all(at in 0usize..700, bytes: [u8; 3], response: bool) {
            let (sent, _) = forward(&through(TOP)).unwrap();
            let mut message = if response { respond(&sent, "200 OK") } else { through(TOP) }.into_bytes();
            for (place, byte) in message.iter_mut().skip(at).zip(bytes) {
                *place = byte;
            }
            if message.starts_with(b"SIP/2.0 ") || message.starts_with(b"REGISTER ") {
                let source = if response { AT_B } else { PROXY };
                let got = Memory::new(World::forwarding(AT_B)).forward(&message, source, SERVER);
                if let Ok((got, _)) = got {
                    let own = own_line(&sent).len();
                    let range = if response { got.len() + own..=got.len() + own + 99 } else { message.len()..=message.len() + own + 50 };
                    let whole = if response { message.len() } else { got.len() };
                    prop_assert!(range.contains(&whole), "{} {}", got.len(), message.len());
                }
            }
        }
    }
}
