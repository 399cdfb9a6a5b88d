//! The bundled connectors, one folder a system.
