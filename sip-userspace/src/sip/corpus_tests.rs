//! The messages of RFC 4475 and RFC 5118, by the behaviours that the RFCs ask for.
//!
//! The short fixtures here say what each behaviour is; the RFCs' own messages lie in
//! `tests/corpus`. What they are answered with stands in `core/torture`. Messages of real clients
//! are run where the folder `shared/corpus` lies beside the project.

use std::path::{Path, PathBuf};

use super::{
    fault::{Fault, Silence},
    header::Name,
    inspect::{Form, inspect},
};

const COMMON: &str = "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx\r\nMax-Forwards: 70\r\nTo: <sip:u@example.com>\r\n\
                      From: <sip:u@example.com>;tag=1\r\nCall-ID: c\r\n";

#[test]
fn the_behaviours_of_rfc_4475_hold() {
    for (section, start, change, form) in [
        ("3.1.1.4", "REGISTER sip:example.com", ("<sip:u@", "<sip:null-%00-null@"), Form::Request),
        ("3.1.1.5", "RE%47IST%45R sip:example.com", ("", ""), Form::Request),
        (
            "3.1.2.3",
            "REGISTER sip:example.com",
            ("Call-ID", "l: -999\r\nCall-ID"),
            Form::Fault(Fault::Malformed(Name::ContentLength)),
        ),
        (
            "3.1.2.2",
            "REGISTER sip:example.com",
            ("Call-ID", "l: 9999\r\nCall-ID"),
            Form::Fault(Fault::BodyShort),
        ),
        (
            "3.1.2.4",
            "REGISTER sip:example.com",
            ("70", "300"),
            Form::Fault(Fault::Malformed(Name::MaxForwards)),
        ),
        (
            "3.1.2.6",
            "REGISTER sip:example.com",
            ("To: <", "To: \"open <"),
            Form::Fault(Fault::Malformed(Name::To)),
        ),
        ("3.1.2.7", "REGISTER <sip:example.com>", ("", ""), Form::Fault(Fault::RequestUri)),
        ("3.1.2.8", "REGISTER sip:example.com; lr", ("", ""), Form::Fault(Fault::StartLine)),
        (
            "3.1.2.11",
            "REGISTER sip:a@example.com?Route=x",
            ("", ""),
            Form::Fault(Fault::RequestUri),
        ),
        (
            "3.3.1",
            "REGISTER sip:example.com",
            ("Call-ID: c\r\n", ""),
            Form::Fault(Fault::Missing(Name::CallId)),
        ),
        (
            "3.3.8",
            "REGISTER sip:example.com",
            ("Call-ID: c\r\n", "Call-ID: c\r\ni: d\r\n"),
            Form::Fault(Fault::Doubled(Name::CallId)),
        ),
        (
            "3.3.9",
            "REGISTER sip:example.com",
            ("Call-ID", "l: 0\r\nContent-Length: 1\r\nCall-ID"),
            Form::Fault(Fault::Doubled(Name::ContentLength)),
        ),
        ("5118 4.2", "REGISTER sip:2001:db8::10", ("", ""), Form::Fault(Fault::RequestUri)),
        ("5118 4.3", "REGISTER sip:[2001:db8::10:5070]", ("", ""), Form::Request),
        (
            "5118 4.5",
            "REGISTER sip:a",
            (";branch", ";received=[2001:db8::9:255];branch"),
            Form::Request,
        ),
        ("no Via", "REGISTER sip:a", ("Via:", "X:"), Form::Silence(Silence::NoVia)),
    ] {
        let method = start.split(' ').next().unwrap();
        let fields = COMMON.replacen(change.0, change.1, 1);
        let text = format!("{start} SIP/2.0\r\n{fields}CSeq: 1 {method}\r\n\r\n");
        assert_eq!(inspect(text.as_bytes()).form, form, "{section}: {text}");
    }
}

/// A folder of the RFCs' messages.
fn torture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(name)
}

