//! Captures made here byte by byte, whole, cut at every place, and damaged at random.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use etherparse::PacketBuilder;
use proptest::prelude::*;

use super::*;

const PAYLOAD: &[u8] = b"OPTIONS sip:example.com SIP/2.0\r\n\r\n";

/// An Ethernet frame with a UDP datagram.
fn udp(v6: bool, payload: &[u8]) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2([2; 6], [4; 6]);
    let builder = match v6 {
        false => builder.ipv4([203, 0, 113, 7], [192, 0, 2, 1], 64),
        true => builder.ipv6([0x20; 16], [0x21; 16], 64),
    };
    let mut frame = Vec::new();
    builder.udp(5070, 5060).write(&mut frame, payload).unwrap();
    frame
}

/// One record of a pcap file, of a packet that was `len` bytes long.
fn record(packet: &[u8], len: usize, big: bool) -> Vec<u8> {
    let word = |value: usize| number(value as u32, big);
    [&word(1), &word(2), &word(packet.len()), &word(len), packet].concat()
}

fn number(value: u32, big: bool) -> [u8; 4] {
    if big { value.to_be_bytes() } else { value.to_le_bytes() }
}

fn pcap(link: u32, packets: &[Vec<u8>], big: bool) -> Vec<u8> {
    let version = if big { [0, 2, 0, 4] } else { [2, 0, 4, 0] };
    let mut file = [number(0xa1b2_c3d4, big), version, [0; 4], [0; 4]].concat();
    file.extend([number(262_144, big), number(link, big)].concat());
    file.extend(packets.iter().flat_map(|packet| record(packet, packet.len(), big)));
    file
}

fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let padding = body.len().next_multiple_of(4) - body.len();
    let len = ((12 + body.len() + padding) as u32).to_le_bytes();
    [&kind.to_le_bytes(), &len, body, &vec![0; padding], &len[..]].concat()
}

/// A pcapng file of two interfaces: Ethernet and raw IP.
fn pcapng(packets: &[(u32, Vec<u8>)]) -> Vec<u8> {
    let mut section = 0x1a2b_3c4du32.to_le_bytes().to_vec();
    section.extend([1, 0, 0, 0]);
    section.extend([0xff; 8]);
    let mut file = block(0x0a0d_0d0a, &section);
    for link in [1u8, 101] {
        file.extend(block(1, &[link, 0, 0, 0, 0, 0, 0, 0]));
    }
    for (interface, packet) in packets {
        let len = (packet.len() as u32).to_le_bytes();
        let head = [interface.to_le_bytes(), [0; 4], [0; 4], len, len].concat();
        file.extend(block(6, &[head, packet.clone()].concat()));
    }
    file
}

/// What is read from a file of these bytes: numbers, and payloads or errors.
fn read(bytes: &[u8]) -> Vec<(u64, Result<Vec<u8>, String>)> {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), bytes).unwrap();
    match Packets::open(file.path()) {
        Err(error) => vec![(0, Err(error.to_string()))],
        Ok(packets) => packets
            .map(|(number, packet)| {
                (number, packet.map(|packet| packet.payload).map_err(|error| error.to_string()))
            })
            .collect(),
    }
}

#[test]
fn datagrams_are_found_behind_every_link() {
    let frame = udp(false, PAYLOAD);
    let ip = &frame[14..];
    let with = |head: &[u8]| [head, ip].concat();
    let tagged = [&frame[..12], &[0x81, 0, 0, 7], &frame[12..]].concat();
    let twice = [&frame[..12], &[0x88, 0xa8, 0, 9, 0x81, 0, 0, 7], &frame[12..]].concat();
    let padded = [&frame[..], &[0; 9]].concat();
    let sll = [&[0; 14][..], &[8, 0]].concat();
    let sll2 = [&[8, 0][..], &[0; 18]].concat();
    for (link, packet) in [
        (1, frame.clone()),
        (1, tagged),
        (1, twice),
        (1, padded),
        (1, udp(true, PAYLOAD)),
        (101, ip.to_vec()),
        (12, ip.to_vec()),
        (228, ip.to_vec()),
        (0, with(&[2, 0, 0, 0])),
        (108, with(&[0, 0, 0, 2])),
        (113, with(&sll)),
        (276, with(&sll2)),
        (1 | 0x4400_0000, frame.clone()),
    ] {
        for big in [false, true] {
            let file = pcap(link, std::slice::from_ref(&packet), big);
            assert_eq!(read(&file), [(1, Ok(PAYLOAD.to_vec()))], "link {link}, {big}");
        }
    }
    let ng = pcapng(&[(0, frame.clone()), (1, ip.to_vec()), (2, frame.clone())]);
    let none = Err(CaptureError::NoLink.to_string());
    let expected = [(1, Ok(PAYLOAD.to_vec())), (2, Ok(PAYLOAD.to_vec())), (3, none)];
    assert_eq!(read(&ng), expected);
    let unknown = pcap(105, &[frame], false);
    assert_eq!(read(&unknown), [(1, Err(CaptureError::Link(105).to_string()))]);
}

#[test]
fn the_source_is_the_packets() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), pcap(1, &[udp(false, PAYLOAD)], false)).unwrap();
    let (_, packet) = Packets::open(file.path()).unwrap().next().unwrap();
    assert_eq!(packet.unwrap().source, "203.0.113.7:5070".parse().unwrap());
}

