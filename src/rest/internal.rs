//! The two endpoints between workers of a cluster: task configurations from a connector's worker to
//! the leader, and the fencing of earlier tasks' producers.
//!
//! In a `sessioned` group a request must bear the MAC of its body, made with the cluster's session
//! key.

use axum::http::{HeaderMap, StatusCode};
use base64::alphabet;
use base64::engine::{DecodePaddingMode, Engine as _, GeneralPurpose, GeneralPurposeConfig};
use millrace_herder::internal_requests::{ALGORITHM_HEADER, ALGORITHMS, SIGNATURE_HEADER};
use millrace_herder::requests::{InternalAccess, Request};

use crate::answer::{Failure, Outcome, empty};
use crate::app::{App, Asked};
use crate::body;

/// `POST /connectors/{c}/tasks`.
pub(crate) async fn put_task_configs(app: &App, asked: &Asked, name: String) -> Outcome {
    let tasks = body::task_configs(&asked.body)?;
    verify(app, asked).await?;
    app.ask(|reply| Request::PutTaskConfigs { name, tasks, reply }).await?;
    empty(StatusCode::NO_CONTENT)
}

/// `PUT /connectors/{c}/fence`.
pub(crate) async fn fence(app: &App, asked: &Asked, name: String) -> Outcome {
    verify(app, asked).await?;
    app.ask(|reply| Request::Fence { name, reply }).await?;
    empty(StatusCode::NO_CONTENT)
}

/// A request's MAC.
#[derive(Debug, PartialEq, Eq)]
struct Signature {
    algorithm: String,
    mac: Vec<u8>,
}

/// `None` without one of the two headers.
fn signature(headers: &HeaderMap) -> Result<Option<Signature>, Failure> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let (Some(mac), Some(algorithm)) = (text(SIGNATURE_HEADER), text(ALGORITHM_HEADER)) else {
        return Ok(None);
    };
    let refuse = |why: String| Failure::new(StatusCode::BAD_REQUEST, why);
    if !ALGORITHMS.iter().any(|known| known.eq_ignore_ascii_case(algorithm)) {
        return Err(refuse(format!("Algorithm {algorithm} not available")));
    }
    let mac = base64(mac).map_err(refuse)?;
    Ok(Some(Signature { algorithm: algorithm.to_owned(), mac }))
}

/// Base64 as Java's decoder reads it: all of the padding may be missing.
const JAVA: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The error is what Java's decoder says.
pub(crate) fn base64(text: &str) -> Result<Vec<u8>, String> {
    let legal = |b: &u8| b.is_ascii_alphanumeric() || b"+/=".contains(b);
    if let Some(illegal) = text.bytes().find(|b| !legal(b)) {
        return Err(format!("Illegal base64 character {illegal:x}"));
    }
    let padded = text.contains('=');
    let whole = !padded || text.len().is_multiple_of(4);
    JAVA.decode(text).ok().filter(|_| whole).ok_or_else(|| match padded {
        true => "Input byte array has wrong 4-byte ending unit".to_owned(),
        false => "Last unit does not have enough valid bits".to_owned(),
    })
}

async fn verify(app: &App, asked: &Asked) -> Result<(), Failure> {
    let signature = signature(&asked.headers)?;
    let access = app.ask(Request::InternalAccess).await?;
    let allowed = app.context().config.parsed().list("inter.worker.verification.algorithms");
    judge(signature, &access, &allowed, &asked.body)
}

fn judge(
    signature: Option<Signature>,
    access: &InternalAccess,
    allowed: &[String],
    body: &[u8],
) -> Result<(), Failure> {
    if !access.signed {
        return Ok(());
    }
    let bad = |text: &str| Failure::new(StatusCode::BAD_REQUEST, text);
    let signature = signature.ok_or_else(|| bad("Internal request missing required signature"))?;
    if !allowed.contains(&signature.algorithm) {
        return Err(bad(&format!(
            "This worker does not support the '{}' key signing algorithm used by other workers. This \
             worker is currently configured to use: [{}]. Check that all workers' configuration \
             files permit the same set of signature algorithms, and correct any misconfigured worker \
             and restart it.",
            signature.algorithm,
            allowed.join(", ")
        )));
    }
    let key = access.key.as_ref().ok_or_else(|| {
        let text = "This worker is still starting up and has not been able to read a session key \
                    from the config topic yet";
        Failure::new(StatusCode::SERVICE_UNAVAILABLE, text)
    })?;
    if !key.matches(&signature.algorithm, body, &signature.mac) {
        let text = "Internal request contained invalid signature.";
        return Err(Failure::new(StatusCode::FORBIDDEN, text));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use millrace_herder::internal_requests::SessionKey;

    use super::*;

    #[test]
    fn signatures_are_read_from_both_headers() {
        let headers = |mac: &str, algorithm: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(SIGNATURE_HEADER, mac.parse().unwrap());
            headers.insert(ALGORITHM_HEADER, algorithm.parse().unwrap());
            headers
        };
        let read = signature(&headers("AQI=", "HmacSHA256")).unwrap().unwrap();
        assert_eq!(read, Signature { algorithm: "HmacSHA256".to_owned(), mac: vec![1, 2] });
        assert_eq!(signature(&headers("AQI", "HmacSHA256")).unwrap().unwrap(), read);
        assert_eq!(signature(&HeaderMap::new()).unwrap(), None);
        for (mac, algorithm, expected) in [
            ("AQI=", "HmacNone", "Algorithm HmacNone not available"),
            ("A!I=", "HmacSHA256", "Illegal base64 character 21"),
            ("AQ=", "HmacSHA256", "Input byte array has wrong 4-byte ending unit"),
            ("AQIDB", "HmacSHA256", "Last unit does not have enough valid bits"),
        ] {
            let failure = signature(&headers(mac, algorithm)).unwrap_err();
            assert_eq!(
                (failure.status, failure.message.as_str()),
                (StatusCode::BAD_REQUEST, expected)
            );
        }
    }

    #[test]
    fn the_clusters_key_decides() {
        let session = SessionKey::generate("HmacSHA256", None, 1).unwrap();
        let allowed = ["HmacSHA256".to_owned()];
        let status = |body: &[u8], key: Option<&SessionKey>, algorithm: &str| {
            let mac = session.mac(algorithm, b"[]").unwrap();
            let signature = Signature { algorithm: algorithm.to_owned(), mac };
            let access = InternalAccess { signed: true, key: key.cloned() };
            let judged = judge(Some(signature), &access, &allowed, body);
            judged.map_or_else(|failure| failure.status.as_u16(), |()| 200)
        };
        let other = SessionKey::generate("HmacSHA256", None, 2).unwrap();
        assert_eq!(status(b"[]", Some(&session), "HmacSHA256"), 200);
        assert_eq!(status(b"[ ]", Some(&session), "HmacSHA256"), 403);
        assert_eq!(status(b"[]", Some(&other), "HmacSHA256"), 403);
        assert_eq!(status(b"[]", None, "HmacSHA256"), 503);
        assert_eq!(status(b"[]", Some(&session), "HmacSHA1"), 400);
    }
}
