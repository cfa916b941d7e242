//! Commands on users: what becomes of rows of AoRs and secrets.
//!
//! A password is hashed here at once and goes no further. Invariant: a row that is refused is named
//! with its line, and then no row of its command is taken.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Asker, Refused, client};
use crate::{
    sip::digest::{Algorithm, Ha1, Hash},
    store::{User, UserChange},
};

/// Longest password, in bytes.
pub const PASSWORD_MAX: usize = 256;
/// Rows of one command.
pub const ROWS_MAX: usize = 1_000;
/// Users that are listed at once.
pub const PAGE_MAX: usize = 1_000;
/// Faults that a refusal names.
const FAULTS_MAX: usize = 10;

/// A text that is not shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// A user and how it proves who it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserRow {
    /// Where it stands in a file; 0 for a row of its own.
    #[serde(default)]
    pub line: u64,
    /// `user@host`.
    pub aor: String,
    /// Its password or hashes.
    #[serde(flatten)]
    pub secret: UserSecret,
}

/// A password, or what is kept of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserSecret {
    /// The password.
    Password(Secret),
    /// `H(user:realm:password)` in hexadecimal digits, by MD5 and by SHA-256; one may be empty.
    Ha1(Secret, Secret),
}

/// What a command wants with its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserHow {
    /// They are new.
    Add,
    /// They are there, and get other passwords.
    Change,
    /// They are there or not.
    Put,
}

/// A user as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserView {
    /// Its AoR.
    pub aor: String,
    /// The realm that its password is for.
    pub realm: String,
    /// The algorithms that it can answer by.
    pub algorithms: Vec<String>,
    /// It may give its whole AoR as its name, not only the user part.
    pub by_aor: bool,
}

impl From<&User> for UserView {
    fn from(user: &User) -> Self {
        let known = |algorithm: &Algorithm| user.by_user.get(*algorithm).is_some();
        let algorithms = [Algorithm::Sha256, Algorithm::Md5].into_iter().filter(known);
        Self {
            aor: user.aor.clone(),
            realm: user.realm.clone(),
            algorithms: algorithms.map(|algorithm| algorithm.label().to_owned()).collect(),
            by_aor: !user.by_aor.is_empty(),
        }
    }
}

/// The changes that rows stand for. `realm` is the configured one; each domain has its own without.
///
/// # Errors
/// With the lines that are wrong, and why.
pub fn changes(
    rows: &[UserRow],
    how: UserHow,
    realm: Option<&str>,
    asker: &Asker<'_>,
) -> Result<Vec<UserChange>, Refused> {
    if rows.len() > ROWS_MAX {
        let reason = format!("{} users are more than one command takes", rows.len());
        return Err(Refused::argument(reason, format!("send {ROWS_MAX} at once")));
    }
    let (mut changes, mut faults) = (Vec::with_capacity(rows.len()), Vec::new());
    for row in rows {
        match user(row, realm, asker) {
            Ok(user) => changes.push(match how {
                UserHow::Add => UserChange::Add(user),
                UserHow::Change => UserChange::Change(user),
                UserHow::Put => UserChange::Put(user),
            }),
            Err(refused) => faults.push((row.line, refused)),
        }
    }
    match faults.as_slice() {
        [] => Ok(changes),
        [(0, refused)] => Err(refused.clone()),
        [(_, first), ..] => {
            let lines = faults.iter().take(FAULTS_MAX);
            let lines: Vec<_> =
                lines.map(|(line, refused)| format!("line {line}: {}", refused.reason)).collect();
            let more = faults.len().saturating_sub(FAULTS_MAX);
            let more = if more > 0 { format!("; and {more} lines more") } else { String::new() };
            Err(Refused::argument(format!("{}{more}", lines.join("; ")), first.cure.clone()))
        }
    }
}

fn user(row: &UserRow, realm: Option<&str>, asker: &Asker<'_>) -> Result<User, Refused> {
    let aor = client(&row.aor, asker)?;
    let (name, domain) = aor.rsplit_once('@').unwrap_or(("", &aor));
    let realm = realm.unwrap_or(domain).to_owned();
    let (by_user, by_aor) = match &row.secret {
        UserSecret::Password(Secret(password)) => {
            check_password(&aor, password)?;
            let of = |name: &str| Ha1::new(name.as_bytes(), &realm, password.as_bytes());
            (of(name), of(&aor))
        }
        UserSecret::Ha1(md5, sha256) => {
            let (md5, sha256) =
                (ha1(&aor, Algorithm::Md5, md5)?, ha1(&aor, Algorithm::Sha256, sha256)?);
            let known = [md5, sha256].into_iter().flatten();
            let ha1 = known.fold(Ha1::default(), Ha1::with);
            if ha1.is_empty() {
                let reason = format!("{aor} has neither a password nor a hash");
                return Err(Refused::argument(reason, "give one of them"));
            }
            (ha1, Ha1::default())
        }
    };
    Ok(User { aor, realm, by_user, by_aor })
}

