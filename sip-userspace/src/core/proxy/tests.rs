//! The bounds of what is held.

use super::*;
use crate::{
    core::settings::Settings,
    sip::{answer::Path, request::Request},
};

#[test]
fn what_is_held_is_bounded_by_its_bytes() {
    let mut proxy = Proxy::new(Key::default(), Timers::default(), Duration::from_secs(4));
    let body = "a".repeat(4_000);
    let text = format!(
        "REGISTER sip:b SIP/2.0\r\nVia: SIP/2.0/UDP h\r\nTo: <sip:a@b>\r\nFrom: <sip:a@b>\r\n\
         Call-ID: x\r\nCSeq: 1 REGISTER\r\n\r\n{body}"
    );
    let message = Message::parse(text.as_bytes()).unwrap();
    let request = Request::read(&message).unwrap().unwrap();
    let home = SocketAddr::from(([192, 0, 2, 2], 5060));
    let path = Path::of(&message, home).unwrap();
    let route = Route { local: home, home, standby: None };
    proxy.bytes_max = 100_000;
    let mut taken = 0;
    while proxy.has_room() {
        let outbound = Outbound::new(&request, &path, &Settings::default());
        proxy.forward(TransactionKey([taken, 0]), outbound, 0, route, Duration::ZERO);
        taken += 1;
    }
    // Each is held twice: as it came in, and as it went out.
    assert_eq!(taken, 12);
    proxy.on_time(Duration::from_secs(33), &mut Vec::new());
    assert_eq!((proxy.bytes(), proxy.len(), proxy.has_room()), (0, 0, true));
}
