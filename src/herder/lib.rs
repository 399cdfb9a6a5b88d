//! The control plane: which connectors and tasks run, with which configuration.