/// The folder of messages that others wrote, if it is there.
fn corpus(name: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2)?;
    Some(root.join("shared/corpus").join(name)).filter(|path| path.is_dir())
}

/// The lines of a manifest as columns.
fn manifest(folder: &Path) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(folder.join("MANIFEST.tsv")).unwrap();
    text.lines().skip(1).map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

/// What is wrong with each message that is not simply read.
const TORTURE: &[(&str, &str)] = &[
    ("badaspec.dat", "header_malformed"),
    ("baddn.dat", "unterminated"),
    ("badinv01.dat", "empty_element"),
    ("badvers.dat", "version"),
    ("bigcode.dat", "response"),
    ("clerr.dat", "content_length"),
    ("escruri.dat", "uri_malformed"),
    ("insuf.dat", "header_missing"),
    ("ltgtruri.dat", "uri_malformed"),
    ("lwsruri.dat", "start_line"),
    ("lwsstart.dat", "start_line"),
    ("mcl01.dat", "header_doubled"),
    ("mismatch01.dat", "cseq_method"),
    ("mismatch02.dat", "cseq_method"),
    ("multi01.dat", "header_doubled"),
    ("ncl.dat", "header_malformed"),
    ("quotbal.dat", "header_malformed"),
    ("scalar02.dat", "header_malformed"),
    ("test.dat", "no_via"),
    ("trws.dat", "start_line"),
];

#[test]
fn the_torture_messages_are_read_as_their_manifest_says() {
    let folder = torture("rfc4475");
    for row in manifest(&folder) {
        let (file, method, vias) = (&row[0], &row[3], &row[5]);
        let found = inspect(&std::fs::read(folder.join(file)).unwrap());
        let label = match found.form {
            Form::Fault(fault) => fault.label(),
            Form::Silence(silence) => silence.label(),
            Form::Request | Form::Response => "",
        };
        let expected = TORTURE.iter().find(|(name, _)| name == file).map_or("", |(_, label)| label);
        assert_eq!(label, expected, "{file}");
        if method != "RESPONSE" {
            assert_eq!(found.method.as_deref(), Some(method.as_str()), "{file}");
        }
        // The one with empty elements has no values that can be told apart.
        if !matches!(file.as_str(), "badinv01.dat" | "bigcode.dat") {
            assert_eq!(found.vias.map(|vias| vias.to_string()).as_ref(), Some(vias), "{file}");
        }
    }
}

#[test]
fn the_ipv6_messages_are_read_as_their_manifest_says() {
    let folder = torture("rfc5118");
    for row in manifest(&folder) {
        let (file, vias, verdict) = (&row[0], &row[6], &row[8]);
        let found = inspect(&std::fs::read(folder.join(file)).unwrap());
        assert_eq!(found.vias.map(|vias| vias.to_string()).as_ref(), Some(vias), "{file}");
        // The archive's Content-Length of the two with SDP counts other line ends.
        let wrong_length = matches!(file.as_str(), "ipv6-in-sdp.sip" | "mult-ip-in-sdp.sip");
        let good = found.form == Form::Request || wrong_length;
        assert_eq!(good, verdict == "valid", "{file}: {:?}", found.form);
    }
}

#[test]
fn the_messages_of_real_clients_are_read_as_their_manifest_says() {
    let Some(folder) = corpus("real") else { return };
    for row in manifest(&folder) {
        let (file, vias) = (&row[0], &row[2]);
        let found = inspect(&std::fs::read(folder.join(file)).unwrap());
        assert_eq!(found.vias.map(|vias| vias.to_string()).as_ref(), Some(vias), "{file}");
        let expected = match file.as_str() {
            "audiocodes-mediapack-manual.sip" => Form::Fault(Fault::Missing(Name::CSeq)),
            "pa168s-space-in-uri.sip" => Form::Fault(Fault::StartLine),
            "nokia-nuukia-4via.sip" => Form::Fault(Fault::BodyShort),
            _ => Form::Request,
        };
        assert_eq!(found.form, expected, "{file}");
    }
}
