//! Via: one value, counted over lines, forms and commas; its protocol, sent-by and parameters.

use super::{Case, VIA, answered, base, refused};
use sip_common::verdict::Refusal::{
    self, ControlByte, ViaBranch, ViaComment, ViaMany, ViaParameter, ViaProtocol, ViaQuote,
    ViaReturn, ViaSentBy,
};

const SENT_BY: &str = "192.0.2.101:5060";
const BRANCH: &str = "branch=z9hG4bKa1b2c3d4e5";

/// A message whose Via has this value.
fn value(value: &str) -> String {
    base(VIA, &format!("Via: {value}\r\n"))
}

/// A message with these parameters behind the branch of its Via.
fn behind(parameters: &str) -> String {
    value(&format!("SIP/2.0/UDP {SENT_BY};rport;{BRANCH}{parameters}"))
}

fn answers() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, via) in [
        ("protocol in small letters", format!("sip/2.0/udp {SENT_BY};rport;{BRANCH}")),
        ("blanks before the sent-by", format!("SIP/2.0/UDP  \t {SENT_BY};rport;{BRANCH}")),
        ("a sent-by without a port", format!("SIP/2.0/UDP 192.0.2.101;rport;{BRANCH}")),
        ("a name as sent-by", format!("SIP/2.0/UDP phone-7.example.net:5062;rport;{BRANCH}")),
        ("an IPv6 sent-by", format!("SIP/2.0/UDP [2001:db8::65]:5060;rport;{BRANCH}")),
        ("an IPv6 sent-by without a port", format!("SIP/2.0/UDP [2001:db8::65];rport;{BRANCH}")),
        ("no rport, the sent-by port is the source's", format!("SIP/2.0/UDP {SENT_BY};{BRANCH}")),
        ("no rport, the default port is the source's", format!("SIP/2.0/UDP 192.0.2.101;{BRANCH}")),
        ("another sent-by address behind a NAT", format!("SIP/2.0/UDP 10.1.2.3:5060;{BRANCH}")),
        ("parameter names in capitals", format!("SIP/2.0/UDP {SENT_BY};RPORT;BRANCH=z9hG4bKx")),
        ("rport last", format!("SIP/2.0/UDP {SENT_BY};{BRANCH};rport")),
    ] {
        cases.push(answered(name, value(&via)));
    }
    for (name, parameters) in [
        ("a comma in quotes", ";oc-algo=\"loss,A\""),
        ("an escaped quote before a comma", ";x=\"a\\\",b\""),
        ("an escaped backslash at the end", ";x=\"a,\\\\\""),
        ("a whole Via in quotes", ";x=\"a, SIP/2.0/UDP 203.0.113.9;branch=z9hG4bKy\""),
        ("a semicolon in quotes", ";x=\";received=203.0.113.9;rport=9\""),
        ("an empty quoted string", ";x=\"\""),
        ("overload control, which is off", ";oc;oc-algo=\"loss\""),
        ("alias and keep", ";alias;keep"),
        ("keep with a value", ";keep=30"),
        ("one unknown parameter", ";x-hop=5"),
        ("a token of signs as a value", ";x=!%*_+`'~.-"),
        ("a name longer than eight letters", ";received-by=a"),
    ] {
        cases.push(answered(name, behind(parameters)));
    }
    cases
}

