//! What is held, for how long, and how much of it.

use super::*;

fn flow(transport: Transport) -> Flow {
    let here = std::net::SocketAddr::from(([192, 0, 2, 1], 5060));
    Flow { transport, ..Flow::udp(here, here) }
}

const S: fn(u64) -> Duration = Duration::from_secs;

fn key(id: u64) -> TransactionKey {
    TransactionKey([id, 0])
}

fn due(transactions: &mut Transactions, at: Duration) -> Vec<Timed> {
    let mut out = Vec::new();
    transactions.expire(at, &mut out);
    out
}

#[test]
fn answers_are_bounded_by_their_bytes_and_transactions_by_their_number() {
    let mut transactions = Transactions::new(Timers::default(), 3, 1_000);
    for (id, len, begins, held) in
        [(1, 600, true, 600), (2, 500, true, 600), (3, 400, true, 1_000), (4, 1, false, 1_000)]
    {
        assert_eq!(transactions.begin(key(id), flow(Transport::Udp), false), begins, "{id}");
        let sent = transactions.answer(&key(id), 200, &vec![b'a'; len], S(id));
        assert_eq!(sent.is_some(), begins, "{id}");
        assert_eq!(transactions.bytes(), held, "{id}");
    }
    assert_eq!(transactions.find(&key(2)), Found::New, "what had no room is not held");
    due(&mut transactions, S(33));
    assert_eq!((transactions.bytes(), transactions.len()), (400, 1));
    for (id, begins) in [(5, true), (6, true), (7, false)] {
        assert_eq!(transactions.begin(key(id), flow(Transport::Udp), id == 6), begins);
    }
    transactions.abandon(&key(5));
    transactions.abandon(&key(6));
    due(&mut transactions, S(35));
    assert_eq!((transactions.bytes(), transactions.len(), transactions.deadline()), (0, 0, None));
}

#[test]
fn over_a_stream_an_answered_request_is_forgotten_at_once() {
    let mut transactions = Transactions::new(Timers::default(), 9, 1_000);
    assert!(transactions.begin(key(1), flow(Transport::Tcp), false));
    assert_eq!(transactions.answer(&key(1), 200, b"ok", S(1)), Some(flow(Transport::Tcp)));
    assert_eq!((transactions.find(&key(1)), transactions.bytes()), (Found::New, 0));
    assert_eq!(transactions.deadline(), None);
}

#[test]
fn a_request_that_takes_long_gets_one_100_and_its_retransmissions_too() {
    let mut transactions = Transactions::new(Timers::default(), 9, 1_000);
    for id in [1, 2] {
        transactions.begin(key(id), flow(Transport::Udp), false);
        transactions.handed_on(key(id), S(0));
    }
    transactions.answer(&key(2), 200, b"ok", S(1));
    // Timer E of the client reaches T2 after 0.5, 1 and 2 s (RFC 4320 section 4.1).
    let late = Duration::from_millis(3_500);
    assert_eq!(transactions.deadline(), Some(late));
    assert_eq!(due(&mut transactions, late), [Timed::Late { key: key(1) }]);
    assert_eq!(transactions.find(&key(1)), Found::Working);
    assert!(transactions.answer(&key(1), 100, b"trying", late).is_some());
    assert!(transactions.answer(&key(1), 100, b"trying", late).is_none());
    assert_eq!(transactions.find(&key(1)), Found::Answered(b"trying"));
    transactions.answer(&key(1), 404, b"no", S(5));
    assert_eq!(transactions.find(&key(1)), Found::Answered(b"no"));
    due(&mut transactions, S(37));
    assert_eq!((transactions.len(), transactions.bytes()), (0, 0));
}

#[test]
fn a_refused_invite_is_answered_again_until_its_ack() {
    let mut transactions = Transactions::new(Timers::default(), 9, 1_000);
    transactions.begin(key(1), flow(Transport::Udp), true);
    assert_eq!(transactions.find(&key(1)), Found::Working);
    transactions.answer(&key(1), 100, b"trying", S(0));
    assert_eq!(transactions.find(&key(1)), Found::Answered(b"trying"));
    assert!(transactions.is_proceeding(&key(1)));
    transactions.answer(&key(1), 486, b"busy", S(1));
    assert!(!transactions.is_proceeding(&key(1)));
    let again = Timed::Again { flow: flow(Transport::Udp), payload: b"busy".to_vec() };
    assert_eq!(due(&mut transactions, Duration::from_millis(1_500)), [again]);
    assert_eq!(transactions.ack(&key(1), S(2)), Some(Acked::Absorbed));
    assert_eq!(transactions.ack(&key(1), S(3)), Some(Acked::Absorbed));
    assert_eq!(transactions.ack(&key(2), S(3)), None);
    assert_eq!((transactions.find(&key(1)), transactions.bytes()), (Found::Working, 0));
    assert!(due(&mut transactions, S(6)).is_empty());
    assert_eq!(transactions.len(), 1);
    due(&mut transactions, S(7));
    assert_eq!((transactions.len(), transactions.deadline()), (0, None));
}

#[test]
fn a_refusal_that_nobody_acknowledges_ends_by_timer_h() {
    let mut transactions = Transactions::new(Timers::default(), 9, 1_000);
    transactions.begin(key(1), flow(Transport::Udp), true);
    transactions.answer(&key(1), 486, b"busy", S(0));
    let mut seen = Vec::new();
    while let Some(at) = transactions.deadline() {
        seen.extend(due(&mut transactions, at));
    }
    assert_eq!(seen.pop(), Some(Timed::Unacknowledged));
    assert_eq!(seen.len(), 10);
    assert_eq!((transactions.len(), transactions.bytes()), (0, 0));
}

#[test]
fn an_accepted_invite_passes_each_2xx_and_holds_none() {
    let mut transactions = Transactions::new(Timers::default(), 9, 1_000);
    transactions.begin(key(1), flow(Transport::Udp), true);
    assert!(transactions.answer(&key(1), 180, b"ringing", S(0)).is_some());
    assert!(transactions.answer(&key(1), 200, b"ok", S(1)).is_some());
    assert!(transactions.answer(&key(1), 200, b"ok", S(2)).is_some());
    assert!(transactions.answer(&key(1), 486, b"busy", S(2)).is_none());
    assert_eq!((transactions.find(&key(1)), transactions.bytes()), (Found::Working, 0));
    assert_eq!(transactions.ack(&key(1), S(3)), Some(Acked::Pass));
    due(&mut transactions, S(33));
    assert_eq!((transactions.len(), transactions.deadline()), (0, None));
}
