//! What the messages of RFC 4475 and RFC 5118 are answered with: one test for each, named after its
//! section, over datagrams and over a stream.
//!
//! Every domain is served. `proxy` asks a host to whom every client's home is elsewhere, `home` one
//! that is everybody's home, so that each message meets the role that its section speaks of.

use std::path::Path;

use self::Expect::{Answer, Onward, Registered, Silence};
use super::{
    Core, Flow, Output, Packet, Settings, Transport,
    table::{Change, Server, State, Table},
    tests::{EDGE, HOME, addr, apply, at, settings, table},
};

const SOURCE: &str = "203.0.113.77:5060";

/// What came of a message.
#[derive(Debug, Default)]
struct Outcome {
    /// Status and text of the final answer.
    answer: Option<(u16, String)>,
    /// What was sent on.
    onward: Option<Vec<u8>>,
    sent: usize,
    /// Contacts that are bound afterwards.
    bound: usize,
}

/// A message. Where it names a router that is nobody's here, which is refused whatever its form,
/// it names the home instead; and the archive's one wrong length counts other line ends.
fn message(folder: &str, file: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(folder);
    let bytes = std::fs::read(folder.join(file)).unwrap();
    let (from, to) = match file {
        "wsinv.dat" => ("services.example.com", "home.example.com"),
        "mpart01.dat" => ("<sip:127.0.0.1:5080>", "<sip:192.0.2.2;lr>"),
        "ipv6-in-sdp.sip" => ("Content-Length: 268", "Content-Length: 251"),
        _ => return bytes,
    };
    let at = bytes.windows(from.len()).position(|found| found == from.as_bytes()).unwrap();
    [&bytes[..at], to.as_bytes(), &bytes[at + from.len()..]].concat()
}

/// A table with one server that takes all clients.
fn only(this: &str, serving: u16) -> Table {
    let mut table = table(this, Some(1));
    for index in 0..3 {
        let server = table.server(index).unwrap().clone();
        let state = if index == serving { State::Up } else { State::Disabled };
        apply(&mut table, vec![Change::Server { index, server: Server { state, ..server } }]);
    }
    table
}

fn ask(transport: Transport, folder: &str, file: &str, home: bool) -> Outcome {
    let settings = Settings { any_domain: true, ..settings(EDGE) };
    let mut core = Core::new(settings, only("edge", if home { 0 } else { 1 }), None);
    let connection = u64::from(transport != Transport::Udp);
    let flow = Flow { transport, connection, ..Flow::udp(addr(EDGE), addr(SOURCE)) };
    let (bytes, mut out) = (message(folder, file), Vec::new());
    core.handle_packet(at(0), &Packet { flow, payload: &bytes }, &mut out);
    let mut outcome = Outcome { sent: out.len(), ..Outcome::default() };
    for output in out {
        let Output::Send { flow, payload } = output else { continue };
        if flow.peer == addr(HOME) {
            outcome.onward = Some(payload);
            continue;
        }
        assert_eq!(flow.peer.ip(), addr(SOURCE).ip(), "an answer goes to its source");
        let text = String::from_utf8_lossy(&payload).into_owned();
        let status: u16 = text.split(' ').nth(1).unwrap().parse().unwrap();
        if status >= 200 {
            outcome.answer = Some((status, text));
        }
    }
    outcome.bound = core.bindings().len();
    outcome
}

/// What a test expects.
enum Expect {
    /// It is answered with this status.
    Answer(u16),
    /// It is sent on, and what is sent holds these.
    Onward(&'static [&'static str]),
    /// It is registered, with these Contacts in the answer.
    Registered(&'static [&'static str]),
    /// Nothing is said.
    Silence,
}

fn check(folder: &str, file: &str, home: bool, expect: &Expect) {
    for transport in [Transport::Udp, Transport::Tcp] {
        let got = ask(transport, folder, file, home);
        let status = got.answer.as_ref().map(|(status, _)| *status);
        match expect {
            Answer(expected) => {
                assert_eq!((status, got.onward.is_none()), (Some(*expected), true), "{got:#?}");
                assert_eq!(got.sent, 1, "exactly one answer");
            }
            Onward(parts) => {
                assert_eq!(status, None, "{got:#?}");
                let onward = got.onward.expect("it is sent on");
                for part in *parts {
                    let found = onward.windows(part.len()).any(|bytes| bytes == part.as_bytes());
                    assert!(found, "{part:?} in {}", String::from_utf8_lossy(&onward));
                }
            }
            Registered(contacts) => {
                let (status, text) = got.answer.expect("it is answered");
                assert_eq!((status, got.sent), (200, 1), "{text}");
                for contact in *contacts {
                    let line = format!("\r\nContact: {contact};expires=");
                    assert!(text.contains(&line), "{contact} in {text}");
                }
                assert_eq!(text.matches("\r\nContact: ").count(), contacts.len(), "{text}");
                assert_eq!(got.bound, contacts.len());
            }
            Silence => assert_eq!(got.sent, 0, "{got:#?}"),
        }
    }
}

