//! A stream to one broker on which versions are agreed, not yet shared: what the multiplexing
//! [`crate::connection::Connection`] and the streaming fetcher are both made from.

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{
    ApiKey, ApiVersionsRequest, ApiVersionsResponse, RequestHeader, ResponseHeader,
    SaslAuthenticateRequest, SaslHandshakeRequest,
};
use kafka_protocol::protocol::{
    HeaderVersion, Request, StrBytes, encode_request_header_into_buffer,
};
use millrace_net::rt::timeout;

use crate::config::ClientConfig;
use crate::error::{ErrorKind, KafkaError};
use crate::openings;
use crate::sasl::SaslSettings;
use crate::transport::Transport;
use crate::untrusted;
use crate::versions::{ApiVersions, api_name};

/// Longest response that is taken: Java's default for a broker's `socket.request.max.bytes` is as
/// long. Anything longer is taken for garbage.
pub const MAX_RESPONSE_BYTES: usize = 100 << 20;

/// What both ways of using a stream share: names, versions, correlation ids.
pub struct Session {
    pub broker: Rc<str>,
    client_id: Option<StrBytes>,
    versions: ApiVersions,
    next_correlation: Cell<i32>,
    protocol: &'static str,
    /// Something beyond the handshakes was answered: a peer that closes is none of another protocol.
    proven: Cell<bool>,
    /// When the broker ends what was authenticated; a new stream is to be opened before that.
    expires: Cell<Option<Instant>>,
}

/// A request as it goes on the wire, its length in front.
pub struct Encoded {
    pub bytes: Bytes,
    pub correlation: i32,
    pub version: i16,
}

impl Session {
    /// The version of `key` that is spoken here.
    pub fn version(&self, key: ApiKey) -> Result<i16, KafkaError> {
        self.versions.pick(key).map_err(|error| error.at(api_name(key as i16), &self.broker))
    }

    /// Encodes `request` in the version agreed for its API.
    pub fn encode<R: Request>(&self, request: &R) -> Result<Encoded, KafkaError> {
        let key = ApiKey::try_from(R::KEY)
            .map_err(|()| KafkaError::new(ErrorKind::Fatal, "a request without an API key"))?;
        let version = self.version(key)?;
        self.encode_version(request, version)
    }

    fn encode_version<R: Request>(&self, request: &R, version: i16) -> Result<Encoded, KafkaError> {
        let correlation = self.next_correlation.get();
        self.next_correlation.set(correlation.wrapping_add(1) & i32::MAX);
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(correlation)
            .with_client_id(self.client_id.clone());
        let mut bytes = BytesMut::with_capacity(256);
        bytes.put_i32(0);
        let encoded = encode_request_header_into_buffer(&mut bytes, &header)
            .and_then(|()| request.encode(&mut bytes, version));
        encoded.map_err(|error| {
            KafkaError::new(ErrorKind::Fatal, format!("cannot encode version {version}: {error}"))
                .at(api_name(R::KEY), &self.broker)
        })?;
        let length = i32::try_from(bytes.len() - 4)
            .map_err(|_| KafkaError::new(ErrorKind::Fatal, "the request is longer than 2 GiB"))?;
        bytes[..4].copy_from_slice(&length.to_be_bytes());
        Ok(Encoded { bytes: bytes.freeze(), correlation, version })
    }

    /// The authentication is about to run out (`connections.max.reauth.ms` of the broker).
    pub fn is_expired(&self) -> bool {
        self.expires.get().is_some_and(|at| at <= Instant::now())
    }

    /// The peer closed. Listeners of another protocol do so without a word.
    pub fn closed(&self) -> KafkaError {
        let why = match self.proven.get() {
            true => "the broker closed the connection".to_owned(),
            false => format!(
                "the broker closed the connection before it answered anything; does this listener \
                 speak security.protocol={}?",
                self.protocol
            ),
        };
        KafkaError::disconnected(why).at("", &self.broker)
    }

    /// Decodes a response's frame (without its length) to a request that went out in `version`.
    pub fn decode<R: Request>(
        &self,
        mut frame: Bytes,
        version: i16,
    ) -> Result<R::Response, KafkaError> {
        let handshake = [ApiKey::ApiVersions, ApiKey::SaslHandshake, ApiKey::SaslAuthenticate];
        if !self.proven.get() && !handshake.iter().any(|key| *key as i16 == R::KEY) {
            self.proven.set(true);
        }
        untrusted::decode::<ResponseHeader>(&mut frame, R::Response::header_version(version))
            .and_then(|_| untrusted::decode(&mut frame, version))
            .map_err(|error| {
                KafkaError::corrupt(format!("cannot decode version {version}: {error}"))
                    .at(api_name(R::KEY), &self.broker)
            })
    }
}

