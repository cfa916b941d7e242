//! REGISTERs in the styles of many phones, and of the proxies behind them.
//!
//! Soft phones write long names and `rport` last or first, desk phones compact names, gateways
//! put Via last and give no Max-Forwards, clients of RFC 7339 quote commas in their Via, and
//! every proxy on the way adds a Via value, as a line of its own or before a comma.

use crate::rng::Rng;
use std::net::SocketAddr;

/// A generated request: text in Latin-1, and where it comes from.
pub struct Made {
    pub message: Vec<u8>,
    pub source: SocketAddr,
}

/// A client that writes in one style.
struct Style {
    /// 0 long, 1 compact, 2 mixed.
    names: usize,
    /// 0 as usual, 1 small letters, 2 capitals.
    case: usize,
    /// Blanks where there may be some.
    blanks: bool,
    /// Nothing that a good phone would not send.
    calm: bool,
}

/// One of `cases`, or the last of them from a calm phone.
fn case(rng: &mut Rng, calm: bool, cases: usize) -> usize {
    if calm { cases - 1 } else { rng.below(cases) }
}

impl Style {
    fn name(&self, rng: &mut Rng, long: &'static str, compact: &'static str) -> String {
        let short = self.names == 1 || (self.names == 2 && rng.percent(50));
        let name = if short { compact } else { long };
        let name = match self.case {
            0 => name.to_owned(),
            1 => name.to_lowercase(),
            _ => name.to_uppercase(),
        };
        let colon = if self.blanks { rng.pick(&[":", ": ", " : ", "\t:\t ", " :"]) } else { ": " };
        name + colon
    }
}

/// Makes a request of its own identity.
pub fn make(rng: &mut Rng) -> Made {
    let style = Style {
        names: rng.below(3),
        case: rng.below(6).min(2),
        blanks: rng.percent(15),
        calm: rng.percent(55),
    };
    let calm = style.calm;
    let source = source(rng);
    let user = format!("{}{}", rng.pick(&["1", "user", "Al.", "+49", "a;b=", "x_"]), rng.token(6));
    let domain = rng.pick(&["example.com", "example.com", "example.org", "Example.COM"]);
    let mut lines = vec![
        format!("{}{}", style.name(rng, "To", "t"), to(rng, calm, &user, domain)),
        format!("{}{}", style.name(rng, "From", "f"), from(rng, &user, domain)),
        format!("{}{}", style.name(rng, "Call-ID", "i"), call_id(rng)),
        format!("{}{}", style.name(rng, "CSeq", "CSeq"), cseq(rng, calm)),
        format!("{}{}", style.name(rng, "Contact", "m"), contact(rng, calm, &user)),
        format!(
            "{}Phone/{}.{}",
            style.name(rng, "User-Agent", "User-Agent"),
            rng.below(9),
            rng.below(99)
        ),
    ];
    if rng.percent(80) {
        lines.push(format!(
            "{}{}",
            style.name(rng, "Max-Forwards", "Max-Forwards"),
            rng.pick(&["70", "69", "70", "0", "255", "16"])
        ));
    }
    for (chance, line) in [
        (50, "Allow: INVITE, ACK, CANCEL, BYE, NOTIFY, REFER, MESSAGE, OPTIONS, INFO, SUBSCRIBE"),
        (40, "Expires: 3600"),
        (30, "Supported: path, gruu, outbound, replaces"),
        (
            20,
            "Authorization: Digest username=\"u\", realm=\"r, Via: x\", nonce=\"a\\\"b\", uri=\"sip:example.com\", response=\"0\"",
        ),
        (10, "X-Via: SIP/2.0/UDP 203.0.113.1, v: b"),
        (10, "Subject: Via: SIP/2.0/UDP 203.0.113.1;branch=z9hG4bKx"),
        (10, "k: timer"),
        (5, "Organization: M\u{fc}ller & S\u{f6}hne"),
        (5, "Event: registration"),
        (5, "P-Access-Network-Info: 3GPP-UTRAN-TDD; utran-cell-id-3gpp=234151D0FCE11"),
    ] {
        if rng.percent(chance) {
            lines.push(line.to_owned());
        }
    }
    if rng.percent(20) {
        lines.push(format!("Warning: 399 phone \"{}\"", rng.token(200)));
    }
    if rng.percent(35) {
        rng.shuffle(&mut lines);
    }
    put_vias(rng, &style, &mut lines, source);
    let body = rng.pick(&["", "", "", "", "noise", "Via: a\r\n\r\n", "\0\u{1}"]);
    if rng.percent(85) {
        let len = if rng.percent(50) { body.len() } else { 0 };
        lines.push(format!("{}{len}", style.name(rng, "Content-Length", "l")));
    }
    if !calm && rng.percent(10) {
        let at = rng.below(lines.len());
        let fold = rng.pick(&["\r\n ", "\r\n\t", "\r\n , ", "\r\n  folded"]);
        lines[at].push_str(fold);
    }
    let start = start(rng);
    let text = format!("{start}\r\n{}\r\n\r\n{body}", lines.join("\r\n"));
    Made { message: text.chars().map(|c| c as u8).collect(), source }
}

