//! Who may use etcd, and whose table is in it.

use std::path::{Path, PathBuf};

use etcd_client::{Client, ConnectOptions, Permission};
use homeward::store::{
    AssignmentStore as _, EtcdStore, Health, StoreError,
    conformance::add,
    etcd::{Settings, create},
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::harness::{Etcd, Host, Hosts, Shape, until};

struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: PathBuf,
    name: &'static str,
}

impl Authority {
    fn new(directory: &Path, name: &'static str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let directory = directory.to_owned();
        std::fs::write(directory.join(format!("{name}.ca")), issuer.pem()).unwrap();
        Self { issuer, directory, name }
    }

    fn ca(&self) -> PathBuf {
        self.directory.join(format!("{}.ca", self.name))
    }

    /// A certificate with its key.
    fn sign(&self, name: &str) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let place = |end: &str| self.directory.join(format!("{}-{name}.{end}", self.name));
        std::fs::write(place("crt"), certificate.pem()).unwrap();
        std::fs::write(place("key"), key.serialize_pem()).unwrap();
        (place("crt"), place("key"))
    }
}

#[test]
fn with_certificates_on_both_sides() {
    let directory = tempfile::tempdir().unwrap();
    let ours = Authority::new(directory.path(), "ours");
    let theirs = Authority::new(directory.path(), "theirs");
    let (certificate, key) = ours.sign("127.0.0.1");
    let shown = |path: &Path| path.display().to_string();
    let arguments = [
        ("--cert-file", shown(&certificate)),
        ("--key-file", shown(&key)),
        ("--trusted-ca-file", shown(&ours.ca())),
        ("--client-cert-auth", "true".to_owned()),
    ];
    let arguments = arguments.map(|(name, value)| format!("{name}={value}")).to_vec();
    let etcd = Etcd::shaped(1, &Shape { tls: Some(arguments), ..Shape::default() });
    let host = ours.sign("home0");
    let right = Settings {
        tls: true,
        ca: Some(ours.ca()),
        certificate: Some(host.0),
        key: Some(host.1),
        node: "home0".to_owned(),
        ..Hosts::settings(etcd.addresses(), directory.path())
    };
    until("a table", || match create(&right, 64) {
        Ok(_) => Some(()),
        Err(StoreError::Unusable { cause, .. }) if cause.contains("refused") => None,
        Err(error) => panic!("{error}"),
    });
    let stranger = theirs.sign("home0");
    let without = Settings { certificate: None, key: None, ..right.clone() };
    let wrong = Settings { certificate: Some(stranger.0), key: Some(stranger.1), ..right.clone() };
    let unknown = Settings { ca: Some(theirs.ca()), ..right.clone() };
    let plain = Settings { tls: false, ..right.clone() };
    for (settings, word) in [
        (without, "store.certificate"),
        (wrong, "store.certificate"),
        (unknown, "store.ca"),
        (plain, "etcds://"),
    ] {
        let store = EtcdStore::start(settings).unwrap();
        let error = store.load("home0").unwrap_err().to_string();
        println!("{error}");
        assert!(error.contains(word), "{word}: {error}");
    }
    let store = EtcdStore::start(right).unwrap();
    let table = store.load("home0").unwrap();
    let mut host = Host::new(store, table);
    host.commit(vec![add(0)]);
    host.wait("health", Host::is_well);
}

