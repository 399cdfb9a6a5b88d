//! Objects in S3, or in anything that speaks its protocol: signed requests and what their answers mean.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use jiff::Timestamp;
use millrace_api::LocalFuture;
use millrace_net::http::{
    Body, Client, ClientOptions, ErrorKind, Method, Request, Response, Scheme, Url,
};
use millrace_net::rt;
use millrace_net::tls::{Pem, TlsConfig, TlsOptions};

use super::config::StoreConfig;
use super::credentials::{Provider, process_environment};
use super::refusal::Refusal;
use super::sign::{Scope, UNSIGNED_PAYLOAD, encode, sign};
use super::xml;
use crate::storage::compression::Compression;
use crate::storage::store::{Stamp, Store, StoreError};

/// Room for the largest part on a slow line.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(180);
/// Bodies from here on ask for `100 Continue` first.
const EXPECT_FROM_BYTES: usize = 1 << 20;
/// Where a single `PUT` notes how far its records reach.
const END_OFFSET_HEADER: &str = "x-amz-meta-millrace-end-offset";
/// By how much a compressor's output may shrink although more was put in.
const COMPRESSION_SLACK: u64 = 256;

/// One request.
struct Call<'a> {
    method: Method,
    /// Empty for the bucket itself.
    key: &'a str,
    /// Encoded, without the question mark.
    query: &'a str,
    headers: Vec<(String, String)>,
    body: &'a [u8],
    /// For messages: "PUT of the object".
    what: &'static str,
}

/// An S3 bucket.
pub struct S3Store {
    config: StoreConfig,
    endpoint: Url,
    path_style: bool,
    scope: Scope,
    compression: Compression,
    client: Client,
    provider: Provider,
    /// Why `AWS_CA_BUNDLE` cannot be used: then nothing is sent.
    bundle: Option<String>,
    /// When a request was last refused because of expired credentials, in seconds.
    renewed: Cell<Option<i64>>,
}

impl S3Store {
    /// On the task's core. `compression` says how far sizes can be compared.
    pub fn new(
        config: StoreConfig,
        endpoint: Url,
        region: &str,
        path_style: bool,
        compression: Compression,
    ) -> Self {
        let (tls, bundle) = match authorities() {
            Ok(tls) => (tls, None),
            Err(why) => (None, Some(why)),
        };
        let client = Client::new(ClientOptions {
            tls,
            request_timeout: REQUEST_TIMEOUT,
            max_response_bytes: 4 << 20,
            idle_per_host: 8,
            proxy: config.proxy.clone(),
            ..ClientOptions::default()
        });
        let provider =
            Provider::new(config.credentials.clone(), process_environment, client.clone(), region);
        Self {
            config,
            endpoint,
            path_style,
            scope: Scope { region: region.to_owned(), service: "s3" },
            compression,
            client,
            provider,
            bundle,
            renewed: Cell::new(None),
        }
    }

    fn url(&self, key: &str, query: &str) -> Url {
        let mut url = self.endpoint.clone();
        let base = self.endpoint.path().trim_end_matches('/').to_owned();
        let bucket = &self.config.bucket;
        let mut target = if self.path_style {
            format!("{base}/{bucket}")
        } else {
            url.host = format!("{bucket}.{}", url.host);
            base
        };
        if !key.is_empty() {
            target.push('/');
            target.push_str(&encode(key, true));
        } else if target.is_empty() {
            target.push('/');
        }
        if !query.is_empty() {
            target.push('?');
            target.push_str(query);
        }
        url.with_path(target)
    }

