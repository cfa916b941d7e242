//! Texts as they stand in the documents that this host writes.

use std::borrow::Cow;

use quick_xml::escape::escape;

/// A text of others: what is no character of XML 1.0, or no UTF-8, becomes U+FFFD.
pub(super) fn text(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let odd = |it: char| it < ' ' || matches!(it, '\u{fffe}' | '\u{ffff}');
    let text: Cow<'_, str> = match text.contains(odd) {
        true => text.replace(odd, "\u{fffd}").into(),
        false => text,
    };
    escape(text).into_owned()
}

/// The URI of an AoR: what its user may not hold as it is, is escaped (RFC 3261 section 25.1).
pub(super) fn uri(aor: &[u8]) -> String {
    let at = memchr::memrchr(b'@', aor).unwrap_or(0);
    let (user, host) = aor.split_at_checked(at).unwrap_or_default();
    let mut out = "sip:".to_owned();
    for byte in user {
        match byte {
            byte if byte.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/".contains(byte) => {
                out.push(char::from(*byte));
            }
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    escape(out + &String::from_utf8_lossy(host)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_text_is_markup() {
        assert_eq!(text(b"sip:a@h?x=<>&\"'"), "sip:a@h?x=&lt;&gt;&amp;&quot;&apos;");
        assert_eq!(text(b"a\0\x1b\xff\r\n"), "a\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}");
        assert_eq!(uri(b"a&b\"<@c\x07@h"), "sip:a&amp;b%22%3C%40c%07@h");
    }
}
