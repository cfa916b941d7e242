//! The resolver against a name server on loopback, byte by byte.

use std::time::Duration;

use tokio::net::UdpSocket;

use super::*;

/// A name on the wire.
fn wire(name: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        out.push(label.len() as u8);
        out.extend_from_slice(label.as_bytes());
    }
    out.push(0);
    out
}

fn text(text: &str) -> Vec<u8> {
    [&[text.len() as u8][..], text.as_bytes()].concat()
}

/// Type and data of the records of a name, by the type that was asked for.
fn records(name: &str, kind: u16) -> Vec<Vec<u8>> {
    match (name, kind) {
        ("all.example", 35) => vec![
            [
                &[0, 10, 0, 1][..],
                &text("S"),
                &text("SIP+D2U"),
                &text(""),
                &wire("_Sip._udp.ALL.example"),
            ]
            .concat(),
            // Not an SRV lookup, and one with a rule.
            [&[0, 10, 0, 2][..], &text("A"), &text("SIP+D2T"), &text(""), &wire("x.example")]
                .concat(),
            [&[0, 10, 0, 3][..], &text("s"), &text("SIP+D2T"), &text("!a!b!"), &wire("")].concat(),
        ],
        ("_sip._udp.all.example", 33) => {
            vec![[&[0, 1, 0, 2, 0x13, 0xc4][..], &wire("One.example")].concat()]
        }
        ("one.example", 1) => vec![vec![192, 0, 2, 1], vec![192, 0, 2, 2]],
        ("one.example", 28) => vec![vec![0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]],
        _ => Vec::new(),
    }
}

/// The answer to a query: records with 77 seconds to live; NXDOMAIN for `gone`, REFUSED for `no`.
fn answer(query: &[u8]) -> Option<Vec<u8>> {
    let mut at = 12;
    let mut labels = Vec::new();
    while query[at] != 0 {
        let end = at + 1 + usize::from(query[at]);
        labels.push(String::from_utf8_lossy(&query[at + 1..end]).to_ascii_lowercase());
        at = end;
    }
    let kind = u16::from_be_bytes([query[at + 1], query[at + 2]]);
    let name = labels.join(".");
    if name == "mute.example" {
        return None;
    }
    let code = if name == "gone.example" {
        3
    } else if name == "no.example" {
        5
    } else {
        0
    };
    let found = records(&name, kind);
    let mut out =
        [&query[..2], &[0x81, 0x80 | code, 0, 1, 0, found.len() as u8, 0, 0, 0, 0]].concat();
    out.extend_from_slice(&query[12..at + 5]);
    for record in found {
        out.extend_from_slice(&[0xc0, 12]);
        out.extend_from_slice(&kind.to_be_bytes());
        out.extend_from_slice(&[0, 1, 0, 0, 0, 77, 0, record.len() as u8]);
        out.extend_from_slice(&record);
    }
    Some(out)
}

#[tokio::test]
async fn answers_come_as_the_core_wants_them() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let at = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut query = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut query).await {
            if let Some(answer) = answer(&query[..length]) {
                socket.send_to(&answer, from).await.unwrap();
            }
        }
    });
    let mut resolver = Resolver::open(&Dns::Servers(vec![at])).unwrap();
    let some = |records: Vec<Record>| Answered::Records { records, ttl_s: 77 };
    let none = || Answered::Records { records: Vec::new(), ttl_s: 0 };
    let ip = |text: &str| Record::Address(text.parse().unwrap());
    let naptr = Record::Naptr {
        order: 10,
        preference: 1,
        service: "SIP+D2U".into(),
        replacement: "_sip._udp.all.example".into(),
    };
    let srv = Record::Srv { priority: 1, weight: 2, port: 5060, target: "one.example".into() };
    for (name, kind, expected) in [
        ("all.example", Kind::Naptr, some(vec![naptr])),
        ("_sip._udp.all.example", Kind::Srv, some(vec![srv])),
        ("one.example", Kind::V4, some(vec![ip("192.0.2.1"), ip("192.0.2.2")])),
        ("one.example", Kind::V6, some(vec![ip("2001:db8::1")])),
        ("all.example", Kind::V4, none()),
        ("gone.example", Kind::V4, none()),
        ("no.example", Kind::V4, Answered::Failed),
        ("mute.example", Kind::V4, Answered::Failed),
    ] {
        let question = Question { name: name.to_owned(), kind };
        resolver.ask(question.clone());
        let patience = WAIT + Duration::from_secs(1);
        let (asked, answered) = timeout(patience, resolver.answers.recv()).await.unwrap().unwrap();
        assert_eq!((asked, answered), (question, expected));
    }
    let mut off = Resolver::open(&Dns::Off).unwrap();
    off.ask(Question { name: "one.example".into(), kind: Kind::V4 });
    assert_eq!(off.answers.recv().await.unwrap().1, Answered::Failed);
}
