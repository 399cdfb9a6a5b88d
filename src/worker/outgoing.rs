//! A source record into bytes: headers, key, value, in the JVM's order.

use std::ops::Range;

use millrace_api::error::Stage;
use millrace_api::record::Record;

use crate::error_policy::Failure;
use crate::plan::{Converters, Step};
use crate::topic_creation::TopicCreation;

/// What turns a record into bytes, and the bytes' place until the producer has copied them into
/// the partition's batch. The buffers keep their memory from record to record.
pub(crate) struct Outgoing {
    pub steps: Vec<Step>,
    pub converters: Converters,
    pub topics: TopicCreation,
    pub key: Vec<u8>,
    pub value: Vec<u8>,
    pub header_values: Vec<u8>,
    pub header_ranges: Vec<Option<Range<usize>>>,
}

/// A serialised record, borrowed from [`Outgoing`].
pub(crate) struct Serialised<'o, 'a> {
    pub key: Option<&'o [u8]>,
    pub value: Option<&'o [u8]>,
    record: &'o Record<'a>,
    header_values: &'o [u8],
    header_ranges: &'o [Option<Range<usize>>],
}

impl<'o> Serialised<'o, '_> {
    pub(crate) fn len(&self) -> usize {
        self.key.map_or(0, <[u8]>::len) + self.value.map_or(0, <[u8]>::len)
    }

    pub(crate) fn headers(
        &self,
    ) -> impl ExactSizeIterator<Item = (&'o str, Option<&'o [u8]>)> + Clone + use<'o> {
        let values = self.header_values;
        self.record
            .headers
            .iter()
            .zip(self.header_ranges)
            .map(move |(header, range)| (header.name, range.clone().map(|range| &values[range])))
    }
}

impl Outgoing {
    /// What converters know of the batch before holds no more.
    pub(crate) fn begin_batch(&mut self) {
        self.converters.key.begin_batch();
        self.converters.value.begin_batch();
    }

    pub(crate) fn serialise<'o, 'a>(
        &'o mut self,
        record: &'o Record<'a>,
    ) -> Result<Serialised<'o, 'a>, Failure> {
        self.key.clear();
        self.value.clear();
        if !record.headers.is_empty() || !self.header_ranges.is_empty() {
            self.serialise_headers(record)?;
        }
        let Converters { key, value, .. } = &mut self.converters;
        let failed = |stage, class| move |error| Failure { stage, class, error };
        let has_key = key
            .from_connect_data(record.topic, record.key.schema, record.key.value, &mut self.key)
            .map_err(failed(Stage::KeyConverter, key.class_name()))?;
        let has_value = value
            .from_connect_data(
                record.topic,
                record.value.schema,
                record.value.value,
                &mut self.value,
            )
            .map_err(failed(Stage::ValueConverter, value.class_name()))?;
        Ok(Serialised {
            key: has_key.then_some(&self.key),
            value: has_value.then_some(&self.value),
            record,
            header_values: &self.header_values,
            header_ranges: &self.header_ranges,
        })
    }

    fn serialise_headers(&mut self, record: &Record<'_>) -> Result<(), Failure> {
        self.header_values.clear();
        self.header_ranges.clear();
        let converter = &mut self.converters.header;
        for header in record.headers {
            let start = self.header_values.len();
            let datum = header.datum;
            let out = &mut self.header_values;
            let there = converter
                .from_connect_header(record.topic, header.name, datum.schema, datum.value, out)
                .map_err(|error| Failure {
                    stage: Stage::HeaderConverter,
                    class: converter.class_name(),
                    error,
                })?;
            self.header_ranges.push(there.then_some(start..self.header_values.len()));
        }
        Ok(())
    }
}
