//! The same topic, and the same requests, through the JVM worker and through ours.

mod clients;
mod comparable;
mod file_stream;
mod front;
mod migrate;
mod more_requests;
#[rustfmt::skip]
mod requests;
mod rest_shapes;
