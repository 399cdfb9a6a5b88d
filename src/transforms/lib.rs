//! The bundled single message transforms and predicates; one file each, and here is the list.
//!
//! Those of the top level are `org.apache.kafka.connect.transforms` by name, configuration, result
//! and error text; `confluent` and `debezium` have those of others, and [`expression`] and
//! [`enrich`] are our own.
//! Where Java's maps have no order, ours keep the order in which the record came.

mod cast;
mod cast_value;
mod confluent;
mod date_format;
mod date_parse;
mod debezium;
pub mod enrich;
pub mod expression;
mod extract_field;
mod field_path;
mod filter;
mod flatten;
mod header_from;
mod headers;
mod hoist_field;
mod insert_field;
mod java_regex;
mod json_path;
mod mask_field;
mod predicates;
mod regex_router;
mod replace_field;
mod requirements;
mod schema_cache;
mod set_schema_metadata;
mod sides;
mod timestamp_converter;
mod timestamp_router;
mod value_to_key;

#[cfg(test)]
mod mask_vectors;
#[cfg(test)]
mod test_rig;
#[cfg(test)]
mod tests;

use millrace_api::plugin::{PredicatePlugin, TransformationPlugin};

/// Every transform; those that work on a side of the record are two classes.
pub fn transformations() -> Vec<TransformationPlugin> {
    vec![
        cast::KEY,
        cast::VALUE,
        headers::DROP_HEADERS,
        enrich::PLAIN,
        enrich::KEY,
        enrich::VALUE,
        expression::PLAIN,
        expression::KEY,
        expression::VALUE,
        extract_field::KEY,
        extract_field::VALUE,
        filter::FILTER,
        flatten::KEY,
        flatten::VALUE,
        header_from::KEY,
        header_from::VALUE,
        hoist_field::KEY,
        hoist_field::VALUE,
        insert_field::KEY,
        insert_field::VALUE,
        headers::INSERT_HEADER,
        mask_field::KEY,
        mask_field::VALUE,
        regex_router::REGEX_ROUTER,
        replace_field::KEY,
        replace_field::VALUE,
        set_schema_metadata::KEY,
        set_schema_metadata::VALUE,
        timestamp_converter::KEY,
        timestamp_converter::VALUE,
        timestamp_router::TIMESTAMP_ROUTER,
        value_to_key::VALUE_TO_KEY,
        confluent::drop::KEY,
        confluent::drop::VALUE,
        confluent::extract_topic::HEADER,
        confluent::extract_topic::KEY,
        confluent::extract_topic::VALUE,
        confluent::filter::KEY,
        confluent::filter::VALUE,
        confluent::message_timestamp_router::MESSAGE_TIMESTAMP_ROUTER,
        confluent::tombstone_handler::TOMBSTONE_HANDLER,
        debezium::by_logical_table_router::BY_LOGICAL_TABLE_ROUTER,
        debezium::event_router::EVENT_ROUTER,
        debezium::extract_new_record_state::EXTRACT_NEW_RECORD_STATE,
    ]
}

/// Every predicate.
pub fn predicates() -> Vec<PredicatePlugin> {
    vec![
        predicates::has_header_key::HAS_HEADER_KEY,
        predicates::record_is_tombstone::RECORD_IS_TOMBSTONE,
        predicates::topic_name_matches::TOPIC_NAME_MATCHES,
    ]
}
