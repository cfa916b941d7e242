//! What can be wrong with the files, and that a changed one is noticed.

use std::{fs, path::PathBuf, time::Duration};

use rcgen::{CertifiedKey, generate_simple_self_signed};

use super::*;

fn config(directory: &Path) -> Tls {
    let file = |name: &str| directory.join(name);
    Tls {
        listen: Vec::new(),
        identity: Some((file("certificate.pem"), file("key.pem"))),
        client_ca: Some(file("clients.pem")),
        require_client_certificate: true,
        server_ca: file("servers.pem"),
        handshakes_max: 1,
        handshake_time: Duration::from_secs(1),
    }
}

fn write(directory: &Path) -> CertifiedKey<rcgen::KeyPair> {
    let made = generate_simple_self_signed(["home1.example.com".into(), "192.0.2.1".into()]);
    let made = made.unwrap();
    for name in ["certificate.pem", "clients.pem", "servers.pem"] {
        fs::write(directory.join(name), made.cert.pem()).unwrap();
    }
    fs::write(directory.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    made
}

#[test]
fn a_file_that_can_not_be_used_is_named_with_its_cure() {
    let directory = tempfile::tempdir().unwrap();
    let other = write(directory.path()).signing_key.serialize_pem();
    write(directory.path());
    let config = config(directory.path());
    assert!(Contexts::load(&config).is_ok());
    for (name, text, reason) in [
        ("key.pem", Some(other.as_str()), "certificate.pem: "),
        ("key.pem", Some("nothing"), "key.pem: "),
        ("certificate.pem", Some("nothing"), "certificate.pem: no certificate stands in it"),
        ("certificate.pem", None, "certificate.pem: No such file"),
        ("clients.pem", None, "clients.pem: No such file"),
    ] {
        let path = directory.path().join(name);
        let before = fs::read(&path).unwrap();
        match text {
            Some(text) => fs::write(&path, text).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        let error = Contexts::load(&config).unwrap_err().to_string();
        assert!(error.contains(reason) && error.contains("; "), "{name}: {error}");
        fs::write(&path, before).unwrap();
    }
    // Without authorities no server can be checked, but clients can be served.
    fs::remove_file(directory.path().join("servers.pem")).unwrap();
    let contexts = Contexts::load(&config).unwrap();
    assert!(contexts.server.is_some() && contexts.client.is_err());
    let bare = Tls { identity: None, client_ca: None, ..config };
    assert!(Contexts::load(&bare).unwrap().server.is_none());
}

#[test]
fn a_changed_file_is_noticed_once() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path());
    let (mut keeper, _) = Keeper::new(config(directory.path())).unwrap();
    assert!(keeper.look(false).is_none());
    assert!(keeper.look(true).unwrap().is_ok());
    let certificate: PathBuf = directory.path().join("certificate.pem");
    fs::write(&certificate, "torn").unwrap();
    assert!(keeper.look(false).unwrap().is_err());
    assert!(keeper.look(false).is_none());
    write(directory.path());
    assert!(keeper.look(false).unwrap().is_ok());
}

#[test]
fn a_certificate_is_for_its_names_alone() {
    let directory = tempfile::tempdir().unwrap();
    let made = write(directory.path());
    for (host, expected) in [
        ("home1.example.com", true),
        ("HOME1.example.com", true),
        ("192.0.2.1", true),
        ("home2.example.com", false),
        ("192.0.2.2", false),
        ("[2001:db8::1]", false),
    ] {
        let name = server_name(host).unwrap();
        assert_eq!(is_for(made.cert.der(), &name), expected, "{host}");
    }
    assert!(server_name("no name").is_err());
}
