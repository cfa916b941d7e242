//! Two hosts that ask each other, on loopback, with certificates of one authority or of two.

use std::{fs, net::TcpListener, path::Path};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use super::*;
use crate::{config::Tls, core::returning::Seen};

const ASKED: Question = Question::Seen { key: [1, 2] };

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A host with a certificate for 127.0.0.1.
fn host(folder: &Path, ca: &Authority, cluster: &str, listen: Option<SocketAddr>) -> Peers {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, ca).unwrap();
    let name = format!("{listen:?}");
    let path = |what: &str| folder.join(format!("{name}.{what}"));
    fs::write(path("pem"), certificate.pem()).unwrap();
    fs::write(path("key"), key.serialize_pem()).unwrap();
    fs::write(path("ca"), ca.pem()).unwrap();
    let tls = Tls {
        listen: Vec::new(),
        identity: Some((path("pem"), path("key"))),
        client_ca: Some(path("ca")),
        require_client_certificate: true,
        server_ca: path("ca"),
        handshakes_max: 8,
        handshake_time: Duration::from_secs(2),
    };
    let config = Config { listen: listen.into_iter().collect(), tls: Some(tls) };
    Peers::open(&config, cluster, &name).unwrap()
}

fn next(peers: &mut Peers) -> Event {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let event = async { tokio::time::timeout(Duration::from_secs(10), peers.next()).await };
    runtime.block_on(event).unwrap().unwrap()
}

fn answer(event: Event) -> Option<Answer> {
    match event {
        Event::Answered { question: ASKED, answer } => answer,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_question_is_answered_and_the_next_one_goes_the_same_way() {
    let (folder, ca, at) = (tempfile::tempdir().unwrap(), authority(), free());
    let mut home = host(folder.path(), &ca, "c", Some(at));
    let mut edge = host(folder.path(), &ca, "c", None);
    for seen in [Seen::Ago(7), Seen::NotFor(3)] {
        edge.ask(at, "127.0.0.1", ASKED);
        match next(&mut home) {
            Event::Asked { question: ASKED, reply } => reply.send(Answer::Seen(seen)).unwrap(),
            other => panic!("{other:?}"),
        }
        assert_eq!(answer(next(&mut edge)), Some(Answer::Seen(seen)));
    }
    assert_eq!(
        (&home.status()["asked_by_others"], &edge.status()["answers"]),
        (&json!(2), &json!(2))
    );
    // A host that is gone answers nothing, at once.
    drop(home);
    edge.ask(at, "127.0.0.1", ASKED);
    assert_eq!(answer(next(&mut edge)), None);
}

#[test]
fn nobody_is_asked_or_heard_who_is_not_of_the_cluster() {
    let (folder, ca, at) = (tempfile::tempdir().unwrap(), authority(), free());
    let mut home = host(folder.path(), &ca, "c", Some(at));
    let other = tempfile::tempdir().unwrap();
    for (ca, cluster, name) in [
        (&authority(), "c", "127.0.0.1"),
        (&ca, "another", "127.0.0.1"),
        (&ca, "c", "home.example.com"),
    ] {
        let mut edge = host(other.path(), ca, cluster, None);
        edge.ask(at, name, ASKED);
        assert_eq!(answer(next(&mut edge)), None, "{cluster} {name}");
        assert_eq!(edge.status()["failed"], 1, "{cluster} {name}");
    }
    assert!(home.events.try_recv().is_err(), "no question came through");
}

#[test]
fn without_certificates_there_is_no_channel() {
    let peers = Peers::open(&Config { listen: Vec::new(), tls: None }, "c", "n").unwrap();
    assert_eq!(peers.ask(free(), "127.0.0.1", ASKED), Some(ASKED));
    assert_eq!(peers.status(), json!({"mode": "off"}));
}
