//! Over TCP, against a driver of a few lines.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    path::Path,
    thread,
};

use serde_json::{Value, json};

use super::{document::Document, *};
use crate::control::tests::drive;

const READ: &str = "reader-0123456789";
const WRITE: &str = "writer-0123456789";

struct Site {
    api: Option<Api>,
    driver: Option<JoinHandle<()>>,
    directory: tempfile::TempDir,
}

fn tokens(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

impl Site {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("tokens");
        tokens(&file, &format!("watch read {READ}\nops write {WRITE}\n"));
        let (calls, receiver) = mpsc::channel(8);
        let driver = thread::spawn(move || drive(receiver));
        let mut api = Api::bind("127.0.0.1:0".parse().unwrap(), file).unwrap();
        api.start(calls).unwrap();
        Self { api: Some(api), driver: Some(driver), directory }
    }

    fn api(&self) -> &Api {
        self.api.as_ref().unwrap()
    }

    /// One request; the status and the body.
    fn send(&self, token: &str, method: &str, path: &str, more: &str, body: &str) -> (u16, Value) {
        let mut stream = TcpStream::connect(self.api().address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let token = match token {
            "" => String::new(),
            token => format!("Authorization: Bearer {token}\r\n"),
        };
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{token}{more}\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        // The server may answer and close before it has taken all.
        let _ = stream.write_all(body.as_bytes());
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        (status, serde_json::from_str(body).unwrap_or(Value::Null))
    }

    fn put(&self, path: &str, body: Value) -> (u16, Value) {
        self.send(WRITE, "PUT", path, "", &body.to_string())
    }

    fn get(&self, path: &str) -> (u16, Value) {
        self.send(READ, "GET", path, "", "")
    }

    fn servers(&self) {
        for number in 0..4 {
            let fields = json!({"address": format!("192.0.2.{number}:5060")});
            let fields = if number == 3 {
                json!({"address": "192.0.2.3:5060", "state": "disabled"})
            } else {
                fields
            };
            let (status, body) = self.put(&format!("/v1/servers/home{number}"), fields);
            assert_eq!(status, 200, "{body}");
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        drop(self.api.take());
        self.driver.take().unwrap().join().unwrap();
    }
}

#[test]
fn every_path_of_the_document_is_answered_as_it_says() {
    let site = Site::start();
    site.servers();
    let (status, document) = site.get("/v1/openapi.json");
    assert_eq!(status, 200);
    let mut asked = 0;
    // What is removed is removed last.
    for last in [false, true] {
        for (path, methods) in document["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                if (method == "delete") != last {
                    continue;
                }
                let (mut path, mut query) = (path.clone(), String::new());
                for parameter in operation["parameters"].as_array().into_iter().flatten() {
                    let name = parameter["name"].as_str().unwrap();
                    let example = match &parameter["example"] {
                        Value::Null => continue,
                        Value::String(text) => text.clone(),
                        other => other.to_string(),
                    };
                    match parameter["in"].as_str() {
                        Some("path") => path = path.replace(&format!("{{{name}}}"), &example),
                        _ => query.push_str(&format!("&{name}={example}")),
                    }
                }
                let body = &operation["requestBody"]["content"]["application/json"]["example"];
                let body = if body.is_null() { String::new() } else { body.to_string() };
                let path = format!("{path}?{}", query.trim_start_matches('&'));
                let (status, answer) = site.send(WRITE, &method.to_uppercase(), &path, "", &body);
                let says = operation["responses"].as_object().unwrap();
                assert!(
                    says.contains_key(&status.to_string()),
                    "{method} {path}: {status} {answer}"
                );
                // No other host shares this table, so there is none to be forgotten; and nothing
                // would be better placed, so there is no plan either.
                let without = ["/v1/edges/", "/v1/plans/"].iter();
                assert!(
                    status == 200 || without.clone().any(|start| path.starts_with(start)),
                    "{method} {path}: {answer}"
                );
                asked += 1;
            }
        }
    }
    assert_eq!(asked, 30);
    let schemas = document["components"]["schemas"].as_object().unwrap();
    for name in ["ServerFields", "ClientView", "StatusView", "ImportView", "Fault", "Change"] {
        assert!(schemas.contains_key(name), "{name}");
    }
    use utoipa::OpenApi as _;
    assert_eq!(document, serde_json::to_value(Document::openapi()).unwrap());
}

#[test]
fn who_may_not_is_told_and_counted() {
    let site = Site::start();
    let body = json!({"address": "192.0.2.1:5060"}).to_string();
    for (token, method, path, expected) in [
        ("", "GET", "/v1/status", 401),
        ("wrong-0123456789ab", "GET", "/v1/status", 401),
        ("", "GET", "/nowhere", 401),
        ("", "PUT", "/v1/servers/home1", 401),
        (READ, "PUT", "/v1/servers/home1", 403),
        (READ, "DELETE", "/v1/clients/a@example.com", 403),
        (READ, "POST", "/v1/table", 403),
        (READ, "GET", "/v1/servers", 200),
        (WRITE, "GET", "/v1/servers", 200),
        (WRITE, "GET", "/nowhere", 404),
        (WRITE, "POST", "/v1/status", 405),
        (WRITE, "PUT", "/v1/servers/home1", 200),
    ] {
        let (status, answer) = site.send(token, method, path, "", &body);
        assert_eq!(status, expected, "{method} {path}: {answer}");
        if expected >= 400 {
            assert!(answer["reason"].is_string() && answer["cure"].is_string(), "{answer}");
        }
    }
    let status = site.api().status();
    assert_eq!((&status["unauthorized"], &status["forbidden"]), (&json!(4), &json!(3)));
    assert_eq!(status["passed"], 5);
    let (_, history) = site.get("/v1/history");
    assert_eq!(history["records"][0]["by"], "api:ops");
}

