//! The producer's settings, under the names and with the checks of Kafka's `ProducerConfig`.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::compression::{Codec, Compression};
use crate::config::{ClientConfig, ConfigProblem, ConfigReader, Parsed};

/// Fields bear the keys' names. Defaults are those that a Connect worker gives the producer of a
/// source task: Kafka 4.1's own, but no idempotence, one request in flight and no end to retries.
#[derive(Clone, Debug)]
pub struct ProducerConfig {
    pub client: ClientConfig,
    /// 0, 1, or -1 for `all`.
    pub acks: i16,
    pub enable_idempotence: bool,
    /// Bytes, after compression as far as that can be estimated while a batch is open.
    pub batch_size: usize,
    pub linger: Duration,
    /// `compression.type` and `compression.<codec>.level`.
    pub compression: Compression,
    /// Bytes: of a record before, of a request after compression.
    pub max_request_size: usize,
    /// Bytes of records that are not acknowledged.
    pub buffer_memory: usize,
    pub max_in_flight: usize,
    pub retries: u32,
    /// From a batch's first record to its acknowledgement.
    pub delivery_timeout: Duration,
    /// Of waiting for memory or for metadata.
    pub max_block: Duration,
    pub partitioner_ignore_keys: bool,
    /// Only by [`ProducerConfig::parse_transactional`].
    pub transactional_id: Option<String>,
    /// How long a transaction may be open before the brokers end it.
    pub transaction_timeout: Duration,
}

impl ProducerConfig {
    /// Reads a producer's settings with those that all clients share.
    /// `transactional.id` is refused: who has no plan for it would produce without transactions.
    pub fn parse(map: &BTreeMap<String, String>) -> Result<Parsed<Self>, Vec<ConfigProblem>> {
        let mut reader = ConfigReader::new(map);
        if let Some(id) = reader.text("transactional.id") {
            let why = "nothing here would commit its transactions; exactly-once support sets it by \
                       itself, for all others remove the key";
            reader.problem("transactional.id", id, why);
        }
        let config = Self::read(&mut reader);
        let unknown = reader.finish()?;
        Ok(Parsed { config, unknown })
    }

    /// The same of a producer with `transactional.id`, whose caller begins with
    /// [`super::Producer::init_transactions`].
    pub fn parse_transactional(
        map: &BTreeMap<String, String>,
    ) -> Result<Parsed<Self>, Vec<ConfigProblem>> {
        let mut reader = ConfigReader::new(map);
        let id = reader.text("transactional.id").unwrap_or_default();
        let mut config = Self::read(&mut reader);
        if id.is_empty() {
            reader.problem("transactional.id", id, "must be set");
        }
        if !config.enable_idempotence {
            let why = "Cannot set a transactional.id without also enabling idempotence.";
            reader.problem("enable.idempotence", "false", why);
        }
        config.transactional_id = Some(id.to_owned());
        let unknown = reader.finish()?;
        Ok(Parsed { config, unknown })
    }

    fn read(reader: &mut ConfigReader<'_>) -> Self {
        let client = ClientConfig::read(reader);
        reader.ignore(&["key.serializer", "value.serializer", "interceptor.classes"]);
        reader.ignore(&["partitioner.class", "partitioner.adaptive.partitioning.enable"]);
        reader.ignore(&["partitioner.availability.timeout.ms", "metadata.max.idle.ms"]);
        reader.ignore(&["transaction.two.phase.commit.enable"]);
        let transaction_timeout =
            at_most(reader, "transaction.timeout.ms", 60_000, i32::MAX as usize);
        let int = i32::MAX as usize;
        let config = Self {
            client,
            acks: reader.choice("acks", -1, &[("all", -1), ("-1", -1), ("0", 0), ("1", 1)]),
            enable_idempotence: reader.flag("enable.idempotence", false),
            batch_size: at_most(reader, "batch.size", 16_384, int),
            linger: reader.millis("linger.ms", 5, 0),
            compression: read_compression(reader),
            max_request_size: at_most(reader, "max.request.size", 1 << 20, int),
            buffer_memory: reader.number("buffer.memory", 32 << 20, 0),
            max_in_flight: reader.number("max.in.flight.requests.per.connection", 1, 1),
            retries: at_most(reader, "retries", int, int) as u32,
            delivery_timeout: reader.millis("delivery.timeout.ms", i64::from(i32::MAX), 0),
            max_block: reader.millis("max.block.ms", i64::MAX, 0),
            partitioner_ignore_keys: reader.flag("partitioner.ignore.keys", false),
            transactional_id: None,
            transaction_timeout: Duration::from_millis(transaction_timeout as u64),
        };
        config.check(reader);
        config
    }

