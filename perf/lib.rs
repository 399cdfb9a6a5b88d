//! Whole processes measured, the JVM worker beside ours.