fn check_password(aor: &str, password: &str) -> Result<(), Refused> {
    let reason = if password.is_empty() {
        "is empty"
    } else if password.len() > PASSWORD_MAX {
        "is too long"
    } else if password.chars().any(char::is_control) {
        "holds a control character"
    } else {
        return Ok(());
    };
    let cure = format!("use one of 1 to {PASSWORD_MAX} bytes in one line");
    Err(Refused::argument(format!("the password of {aor} {reason}"), cure))
}

fn ha1(aor: &str, algorithm: Algorithm, text: &Secret) -> Result<Option<Hash>, Refused> {
    if text.0.is_empty() {
        return Ok(None);
    }
    let hash = Hash::from_hex(algorithm, text.0.as_bytes());
    hash.map(Some).ok_or_else(|| {
        let (label, digits) = (algorithm.label(), algorithm.bytes().saturating_mul(2));
        let reason = format!("the {label} hash of {aor} is none");
        Refused::argument(reason, format!("write it in {digits} hexadecimal digits"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(line: u64, aor: &str, secret: UserSecret) -> UserRow {
        UserRow { line, aor: aor.into(), secret }
    }

    fn password(text: &str) -> UserSecret {
        UserSecret::Password(Secret(text.into()))
    }

    #[test]
    fn rows_become_hashes_of_both_forms() {
        let domains = ["example.com".to_owned()];
        let asker = Asker { by: "root", domains: &domains, unix_s: 0 };
        let rows = [row(0, "sip:alice@EXAMPLE.com", password("secret"))];
        let made = changes(&rows, UserHow::Add, None, &asker).unwrap();
        let [UserChange::Add(user)] = made.as_slice() else { panic!("{made:?}") };
        assert_eq!((user.aor.as_str(), user.realm.as_str()), ("alice@example.com", "example.com"));
        assert_eq!(user.by_user, Ha1::new(b"alice", "example.com", b"secret"));
        assert_eq!(user.by_aor, Ha1::new(b"alice@example.com", "example.com", b"secret"));
        let md5 = "0123456789abcdef0123456789ABCDEF";
        let rows =
            [row(1, "a@example.com", UserSecret::Ha1(Secret(md5.into()), Secret(String::new())))];
        let made = changes(&rows, UserHow::Put, Some("sip"), &asker).unwrap();
        let [UserChange::Put(user)] = made.as_slice() else { panic!("{made:?}") };
        assert_eq!(UserView::from(user).algorithms, ["MD5"]);
        assert_eq!((user.realm.as_str(), user.by_aor), ("sip", Ha1::default()));
    }

    #[test]
    fn faults_are_named_by_line_and_secrets_never() {
        let domains = ["example.com".to_owned()];
        let asker = Asker { by: "root", domains: &domains, unix_s: 0 };
        let long = "x".repeat(PASSWORD_MAX + 1);
        for (secret, expected) in [
            (password(""), "is empty"),
            (password(&long), "is too long"),
            (password("a\nb"), "control character"),
            (
                UserSecret::Ha1(Secret("hunter2".into()), Secret(String::new())),
                "MD5 hash of a@example.com is none",
            ),
            (
                UserSecret::Ha1(Secret(String::new()), Secret(String::new())),
                "neither a password nor a hash",
            ),
        ] {
            let rows = [row(0, "a@example.com", secret)];
            let refused = changes(&rows, UserHow::Add, None, &asker).unwrap_err();
            assert!(refused.reason.contains(expected), "{refused}");
            assert!(
                !refused.to_string().contains("hunter2")
                    && !format!("{rows:?}").contains("hunter2")
            );
        }
        let rows: Vec<_> =
            (1..=12).map(|line| row(line, "a@elsewhere.org", password("x"))).collect();
        let refused = changes(&rows, UserHow::Put, None, &asker).unwrap_err();
        assert!(refused.reason.starts_with("line 1: `a@elsewhere.org`: this host does not serve"));
        assert!(refused.reason.ends_with("; and 2 lines more"), "{refused}");
    }

    #[test]
    fn rows_keep_their_form_on_the_socket() {
        for secret in [password("p"), UserSecret::Ha1(Secret("a".into()), Secret(String::new()))] {
            let row = row(3, "a@b", secret);
            let text = serde_json::to_string(&row).unwrap();
            assert_eq!(serde_json::from_str::<UserRow>(&text).unwrap(), row, "{text}");
        }
    }
}