macro_rules! torture {
    ($($name:ident: $folder:literal $file:literal, $role:ident => $expect:expr;)*) => {
        $(#[test]
        fn $name() {
            check($folder, $file, stringify!($role) == "home", &$expect);
        })*
    };
}

torture! {
    s4475_3_1_1_1_a_short_tortuous_invite: "rfc4475" "wsinv.dat", proxy =>
        Onward(&["INVITE sip:vivekg@chair-dnrc.example.com;unknownparam SIP/2.0\r\n", "Max-Forwards: 67\r\n",
                 "NewFangledHeader:   newfangled value\r\n continued newfangled value\r\n"]);
    s4475_3_1_1_2_wide_range_of_valid_characters: "rfc4475" "intmeth.dat", proxy =>
        Onward(&["!interesting-Method0123456789_*+`.%indeed'~ sip:1_unusual.URI~(to-be!sure)"]);
    s4475_3_1_1_3_valid_use_of_the_percent_escape: "rfc4475" "esc01.dat", proxy =>
        Onward(&["INVITE sip:sips%3Auser%40example.com@example.net SIP/2.0\r\n"]);
    s4475_3_1_1_4_escaped_nulls_in_uris: "rfc4475" "escnull.dat", home =>
        Registered(&["<sip:%00@host5.example.com>", "<sip:%00%00@host5.example.com>"]);
    s4475_3_1_1_5_percent_when_it_is_not_an_escape: "rfc4475" "esc02.dat", proxy => Answer(501);
    s4475_3_1_1_6_no_blank_between_name_and_bracket: "rfc4475" "lwsdisp.dat", proxy =>
        Onward(&["OPTIONS sip:user@example.com SIP/2.0\r\n", "From: caller<sip:caller@example.com>;tag=323\r\n"]);
    s4475_3_1_1_7_long_values_in_header_fields: "rfc4475" "longreq.dat", proxy =>
        Onward(&["INVITE sip:user@example.com SIP/2.0\r\n", "longcallernameamazinglylongcallername"]);
    s4475_3_1_1_8_extra_octets_behind_the_message: "rfc4475" "dblreq.dat", home =>
        Registered(&["<sip:j.user@host.example.com>"]);
    s4475_3_1_1_9_semicolons_in_the_user_part: "rfc4475" "semiuri.dat", proxy =>
        Onward(&["OPTIONS sip:user;par=u%40example.net@example.com SIP/2.0\r\n"]);
    s4475_3_1_1_10_varied_and_unknown_transports: "rfc4475" "transports.dat", proxy =>
        Onward(&["Via: SIP/2.0/SCTP t2.example.com;branch=z9hG4bKklasjdhf\r\n"]);
    s4475_3_1_1_11_multipart_mime_message: "rfc4475" "mpart01.dat", proxy =>
        Onward(&["Content-Transfer-Encoding: binary\r\n"]);
    s4475_3_1_1_12_unusual_reason_phrase: "rfc4475" "unreason.dat", proxy => Silence;
    s4475_3_1_1_13_empty_reason_phrase: "rfc4475" "noreason.dat", proxy => Silence;
    s4475_3_1_2_1_extraneous_separators: "rfc4475" "badinv01.dat", proxy => Answer(400);
    s4475_3_1_2_2_content_length_larger_than_the_message: "rfc4475" "clerr.dat", proxy => Answer(400);
    s4475_3_1_2_3_negative_content_length: "rfc4475" "ncl.dat", proxy => Answer(400);
    s4475_3_1_2_4_request_scalars_with_overlarge_values: "rfc4475" "scalar02.dat", home => Answer(400);
    s4475_3_1_2_5_response_scalars_with_overlarge_values: "rfc4475" "scalarlg.dat", proxy => Silence;
    s4475_3_1_2_6_unterminated_quoted_string: "rfc4475" "quotbal.dat", proxy => Answer(400);
    s4475_3_1_2_7_brackets_around_the_request_uri: "rfc4475" "ltgtruri.dat", proxy => Answer(400);
    s4475_3_1_2_8_blank_in_the_request_uri: "rfc4475" "lwsruri.dat", proxy => Answer(400);
    s4475_3_1_2_9_many_blanks_in_the_request_line: "rfc4475" "lwsstart.dat", proxy => Answer(400);
    s4475_3_1_2_10_trailing_blank_in_the_request_line: "rfc4475" "trws.dat", proxy => Answer(400);
    s4475_3_1_2_11_escaped_headers_in_the_request_uri: "rfc4475" "escruri.dat", proxy => Answer(400);
    s4475_3_1_2_12_invalid_time_zone_in_date: "rfc4475" "baddate.dat", proxy =>
        Onward(&["Date: Fri, 01 Jan 2010 16:00:00 EST\r\n"]);
    s4475_3_1_2_13_question_mark_in_a_bare_contact_at_home: "rfc4475" "regbadct.dat", home => Answer(400);
    s4475_3_1_2_13_question_mark_in_a_bare_contact_elsewhere: "rfc4475" "regbadct.dat", proxy => Answer(400);
    s4475_3_1_2_14_blanks_within_an_addr_spec: "rfc4475" "badaspec.dat", proxy => Answer(400);
    s4475_3_1_2_15_non_token_characters_in_a_display_name: "rfc4475" "baddn.dat", proxy => Answer(400);
    s4475_3_1_2_16_unknown_protocol_version: "rfc4475" "badvers.dat", proxy => Answer(505);
    s4475_3_1_2_17_method_of_start_line_and_cseq_differ: "rfc4475" "mismatch01.dat", proxy => Answer(400);
    s4475_3_1_2_18_unknown_method_with_another_in_cseq: "rfc4475" "mismatch02.dat", proxy => Answer(400);
    s4475_3_1_2_19_overlarge_response_code: "rfc4475" "bigcode.dat", proxy => Silence;
    s4475_3_2_1_missing_transaction_identifier: "rfc4475" "badbranch.dat", proxy =>
        Onward(&["OPTIONS sip:user@example.com SIP/2.0\r\n"]);
    s4475_3_3_1_missing_required_header_fields: "rfc4475" "insuf.dat", proxy => Answer(400);
    s4475_3_3_2_request_uri_with_unknown_scheme: "rfc4475" "unkscm.dat", proxy => Answer(416);
    s4475_3_3_3_request_uri_with_known_but_atypical_scheme: "rfc4475" "novelsc.dat", proxy => Answer(416);
    s4475_3_3_4_unknown_uri_schemes_in_header_fields: "rfc4475" "unksm2.dat", home => Answer(400);
    s4475_3_3_5_proxy_require_and_require: "rfc4475" "bext01.dat", proxy => Answer(420);
    s4475_3_3_6_unknown_content_type_is_the_ends_business: "rfc4475" "invut.dat", proxy =>
        Onward(&["Content-Type: application/unknownformat\r\n"]);
    s4475_3_3_8_multiple_values_in_single_value_fields: "rfc4475" "multi01.dat", proxy => Answer(400);
    s4475_3_3_9_multiple_content_length_values: "rfc4475" "mcl01.dat", proxy => Answer(400);
    s4475_3_3_10_response_with_a_broadcast_via: "rfc4475" "bcast.dat", proxy => Silence;
    s4475_3_3_11_max_forwards_of_zero: "rfc4475" "zeromf.dat", proxy => Answer(483);
    s4475_3_3_12_register_with_a_contact_header_parameter: "rfc4475" "cparam01.dat", home =>
        Registered(&["<sip:+19725552222@gw1.example.net>;unknownparam"]);
    s4475_3_3_13_register_with_a_url_parameter: "rfc4475" "cparam02.dat", home =>
        Registered(&["<sip:+19725552222@gw1.example.net;unknownparam>"]);
    s4475_3_3_14_register_with_an_escaped_header: "rfc4475" "regescrt.dat", home =>
        Registered(&["<sip:user@example.com?Route=%3Csip:sip.example.com%3E>"]);
    s4475_3_3_15_unacceptable_accept_offering_is_the_ends_business: "rfc4475" "sdp01.dat", proxy =>
        Onward(&["Accept: text/nobodyKnowsThis\r\n"]);
    s4475_3_4_1_invite_with_rfc_2543_syntax: "rfc4475" "inv2543.dat", proxy =>
        Onward(&["INVITE sip:UserB@example.com SIP/2.0\r\n", "Max-Forwards: 70\r\n"]);
    s4475_archive_a_request_without_a_via: "rfc4475" "test.dat", proxy => Silence;

    s5118_4_1_valid_request_with_an_ipv6_reference: "rfc5118" "ipv6-good.sip", home =>
        Registered(&["<sip:caller@[2001:db8::1]>"]);
    s5118_4_2_invalid_request_with_an_ipv6_reference: "rfc5118" "ipv6-bad.sip", home => Answer(400);
    s5118_4_3_port_ambiguous_in_a_uri: "rfc5118" "port-ambiguous.sip", home =>
        Registered(&["<sip:caller@[2001:db8::1]>"]);
    s5118_4_4_port_unambiguous_in_a_uri: "rfc5118" "port-unambiguous.sip", home =>
        Registered(&["<sip:caller@[2001:db8::1]>"]);
    s5118_4_5_received_without_brackets: "rfc5118" "via-received-param-no-delim.sip", proxy => Answer(200);
    // Understood; but this host is in no dialog.
    s5118_4_5_received_with_brackets: "rfc5118" "via-received-param-with-delim.sip", proxy => Answer(405);
    s5118_4_6_ipv6_in_sdp: "rfc5118" "ipv6-in-sdp.sip", proxy =>
        Onward(&["c=IN IP6 2001:db8::20"]);
    s5118_4_7_mixed_addresses_in_header_fields: "rfc5118" "mult-ip-in-header.sip", proxy =>
        Onward(&["BYE sip:user@host.example.net SIP/2.0\r\n"]);
    s5118_4_8_mixed_addresses_in_sdp: "rfc5118" "mult-ip-in-sdp.sip", proxy =>
        Onward(&["c=IN IP4 192.0.2.1", "c=IN IP6 2001:db8::1"]);
    s5118_4_9_ipv4_mapped_addresses: "rfc5118" "ipv4-mapped-ipv6.sip", proxy =>
        Onward(&["INVITE sip:user@example.com SIP/2.0\r\n", "[::ffff:192.0.2.10]:19823;"]);
    s5118_4_10_two_colons: "rfc5118" "ipv6-correct-abnf-2-colons.sip", proxy =>
        Onward(&["OPTIONS sip:user@[2001:db8::192.0.2.1] SIP/2.0\r\n"]);
    s5118_4_10_three_colons: "rfc5118" "ipv6-bug-abnf-3-colons.sip", proxy =>
        Onward(&["OPTIONS sip:user@[2001:db8:::192.0.2.1] SIP/2.0\r\n"]);
}