    fn check(&self, reader: &mut ConfigReader<'_>) {
        if self.enable_idempotence {
            let mut must = |right: bool, key: &str, value: &str, why: &str| {
                if !right {
                    reader.problem(key, value, format!("{why} to use the idempotent producer"));
                }
            };
            let (acks, in_flight) = (self.acks.to_string(), self.max_in_flight.to_string());
            let in_flight_key = "max.in.flight.requests.per.connection";
            must(self.acks == -1, "acks", &acks, "Must be all");
            must(self.retries > 0, "retries", "0", "Must be above zero");
            must(self.max_in_flight <= 5, in_flight_key, &in_flight, "Must be at most 5");
        }
        let least = self.linger.saturating_add(self.client.request_timeout);
        if self.delivery_timeout < least {
            let value = self.delivery_timeout.as_millis().to_string();
            let why = "should be equal to or larger than linger.ms + request.timeout.ms";
            reader.problem("delivery.timeout.ms", &value, why);
        }
    }
}

fn at_most(reader: &mut ConfigReader<'_>, key: &str, default: usize, most: usize) -> usize {
    let number = reader.number(key, default, 0);
    if number > most {
        reader.problem(key, &number.to_string(), format!("Value must be no more than {most}"));
        return default;
    }
    number
}

fn read_compression(reader: &mut ConfigReader<'_>) -> Compression {
    const CODECS: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];
    let names = CODECS.map(|codec| (codec.name(), codec));
    let codec = reader.choice("compression.type", Codec::None, &names);
    // All levels are checked, also those of the codecs that are not chosen.
    let mut chosen = Compression::new(codec);
    for (of, key, least, most) in [
        (Codec::Gzip, "compression.gzip.level", -1, 9),
        (Codec::Lz4, "compression.lz4.level", 1, 17),
        (Codec::Zstd, "compression.zstd.level", -131_072, 22),
    ] {
        let level = reader.number(key, Compression::new(of).level, least);
        if level > most || (of == Codec::Gzip && level == 0) {
            let why = format!("Value must be between 1 and {most}, or -1 for gzip's default");
            reader.problem(key, &level.to_string(), why);
        } else if of == codec {
            chosen.level = level;
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    //! Java's names, Java's limits.
    use super::*;

    fn parse(settings: &[(&str, &str)]) -> Result<Parsed<ProducerConfig>, Vec<ConfigProblem>> {
        let mut map = BTreeMap::from([("bootstrap.servers".to_owned(), "h:1".to_owned())]);
        map.extend(settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        ProducerConfig::parse(&map)
    }

    #[test]
    fn javas_names_set_javas_meanings() {
        let parsed = parse(&[
            ("compression.lz4.level", "3"),
            ("compression.type", "lz4"),
            ("compression.zstd.level", "-7"),
            ("acks", "1"),
            ("linger.ms", " 20 "),
            ("batch.size", "65536"),
            ("max.block.ms", "9223372036854775807"),
            ("partitioner.ignore.keys", "TRUE"),
            ("key.serializer", "org.apache.kafka.common.serialization.ByteArraySerializer"),
            ("no.such.key", "1"),
        ])
        .unwrap();
        let config = parsed.config;
        assert_eq!(parsed.unknown, ["no.such.key"]);
        assert_eq!(config.compression, Compression::with_level(Codec::Lz4, 3));
        assert_eq!((config.acks, config.batch_size), (1, 65536));
        assert!(config.partitioner_ignore_keys);
        assert_eq!((config.linger, config.max_in_flight), (Duration::from_millis(20), 1));
    }

    #[test]
    fn senseless_settings_are_refused() {
        for settings in [
            &[("acks", "2")][..],
            &[("compression.type", "rar")],
            &[("compression.gzip.level", "0")],
            &[("compression.lz4.level", "18")],
            &[("batch.size", "-1")],
            &[("retries", "2147483648")],
            &[("enable.idempotence", "yes")],
            &[("enable.idempotence", "true"), ("acks", "1")],
            &[("enable.idempotence", "true"), ("retries", "0")],
            &[("enable.idempotence", "true"), ("max.in.flight.requests.per.connection", "6")],
            &[("delivery.timeout.ms", "30004")],
            &[("transactional.id", "x")],
        ] {
            assert_eq!(parse(settings).unwrap_err().len(), 1, "{settings:?}");
        }
    }

    #[test]
    fn transactions_need_an_id_and_idempotence() {
        let parse = |settings: &[(&str, &str)]| {
            let mut map = BTreeMap::from([("bootstrap.servers".to_owned(), "h:1".to_owned())]);
            let settings = settings.iter();
            map.extend(settings.map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
            ProducerConfig::parse_transactional(&map)
        };
        let good = [
            ("transactional.id", "x"),
            ("enable.idempotence", "true"),
            ("transaction.timeout.ms", "1000"),
        ];
        let config = parse(&good).unwrap().config;
        assert_eq!(config.transactional_id.as_deref(), Some("x"));
        assert_eq!(config.transaction_timeout, Duration::from_secs(1));
        assert_eq!(parse(&good[..1]).unwrap_err()[0].key, "enable.idempotence");
        assert_eq!(parse(&good[1..]).unwrap_err()[0].key, "transactional.id");
    }
}