#[test]
fn tokens_are_read_again_when_their_file_changes() {
    let site = Site::start();
    let file = site.directory.path().join("tokens");
    let until = |expected: u16, token: &str| {
        for _ in 0..40 {
            if site.send(token, "GET", "/v1/servers", "", "").0 == expected {
                return;
            }
            thread::sleep(Duration::from_millis(100));
        }
        panic!("never {expected}");
    };
    tokens(&file, "new write another-0123456789\n");
    until(200, "another-0123456789");
    until(401, WRITE);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&file, "evil write evil-0123456789abc\n").unwrap();
    thread::sleep(Duration::from_millis(1_100));
    assert_eq!(site.send("evil-0123456789abc", "GET", "/v1/servers", "", "").0, 401);
    assert_eq!(site.send("another-0123456789", "GET", "/v1/servers", "", "").0, 200);
    let failed = site.api().status()["tokens_failed"].to_string();
    assert!(failed.contains("others may read or write it"), "{failed}");
}

#[test]
fn what_is_wrong_is_json_with_its_cure() {
    let site = Site::start();
    site.servers();
    let long = format!("{{\"rows\":[],\"why\":\"{}\"}}", "x".repeat(REQUEST_MAX));
    let bad = json!({"rows": [{"aor": "alice", "server": "home1"}, {"aor": "b@example.com"}]});
    for (method, path, body, expected, word) in [
        ("PUT", "/v1/clients/alice", r#"{"server":"home1"}"#.to_owned(), 400, "it has no @"),
        ("PUT", "/v1/clients/a@example.com", r#"{"server":"home7"}"#.into(), 400, "`home7`"),
        ("PUT", "/v1/clients/a@example.com", "{}".into(), 400, "missing field `server`"),
        ("PUT", "/v1/clients/a@example.com", "nonsense".into(), 400, "JSON"),
        ("PATCH", "/v1/servers/home1", r#"{"odd":1}"#.into(), 400, "unknown field `odd`"),
        ("GET", "/v1/clients?limit=many", String::new(), 400, "limit"),
        ("GET", "/v1/clients?nothing=1", String::new(), 400, "unknown field"),
        ("GET", "/v1/history?before=now", String::new(), 400, "`now` is no revision"),
        ("GET", "/v1/table?revision=9.9", String::new(), 409, "the table has changed"),
        ("POST", "/v1/table", bad.to_string(), 400, "2 of 2 rows are wrong: row 1: `alice`"),
        ("POST", "/v1/table", long, 413, "length limit exceeded"),
        ("DELETE", "/v1/servers/home1", String::new(), 400, "drain it"),
    ] {
        let word = if word == "drain it" { "server home1 is up" } else { word };
        let (status, answer) = site.send(WRITE, method, path, "", &body);
        assert_eq!(status, expected, "{method} {path}: {answer}");
        assert!(answer["reason"].as_str().unwrap().contains(word), "{method} {path}: {answer}");
    }
}

#[test]
fn of_two_writers_at_the_same_revision_one_wins() {
    let site = Site::start();
    site.servers();
    let (_, servers) = site.get("/v1/servers");
    let revision = &servers["revision"];
    let base = format!("If-Match: \"{}.{}\"\r\n", revision["epoch"], revision["counter"]);
    let write = |server: &str| {
        let body = json!({"server": server}).to_string();
        site.send(WRITE, "PUT", "/v1/clients/alice@example.com", &base, &body)
    };
    let results = thread::scope(|scope| {
        ["home0", "home1", "home2"]
            .map(|server| scope.spawn(move || write(server)))
            .map(|writer| writer.join().unwrap())
    });
    assert_eq!(results.iter().filter(|(status, _)| *status == 200).count(), 1, "{results:?}");
    for (_, answer) in results.iter().filter(|(status, _)| *status == 409) {
        let counter = revision["counter"].as_u64().unwrap() + 1;
        assert_eq!(answer["current"]["counter"], counter, "{answer}");
    }
    let odd = site.send(WRITE, "DELETE", "/v1/clients/alice@example.com", "If-Match: x\r\n", "");
    assert_eq!(odd.0, 400);
}

#[test]
fn silent_clients_hold_nobody_up_and_are_sent_away() {
    let site = Site::start();
    let mut silent: Vec<_> = (0..CONNECTIONS_MAX - 1)
        .map(|_| TcpStream::connect(site.api().address()).unwrap())
        .collect();
    for stream in &mut silent {
        stream.write_all(b"GET /v1/status HTTP/1.1\r\nHo").unwrap();
    }
    assert_eq!(site.get("/v1/status").0, 200);
    let mut last = silent.pop().unwrap();
    last.set_read_timeout(Some(HEAD_TIME * 2)).unwrap();
    let mut rest = Vec::new();
    assert!(last.read_to_end(&mut rest).is_ok(), "closed by the server");
}
