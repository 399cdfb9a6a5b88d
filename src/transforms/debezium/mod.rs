//! Debezium's transforms (`io.debezium.transforms`) of version 3, with the keys of version 2 where
//! those are still in configurations.

pub mod by_logical_table_router;
mod envelope;
pub mod event_router;
mod event_router_settings;
pub mod extract_new_record_state;
mod extract_new_record_state_settings;
mod field_reference;
mod json_payload;
mod name_adjuster;
mod schemaless_event;

#[cfg(test)]
mod tests;
