//! A body's records: decompressed, checked and found, without a copy of their own.

use std::io::Read;

use flate2::read::MultiGzDecoder;
use millrace_api::converters::json::{self, Kind};
use millrace_net::rt;

use super::config::{Format, Settings};

/// Where a record stands in the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub start: u32,
    pub end: u32,
}

/// Why a body is not taken: nothing of it goes to Kafka.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bad {
    pub status: u16,
    pub message: String,
    /// The line, from 1, and the byte in the body, from 0.
    pub place: Option<(usize, usize)>,
}

impl Bad {
    fn new(status: u16, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), place: None }
    }
}

/// Bytes inflated between two looks at whether others wait.
const PIECE: usize = 256 << 10;
/// Lines checked between two such looks.
const LINES: usize = 256;

/// Inflates a gzip body, up to the limit. `grown` hears the size so far and may refuse.
pub async fn inflate(
    packed: &[u8],
    limit: usize,
    mut grown: impl FnMut(usize) -> Result<(), Bad>,
) -> Result<Vec<u8>, Bad> {
    let mut decoder = MultiGzDecoder::new(packed);
    let mut body = Vec::with_capacity(packed.len().saturating_mul(4).min(limit).min(PIECE));
    loop {
        let before = body.len();
        let piece = (&mut decoder).take(PIECE as u64).read_to_end(&mut body);
        piece.map_err(|error| Bad::new(400, format!("the body is no gzip: {error}")))?;
        if body.len() > limit {
            return Err(Bad::new(413, format!("the body inflates to more than {limit} bytes")));
        }
        if body.len() == before {
            return Ok(body);
        }
        grown(body.len())?;
        rt::yield_if_needed().await;
    }
}

/// Finds the records and checks all of them.
pub async fn records(settings: &Settings, format: Format, body: &[u8]) -> Result<Vec<Span>, Bad> {
    match format {
        Format::Lines => lines(settings, body).await,
        Format::Bytes => Ok(vec![sized(settings, 1, 0, body.len())?]),
        Format::Json | Format::Auto => match document(settings, body, 1, 0, body.len())? {
            Some(span) => Ok(vec![span]),
            None => Err(Bad::new(400, "the body is empty")),
        },
    }
}

async fn lines(settings: &Settings, body: &[u8]) -> Result<Vec<Span>, Bad> {
    let mut spans = Vec::new();
    let (mut start, mut number) = (0, 0);
    while start < body.len() {
        let end = memchr::memchr(b'\n', &body[start..]).map_or(body.len(), |at| start + at);
        number += 1;
        spans.extend(document(settings, body, number, start, end)?);
        if spans.len() > settings.records {
            return Err(Bad {
                place: Some((number, start)),
                ..Bad::new(413, format!("more than {} records", settings.records))
            });
        }
        start = end + 1;
        if number % LINES == 0 {
            rt::yield_if_needed().await;
        }
    }
    Ok(spans)
}

/// One document; `None` for white space alone.
fn document(
    settings: &Settings,
    body: &[u8],
    number: usize,
    start: usize,
    end: usize,
) -> Result<Option<Span>, Bad> {
    match json::check(body, start, end) {
        Ok(checked) if checked.kind == Kind::Empty => Ok(None),
        Ok(checked) => sized(settings, number, checked.start, checked.end).map(Some),
        Err(error) => Err(Bad {
            place: Some((number, start + error.offset)),
            ..Bad::new(400, format!("no JSON: {}", error.what))
        }),
    }
}

fn sized(settings: &Settings, number: usize, start: usize, end: usize) -> Result<Span, Bad> {
    if end - start > settings.record_bytes {
        let limit = settings.record_bytes;
        return Err(Bad {
            place: Some((number, start)),
            ..Bad::new(413, format!("the record is larger than {limit} bytes"))
        });
    }
    // `body.max.bytes` is an INT.
    Ok(Span { start: start as u32, end: end as u32 })
}
