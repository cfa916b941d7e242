//! Every message of RFC 4475 and RFC 5118 over TCP: a final answer or a closed connection, as the
//! RFCs say, and a connection or a daemon that goes on.
//!
//! Behind each message a probe is sent, whose answer shows that the next message still begins where
//! it should. Over a stream (RFC 3261 section 18.3) a message
//! without Content-Length is refused, one whose body never comes ends with its time, and two
//! requests behind one another are two requests.

use std::{fs, path::Path, time::Duration};

use crate::{
    daemon::Daemon,
    peer::{Got, Peer, register, status},
};

/// What becomes of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// The probe is answered.
    Open,
    /// It is closed.
    Closed,
}
use Then::{Closed, Open};

/// A final answer, whichever: what the RFC leaves to what a server can do.
const ANY: u16 = 0;

fn check(name: &str, statuses: &[u16], then: Then) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(name);
    let daemon = Daemon::start(&[("tcp.message_time", "1")]);
    let mut peer = Peer::tcp(daemon.tcp());
    peer.send(fs::read(path).unwrap());
    // Nobody reads this any more if the message was broken.
    let _ = peer.try_send(register("probe", 1, "TCP"));
    peer.patience(Duration::from_secs(5));
    let mut got = Vec::new();
    let ended = loop {
        match peer.next() {
            Got::Message(text) if top_via(&text).contains("z9hG4bKprobe1") => break Open,
            Got::Message(text) => got.extend(Some(status(&text)).filter(|status| *status >= 200)),
            Got::Pong => {}
            Got::Closed => break Closed,
            Got::Nothing => panic!("{name}: neither answered nor closed: {got:?}"),
        }
    };
    let same = |(got, wanted): (&u16, &u16)| got == wanted || *wanted == ANY;
    let all = got.len() == statuses.len() && got.iter().zip(statuses).all(same);
    assert!(all && ended == then, "{name}: {got:?} {ended:?}, not {statuses:?} {then:?}");
    let mut peer = Peer::tcp(daemon.tcp());
    peer.send(register("alice", 1, "TCP"));
    assert_eq!(peer.status(), 200, "{name}: the daemon goes on");
}

fn top_via(text: &str) -> &str {
    text.lines().find(|line| line.starts_with("Via:")).unwrap_or("")
}

macro_rules! messages {
    ($($test:ident: $file:literal, $statuses:expr, $then:expr;)*) => {$(
        #[test]
        fn $test() {
            check($file, &$statuses, $then);
        }
    )*};
}

