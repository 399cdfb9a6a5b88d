//! The built-in kinds of record, by the names that users of Confluent's generator know.

use super::event;
use super::generator::{Maker, Records};

pub const NAMES: &[&str] = &["events", "users", "pageviews", "orders", "clickstream"];

const USERS: &str = r#"{"type": "record", "name": "users", "namespace": "ksql", "fields": [
    {"name": "registertime", "type": {"type": "long",
        "arg.properties": {"range": {"min": 1487715775521, "max": 1519273364600}}}},
    {"name": "userid", "type": {"type": "string", "arg.properties": {"regex": "User_[1-9]"}}},
    {"name": "regionid", "type": {"type": "string", "arg.properties": {"regex": "Region_[1-9]"}}},
    {"name": "gender", "type": {"type": "string",
        "arg.properties": {"options": ["MALE", "FEMALE", "OTHER"]}}}]}"#;

const PAGEVIEWS: &str = r#"{"type": "record", "name": "pageviews", "namespace": "ksql", "fields": [
    {"name": "viewtime", "type": {"type": "long",
        "arg.properties": {"iteration": {"start": 1, "step": 10}}}},
    {"name": "userid", "type": {"type": "string", "arg.properties": {"regex": "User_[1-9]"}}},
    {"name": "pageid", "type": {"type": "string",
        "arg.properties": {"regex": "Page_[1-9][0-9]?"}}}]}"#;

const ORDERS: &str = r#"{"type": "record", "name": "orders", "namespace": "ksql", "fields": [
    {"name": "ordertime", "type": {"type": "long",
        "arg.properties": {"range": {"min": 1487715775521, "max": 1519273364600}}}},
    {"name": "orderid", "type": {"type": "int",
        "arg.properties": {"iteration": {"start": 0}}}},
    {"name": "itemid", "type": {"type": "string",
        "arg.properties": {"regex": "Item_[1-9][0-9]{0,2}"}}},
    {"name": "orderunits", "type": {"type": "double",
        "arg.properties": {"range": {"min": 0.1, "max": 10.0}}}},
    {"name": "address", "type": {"type": "record", "name": "address", "fields": [
        {"name": "city", "type": {"type": "string", "arg.properties": {"regex": "City_[1-9][0-9]?"}}},
        {"name": "state", "type": {"type": "string",
            "arg.properties": {"regex": "State_[1-9][0-9]?"}}},
        {"name": "zipcode", "type": {"type": "long",
            "arg.properties": {"range": {"min": 10000, "max": 99999}}}}]}}]}"#;

const CLICKSTREAM: &str = r#"{"type": "record", "name": "clickstream", "namespace": "clickstream",
    "fields": [
    {"name": "ip", "type": {"type": "string", "arg.properties": {"options": [
        "111.152.45.45", "111.203.236.146", "111.168.57.122", "111.249.79.93", "122.152.45.245",
        "222.203.236.146", "222.168.57.122", "233.90.225.227"]}}},
    {"name": "userid", "type": {"type": "int",
        "arg.properties": {"range": {"min": 1, "max": 41}}}},
    {"name": "remote_user", "type": {"type": "string", "arg.properties": {"options": ["-"]}}},
    {"name": "time", "type": {"type": "string", "arg.properties": {"iteration": {"start": 1}}}},
    {"name": "_time", "type": {"type": "long", "arg.properties": {"iteration": {"start": 1}}}},
    {"name": "request", "type": {"type": "string", "arg.properties": {"options": [
        "GET /index.html HTTP/1.1", "GET /site/user_status.html HTTP/1.1",
        "GET /site/login.html HTTP/1.1", "GET /images/track.png HTTP/1.1",
        "GET /images/logo-small.png HTTP/1.1"]}}},
    {"name": "status", "type": {"type": "string",
        "arg.properties": {"options": ["200", "302", "404", "405", "406", "407"]}}},
    {"name": "bytes", "type": {"type": "string",
        "arg.properties": {"options": ["278", "1289", "2048", "4096", "4006", "4196", "14096"]}}},
    {"name": "referrer", "type": {"type": "string", "arg.properties": {"options": ["-"]}}},
    {"name": "agent", "type": {"type": "string", "arg.properties": {"options": [
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36",
        "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"]}}}]}"#;

/// The kind of that name, in any case. Users, page views, orders and clicks have the key that
/// Confluent gives them unless another is named.
pub fn records(name: &str, key_field: Option<&str>) -> Result<Records, String> {
    let (schema, key) = match name.to_ascii_lowercase().as_str() {
        "users" => (USERS, "userid"),
        "pageviews" => (PAGEVIEWS, "viewtime"),
        "orders" => (ORDERS, "orderid"),
        "clickstream" => (CLICKSTREAM, "ip"),
        _ => return Records::new(Maker::Event, event::schema(), key_field),
    };
    Records::from_schema(schema, Some(key_field.unwrap_or(key)))
}
