//! AWS Signature Version 4, for requests whose URL is already percent-encoded.
//!
//! Written over `ring` rather than taken from a crate: the signer is these lines, and the crates bring
//! their own HTTP types, against which our borrowed bodies and headers would have to be copied.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html>

use jiff::Timestamp;
use jiff::tz::TimeZone;
use millrace_net::http::{Method, Url};
use ring::{digest, hmac};

use super::credentials::Credentials;

/// Stands for the body's checksum where the connection protects it (https).
pub const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";

/// Where a signature is valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    pub region: String,
    /// `s3` or `sts`.
    pub service: &'static str,
}

/// SHA-256 in lower-case hexadecimal, as `x-amz-content-sha256` wants it.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]])
        .map(char::from)
        .collect()
}

fn hmac_sha256(key: &[u8], text: &str) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes())
}

/// Adds `host`, `x-amz-date`, `x-amz-security-token` and `authorization` to `headers`. All headers
/// given are signed; their names must be in lower case. `payload` is the body's checksum or
/// [`UNSIGNED_PAYLOAD`].
pub fn sign(
    credentials: &Credentials,
    scope: &Scope,
    method: Method,
    url: &Url,
    headers: &mut Vec<(String, String)>,
    payload: &str,
    now: Timestamp,
) {
    let time = now.to_zoned(TimeZone::UTC).strftime("%Y%m%dT%H%M%SZ").to_string();
    headers.push(("host".to_owned(), url.authority()));
    headers.push(("x-amz-date".to_owned(), time.clone()));
    if let Some(token) = &credentials.session_token {
        headers.push(("x-amz-security-token".to_owned(), token.clone()));
    }
    headers.sort();
    let names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
    let names = names.join(";");
    let canonical = canonical_request(method, url, headers, &names, payload);
    let date = &time[..8];
    let place = format!("{date}/{}/{}/aws4_request", scope.region, scope.service);
    let to_sign =
        format!("AWS4-HMAC-SHA256\n{time}\n{place}\n{}", sha256_hex(canonical.as_bytes()));
    let secret = format!("AWS4{}", credentials.secret_access_key);
    let mut key = hmac_sha256(secret.as_bytes(), date);
    for step in [scope.region.as_str(), scope.service, "aws4_request"] {
        key = hmac_sha256(key.as_ref(), step);
    }
    let signature = hex(hmac_sha256(key.as_ref(), &to_sign).as_ref());
    let id = &credentials.access_key_id;
    headers.push((
        "authorization".to_owned(),
        format!(
            "AWS4-HMAC-SHA256 Credential={id}/{place}, SignedHeaders={names}, Signature={signature}"
        ),
    ));
}

fn canonical_request(
    method: Method,
    url: &Url,
    headers: &[(String, String)],
    names: &str,
    payload: &str,
) -> String {
    let mut query: Vec<String> = url
        .query()
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| if pair.contains('=') { pair.to_owned() } else { format!("{pair}=") })
        .collect();
    query.sort();
    let mut text = format!("{method}\n{}\n{}\n", url.path(), query.join("&"));
    for (name, value) in headers {
        text.push_str(name);
        text.push(':');
        // Runs of spaces count as one.
        let mut words = value.split_ascii_whitespace();
        text.push_str(words.next().unwrap_or_default());
        for word in words {
            text.push(' ');
            text.push_str(word);
        }
        text.push('\n');
    }
    text.push('\n');
    text.push_str(names);
    text.push('\n');
    text.push_str(payload);
    text
}

/// Percent-encodes as AWS does: everything but letters, digits and `-._~`; `/` stays if it is to.
pub fn encode(text: &str, keep_slash: bool) -> String {
    use std::fmt::Write;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            b'/' if keep_slash => out.push('/'),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The authorization that a request gets.
    #[expect(clippy::too_many_arguments, reason = "a published example is that long")]
    fn signed(
        service: &'static str,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        payload: &str,
        time: &str,
        secret: &str,
        id: &str,
    ) -> String {
        let credentials = Credentials {
            access_key_id: id.to_owned(),
            secret_access_key: secret.to_owned(),
            session_token: None,
            expires: None,
        };
        let scope = Scope { region: "us-east-1".to_owned(), service };
        let mut headers: Vec<_> =
            headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let url = Url::parse(url).unwrap();
        sign(&credentials, &scope, method, &url, &mut headers, payload, time.parse().unwrap());
        let authorization = headers.pop().unwrap();
        assert_eq!(authorization.0, "authorization");
        authorization.1
    }

    const S3_TIME: &str = "2013-05-24T00:00:00Z";
    const S3_SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
    const S3_ID: &str = "AKIAIOSFODNN7EXAMPLE";

    /// "Examples: Signature Calculations" of the S3 API reference.
    #[test]
    fn s3s_examples() {
        let empty = sha256_hex(b"");
        let host = "https://examplebucket.s3.amazonaws.com";
        let get = signed(
            "s3",
            Method::Get,
            &format!("{host}/test.txt"),
            &[("range", "bytes=0-9"), ("x-amz-content-sha256", &empty)],
            &empty,
            S3_TIME,
            S3_SECRET,
            S3_ID,
        );
        assert_eq!(
            get,
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, \
             SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, \
             Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
        );
        let body = sha256_hex(b"Welcome to Amazon S3.");
        let put = signed(
            "s3",
            Method::Put,
            &format!("{host}/{}", encode("test$file.text", true)),
            &[
                ("date", "Fri, 24 May 2013 00:00:00 GMT"),
                ("x-amz-content-sha256", &body),
                ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
            ],
            &body,
            S3_TIME,
            S3_SECRET,
            S3_ID,
        );
        assert!(
            put.ends_with("98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"),
            "{put}"
        );
        let lifecycle = signed(
            "s3",
            Method::Get,
            &format!("{host}/?lifecycle"),
            &[("x-amz-content-sha256", &empty)],
            &empty,
            S3_TIME,
            S3_SECRET,
            S3_ID,
        );
        assert!(
            lifecycle.ends_with("fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
            "{lifecycle}"
        );
        let list = signed(
            "s3",
            Method::Get,
            &format!("{host}/?max-keys=2&prefix=J"),
            &[("x-amz-content-sha256", &empty)],
            &empty,
            S3_TIME,
            S3_SECRET,
            S3_ID,
        );
        assert!(
            list.ends_with("34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
            "{list}"
        );
    }

    /// `get-vanilla` and others of AWS's general test suite.
    #[test]
    fn the_general_suite() {
        let empty = sha256_hex(b"");
        let check = |method, url: &str, headers: &[(&str, &str)], expected: &str| {
            let signed = signed(
                "service",
                method,
                url,
                headers,
                &empty,
                "2015-08-30T12:36:00Z",
                "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
                "AKIDEXAMPLE",
            );
            assert!(signed.ends_with(expected), "{url}: {signed}");
        };
        let host = "https://example.amazonaws.com";
        check(
            Method::Get,
            &format!("{host}/"),
            &[],
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        );
        check(
            Method::Get,
            &format!("{host}/?Param2=value2&Param1=value1"),
            &[],
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        );
        check(
            Method::Post,
            &format!("{host}/"),
            &[],
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
        );
        check(
            Method::Get,
            &format!("{host}/"),
            &[("my-header1", "value1 "), ("my-header2", "\"a   b   c\"")],
            "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
        );
    }

    #[test]
    fn encoding() {
        assert_eq!(encode("a b/ü+=~", true), "a%20b/%C3%BC%2B%3D~");
        assert_eq!(encode("a/b", false), "a%2Fb");
    }
}
