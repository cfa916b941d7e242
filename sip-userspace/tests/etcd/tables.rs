//! `homeward table create` and `homeward table migrate`, as an operator types them.

use std::{os::unix::fs::PermissionsExt as _, path::Path};

use homeward::{
    cli::{Cli, Failure},
    core::table::{Change, Revision, Table},
    store::{
        AssignmentStore as _, Credentials, EtcdStore, MemoryStore, SqliteStore, User, UserChange,
        conformance::{add, assign, proposal},
        etcd::Settings,
    },
};

use crate::harness::{Etcd, Hosts};

/// Runs a command line; what it printed.
fn homeward(line: &str) -> Result<String, Failure> {
    let words = ["homeward"].into_iter().chain(line.split(' '));
    let mut out = Vec::new();
    Cli::read(words.map(Into::into))?.execute(&mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

fn refused(line: &str, words: &[&str]) -> Failure {
    let failure = homeward(line).expect_err(line);
    for word in words {
        assert!(failure.message.contains(word), "{line}: {}", failure.message);
    }
    assert!(!failure.message.contains('\n'), "{}", failure.message);
    failure
}

/// A file with a table of every kind of content.
fn filled(path: &Path) -> Table {
    let store = SqliteStore::create(path, 256).unwrap();
    let mut table = store.load("").unwrap();
    let many = |n: u16| {
        assign(&format!("user{n}@example.com"), [None, Some(1), Some(2)][usize::from(n % 3)])
    };
    for changes in [
        vec![add(0), add(1), add(2)],
        (0..200).map(|slot| Change::Place { slot, server: Some(2) }).collect(),
        (0..3000).map(many).collect(),
        vec![assign("zoë@example.com", Some(0)), Change::RemoveServer { index: 7 }],
        vec![assign("zoë@example.com", Some(0))],
    ] {
        let Ok(commit) = store.commit(proposal(table.revision(), changes)) else { continue };
        table.apply(&commit).unwrap();
    }
    for part in (0..250).collect::<Vec<_>>().chunks(100) {
        let put = |n: &u8| {
            let aor = format!("user{n}@example.com");
            let by_user = homeward::sip::digest::Ha1::new(aor.as_bytes(), "example.com", &[*n, 1]);
            UserChange::Put(User { aor, realm: "example.com".into(), by_user, by_aor: by_user })
        };
        let (sender, result) = crossbeam::channel::bounded(1);
        let done = move |it| sender.send(it).unwrap();
        store.change_users(part.iter().map(put).collect(), Box::new(done));
        result.recv().unwrap().unwrap();
    }
    table
}

fn users(store: &dyn Credentials) -> Vec<User> {
    let mut users = Vec::new();
    store.all_users(&mut |user| users.push(user)).unwrap();
    users
}

/// The table but for its revision.
fn same(one: &Table, other: &Table) -> bool {
    let revision = Revision::default();
    let content = |table: &Table| homeward::core::table::Delta { revision, ..table.as_delta() };
    one.meta() == other.meta() && content(one) == content(other)
}

#[test]
fn a_table_is_made_once_and_its_secrets_go_into_the_file() {
    let etcd = Etcd::start(1);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("cluster.secret");
    let url = format!("etcd://{}", etcd.members[0].address);
    let line = format!("table create --store {url} --slots 256 --secret-file {}", file.display());
    let said = homeward(&line).unwrap();
    assert!(said.contains("256 slots") && said.contains("copy"), "{said}");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let text = std::fs::read_to_string(&file).unwrap();
    let secrets: Vec<_> = text.split('"').filter(|word| word.len() == 32).collect();
    assert_eq!(secrets.len(), 2);
    let held = etcd.with(async |client| {
        let all = etcd_client::GetOptions::new().with_all_keys();
        let all = client.get("", Some(all)).await.unwrap();
        all.kvs().iter().map(|kv| kv.value_str().unwrap().to_owned()).collect::<String>()
    });
    for secret in &secrets {
        assert!(!said.contains(secret) && !held.contains(secret));
    }
    refused(&line, &["cluster.secret", "exists already"]);
    let again = line.replace("cluster.secret", "again.secret");
    refused(&again, &["there is a table in it already"]);
    assert!(!directory.path().join("again.secret").exists());

    let settings = Hosts::settings(etcd.addresses(), directory.path());
    let store = EtcdStore::start(settings).unwrap();
    assert_eq!(store.load("").unwrap().meta().slots, 256);
    for (bad, word) in [
        ("--store sqlite:/x", "no etcd"),
        ("--store etcd://127.0.0.1:1 --slots 100", "power of two"),
        ("--store etcds://127.0.0.1:1", "--ca"),
        ("--store etcd://127.0.0.1:1 --user x", "--password-file"),
    ] {
        let failure = refused(&format!("table create {bad} --secret-file /nowhere/x"), &[word]);
        assert_eq!(failure.code, 2, "{}", failure.message);
    }
    let none = directory.path().join("none.secret");
    let away = format!("table create --store etcd://127.0.0.1:1 --secret-file {}", none.display());
    refused(&away, &["refused", "start etcd"]);
    assert!(!none.exists(), "a failed creation leaves a secret");
}

#[test]
fn a_table_goes_into_etcd_and_back_whole() {
    let etcd = Etcd::start(1);
    let directory = tempfile::tempdir().unwrap();
    let place = |name: &str| directory.path().join(name).display().to_string();
    let table = filled(Path::new(&place("old.db")));
    let url = format!("etcd://{}", etcd.members[0].address);
    let (from, to) = (format!("sqlite:{}", place("old.db")), place("new.db"));
    let secret = place("cluster.secret");
    let there = format!("table migrate --from {from} --to {url} --secret-file {secret}");

    // What an attempt that was cut short left is no table, and is cleared away.
    etcd.with(async |client| {
        let history = "history/00000000.0000000000000009";
        for key in ["making", "server/9", "slot/255", "user/eve@example.com", history] {
            client.put(format!("/homeward/v1/{key}"), "left over", None).await.unwrap();
        }
    });
    let said = homeward(&format!("--json {there} --dry-run")).unwrap();
    let counts: serde_json::Value = serde_json::from_str(&said).unwrap();
    for (name, number) in
        [("servers", 3), ("slots", 256), ("overrides", 3001), ("history", 4), ("users", 250)]
    {
        assert_eq!(counts[name], number, "{name}: {said}");
    }
    assert!(!Path::new(&secret).exists(), "a dry run writes");
    let held = SqliteStore::open(Path::new(&place("old.db"))).unwrap();
    let before = users(&held);
    assert_eq!(before.len(), 250);
    refused(&there, &["in use by another homeward"]);
    drop(held);

    let said = homeward(&there).unwrap();
    println!("{said}");
    assert!(said.contains("3001 assignments") && said.contains("(revision 1.0)"), "{said}");
    let settings = Hosts::settings(etcd.addresses(), directory.path());
    let store = EtcdStore::start(Settings { snapshot: None, ..settings }).unwrap();
    let brought = store.load("").unwrap();
    assert_eq!(brought.revision(), Revision { epoch: 1, counter: 0 });
    assert!(same(&brought, &table));
    assert_eq!(users(&store), before);
    let history = store.history(None, 100).unwrap();
    assert_eq!(history.len(), 5);
    assert!(history[0].why.contains("etcd://") && history[4].revision.counter == 1);
    let commit = store.commit(proposal(brought.revision(), vec![add(3)])).unwrap();
    refused(&there, &["there is a table in it already"]);

    let back = format!("table migrate --from {url} --to sqlite:{to} --secret-file {secret}");
    homeward(&back).unwrap();
    let last = SqliteStore::open(Path::new(&to)).unwrap();
    let (now, before) = (last.load("").unwrap(), store.load("").unwrap());
    assert_eq!(now.revision(), Revision { epoch: commit.revision.epoch + 1, counter: 0 });
    assert!(same(&now, &before));
    assert_eq!(users(&last), users(&store));
    assert_eq!(last.history(None, 100).unwrap().len(), 7);
    let base = last.commit(proposal(now.revision(), vec![add(4)])).unwrap().revision;
    assert_eq!(base, now.revision().next());
    refused(&back, &["new.db", "exists already"]);

    // Another cluster's secret file is not taken, and not overwritten.
    etcd.clear();
    let wrong = place("wrong.secret");
    homeward::store::etcd::Secret::of(MemoryStore::create(64).unwrap().load("").unwrap().meta())
        .write(Path::new(&wrong))
        .unwrap();
    let there = there.replace("cluster.secret", "wrong.secret");
    let before = std::fs::read(&wrong).unwrap();
    refused(&there, &["wrong.secret", "made with"]);
    assert_eq!(std::fs::read(&wrong).unwrap(), before);
    refused(&format!("table migrate --from {from} --to {from}"), &["sqlite:/path"]);
}

#[test]
fn a_host_that_runs_follows_a_table_that_was_put_back_with_a_higher_epoch() {
    let etcd = Etcd::start(1);
    let hosts = Hosts::new(&etcd, 64);
    let mut host = hosts.follow("home0");
    host.commit(vec![add(0), add(1), assign("a@example.com", Some(1))]);
    let backup = hosts.directory.path().join("backup.db");
    let url = format!("etcd://{}", etcd.members[0].address);
    let secret = hosts.settings.secret_file.display();
    let backup = backup.display();
    homeward(&format!("table migrate --from {url} --to sqlite:{backup} --secret-file {secret}"))
        .unwrap();
    let unassign = Change::Unassign { aor: "a@example.com".into() };
    let commit = host.commit(vec![unassign]);
    host.wait_for(&commit);
    host.wait("health", |host| host.is_well());
    etcd.clear();
    host.wait("health", |host| host.is_away());
    homeward(&format!("table migrate --from sqlite:{backup} --to {url} --secret-file {secret}"))
        .unwrap();
    host.wait("the table", |host| host.table.revision().epoch == 2 && host.is_well());
    assert_eq!((host.table.overrides().len(), host.wholes), (1, 1));
    let commit = host.commit(vec![assign("b@example.com", Some(0))]);
    host.wait_for(&commit);
    assert_eq!(host.table, host.store.load("home0").unwrap());
}

#[test]
#[ignore = "a measurement: run it by name, in release"]
fn a_table_of_a_million_clients() {
    let etcd = Etcd::start(1);
    let directory = tempfile::tempdir().unwrap();
    let store = MemoryStore::create(16_384).unwrap();
    let mut base = store.commit(proposal(Revision::default(), vec![add(0), add(1)])).unwrap();
    let clients: Vec<_> = (0..1_000_000)
        .map(|n| assign(&format!("user{n}@example.com"), Some(n as u16 % 2)))
        .collect();
    for part in clients.chunks(100_000) {
        base = store.commit(proposal(base.revision, part.to_vec())).unwrap();
    }
    let table = store.load("").unwrap();
    let settings = Hosts::settings(etcd.addresses(), directory.path());
    homeward::store::etcd::Secret::of(table.meta()).write(&settings.secret_file).unwrap();
    let from = std::time::Instant::now();
    homeward::store::etcd::import(&settings, &table, base.revision, &[], &[]).unwrap();
    println!("written in {:?}", from.elapsed());
    let from = std::time::Instant::now();
    let shared = EtcdStore::start(settings.clone()).unwrap();
    assert!(same(&shared.load("").unwrap(), &table));
    println!("loaded, with its snapshot, in {:?}", from.elapsed());
    let mut times = Vec::new();
    let mut revision = base.revision;
    for n in 0..500 {
        let changes = vec![assign(&format!("user{n}@example.com"), Some(1))];
        let from = std::time::Instant::now();
        revision = shared.commit(proposal(revision, changes)).unwrap().revision;
        times.push(from.elapsed());
    }
    times.sort();
    println!("a commit p50 {:?} p99 {:?}", times[250], times[494]);
    drop(shared);
    let away = Settings { members: vec!["127.0.0.1:1".to_owned()], ..settings };
    let from = std::time::Instant::now();
    assert!(!EtcdStore::start(away).unwrap().load("").unwrap().overrides().is_empty());
    println!("loaded from the snapshot, 3 s of waiting included, in {:?}", from.elapsed());
}

#[test]
fn the_head_is_told_without_reading_the_table() {
    let etcd = Etcd::start(1);
    let hosts = Hosts::new(&etcd, 64);
    let mut host = hosts.follow("home0");
    let commit = host.commit(vec![add(0), assign("alice@example.com", Some(0))]);
    let store = hosts.open("home1");
    let head = (host.table.meta().clone(), commit.revision);
    assert_eq!(store.head().unwrap(), head);
    // A slot that can't be read is in the way of a table, and not of its head.
    etcd.with(async |client| {
        let slots = etcd_client::GetOptions::new().with_prefix();
        let slots = client.get("/homeward/v1/slot/", Some(slots)).await.unwrap();
        let slot = slots.kvs().first().unwrap().key().to_vec();
        client.put(slot, "{", None).await.unwrap();
    });
    assert_eq!(store.head().unwrap(), head);
    assert!(hosts.open("home2").load("home2").is_err());
}