#[test]
fn s4475_3_3_7_unknown_authorization_scheme_is_no_credentials() {
    // Without authentication it is a registration like any other.
    let got = ask(Transport::Udp, "rfc4475", "regaut01.dat", true);
    assert_eq!(got.answer.map(|(status, _)| status), Some(200));
}

#[test]
fn s4475_3_1_1_8_what_follows_the_message_is_no_second_request() {
    let got = ask(Transport::Udp, "rfc4475", "dblreq.dat", false);
    assert_eq!(got.sent, 1);
    assert!(got.answer.is_none_or(|(status, _)| status == 302));
}

#[test]
fn s4475_3_3_5_the_extension_is_named() {
    let got = ask(Transport::Udp, "rfc4475", "bext01.dat", false);
    let text = got.answer.unwrap().1;
    assert!(
        text.contains("\r\nUnsupported: noProxiesSupportThis, norDoAnyProxiesSupportThis\r\n"),
        "{text}"
    );
}

#[test]
fn every_message_of_both_manifests_has_its_test() {
    let source = include_str!("torture.rs");
    for folder in ["rfc4475", "rfc5118"] {
        let manifest = String::from_utf8(message(folder, "MANIFEST.tsv")).unwrap();
        for file in manifest.lines().skip(1).filter_map(|line| line.split('\t').next()) {
            assert!(source.contains(&format!("\"{file}\"")), "{file}");
        }
    }
}
