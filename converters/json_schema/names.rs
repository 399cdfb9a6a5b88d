//! The words that `JsonSchemaData` writes into schemas.

/// Parameters that begin with it stay out of `connect.parameters`.
pub(super) const NAMESPACE: &str = "io.confluent.connect.json";
pub(super) const ID: &str = "io.confluent.connect.json.Id";
pub(super) const ENUM: &str = "io.confluent.connect.json.Enum";
pub(super) const ONE_OF: &str = "io.confluent.connect.json.OneOf";
pub(super) const ONE_OF_FIELD: &str = "io.confluent.connect.json.OneOf.field.";
pub(super) const GENERALIZED_UNION: &str = "org.apache.kafka.connect.data.Union";
pub(super) const GENERALIZED_ENUM: &str = "org.apache.kafka.connect.data.Enum";
pub(super) const UNION_PREFIX: &str = "connect_union_";
pub(super) const UNION_FIELD: &str = "connect_union_field_";
/// An enum's value that is null.
pub(super) const NULL_MARKER: &str = "<NULL>";

pub(super) const TYPE: &str = "connect.type";
pub(super) const VERSION: &str = "connect.version";
pub(super) const PARAMETERS: &str = "connect.parameters";
pub(super) const INDEX: &str = "connect.index";

pub(super) const KEY: &str = "key";
pub(super) const VALUE: &str = "value";

/// The field of a struct that keeps the members which the schema does not name.
pub(super) const ADDITIONAL: &str = "__connect_additional_properties__";

/// Begins the ids of structs that occur again.
pub(super) const ID_PREFIX: &str = "#id";
