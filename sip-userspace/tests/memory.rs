//! What a binding and a user cost, measured in a process of its own.
#![cfg(test)]

use homeward::{
    core::{
        auth::users::{Form, Users},
        bindings::{Binding, Bindings, CallId},
    },
    sip::digest::Ha1,
};
use sip_common::{
    abi::ClientKey,
    siphash::{Key, hash_128},
};

const SECRET: Key = Key { k0: 1, k1: 2 };
const NUMBER: u64 = 1_000_000;

/// Memory of this process, in bytes.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

/// Bytes that `fill` leaves for each of [`NUMBER`]. One at a time: the tests run in one process.
fn each<T>(what: &str, fill: impl FnOnce() -> T) -> u64 {
    let before = resident();
    let filled = fill();
    let each = resident().saturating_sub(before) / NUMBER;
    drop(filled);
    println!("{each} bytes {what}");
    each
}

fn bindings() -> Bindings {
    let mut bindings = Bindings::default();
    for client in 0..NUMBER {
        let uri = format!("sip:user{client}@203.0.113.7:40000;transport=udp");
        let params = format!(
            r#";+sip.instance="<urn:uuid:00000000-0000-4000-8000-{client:012}>";reg-id=1;q=0.8"#
        );
        let call = CallId::of(&client.to_le_bytes());
        let end_s = 1_000 + (client % 600) as u32;
        let binding = Binding::new(uri.as_bytes(), params.as_bytes(), call, 1, end_s).unwrap();
        let key = ClientKey(hash_128(SECRET, &client.to_le_bytes()));
        bindings.set(key, vec![binding]);
        bindings.saw(&key, 1, true, || format!("user{client}@example.com").into_bytes().into());
    }
    bindings
}

fn users() -> Users {
    let mut users = Users::new(SECRET);
    for user in 0..NUMBER {
        users.set(&user.to_le_bytes(), Form::User, Ha1 { md5: [1; 16], sha256: [2; 32] });
    }
    users
}

/// Ten million bindings fit in 6 GB, ten million users in 1 GB: a usual phone's contact, with
/// instance and reg-id.
#[test]
fn ten_million_of_each_fit() {
    let binding = each("a binding", bindings);
    assert!(binding < 600, "{binding}");
    let user = each("a user", users);
    assert!(user < 100, "{user}");
}