fn start(rng: &mut Rng) -> String {
    let uri = rng.pick(&[
        "sip:example.com",
        "sip:example.com",
        "sip:example.com",
        "sip:example.org",
        "SIP:EXAMPLE.com:5060",
        "sip:example.com;transport=udp",
        "sip:home-a.example.com;transport=UDP",
        "sip:198.51.100.10:5060",
    ]);
    format!("REGISTER {uri} {}", if rng.percent(97) { "SIP/2.0" } else { "sip/2.0" })
}

fn source(rng: &mut Rng) -> SocketAddr {
    let port = if rng.percent(60) { 5060 } else { 1024 + rng.below(60_000) as u16 };
    let (a, b, c) = (rng.below(256) as u8, rng.below(256) as u8, rng.below(256) as u8);
    if rng.percent(80) {
        SocketAddr::from(([198, 16 | a & 3, b, c], port))
    } else {
        SocketAddr::from((
            [0x2001, 0xdb8, a.into(), b.into(), 0, 0, c.into(), rng.below(0x10000) as u16],
            port,
        ))
    }
}

fn put_vias(rng: &mut Rng, style: &Style, lines: &mut Vec<String>, source: SocketAddr) {
    let count = if rng.percent(if style.calm { 88 } else { 45 }) { 1 } else { 2 + rng.below(3) };
    let values: Vec<String> = (0..count).map(|hop| via(rng, style.calm, source, hop)).collect();
    let mut written = Vec::new();
    let mut rest = values.as_slice();
    while !rest.is_empty() {
        let here = 1 + rng.below(rest.len());
        let (line, next) = rest.split_at(here);
        let comma = rng.pick(&[", ", ",", " , ", ",\t"]);
        written.push(format!("{}{}", style.name(rng, "Via", "v"), line.join(comma)));
        rest = next;
    }
    match rng.below(10) {
        0 => lines.extend(written),
        1 => written.into_iter().for_each(|line| lines.insert(rng.below(lines.len() + 1), line)),
        _ => {
            written.append(lines);
            *lines = written;
        }
    }
}

fn via(rng: &mut Rng, calm: bool, source: SocketAddr, hop: usize) -> String {
    let protocol = match case(rng, calm, 20) {
        0 => "SIP/2.0/TCP",
        1 => "sip/2.0/udp",
        2 => "SIP / 2.0 / UDP",
        _ => "SIP/2.0/UDP",
    };
    let host = match rng.below(8) {
        0 => "10.0.0.7".to_owned(),
        1 => format!("phone-{}.example.net", rng.below(99)),
        2 => "[2001:db8::7]".to_owned(),
        _ if source.is_ipv6() => format!("[{}]", source.ip()),
        _ => source.ip().to_string(),
    };
    let port = match case(rng, calm, 8) {
        0 => ":5062".to_owned(),
        1 => String::new(),
        _ => format!(":{}", source.port()),
    };
    let branch = match case(rng, calm, 25) {
        0 => "branch=1".to_owned(),
        1 => "branch=z9hG4bK".to_owned(),
        _ => {
            let len = 3 + hop + rng.below(24);
            let name = rng.pick(&["branch", "branch", "Branch", "BRANCH"]);
            format!("{name}=z9hG4bK{}", rng.token(len))
        }
    };
    let mut parameters = vec![branch];
    if rng.percent(65) {
        let rport = if calm { "rport" } else { rng.pick(&["rport", "RPORT", "rport=5060"]) };
        parameters.push(rport.to_owned());
    }
    if rng.percent(25) {
        parameters.push(
            rng.pick(&[
                "alias",
                "keep",
                "keep=30",
                "oc",
                "oc-algo=\"loss,A\"",
                "x=\"a, SIP/2.0/UDP 203.0.113.9;branch=z9hG4bKq\"",
                "x=\"\\\",\"",
                "x=\";rport=1;received=203.0.113.9\"",
                "x=\"\"",
                "hop=5",
                "i=ab12",
                "cpd=!%*_+`'~.-",
                "x=a/b",
                if calm { "y" } else { "received=203.0.113.9" },
                if calm { "z=1" } else { "maddr=203.0.113.9" },
                if calm { "j=2" } else { "ttl=1" },
            ])
            .to_owned(),
        );
    }
    if rng.percent(50) {
        rng.shuffle(&mut parameters);
    }
    let semicolon = if !calm && rng.percent(8) { rng.pick(&["; ", " ;", ";;"]) } else { ";" };
    let blank = if rng.percent(5) { rng.pick(&["  ", "\t", " \t "]) } else { " " };
    format!("{protocol}{blank}{host}{port}{semicolon}{}", parameters.join(semicolon))
}

