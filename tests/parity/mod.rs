//! The same topic, and the same requests, through the JVM worker and through ours.

mod comparable;
mod file_stream;
mod front;
#[rustfmt::skip]
mod requests;
mod rest_shapes;
