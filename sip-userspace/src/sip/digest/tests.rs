//! The RFCs' own examples, another implementation's answers, and what phones write.

use digest_auth::{AuthContext, HttpMethod, WwwAuthenticateHeader};

use super::*;

fn right(text: &str, user: (&str, &str, &str), method: &str) -> bool {
    let credentials = Credentials::parse(text.as_bytes()).expect(text);
    let algorithm = credentials.algorithm.expect(text);
    let ha1 = Ha1::new(user.0.as_bytes(), user.1, user.2.as_bytes());
    credentials.is_right(&ha1.get(algorithm).unwrap(), algorithm, method.as_bytes())
}

/// Section 3.9.1, for both algorithms.
#[test]
fn rfc_7616_example_of_both_algorithms() {
    let user = ("Mufasa", "http-auth@example.org", "Circle of Life");
    for (algorithm, response) in [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ] {
        let text = format!(
            r#"Digest username="Mufasa", realm="http-auth@example.org", uri="/dir/index.html",
               algorithm={algorithm}, nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
               nc=00000001, cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
               qop=auth, response="{response}", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS""#
        )
        .replace('\n', " ");
        assert!(right(&text, user, "GET"), "{algorithm}");
        assert!(!right(&text, user, "PUT"), "{algorithm}");
        assert!(!right(&text, (user.0, user.1, "Circle of life"), "GET"));
        assert!(!right(&text.replace("00000001", "00000002"), user, "GET"));
        assert!(right(&text.replace(response, &response.to_uppercase()), user, "GET"));
        assert!(!right(&text.replace(response, &response[1..]), user, "GET"));
    }
}

/// RFC 2617 section 3.5 and its form without qop (RFC 2069), which RFC 3261 section 22.4 keeps.
#[test]
fn an_older_client_without_qop_is_understood() {
    let user = ("Mufasa", "testrealm@host.com", "Circle Of Life");
    let common = r#"Digest username="Mufasa", realm="testrealm@host.com", uri="/dir/index.html",
        nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093""#
        .replace('\n', " ");
    let with =
        r#"qop=auth,nc=00000001,cnonce="0a4f113b",response="6629fae49393a05397450978507c4ef1""#;
    assert!(right(&format!("{common},{with}"), user, "GET"));
    assert!(right(
        &format!(r#"{common},response="670fd8c2df070c60b045671b8b24ff02""#),
        user,
        "GET"
    ));
}

#[test]
fn another_implementation_gives_the_same_answers() {
    for algorithm in [Algorithm::Sha256, Algorithm::Md5] {
        for (name, realm) in
            [("alice", "example.com"), ("alice@example.com", "a b"), ("z\u{f6}", "x")]
        {
            let challenge = challenge(realm, "abc-_123", algorithm, false);
            let mut prompt = WwwAuthenticateHeader::parse(&challenge).unwrap();
            for _ in 0..3 {
                let context = AuthContext::new_with_method(
                    name,
                    "sec:ret",
                    "sip:example.com",
                    None::<&[u8]>,
                    HttpMethod::from("REGISTER"),
                );
                let answer = prompt.respond(&context).unwrap().to_string();
                assert!(right(&answer, (name, realm, "sec:ret"), "REGISTER"), "{answer}");
                assert!(!right(&answer, (name, realm, "secret"), "REGISTER"), "{answer}");
                let read = Credentials::parse(answer.as_bytes()).unwrap();
                assert_eq!(read.count, Some(prompt.nc));
            }
        }
    }
}

#[test]
fn credentials_are_read_as_phones_write_them() {
    const REST: &str = r#"realm="r",nonce="n",uri="sip:h",response="0""#;
    for (text, username) in [
        (format!(r#"Digest username="a",{REST}"#), Some("a")),
        (format!(r#"digest  USERNAME = "a" , {REST} , "#), Some("a")),
        (format!(r#"Digest username=a,{REST},algorithm="md5""#), Some("a")),
        (format!(r#"Digest username="a\"\\b",{REST}"#), Some(r#"a"\b"#)),
        (format!(r#"Digest username="a, realm=b",{REST}"#), Some("a, realm=b")),
        (format!(r#"Digest username="",{REST}"#), Some("")),
        (format!(r#"Digest username="a",{REST},qop="auth",nc="0000000A",cnonce="""#), Some("a")),
        (format!(r#"Digest username="a",{REST},x=y,z="1,2",opaque="o""#), Some("a")),
        (format!(r#"Digest username="a",{REST},algorithm=AKAv1-MD5"#), Some("a")),
        (format!(r#"Digest username="a",{REST},username="b""#), None),
        (format!(r#"Digest username="a",{REST},qop=auth"#), None),
        (format!(r#"Digest username="a",{REST},qop=auth,nc=00000001"#), None),
        (format!(r#"Digest username="a",{REST},qop=auth,nc=1,cnonce="c""#), None),
        (format!(r#"Digest username="a",{REST},qop=auth,nc=00000000,cnonce="c""#), None),
        (format!(r#"Digest username="a"{REST}"#), None),
        (format!(r#"Digest username="a",{REST},x"#), None),
        (format!(r#"Digest username="a,{REST}"#), None),
        (format!(r#"Digest,username="a",{REST}"#), None),
        (format!(r#"Basic username="a",{REST}"#), None),
        (format!("Digest {REST}"), None),
        ("Digest".to_owned(), None),
        (String::new(), None),
        (format!(r#"Digest username="a",{REST}{}"#, ",x=y".repeat(40)), None),
    ] {
        let read = Credentials::parse(text.as_bytes());
        let got = read.map(|read| String::from_utf8(read.username.into_owned()).unwrap());
        assert_eq!(got.as_deref(), username, "{text}");
    }
}

#[test]
fn secrets_are_not_shown() {
    let ha1 = Ha1::new(b"a", "b", b"c");
    let hex = ha1.get(Algorithm::Md5).unwrap().hex();
    let hex = std::str::from_utf8(hex.as_ref()).unwrap().to_owned();
    assert!(!format!("{ha1:?} {:?}", ha1.get(Algorithm::Md5)).contains(&hex));
    assert_eq!(format!("{ha1:?}"), "Ha1(MD5: true, SHA-256: true)");
    let half = Ha1::default().with(Hash::from_hex(Algorithm::Md5, hex.as_bytes()).unwrap());
    assert!(half.get(Algorithm::Sha256).is_none() && half.md5 == ha1.md5);
}
