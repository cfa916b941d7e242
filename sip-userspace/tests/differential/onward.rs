//! What is forwarded, and the responses: kernel and host alike, and nothing touched but what RFC 3261
//! 16.6 and 16.7 say, by the plain reader.
//!
//! Redirects among the mutants are `run`'s, and are not looked at.

use std::{collections::BTreeMap, net::SocketAddr};

use sip_common::{
    frame::{Slice, datagram},
    verdict::Refusal,
};

use crate::{
    corpus,
    frames::Frame,
    loaded::{Done, Loaded, forwarded},
    mutate::mutate,
    network, phones, plain,
    rng::Rng,
    run::{Replay, number},
    world::{AT_B, Memory, PROXY, SERVER, World, own_via},
};

const MUTANTS_DEFAULT: u64 = 10_000;
const SEED_DEFAULT: u64 = 0x0b0d;

/// A header line as the plain reader gives it.
type Line = (String, Vec<u8>, Vec<u8>);

fn lines(message: &[u8]) -> Result<Vec<Line>, String> {
    Ok(plain::read(message).map_err(|error| format!("plain reader: {error}"))?.lines)
}

/// Holds what was sent for a request to the request.
fn onward(message: &[u8], sent: &[u8]) -> Result<(), String> {
    let (before, mut after) = (lines(message)?, lines(sent)?);
    let own = after.iter().position(|(name, ..)| name == "via").ok_or("no Via")?;
    let (_, line, _) = after.remove(own);
    if !line.starts_with(own_via(SERVER).as_bytes()) || before.len() != after.len() {
        return Err(format!("our Via: {}", line.escape_ascii()));
    }
    if before.iter().filter(|(name, ..)| name == "via").count() < 2 {
        return Err("forwarded with one Via".to_owned());
    }
    let mut top = true;
    for ((name, old, value), (_, new, new_value)) in before.iter().zip(&after) {
        let number = |value: &[u8]| String::from_utf8_lossy(value).trim().parse::<u8>().ok();
        let right = match name.as_str() {
            "max-forwards" => number(value).and_then(|n| n.checked_sub(1)) == number(new_value),
            "via" if std::mem::take(&mut top) => without_added(new) == without_added(old),
            _ => old == new,
        };
        if !right {
            return Err(format!("{} became {}", old.escape_ascii(), new.escape_ascii()));
        }
    }
    let rest = message.len() - message.windows(4).position(|end| end == b"\r\n\r\n").unwrap();
    if sent.len() < rest || message[message.len() - rest..] != sent[sent.len() - rest..] {
        return Err("another body".to_owned());
    }
    Ok(())
}

/// A Via line without what a proxy adds to it.
fn without_added(line: &[u8]) -> String {
    let text: String = line.iter().copied().map(char::from).collect();
    let added = |part: &&str| !part.starts_with("received=") && !part.starts_with("rport");
    text.trim_end().split(';').filter(added).collect::<Vec<_>>().join(";")
}

/// Kernel and host on one datagram; what both send.
fn both(
    loaded: &mut Loaded,
    host: &mut Memory,
    world: &World,
    frame: &Frame,
    refused: &mut BTreeMap<&'static str, u64>,
) -> Result<Option<(Vec<u8>, SocketAddr)>, String> {
    let bytes = frame.bytes();
    let kernel = loaded.run(&bytes);
    let begins = |text: &[u8]| frame.payload.starts_with(text);
    let on_host = match datagram(&Slice(&bytes), &world.config) {
        Err(refusal) => Err(refusal),
        Ok(_) if !begins(b"REGI") && !begins(b"SIP/") => Err(Refusal::NotRegister),
        Ok(_) if begins(b"SIP/") && !begins(b"SIP/2.0 ") => Err(Refusal::ResponseOther),
        Ok(_) => host.forward(&frame.payload, frame.source, frame.destination),
    };
    match (kernel, on_host) {
        (Done::Answered { .. } | Done::Refused(Refusal::Recent), _) => Ok(None),
        (Done::Refused(kernel), Err(host)) if kernel == host => {
            *refused.entry(kernel.label()).or_default() += 1;
            Ok(None)
        }
        (Done::Forwarded { frame, .. }, Ok((sent, to))) => {
            let payload = forwarded::payload(&frame, to, SERVER);
            if payload != sent {
                return Err(format!("the host sends {}", sent.escape_ascii()));
            }
            Ok(Some((payload, to)))
        }
        (kernel, host) => {
            let host = host.map(|(sent, _)| sent.escape_ascii().to_string());
            Err(format!("kernel: {kernel:?}\nhost: {host:?}"))
        }
    }
}

#[test]
fn kernel_and_host_forward_alike_and_change_nothing_else() {
    let index = network::with_a_home();
    let (seed, count) = (
        number("HOMEWARD_SEED", SEED_DEFAULT),
        number("HOMEWARD_MUTANTS", MUTANTS_DEFAULT).min(MUTANTS_DEFAULT),
    );
    let corpus = corpus::messages();
    let mut world = World::forwarding(AT_B);
    world.config.interfaces[0] = index;
    let (mut loaded, mut host) = (Loaded::new(&world), Memory::new(world.clone()));
    let (mut forwards, mut backs, mut refused) = (0u64, 0u64, BTreeMap::new());
    for seed in seed..seed + count {
        let _replay = Replay(seed);
        let mut rng = Rng::new(seed);
        let mut message = phones::make(&mut rng).message;
        let top = ["", "rport;"][rng.below(2)];
        let top = format!("Via: SIP/2.0/UDP 192.0.2.3:5062;{top}branch=z9hG4bKp{seed}\r\n");
        let at = message.windows(2).position(|end| end == b"\r\n").map_or(0, |at| at + 2);
        message.splice(at..at, top.bytes());
        let other = corpus[rng.below(corpus.len())].clone();
        for _ in 0..[0, 0, 1, 2][rng.below(4)] {
            message = mutate(&mut rng, message, &other);
        }
        message.truncate(1600);
        let frame = Frame { source: PROXY, ..Frame::new(&message) };
        let sent = both(&mut loaded, &mut host, &world, &frame, &mut refused)
            .and_then(|sent| {
                sent.map_or(Ok(None), |(sent, _)| onward(&message, &sent).map(|()| Some(sent)))
            })
            .unwrap_or_else(|reason| panic!("{reason}\nmessage: {}", message.escape_ascii()));
        let Some(sent) = sent else { continue };
        forwards += 1;
        let mut answer = forwarded::response(&sent);
        if rng.percent(50) {
            answer = mutate(&mut rng, answer, &other);
        }
        answer.truncate(1600);
        let frame = Frame { source: AT_B, ..Frame::new(&answer) };
        match both(&mut loaded, &mut host, &world, &frame, &mut refused) {
            Ok(Some((back, to))) => {
                backs += 1;
                // Without rport the sent-by names the port.
                assert_eq!(to.ip(), PROXY.ip());
                assert!(answer.len() > back.len() && back.starts_with(b"SIP/2.0 "));
            }
            Ok(None) => {}
            Err(reason) => panic!("{reason}\nresponse: {}", answer.escape_ascii()),
        }
    }
    println!("{count} mutants: {forwards} forwarded, {backs} responses sent back");
    println!("refused: {refused:?}");
    if count >= 1_000 {
        assert!(forwards * 20 >= count && backs * 2 >= forwards, "{forwards} {backs}");
    }
}
