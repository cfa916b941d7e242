//! Phones' makers and how their REGISTERs look: texts of our own in their manner,
//! in `xtask/phones/`.
//!
//! A text has LF line ends and names in braces where an exchange differs from the
//! next; [`Model::write`] fills them in and makes it a message.

/// A phone's make.
#[derive(Debug)]
pub struct Model {
    /// The maker, for people.
    pub maker: &'static str,
    /// What is special about its requests.
    pub manner: &'static str,
    text: &'static str,
}

/// What a request says besides its make.
#[derive(Clone, Copy, Debug)]
pub(super) struct Words<'a> {
    pub(super) domain: &'a str,
    pub(super) user: &'a str,
    pub(super) address: &'a str,
    pub(super) source: &'a str,
    pub(super) call: &'a str,
    pub(super) tag: &'a str,
    pub(super) branch: &'a str,
    pub(super) cseq: u32,
    /// A Request-URI in place of the text's own.
    pub(super) uri: Option<&'a str>,
}

macro_rules! models {
    ($($maker:literal, $file:literal, $manner:literal;)*) => {
        /// Every make there is.
        pub static MODELS: &[Model] = &[$(Model {
            maker: $maker,
            manner: $manner,
            text: include_str!(concat!("../../phones/", $file)),
        },)*];
    };
}

models! {
    "Yealink", "yealink.sip", "a display name, a port in the Request-URI";
    "Cisco", "cisco.sip", "bare URIs, no rport, a Date";
    "snom", "snom.sip", "Via as the last header";
    "Grandstream", "grandstream.sip", "user=phone in the URI, its instance in Contact";
    "3Com", "3com.sip", "compact header names, no rport";
    "Zoiper", "zoiper.sip", "URI parameters everywhere";
    "Linphone", "linphone.sip", "a Contact as long as a line gets, UTF-8 in User-Agent";
    "Digium", "digium.sip", "rport before branch";
    "Polycom", "polycom.sip", "quoted commas in Contact, no rport";
}

impl Model {
    /// The request as it goes over the wire.
    pub(super) fn write(&self, words: &Words<'_>) -> String {
        let mut text = self.text.replace('\n', "\r\n");
        if let Some(uri) = words.uri
            && let Some((_, headers)) = text.split_once("\r\n")
        {
            text = format!("REGISTER {uri} SIP/2.0\r\n{headers}");
        }
        for (name, value) in [
            ("{domain}", words.domain),
            ("{user}", words.user),
            ("{address}", words.address),
            ("{source}", words.source),
            ("{call}", words.call),
            ("{tag}", words.tag),
            ("{branch}", words.branch),
            ("{cseq}", &words.cseq.to_string()),
        ] {
            text = text.replace(name, value);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: Words<'_> = Words {
        domain: "example.com",
        user: "201",
        address: "198.18.0.10",
        source: "198.18.0.10:5062",
        call: "c4",
        tag: "t7",
        branch: "b9",
        cseq: 5,
        uri: None,
    };

    #[test]
    fn every_text_becomes_a_register_with_one_via_and_no_name_left_in_it() {
        for model in MODELS {
            let text = model.write(&WORDS);
            assert!(text.starts_with("REGISTER sip:example.com"), "{text}");
            assert!(text.ends_with("\r\n\r\n") && !text.contains("\r\n\r\n\r\n"), "{text}");
            assert!(!text.contains(['{', '}']), "{text}");
            assert_eq!(text.matches("SIP/2.0/UDP 198.18.0.10:5062;").count(), 1, "{text}");
            assert!(text.contains("branch=z9hG4bK") && text.contains("CSeq: 5 REGISTER\r\n"));
        }
    }

    #[test]
    fn a_client_that_follows_a_redirect_puts_its_contact_into_the_request_uri() {
        let words = Words { uri: Some("sip:198.18.0.2:5060;transport=udp"), ..WORDS };
        let text = MODELS[0].write(&words);
        let (line, rest) = text.split_once("\r\n").unwrap();
        assert_eq!(line, "REGISTER sip:198.18.0.2:5060;transport=udp SIP/2.0");
        assert!(rest.starts_with("Via:"), "{rest}");
    }
}
