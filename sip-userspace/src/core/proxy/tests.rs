//! The bounds of what is held.

use super::{
    context::{Next, Work},
    *,
};
use crate::{
    core::{proxy::routes::Routes, settings::Settings},
    sip::{answer::Path, message::Message, request::Request},
};

#[test]
fn what_is_held_is_bounded_by_its_bytes() {
    let limits = Limits { forward_bytes: 100_000, ..Limits::default() };
    let mut proxy = Proxy::new(&Settings { limits, ..Settings::default() });
    let body = "a".repeat(4_000);
    let text = format!(
        "REGISTER sip:b SIP/2.0\r\nVia: SIP/2.0/UDP h\r\nTo: <sip:a@b>\r\nFrom: <sip:a@b>\r\n\
         Call-ID: x\r\nCSeq: 1 REGISTER\r\n\r\n{body}"
    );
    let message = Message::parse(text.as_bytes()).unwrap();
    let request = Request::read(&message).unwrap().unwrap();
    let home = SocketAddr::from(([192, 0, 2, 2], 5060));
    let path = Path::of(&message, home).unwrap();
    let (mut taken, mut out) = (0, Vec::new());
    while proxy.has_room() {
        let outbound = Outbound::new(&request, &path, &Routes::none(&request));
        let targets = [Target::plain(Flow::udp(home, home))].into();
        let (next, patience) = (Next::Server, Duration::from_secs(4));
        let work =
            Work { outbound, digest: 0, invite: false, targets, next, patience, unreachable: 503 };
        proxy.forward(TransactionKey([taken, 0]), work, Duration::ZERO, &mut out);
        taken += 1;
    }
    // Each is held twice: as it came in, and as it went out.
    assert_eq!(taken, 12);
    proxy.on_time(Duration::from_secs(33), &mut out);
    assert_eq!((proxy.bytes(), proxy.len(), proxy.has_room()), (0, 0, true));
    assert_eq!((proxy.branches(), proxy.by_peer.len(), proxy.deadline()), (0, 0, None));
}