fn display_name(rng: &mut Rng) -> &'static str {
    rng.pick(&[
        "",
        "",
        "\"Alice\" ",
        "\"Alice\"",
        "\"\" ",
        "Alice ",
        "Alice B. Smith  ",
        "\"Smith, Alice\" ",
        "\"<sip:mallory@evil.example>\" ",
        "\"a \\\" b\" ",
        "\"a\\\\\" ",
        "\"M\u{c3}\u{bc}ller\" ",
        "\"M\u{fc}ller\" ",
        "\"a;tag=1?,@:\" ",
        "1/2 ",
        "!%*_+`'~.- ",
    ])
}

fn to(rng: &mut Rng, calm: bool, user: &str, domain: &str) -> String {
    let name = display_name(rng);
    let parameters =
        rng.pick(&["", "", "", "", ";user=phone", ";transport=udp", ";x=y;z", ";x=a/b"]);
    match case(rng, calm, 20) {
        0 => format!("sip:{user}@{domain}"),
        1 => format!("sip:{user}@{domain};tag=1"),
        2 => format!("{name}<sip:{user}@{domain}>;tag=1"),
        3 => format!("{name}<sip:{user}@{domain}:5060>"),
        4 => format!("{name}<sips:{user}@{domain}>"),
        5 => format!("{name}<sip:{user}%40x@{domain}>"),
        6 => format!("{name}<sip:{user}:pw@{domain}>"),
        7 => format!("{name}<SIP:{user}@{domain}>"),
        _ => format!("{name}<sip:{user}@{domain}{parameters}>"),
    }
}

fn from(rng: &mut Rng, user: &str, domain: &str) -> String {
    let name = display_name(rng);
    let len = 4 + rng.below(12);
    let tag = rng.token(len);
    match rng.below(12) {
        0 => format!("sip:{user}@{domain};tag={tag}"),
        1 => format!("{name}<sip:{user}@{domain}>"),
        2 => format!("{name}<sip:{user}@{domain};tag=9>;x=\"a;b\";tag={tag}"),
        3 => format!("{name}<sip:{user}:secret@{domain}:5062>;tag={tag}"),
        _ => format!("{name}<sip:{user}@{domain}>;tag={tag}"),
    }
}

fn call_id(rng: &mut Rng) -> String {
    let len = 8 + rng.below(30);
    match rng.below(4) {
        0 => format!("{}@10.0.0.7", rng.token(len)),
        1 => format!("{}-{}", rng.token(8), rng.token(4)),
        _ => rng.token(len),
    }
}

fn cseq(rng: &mut Rng, calm: bool) -> String {
    let number = match case(rng, calm, 12) {
        0 => "2147483647".to_owned(),
        1 => "2147483648".to_owned(),
        2 => "0".to_owned(),
        _ => rng.below(100_000).to_string(),
    };
    format!("{number}{}REGISTER", rng.pick(&[" ", " ", " ", "  ", "\t"]))
}

fn contact(rng: &mut Rng, calm: bool, user: &str) -> String {
    match rng.below(if calm { 6 } else { 7 }) {
        0 => "*".to_owned(),
        1 => format!("\"a, b\" <sip:{user}@10.0.0.7>;expires=60, <sip:b@10.0.0.8>"),
        2 => format!(
            "<sip:{user}@10.0.0.7:5062;line={}>;reg-id=1;+sip.instance=\"<urn:uuid:{}>\"",
            rng.token(8),
            rng.token(30)
        ),
        6 => format!("<sip:{user}@10.0.0.7?x=y>"),
        _ => format!("<sip:{user}@10.0.0.7:5060;ob>;expires=600"),
    }
}