/// An open stream of one owner.
pub struct Wire {
    pub session: Rc<Session>,
    transport: Transport,
}

impl Wire {
    /// Connects and agrees on versions. `node` is −1 for a bootstrap server.
    pub async fn open(
        host: &str,
        port: u16,
        node: i32,
        config: &ClientConfig,
    ) -> Result<Self, KafkaError> {
        let turn = openings::turn(host, port).await;
        // Kilobytes that every future that may connect would have room for, all its life.
        let opened = Box::pin(Self::connect(host, port, node, config)).await;
        turn.ended(opened.is_ok());
        opened
    }

    async fn connect(
        host: &str,
        port: u16,
        node: i32,
        config: &ClientConfig,
    ) -> Result<Self, KafkaError> {
        let broker: Rc<str> = match node {
            ..0 => format!("{host}:{port}").into(),
            _ => format!("{host}:{port} (node {node})").into(),
        };
        let transport = Transport::open(host, port, config).await?;
        let session = Session {
            broker,
            client_id: Some(StrBytes::from_string(config.client_id.clone())),
            versions: ApiVersions::default(),
            next_correlation: Cell::new(0),
            protocol: config.security.protocol,
            proven: Cell::new(false),
            expires: Cell::new(None),
        };
        let mut wire = Self { session: Rc::new(session), transport };
        let late = |api, wire: &Self| {
            let why = "no answer in request.timeout.ms";
            KafkaError::new(ErrorKind::Timeout, why).at(api, &wire.session.broker)
        };
        let limit = config.request_timeout;
        let versions = match timeout(limit, wire.negotiate()).await {
            Ok(versions) => versions?,
            Err(_) => return Err(late("ApiVersions", &wire)),
        };
        let session = Session {
            broker: wire.session.broker.clone(),
            client_id: wire.session.client_id.clone(),
            versions,
            next_correlation: Cell::new(wire.session.next_correlation.get()),
            protocol: wire.session.protocol,
            proven: Cell::new(false),
            expires: Cell::new(None),
        };
        wire.session = Rc::new(session);
        if let Some(sasl) = &config.security.sasl {
            match timeout(limit, wire.authenticate(sasl)).await {
                Ok(outcome) => outcome?,
                Err(_) => return Err(late("SaslAuthenticate", &wire)),
            }
        }
        Ok(wire)
    }

    /// Proves who we are. That the broker refuses is an error that is not retriable.
    async fn authenticate(&mut self, sasl: &SaslSettings) -> Result<(), KafkaError> {
        let mechanism = StrBytes::from_static_str(sasl.mechanism());
        let handshake = SaslHandshakeRequest::default().with_mechanism(mechanism);
        let answer = self.exchange(&handshake).await?;
        if answer.error_code != 0 {
            let offered: Vec<&str> = answer.mechanisms.iter().map(|name| name.as_str()).collect();
            let why = match offered.is_empty() {
                true => format!("this listener has no SASL ({})", sasl.mechanism()),
                false => format!(
                    "sasl.mechanism={} is not among those that the broker offers: {}",
                    sasl.mechanism(),
                    offered.join(", ")
                ),
            };
            return Err(KafkaError::from_code(answer.error_code, "SaslHandshake", why)
                .at("SaslHandshake", &self.session.broker));
        }
        let began = Instant::now();
        let mut exchange = sasl.begin().await?;
        let mut message = exchange.first();
        loop {
            let request = SaslAuthenticateRequest::default().with_auth_bytes(message.into());
            let answer = self.exchange(&request).await?;
            if answer.error_code != 0 {
                let why = answer.error_message.as_ref().map_or("", |why| why.as_str());
                let why = format!("{}: {why}; {}", sasl.mechanism(), sasl.remedy());
                return Err(KafkaError::from_code(answer.error_code, "SaslAuthenticate", why)
                    .at("SaslAuthenticate", &self.session.broker));
            }
            let next = exchange.next(&answer.auth_bytes).await;
            let next = next.map_err(|error| error.at("SaslAuthenticate", &self.session.broker))?;
            let Some(next) = next else {
                // As Java's client does, well before the end; -1 and 0 are for no end.
                if let Ok(lifetime) = u64::try_from(answer.session_lifetime_ms)
                    && lifetime > 0
                {
                    let until = began + Duration::from_millis(lifetime - lifetime / 7);
                    self.session.expires.set(Some(until));
                }
                return Ok(());
            };
            message = next;
        }
    }

    /// Request and answer, nothing else meanwhile, with no limit of its own.
    async fn exchange<R: Request>(&mut self, request: &R) -> Result<R::Response, KafkaError> {
        let encoded = self.session.encode(request)?;
        self.write_all(&encoded.bytes).await?;
        let frame = self.read_frame().await?;
        self.session.decode::<R>(frame, encoded.version)
    }

