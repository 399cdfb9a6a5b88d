//! The embedded broker for the quickstart, demos and fast tests. Never for production.
