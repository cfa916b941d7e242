//! The small headers: Call-ID, CSeq, Max-Forwards, Contact.

use super::{Case, answered, base, refused};
use sip_common::verdict::Refusal::{CSeqInvalid, CallIdInvalid, ContactInvalid, MaxForwards};

fn call_id(value: &str) -> String {
    base("8f2c1d03@192.0.2.101", value)
}

fn cseq(value: &str) -> String {
    base("17 REGISTER", value)
}

fn max_forwards(value: &str) -> String {
    base("Forwards: 70", &format!("Forwards: {value}"))
}

fn contact(value: &str) -> String {
    base("<sip:alice@192.0.2.101:5060>;expires=600", value)
}

pub fn cases() -> Vec<Case> {
    vec![
        answered("a Call-ID without a host", call_id("8f2c1d03")),
        answered("a Call-ID of signs", call_id("-.!%*_+`'~()<>:\\\"/[]?{}@x")),
        refused("a blank in the Call-ID", CallIdInvalid, call_id("a b")),
        refused("a tab in the Call-ID", CallIdInvalid, call_id("a\tb")),
        refused("a Call-ID that is not ASCII", CallIdInvalid, call_id("a\u{e9}b")),
        answered("CSeq 0", cseq("0 REGISTER")),
        answered("the highest CSeq", cseq("2147483647 REGISTER")),
        answered("blanks in CSeq", cseq("17  \t REGISTER")),
        answered("zeros before the number", cseq("0000000017 REGISTER")),
        refused("CSeq of 2^31", CSeqInvalid, cseq("2147483648 REGISTER")),
        refused("CSeq beyond 32 bits", CSeqInvalid, cseq("4294967313 REGISTER")),
        refused("CSeq of eleven digits", CSeqInvalid, cseq("00000000017 REGISTER")),
        refused("CSeq of another method", CSeqInvalid, cseq("17 INVITE")),
        refused("CSeq of a longer method", CSeqInvalid, cseq("17 REGISTERS")),
        refused("CSeq in small letters", CSeqInvalid, cseq("17 register")),
        refused("CSeq without a method", CSeqInvalid, cseq("17")),
        refused("CSeq without a number", CSeqInvalid, cseq("REGISTER")),
        refused("CSeq without a blank", CSeqInvalid, cseq("17REGISTER")),
        refused("CSeq below zero", CSeqInvalid, cseq("-1 REGISTER")),
        refused("CSeq with more behind", CSeqInvalid, cseq("17 REGISTER x")),
        answered("Max-Forwards 0, with one Via", max_forwards("0")),
        answered("Max-Forwards 255", max_forwards("255")),
        refused("Max-Forwards 256", MaxForwards, max_forwards("256")),
        refused("Max-Forwards of letters", MaxForwards, max_forwards("many")),
        refused("Max-Forwards below zero", MaxForwards, max_forwards("-1")),
        refused("Max-Forwards with more behind", MaxForwards, max_forwards("70 hops")),
        refused("Max-Forwards of eleven digits", MaxForwards, max_forwards("00000000070")),
        answered("a Contact of all", contact("*")),
        answered("an empty Contact", contact("")),
        answered("several Contacts", contact("<sip:a@192.0.2.101>, <sip:b@192.0.2.101>;q=0.5")),
        answered("several Contact lines", contact("<sip:a@192.0.2.101>\r\nm: <sip:b@192.0.2.101>")),
        answered("a long Contact", contact(&format!("<sip:a@192.0.2.101;x={}>", "y".repeat(400)))),
        refused("headers in a Contact", ContactInvalid, contact("<sip:a@192.0.2.101?Route=x>")),
        refused(
            "headers in a second Contact",
            ContactInvalid,
            contact("<sip:a@192.0.2.101>\r\nm: <sip:b@192.0.2.101?a=b>"),
        ),
    ]
}
