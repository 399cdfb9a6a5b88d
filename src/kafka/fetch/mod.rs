//! Fetching, streamed: batches are handed on while the rest of the response is still arriving.
//!
//! A [`ring::Ring`] takes the bytes, the [`parser::FetchParser`] finds the batches in it, the
//! [`session::FetchSession`] says what the next request must name. None of them does IO; the
//! `fetcher` drives them, one for each broker.

pub(crate) mod fetcher;
pub mod parser;
pub mod ring;
pub mod session;

/// The one version of Fetch that the parser reads: the last that is not flexible, with sessions,
/// isolation levels and racks; served by Kafka 2.3 and later.
pub const FETCH_VERSION: i16 = 11;
