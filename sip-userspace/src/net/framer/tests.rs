//! The same items however the bytes are split; what is broken and how.

use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits { head_max: 400, message_max: 600 };

/// The items of a stream that comes in pieces of these lengths, over and over.
fn items(stream: &[u8], pieces: &[usize]) -> Vec<Item> {
    let mut framer = Framer::new(LIMITS);
    let (mut items, mut rest) = (Vec::new(), stream);
    for len in pieces.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, more) = rest.split_at((*len).clamp(1, rest.len()));
        framer.push(piece);
        items.extend(std::iter::from_fn(|| framer.next()));
        // A vector may have twice the room that it needs.
        assert!(framer.held() <= 2 * (LIMITS.message_max + piece.len()), "{}", framer.held());
        rest = more;
    }
    items
}

fn message(body: &str) -> Vec<u8> {
    let fields = "Via: SIP/2.0/TCP h;branch=z9hG4bK1\r\nX-Odd : a\r\n  folded\r\n";
    format!("MESSAGE sip:a@b SIP/2.0\r\n{fields}l:\r\n {}\r\n\r\n{body}", body.len()).into_bytes()
}

#[test]
fn pipelined_messages_keep_alives_and_line_ends_between_come_apart() {
    let (one, two) = (message(""), message("v=0\r\n\r\nno message"));
    let stream = [b"\r\n", &one[..], &two, b"\r\n\r\n", b"\r\n", &one, b"\n\r\r\n", &two].concat();
    let expected = [&one, &two].map(|whole| Item::Message(whole.clone()));
    let [one, two] = expected;
    let expected = [one.clone(), two.clone(), Item::Ping, one, two];
    for pieces in [&[1][..], &[2], &[7, 1, 3], &[stream.len()]] {
        assert_eq!(items(&stream, pieces), expected, "{pieces:?}");
    }
}

#[test]
fn a_message_without_a_known_end_is_the_last() {
    let good = "OPTIONS sip:a SIP/2.0\r\nVia: SIP/2.0/TCP h\r\n";
    for (head, fault) in [
        (format!("{good}\r\n"), Some(Fault::Missing(Name::ContentLength))),
        (format!("{good}l: -1\r\n\r\n"), Some(Fault::Malformed(Name::ContentLength))),
        (format!("{good}l: +1\r\n\r\n"), Some(Fault::Malformed(Name::ContentLength))),
        (format!("{good}l: \r\n\r\n"), Some(Fault::Malformed(Name::ContentLength))),
        (
            format!("{good}l: 0\r\nContent-length: 0\r\n\r\n"),
            Some(Fault::Doubled(Name::ContentLength)),
        ),
        (format!("{good}l: 600\r\n\r\n"), Some(Fault::TooLarge)),
        (format!("{good}l: 99999999999999999999999999\r\n\r\n"), Some(Fault::TooLarge)),
        (format!("{good}l: 0\n\r\n"), Some(Fault::LineEnd)),
        (format!("{good}l: 0\r\n\n"), Some(Fault::LineEnd)),
        ("\u{16}\u{3}\u{1}\r\n\r\n".to_owned(), None),
        ("SIP/2.0 99 low\r\nl: 0\r\n\r\n".to_owned(), None),
    ] {
        let stream = [head.as_bytes(), &message("")].concat();
        let expected = Item::Broken { fault, head: head.clone().into_bytes() };
        for pieces in [&[1][..], &[5, 2], &[stream.len()]] {
            assert_eq!(
                items(&stream, pieces),
                std::slice::from_ref(&expected),
                "{head:?} {pieces:?}"
            );
        }
    }
}

#[test]
fn a_head_has_an_end_within_its_limit() {
    let start = b"OPTIONS sip:a SIP/2.0\r\nVia: SIP/2.0/TCP h\r\nl: 0\r\nSubject: ";
    for over in [0, 1] {
        let subject = LIMITS.head_max - start.len() - 4 + over;
        let stream = [&start[..], &vec![b'a'; subject], b"\r\n\r\n"].concat();
        for pieces in [&[1][..], &[LIMITS.head_max], &[stream.len()]] {
            let got = items(&stream, pieces);
            if over == 0 {
                assert_eq!(got, [Item::Message(stream.clone())]);
            } else {
                let head = stream[..LIMITS.head_max].to_vec();
                assert_eq!(got, [Item::Broken { fault: Some(Fault::TooLarge), head }]);
            }
        }
    }
}

#[test]
fn more_header_lines_than_are_read_break_a_message() {
    let limits = Limits { head_max: 65_536, message_max: 65_536 };
    let lines = "a: b\r\n".repeat(HEADERS_MAX);
    let mut framer = Framer::new(limits);
    framer.push(format!("OPTIONS sip:a SIP/2.0\r\n{lines}l: 0\r\n\r\n").as_bytes());
    assert!(matches!(framer.next(), Some(Item::Broken { fault: Some(Fault::TooManyHeaders), .. })));
}

#[test]
fn an_idle_stream_holds_nothing() {
    let mut framer = Framer::new(LIMITS);
    framer.push(&message("body"));
    assert!(framer.next().is_some() && framer.next().is_none());
    assert_eq!((framer.held(), framer.is_inside()), (0, false));
    framer.push(b"\r\n");
    assert_eq!((framer.next(), framer.is_inside()), (None, false), "half a keep-alive is nothing");
    framer.push(b"\r\nO");
    assert_eq!((framer.next(), framer.next()), (Some(Item::Ping), None));
    assert!(framer.is_inside());
}

fn part() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        "[\\PC\r\n]{0,80}".prop_map(|body| message(&body)),
        Just(b"\r\n".to_vec()),
        Just(b"\r\n\r\n".to_vec()),
        Just(b"\n".to_vec()),
        Just(b"OPTIONS sip:a SIP/2.0\r\n\r\n".to_vec()),
        Just(b"OPTIONS sip:a SIP/2.0\r\nl: 3\r\n\r\nab".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..40),
    ]
}

proptest! {
    #[test]
    fn any_split_gives_the_same_items(
        parts in proptest::collection::vec(part(), 0..8),
        pieces in proptest::collection::vec(1usize..200, 1..20),
    ) {
        let stream = parts.concat();
        let whole = items(&stream, &[stream.len().max(1)]);
        prop_assert_eq!(&items(&stream, &[1]), &whole);
        prop_assert_eq!(&items(&stream, &pieces), &whole);
    }

    #[test]
    fn good_messages_come_out_as_they_went_in(
        bodies in proptest::collection::vec("[\\PC\r\n]{0,80}", 0..6),
        pieces in proptest::collection::vec(1usize..300, 1..9),
    ) {
        let whole: Vec<_> = bodies.iter().map(|body| message(body)).collect();
        let expected: Vec<_> = whole.iter().cloned().map(Item::Message).collect();
        prop_assert_eq!(items(&whole.concat(), &pieces), expected);
    }
}
