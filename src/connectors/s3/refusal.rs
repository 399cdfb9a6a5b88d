//! What an unsuccessful answer means, and what to do about it.

use jiff::Timestamp;
use millrace_net::http::Response;

use super::xml;
use crate::storage::store::StoreError;

/// An answer that is no success.
pub struct Refusal {
    status: u16,
    code: String,
    text: String,
    /// The region that the bucket is in, if the answer says so.
    region: Option<String>,
}

impl Refusal {
    pub fn of(response: &Response) -> Self {
        let field = |name| xml::text(&response.body, name).unwrap_or_default();
        let region = response.header("x-amz-bucket-region").map(str::to_owned);
        Self {
            status: response.status,
            code: field("Code"),
            text: field("Message"),
            region: region.or_else(|| xml::text(&response.body, "Region")),
        }
    }

    /// The service said 200 and then failed.
    pub fn after_all(mut self) -> Self {
        self.status = 500;
        self
    }

    /// The credentials' time is up; others of the same origin may do.
    pub fn is_expired(&self) -> bool {
        matches!(self.code.as_str(), "ExpiredToken" | "TokenRefreshRequired")
    }

    fn is_transient(&self) -> bool {
        matches!(self.status, 408 | 409 | 425 | 429 | 500..=599)
            || matches!(
                self.code.as_str(),
                "RequestTimeout"
                    | "SlowDown"
                    | "InternalError"
                    | "IncompleteBody"
                    | "BadDigest"
                    | "XAmzContentSHA256Mismatch"
                    | "OperationAborted"
                    | "ServiceUnavailable"
            )
    }

    /// `what` was asked, such as "PUT of s3://bucket/key", of a bucket thought to be in `region`.
    pub fn explain(&self, what: &str, bucket: &str, region: &str) -> StoreError {
        let Self { status, code, text, .. } = self;
        let mut message = format!("{what} was refused: HTTP {status} {code}");
        for part in [text, &self.remedy(bucket, region)] {
            if !part.is_empty() {
                message.push_str(": ");
                message.push_str(part);
            }
        }
        StoreError { transient: self.is_transient(), message }
    }

    fn remedy(&self, bucket: &str, region: &str) -> String {
        match self.code.as_str() {
            "ExpiredToken" | "TokenRefreshRequired" => {
                "the credentials have expired; renew them where they come from".to_owned()
            }
            "SignatureDoesNotMatch" => {
                "check aws.secret.access.key (or the secret key of the credentials provider)"
                    .to_owned()
            }
            // The second is versitygw's word for it.
            "InvalidAccessKeyId" | "XAdminUserNotFound" => {
                "the access key is not known there; check aws.access.key.id and store.url"
                    .to_owned()
            }
            "RequestTimeTooSkewed" | "RequestExpired" => format!(
                "this machine's clock says {}; set it right (NTP)",
                Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ")
            ),
            "NoSuchBucket" => {
                format!("Non-existent S3 bucket: {bucket}; create it, or correct s3.bucket.name")
            }
            "NoSuchUpload" => "the upload was aborted by someone else, such as a lifecycle rule; \
                               restart the task, which begins again at its committed offsets"
                .to_owned(),
            "InvalidBucketName" => format!("{bucket} is no bucket's name; correct s3.bucket.name"),
            "AuthorizationHeaderMalformed" => self.other_region(bucket, region),
            _ if matches!(self.status, 301 | 307 | 308) => self.other_region(bucket, region),
            _ if self.status == 403 => format!(
                "the credentials may not do this; allow s3:PutObject, s3:GetObject, s3:ListBucket and \
                 s3:AbortMultipartUpload on {bucket}"
            ),
            _ if self.status == 404 => format!("is {bucket} there, and is store.url right?"),
            _ => String::new(),
        }
    }

    fn other_region(&self, bucket: &str, region: &str) -> String {
        match &self.region {
            Some(there) => format!(
                "the bucket {bucket} is in the region {there}, not {region}; set s3.region={there}"
            ),
            None => format!("the bucket {bucket} is not in {region}; correct s3.region"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(status: u16, code: &str, headers: &[(&str, &str)]) -> StoreError {
        let response = Response {
            status,
            headers: headers.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            body: format!("<Error><Code>{code}</Code><Message>M</Message></Error>").into_bytes(),
        };
        Refusal::of(&response).explain("PUT of s3://b/k", "b", "us-east-1")
    }

    #[test]
    fn each_has_its_remedy() {
        for (status, code, headers, text) in [
            (
                301,
                "PermanentRedirect",
                &[("x-amz-bucket-region", "eu-west-1")][..],
                "s3.region=eu-west-1",
            ),
            (403, "RequestTimeTooSkewed", &[], "clock"),
            (403, "AccessDenied", &[], "s3:PutObject"),
            (403, "SignatureDoesNotMatch", &[], "aws.secret.access.key"),
            (404, "NoSuchBucket", &[], "create it"),
            (400, "ExpiredToken", &[], "expired"),
        ] {
            let error = explained(status, code, headers);
            assert!(!error.transient && error.message.contains(text), "{error:?}");
        }
    }

    #[test]
    fn what_passes_by_itself() {
        for (status, code) in [(503, "SlowDown"), (500, ""), (400, "RequestTimeout"), (409, "")] {
            assert!(explained(status, code, &[]).transient, "{status} {code}");
        }
    }
}