    async fn payload(&self, body: &[u8]) -> String {
        let unsigned = self.endpoint.scheme == Scheme::Https || self.config.unsigned_payload;
        if unsigned && !self.config.send_digest {
            return UNSIGNED_PAYLOAD.to_owned();
        }
        let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
        for chunk in body.chunks(256 << 10) {
            digest.update(chunk);
            rt::yield_if_needed().await;
        }
        digest.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Sends; any status comes back.
    async fn send(&self, call: &Call<'_>) -> Result<Response, StoreError> {
        if let Some(why) = &self.bundle {
            return Err(StoreError::fatal(why.clone()));
        }
        let url = self.url(call.key, call.query);
        let mut headers = call.headers.clone();
        let payload = self.payload(call.body).await;
        headers.push(("x-amz-content-sha256".to_owned(), payload.clone()));
        match self.provider.get().await? {
            Some(credentials) => {
                let now = Timestamp::now();
                sign(&credentials, &self.scope, call.method, &url, &mut headers, &payload, now);
            }
            None => headers.push(("host".to_owned(), url.authority())),
        }
        if self.config.expect_continue && call.body.len() >= EXPECT_FROM_BYTES {
            headers.push(("expect".to_owned(), "100-continue".to_owned()));
        }
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let body = if call.body.is_empty() { Body::Empty } else { Body::Bytes(call.body) };
        let request = Request { method: call.method, url: &url, headers: &headers, body };
        self.client.send(request).await.map_err(|error| {
            let what = self.describe(call);
            let remedy = match error.kind {
                ErrorKind::Resolve | ErrorKind::Connect => {
                    " (check store.url and s3.region, and that the endpoint can be reached)"
                }
                ErrorKind::Tls => {
                    " (check the endpoint's certificate, or store.url; an authority of your own is \
                     trusted by AWS_CA_BUNDLE or SSL_CERT_FILE in the environment, a PEM file)"
                }
                _ => "",
            };
            StoreError {
                transient: error.is_transient(),
                message: format!("{what} failed: {error}{remedy}"),
            }
        })
    }

    fn describe(&self, call: &Call<'_>) -> String {
        let bucket = &self.config.bucket;
        if call.key.is_empty() {
            format!("{} of the bucket {bucket}", call.what)
        } else {
            format!("{} s3://{bucket}/{}", call.what, call.key)
        }
    }

    /// Sends; anything but success is an error.
    async fn succeed(&self, call: &Call<'_>) -> Result<Response, StoreError> {
        let response = self.send(call).await?;
        if response.is_success() {
            return Ok(response);
        }
        Err(self.refusal(call, &response))
    }

    fn refusal(&self, call: &Call<'_>, response: &Response) -> StoreError {
        self.explain(call, &Refusal::of(response))
    }

    /// Expired credentials are renewed once a minute; then it is the user's turn.
    fn explain(&self, call: &Call<'_>, refusal: &Refusal) -> StoreError {
        let mut error =
            refusal.explain(&self.describe(call), &self.config.bucket, &self.scope.region);
        if refusal.is_expired() {
            let now = Timestamp::now().as_second();
            let before = self.renewed.replace(Some(now));
            error.transient = before.is_none_or(|before| now - before >= 60);
            self.provider.forget();
        }
        error
    }

    fn conditional_header(&self) -> Option<(String, String)> {
        self.config.conditional.then(|| ("if-none-match".to_owned(), "*".to_owned()))
    }

    /// There is an object of this name. Ours and it begin at the same record, so the longer one holds
    /// all that the shorter one holds: `true` if ours is to replace it. Whichever way, nothing is lost,
    /// even if one of the two was written by a task that did not know that it had been replaced.
    async fn should_replace(&self, key: &str, stamp: &Stamp) -> Result<bool, StoreError> {
        let head = self
            .send(&Call {
                method: Method::Head,
                key,
                query: "",
                headers: self.config.key_headers.clone(),
                body: b"",
                what: "HEAD of",
            })
            .await?;
        if head.status == 404 {
            return Ok(true);
        }
        if head.status == 403 {
            tracing::warn!("s3://{}/{key} is there and may not be looked at", self.config.bucket);
            return Ok(true);
        }
        if !head.is_success() {
            return Err(StoreError::transient(format!(
                "HEAD of s3://{}/{key} was refused: HTTP {}",
                self.config.bucket, head.status
            )));
        }
        let number = |name| head.header(name).and_then(|text| text.trim().parse::<i64>().ok());
        let theirs = number("content-length").unwrap_or(0).max(0) as u64;
        let (keep, same) = match number(END_OFFSET_HEADER) {
            Some(end) => (end >= stamp.end_offset, end == stamp.end_offset),
            None if self.compression == Compression::None => {
                (theirs >= stamp.bytes, theirs == stamp.bytes)
            }
            None => (theirs > stamp.bytes + COMPRESSION_SLACK, false),
        };
        let bucket = &self.config.bucket;
        if same {
            tracing::debug!("s3://{bucket}/{key} was written before");
        } else if keep {
            tracing::warn!(
                "s3://{bucket}/{key} is there and reaches further ({theirs} bytes, ours {}); it is \
                 kept, and records may be twice in the bucket",
                stamp.bytes
            );
        } else {
            tracing::info!("s3://{bucket}/{key} is there and ends before ours; it is replaced");
        }
        Ok(!keep)
    }

    async fn put_once(
        &self,
        key: &str,
        body: &[u8],
        stamp: &Stamp,
        conditional: bool,
    ) -> Result<Response, StoreError> {
        let mut headers = self.config.object_headers.clone();
        headers.extend(self.config.key_headers.iter().cloned());
        headers.push((END_OFFSET_HEADER.to_owned(), stamp.end_offset.to_string()));
        if conditional {
            headers.extend(self.conditional_header());
        }
        self.send(&Call { method: Method::Put, key, query: "", headers, body, what: "PUT of" })
            .await
    }

    async fn put_object(&self, key: &str, body: &[u8], stamp: &Stamp) -> Result<(), StoreError> {
        let mut response = self.put_once(key, body, stamp, true).await?;
        if response.status == 412 && self.config.conditional {
            if !self.should_replace(key, stamp).await? {
                return Ok(());
            }
            response = self.put_once(key, body, stamp, false).await?;
        }
        if !response.is_success() {
            let call = Call {
                method: Method::Put,
                key,
                query: "",
                headers: Vec::new(),
                body,
                what: "PUT of",
            };
            return Err(self.refusal(&call, &response));
        }
        self.tag(key, stamp).await
    }

    async fn complete_once(
        &self,
        key: &str,
        query: &str,
        body: &str,
        conditional: bool,
    ) -> Result<Response, StoreError> {
        let mut headers = vec![("content-type".to_owned(), "application/xml".to_owned())];
        headers.extend(self.config.key_headers.iter().cloned());
        if conditional {
            headers.extend(self.conditional_header());
        }
        self.send(&complete_call(key, query, headers, body)).await
    }

    async fn complete_upload(
        &self,
        key: &str,
        upload: &str,
        tags: &[String],
        stamp: &Stamp,
    ) -> Result<(), StoreError> {
        let query = format!("uploadId={}", encode(upload, false));
        let mut body = "<CompleteMultipartUpload>".to_owned();
        for (index, tag) in tags.iter().enumerate() {
            body.push_str(&format!("<Part><PartNumber>{}</PartNumber><ETag>", index + 1));
            xml::escape(tag, &mut body);
            body.push_str("</ETag></Part>");
        }
        body.push_str("</CompleteMultipartUpload>");
        let mut response = self.complete_once(key, &query, &body, true).await?;
        if response.status == 412 && self.config.conditional {
            if !self.should_replace(key, stamp).await? {
                return self.abort_upload(key, upload).await;
            }
            response = self.complete_once(key, &query, &body, false).await?;
        }
        let code = xml::text(&response.body, "Code");
        if code.as_deref() == Some("NoSuchUpload") && self.is_there(key, stamp).await? {
            // It was completed by a request whose answer was lost.
            return self.tag(key, stamp).await;
        }
        // The service may say 200, think, and then fail.
        if !response.is_success() || code.is_some() {
            let refusal = Refusal::of(&response);
            let refusal = if response.is_success() { refusal.after_all() } else { refusal };
            return Err(self.explain(&complete_call(key, &query, Vec::new(), &body), &refusal));
        }
        self.tag(key, stamp).await
    }

    async fn is_there(&self, key: &str, stamp: &Stamp) -> Result<bool, StoreError> {
        let headers = self.config.key_headers.clone();
        let call =
            Call { method: Method::Head, key, query: "", headers, body: b"", what: "HEAD of" };
        let head = self.send(&call).await?;
        let length = head.header("content-length").and_then(|text| text.trim().parse::<u64>().ok());
        Ok(head.is_success() && length == Some(stamp.bytes))
    }

    async fn abort_upload(&self, key: &str, upload: &str) -> Result<(), StoreError> {
        let query = format!("uploadId={}", encode(upload, false));
        let call = Call {
            method: Method::Delete,
            key,
            query: &query,
            headers: Vec::new(),
            body: b"",
            what: "the abort of an upload of",
        };
        let response = self.send(&call).await?;
        if response.is_success() || response.status == 404 {
            Ok(())
        } else {
            Err(self.refusal(&call, &response))
        }
    }

    async fn tag(&self, key: &str, stamp: &Stamp) -> Result<(), StoreError> {
        let Some(tagging) = &self.config.tagging else { return Ok(()) };
        let body = xml::tag_set(tagging, stamp);
        let digest = ring::digest::digest(&ring::digest::SHA256, body.as_bytes());
        let call = Call {
            method: Method::Put,
            key,
            query: "tagging",
            headers: vec![
                ("content-type".to_owned(), "application/xml".to_owned()),
                ("x-amz-checksum-sha256".to_owned(), STANDARD.encode(digest.as_ref())),
            ],
            body: body.as_bytes(),
            what: "the tagging of",
        };
        match self.succeed(&call).await {
            Err(error) if tagging.ignore_errors => {
                tracing::warn!("{error}; ignored");
                Ok(())
            }
            outcome => outcome.map(|_| ()),
        }
    }

    async fn check_bucket(&self) -> Result<(), StoreError> {
        let call = Call {
            method: Method::Get,
            key: "",
            query: "list-type=2&max-keys=1",
            headers: Vec::new(),
            body: b"",
            what: "the listing",
        };
        let response = self.send(&call).await?;
        if response.is_success() {
            return Ok(());
        }
        if xml::text(&response.body, "Code").as_deref() == Some("AccessDenied") {
            // Writing may be allowed where listing is not.
            tracing::warn!("{}", self.refusal(&call, &response));
            return Ok(());
        }
        Err(self.refusal(&call, &response))
    }
}

/// The authorities to trust instead of the system's, by `AWS_CA_BUNDLE`, as AWS's own tools have it.
/// Read once a task, before its first request.
fn authorities() -> Result<Option<Rc<TlsConfig>>, String> {
    let Some(path) = process_environment("AWS_CA_BUNDLE") else { return Ok(None) };
    let options = TlsOptions { roots: Some(Pem::File(path.into())), ..TlsOptions::default() };
    let config = TlsConfig::new(&options).map_err(|why| format!("AWS_CA_BUNDLE: {why}"))?;
    Ok(Some(Rc::new(config)))
}

fn complete_call<'a>(
    key: &'a str,
    query: &'a str,
    headers: Vec<(String, String)>,
    body: &'a str,
) -> Call<'a> {
    let what = "the completion of";
    Call { method: Method::Post, key, query, headers, body: body.as_bytes(), what }
}

