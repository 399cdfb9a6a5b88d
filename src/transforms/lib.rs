//! The bundled single message transforms and predicates.
