//! The built-in event: 254 bytes of JSON, fast enough not to be what is measured.
//!
//! Every part has a fixed width, so a record is a copy of the template with its digits filled in.

use std::sync::{Arc, LazyLock};

use millrace_api::converters::{Arena, Field, Schema, SchemaType, Struct, Value};

use super::random::Random;

/// Length of an event's JSON.
pub const LENGTH: usize = 254;

const TEMPLATE: &[u8; LENGTH] = br#"{"id":1000000000,"ts":1700000000000,"user":"user-00000","ip":"100.100.100.100","ua":"Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/128.10","ref":"https://example.org/p/00000","amount":100.01,"tags":["new","web"],"geo":{"country":"DE","zone":10}}"#;

/// Where in the template each part begins.
const ID: usize = at(b"1000000000");
const TS: usize = at(b"1700000000000");
const USER: usize = at(b"00000\",\"ip");
const IP: usize = at(b"100.100.");
const REF: usize = at(b"00000\",\"amount");
const AMOUNT: usize = at(b"100.01");
const TAG_1: usize = at(b"new");
const TAG_2: usize = at(b"web");
const COUNTRY: usize = at(b"DE\"");
const ZONE: usize = at(b"10}}");

const UA: &str = "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/128.10";

const TAGS: [&str; 8] = ["new", "web", "app", "pro", "vip", "eur", "usd", "b2b"];
const COUNTRIES: [&str; 8] = ["DE", "FR", "US", "GB", "JP", "BR", "IN", "NL"];

const fn at(part: &[u8]) -> usize {
    let mut start = 0;
    while start + part.len() <= TEMPLATE.len() {
        let mut same = 0;
        while same < part.len() && TEMPLATE[start + same] == part[same] {
            same += 1;
        }
        if same == part.len() {
            return start;
        }
        start += 1;
    }
    panic!("the template lacks a part");
}

/// What is random about an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    id: u64,
    ts: u64,
    user: u64,
    ip: [u64; 4],
    page: u64,
    /// Hundredths; the last digit is never 0.
    amount: u64,
    tags: [usize; 2],
    country: usize,
    zone: u64,
}

impl Event {
    /// Event `number` of that seed; the number repeats after nine thousand million.
    #[inline]
    pub fn of(seed: u64, number: u64) -> Self {
        let mut random = Random::of(seed, number);
        let (a, b) = (random.next(), random.next());
        // A fixed number of bits for each part: a multiplication instead of a division.
        let part = |bits: u64, below: u64| ((bits & 0xffff) * below) >> 16;
        Self {
            id: 1_000_000_000 + number % 9_000_000_000,
            ts: 1_700_000_000_000 + number % 1_000_000_000_000,
            user: part(a, 50_000),
            ip: [part(a >> 16, 100), part(a >> 22, 100), part(a >> 32, 100), part(a >> 40, 100)],
            page: part(a >> 48, 60_000),
            amount: 10_000 + part(b, 9_000) * 10 + 1 + part(b >> 16, 9),
            tags: [part(b >> 32, 8) as usize, part(b >> 35, 8) as usize],
            country: part(b >> 42, 8) as usize,
            zone: 10 + part(b >> 48, 90),
        }
    }

    /// The event's JSON over the whole of `out`.
    #[inline]
    pub fn write(&self, out: &mut [u8; LENGTH]) {
        *out = *TEMPLATE;
        digits::<10>(self.id, &mut out[ID..]);
        digits::<13>(self.ts, &mut out[TS..]);
        digits::<5>(self.user, &mut out[USER..]);
        for (place, octet) in self.ip.iter().enumerate() {
            digits::<2>(*octet, &mut out[IP + 1 + 4 * place..]);
        }
        digits::<5>(self.page, &mut out[REF..]);
        digits::<3>(self.amount / 100, &mut out[AMOUNT..]);
        digits::<2>(self.amount % 100, &mut out[AMOUNT + 4..]);
        out[TAG_1..TAG_1 + 3].copy_from_slice(TAGS[self.tags[0]].as_bytes());
        out[TAG_2..TAG_2 + 3].copy_from_slice(TAGS[self.tags[1]].as_bytes());
        out[COUNTRY..COUNTRY + 2].copy_from_slice(COUNTRIES[self.country].as_bytes());
        digits::<2>(self.zone, &mut out[ZONE..]);
    }