impl Store for S3Store {
    fn check(&self) -> LocalFuture<'_, Result<(), StoreError>> {
        Box::pin(self.check_bucket())
    }

    fn put<'a>(
        &'a self,
        key: &'a str,
        body: Bytes,
        stamp: &'a Stamp,
    ) -> LocalFuture<'a, Result<(), StoreError>> {
        Box::pin(async move { self.put_object(key, &body, stamp).await })
    }

    fn create<'a>(&'a self, key: &'a str) -> LocalFuture<'a, Result<String, StoreError>> {
        Box::pin(async move {
            let mut headers = self.config.object_headers.clone();
            headers.extend(self.config.key_headers.iter().cloned());
            let call = Call {
                method: Method::Post,
                key,
                query: "uploads=",
                headers,
                body: b"",
                what: "the beginning of an upload of",
            };
            let response = self.succeed(&call).await?;
            xml::text(&response.body, "UploadId").filter(|id| !id.is_empty()).ok_or_else(|| {
                StoreError::transient(format!("{} gave no UploadId", self.describe(&call)))
            })
        })
    }

    fn upload_part<'a>(
        &'a self,
        key: &'a str,
        upload: &'a str,
        number: u32,
        body: Bytes,
    ) -> LocalFuture<'a, Result<String, StoreError>> {
        Box::pin(async move {
            let query = format!("partNumber={number}&uploadId={}", encode(upload, false));
            let call = Call {
                method: Method::Put,
                key,
                query: &query,
                headers: self.config.key_headers.clone(),
                body: &body,
                what: "the upload of a part of",
            };
            let response = self.succeed(&call).await?;
            response.header("etag").map(str::to_owned).ok_or_else(|| {
                StoreError::transient(format!("{} gave no ETag", self.describe(&call)))
            })
        })
    }

    fn complete<'a>(
        &'a self,
        key: &'a str,
        upload: &'a str,
        tags: &'a [String],
        stamp: &'a Stamp,
    ) -> LocalFuture<'a, Result<(), StoreError>> {
        Box::pin(self.complete_upload(key, upload, tags, stamp))
    }

    fn abort<'a>(
        &'a self,
        key: &'a str,
        upload: &'a str,
    ) -> LocalFuture<'a, Result<(), StoreError>> {
        Box::pin(self.abort_upload(key, upload))
    }
}
