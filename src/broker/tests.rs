//! A broker on a thread of its own, talked to over its socket: faults, malformed requests, stopping.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::*;
use bytes::Bytes;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{
    ApiVersionsRequest, HeartbeatRequest, MetadataRequest, RequestHeader, ResponseHeader,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request};

struct Peer(TcpStream);

impl Peer {
    fn connect(broker: &BrokerHandle) -> Self {
        let stream = TcpStream::connect(broker.addr()).expect("connected");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("set");
        Self(stream)
    }

    fn send(&mut self, frame: &[u8]) -> io::Result<Vec<u8>> {
        self.0.write_all(frame)?;
        let mut size = [0; 4];
        self.0.read_exact(&mut size)?;
        let mut body = vec![0; u32::from_be_bytes(size) as usize];
        self.0.read_exact(&mut body)?;
        Ok(body)
    }

    fn ask<R: Request>(&mut self, version: i16, request: &R) -> io::Result<R::Response> {
        let mut frame = vec![0; 4];
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(9);
        header.encode(&mut frame, R::header_version(version)).expect("encodes");
        request.encode(&mut frame, version).expect("encodes");
        let size = (frame.len() - 4) as i32;
        frame[..4].copy_from_slice(&size.to_be_bytes());
        let mut body = Bytes::from(self.send(&frame)?);
        let header = ResponseHeader::decode(&mut body, R::Response::header_version(version));
        assert_eq!(header.expect("a header").correlation_id, 9);
        Ok(R::Response::decode(&mut body, version).expect("a response"))
    }
}

fn start(directory: &tempfile::TempDir) -> BrokerHandle {
    let options = BrokerOptions::new(([127, 0, 0, 1], 0).into(), directory.path());
    Broker::spawn_thread(options, None).expect("started")
}

fn metadata(topic: &str) -> MetadataRequest {
    let topic = MetadataRequestTopic::default().with_name(Some(protocol::topic_name(topic)));
    MetadataRequest::default().with_topics(Some(vec![topic])).with_allow_auto_topic_creation(true)
}

#[test]
fn topics_and_ids_outlive_the_broker_and_its_directory_is_its_own() {
    let directory = tempfile::tempdir().expect("a directory");
    let broker = start(&directory);
    let options = BrokerOptions::new(([127, 0, 0, 1], 0).into(), directory.path());
    assert!(Broker::spawn_thread(options, None).is_err());
    let first = Peer::connect(&broker).ask(12, &metadata("t")).expect("metadata");
    broker.stop_blocking().expect("stopped");
    let broker = start(&directory);
    let second = Peer::connect(&broker).ask(12, &metadata("t")).expect("metadata");
    assert_eq!(first.topics[0].topic_id, second.topics[0].topic_id);
    assert_eq!(first.cluster_id, second.cluster_id);
    broker.stop_blocking().expect("stopped");
}

#[test]
fn faults_strike_and_are_over() {
    let directory = tempfile::tempdir().expect("a directory");
    let broker = start(&directory);
    let faults = broker.faults();
    let mut peer = Peer::connect(&broker);
    faults.inject(Fault::new(12, FaultAction::Error(27), 1));
    faults.inject(Fault::new(12, FaultAction::Throttle(Duration::from_millis(300)), 1));
    let response = peer.ask(4, &HeartbeatRequest::default()).expect("an answer");
    assert_eq!((response.error_code, response.throttle_time_ms), (27, 300));
    let response = peer.ask(4, &HeartbeatRequest::default()).expect("an answer");
    assert_eq!((response.error_code, response.throttle_time_ms), (25, 0));
    let mut fault = Fault::new(3, FaultAction::Error(6), 1);
    fault.partition = Some(0);
    faults.inject(fault);
    let error = |peer: &mut Peer| {
        let response = peer.ask(9, &metadata("t")).expect("metadata");
        response.topics[0].partitions[0].error_code
    };
    assert_eq!((error(&mut peer), error(&mut peer)), (6, 0));
    faults.inject(Fault::new(3, FaultAction::DisconnectAfter, 1));
    assert!(peer.ask(9, &metadata("made-all-the-same")).is_err());
    let mut peer = Peer::connect(&broker);
    let asked = metadata("made-all-the-same").with_allow_auto_topic_creation(false);
    assert_eq!(peer.ask(9, &asked).expect("metadata").topics[0].error_code, 0);
    assert_eq!(faults.pending(), 0);
    broker.stop_blocking().expect("stopped");
}

#[test]
fn malformed_requests_cost_their_sender_the_connection_and_nobody_else() {
    let directory = tempfile::tempdir().expect("a directory");
    let broker = start(&directory);
    let mut witness = Peer::connect(&broker);
    let frames: [&[u8]; 5] = [
        &[0, 0, 0, 1, 0],
        &[0xff, 0xff, 0xff, 0xff],
        &[0x7f, 0xff, 0xff, 0xff],
        // Heartbeat 0 that ends before its group.
        &[0, 0, 0, 10, 0, 12, 0, 0, 0, 0, 0, 9, 0xff, 0xff],
        // A request that is of no known kind.
        &[0, 0, 0, 10, 0x70, 0, 0, 0, 0, 0, 0, 9, 0xff, 0xff],
    ];
    for frame in frames {
        assert!(Peer::connect(&broker).send(frame).is_err(), "{frame:?}");
    }
    let response = witness.ask(3, &ApiVersionsRequest::default()).expect("an answer");
    assert_eq!(response.error_code, 0);
    // A version from the future is answered in the oldest form.
    let future = [0, 0, 0, 10, 0, 18, 0, 99, 0, 0, 0, 9, 0xff, 0xff];
    let body = witness.send(&future).expect("an answer");
    assert_eq!(body[4..6], protocol::code::UNSUPPORTED_VERSION.to_be_bytes());
    broker.stop_blocking().expect("stopped");
}

#[test]
fn a_forged_count_closes_its_connection_and_no_more() {
    let directory = tempfile::tempdir().expect("a folder");
    let broker = start(&directory);
    // Metadata of two thousand million topics, in ten bytes and a count.
    let head = [0, 3, 0, 1, 0, 0, 0, 9, 0xff, 0xff];
    let body = [&head[..], &[0x7f, 0xff, 0xff, 0xff]].concat();
    let frame = [&(body.len() as u32).to_be_bytes()[..], &body].concat();
    assert!(Peer::connect(&broker).send(&frame).is_err());
    let response = Peer::connect(&broker).ask(9, &metadata("alive")).expect("an answer");
    assert_eq!(response.topics.len(), 1);
    broker.stop_blocking().expect("stopped");
}
