//! Files as they come, and what is said about them.

use super::*;
use crate::core::admin::names;

const SERVERS: [&str; 2] = ["home0", "home1"];

fn found(text: &str, format: Format) -> read::Found {
    let servers = SERVERS.map(str::to_owned);
    let domains = ["example.com".to_owned()];
    let known = read::Known { servers: &servers, domains: &domains };
    let mut found = read::read(text.as_bytes(), format, &known).unwrap();
    found.find_duplicates();
    found
}

#[test]
fn both_forms_say_the_same() {
    let csv = "aor,server,flags\n# by hand\nbob@example.com,home1,\n\
               \"alice@Example.com\", home0 , pinned | no_redirect\ncarol@example.com,,pinned\n";
    let json = "{\"aor\":\"sip:bob@example.com\",\"server\":\"home1\"}\n\n\
                {\"aor\":\"alice@example.com\",\"server\":\"home0\",\"pinned\":true,\"no_redirect\":true}\n\
                {\"aor\":\"carol@example.com\",\"pinned\":true}";
    for (text, format) in [(csv, Format::Csv), (json, Format::Json)] {
        let found = found(text, format);
        assert!(found.bad.is_empty(), "{:?}", found.bad);
        let rows: Vec<_> = found
            .rows
            .iter()
            .map(|row| (row.aor.as_str(), row.server, row.pinned, row.no_redirect))
            .collect();
        assert_eq!(
            rows,
            [
                ("alice@example.com", Some(0), true, true),
                ("bob@example.com", Some(1), false, false),
                ("carol@example.com", None, true, false),
            ]
        );
    }
}

#[test]
fn what_is_wrong_is_named_with_its_line() {
    let csv = "alice@example.com,home0\nalice,home0\nbob@example.com,home7,\n\
               sip:alice@EXAMPLE.com,home1\ncarol@example.org,home0\ndave@example.com,home0,loud\n\
               eve@example.com\nfrank@example.com,home0,,x\n\"unclosed@example.com,home0\n";
    let found_csv = found(csv, Format::Csv);
    let lines: Vec<_> = found_csv.bad.iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, [2, 3, 4, 5, 6, 7, 8, 9]);
    for (number, expected) in [
        "`alice` is no AoR: it has no @",
        "no server is called `home7`",
        "`alice@example.com` stands in line 1 already",
        "does not serve the domain `example.org`",
        "`loud` is no flag",
        "neither a server nor a flag",
        "it has 4 columns",
        "no AoR",
    ]
    .iter()
    .enumerate()
    {
        assert!(found_csv.bad[number].1.contains(expected), "{:?}", found_csv.bad[number]);
    }
    assert_eq!((found_csv.rows.len(), found_csv.bad_count), (1, 8));

    let json = "{\"aor\":\"a@example.com\",\"server\":\"home0\",\"more\":1}\n[]\n{";
    let json = found(json, Format::Json);
    assert_eq!(json.bad_count, 3);
    assert!(json.bad[0].1.contains("unknown field"), "{:?}", json.bad);

    let many: String = (0..100).map(|n| format!("u{n},home0\n")).collect();
    let many = found(&many, Format::Csv);
    assert_eq!((many.bad.len(), many.bad_count, many.bad[19].0), (20, 100, 20));
    let twice: String = (0..50).map(|_| "a@example.com,home0\n").collect();
    let twice = found(&twice, Format::Csv);
    assert_eq!((twice.rows.len(), twice.bad.len(), twice.bad_count), (1, 20, 49));
    assert_eq!(names::aor(&twice.rows[0].aor).as_deref(), Ok("a@example.com"));
}