#[test]
fn with_a_user_and_a_password() {
    let directory = tempfile::tempdir().unwrap();
    let etcd = Etcd::start(1);
    etcd.with(async |client: &mut Client| {
        let prefix = Permission::read_write("/homeward/v1/").with_prefix();
        client.role_add("homeward").await.unwrap();
        client.role_grant_permission("homeward", prefix).await.unwrap();
        client.role_add("root").await.unwrap();
        for (user, role) in [("root", Some("root")), ("edge", Some("homeward")), ("nobody", None)] {
            client.user_add(user, format!("{user}'s password"), None).await.unwrap();
            if let Some(role) = role {
                client.user_grant_role(user, role).await.unwrap();
            }
        }
        client.auth_enable().await.unwrap();
    });
    let file = |name: &str, password: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, format!("{password}\n")).unwrap();
        path
    };
    let plain = Hosts::settings(etcd.addresses(), directory.path());
    let user = |name: &str, path| Settings {
        user: Some((name.to_owned(), path)),
        node: "home0".to_owned(),
        ..plain.clone()
    };
    let right = user("edge", file("edge", "edge's password"));
    create(&right, 64).unwrap();
    for (settings, word) in [
        (plain.clone(), "store.user"),
        (user("edge", file("wrong", "something else")), "store.password_file"),
        (user("nobody", file("nobody", "nobody's password")), "read and write"),
    ] {
        let error = EtcdStore::start(settings).unwrap().load("home0").unwrap_err().to_string();
        println!("{error}");
        assert!(error.contains(word), "{word}: {error}");
        assert!(!error.contains("something else"));
    }
    // A password that is put right is taken while the host runs.
    let later = user("edge", file("later", "something else"));
    let store = EtcdStore::start(later).unwrap();
    assert!(store.load("home0").is_err());
    file("later", "edge's password");
    until("the new password", || store.load("home0").ok());

    let missing = user("edge", directory.path().join("none"));
    let error = EtcdStore::start(missing).unwrap_err().to_string();
    assert!(error.contains("none") && error.contains("store.password_file"), "{error}");

    let store = EtcdStore::start(right).unwrap();
    let table = store.load("home0").unwrap();
    let mut host = Host::new(store, table);
    host.commit(vec![add(0)]);
    host.store.applied(host.table.revision());
    host.store.lead(true);
    host.wait("all of it", |host| host.is_well() && host.leads && host.edges.len() == 1);

    // Somebody takes the right away while the host runs: it says so and goes on with its table.
    let root = ConnectOptions::new().with_user("root", "root's password");
    etcd.runtime.block_on(async {
        let mut client = Client::connect(etcd.addresses(), Some(root)).await.unwrap();
        client.user_revoke_role("edge", "homeward").await.unwrap();
    });
    host.wait("health", |host| match &host.health {
        Some(Health::Away { cause, cure, .. }) => {
            cause.contains("permission denied") && cure.contains("read and write")
        }
        _ => false,
    });
    assert_eq!(host.table.servers().count(), 1);
}

#[test]
fn another_clusters_table_is_refused_with_both_names() {
    let etcd = Etcd::start(1);
    let hosts = Hosts::new(&etcd, 64);
    let mut host = hosts.follow("home0");
    let commit = host.commit(vec![add(0)]);
    host.wait_for(&commit);
    host.wait("health", Host::is_well);
    let again = Settings {
        secret_file: hosts.directory.path().join("again.secret"),
        ..hosts.host("home0")
    };
    let error = create(&again, 64).unwrap_err();
    assert!(matches!(error, StoreError::TableExists { .. }), "{error}");
    assert!(!again.secret_file.exists());

    // Another cluster is made in its place, while a host runs.
    etcd.clear();
    let other = Hosts::new(&etcd, 64);
    host.wait("health", |host| match &host.health {
        Some(Health::Away { cause, cure, .. }) => {
            cause.contains("cluster") && cure.contains("store.url")
        }
        _ => false,
    });
    assert_eq!(host.table.servers().count(), 1);
    let refused = host
        .store
        .commit(homeward::store::conformance::proposal(host.table.revision(), vec![add(1)]));
    assert!(matches!(refused, Err(StoreError::Away { .. })), "{refused:?}");

    // A host that starts has its snapshot; one without names both clusters.
    let last = host.table.clone();
    drop(host);
    assert_eq!(hosts.open("home0").load("home0").unwrap(), last);
    let error = hosts.open("home7").load("home7").unwrap_err();
    assert!(matches!(error, StoreError::WrongCluster { .. }), "{error}");
    // The same name with other secrets.
    let text = std::fs::read_to_string(&hosts.settings.secret_file).unwrap();
    let own = text.lines().find(|line| line.starts_with("cluster")).unwrap().to_owned();
    let text = std::fs::read_to_string(&other.settings.secret_file).unwrap();
    let theirs = text.lines().find(|line| line.starts_with("cluster")).unwrap();
    let text = std::fs::read_to_string(&hosts.settings.secret_file).unwrap();
    std::fs::write(&hosts.settings.secret_file, text.replace(&own, theirs)).unwrap();
    let error = hosts.open("home7").load("home7").unwrap_err();
    assert!(matches!(error, StoreError::WrongSecret { .. }), "{error}");
    let shown = error.to_string();
    assert!(shown.contains("cluster.secret") && shown.contains("copy the file"), "{shown}");
    std::fs::remove_file(&hosts.settings.secret_file).unwrap();
    let error = EtcdStore::start(hosts.host("home7")).unwrap_err().to_string();
    assert!(error.contains("cluster.secret") && error.contains("it is not there"), "{error}");
}