    /// The event as a structure; `schema` is [`schema`]'s.
    pub fn structure<'a>(&self, schema: &'a Schema, arena: &'a Arena) -> Value<'a> {
        let Some(geo) = schema.fields.last() else { return Value::Null };
        let [a, b, c, d] = self.ip.map(|octet| 100 + octet);
        let place = arena
            .alloc_slice(&[Value::Str(COUNTRIES[self.country]), Value::Int32(self.zone as i32)]);
        let geo = arena.alloc(Struct { schema: &geo.schema, values: place });
        let tags = self.tags.map(|tag| Value::Str(TAGS[tag]));
        let values = arena.alloc_slice(&[
            Value::Int64(self.id as i64),
            Value::Int64(self.ts as i64),
            Value::Str(arena.alloc_str(&format!("user-{:05}", self.user))),
            Value::Str(arena.alloc_str(&format!("{a}.{b}.{c}.{d}"))),
            Value::Str(UA),
            Value::Str(arena.alloc_str(&format!("https://example.org/p/{:05}", self.page))),
            Value::Float64(self.amount as f64 / 100.0),
            Value::Array(arena.alloc_slice(&tags)),
            Value::Struct(geo),
        ]);
        Value::Struct(arena.alloc(Struct { schema, values }))
    }
}

/// The schema of an event.
pub fn schema() -> Arc<Schema> {
    static SCHEMA: LazyLock<Arc<Schema>> = LazyLock::new(|| {
        let field = |name: &str, schema| Field { name: name.into(), schema: Arc::new(schema) };
        let plain = |name, type_| field(name, Schema::new(type_));
        let geo = Schema::struct_of(vec![
            plain("country", SchemaType::String),
            plain("zone", SchemaType::Int32),
        ]);
        let tags = Schema::array(Arc::new(Schema::new(SchemaType::String)));
        let event = Schema::struct_of(vec![
            plain("id", SchemaType::Int64),
            plain("ts", SchemaType::Int64),
            plain("user", SchemaType::String),
            plain("ip", SchemaType::String),
            plain("ua", SchemaType::String),
            plain("ref", SchemaType::String),
            plain("amount", SchemaType::Float64),
            field("tags", tags),
            field("geo", geo.named("millrace.Geo")),
        ]);
        Arc::new(event.named("millrace.Event"))
    });
    Arc::clone(&SCHEMA)
}

#[inline(always)]
fn digits<const N: usize>(mut number: u64, out: &mut [u8]) {
    let Some(out) = out.first_chunk_mut::<N>() else { return };
    for place in (0..N).rev() {
        out[place] = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text;

    #[test]
    fn text_and_structure_are_the_same_record() {
        let (schema, arena) = (schema(), Arena::new());
        for number in (0..3000).chain([8_999_999_999, 9_000_000_000, u64::MAX]) {
            let event = Event::of(7, number);
            let mut written = [0; LENGTH];
            event.write(&mut written);
            let mut from_values = Vec::new();
            text::write_json(&event.structure(&schema, &arena), &mut from_values);
            assert_eq!(String::from_utf8_lossy(&written), String::from_utf8_lossy(&from_values));
        }
    }

    #[test]
    fn a_seed_makes_the_same_records_and_another_seed_others() {
        let all = |seed| (0..100).map(|number| Event::of(seed, number)).collect::<Vec<_>>();
        assert_eq!(all(1), all(1));
        assert_ne!(all(1), all(2));
        let users: std::collections::BTreeSet<_> = all(1).iter().map(|event| event.user).collect();
        assert!(users.len() > 90);
    }
}