    /// Asks in version 3 and, if the broker is too old for that, in version 0.
    async fn negotiate(&mut self) -> Result<ApiVersions, KafkaError> {
        for version in [3, 0] {
            let request = match version {
                0 => ApiVersionsRequest::default(),
                _ => ApiVersionsRequest::default()
                    .with_client_software_name(StrBytes::from_static_str("millrace"))
                    .with_client_software_version(StrBytes::from_static_str(env!(
                        "CARGO_PKG_VERSION"
                    ))),
            };
            let encoded = self.session.encode_version(&request, version)?;
            self.write_all(&encoded.bytes).await?;
            let frame = self.read_frame().await?;
            // A broker that does not know version 3 answers in version 0 with error 35.
            let refused = frame.get(4..6) == Some(&35i16.to_be_bytes()[..]);
            let response: ApiVersionsResponse = self
                .session
                .decode::<ApiVersionsRequest>(frame, if refused { 0 } else { version })?;
            if response.error_code == 0 {
                return Ok(ApiVersions::new(&response));
            }
            if version == 0 || !refused {
                return Err(KafkaError::from_code(response.error_code, "ApiVersions", "")
                    .at("ApiVersions", &self.session.broker));
            }
        }
        Err(KafkaError::corrupt("the broker knows no version of ApiVersions"))
    }

    /// Writes all of `bytes`. Dropping the future half-way leaves half a request on the wire:
    /// drop the whole stream then.
    pub async fn write_all(&mut self, mut bytes: &[u8]) -> Result<(), KafkaError> {
        while !bytes.is_empty() {
            let written = poll_fn(|cx| self.poll_write(cx, bytes)).await?;
            bytes = &bytes[written..];
        }
        poll_fn(|cx| self.transport.poll_flush(cx))
            .await
            .map_err(|error| self.transport.failure(&error).at("", &self.session.broker))
    }

    /// Writes what fits. Nothing written is an error.
    pub fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize, KafkaError>> {
        let written = std::task::ready!(self.transport.poll_write(cx, bytes));
        let outcome = match written {
            Ok(0) => Err(KafkaError::disconnected("nothing could be written")),
            Ok(written) => Ok(written),
            Err(error) => Err(self.transport.failure(&error)),
        };
        Poll::Ready(outcome.map_err(|error| error.at("", &self.session.broker)))
    }

    /// Reads what is there, at least one byte; the peer's closing is an error.
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<Result<usize, KafkaError>> {
        let read = std::task::ready!(self.transport.poll_read(cx, into));
        Poll::Ready(match read {
            Ok(0) => Err(self.session.closed()),
            Ok(read) => Ok(read),
            Err(error) => Err(self.transport.failure(&error).at("", &self.session.broker)),
        })
    }

    /// Reads what is there, at least one byte. The peer's closing is an error. May be dropped and
    /// called again without losing a byte.
    pub async fn read(&mut self, into: &mut [u8]) -> Result<usize, KafkaError> {
        poll_fn(|cx| self.poll_read(cx, into)).await
    }

    async fn read_exact(&mut self, into: &mut [u8]) -> Result<(), KafkaError> {
        let mut filled = 0;
        while filled < into.len() {
            filled += self.read(&mut into[filled..]).await?;
        }
        Ok(())
    }

    /// One whole response, without its length. For handshakes; a bounded length.
    async fn read_frame(&mut self) -> Result<Bytes, KafkaError> {
        let mut prefix = [0; 4];
        self.read_exact(&mut prefix).await?;
        let length =
            frame_length(prefix, 1 << 20).map_err(|error| error.at("", &self.session.broker))?;
        let mut frame = vec![0; length];
        self.read_exact(&mut frame).await?;
        Ok(frame.into())
    }

    /// Request and answer, nothing else meanwhile.
    pub async fn call<R: Request>(
        &mut self,
        request: &R,
        limit: Duration,
    ) -> Result<R::Response, KafkaError> {
        match timeout(limit, self.exchange(request)).await {
            Ok(answer) => answer,
            Err(_) => Err(KafkaError::new(ErrorKind::Timeout, "no answer")
                .at(api_name(R::KEY), &self.session.broker)),
        }
    }

    pub(crate) fn into_parts(self) -> (Rc<Session>, Transport) {
        (self.session, self.transport)
    }
}

/// The length in front of a response, checked against `most` bytes.
pub(crate) fn frame_length(prefix: [u8; 4], most: usize) -> Result<usize, KafkaError> {
    let length = i32::from_be_bytes(prefix);
    match usize::try_from(length) {
        Ok(length) if (4..=most).contains(&length) => Ok(length),
        _ => Err(KafkaError::corrupt(format!(
            "a response claims {length} bytes; is this a Kafka broker, and is security.protocol right?"
        ))),
    }
}