fn refusals() -> Vec<(&'static str, Refusal, String)> {
    let many = "SIP/2.0/UDP 203.0.113.9;branch=z9hG4bKy";
    let top = format!("SIP/2.0/UDP {SENT_BY};rport;{BRANCH}");
    let with = |parameters: &str| format!("{top}{parameters}");
    vec![
        ("two values in one line", ViaMany, format!("{top}, {many}")),
        ("two values without a blank", ViaMany, format!("{top},{many}")),
        ("three values in one line", ViaMany, format!("{top}, {many}, {many}")),
        ("a comma behind a quoted string", ViaMany, format!("{top};x=\"a,b\",{many}")),
        ("a comma behind an escaped backslash", ViaMany, format!("{top};x=\"\\\\\",{many}")),
        ("a comma behind the sent-by", ViaMany, format!("SIP/2.0/UDP {SENT_BY},{many}")),
        ("a trailing comma", ViaMany, with(",")),
        ("a trailing comma and blanks", ViaMany, with(", ")),
        ("an empty element", ViaMany, format!("{top},,{many}")),
        ("a leading comma", ViaProtocol, format!(",{top}")),
        ("an unterminated quote", ViaQuote, with(";x=\"a")),
        ("an unterminated quote over a comma", ViaQuote, format!("{top};x=\"a, {many}")),
        ("an escaped closing quote", ViaQuote, with(";x=\"a\\\"")),
        ("a backslash at the end of a quote", ViaQuote, with(";x=\"\\")),
        ("text behind a quoted string", ViaComment, with(";x=\"a\"b")),
        ("a quote inside a token", ViaComment, with(";x=a\"b\"")),
        ("a quote without a name", ViaComment, with(";\"a\"")),
        ("a comment", ViaComment, with(" (hello)")),
        ("a comment in a parameter", ViaComment, with(";x=(a)")),
        ("a comment that holds a comma", ViaComment, with("(a, b)")),
        ("a blank before a parameter", ViaComment, with(" ;x=a")),
        ("a blank behind a semicolon", ViaComment, with("; x=a")),
        ("a blank around an equals sign", ViaComment, with(";x =a")),
        ("two equals signs", ViaComment, with(";x=a=b")),
        ("a backslash outside quotes", ViaComment, with(";x=a\\")),
        ("a byte that is not ASCII", ViaComment, with(";x=\u{e9}")),
        ("an at sign", ViaComment, with(";x=a@b")),
        ("a question mark", ViaComment, with(";x=a?b")),
        ("an IPv6 address as a value", ViaComment, with(";x=[::1]")),
        ("a control byte", ControlByte, with(";x=\u{1}")),
        ("TCP", ViaProtocol, format!("SIP/2.0/TCP {SENT_BY};rport;{BRANCH}")),
        ("TLS", ViaProtocol, format!("SIP/2.0/TLS {SENT_BY};rport;{BRANCH}")),
        (
            "a transport that begins with UDP",
            ViaProtocol,
            format!("SIP/2.0/UDPX {SENT_BY};{BRANCH}"),
        ),
        ("blanks inside the protocol", ViaProtocol, format!("SIP / 2.0 / UDP {SENT_BY};{BRANCH}")),
        ("a blank before the transport", ViaProtocol, format!("SIP/2.0/ UDP {SENT_BY};{BRANCH}")),
        ("another version", ViaProtocol, format!("SIP/3.0/UDP {SENT_BY};{BRANCH}")),
        ("no sent-by protocol", ViaProtocol, format!("{SENT_BY};{BRANCH}")),
        ("no blank before the sent-by", ViaProtocol, format!("SIP/2.0/UDP{SENT_BY};{BRANCH}")),
        ("no sent-by", ViaSentBy, format!("SIP/2.0/UDP ;{BRANCH}")),
        ("nothing behind the protocol", ViaProtocol, "SIP/2.0/UDP".to_owned()),
        ("a blank before the semicolon", ViaSentBy, format!("SIP/2.0/UDP {SENT_BY} ;{BRANCH}")),
        (
            "blanks around the port's colon",
            ViaSentBy,
            format!("SIP/2.0/UDP 192.0.2.101 : 5060;{BRANCH}"),
        ),
        ("an empty port", ViaSentBy, format!("SIP/2.0/UDP 192.0.2.101:;rport;{BRANCH}")),
        ("port 0", ViaSentBy, format!("SIP/2.0/UDP 192.0.2.101:0;rport;{BRANCH}")),
        ("a port above 65535", ViaSentBy, format!("SIP/2.0/UDP 192.0.2.101:65536;rport;{BRANCH}")),
        ("a port of letters", ViaSentBy, format!("SIP/2.0/UDP 192.0.2.101:sip;rport;{BRANCH}")),
        ("a user in the sent-by", ViaSentBy, format!("SIP/2.0/UDP a@192.0.2.101;rport;{BRANCH}")),
        ("a sent-by in quotes", ViaSentBy, format!("SIP/2.0/UDP \"192.0.2.101\";rport;{BRANCH}")),
        ("an underscore in the sent-by", ViaSentBy, format!("SIP/2.0/UDP my_phone;rport;{BRANCH}")),
        ("a slash in the sent-by", ViaSentBy, format!("SIP/2.0/UDP 192.0.2.0/24;rport;{BRANCH}")),
        ("a percent sign in the sent-by", ViaSentBy, format!("SIP/2.0/UDP a%20b;rport;{BRANCH}")),
        ("a star as sent-by", ViaSentBy, format!("SIP/2.0/UDP *;rport;{BRANCH}")),
        (
            "an IPv6 sent-by without brackets",
            ViaSentBy,
            format!("SIP/2.0/UDP 2001:db8::65;rport;{BRANCH}"),
        ),
        ("an open bracket", ViaSentBy, format!("SIP/2.0/UDP [2001:db8::65;rport;{BRANCH}")),
        (
            "letters in an IPv6 sent-by",
            ViaSentBy,
            format!("SIP/2.0/UDP [2001:db8::g];rport;{BRANCH}"),
        ),
        (
            "a zone in an IPv6 sent-by",
            ViaSentBy,
            format!("SIP/2.0/UDP [fe80::1%eth0];rport;{BRANCH}"),
        ),
        ("no parameters", ViaBranch, format!("SIP/2.0/UDP {SENT_BY}")),
        ("no branch", ViaBranch, format!("SIP/2.0/UDP {SENT_BY};rport")),
        ("a branch without a value", ViaBranch, format!("SIP/2.0/UDP {SENT_BY};rport;branch")),
        ("an empty branch", ViaParameter, format!("SIP/2.0/UDP {SENT_BY};rport;branch=")),
        ("a branch of RFC 2543", ViaBranch, format!("SIP/2.0/UDP {SENT_BY};rport;branch=a1b2c3")),
        (
            "the cookie and no more",
            ViaBranch,
            format!("SIP/2.0/UDP {SENT_BY};rport;branch=z9hG4bK"),
        ),
        (
            "the cookie in small letters",
            ViaBranch,
            format!("SIP/2.0/UDP {SENT_BY};rport;branch=z9hg4bkx"),
        ),
        (
            "a branch in quotes",
            ViaBranch,
            format!("SIP/2.0/UDP {SENT_BY};rport;branch=\"z9hG4bKx\""),
        ),
        ("two branches", ViaParameter, with(";branch=z9hG4bKother")),
        ("two rport", ViaParameter, with(";rport")),
        ("rport with a value", ViaParameter, format!("SIP/2.0/UDP {SENT_BY};rport=5060;{BRANCH}")),
        (
            "rport with an empty value",
            ViaParameter,
            format!("SIP/2.0/UDP {SENT_BY};rport=;{BRANCH}"),
        ),
        ("received", ViaParameter, with(";received=203.0.113.9")),
        ("received in capitals", ViaParameter, with(";RECEIVED=203.0.113.9")),
        ("maddr", ViaParameter, with(";maddr=203.0.113.9")),
        ("ttl", ViaParameter, with(";ttl=1")),
        ("comp", ViaParameter, with(";comp=sigcomp")),
        ("alias twice", ViaParameter, with(";alias;alias")),
        ("keep twice", ViaParameter, with(";keep;keep=1")),
        ("oc twice", ViaParameter, with(";oc;oc")),
        ("an unknown parameter twice", ViaParameter, with(";x;x")),
        ("two unknown parameters", ViaParameter, with(";x;y")),
        ("an empty parameter", ViaParameter, with(";;x")),
        ("a trailing semicolon", ViaParameter, with(";")),
        ("a parameter without a name", ViaParameter, with(";=x")),
        ("a parameter without a value", ViaParameter, with(";x=")),
        (
            "no rport and another port than the source's",
            ViaReturn,
            format!("SIP/2.0/UDP 192.0.2.101:5062;{BRANCH}"),
        ),
    ]
}

pub fn cases() -> Vec<Case> {
    let mut cases = answers();
    for (name, refusal, via) in refusals() {
        cases.push(refused(name, refusal, value(&via)));
    }
    cases
}
