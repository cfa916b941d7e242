use super::*;
#[test]
fn thin() {
    let m = b"REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKabc;rport\r\nMax-Forwards: 70\r\nTo: <sip:alice@Example.com>\r\nFrom: <sip:alice@example.com>;tag=1\r\nCall-ID: a@b\r\nCSeq: 1 REGISTER\r\nContact: <sip:alice@192.0.2.1>\r\nContent-Length: 0\r\n\r\n";
    let mut s = std::boxed::Box::<Scratch>::default();
    assert!(s.load(m, Request::default()));
    assert_eq!(scan(&mut s), Ok(()));
    assert_eq!(s.arena.bytes(s.head.aor), b"alice@Example.com");
}