#[test]
fn what_holds_no_udp_is_left_out_and_parts_are_told() {
    let good = udp(false, PAYLOAD);
    let mut tcp = good.clone();
    tcp[23] = 6;
    let arp = [&[2; 12][..], &[8, 6], &[0; 28]].concat();
    let mut first = good.clone();
    first[20] = 0x20;
    let mut later = good.clone();
    later[21] = 9;
    let mut lying = good.clone();
    lying[38] = 0xff;
    let mut file = pcap(1, &[tcp, arp, first, good.clone(), later, lying], false);
    file.extend(record(&good[..60], good.len(), false));
    let told = |error: CaptureError| Err(error.to_string());
    let expected = [
        (3, told(CaptureError::Fragment)),
        (4, Ok(PAYLOAD.to_vec())),
        (5, told(CaptureError::Fragment)),
        (6, told(CaptureError::Headers)),
        (7, told(CaptureError::CutPacket)),
    ];
    assert_eq!(read(&file), expected);
}

#[test]
fn a_capture_that_is_cut_gives_what_is_whole_and_one_error() {
    let frame = udp(false, PAYLOAD);
    let whole_ng = pcapng(&[(0, frame.clone()), (0, frame.clone())]);
    for whole in [pcap(1, &[frame.clone(), frame], false), whole_ng] {
        let mut most = 0;
        for len in 0..whole.len() {
            let got = read(&whole[..len]);
            let (last, good) = got.split_last().unwrap();
            assert!(good.iter().all(|(_, packet)| packet.as_deref() == Ok(PAYLOAD)), "{len}");
            // Between two packets a cut can't be seen.
            assert!(last.1.is_err() || good.is_empty() && last.0 == 1, "{len}: {got:?}");
            most = most.max(good.len());
        }
        assert_eq!((most, read(&whole).len()), (1, 2));
    }
    assert_eq!(read(b""), [(0, Err(CaptureError::Empty.to_string()))]);
    let none = Err(CaptureError::NoDatagrams.to_string());
    assert_eq!(read(&pcap(1, &[], false)), [(0, none)]);
    assert_eq!(read(&[7; 64]), [(0, Err(CaptureError::NoCapture.to_string()))]);
}

#[test]
fn a_length_beyond_all_bounds_is_refused() {
    let mut file = pcap(1, &[udp(false, PAYLOAD)], false);
    file[32..36].copy_from_slice(&u32::MAX.to_le_bytes());
    let error = &read(&file)[0].1;
    assert!(error.as_ref().is_err_and(|error| error.contains("damaged")), "{error:?}");
}

#[test]
fn a_message_file_is_one_datagram() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.sip");
    let error = |path: &Path| message(path).unwrap_err().to_string();
    assert!(error(&path).contains("No such file"));
    fs::write(&path, b"").unwrap();
    assert_eq!(error(&path), "empty file");
    fs::write(&path, vec![b'x'; PAYLOAD_MAX]).unwrap();
    assert_eq!(message(&path).unwrap().len(), PAYLOAD_MAX);
    fs::write(&path, vec![b'x'; PAYLOAD_MAX + 1]).unwrap();
    assert!(error(&path).contains("65507 bytes"));
    let pipe = folder.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    for special in [&pipe, Path::new("/dev/zero")] {
        assert_eq!(error(special), CaptureError::Special.to_string());
    }
}

#[test]
fn folders_are_walked_in_order_and_never_in_circles() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fs::create_dir_all(root.join("b/c.sip")).unwrap();
    for name in ["b/c.sip/2.DAT", "z.sip", "b/1.bin", "a.PcapNG", "README.md", "no_end"] {
        fs::write(root.join(name), b"x").unwrap();
    }
    symlink(root, root.join("b/circle.sip")).unwrap();
    symlink(root.join("z.sip"), root.join("b/link.sip")).unwrap();
    symlink(root.join("gone"), root.join("y.sip")).unwrap();
    let names = |found: Vec<Found>| -> Vec<(PathBuf, bool)> {
        let inside = |path: PathBuf| path.strip_prefix(root).unwrap().to_owned();
        let capture = |kind| matches!(kind, Ok(Kind::Capture));
        found.into_iter().map(|(path, kind)| (inside(path), capture(kind))).collect()
    };
    let expected = [
        ("a.PcapNG", true),
        ("b/1.bin", false),
        ("b/c.sip/2.DAT", false),
        ("b/link.sip", false),
        ("y.sip", false),
        ("z.sip", false),
    ];
    let expected = expected.map(|(name, capture)| (PathBuf::from(name), capture));
    assert_eq!(names(find(root)), expected);

    fs::write(root.join("no_end"), pcapng(&[])).unwrap();
    assert!(matches!(find(&root.join("no_end"))[0].1, Ok(Kind::Capture)));
    assert!(matches!(find(&root.join("README.md"))[0].1, Ok(Kind::Message)));
    fs::create_dir(root.join("empty")).unwrap();
    assert!(matches!(find(&root.join("empty"))[0].1, Err(CaptureError::NoFiles)));
    assert!(matches!(find(&root.join("gone"))[0].1, Err(CaptureError::Io(_))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn damaged_captures_end_without_a_panic(
        ng: bool, changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let frames = [udp(false, PAYLOAD), udp(true, PAYLOAD)];
        let mut file = match ng {
            false => pcap(1, &frames, false),
            true => pcapng(&frames.map(|frame| (0, frame))),
        };
        for (at, byte) in changes {
            let at = at.index(file.len());
            file[at] = byte;
        }
        prop_assert!(read(&file).len() < 100);
    }

    #[test]
    fn packets_of_any_bytes_never_panic(
        link in prop::sample::select(vec![0, 1, 101, 113, 276, 5]),
        mut packet in proptest::collection::vec(any::<u8>(), 0..80),
        version in prop::sample::select(vec![0x45, 0x60, 0x4f, 0]),
        whole: bool,
    ) {
        for at in [0, 14, 16, 20, 4] {
            if let Some(byte) = packet.get_mut(at) {
                *byte = version;
            }
        }
        let _ = packet::datagram(link, &packet, whole);
    }
}