messages! {
    rfc4475_section_3_1_1_1_wsinv: "rfc4475/wsinv.dat", [ANY], Open;
    rfc4475_section_3_1_1_2_intmeth: "rfc4475/intmeth.dat", [ANY], Open;
    rfc4475_section_3_1_1_3_esc01: "rfc4475/esc01.dat", [ANY], Open;
    rfc4475_section_3_1_1_4_escnull: "rfc4475/escnull.dat", [200], Open;
    rfc4475_section_3_1_1_5_esc02: "rfc4475/esc02.dat", [ANY], Open;
    rfc4475_section_3_1_1_6_lwsdisp: "rfc4475/lwsdisp.dat", [ANY], Open;
    rfc4475_section_3_1_1_7_longreq: "rfc4475/longreq.dat", [ANY], Open;
    rfc4475_section_3_1_1_8_dblreq: "rfc4475/dblreq.dat", [480, 200], Closed;
    rfc4475_section_3_1_1_9_semiuri: "rfc4475/semiuri.dat", [ANY], Open;
    rfc4475_section_3_1_1_10_transports: "rfc4475/transports.dat", [ANY], Open;
    rfc4475_section_3_1_1_11_mpart01: "rfc4475/mpart01.dat", [ANY], Open;
    rfc4475_section_3_1_1_12_unreason: "rfc4475/unreason.dat", [], Open;
    rfc4475_section_3_1_1_13_noreason: "rfc4475/noreason.dat", [], Open;
    rfc4475_section_3_1_2_1_badinv01: "rfc4475/badinv01.dat", [400], Open;
    rfc4475_section_3_1_2_2_clerr: "rfc4475/clerr.dat", [], Closed;
    rfc4475_section_3_1_2_3_ncl: "rfc4475/ncl.dat", [400], Closed;
    rfc4475_section_3_1_2_4_scalar02: "rfc4475/scalar02.dat", [400], Open;
    rfc4475_section_3_1_2_5_scalarlg: "rfc4475/scalarlg.dat", [], Open;
    rfc4475_section_3_1_2_6_quotbal: "rfc4475/quotbal.dat", [400], Open;
    rfc4475_section_3_1_2_7_ltgtruri: "rfc4475/ltgtruri.dat", [400], Open;
    rfc4475_section_3_1_2_8_lwsruri: "rfc4475/lwsruri.dat", [400], Open;
    rfc4475_section_3_1_2_9_lwsstart: "rfc4475/lwsstart.dat", [400], Open;
    rfc4475_section_3_1_2_10_trws: "rfc4475/trws.dat", [400], Open;
    rfc4475_section_3_1_2_11_escruri: "rfc4475/escruri.dat", [400], Open;
    rfc4475_section_3_1_2_12_baddate: "rfc4475/baddate.dat", [ANY], Open;
    rfc4475_section_3_1_2_13_regbadct: "rfc4475/regbadct.dat", [400], Open;
    rfc4475_section_3_1_2_14_badaspec: "rfc4475/badaspec.dat", [400], Open;
    rfc4475_section_3_1_2_15_baddn: "rfc4475/baddn.dat", [400], Closed;
    rfc4475_section_3_1_2_16_badvers: "rfc4475/badvers.dat", [505], Open;
    rfc4475_section_3_1_2_17_mismatch01: "rfc4475/mismatch01.dat", [400], Open;
    rfc4475_section_3_1_2_18_mismatch02: "rfc4475/mismatch02.dat", [400], Open;
    rfc4475_section_3_1_2_19_bigcode: "rfc4475/bigcode.dat", [], Closed;
    rfc4475_section_3_2_1_badbranch: "rfc4475/badbranch.dat", [ANY], Open;
    rfc4475_section_3_3_1_insuf: "rfc4475/insuf.dat", [400], Open;
    rfc4475_section_3_3_2_unkscm: "rfc4475/unkscm.dat", [416], Open;
    rfc4475_section_3_3_3_novelsc: "rfc4475/novelsc.dat", [416], Open;
    rfc4475_section_3_3_4_unksm2: "rfc4475/unksm2.dat", [400], Open;
    rfc4475_section_3_3_5_bext01: "rfc4475/bext01.dat", [ANY], Open;
    rfc4475_section_3_3_6_invut: "rfc4475/invut.dat", [ANY], Open;
    rfc4475_section_3_3_7_regaut01: "rfc4475/regaut01.dat", [ANY], Open;
    rfc4475_section_3_3_8_multi01: "rfc4475/multi01.dat", [400], Open;
    rfc4475_section_3_3_9_mcl01: "rfc4475/mcl01.dat", [400], Closed;
    rfc4475_section_3_3_10_bcast: "rfc4475/bcast.dat", [], Open;
    rfc4475_section_3_3_11_zeromf: "rfc4475/zeromf.dat", [ANY], Open;
    rfc4475_section_3_3_12_cparam01: "rfc4475/cparam01.dat", [200], Open;
    rfc4475_section_3_3_13_cparam02: "rfc4475/cparam02.dat", [200], Open;
    rfc4475_section_3_3_14_regescrt: "rfc4475/regescrt.dat", [200], Open;
    rfc4475_section_3_3_15_sdp01: "rfc4475/sdp01.dat", [ANY], Open;
    rfc4475_section_3_4_1_inv2543: "rfc4475/inv2543.dat", [400], Closed;
    rfc4475_section_x_test: "rfc4475/test.dat", [], Open;
    rfc5118_section_4_1_ipv6_good: "rfc5118/ipv6-good.sip", [ANY], Open;
    rfc5118_section_4_2_ipv6_bad: "rfc5118/ipv6-bad.sip", [400], Open;
    rfc5118_section_4_3_port_ambiguous: "rfc5118/port-ambiguous.sip", [ANY], Open;
    rfc5118_section_4_4_port_unambiguous: "rfc5118/port-unambiguous.sip", [ANY], Open;
    rfc5118_section_4_5_via_received_param_no_delim: "rfc5118/via-received-param-no-delim.sip", [ANY], Open;
    rfc5118_section_4_5_via_received_param_with_delim: "rfc5118/via-received-param-with-delim.sip", [ANY], Open;
    rfc5118_section_4_6_ipv6_in_sdp: "rfc5118/ipv6-in-sdp.sip", [ANY], Open;
    rfc5118_section_4_7_mult_ip_in_header: "rfc5118/mult-ip-in-header.sip", [ANY], Open;
    rfc5118_section_4_8_mult_ip_in_sdp: "rfc5118/mult-ip-in-sdp.sip", [ANY], Closed;
    rfc5118_section_4_9_ipv4_mapped_ipv6: "rfc5118/ipv4-mapped-ipv6.sip", [ANY], Closed;
    rfc5118_section_4_10_ipv6_bug_abnf_3_colons: "rfc5118/ipv6-bug-abnf-3-colons.sip", [ANY], Open;
    rfc5118_section_4_10_ipv6_correct_abnf_2_colons: "rfc5118/ipv6-correct-abnf-2-colons.sip", [ANY], Open;
}
